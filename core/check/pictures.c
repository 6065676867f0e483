/* pictures.c - resizing and framing against Pillow's bytes.
 *
 * The file holds `src` [H, W, 3] bytes, FILTER.WxH of it, janus.squareN and its numbers janus.normN,
 * showo.cropN.
 */
#include "check/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct image *read_image(const struct st_file *f, const struct st_entry *e)
{
    struct image *image = NULL;

    if (!e || e->rank != 3 || e->shape[2] != 3 || e->type != ST_U8 || e->shape[0] > IMAGE_SIDE || e->shape[1] > IMAGE_SIDE) {
        fail(TAIN_EFORMAT, "%s: it is no picture of [height, width, 3] bytes", e ? e->name : "src");
        return NULL;
    }
    if ((image = image_new((int)e->shape[1], (int)e->shape[0])) && st_read(f, e, image->rgb, e->bytes)) {
        image_free(image);
        return NULL;
    }
    return image;
}

/* Both are freed. */
static int same(struct check_report *r, const char *name, struct image *is, struct image *should)
{
    int status = is && should ? 0 : tain_error_status();
    int64_t wrong = 0, n = status ? 0 : (int64_t)should->width * should->height * 3;

    if (!status && (is->width != should->width || is->height != should->height))
        wrong = n;
    for (int64_t i = 0; i < n && wrong < n; i++)
        wrong += is->rgb[i] != should->rgb[i];
    if (!status)
        check_share(r, name, wrong, n);
    image_free(is);
    image_free(should);
    return status;
}

static int numbers(struct check_report *r, const char *name, const struct st_file *f, struct image *square)
{
    static const float half[3] = { 0.5f, 0.5f, 0.5f };
    int64_t n = square ? (int64_t)square->width * square->height * 3 : 0, count = 0;
    float *got = base_alloc((size_t)n + 1, sizeof(float)), *want = check_read_floats(f, name, &count);
    int status = square && got && want ? 0 : tain_error_status();

    if (!status && count != n)
        status = fail(TAIN_EFORMAT, "%s: %lld numbers, and not %lld", name, (long long)count, (long long)n);
    if (!status) {
        image_floats(square, half, half, got);
        check_floats(r, name, got, want, n);
    }
    free(got);
    free(want);
    image_free(square);
    return status;
}

double tain_check_pictures(const char *path, const char **lines)
{
    static const char *const filters[] = { "bilinear", "bicubic", "lanczos" };
    static const uint8_t grey[3] = { 127, 127, 127 };
    struct check_report r = check_begin();
    struct st_file *f = path ? st_open(path) : NULL;
    struct image *src = f ? read_image(f, st_find(f, "src")) : NULL;
    int status = path ? src ? 0 : tain_error_status() : fail(TAIN_EINVAL, "check: path is missing");

    for (int i = 0; src && i < st_count(f) && !status; i++) {
        const struct st_entry *e = st_at(f, i);
        int w, h, used = 0;
        char filter[16];

        if (sscanf(e->name, "%15[a-z].%dx%d%n", filter, &w, &h, &used) == 3 && !e->name[used]) {
            for (int k = 0; k < 3; k++)
                if (!strcmp(filter, filters[k]))
                    status = same(&r, e->name, image_resize(src, w, h, (enum image_filter)k), read_image(f, e));
        } else if (sscanf(e->name, "janus.square%d", &w) == 1) {
            status = same(&r, e->name, image_square(src, w, 14, grey), read_image(f, e));
        } else if (sscanf(e->name, "janus.norm%d", &w) == 1) {
            status = numbers(&r, e->name, f, image_square(src, w, 14, grey));
        } else if (sscanf(e->name, "showo.crop%d", &w) == 1) {
            struct image *fit = image_short_side(src, w, IMAGE_BICUBIC);
            /* The middle, where a half rounds to the even number. */
            int x = fit ? (fit->width - w) / 2 : 0, y = fit ? (fit->height - w) / 2 : 0;
            if (fit && (fit->width - w) % 2 && x % 2)
                x++;
            if (fit && (fit->height - w) % 2 && y % 2)
                y++;
            status = same(&r, e->name, fit ? image_crop(fit, x, y, w, w) : NULL, read_image(f, e));
            image_free(fit);
        } else if (strcmp(e->name, "src")) {
            text_format(r.text, "%-72s not compared\n", e->name);
        }
    }
    image_free(src);
    st_close(f);
    return check_end(&r, status, lines);
}

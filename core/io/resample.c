/* resample.c - images in other sizes, byte for byte as Pillow makes them.
 *
 * Models were trained on what Pillow gave them. So the two passes are in its order, horizontal
 * first; each rounds to bytes; the weights are made in double and used with 22 bits after the
 * point. A filter is stretched when an image shrinks, and so averages over what it must.
 *
 * This is Pillow up to 12, which the models' own programs use. Pillow 13 begins with the vertical
 * pass where that one shrinks more, and a few bytes come out different.
 */
#include "io/io.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BITS = 22 };

/* For each place in the result, which pixels count and how much. */
struct weights {
    int most;              /* pixels a place, at most */
    int *first, *count;    /* [places] */
    int32_t *weight;       /* [places][most] */
};

/* ---- Weights ---- */

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double bicubic(double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double sinc(double x)
{
    x *= 3.14159265358979323846;
    return x == 0 ? 1 : sin(x) / x;
}

static double lanczos(double x)
{
    return -3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static const struct {
    double (*at)(double x);
    double support;
} filters[] = { { bilinear, 1 }, { bicubic, 2 }, { lanczos, 3 } };

static void weights_free(struct weights *w)
{
    free(w->first);
    free(w->count);
    free(w->weight);
}

static int weights_make(struct weights *w, int in, int out, enum image_filter f)
{
    double scale = (double)in / out, stretch = scale < 1 ? 1 : scale;
    double support = filters[f].support * stretch, *k;

    w->most = (int)ceil(support) * 2 + 1;
    w->first = base_alloc((size_t)out, sizeof(int));
    w->count = base_alloc((size_t)out, sizeof(int));
    w->weight = base_alloc((size_t)out * (size_t)w->most, sizeof(int32_t));
    k = base_alloc((size_t)w->most, sizeof(*k));
    if (!w->first || !w->count || !w->weight || !k) {
        weights_free(w);
        free(k);
        return TAIN_ENOMEM;
    }
    for (int i = 0; i < out; i++) {
        double centre = (i + 0.5) * scale, sum = 0, inverse = 1 / stretch;
        int first = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
        int32_t *row = w->weight + (size_t)i * (size_t)w->most;

        first = first < 0 ? 0 : first;
        end = end > in ? in : end;
        for (int x = 0; x < end - first; x++)
            sum += k[x] = filters[f].at((x + first - centre + 0.5) * inverse);
        for (int x = 0; x < end - first; x++) {
            double v = (sum != 0 ? k[x] / sum : k[x]) * (1 << BITS);

            row[x] = (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
        }
        w->first[i] = first;
        w->count[i] = end - first;
    }
    free(k);
    return TAIN_OK;
}

/* ---- Passes ---- */

static uint8_t to_byte(int32_t sum)
{
    sum >>= BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static void across(const struct image *in, struct image *out, const struct weights *w)
{
    for (int y = 0; y < out->height; y++) {
        const uint8_t *row = in->rgb + (size_t)y * (size_t)in->width * 3;
        uint8_t *to = out->rgb + (size_t)y * (size_t)out->width * 3;

        for (int x = 0; x < out->width; x++, to += 3) {
            const int32_t *k = w->weight + (size_t)x * (size_t)w->most;
            const uint8_t *p = row + (size_t)w->first[x] * 3;
            int32_t r = 1 << (BITS - 1), g = r, b = r;

            for (int i = 0; i < w->count[x]; i++, p += 3) {
                r += p[0] * k[i];
                g += p[1] * k[i];
                b += p[2] * k[i];
            }
            to[0] = to_byte(r);
            to[1] = to_byte(g);
            to[2] = to_byte(b);
        }
    }
}

static void down(const struct image *in, struct image *out, const struct weights *w)
{
    size_t row = (size_t)in->width * 3;

    for (int y = 0; y < out->height; y++) {
        const int32_t *k = w->weight + (size_t)y * (size_t)w->most;
        const uint8_t *from = in->rgb + (size_t)w->first[y] * row;
        uint8_t *to = out->rgb + (size_t)y * row;

        for (size_t x = 0; x < row; x++) {
            int32_t sum = 1 << (BITS - 1);

            for (int i = 0; i < w->count[y]; i++)
                sum += from[(size_t)i * row + x] * k[i];
            to[x] = to_byte(sum);
        }
    }
}

static struct image *copy(const struct image *image)
{
    return image_crop(image, 0, 0, image->width, image->height);
}

struct image *image_resize(const struct image *image, int width, int height, enum image_filter f)
{
    struct image *middle = NULL, *out = NULL;
    struct weights w;

    if (width == image->width && height == image->height)
        return copy(image);
    if (width != image->width) {
        if (!(middle = image_new(width, image->height)))
            return NULL;
        if (weights_make(&w, image->width, width, f)) {
            image_free(middle);
            return NULL;
        }
        across(image, middle, &w);
        weights_free(&w);
        image = middle;
    }
    if (height == image->height)
        return middle;
    if ((out = image_new(width, height))) {
        if (weights_make(&w, image->height, height, f)) {
            image_free(out);
            out = NULL;
        } else {
            down(image, out, &w);
            weights_free(&w);
        }
    }
    image_free(middle);
    return out;
}

/* ---- Framing ---- */

struct image *image_short_side(const struct image *image, int size, enum image_filter f)
{
    int64_t w = image->width, h = image->height;
    int64_t longer = size * (w > h ? w : h) / (w < h ? w : h);

    if (longer > IMAGE_SIDE) {
        fail(TAIN_EINVAL, "image: a short side of %d would make a long one of %lld", size,
             (long long)longer);
        return NULL;
    }
    return w < h ? image_resize(image, size, (int)longer, f)
                 : image_resize(image, (int)longer, size, f);
}

/* Puts an image, which must fit, onto another. */
static void paste(struct image *onto, const struct image *image, int left, int top)
{
    for (int y = 0; y < image->height; y++)
        memcpy(onto->rgb + ((size_t)(top + y) * (size_t)onto->width + (size_t)left) * 3,
               image->rgb + (size_t)y * (size_t)image->width * 3, (size_t)image->width * 3);
}

static struct image *plain(int width, int height, const uint8_t colour[3])
{
    struct image *out = image_new(width, height);

    for (size_t i = 0, n = out ? (size_t)width * (size_t)height : 0; i < n; i++)
        memcpy(out->rgb + i * 3, colour, 3);
    return out;
}

struct image *image_crop(const struct image *image, int left, int top, int width, int height)
{
    struct image *out;

    REQUIRE_OR_NULL(left >= 0 && top >= 0 && width > 0 && height > 0 &&
                        left <= image->width - width && top <= image->height - height,
                    "image: a part of %d x %d at %d, %d does not lie in one of %d x %d", width,
                    height, left, top, image->width, image->height);
    if (!(out = image_new(width, height)))
        return NULL;
    for (int y = 0; y < height; y++)
        memcpy(out->rgb + (size_t)y * (size_t)width * 3,
               image->rgb + ((size_t)(top + y) * (size_t)image->width + (size_t)left) * 3,
               (size_t)width * 3);
    return out;
}

struct image *image_square(const struct image *image, int size, int least, const uint8_t colour[3])
{
    double longest = image->width > image->height ? image->width : image->height;
    int w = (int)(image->width / longest * size), h = (int)(image->height / longest * size);
    struct image *inner, *out;

    REQUIRE_OR_NULL(size > 0 && least > 0 && least <= size,
                    "image: a square of %d cannot hold a side of at least %d", size, least);
    w = w < least ? least : w;
    h = h < least ? least : h;
    if (!(inner = image_resize(image, w, h, IMAGE_BICUBIC)))
        return NULL;
    if ((out = plain(size, size, colour)))
        paste(out, inner, (size - w) / 2, (size - h) / 2);
    image_free(inner);
    return out;
}

struct image *image_tile(const struct image *const *images, int count, int columns, int border,
                         const uint8_t colour[3])
{
    int64_t w, h, rows, width, height;
    struct image *out;

    REQUIRE_OR_NULL(count > 0 && columns > 0 && border >= 0 && border <= IMAGE_SIDE,
                    "image: %d images in %d columns with a border of %d", count, columns, border);
    columns = columns < count ? columns : count;
    rows = (count + (int64_t)columns - 1) / columns;
    w = images[0]->width;
    h = images[0]->height;
    for (int i = 1; i < count; i++)
        REQUIRE_OR_NULL(images[i]->width == w && images[i]->height == h,
                        "image: the first to be tiled is %d x %d, number %d is %d x %d", (int)w,
                        (int)h, i + 1, images[i]->width, images[i]->height);
    width = columns * (w + border) + border;
    height = rows * (h + border) + border;
    REQUIRE_OR_NULL(width <= IMAGE_SIDE && height <= IMAGE_SIDE,
                    "image: the tiles would make an image of %lld x %lld", (long long)width,
                    (long long)height);
    if (!(out = plain((int)width, (int)height, colour)))
        return NULL;
    for (int i = 0; i < count; i++)
        paste(out, images[i], (int)(border + i % columns * (w + border)),
              (int)(border + i / columns * (h + border)));
    return out;
}

void image_floats(const struct image *image, const float mean[3], const float deviation[3],
                  float *dest)
{
    size_t n = (size_t)image->width * (size_t)image->height;

    for (int c = 0; c < 3; c++)
        for (size_t i = 0; i < n; i++)
            *dest++ = (float)((image->rgb[i * 3 + (size_t)c] / 255.0 - mean[c]) / deviation[c]);
}

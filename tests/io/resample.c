/* Resizing gives Pillow's bytes; framing puts pixels where they belong. */
#include "check.h"
#include "io/io.h"

static struct image *golden(const struct st_file *f, const char *name)
{
    const struct st_entry *e = st_need(f, name);
    struct image *image;

    CHECK(e && e->rank == 3 && e->shape[2] == 3);
    CHECK(image = image_new((int)e->shape[1], (int)e->shape[0]));
    CHECK_INT(st_read(f, e, image->rgb, e->bytes), 0);
    return image;
}

/* The two are the same, and are freed. */
static void same(struct image *a, struct image *b, const char *what)
{
    size_t n, i = 0;

    CHECK(a && b);
    n = (size_t)a->width * (size_t)a->height * 3;
    if (a->width == b->width && a->height == b->height)
        while (i < n && a->rgb[i] == b->rgb[i])
            i++;
    if (i < n) {
        fprintf(stderr, "%s: %d x %d against %d x %d, first apart at byte %zu: %d and %d\n", what,
                a->width, a->height, b->width, b->height, i, a->rgb[i], b->rgb[i]);
        exit(1);
    }
    image_free(a);
    image_free(b);
}

static void test_pillow(const struct st_file *f, const struct image *src)
{
    static const char *filters[] = { "bilinear", "bicubic", "lanczos" };
    static const int sizes[][2] = { { 13, 40 }, { 16, 16 }, { 26, 16 }, { 74, 46 } };
    char name[40];

    for (int k = 0; k < 3; k++)
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            int w = sizes[i][0], h = sizes[i][1];

            snprintf(name, sizeof(name), "%s.%dx%d", filters[k], w, h);
            same(image_resize(src, w, h, (enum image_filter)k), golden(f, name), name);
        }
    same(image_resize(src, 37, 23, IMAGE_BICUBIC), golden(f, "src"), "the same size");
}

static void test_models(const struct st_file *f, const struct image *src)
{
    static const uint8_t grey[3] = { 127, 127, 127 };
    static const float half[3] = { 0.5f, 0.5f, 0.5f };
    static float expected[3 * 32 * 32], got[3 * 32 * 32];
    struct image *square = image_square(src, 32, 14, grey), *wide, *tall, *turned;

    CHECK(square);
    image_floats(square, half, half, got);
    CHECK_INT(st_read_float(f, st_need(f, "janus.norm32"), expected, COUNT_OF(expected)), 0);
    for (size_t i = 0; i < COUNT_OF(got); i++)
        CHECK_CLOSE(got[i], expected[i], 1e-6);
    same(square, golden(f, "janus.square32"), "janus.square32");

    wide = image_short_side(src, 16, IMAGE_BICUBIC);
    CHECK(wide && wide->width == 25 && wide->height == 16);
    same(image_crop(wide, 4, 0, 16, 16), golden(f, "showo.crop16"), "showo.crop16");
    image_free(wide);

    /* A very long image: the short side is at least 14; and standing instead of lying. */
    CHECK(wide = image_resize(src, 200, 10, IMAGE_BICUBIC));
    CHECK(square = image_square(wide, 40, 14, grey));
    CHECK(square->rgb[12 * 40 * 3] == 127 && square->rgb[12 * 40 * 3 + 119] == 127);
    CHECK(square->rgb[27 * 40 * 3] == 127);
    image_free(square);
    CHECK(!image_square(wide, 10, 14, grey));
    image_free(wide);
    CHECK(tall = image_new(src->height, src->width));
    for (int y = 0; y < tall->height; y++)
        for (int x = 0; x < tall->width; x++)
            memcpy(&tall->rgb[(y * tall->width + x) * 3], &src->rgb[(x * src->width + y) * 3], 3);
    CHECK(turned = image_short_side(tall, 16, IMAGE_BICUBIC));
    CHECK(turned->width == 16 && turned->height == 25);
    image_free(turned);
    image_free(tall);
}

static void test_framing(const struct image *src)
{
    static const uint8_t red[3] = { 200, 1, 2 };
    struct image *parts[5], *grid, *back;
    const struct image *list[6];

    CHECK(!image_crop(src, 1, 0, 37, 23) && !image_crop(src, 0, 0, 0, 1));
    CHECK(!image_crop(src, -1, 0, 1, 1) && !image_crop(src, 0, 23, 1, 1));
    CHECK(strstr(tain_error(), "a part of 1 x 1 at 0, 23 does not lie in one of 37 x 23"));
    CHECK(!image_resize(src, 0, 5, IMAGE_BICUBIC) && !image_resize(src, 20000, 5, IMAGE_BICUBIC));
    CHECK(!image_short_side(src, 16384, IMAGE_BICUBIC));
    for (int i = 0; i < 5; i++) {
        CHECK(parts[i] = image_crop(src, i * 3, i, 5, 4));
        list[i] = parts[i];
    }
    CHECK(grid = image_tile(list, 5, 3, 2, red));
    CHECK(grid->width == 3 * 7 + 2 && grid->height == 2 * 6 + 2);
    for (int i = 0; i < 5; i++) {
        back = image_crop(grid, 2 + i % 3 * 7, 2 + i / 3 * 6, 5, 4);
        same(back, image_crop(src, i * 3, i, 5, 4), "a tile");
    }
    CHECK(!memcmp(grid->rgb, red, 3) && !memcmp(&grid->rgb[(13 * 23 + 22) * 3], red, 3));
    CHECK(!memcmp(&grid->rgb[(9 * 23 + 18) * 3], red, 3)); /* where a sixth would be */
    image_free(grid);
    CHECK(grid = image_tile(list, 2, 100, 0, red));
    CHECK(grid->width == 10 && grid->height == 4);
    image_free(grid);
    list[5] = src;
    CHECK(!image_tile(list, 6, 3, 2, red));
    CHECK(strstr(tain_error(), "the first to be tiled is 5 x 4, number 6 is 37 x 23"));
    CHECK(!image_tile(list, 5, 1, 16000, red));
    CHECK(!image_tile(list, 0, 1, 0, red));
    for (int i = 0; i < 5; i++)
        image_free(parts[i]);
}

/* A plain image stays plain in every size: the weights add up to one. */
static void test_plain(void)
{
    for (int value = 0; value < 256; value += 51)
        for (int w = 1; w < 60; w += 7) {
            struct image *a = image_new(w, 61 - w), *b;

            CHECK(a);
            memset(a->rgb, value, (size_t)w * (size_t)(61 - w) * 3);
            for (int k = 0; k < 3; k++) {
                CHECK(b = image_resize(a, 31, 3 * w, (enum image_filter)k));
                for (int i = 0; i < 31 * 3 * w * 3; i++)
                    CHECK_INT(b->rgb[i], value);
                image_free(b);
            }
            image_free(a);
        }
}

int main(void)
{
    struct st_file *f = st_open("tests/golden/preproc.safetensors");
    struct image *src;

    CHECK(f);
    src = golden(f, "src");
    test_pillow(f, src);
    test_models(f, src);
    test_framing(src);
    test_plain();
    image_free(src);
    st_close(f);
    return 0;
}

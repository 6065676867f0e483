/* Images: decoded like Pillow does, written and read back, refused when cut or damaged. */
#include "io/temp.h"

#include <zlib.h>

/* The largest difference of a byte. */
static int apart(const struct image *a, const struct image *b)
{
    int most = 0;

    CHECK(a && b && a->width == b->width && a->height == b->height);
    for (int i = 0; i < a->width * a->height * 3; i++)
        most = abs(a->rgb[i] - b->rgb[i]) > most ? abs(a->rgb[i] - b->rgb[i]) : most;
    return most;
}

/* PNG says what every pixel is. JPEG leaves the last bit open, and how colour that is stored at
 * half the size is to be enlarged. */
static void test_golden(void)
{
    static const struct {
        const char *name;
        int tolerance;
    } files[] = { { "rgb.png", 0 },      { "rgba.png", 0 },          { "grey.png", 0 },
                  { "one-bit.png", 0 },  { "palette.png", 0 },       { "interlaced-16.png", 0 },
                  { "baseline.jpg", 4 }, { "progressive.jpg", 4 },   { "whole.jpg", 4 },
                  { "grey.jpg", 1 } };
    char path[200];

    for (size_t i = 0; i < COUNT_OF(files); i++) {
        struct image *a, *b;

        snprintf(path, sizeof(path), "tests/golden/images/%s", files[i].name);
        a = image_read(path);
        strcat(path, ".ppm");
        b = image_read(path);
        if (apart(a, b) > files[i].tolerance) {
            fprintf(stderr, "%s: is apart from Pillow's by %d\n", path, apart(a, b));
            exit(1);
        }
        image_free(a);
        image_free(b);
    }
}

static struct image *picture(int w, int h)
{
    struct image *image = image_new(w, h);
    uint32_t random = 1;

    CHECK(image);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < 3; c++) {
                random = random * 1664525 + 1013904223;
                image->rgb[(y * w + x) * 3 + c] =
                    (uint8_t)(y < h / 2 ? x * (c + 1) + y : (int)(random >> 24));
            }
    return image;
}

static void test_round_trip(void)
{
    static const int sizes[][2] = { { 1, 1 }, { 2, 1 }, { 1, 3 }, { 37, 23 }, { 300, 211 } };

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct image *a = picture(sizes[i][0], sizes[i][1]), *b;
        uint8_t *one, *two;
        size_t n, m;

        CHECK_INT(image_encode_png(a, &one, &n), 0);
        CHECK_INT(image_encode_png(a, &two, &m), 0);
        CHECK(n == m && !memcmp(one, two, n));
        CHECK(b = image_decode("png", one, n));
        CHECK_INT(apart(a, b), 0);
        image_free(b);
        free(one);
        free(two);

        CHECK_INT(image_encode_ppm(a, &one, &n), 0);
        CHECK(b = image_decode("ppm", one, n));
        CHECK_INT(apart(a, b), 0);
        image_free(b);
        free(one);

        CHECK_INT(image_write(a, in_temp("a.png")), 0);
        CHECK(b = image_read(in_temp("a.png")));
        CHECK_INT(apart(a, b), 0);
        image_free(b);
        CHECK_INT(image_write(a, in_temp("a.ppm")), 0);
        CHECK_FAILS(image_write(a, in_temp("a.jpg")), TAIN_EINVAL, "written as .png or .ppm");
        image_free(a);
    }
    image_free(NULL);
}

static void refused(const void *bytes, size_t n, const char *sentence)
{
    uint8_t *exact = malloc(n ? n : 1);

    if (n)
        memcpy(exact, bytes, n);
    CHECK(!image_decode("t", exact, n));
    if (!strstr(tain_error(), sentence)) {
        fprintf(stderr, "%s, expected: %s\n", tain_error(), sentence);
        exit(1);
    }
    free(exact);
}

static void put_big(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* A PNG file of these dimensions, its pixels being whatever `packed` holds. */
static size_t make_png(uint8_t *to, uint32_t w, uint32_t h, const uint8_t *packed, size_t n)
{
    static const char start[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR________\x08\x02\0\0\0";
    uint8_t *p = to;
    const char *types[2] = { "IDAT", "IEND" };

    memcpy(p, start, 29);
    put_big(p + 16, w);
    put_big(p + 20, h);
    put_big(p + 29, (uint32_t)crc32(0, p + 12, 17));
    p += 33;
    for (int k = 0; k < 2; k++, n = 0) {
        put_big(p, (uint32_t)n);
        memcpy(p + 4, types[k], 4);
        if (n)
            memcpy(p + 8, packed, n);
        put_big(p + 8 + n, (uint32_t)crc32(0, p + 4, (uInt)n + 4));
        p += 12 + n;
    }
    return (size_t)(p - to);
}

static void test_refused(void)
{
    uLongf n = compressBound(64 << 20);
    uint8_t *zeros = calloc(64 << 20, 1), *packed = malloc(n), *png = malloc(n + 100);
    size_t m;

    CHECK(!image_new(0, 1) && !image_new(1, -1) && !image_new(16385, 1) && !image_new(16384, 4097));
    CHECK(strstr(tain_error(), "16384 x 4097 pixels"));
    refused("", 0, "neither PNG nor JPEG nor binary PPM");
    refused("GIF89a", 6, "neither PNG");
    refused("P3\n1 1\n255\n0 0 0\n", 17, "neither PNG");
    refused("P6", 2, "neither PNG");
    refused("P6 ", 3, "header of the PPM");
    refused("P6 1 1 255", 10, "header of the PPM");
    refused("P6 0 1 255\n", 11, "header of the PPM");
    refused("P6 # 1 1 255\n", 13, "header of the PPM");
    refused("P6 -1 1 255\n", 12, "header of the PPM");
    refused("P6 1 1 65535\n123456", 19, "whose largest value is 65535");
    refused("P6 1 1 255\n12", 13, "1 x 1 pixels need 3 bytes, the PPM file has 2");
    refused("P6 1 1 255\n1234", 15, "the PPM file has 4");
    refused("P6 99999999999 1 255\n", 21, "t: image: 9999999 x 1 pixels");
    refused("P6 16385 1 255\n", 15, "t: image: 16385 x 1 pixels");
    refused("P6 16384 16384 255\n", 19, "need 805306368 bytes");

    /* Little that unpacks to much: stopped by the budget of a 1 x 1 image. */
    CHECK_INT(compress2(packed, &n, zeros, 64 << 20, 9), Z_OK);
    CHECK(n < 100000);
    m = make_png(png, 1, 1, packed, n);
    refused(png, m, "unpacks to more memory than its 1 pixels");
    m = make_png(png, 5000, 4000, packed, n);
    image_free(image_decode("t", png, m)); /* that many pixels may */
    m = make_png(png, 16384, 16384, packed, n);
    refused(png, m, "16384 x 16384 pixels; a side has 1 to 16384");
    m = make_png(png, 1000000, 1, packed, n);
    refused(png, m, "1000000 x 1 pixels; a side");
    m = make_png(png, 0, 1, packed, n);
    refused(png, m, "0 x 1 pixels; a side");
    m = make_png(png, 1, 1, packed, 2);
    refused(png, m, "cannot be decoded: ");
    png[40] ^= 1;
    refused(png, m, "wrong checksum at byte");
    free(zeros);
    free(packed);
    free(png);
}

/* A JPEG file that would take long for its size. */
static void test_jpeg_effort(void)
{
    uint8_t *bytes, *more;
    size_t n, frame, scan;

    CHECK_INT(file_read("tests/golden/images/grey.jpg", 100000, &bytes, &n), 0);
    for (frame = 2; bytes[frame] != 0xff || bytes[frame + 1] != 0xc0; frame++)
        CHECK(frame + 10 < n);
    for (scan = frame; bytes[scan] != 0xff || bytes[scan + 1] != 0xda; scan++)
        CHECK(scan + 10 < n);
    CHECK(more = calloc(n, 101));
    memcpy(more, bytes, n - 2);
    for (size_t i = 0; i < 100; i++)
        memcpy(more + n - 2 + i * (n - 2 - scan), bytes + scan, n - 2 - scan);
    memcpy(more + n - 2 + 100 * (n - 2 - scan), "\xff\xd9", 2);
    refused(more, n + 100 * (n - 2 - scan), "and 101 scans, which is not credible");
    free(more);

    memcpy(bytes + frame + 5, "\x20\x00\x20\x00", 4);
    refused(bytes, n, "has 8192 x 8192 pixels in 461 bytes and 1 scans, which is not credible");
    free(bytes);
}

/* Every file cut anywhere is refused; a changed byte gives an image or a refusal. */
static void test_damage(void)
{
    static const char *files[] = { "rgb.png", "palette.png", "interlaced-16.png", "baseline.jpg",
                                   "progressive.jpg", "whole.jpg", "grey.jpg.ppm" };
    char path[200];

    for (size_t i = 0; i < COUNT_OF(files); i++) {
        uint8_t *bytes;
        uint32_t random = 7;
        size_t n;

        snprintf(path, sizeof(path), "tests/golden/images/%s", files[i]);
        CHECK_INT(file_read(path, 100000, &bytes, &n), 0);
        for (size_t cut = 0; cut < n; cut++)
            refused(bytes, cut, "");
        for (size_t at = 0; at < n; at++) {
            uint8_t was = bytes[at];

            random = random * 1664525 + 1013904223;
            bytes[at] ^= (uint8_t)(random >> 24 | 1);
            image_free(image_decode("t", bytes, n));
            bytes[at] = was;
        }
        free(bytes);
    }
}

int main(void)
{
    test_golden();
    test_round_trip();
    test_refused();
    test_jpeg_effort();
    test_damage();
    temp_remove(temp);
    return 0;
}

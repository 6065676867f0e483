/* image.c - images from and to files.
 *
 * stb_image decodes PNG and JPEG, and nothing else of it is compiled. It trusts its input in two
 * ways that are made good here. It ignores a PNG's checksums and fills up a JPEG that is cut short,
 * so both are walked through first. It allocates what the file tells it to, so it gets a budget;
 * and all it holds is freed when it returns, be it through a failed assertion of its own.
 */
#include "io/io.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { JPEG_SCANS = 100 };

/* ---- What stb_image may do ---- */

struct block {
    struct block *before, *after;
    size_t size;
    max_align_t bytes[];
};

static _Thread_local struct {
    struct block *blocks;
    size_t left;
    bool short_of_memory;
    jmp_buf out;
} budget;

static void *budget_alloc(size_t size)
{
    struct block *b = NULL;

    if (size <= budget.left)
        b = calloc(1, sizeof(*b) + size); /* it also reads what it has not written */
    if (!b) {
        budget.short_of_memory = true;
        return NULL;
    }
    b->size = size;
    b->before = NULL;
    b->after = budget.blocks;
    if (b->after)
        b->after->before = b;
    budget.blocks = b;
    budget.left -= size;
    return b->bytes;
}

static void budget_free(void *p)
{
    struct block *b = p ? (struct block *)((char *)p - offsetof(struct block, bytes)) : NULL;

    if (!b)
        return;
    if (b->before)
        b->before->after = b->after;
    else
        budget.blocks = b->after;
    if (b->after)
        b->after->before = b->before;
    budget.left += b->size;
    free(b);
}

static void *budget_realloc(void *p, size_t old, size_t size)
{
    void *fresh = budget_alloc(size);

    if (fresh && p) {
        memcpy(fresh, p, old < size ? old : size);
        budget_free(p);
    }
    return fresh;
}

#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_MAX_DIMENSIONS             IMAGE_SIDE
#define STBI_MALLOC(size)               budget_alloc(size)
#define STBI_REALLOC_SIZED(p, old, new) budget_realloc(p, old, new)
#define STBI_FREE(p)                    budget_free(p)
#define STBI_ASSERT(x)                  ((x) ? (void)0 : longjmp(budget.out, 1))
#include <stb/stb_image.h> /* found as a system header: its warnings are not ours */

/* ---- Images ---- */

struct image *image_new(int width, int height)
{
    struct image *image;

    REQUIRE_OR_NULL(width > 0 && height > 0 && width <= IMAGE_SIDE && height <= IMAGE_SIDE &&
                        (int64_t)width * height <= IMAGE_PIXELS,
                    "image: %d x %d pixels; a side has 1 to %d, and the limit for all is %d",
                    width, height, IMAGE_SIDE, IMAGE_PIXELS);
    if ((image = base_alloc(1, sizeof(*image) + (size_t)width * (size_t)height * 3))) {
        image->width = width;
        image->height = height;
    }
    return image;
}

void image_free(struct image *image)
{
    free(image);
}

/* ---- Decoding ---- */

static uint32_t big32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static const uint8_t png_signature[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };

static int check_png(const char *what, const uint8_t *p, size_t n, uint32_t *w, uint32_t *h)
{
    if (n >= 24) {
        *w = big32(p + 16);
        *h = big32(p + 20);
    }
    for (size_t at = 8; at + 12 <= n;) {
        size_t length = big32(p + at);

        if (length > n - at - 12)
            break;
        if (crc32(0, p + at + 4, (uInt)length + 4) != big32(p + at + 8 + length))
            return fail(TAIN_EFORMAT, "%s: the PNG file has a wrong checksum at byte %zu", what,
                        at + 8 + length);
        if (!memcmp(p + at + 4, "IEND", 4))
            return TAIN_OK;
        at += 12 + length;
    }
    return fail(TAIN_EFORMAT, "%s: the PNG file is cut off", what);
}

/* Huffman tables of more than 256 values, which stb_image would write beyond their end. */
static bool good_tables(const uint8_t *p, size_t n)
{
    for (size_t sum; n; p += 17 + sum, n -= 17 + sum) {
        if (n < 17)
            return false;
        sum = 0;
        for (int i = 1; i <= 16; i++)
            sum += p[i];
        if (sum > 256 || n < 17 + sum)
            return false;
    }
    return true;
}

/* Goes from marker to marker until the one that ends the image. In the coded data between them a
 * byte of 255 is followed by 0 or by a restart marker.
 *
 * A block of 64 pixels takes a bit at least, and each scan goes over all of them: a small file that
 * would keep the decoder busy for long is refused. */
static int check_jpeg(const char *what, const uint8_t *p, size_t n, uint32_t *w, uint32_t *h)
{
    int scans = 0;

    for (size_t at = 2, length; at < n; at += length) {
        int marker;

        while (at < n && p[at] != 0xff)
            at++;
        while (at < n && p[at] == 0xff)
            at++;
        if (at >= n)
            break;
        marker = p[at++];
        if (marker == 0xd9) {
            if ((uint64_t)*w * *h / 512 > n || scans > JPEG_SCANS)
                return fail(TAIN_EFORMAT,
                            "%s: the JPEG file has %u x %u pixels in %zu bytes and %d scans, which is "
                            "not credible", what, *w, *h, n, scans);
            return TAIN_OK;
        }
        scans += marker == 0xda;
        length = 0;
        if (marker < 2 || (marker >= 0xd0 && marker <= 0xd7))
            continue;
        if (n - at < 2 || (length = (size_t)p[at] << 8 | p[at + 1]) < 2 || n - at < length)
            break;
        if (marker == 0xc4 && !good_tables(p + at + 2, length - 2))
            return fail(TAIN_EFORMAT, "%s: the JPEG file has wrong tables at byte %zu", what, at);
        if (marker >= 0xc0 && marker <= 0xc2 && length >= 7 && !*w) {
            *h = (uint32_t)p[at + 3] << 8 | p[at + 4];
            *w = (uint32_t)p[at + 5] << 8 | p[at + 6];
        }
    }
    return fail(TAIN_EFORMAT, "%s: the JPEG file is cut off", what);
}

/* Never inlined: its caller's variables are none that a longjmp could lose. */
__attribute__((noinline))
static stbi_uc *load(const uint8_t *p, size_t n, int *w, int *h, const char **why)
{
    stbi_uc *rgb;
    int parts;

    *why = "it contradicts itself";
    if (setjmp(budget.out))
        return NULL;
    rgb = stbi_load_from_memory(p, (int)n, w, h, &parts, 3);
    *why = stbi_failure_reason();
    return rgb;
}

/* Has stb_image unpack a checked file of this many pixels. */
static struct image *unpack(const char *what, const uint8_t *p, size_t n, size_t pixels)
{
    struct image *image = NULL;
    const char *why;
    stbi_uc *rgb;
    int w, h;

    /* 16 bits and four channels as read, unpacked and converted, while a buffer is doubled. */
    budget.left = (1 << 20) + pixels * 48 + 2 * n;
    budget.blocks = NULL;
    budget.short_of_memory = false;
    rgb = load(p, n, &w, &h, &why);
    if (rgb && (image = image_new(w, h)))
        memcpy(image->rgb, rgb, (size_t)w * (size_t)h * 3);
    else if (!rgb && budget.short_of_memory)
        fail(TAIN_ENOMEM, "%s: unpacks to more memory than its %zu pixels take, or than there is",
             what, pixels);
    else if (!rgb)
        fail(TAIN_EFORMAT, "%s: cannot be decoded: %s", what, why);
    while (budget.blocks)
        budget_free(budget.blocks->bytes);
    return image;
}

static struct image *decode_stb(const char *what, const uint8_t *p, size_t n, bool png)
{
    uint32_t w = 0, h = 0;

    if (png ? check_png(what, p, n, &w, &h) : check_jpeg(what, p, n, &w, &h))
        return NULL;
    if (!w || !h || w > IMAGE_SIDE || h > IMAGE_SIDE || (uint64_t)w * h > IMAGE_PIXELS) {
        fail(TAIN_EFORMAT, "%s: %u x %u pixels; a side has 1 to %d, and the limit for all is %d",
             what, w, h, IMAGE_SIDE, IMAGE_PIXELS);
        return NULL;
    }
    return unpack(what, p, n, (size_t)w * h);
}

static bool blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next number of a PPM header, or -1. Comments reach from # to the end of the line. */
static int ppm_number(const uint8_t *p, size_t n, size_t *at)
{
    int v = -1;

    while (*at < n && (blank(p[*at]) || p[*at] == '#'))
        if (p[(*at)++] == '#')
            while (*at < n && p[*at] != '\n')
                ++*at;
    for (; *at < n && p[*at] >= '0' && p[*at] <= '9'; ++*at)
        if (v < 1000000) /* more than any limit */
            v = (v < 0 ? 0 : 10 * v) + p[*at] - '0';
    return v;
}

static struct image *decode_ppm(const char *what, const uint8_t *p, size_t n)
{
    size_t at = 2;
    int w = ppm_number(p, n, &at), h = ppm_number(p, n, &at), most = ppm_number(p, n, &at);
    struct image *image;

    if (w <= 0 || h <= 0 || most <= 0 || at >= n || !blank(p[at])) {
        fail(TAIN_EFORMAT, "%s: the header of the PPM file is wrong", what);
        return NULL;
    }
    if (most != 255) {
        fail(TAIN_EUNSUPPORTED, "%s: a PPM file whose largest value is %d, not 255", what, most);
        return NULL;
    }
    at++;
    if (w <= IMAGE_SIDE && h <= IMAGE_SIDE && n - at != (size_t)w * (size_t)h * 3) {
        fail(TAIN_EFORMAT, "%s: %d x %d pixels need %lld bytes, the PPM file has %zu", what, w, h,
             (long long)w * h * 3, n - at);
        return NULL;
    }
    if (!(image = image_new(w, h))) {
        fail_in("%s", what);
        return NULL;
    }
    memcpy(image->rgb, p + at, n - at);
    return image;
}

struct image *image_decode(const char *what, const void *bytes, size_t count)
{
    const uint8_t *p = bytes;

    if (count > IMAGE_BYTES)
        fail(TAIN_EFORMAT, "%s: has %zu bytes, the limit is %d", what, count, IMAGE_BYTES);
    else if (count >= 8 && !memcmp(p, png_signature, 8))
        return decode_stb(what, p, count, true);
    else if (count >= 3 && p[0] == 0xff && p[1] == 0xd8 && p[2] == 0xff)
        return decode_stb(what, p, count, false);
    else if (count >= 3 && p[0] == 'P' && p[1] == '6')
        return decode_ppm(what, p, count);
    else
        fail(TAIN_EFORMAT, "%s: is neither PNG nor JPEG nor binary PPM", what);
    return NULL;
}

struct image *image_read(const char *path)
{
    struct image *image;
    uint8_t *bytes;
    size_t n;

    if (file_read(path, IMAGE_BYTES, &bytes, &n))
        return NULL;
    image = image_decode(path, bytes, n);
    free(bytes);
    return image;
}

/* ---- Encoding ---- */

static int paeth(int left, int above, int corner)
{
    int p = left + above - corner, a = abs(p - left), b = abs(p - above), c = abs(p - corner);

    return a <= b && a <= c ? left : b <= c ? above : corner;
}

/* Writes a row as differences of one of the five kinds, and returns how far they are from zero. */
static int64_t filter_row(int kind, const uint8_t *row, const uint8_t *above, size_t n, uint8_t *to)
{
    int64_t sum = 0;

    *to++ = (uint8_t)kind;
    for (size_t i = 0; i < n; i++) {
        int left = i < 3 ? 0 : row[i - 3], up = above ? above[i] : 0;
        int corner = i < 3 || !above ? 0 : above[i - 3];
        int guess = kind == 0   ? 0
                    : kind == 1 ? left
                    : kind == 2 ? up
                    : kind == 3 ? (left + up) / 2
                                : paeth(left, up, corner);

        to[i] = (uint8_t)(row[i] - guess);
        sum += abs((int8_t)to[i]);
    }
    return sum;
}

/* All rows, each with the filter that leaves least. */
static uint8_t *filter_rows(const struct image *image, size_t *count)
{
    size_t n = (size_t)image->width * 3, line = n + 1;
    uint8_t *all = base_alloc((size_t)image->height + 1, line); /* and one to try in */
    uint8_t *attempt = all ? all + (size_t)image->height * line : NULL;

    for (int y = 0; all && y < image->height; y++) {
        const uint8_t *row = image->rgb + (size_t)y * n, *above = y ? row - n : NULL;
        int64_t least = INT64_MAX;

        for (int kind = 0; kind < 5; kind++) {
            int64_t sum = filter_row(kind, row, above, n, attempt);

            if (sum < least) {
                least = sum;
                memcpy(all + (size_t)y * line, attempt, line);
            }
        }
    }
    *count = (size_t)image->height * line;
    return all;
}

static uint8_t *put_big32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        *to++ = (uint8_t)(v >> (24 - 8 * i));
    return to;
}

static uint8_t *put_chunk(uint8_t *to, const char *type, const uint8_t *data, size_t n)
{
    uint8_t *start = to + 4;

    to = put_big32(to, (uint32_t)n);
    memcpy(to, type, 4);
    if (n && data != to + 4) /* the pixels are already there */
        memcpy(to + 4, data, n);
    return put_big32(to + 4 + n, (uint32_t)crc32(0, start, (uInt)n + 4));
}

int image_encode_png(const struct image *image, uint8_t **bytes, size_t *count)
{
    enum { BEFORE = 8 + 25 + 8, AFTER = 4 + 12 }; /* signature, header; checksum, end */
    uint8_t head[13] = { [8] = 8, [9] = 2 };      /* 8 bits a channel, RGB */
    size_t raw_count;
    uint8_t *raw = filter_rows(image, &raw_count), *png = NULL, *to;
    uLongf packed = raw ? compressBound(raw_count) : 0;
    int z;

    if (!raw || !(png = base_alloc(packed + BEFORE + AFTER, 1))) {
        free(raw);
        return TAIN_ENOMEM;
    }
    z = compress2(png + BEFORE, &packed, raw, raw_count, 6);
    free(raw);
    if (z != Z_OK) {
        free(png);
        return fail(TAIN_ENOMEM, "image: out of host memory while a PNG file was packed");
    }
    put_big32(put_big32(head, (uint32_t)image->width), (uint32_t)image->height);
    memcpy(png, png_signature, 8);
    to = put_chunk(png + 8, "IHDR", head, sizeof(head));
    to = put_chunk(to, "IDAT", png + BEFORE, packed);
    to = put_chunk(to, "IEND", NULL, 0);
    *bytes = png;
    *count = (size_t)(to - png);
    return TAIN_OK;
}

int image_encode_ppm(const struct image *image, uint8_t **bytes, size_t *count)
{
    size_t n = (size_t)image->width * (size_t)image->height * 3;
    char head[40];
    size_t m;
    uint8_t *p;

    m = (size_t)snprintf(head, sizeof(head), "P6\n%d %d\n255\n", image->width, image->height);
    if (!(p = base_alloc(m + n, 1)))
        return TAIN_ENOMEM;
    memcpy(p, head, m);
    memcpy(p + m, image->rgb, n);
    *bytes = p;
    *count = m + n;
    return TAIN_OK;
}

int image_write(const struct image *image, const char *path)
{
    size_t length = strlen(path), n;
    const char *end = length > 4 ? path + length - 4 : "";
    uint8_t *bytes;
    int status;

    if (!strcmp(end, ".png"))
        status = image_encode_png(image, &bytes, &n);
    else if (!strcmp(end, ".ppm"))
        status = image_encode_ppm(image, &bytes, &n);
    else
        status = fail(TAIN_EINVAL, "%s: images are written as .png or .ppm", path);
    if (status)
        return status;
    status = file_write(path, bytes, n);
    free(bytes);
    return status;
}

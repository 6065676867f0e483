/* utf8.c - reading and writing UTF-8, strictly: no overlong forms, no surrogates. */
#include "io/utf8.h"

#include <string.h>

/* The bounds of the second byte, from table 3-7 of the Unicode standard; the number of bytes, or 0
 * if no character begins with `first`. */
static size_t form(unsigned char first, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    if (first < 0xe0)
        return 2;
    if (first == 0xe0)
        *low = 0xa0;
    if (first == 0xed)
        *high = 0x9f;
    if (first < 0xf0)
        return 3;
    if (first == 0xf0)
        *low = 0x90;
    if (first == 0xf4)
        *high = 0x8f;
    return 4;
}

/* How many of the bytes at `p` could begin a character; *whole says whether they are one. */
static size_t prefix(const char *p, size_t n, bool *whole)
{
    const unsigned char *b = (const unsigned char *)p;
    unsigned char low, high;
    size_t need, i;

    *whole = false;
    if (!n)
        return 0;
    need = form(b[0], &low, &high);
    if (need < 2) {
        *whole = need == 1;
        return 1;
    }
    for (i = 1; i < need && i < n; i++) {
        if (b[i] < low || b[i] > high)
            return i;
        low = 0x80;
        high = 0xbf;
    }
    *whole = i == need;
    return i;
}

size_t utf8_read(const char *p, size_t n, uint32_t *code)
{
    const unsigned char *b = (const unsigned char *)p;
    bool whole;
    size_t length = prefix(p, n, &whole);

    if (!whole)
        return 0;
    switch (length) {
    case 1: *code = b[0]; break;
    case 2: *code = (b[0] & 0x1fu) << 6 | (b[1] & 0x3fu); break;
    case 3: *code = (b[0] & 0x0fu) << 12 | (b[1] & 0x3fu) << 6 | (b[2] & 0x3fu); break;
    default:
        *code = (b[0] & 0x07u) << 18 | (b[1] & 0x3fu) << 12 | (b[2] & 0x3fu) << 6 | (b[3] & 0x3fu);
    }
    return length;
}

size_t utf8_write(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

bool utf8_check(const char *p, size_t n, size_t *bad)
{
    uint32_t code;
    size_t i, step;

    for (i = 0; i < n; i += step) {
        step = utf8_read(p + i, n - i, &code);
        if (!step) {
            *bad = i;
            return false;
        }
    }
    return true;
}

bool utf8_space(uint32_t c)
{
    return (c >= 0x9 && c <= 0xd) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

static bool strippable(uint32_t c)
{
    return utf8_space(c) || (c >= 0x1c && c <= 0x1f);
}

void utf8_strip(const char **text, size_t *length)
{
    const char *p = *text;
    size_t n = *length, step;
    uint32_t code;

    while ((step = utf8_read(p, n, &code)) && strippable(code)) {
        p += step;
        n -= step;
    }
    while (n) {
        step = 1;
        while (step < n && step < 4 && ((unsigned char)p[n - step] & 0xc0) == 0x80)
            step++;
        if (utf8_read(p + n - step, step, &code) != step || !strippable(code))
            break;
        n -= step;
    }
    *text = p;
    *length = n;
}

char *utf8_repaired(const char *p, size_t n, enum utf8_repair repair, size_t *length)
{
    size_t at = 0, i, step;
    bool whole;
    char *out;

    if (n > SIZE_MAX / 3 - 1) {
        fail(TAIN_ENOMEM, "utf8: %zu bytes are too many", n);
        return NULL;
    }
    out = base_alloc(3 * n + 1, 1); /* the worst: every byte becomes U+FFFD */
    if (!out)
        return NULL;
    for (i = 0; i < n; i += step) {
        step = prefix(p + i, n - i, &whole);
        if (whole) {
            memcpy(out + at, p + i, step);
            at += step;
        } else {
            at += utf8_write(0xfffd, out + at);
            if (repair == UTF8_BYTES)
                step = 1;
        }
    }
    *length = at;
    return out;
}

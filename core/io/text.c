/* text.c - texts that grow, and values written as JSON. */
#include "io/io.h"
#include "io/utf8.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Growing ---- */

static char *room_for(struct text *t, size_t count)
{
    size_t need = t->count + count + 1, room = t->room ? t->room : 64;

    if (t->failed)
        return NULL;
    if (need > t->room) {
        char *grown;

        while (room < need)
            room *= 2;
        if (!(grown = base_grow(t->at, t->room, room, 1))) {
            t->failed = true;
            return NULL;
        }
        t->at = grown;
        t->room = room;
    }
    return t->at + t->count;
}

void text_put(struct text *t, const void *bytes, size_t count)
{
    char *p = room_for(t, count);

    if (!p)
        return;
    if (count)
        memcpy(p, bytes, count);
    p[count] = 0;
    t->count += count;
}

void text_format(struct text *t, const char *format, ...)
{
    va_list args;
    char *p;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || !(p = room_for(t, (size_t)n)))
        return;
    va_start(args, format);
    vsnprintf(p, (size_t)n + 1, format, args);
    va_end(args);
    t->count += (size_t)n;
}

/* ---- As JSON ---- */

void text_json_string(struct text *t, const void *bytes, size_t count)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    const char *p = bytes;

    text_put(t, "\"", 1);
    for (size_t i = 0, n; i < count; i += n) {
        const char *special;
        uint32_t code;

        n = utf8_read(p + i, count - i, &code);
        if (!n) {
            text_put(t, "\xef\xbf\xbd", 3);
            n = 1;
        } else if (p[i] && (special = strchr(plain, p[i]))) {
            text_format(t, "\\%c", letter[special - plain]);
        } else if ((uint8_t)p[i] < 0x20 || p[i] == 0x7f) {
            text_format(t, "\\u%04x", (unsigned)p[i]);
        } else {
            text_put(t, p + i, n);
        }
    }
    text_put(t, "\"", 1);
}

void text_json_number(struct text *t, double value)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), old; /* a script may have set another */
    char digits[40];

    if (!isfinite(value)) {
        text_put(t, "null", 4);
        return;
    }
    old = uselocale(c);
    for (int n = 15; n <= 17; n++) {
        snprintf(digits, sizeof(digits), "%.*g", n, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    uselocale(old);
    freelocale(c);
    text_put(t, digits, strlen(digits));
}

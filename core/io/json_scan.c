/* json_scan.c - JSON, read piece by piece and strictly.
 *
 * This one reader serves everything, from config.json to the 100 MB that a safetensors header may
 * have, since two readers that disagree about one text are a way in. Strings are counted, because
 * tokenizers hold U+0000, and integers stay exact to 64 bits. It does not recurse.
 */
#include "io/io.h"
#include "io/utf8.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What may come next. */
enum { VALUE, FIRST, KEY, AFTER, DONE };

static int bad(struct json_scan *s, size_t place, const char *sentence)
{
    return fail(TAIN_EFORMAT, "%s: not valid JSON at byte %zu: %s", s->what, place, sentence);
}

static void skip_space(struct json_scan *s)
{
    const uint8_t *p = s->text;

    while (s->at < s->count &&
           (p[s->at] == ' ' || p[s->at] == '\n' || p[s->at] == '\r' || p[s->at] == '\t'))
        s->at++;
}

static int peek(const struct json_scan *s)
{
    return s->at < s->count ? ((const uint8_t *)s->text)[s->at] : -1;
}

static int hold(struct json_scan *s, size_t count)
{
    if (count > s->room) {
        size_t room = count > 2 * s->room ? count : 2 * s->room;
        char *grown = base_grow(s->string, s->room, room, 1);

        if (!grown)
            return TAIN_ENOMEM;
        s->string = grown;
        s->room = room;
    }
    return TAIN_OK;
}

/* Four hexadecimal digits at `p`, or -1. */
static int hex4(const char *p, size_t count)
{
    int v = 0;

    if (count < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;

        if (d < 0)
            return -1;
        v = 16 * v + d;
    }
    return v;
}

/* Decodes the string whose opening quote is the next byte. No escape is shorter than what it stands
 * for, so the decoded text fits where the raw one would. */
static int read_string(struct json_scan *s)
{
    const char *p = s->text;
    size_t i = s->at + 1, end = i;
    char *to;

    while (end < s->count && p[end] != '"')
        end += p[end] == '\\' ? 2 : 1;
    if (end >= s->count)
        return bad(s, s->at, "a string without an end");
    if (hold(s, end - i + 1))
        return TAIN_ENOMEM;
    to = s->string;
    while (i < end) {
        if (p[i] == '\\') {
            static const char letter[] = "\"\\/bfnrt", plain[] = "\"\\/\b\f\n\r\t";
            const char *known = strchr(letter, p[i + 1]);
            int high, low;

            if (known && *known) {
                *to++ = plain[known - letter];
                i += 2;
                continue;
            }
            if (p[i + 1] != 'u' || (high = hex4(p + i + 2, end - i - 2)) < 0)
                return bad(s, i, "an escape that does not exist");
            if (high >= 0xd800 && high < 0xe000) {
                if (high >= 0xdc00 || end - i < 12 || p[i + 6] != '\\' || p[i + 7] != 'u' ||
                    (low = hex4(p + i + 8, end - i - 8)) < 0xdc00 || low >= 0xe000)
                    return bad(s, i, "half of a surrogate pair");
                to += utf8_write(0x10000 + ((uint32_t)(high - 0xd800) << 10) +
                                     (uint32_t)(low - 0xdc00), to);
                i += 12;
                continue;
            }
            to += utf8_write((uint32_t)high, to);
            i += 6;
        } else {
            uint32_t code;
            size_t n = utf8_read(p + i, end - i, &code);

            if (!n)
                return bad(s, i, "bytes that are not UTF-8");
            if (code < 0x20)
                return bad(s, i, "a control character in a string");
            memcpy(to, p + i, n);
            to += n;
            i += n;
        }
    }
    *to = 0;
    s->length = (size_t)(to - s->string);
    s->at = end + 1;
    return TAIN_OK;
}

static size_t digits(const struct json_scan *s, size_t i)
{
    const uint8_t *p = s->text;
    size_t n = 0;

    while (i + n < s->count && p[i + n] >= '0' && p[i + n] <= '9')
        n++;
    return n;
}

static int read_number(struct json_scan *s)
{
    const char *p = s->text;
    size_t i = s->at, n;
    bool negative = p[i] == '-';
    char copy[JSON_DIGITS + 1];
    locale_t c, old;

    i += negative;
    n = digits(s, i);
    if (!n || (n > 1 && p[i] == '0'))
        return bad(s, s->at, "a number that is not one");
    s->is_integer = true;
    s->integer = 0;
    for (size_t k = 0; k < n && s->is_integer; k++)
        if (__builtin_mul_overflow(s->integer, 10, &s->integer) ||
            __builtin_sub_overflow(s->integer, p[i + k] - '0', &s->integer))
            s->is_integer = false;
    if (s->is_integer && !negative && __builtin_sub_overflow(0, s->integer, &s->integer))
        s->is_integer = false;
    i += n;
    if (i < s->count && p[i] == '.') {
        s->is_integer = false;
        if (!(n = digits(s, ++i)))
            return bad(s, s->at, "a number that is not one");
        i += n;
    }
    if (i < s->count && (p[i] == 'e' || p[i] == 'E')) {
        s->is_integer = false;
        i++;
        if (i < s->count && (p[i] == '+' || p[i] == '-'))
            i++;
        if (!(n = digits(s, i)))
            return bad(s, s->at, "a number that is not one");
        i += n;
    }
    n = i - s->at;
    if (n > JSON_DIGITS)
        return bad(s, s->at, "a number with more characters than anyone needs");
    if (s->is_integer && s->integer) {
        s->number = (double)s->integer;
    } else {
        memcpy(copy, p + s->at, n);
        copy[n] = 0;
        c = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* a script may have set another */
        old = uselocale(c);
        s->number = strtod(copy, NULL);
        uselocale(old);
        freelocale(c);
        if (!isfinite(s->number))
            return bad(s, s->at, "a number too large for a double");
    }
    s->at = i;
    return TAIN_OK;
}

static int open_level(struct json_scan *s, bool object)
{
    if (s->depth == JSON_DEPTH)
        return bad(s, s->at, "more than 64 arrays and objects within each other");
    s->is_object &= ~((uint64_t)1 << s->depth);
    s->is_object |= (uint64_t)object << s->depth;
    s->depth++;
    s->at++;
    s->state = FIRST;
    return object ? JSON_OBJECT : JSON_ARRAY;
}

static int read_word(struct json_scan *s, const char *word, int event)
{
    size_t n = strlen(word);

    if (s->count - s->at < n || memcmp((const char *)s->text + s->at, word, n))
        return bad(s, s->at, "a word that is none of true, false and null");
    s->at += n;
    return event;
}

static int read_value(struct json_scan *s)
{
    int c = peek(s), status;

    s->state = s->depth ? AFTER : DONE;
    switch (c) {
    case -1:
        return bad(s, s->at, s->count ? "the text ends too early" : "there is no text");
    case '{':
    case '[':
        return open_level(s, c == '{');
    case '"':
        status = read_string(s);
        return status ? status : JSON_STRING;
    case 't':
    case 'f':
        s->truth = c == 't';
        return read_word(s, s->truth ? "true" : "false", JSON_BOOL);
    case 'n':
        return read_word(s, "null", JSON_NULL);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        status = read_number(s);
        return status ? status : JSON_NUMBER;
    }
    return bad(s, s->at, "a value was expected");
}

static int read_key(struct json_scan *s)
{
    int status;

    if (peek(s) != '"')
        return bad(s, s->at, "a key in quotes was expected");
    if ((status = read_string(s)))
        return status;
    skip_space(s);
    if (peek(s) != ':')
        return bad(s, s->at, "the colon after a key is missing");
    s->at++;
    s->state = VALUE;
    return JSON_KEY;
}

int json_next_event(struct json_scan *s)
{
    bool object = s->depth && s->is_object >> (s->depth - 1) & 1;

    skip_space(s);
    s->start = s->at;
    if (s->state == DONE)
        return s->at == s->count ? JSON_END : bad(s, s->at, "more text after the value");
    if (s->state == FIRST || s->state == AFTER) {
        if (peek(s) == (object ? '}' : ']')) {
            s->at++;
            s->depth--;
            s->state = s->depth ? AFTER : DONE;
            return JSON_CLOSE;
        }
        if (s->state == AFTER) {
            if (peek(s) != ',')
                return bad(s, s->at, object ? "no comma or } here" : "no comma or ] here");
            s->at++;
            skip_space(s);
            s->start = s->at;
        }
        s->state = object ? KEY : VALUE;
    }
    return s->state == KEY ? read_key(s) : read_value(s);
}

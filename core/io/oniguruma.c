/* oniguruma.c - regular expressions of tokenizer.json, written for Oniguruma, in PCRE2's terms.
 *
 * The two differ in little that tokenizers use: \s is the property White_Space in Oniguruma, and
 * something else in PCRE2 with UCP as without; code points are written differently; Ruby's
 * intervals cannot be possessive; and Oniguruma has sets within sets. Everything that this file
 * does not know is refused: a tokenizer that is nearly right is worse than none.
 */
#include "io/oniguruma.h"

#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#define SPACES                                                                                     \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"    \
    "\\x{205f}\\x{3000}"
#define NO_SPACES                                                                                  \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}"                   \
    "\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}"                 \
    "\\x{2060}-\\x{2fff}\\x{3001}-\\x{d7ff}\\x{e000}-\\x{10ffff}"

struct translation {
    const char *p;   /* the rest of the pattern */
    char *out;
    size_t at, room;
    bool in_set;
    bool fresh;      /* in a set: nothing stands in it yet */
    bool interval;   /* the item before is an interval, {2,3} */
};

static int put(struct translation *t, const char *text, size_t length)
{
    if (t->at + length + 1 > t->room) {
        size_t room = 2 * t->room + length + 64;
        char *out = base_grow(t->out, t->room, room, 1);

        if (!out)
            return TAIN_ENOMEM;
        t->out = out;
        t->room = room;
    }
    memcpy(t->out + t->at, text, length);
    t->at += length;
    t->out[t->at] = 0;
    return 0;
}

static int refuse(const struct translation *t, const char *what)
{
    return fail(TAIN_EUNSUPPORTED, "%s in the pattern at \"%.20s\"", what, t->p);
}

static bool hex_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* \uHHHH, \xHH or \x{H...}: the same character in PCRE2's form. */
static int code_point(struct translation *t)
{
    const char *digits = t->p + 2;
    size_t count = 0, most = t->p[1] == 'u' ? 4 : 2;
    bool braces = t->p[1] == 'x' && *digits == '{';
    char text[16] = "\\x{";
    int status;

    if (braces) {
        digits++;
        most = 6;
    }
    while (count < most && hex_digit(digits[count]))
        count++;
    if (!count || (t->p[1] == 'u' && count < 4) || (braces && digits[count] != '}'))
        return refuse(t, "a code point without its digits");
    if (t->p[1] == 'x' && !braces && strtoul((char[]){digits[0], count > 1 ? digits[1] : 0, 0},
                                             NULL, 16) > 0x7f)
        return refuse(t, "a byte that is no character");
    memcpy(text + 3, digits, count);
    memcpy(text + 3 + count, "}", 2);
    if ((status = put(t, text, 4 + count)))
        return status;
    t->p = digits + count + braces;
    return 0;
}

/* \p{Name}, \P{Name}, \p{^Name}: the same in both. */
static int property(struct translation *t)
{
    const char *end = t->p[2] == '{' ? strchr(t->p, '}') : NULL;
    int status;

    if (!end)
        return refuse(t, "a property without its name");
    for (const char *q = t->p + 3; q < end; q++) {
        bool letter = (*q >= 'a' && *q <= 'z') || (*q >= 'A' && *q <= 'Z');

        if (!letter && *q != '_' && !(*q == '^' && q == t->p + 3))
            return refuse(t, "an unknown property");
    }
    status = put(t, t->p, (size_t)(end + 1 - t->p));
    t->p = end + 1;
    return status;
}

static int escape(struct translation *t)
{
    const char *text = NULL;
    char c = t->p[1];
    int status;

    switch (c) {
    case 'u':
    case 'x': return code_point(t);
    case 'p':
    case 'P': return property(t);
    case 's': text = t->in_set ? SPACES : "[" SPACES "]"; break;
    case 'S': text = t->in_set ? NO_SPACES : "[^" SPACES "]"; break;
    case 'd': text = "\\p{Nd}"; break;
    case 'D': text = "\\P{Nd}"; break;
    case 'v': text = "\\x{b}"; break;
    case 't': text = "\\t"; break;
    case 'n': text = "\\n"; break;
    case 'r': text = "\\r"; break;
    case 'f': text = "\\f"; break;
    default:
        if (c > 0x20 && c < 0x7f && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') &&
            !(c >= 'A' && c <= 'Z')) {
            status = put(t, t->p, 2); /* punctuation stands for itself */
            t->p += 2;
            return status;
        }
        return refuse(t, "an escape that tain does not know");
    }
    t->p += 2;
    return put(t, text, strlen(text));
}

static int in_set(struct translation *t)
{
    char c = *t->p;
    int status;

    if (c == '[')
        return refuse(t, "a set within a set");
    if (c == '&' && t->p[1] == '&')
        return refuse(t, "an intersection of sets");
    if (c == ']' && t->fresh)
        return refuse(t, "an empty set");
    t->fresh = false;
    if (c == '\\')
        return escape(t);
    if (c == ']')
        t->in_set = false;
    status = put(t, t->p, 1);
    t->p++;
    return status;
}

/* Groups that both know: plain, (?:, (?i:, (?=, (?!, (?<=, (?<!, (?>. */
static bool known_group(const char *p)
{
    static const char *const known[] = {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};

    if (p[1] == '*')
        return false;
    if (p[1] != '?')
        return true;
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (!strncmp(p, known[i], strlen(known[i])))
            return true;
    }
    return false;
}

static int outside(struct translation *t)
{
    bool after_interval = t->interval;
    size_t length = 1;
    int status;

    t->interval = false;
    switch (*t->p) {
    case '\\': return escape(t);
    case '[':
        t->in_set = t->fresh = true;
        length = t->p[1] == '^' ? 2 : 1;
        break;
    case '(':
        if (!known_group(t->p))
            return refuse(t, "a kind of group that tain does not know");
        if (t->p[1] == '?') { /* whole, so that its ? is not read as a quantifier */
            length = 3;
            if (t->p[2] == 'i' || t->p[2] == '<')
                length = 4;
        }
        break;
    case '{': {
        size_t n = strspn(t->p + 1, "0123456789,");

        if (!n || t->p[1] == ',' || t->p[1 + n] != '}')
            return refuse(t, "a brace that is no interval");
        length = n + 2;
        t->interval = true;
        break;
    }
    case '+':
    case '?':
        if (after_interval)
            return refuse(t, "an interval with a quantifier behind it");
        break;
    }
    status = put(t, t->p, length);
    t->p += length;
    return status;
}

char *oniguruma_translate(const char *pattern)
{
    struct translation t = {.p = pattern};

    if (put(&t, "", 0))
        return NULL;
    while (*t.p) {
        if (t.in_set ? in_set(&t) : outside(&t)) {
            free(t.out);
            return NULL;
        }
    }
    return t.out;
}

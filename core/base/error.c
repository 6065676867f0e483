/* error.c - one sentence for a human, per thread. */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

static _Thread_local char sentence[1024];
static _Thread_local tain_status latest = TAIN_OK;

/* The bytes of the character there, or 0 if it is none that may be shown: not UTF-8, or a control
 * character, which a terminal would obey. */
static size_t shown(const unsigned char *c)
{
    size_t n = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : c[0] < 0xf5 ? 4 : 0;
    unsigned char least = c[0] == 0xc2 || c[0] == 0xe0 ? 0xa0 : c[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char most = c[0] == 0xed ? 0x9f : c[0] == 0xf4 ? 0x8f : 0xbf;

    if (n == 1)
        return c[0] >= 0x20 && c[0] != 0x7f;
    if (n && (c[1] < least || c[1] > most))
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* A sentence is one line, whatever a file's texts and names in it hold. */
static void one_line(char *text)
{
    for (size_t n; *text; text += n ? n : 1)
        if (!(n = shown((const unsigned char *)text)))
            *text = '?';
}

int fail(tain_status status, const char *format, ...)
{
    char text[sizeof(sentence)]; /* the arguments may point into the old sentence */
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    one_line(text);
    memcpy(sentence, text, sizeof(text));
    latest = status;
    return status;
}

int fail_in(const char *format, ...)
{
    char context[256], text[sizeof(sentence)];
    va_list args;

    va_start(args, format);
    vsnprintf(context, sizeof(context), format, args);
    va_end(args);
    snprintf(text, sizeof(text), "%s: %.*s", context, (int)(sizeof(text) - sizeof(context) - 3),
             sentence);
    one_line(text);
    memcpy(sentence, text, sizeof(text));
    return latest;
}

const char *tain_error(void)
{
    return sentence;
}

tain_status tain_error_status(void)
{
    return latest;
}

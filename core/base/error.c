/* error.c - one sentence for a human, per thread. */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

static _Thread_local char sentence[1024];
static _Thread_local tain_status latest = TAIN_OK;

int fail(tain_status status, const char *format, ...)
{
    char text[sizeof(sentence)]; /* the arguments may point into the old sentence */
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
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

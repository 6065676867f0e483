/* alloc.c - zeroed memory whose size cannot overflow. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *base_alloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1); /* calloc checks the product */

    if (!p)
        fail(TAIN_ENOMEM, "out of host memory: %zu times %zu bytes were refused", count, size);
    return p;
}

void *base_grow(void *old, size_t old_count, size_t new_count, size_t size)
{
    size_t bytes;
    char *p;

    if (!mul_ok(new_count, size, &bytes) || !(p = realloc(old, bytes ? bytes : 1))) {
        fail(TAIN_ENOMEM, "out of host memory: %zu times %zu bytes were refused", new_count, size);
        return NULL;
    }
    if (new_count > old_count)
        memset(p + old_count * size, 0, (new_count - old_count) * size);
    return p;
}

char *base_strdup(const char *text)
{
    size_t n = strlen(text) + 1;
    char *p = base_alloc(n, 1);

    if (p)
        memcpy(p, text, n);
    return p;
}

char *base_format(const char *format, ...)
{
    va_list args;
    char *p;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    p = n < 0 ? NULL : base_alloc((size_t)n + 1, 1);
    if (p) {
        va_start(args, format);
        vsnprintf(p, (size_t)n + 1, format, args);
        va_end(args);
    }
    return p;
}

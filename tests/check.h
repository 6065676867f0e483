/* check.h - what a test program needs: one program a file; 0 passed, 77 skipped, else failed. */
#ifndef TAIN_CHECK_H
#define TAIN_CHECK_H

#include "tain.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s does not hold (last error: %s)\n", __FILE__, __LINE__,      \
                    #cond, tain_error());                                                          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define CHECK_INT(a, b)                                                                            \
    do {                                                                                           \
        long long a_ = (a), b_ = (b);                                                              \
        if (a_ != b_) {                                                                            \
            fprintf(stderr, "%s:%d: %s is %lld, %s is %lld (last error: %s)\n", __FILE__,          \
                    __LINE__, #a, a_, #b, b_, tain_error());                                       \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define CHECK_STRING(a, b)                                                                         \
    do {                                                                                           \
        const char *a_ = (a), *b_ = (b);                                                           \
        if (strcmp(a_, b_)) {                                                                      \
            fprintf(stderr, "%s:%d: %s is \"%s\", %s is \"%s\"\n", __FILE__, __LINE__, #a, a_, #b, \
                    b_);                                                                           \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define CHECK_CLOSE(a, b, tolerance)                                                               \
    do {                                                                                           \
        double a_ = (a), b_ = (b), t_ = (tolerance);                                               \
        if (!(fabs(a_ - b_) <= t_)) {                                                              \
            fprintf(stderr, "%s:%d: %s is %.9g, %s is %.9g, apart by %.3g > %.3g\n", __FILE__,     \
                    __LINE__, #a, a_, #b, b_, fabs(a_ - b_), t_);                                  \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* The call fails, with this status, and its sentence holds this text. */
#define CHECK_FAILS(call, status, text)                                                            \
    do {                                                                                           \
        CHECK_INT((call), (status));                                                               \
        if (!strstr(tain_error(), (text))) {                                                       \
            fprintf(stderr, "%s:%d: the sentence \"%s\" lacks \"%s\"\n", __FILE__, __LINE__,       \
                    tain_error(), (text));                                                         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define SKIP(why)                                                                                  \
    do {                                                                                           \
        fprintf(stderr, "skipped: %s\n", (why));                                                   \
        exit(77);                                                                                  \
    } while (0)

#endif

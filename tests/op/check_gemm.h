/* check_gemm.h - what the tests of the kernels behind gemm() have in common. */
#ifndef TAIN_CHECK_GEMM_H
#define TAIN_CHECK_GEMM_H

#include "check.h"
#include "op/matmul.h"

#include <math.h>
#include <stdlib.h>

/* What a product does to its sums, but for GEMM_GATE. */
static inline double activated(double v, enum gemm_activation activation)
{
    switch (activation) {
    case GEMM_SILU: return v / (1 + exp(-v));
    case GEMM_GELU: return 0.5 * v * (1 + erf(v * M_SQRT1_2));
    case GEMM_GELU_TANH: return 0.5 * v * (1 + tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
    default: return v;
    }
}

/* A random number from -1 to 1. */
static inline float number(void)
{
    static uint64_t state = 1;

    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(state >> 40) * 0x1p-23f - 1;
}

/* Writes f as t, a new tensor, and f becomes what is stored. */
static inline tain_tensor *stored(tain_device *d, tain_type type, int64_t count, float *f)
{
    tain_tensor *t = tain_tensor_create(d, type, 1, &count);

    CHECK(t);
    CHECK_INT(tain_tensor_write(t, f, count), 0);
    CHECK_INT(tain_tensor_read(t, f, count), 0);
    return t;
}

/* Random numbers, as they are stored, in *keep. */
static inline tain_tensor *matrix(tain_device *d, tain_type type, int64_t count, float **keep)
{
    CHECK(*keep = malloc((size_t)count * sizeof(float)));
    for (int64_t i = 0; i < count; i++)
        (*keep)[i] = number();
    return stored(d, type, count, *keep);
}

/* What g gives, from `before`, where *kernel, of its device, is `tiles`; `count` numbers of c. */
static inline float *made(struct gemm *g, enum tiles *kernel, enum tiles tiles, const float *before, int64_t count)
{
    float *got = malloc((size_t)count * sizeof(float));

    CHECK(got);
    CHECK_INT(tain_tensor_write(g->c, before, count), 0);
    *kernel = tiles;
    CHECK_INT(gemm(g), 0);
    CHECK_INT(tain_tensor_read(g->c, got, count), 0);
    return got;
}

#endif

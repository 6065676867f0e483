/* matmul.h - the product underneath linear, matmul and convolution of one pixel. */
#ifndef TAIN_OP_MATMUL_H
#define TAIN_OP_MATMUL_H

#include "op/op.h"

/* GEMM_GATE makes c half as wide: silu of the product's left half times its right half. Only where gemm_gates(). */
enum gemm_activation { GEMM_NONE, GEMM_SILU, GEMM_GELU, GEMM_GELU_TANH, GEMM_GATE };

/* c[M,N] = activation(op(a)[M,K] * op(b)[K,N] + bias[N]) + add[M,N], `batch` times. Pitches and batch
 * strides are in elements. a, c, bias and add are f32; b may be f16 or bf16, or a
 * matrix in blocks (int8, int4) as it is, without a batch. */
struct gemm {
    tain_tensor *a, *b, *bias, *c; /* bias may be NULL */
    tain_tensor *add;              /* NULL, c itself, or another with c's pitch and batch stride */
    tain_tensor *norm;             /* NULL, or [K]: RMS norm of a's rows first. Only where gemm_norms(), without bias */
    float eps;                     /* of the norm, above 0 */
    tain_tensor *keep;             /* NULL, or the dense [M,N] before GEMM_GATE, to be written as well. Only where gemm_keeps() */
    bool ta;                       /* a is stored [K][M] */
    bool tb;                       /* b is stored [N][K] */
    enum gemm_activation activation;
    int64_t M, N, K, batch;
    int64_t a_pitch, b_pitch, c_pitch, a_batch, b_batch, c_batch;
};

int gemm(const struct gemm *g);
/* Whether x W^T can end with GEMM_GATE. */
bool gemm_gates(const tain_tensor *x, const tain_tensor *w);
bool gemm_keeps(const struct gemm *g);
/* Whether RMS norm(x) W^T is one product, and the faster for it. */
bool gemm_norms(const tain_tensor *x, const tain_tensor *w);

/* ---- Many rows on CPUs (matmul_panel.c) ---- */

bool gemm_by_panels(const struct gemm *g); /* where the device is set to: tain_device.tiles */
int gemm_panels(const struct gemm *g);

/* A tile's rows and its columns, the latter in vectors too: with what is read, the sums fill 16 registers, or the 32 of
 * AVX-512. */
struct gemm_tile {
    uint32_t rows, vectors, columns;
};

struct gemm_tile gemm_tile(const tain_device *d);

/* Matrices [K, N], stored so or transposed from number `at` of `from` on: `batch` times `heads`, all of a size. */
struct gemm_panels {
    tain_tensor *from;
    int64_t at;
    bool tb, gated; /* stored [N][K]; see shaders/panel.comp */
    tain_tensor *norm; /* NULL, or what row k is times */
    int64_t N, K, pitch, heads, head_stride, batch, batch_stride;
};

/* How many numbers the panels of one matrix are. */
int64_t gemm_panels_count(const tain_device *d, int64_t N, int64_t K);
/* Writes them, one matrix after the other, from number `at` of `to` on (shaders/panel.comp). There are at most 65,535. */
int gemm_lay_panels(const struct gemm_panels *s, tain_tensor *to, int64_t at);

/* ---- A few rows, rounded to 8 bits (gemv_dot.c) ---- */

enum { GEMV_DOT_MOST = 8 };

bool gemv_dot_makes(const struct gemm *g); /* where the device is set to, of a matrix in blocks */
int gemv_dot(const struct gemm *g);
/* x[M,K] in 8 bits, for a product with a matrix of type `with`: four numbers a word, then a float for each 32 of a
 * row. A new i32 tensor, or NULL. */
tain_tensor *gemm_quantise(tain_tensor *x, int64_t M, int64_t K, int64_t pitch, tain_type with);

/* ---- Gates (gate.c) ---- */

/* y[M,N/2] = silu(left half of z[M,N]) * right half; and the other way z = its gradient, with dy that of y. */
int gate_halves(tain_tensor *z, tain_tensor *y);
int gate_halves_back(tain_tensor *z, tain_tensor *dy);

/* ---- Linear layers (linear.c) ---- */

enum { LINEAR_ADAPTERS = 3 };

/* Low-rank adapters of a linear layer whose weight may be several side by side (q, k and v):
 * y[.., at : at + B's rows] += scale * (x A^T) B^T. */
struct linear_adapters {
    int count;
    tain_tensor *a[LINEAR_ADAPTERS], *b[LINEAR_ADAPTERS]; /* [rank, in], [out, rank] */
    int32_t at[LINEAR_ADAPTERS];
    float scale[LINEAR_ADAPTERS];
};

/* What a layer has beside x and its weight; anything may be left out. */
struct linear {
    tain_tensor *bias, *residual; /* the latter of the result's shape */
    tain_tensor *norm;            /* the weight of x's RMS norm, with eps: not for training, only where gemm_norms() */
    float eps;
    enum gemm_activation activation; /* in training GEMM_GATE alone; it has neither bias nor residual nor adapters */
    const struct linear_adapters *adapters;
};

/* norm(x) W^T + bias, what adapters add to it, the activation of that, and the residual. */
tain_tensor *op_linear(tain_tensor *x, tain_tensor *weight, const struct linear *more);

/* out[N] (=|+=) the sum over the rows of x[rows, N]. */
int gemm_column_sum(tain_tensor *x, int64_t rows, tain_tensor *out, bool add);

#endif

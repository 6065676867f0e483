/* op_table.c - the operations as plain loops in double precision, and the shapes they are tried on:
 * one that the fast kernels take and one that is awkward for them.
 *
 * A row for each operation, in the order of the header.
 */
#include "check/ops.h"
#include "op/attention.h"
#include "op/matmul.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RUN(name, call) static tain_tensor *name(tain_tensor *const *in, const double *with) { (void)in, (void)with; return call; }
#define WANT(name) static void name(const struct check_value *in, struct check_value *out, const double *with)

static void like(struct check_value *out, const struct check_value *in)
{
    check_shape(out, in->dims, in->shape);
}

static int64_t last(const struct check_value *v)
{
    return v->shape[v->dims - 1];
}

/* ---- Element by element ---- */

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double log_sigmoid(double x) { return x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x)); }
static double gelu(double x) { return 0.5 * x * (1 + erf(x / sqrt(2))); }
static double gelu_tanh(double x) { return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

#define UNARY(name, expression)                                                                    \
    RUN(run_##name, tain_##name(in[0]))                                                            \
    WANT(want_##name)                                                                              \
    {                                                                                              \
        like(out, &in[0]);                                                                         \
        for (int64_t i = 0; i < out->count; i++) {                                                 \
            double x = in[0].at[i];                                                                \
            out->at[i] = (expression);                                                             \
        }                                                                                          \
        (void)with;                                                                                \
    }

UNARY(neg, -x)
UNARY(exp, exp(x))
UNARY(log, log(x))
UNARY(sqrt, sqrt(x))
UNARY(rsqrt, 1 / sqrt(x))
UNARY(abs, fabs(x))
UNARY(square, x * x)
UNARY(tanh, tanh(x))
UNARY(sigmoid, sigmoid(x))
UNARY(logsigmoid, log_sigmoid(x))
UNARY(relu, fmax(x, 0))
UNARY(silu, x * sigmoid(x))
UNARY(gelu, gelu(x))
UNARY(gelu_tanh, gelu_tanh(x))
UNARY(quick_gelu, x * sigmoid(1.702 * x))
UNARY(softplus, -log_sigmoid(-x))
UNARY(sin, sin(x))
UNARY(cos, cos(x))
UNARY(reciprocal, 1 / x)

#define UNARY_BY(name, expression)                                                                 \
    RUN(run_##name, tain_##name(in[0], (float)with[0]))                                            \
    WANT(want_##name)                                                                              \
    {                                                                                              \
        like(out, &in[0]);                                                                         \
        for (int64_t i = 0; i < out->count; i++) {                                                 \
            double x = in[0].at[i], a = (float)with[0];                                            \
            out->at[i] = (expression);                                                             \
        }                                                                                          \
    }

UNARY_BY(scale, x * a)
UNARY_BY(shift, x + a)
UNARY_BY(maximum, fmax(x, a))
UNARY_BY(minimum, fmin(x, a))

/* Where element i of out lies in v, whose sizes of 1 repeat. */
static int64_t spread(const struct check_value *out, const struct check_value *v, int64_t i)
{
    int64_t at = 0, step = 1;

    for (int k = 1; k <= out->dims; k++) {
        int64_t size = out->shape[out->dims - k], own = k <= v->dims ? v->shape[v->dims - k] : 1;
        if (own > 1)
            at += i % size * step;
        step *= own;
        i /= size;
    }
    return at;
}

static void together(struct check_value *out, const struct check_value *in, int count)
{
    int64_t shape[TENSOR_DIMS];
    int dims = 0;

    for (int i = 0; i < count; i++)
        dims = in[i].dims > dims ? in[i].dims : dims;
    for (int k = 1; k <= dims; k++) {
        shape[dims - k] = 1;
        for (int i = 0; i < count; i++)
            if (k <= in[i].dims && in[i].shape[in[i].dims - k] > 1)
                shape[dims - k] = in[i].shape[in[i].dims - k];
    }
    check_shape(out, dims, shape);
}

#define BINARY(name, expression)                                                                   \
    RUN(run_##name, tain_##name(in[0], in[1]))                                                     \
    WANT(want_##name)                                                                              \
    {                                                                                              \
        together(out, in, 2);                                                                      \
        for (int64_t i = 0; i < out->count; i++) {                                                 \
            double a = in[0].at[spread(out, &in[0], i)], b = in[1].at[spread(out, &in[1], i)];     \
            out->at[i] = (expression);                                                             \
        }                                                                                          \
        (void)with;                                                                                \
    }

BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a * b)
BINARY(div, a / b)
BINARY(greatest, fmax(a, b))
BINARY(least, fmin(a, b))
BINARY(gt, a > b)
BINARY(ge, a >= b)
BINARY(lt, a < b)
BINARY(le, a <= b)
BINARY(eq, a == b)
BINARY(gate, a * sigmoid(a) * b)

static tain_tensor *run_where(tain_tensor *const *in, const double *with)
{
    tain_tensor *mask = tain_cast(in[0], TAIN_F32), *y = mask ? tain_where(mask, in[1], in[2]) : NULL;

    (void)with;
    tensor_unref(mask);
    return y;
}
WANT(want_where)
{
    together(out, in, 3);
    for (int64_t i = 0; i < out->count; i++)
        out->at[i] = in[0].at[spread(out, &in[0], i)] != 0 ? in[1].at[spread(out, &in[1], i)] : in[2].at[spread(out, &in[2], i)];
    (void)with;
}

RUN(run_swiglu, tain_swiglu(in[0]))
WANT(want_swiglu)
{
    int64_t shape[TENSOR_DIMS], n = last(&in[0]) / 2;

    memcpy(shape, in[0].shape, sizeof(shape));
    shape[in[0].dims - 1] = n;
    check_shape(out, in[0].dims, shape);
    for (int64_t i = 0; i < out->count; i++) {
        double g = in[0].at[i / n * 2 * n + i % n];
        out->at[i] = g * sigmoid(g) * in[0].at[i / n * 2 * n + n + i % n];
    }
    (void)with;
}

/* f32 to f16 and back: with numbers that f16 holds, nothing changes. */
static tain_tensor *run_cast(tain_tensor *const *in, const double *with)
{
    tain_tensor *narrow = tain_cast(in[0], (tain_type)with[0]), *back = narrow ? tain_cast(narrow, TAIN_F32) : NULL;

    tensor_unref(narrow);
    return back;
}
WANT(want_same)
{
    like(out, &in[0]);
    memcpy(out->at, in[0].at, (size_t)out->count * sizeof(double));
    (void)with;
}
static tain_tensor *run_ints(tain_tensor *const *in, const double *with)
{
    tain_tensor *floats = tain_cast(in[0], TAIN_F32), *halves, *back;

    (void)with;
    halves = floats ? tain_cast(floats, TAIN_F16) : NULL;
    back = halves ? tain_cast(halves, TAIN_F32) : NULL;
    tensor_unref(floats);
    tensor_unref(halves);
    return back;
}

/* ---- Products ---- */

RUN(run_matmul, tain_matmul(in[0], in[1]))
WANT(want_matmul)
{
    int64_t M = in[0].shape[in[0].dims - 2], K = last(&in[0]), N = last(&in[1]), shape[TENSOR_DIMS];

    memcpy(shape, in[0].shape, sizeof(shape));
    shape[in[0].dims - 1] = N;
    check_shape(out, in[0].dims, shape);
    for (int64_t i = 0; i < out->count; i++) {
        int64_t b = in[1].dims > 2 ? i / (M * N) : 0;
        for (int64_t k = 0; k < K; k++)
            out->at[i] += in[0].at[i / N * K + k] * in[1].at[(b * K + k) * N + i % N];
    }
    (void)with;
}

/* x as whole numbers. */
static tain_tensor *few_rows(tain_tensor *const *in)
{
    tain_tensor *x = tain_cast(in[0], TAIN_F32), *y = x ? tain_linear(x, in[1], in[2]) : NULL;

    tensor_unref(x);
    return y;
}

RUN(run_linear, tain_linear(in[0], in[1], in[2]))
RUN(run_few, few_rows(in))
WANT(want_linear)
{
    int64_t K = last(&in[0]), N = in[1].shape[0];

    check_shape(out, 2, (int64_t[]){ in[0].count / K, N });
    for (int64_t i = 0; i < out->count; i++) {
        out->at[i] = in[2].at[i % N];
        for (int64_t k = 0; k < K; k++)
            out->at[i] += in[0].at[i / N * K + k] * in[1].at[i % N * K + k];
    }
    (void)with;
}

/* x W^T, and in the last rows of W an adapter of scale 0.5. */
static tain_tensor *run_adapted(tain_tensor *const *in, const double *with)
{
    struct linear_adapters a = { 1, { in[2] }, { in[3] }, { (int32_t)(in[1]->shape[0] - in[3]->shape[0]) }, { 0.5f } };

    (void)with;
    return op_linear(in[0], in[1], &(struct linear){ .adapters = &a });
}
WANT(want_adapted)
{
    int64_t K = last(&in[0]), N = in[1].shape[0], rank = in[2].shape[0], own = in[3].shape[0];

    check_shape(out, 2, (int64_t[]){ in[0].shape[0], N });
    for (int64_t i = 0; i < out->count; i++) {
        const double *x = in[0].at + i / N * K;
        int64_t n = i % N, b = n - (N - own);
        for (int64_t k = 0; k < K; k++) {
            out->at[i] += x[k] * in[1].at[n * K + k];
            for (int64_t r = 0; r < rank && b >= 0; r++)
                out->at[i] += 0.5 * x[k] * in[2].at[r * K + k] * in[3].at[b * rank + r];
        }
    }
    (void)with;
}

/* What a layer begins with where nothing is trained: RMS norm, product and gate in one, if the device's kernel can. */
static tain_tensor *run_begin(tain_tensor *const *in, const double *with)
{
    bool norms = gemm_norms(in[0], in[1]), gates = gemm_gates(in[0], in[1]);
    tain_tensor *x = norms ? tensor_ref(in[0]) : tain_rms_norm(in[0], in[2], (float)with[0]), *y = NULL, *z = NULL;

    if (x)
        y = op_linear(x, in[1], &(struct linear){ .norm = norms ? in[2] : NULL, .eps = (float)with[0],
                                                  .activation = gates ? GEMM_GATE : GEMM_NONE });
    z = !y ? NULL : gates ? tensor_ref(y) : tain_swiglu(y);
    tensor_unref(x);
    tensor_unref(y);
    return z;
}
WANT(want_begin)
{
    int64_t M = in[0].shape[0], K = last(&in[0]), N = in[1].shape[0] / 2;

    check_shape(out, 2, (int64_t[]){ M, N });
    for (int64_t i = 0; i < out->count; i++) {
        const double *x = in[0].at + i / N * K, *gate = in[1].at + i % N * K, *up = gate + N * K;
        double square = with[0], g = 0, u = 0;
        for (int64_t k = 0; k < K; k++) {
            square += x[k] * x[k] / (double)K;
            g += x[k] * in[2].at[k] * gate[k];
            u += x[k] * in[2].at[k] * up[k];
        }
        g /= sqrt(square);
        out->at[i] = g * sigmoid(g) * u / sqrt(square);
    }
}

RUN(run_attention, tain_attention(in[0], in[1], in[2], with[0] > 0))
WANT(want_attention)
{
    int64_t B = in[0].shape[0], T = in[0].shape[1], H = in[0].shape[2], D = in[0].shape[3], S = in[1].shape[1], KV = in[1].shape[2];

    like(out, &in[0]);
    for (int64_t i = 0; i < B * T * H; i++) {
        int64_t b = i / (T * H), t = i / H % T, h = i % H / (H / KV), see = with[0] > 0 ? S - T + t + 1 : S;
        double weight[64], total = 0;
        for (int64_t s = 0; s < see; s++) {
            double dot = 0;
            for (int64_t k = 0; k < D; k++)
                dot += in[0].at[i * D + k] * in[1].at[((b * S + s) * KV + h) * D + k];
            total += weight[s] = exp(dot / sqrt((double)D));
        }
        for (int64_t s = 0; s < see; s++)
            for (int64_t k = 0; k < D; k++)
                out->at[i * D + k] += weight[s] / total * in[2].at[((b * S + s) * KV + h) * D + k];
    }
}

/* Against keys and values as a cache keeps them. with[1]: how they are stored. */
static tain_tensor *run_kept(tain_tensor *const *in, const double *with)
{
    tain_tensor *k = tain_cast(in[1], (tain_type)with[1]), *v = tain_cast(in[2], (tain_type)with[1]), *y = NULL;

    if (k && v)
        y = op_attention(in[0], k, v, NULL, true, in[1]->shape[1] - in[0]->shape[1], 0);
    tensor_unref(k);
    tensor_unref(v);
    return y;
}

/* Pixel x, y, channel c of image b of [B, H, W, C]; 0 beside the image. */
static double pixel(const struct check_value *v, int64_t b, int64_t y, int64_t x, int64_t c)
{
    if (y < 0 || x < 0 || y >= v->shape[1] || x >= v->shape[2])
        return 0;
    return v->at[((b * v->shape[1] + y) * v->shape[2] + x) * v->shape[3] + c];
}

RUN(run_conv, tain_conv2d(in[0], in[1], in[2], (int32_t)with[0], (int32_t)with[1], (int32_t)with[2]))
WANT(want_conv)
{
    int64_t stride = (int64_t)with[0], before = (int64_t)with[1], K = in[1].shape[0], Ci = in[1].shape[2], Co = in[1].shape[3];
    int64_t H = (in[0].shape[1] + before + (int64_t)with[2] - K) / stride + 1, W = (in[0].shape[2] + before + (int64_t)with[2] - K) / stride + 1;

    check_shape(out, 4, (int64_t[]){ in[0].shape[0], H, W, Co });
    for (int64_t i = 0; i < out->count; i++) {
        int64_t o = i % Co, x = i / Co % W * stride - before, y = i / (Co * W) % H * stride - before, b = i / (Co * W * H);
        out->at[i] = in[2].at[o];
        for (int64_t k = 0; k < K * K; k++)
            for (int64_t c = 0; c < Ci; c++)
                out->at[i] += pixel(&in[0], b, y + k / K, x + k % K, c) * in[1].at[(k * Ci + c) * Co + o];
    }
}

RUN(run_upsample, tain_upsample2(in[0]))
WANT(want_upsample)
{
    const int64_t *s = in[0].shape;

    check_shape(out, 4, (int64_t[]){ s[0], 2 * s[1], 2 * s[2], s[3] });
    for (int64_t i = 0; i < out->count; i++)
        out->at[i] = pixel(&in[0], i / (s[3] * 4 * s[1] * s[2]), i / (s[3] * 2 * s[2]) % (2 * s[1]) / 2, i / s[3] % (2 * s[2]) / 2, i % s[3]);
    (void)with;
}

RUN(run_patch, tain_patch(in[0], (int32_t)with[0]))
WANT(want_patch)
{
    int64_t P = (int64_t)with[0], C = in[0].shape[3], w = in[0].shape[2] / P, n = in[0].shape[1] / P * w;

    check_shape(out, 3, (int64_t[]){ in[0].shape[0], n, C * P * P });
    for (int64_t i = 0; i < out->count; i++) {
        int64_t k = i % (C * P * P), p = i / (C * P * P) % n;
        out->at[i] = pixel(&in[0], i / (C * P * P * n), p / w * P + k / P % P, p % w * P + k % P, k / (P * P));
    }
}

/* ---- Rows ---- */

WANT(want_softmax) /* with[0] 1: its logarithm */
{
    int64_t n = last(&in[0]);

    like(out, &in[0]);
    for (int64_t r = 0; r < out->count / n; r++) {
        const double *x = in[0].at + r * n;
        double most = -INFINITY, total = 0;
        for (int64_t i = 0; i < n; i++)
            most = fmax(most, x[i]);
        for (int64_t i = 0; i < n; i++)
            total += exp(x[i] - most);
        for (int64_t i = 0; i < n; i++)
            out->at[r * n + i] = with[0] > 0 ? x[i] - most - log(total) : exp(x[i] - most) / total;
    }
}
RUN(run_softmax, with[0] > 0 ? tain_log_softmax(in[0], -1) : tain_softmax(in[0], -1))

RUN(run_token_logprob, tain_token_logprob(in[0], in[1]))
WANT(want_token_logprob)
{
    int64_t n = last(&in[0]);
    struct check_value rows = { 0 };

    want_softmax(in, &rows, (double[]){ 1 });
    check_shape(out, in[0].dims - 1, in[0].shape);
    for (int64_t r = 0; r < out->count; r++)
        out->at[r] = rows.at[r * n + (int64_t)in[1].at[r]];
    free(rows.at);
    (void)with;
}

WANT(want_norm) /* with[0] eps, with[1] 1: around the mean, with a bias */
{
    int64_t n = last(&in[0]);

    like(out, &in[0]);
    for (int64_t r = 0; r < out->count / n; r++) {
        const double *x = in[0].at + r * n;
        double mean = 0, square = 0;
        for (int64_t i = 0; i < n; i++)
            mean += with[1] > 0 ? x[i] / (double)n : 0;
        for (int64_t i = 0; i < n; i++)
            square += (x[i] - mean) * (x[i] - mean) / (double)n;
        for (int64_t i = 0; i < n; i++)
            out->at[r * n + i] = (x[i] - mean) / sqrt(square + with[0]) * in[1].at[i] + (with[1] > 0 ? in[2].at[i] : 0);
    }
}
RUN(run_rms, tain_rms_norm(in[0], in[1], (float)with[0]))
RUN(run_layer, tain_layer_norm(in[0], in[1], in[2], (float)with[0]))

RUN(run_group, tain_group_norm(in[0], in[1], in[2], (int32_t)with[1], (float)with[0], with[2] > 0))
WANT(want_group) /* with: eps, groups, silu */
{
    int64_t B = in[0].shape[0], C = last(&in[0]), n = in[0].count / B / C, wide = C / (int64_t)with[1];

    like(out, &in[0]);
    for (int64_t g = 0; g < B * (C / wide); g++) {
        double mean = 0, square = 0, all = (double)(n * wide);
        for (int pass = 0; pass < 3; pass++)
            for (int64_t i = 0; i < n * wide; i++) {
                int64_t c = g % (C / wide) * wide + i % wide, at = (g / (C / wide) * n + i / wide) * C + c;
                double x = in[0].at[at], y = (x - mean) / sqrt(square + with[0]) * in[1].at[c] + in[2].at[c];
                if (pass == 0)
                    mean += x / all;
                else if (pass == 1)
                    square += (x - mean) * (x - mean) / all;
                else
                    out->at[at] = with[2] > 0 ? y * sigmoid(y) : y;
            }
    }
}

/* with: heads, key heads, width, theta. The heads of q and k turn. */
WANT(want_rope)
{
    int64_t T = in[0].shape[1], heads = (int64_t)(with[0] + 2 * with[1]), D = last(&in[0]) / heads, half = (int64_t)with[2] / 2;

    like(out, &in[0]);
    memcpy(out->at, in[0].at, (size_t)out->count * sizeof(double));
    for (int64_t i = 0; i < out->count / D; i++)
        for (int64_t j = 0; j < half && i % heads < (int64_t)(with[0] + with[1]); j++) {
            double angle = in[1].at[i / heads % T] * pow(with[3], -(double)j / (double)half), a = in[0].at[i * D + j], b = in[0].at[i * D + j + half];
            out->at[i * D + j] = a * cos(angle) - b * sin(angle);
            out->at[i * D + j + half] = b * cos(angle) + a * sin(angle);
        }
}
static tain_tensor *run_rope_qkv(tain_tensor *const *in, const double *with)
{
    return tain_rope_qkv(in[0], in[1], (int32_t)with[0], (int32_t)with[1], (int32_t)with[2], (float)with[3]);
}
static tain_tensor *run_rope(tain_tensor *const *in, const double *with)
{
    int64_t D = in[0]->shape[2] / (int64_t)with[0];
    tain_tensor *x = tain_reshape(in[0], 4, (int64_t[]){ in[0]->shape[0], in[0]->shape[1], (int64_t)with[0], D });
    tain_tensor *y = x ? tain_rope(x, in[1], (int32_t)with[2], (float)with[3]) : NULL, *flat = y ? tain_reshape(y, 3, in[0]->shape) : NULL;

    tensor_unref(x);
    tensor_unref(y);
    return flat;
}

/* ---- Sums ---- */

/* out's shape is in's without dimension with[0]; the elements along it lie `step` apart. */
static int64_t without(const struct check_value *in, struct check_value *out, const double *with, int64_t *step)
{
    int dim = (int)with[0], n = 0;
    int64_t shape[TENSOR_DIMS];

    *step = 1;
    for (int i = 0; i < in->dims; i++) {
        if (i != dim)
            shape[n++] = in->shape[i];
        if (i > dim)
            *step *= in->shape[i];
    }
    check_shape(out, n, shape);
    return in->shape[dim];
}

#define ALONG(name, call, body)                                                                    \
    RUN(run_##name, call)                                                                          \
    WANT(want_##name)                                                                              \
    {                                                                                              \
        int64_t step, n = without(&in[0], out, with, &step);                                       \
        for (int64_t i = 0; i < out->count; i++) {                                                 \
            const double *x = in[0].at + i / step * step * n + i % step;                           \
            double *y = &out->at[i];                                                               \
            int64_t best = 0;                                                                      \
            for (int64_t k = 0; k < n; k++) {                                                      \
                best = x[k * step] > x[best * step] ? k : best;                                    \
                body;                                                                              \
            }                                                                                      \
        }                                                                                          \
    }

ALONG(sum_dim, tain_sum_dim(in[0], (int32_t)with[0], false), *y += x[k * step])
ALONG(mean_dim, tain_mean_dim(in[0], (int32_t)with[0], false), *y += x[k * step] / (double)n)
ALONG(max_dim, tain_max_dim(in[0], (int32_t)with[0], false), *y = x[best * step])
ALONG(argmax, tain_argmax(in[0], (int32_t)with[0]), *y = (double)best)

WANT(want_sum) /* with[0] 1: the mean */
{
    check_shape(out, 0, NULL);
    for (int64_t i = 0; i < in[0].count; i++)
        out->at[0] += in[0].at[i] / (with[0] > 0 ? (double)in[0].count : 1);
}
RUN(run_sum, with[0] > 0 ? tain_mean(in[0]) : tain_sum(in[0]))

/* ---- Moving ---- */

static tain_tensor *run_turned(tain_tensor *const *in, const double *with)
{
    tain_tensor *part = tain_slice(in[0], -1, (int64_t)with[0], (int64_t)with[1]), *turned = part ? tain_transpose(part, -1, -2) : NULL;
    tain_tensor *dense = turned ? tain_contiguous(turned) : NULL, *flat = dense ? tain_reshape(dense, 1, (int64_t[]){ -1 }) : NULL;

    tensor_unref(part);
    tensor_unref(turned);
    tensor_unref(dense);
    return flat;
}
WANT(want_turned)
{
    int64_t rows = in[0].shape[0], n = last(&in[0]), width = (int64_t)with[1];

    check_shape(out, 1, (int64_t[]){ rows * width });
    for (int64_t i = 0; i < out->count; i++)
        out->at[i] = in[0].at[i % rows * n + (int64_t)with[0] + i / rows];
}

WANT(want_embed)
{
    int64_t n = last(&in[0]);

    check_shape(out, 2, (int64_t[]){ in[1].count, n });
    for (int64_t i = 0; i < out->count; i++)
        out->at[i] = in[0].at[(int64_t)in[1].at[i / n] * n + i % n];
    (void)with;
}
RUN(run_embed, tain_embed(in[0], in[1]))
RUN(run_rows, tain_rows(in[0], in[1]))

RUN(run_gather, tain_gather(in[0], in[1]))
WANT(want_gather)
{
    check_shape(out, in[0].dims - 1, in[0].shape);
    for (int64_t i = 0; i < out->count; i++)
        out->at[i] = in[0].at[i * last(&in[0]) + (int64_t)in[1].at[i]];
    (void)with;
}

RUN(run_concat, tain_concat((tain_tensor *[]){ in[0], in[1] }, 2, 1))
WANT(want_concat)
{
    int64_t a = last(&in[0]), b = last(&in[1]);

    check_shape(out, 2, (int64_t[]){ in[0].shape[0], a + b });
    for (int64_t i = 0; i < out->count; i++) {
        int64_t r = i / (a + b), c = i % (a + b);
        out->at[i] = c < a ? in[0].at[r * a + c] : in[1].at[r * b + c - a];
    }
    (void)with;
}

/* ---- Choosing ---- */

RUN(run_guide, tain_guide(in[0], (float)with[0]))
WANT(want_guide)
{
    int64_t V = last(&in[0]);

    check_shape(out, 2, (int64_t[]){ in[0].shape[0] / 2, V });
    for (int64_t i = 0; i < out->count; i++) {
        double c = in[0].at[i / V * 2 * V + i % V], n = in[0].at[(i / V * 2 + 1) * V + i % V];
        out->at[i] = n + (float)with[0] * (c - n);
    }
}

/* with: guidance or 0, temperature. */
WANT(want_sample)
{
    int64_t V = last(&in[0]), rows = in[1].count;

    check_shape(out, 1, &rows);
    for (int64_t r = 0; r < rows; r++) {
        double z[512], most = -INFINITY, total = 0, sum = 0;
        for (int64_t i = 0; i < V; i++) {
            double c = in[0].at[(with[0] > 0 ? 2 * r : r) * V + i], n = with[0] > 0 ? in[0].at[(2 * r + 1) * V + i] : 0;
            z[i] = (n + (with[0] > 0 ? with[0] : 1) * (c - n)) / with[1];
            most = fmax(most, z[i]);
        }
        for (int64_t i = 0; i < V; i++)
            total += exp(z[i] - most);
        for (int64_t i = 0; i < V && out->at[r] == 0; i++) {
            sum += exp(z[i] - most);
            if (sum >= in[1].at[r] * total || i == V - 1)
                out->at[r] = (double)i + 0.5; /* so that the first one counts as found */
        }
        out->at[r] -= 0.5;
    }
}
static tain_tensor *run_sample(tain_tensor *const *in, const double *with)
{
    return with[0] > 0 ? tain_sample_guided(in[0], in[1], (float)with[0], (float)with[1]) : tain_sample(in[0], in[1], (float)with[1]);
}

/* Philox-4x32-10, word by word. */
static uint32_t philox(uint64_t seed, uint64_t stream, uint64_t position)
{
    uint32_t c[4] = { (uint32_t)(position / 4), (uint32_t)(position / 4 >> 32), (uint32_t)stream, (uint32_t)(stream >> 32) };
    uint32_t k[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };

    for (int i = 0; i < 10; i++, k[0] += 0x9e3779b9u, k[1] += 0xbb67ae85u) {
        uint64_t a = 0xd2511f53ull * c[0], b = 0xcd9e8d57ull * c[2];
        uint32_t n[4] = { (uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k[1], (uint32_t)a };
        memcpy(c, n, sizeof(c));
    }
    return c[position % 4];
}
RUN(run_uniform, tain_uniform(in[0]->device, 1, in[0]->shape, 7, -3, 5))
WANT(want_uniform)
{
    like(out, &in[0]);
    for (int64_t i = 0; i < out->count; i++)
        out->at[i] = (double)(philox(7, (uint64_t)-3, (uint64_t)i + 5) >> 8) * 0x1p-24;
    (void)with;
}

/* ---- The table ---- */

#define ROW(name, ...) { #name, 1, 0, run_##name, want_##name, __VA_ARGS__ }
#define SHAPES(low, high) { { { { 2, { 16, 32 }, low, high } }, { 0 } }, { { { 3, { 3, 5, 7 }, low, high } }, { 0 } } }
#define SHAPES_BY(low, high, a) { { { { 2, { 16, 32 }, low, high } }, { a } }, { { { 3, { 3, 5, 7 }, low, high } }, { a } } }
#define PAIRS { { { { 2, { 16, 32 }, 0, 0 }, { 2, { 16, 32 }, 0.5f, 3 } }, { 0 } }, \
                { { { 3, { 3, 5, 7 }, 0, 0 }, { 1, { 7 }, 0.5f, 3 } }, { 0 } }, { { { 2, { 5, 1 }, 0, 0 }, { 2, { 1, 9 }, 0.5f, 3 } }, { 0 } } }
#define ROW2(name, no_grad) { #name, 2, 0, run_##name, want_##name, no_grad, PAIRS }
#define AT(dims, ...) { dims, { __VA_ARGS__ }, 0, 0 }
#define FROM(low, high, dims, ...) { dims, { __VA_ARGS__ }, low, high }

/* Few rows are rounded to 8 bits where that is faster (gemv_dot.comp): numbers of one size are so exactly. Enough
 * columns for the widest subgroup. */
#define FEW \
    { { { FROM(-1, 2, 2, 2, 2080), AT(2, 23, 2080), AT(1, 23) }, { 0 } }, \
      { { FROM(-1, 2, 2, 8, 2048), AT(2, 8, 2048), AT(1, 8) }, { 0 } } }

const struct check_op check_op_table[] = {
    { "cast, f16", 1, 1, run_ints, want_same, true, SHAPES(-200, 200) },
    { "cast, bf16", 1, 0, run_cast, want_same, true, { { { FROM(1, 1.0000001f, 2, 5, 7) }, { TAIN_BF16 } } } },
    ROW(neg, false, SHAPES(0, 0)),
    ROW(exp, false, SHAPES(-3, 3)),
    ROW(log, false, SHAPES(0.1f, 5)),
    ROW(sqrt, false, SHAPES(0.1f, 5)),
    ROW(rsqrt, false, SHAPES(0.1f, 5)),
    ROW(abs, false, SHAPES(0.1f, 5)),
    ROW(square, false, SHAPES(0, 0)),
    ROW(tanh, false, SHAPES(-4, 4)),
    ROW(sigmoid, false, SHAPES(-6, 6)),
    ROW(logsigmoid, false, SHAPES(-30, 30)),
    ROW(relu, false, SHAPES(0.1f, 2)),
    ROW(silu, false, SHAPES(-6, 6)),
    ROW(gelu, false, SHAPES(-5, 5)),
    ROW(gelu_tanh, false, SHAPES(-5, 5)),
    ROW(quick_gelu, false, SHAPES(-5, 5)),
    ROW(softplus, false, SHAPES(-30, 30)),
    ROW(sin, false, SHAPES(-4, 4)),
    ROW(cos, false, SHAPES(-4, 4)),
    ROW(reciprocal, false, SHAPES(0.3f, 4)),
    ROW(scale, false, SHAPES_BY(0, 0, -1.7)),
    ROW(shift, false, SHAPES_BY(0, 0, 0.3)),
    ROW(maximum, false, SHAPES_BY(0, 0, 3)),
    ROW(minimum, false, SHAPES_BY(0, 0, 3)),
    { "attention", 3, 0, run_attention, want_attention, false,
      { { { AT(4, 2, 9, 4, 16), AT(4, 2, 9, 2, 16), AT(4, 2, 9, 2, 16) }, { 1 } },
        { { AT(4, 1, 5, 3, 12), AT(4, 1, 33, 1, 12), AT(4, 1, 33, 1, 12) }, { 0 } },
        { { AT(4, 1, 7, 2, 64), AT(4, 1, 19, 2, 64), AT(4, 1, 19, 2, 64) }, { 1 } } } },
    { "attention, one query", 3, 0, run_attention, want_attention, true,
      { { { AT(4, 3, 1, 4, 16), AT(4, 3, 41, 2, 16), AT(4, 3, 41, 2, 16) }, { 1 } },
        { { AT(4, 1, 1, 3, 20), AT(4, 1, 6, 1, 20), AT(4, 1, 6, 1, 20) }, { 1 } } } },
    { "attention, 16-bit cache", 3, 6, run_kept, want_attention, true,
      { { { AT(4, 3, 1, 4, 16), FROM(-2, 3, 4, 3, 41, 2, 16), FROM(-2, 3, 4, 3, 41, 2, 16) }, { 1, TAIN_BF16 } },
        { { AT(4, 1, 1, 3, 24), FROM(-2, 3, 4, 1, 6, 1, 24), FROM(-2, 3, 4, 1, 6, 1, 24) }, { 1, TAIN_F16 } },
        { { AT(4, 1, 7, 2, 64), FROM(-2, 3, 4, 1, 19, 2, 64), FROM(-2, 3, 4, 1, 19, 2, 64) }, { 1, TAIN_BF16 } } } },
    { "matmul", 2, 0, run_matmul, want_matmul, false,
      { { { AT(2, 17, 32), AT(2, 32, 24) }, { 0 } }, { { AT(3, 2, 5, 7), AT(3, 2, 7, 3) }, { 0 } }, { { AT(3, 3, 4, 8), AT(2, 8, 5) }, { 0 } } } },
    { "linear", 3, 0, run_linear, want_linear, false,
      { { { AT(2, 19, 32), AT(2, 48, 32), AT(1, 48) }, { 0 } }, { { AT(2, 3, 7), AT(2, 5, 7), AT(1, 5) }, { 0 } },
        { { AT(2, 1, 64), AT(2, 33, 64), AT(1, 33) }, { 0 } } } },
    { "linear, int8", 3, 0, run_linear, want_linear, false,
      { { { AT(2, 19, 32), AT(2, 48, 32), AT(1, 48) }, { 0 } }, { { AT(2, 9, 96), AT(2, 33, 96), AT(1, 33) }, { 0 } } }, TAIN_INT8 },
    { "linear, int4", 3, 0, run_linear, want_linear, false,
      { { { AT(2, 19, 32), AT(2, 48, 32), AT(1, 48) }, { 0 } }, { { AT(2, 9, 96), AT(2, 33, 96), AT(1, 33) }, { 0 } } }, TAIN_INT4 },
    { "linear, int8, few rows", 3, 1, run_few, want_linear, true, FEW, TAIN_INT8 },
    { "linear, int4, few rows", 3, 1, run_few, want_linear, true, FEW, TAIN_INT4 },
    { "linear, f16", 3, 0, run_linear, want_linear, false,
      { { { AT(2, 70, 36), AT(2, 68, 36), AT(1, 68) }, { 0 } }, { { AT(2, 3, 7), AT(2, 5, 7), AT(1, 5) }, { 0 } } }, TAIN_F16 },
    { "linear, bf16", 3, 0, run_linear, want_linear, false,
      { { { AT(2, 70, 36), AT(2, 68, 36), AT(1, 68) }, { 0 } }, { { AT(2, 3, 7), AT(2, 5, 7), AT(1, 5) }, { 0 } } }, TAIN_BF16 },
    { "linear, adapted", 4, 0, run_adapted, want_adapted, false,
      { { { AT(2, 9, 32), AT(2, 48, 32), AT(2, 4, 32), AT(2, 16, 4) }, { 0 } },
        { { AT(2, 3, 7), AT(2, 5, 7), AT(2, 3, 7), AT(2, 5, 3) }, { 0 } } } },
    { "linear, norm and gate", 3, 0, run_begin, want_begin, true,
      { { { AT(2, 19, 64), AT(2, 96, 64), AT(1, 64) }, { 1e-5 } }, { { AT(2, 70, 36), AT(2, 40, 36), AT(1, 36) }, { 1e-3 } },
        { { AT(2, 3, 7), AT(2, 10, 7), AT(1, 7) }, { 1e-5 } } } },
    { "slice, transpose, contiguous, reshape", 1, 0, run_turned, want_turned, false,
      { { { AT(2, 8, 32) }, { 4, 16 } }, { { AT(2, 5, 9) }, { 1, 7 } } } },
    { "rms_norm", 2, 0, run_rms, want_norm, false, { { { AT(2, 9, 64), AT(1, 64) }, { 1e-6 } }, { { AT(2, 3, 37), AT(1, 37) }, { 1e-5 } } } },
    { "layer_norm", 3, 0, run_layer, want_norm, false,
      { { { AT(2, 9, 64), AT(1, 64), AT(1, 64) }, { 1e-6, 1 } }, { { AT(2, 3, 37), AT(1, 37), AT(1, 37) }, { 1e-5, 1 } } } },
    ROW2(add, false),
    ROW2(sub, false),
    ROW2(mul, false),
    ROW2(div, false),
    ROW2(greatest, false),
    ROW2(least, false),
    ROW2(gt, true),
    ROW2(ge, true),
    ROW2(lt, true),
    ROW2(le, true),
    ROW2(eq, true),
    { "where", 3, 1, run_where, want_where, false, { { { FROM(0, 2, 2, 5, 9), AT(2, 5, 9), AT(1, 9) }, { 0 } } } },
    { "sum", 1, 0, run_sum, want_sum, false, SHAPES(0, 0) },
    { "mean", 1, 0, run_sum, want_sum, false, SHAPES_BY(0, 0, 1) },
    { "sum_dim", 1, 0, run_sum_dim, want_sum_dim, false, { { { AT(2, 33, 64) }, { 0 } }, { { AT(3, 3, 7, 5) }, { 1 } }, { { AT(2, 3, 130) }, { 1 } } } },
    { "mean_dim", 1, 0, run_mean_dim, want_mean_dim, false, { { { AT(2, 33, 64) }, { 0 } }, { { AT(3, 3, 7, 5) }, { 1 } }, { { AT(2, 3, 130) }, { 1 } } } },
    { "max_dim", 1, 0, run_max_dim, want_max_dim, false, { { { AT(2, 33, 64) }, { 0 } }, { { AT(2, 3, 131) }, { 1 } } } },
    { "argmax", 1, 0, run_argmax, want_argmax, true, { { { AT(2, 33, 64) }, { 0 } }, { { AT(2, 3, 131) }, { 1 } } } },
    { "rope", 2, 2, run_rope, want_rope, false, { { { AT(3, 2, 5, 48), FROM(0, 900, 1, 5) }, { 3, 0, 16, 10000 } }, { { AT(3, 1, 3, 24), FROM(0, 60, 1, 3) }, { 2, 0, 8, 500 } } } },
    { "rope_qkv", 2, 2, run_rope_qkv, want_rope, false, { { { AT(3, 2, 5, 64), FROM(0, 900, 1, 5) }, { 2, 1, 16, 10000 } } } },
    { "gate", 2, 0, run_gate, want_gate, false, { { { AT(2, 16, 32), AT(2, 16, 32) }, { 0 } }, { { AT(3, 3, 5, 7), AT(3, 3, 5, 7) }, { 0 } } } },
    ROW(swiglu, false, { { { AT(2, 9, 64) }, { 0 } }, { { AT(2, 5, 14) }, { 0 } } }),
    { "softmax", 1, 0, run_softmax, want_softmax, false, { { { AT(2, 9, 64) }, { 0 } }, { { FROM(-9, 9, 2, 3, 131) }, { 0 } } } },
    { "log_softmax", 1, 0, run_softmax, want_softmax, false, { { { AT(2, 9, 64) }, { 1 } }, { { FROM(-9, 9, 2, 3, 131) }, { 1 } } } },
    { "token_logprob", 2, 2, run_token_logprob, want_token_logprob, false,
      { { { AT(2, 9, 64), FROM(0, 64, 1, 9) }, { 0 } }, { { FROM(-9, 9, 2, 3, 131), FROM(0, 131, 1, 3) }, { 0 } } } },
    { "embed", 2, 2, run_embed, want_embed, false, { { { AT(2, 9, 32), FROM(0, 9, 1, 20) }, { 0 } }, { { AT(2, 5, 7), FROM(0, 5, 1, 3) }, { 0 } } } },
    { "concat", 2, 0, run_concat, want_concat, false, { { { AT(2, 9, 32), AT(2, 9, 8) }, { 0 } }, { { AT(2, 3, 5), AT(2, 3, 2) }, { 0 } } } },
    { "gather", 2, 2, run_gather, want_gather, false, { { { AT(2, 9, 32), FROM(0, 32, 1, 9) }, { 0 } }, { { AT(2, 3, 5), FROM(0, 5, 1, 3) }, { 0 } } } },
    { "rows", 2, 2, run_rows, want_embed, false, { { { AT(2, 9, 32), FROM(0, 9, 1, 20) }, { 0 } }, { { AT(2, 5, 7), FROM(0, 5, 1, 3) }, { 0 } } } },
    { "guide", 1, 0, run_guide, want_guide, false, { { { AT(2, 8, 64) }, { 5 } }, { { AT(2, 2, 37) }, { 2.5 } } } },
    { "sample", 2, 0, run_sample, want_sample, true, { { { AT(2, 16, 64), FROM(0, 1, 1, 16) }, { 0, 1 } }, { { AT(2, 5, 37), FROM(0, 1, 1, 5) }, { 0, 0.7 } } } },
    { "sample_guided", 2, 0, run_sample, want_sample, true, { { { AT(2, 16, 64), FROM(0, 1, 1, 8) }, { 5, 1 } }, { { AT(2, 6, 37), FROM(0, 1, 1, 3) }, { 2.5, 1.3 } } } },
    { "uniform", 1, 0, run_uniform, want_uniform, true, { { { AT(1, 1023) }, { 0 } } } },
    { "conv2d", 3, 0, run_conv, want_conv, false,
      { { { AT(4, 2, 6, 5, 16), AT(4, 3, 3, 16, 32), AT(1, 32) }, { 1, 1, 1 } }, { { AT(4, 1, 7, 6, 3), AT(4, 3, 3, 3, 5), AT(1, 5) }, { 2, 0, 1 } },
        { { AT(4, 1, 4, 3, 8), AT(4, 1, 1, 8, 12), AT(1, 12) }, { 1, 0, 0 } } } },
    { "upsample2", 1, 0, run_upsample, want_upsample, false, { { { AT(4, 2, 3, 4, 8) }, { 0 } }, { { AT(4, 1, 2, 3, 5) }, { 0 } } } },
    { "patch", 1, 0, run_patch, want_patch, true, { { { AT(4, 2, 8, 12, 3) }, { 4 } }, { { AT(4, 1, 6, 3, 2) }, { 3 } } } },
    { "group_norm", 3, 0, run_group, want_group, false,
      { { { AT(4, 2, 3, 5, 64), AT(1, 64), AT(1, 64) }, { 1e-6, 32, 1 } }, { { AT(3, 1, 7, 15), AT(1, 15), AT(1, 15) }, { 1e-5, 5, 0 } } } },
};

const int check_op_count = COUNT_OF(check_op_table);

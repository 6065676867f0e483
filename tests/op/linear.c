/* Linear layers: weights in 16 bits and in blocks, activations, gates, residuals, and adapters: beside each other, at odd rows,
 * over each other, with all else frozen. */
#include "op/check_op.h"
#include "op/matmul.h"

static tain_tensor *run(tain_tensor *const *in, const double *with)
{
    (void)with;
    return tain_linear(in[0], in[1], in[2]);
}

static void reference(const struct check_value *in, struct check_value *out, const double *with)
{
    int64_t K = in[1].shape[1], N = in[1].shape[0], M = in[0].count / K, shape[TENSOR_DIMS];

    (void)with;
    memcpy(shape, in[0].shape, sizeof(shape));
    shape[in[0].dims - 1] = N;
    check_shape(out, in[0].dims, shape);
    for (int64_t m = 0; m < M; m++)
        for (int64_t n = 0; n < N; n++) {
            double s = in[2].at ? in[2].at[n] : 0;
            for (int64_t k = 0; k < K; k++)
                s += in[0].at[m * K + k] * in[1].at[n * K + k];
            out->at[m * N + n] = s;
        }
}

/* Inputs: x, weight, A and B of up to two adapters; with: their rows and their scales. */
static tain_tensor *adapted(tain_tensor *const *in, const double *with, int count)
{
    struct linear_adapters a = {
        count, { in[2], count > 1 ? in[4] : NULL }, { in[3], count > 1 ? in[5] : NULL },
        { (int32_t)with[0], (int32_t)with[1] }, { (float)with[2], (float)with[3] },
    };

    return op_linear(in[0], in[1], &(struct linear){ .adapters = &a });
}

static tain_tensor *run_one(tain_tensor *const *in, const double *with)
{
    return adapted(in, with, 1);
}

static tain_tensor *run_two(tain_tensor *const *in, const double *with)
{
    return adapted(in, with, 2);
}

static void add_adapter(const struct check_value *in, int i, struct check_value *out, const double *with)
{
    const struct check_value *A = &in[2 + 2 * i], *B = &in[3 + 2 * i];
    int64_t K = A->shape[1], rank = A->shape[0], own = B->shape[0], N = in[1].shape[0];

    for (int64_t m = 0; K && m < in[0].count / K; m++)
        for (int64_t r = 0; r < rank; r++) {
            double u = 0;
            for (int64_t k = 0; k < K; k++)
                u += (float)with[2 + i] * in[0].at[m * K + k] * A->at[r * K + k];
            for (int64_t n = 0; n < own; n++)
                out->at[m * N + (int64_t)with[i] + n] += u * B->at[n * rank + r];
        }
}

static void plain(const struct check_value *in, struct check_value *out, const double *with)
{
    reference((struct check_value[]){ in[0], in[1], { 0 } }, out, with);
}

static void reference_one(const struct check_value *in, struct check_value *out, const double *with)
{
    plain(in, out, with);
    add_adapter(in, 0, out, with);
}

static void reference_two(const struct check_value *in, struct check_value *out, const double *with)
{
    reference_one(in, out, with);
    add_adapter(in, 1, out, with);
}

/* Inputs: x, weight, bias, residual, and A and B of an adapter if its scale is not 0; with: its row, nothing, its scale. */
static tain_tensor *run_residual(tain_tensor *const *in, const double *with)
{
    struct linear_adapters a = { 0 };

    if (with[2] != 0)
        a = (struct linear_adapters){ 1, { in[4] }, { in[5] }, { (int32_t)with[0] }, { (float)with[2] } };
    return op_linear(in[0], in[1], &(struct linear){ .bias = in[2], .residual = in[3], .adapters = &a });
}

static void reference_residual(const struct check_value *in, struct check_value *out, const double *with)
{
    reference(in, out, with);
    for (int64_t i = 0; i < out->count; i++)
        out->at[i] += in[3].at[i];
    if (with[2] != 0)
        add_adapter((struct check_value[]){ in[0], in[1], in[4], in[5] }, 0, out, with);
}

/* A linear layer with its activation, against the activation by itself. */
static void check_activation(tain_device *d, int64_t rows)
{
    enum { IN = 40, OUT = 12, MOST = 5 };
    tain_tensor *(*const act[])(tain_tensor *) = { NULL, tain_silu, tain_gelu, tain_gelu_tanh };
    float xs[MOST * IN], ws[OUT * IN], bs[OUT], a[MOST * OUT], b[MOST * OUT];

    for (int i = 0; i < rows * IN; i++)
        xs[i] = check_uniform(-2, 2);
    for (int i = 0; i < OUT * IN; i++)
        ws[i] = check_uniform(-0.3, 0.3);
    for (int i = 0; i < OUT; i++)
        bs[i] = check_uniform(-1, 1);
    tain_tensor *x = tensor_from(d, TAIN_F32, 2, (int64_t[]){ rows, IN }, xs);
    tain_tensor *w = tensor_from(d, TAIN_F32, 2, (int64_t[]){ OUT, IN }, ws);
    tain_tensor *bias = tensor_from(d, TAIN_F32, 1, (int64_t[]){ OUT }, bs), *plain = tain_linear(x, w, bias);
    for (int i = GEMM_SILU; i <= GEMM_GELU_TANH; i++) {
        tain_tensor *want = act[i](plain), *y = op_linear(x, w, &(struct linear){ .bias = bias, .activation = (enum gemm_activation)i });
        CHECK(want && y);
        CHECK_INT(tain_tensor_read(want, a, rows * OUT), 0);
        CHECK_INT(tain_tensor_read(y, b, rows * OUT), 0);
        for (int k = 0; k < rows * OUT; k++)
            CHECK_CLOSE(a[k], b[k], 2e-6);
        tensor_unref(want);
        tensor_unref(y);
    }
    tensor_unref(plain);
    tensor_unref(bias);
    tensor_unref(w);
    tensor_unref(x);
}

static tain_tensor *random_tensor(tain_device *d, int64_t rows, int64_t columns, float *keep)
{
    int64_t n = rows * columns;
    float *f = keep ? keep : malloc((size_t)n * 4);
    tain_tensor *t;

    for (int64_t i = 0; i < n; i++)
        f[i] = check_uniform(-1, 1);
    t = tensor_from(d, TAIN_F32, 2, (int64_t[]){ rows, columns }, f);
    CHECK(t);
    if (!keep)
        free(f);
    return t;
}

/* The gate of an MLP at the end of its product, against the gate by itself; x is a part of something wider. */
static void check_gate(tain_device *d, int64_t rows, int64_t in, int64_t half, tain_type type)
{
    tain_tensor *all = random_tensor(d, rows, in + 8, NULL), *x = tain_slice(all, 1, 4, in), *f = random_tensor(d, 2 * half, in, NULL);
    tain_tensor *w = tain_cast(f, type), *both = tain_linear(x, w, NULL), *want = both ? tain_swiglu(both) : NULL, *y;
    float *a = malloc((size_t)(rows * half) * 4), *b = malloc((size_t)(rows * half) * 4);

    CHECK(a && b && want && gemm_gates(x, w));
    CHECK((y = op_linear(x, w, &(struct linear){ .activation = GEMM_GATE })));
    CHECK(y->shape[0] == rows && y->shape[1] == half);
    CHECK_INT(tain_tensor_read(want, a, rows * half), 0);
    CHECK_INT(tain_tensor_read(y, b, rows * half), 0);
    for (int64_t k = 0; k < rows * half; k++)
        CHECK_CLOSE(a[k], b[k], 1e-5 * (1 + fabsf(a[k])));
    free(a);
    free(b);
    for (size_t i = 0; i < 7; i++)
        tensor_unref((tain_tensor *[]){ all, x, f, w, both, want, y }[i]);
}

/* The same and back, with what lies before the gate kept by the product, against the two by themselves. */
static void check_gate_back(tain_device *d, int64_t rows, int64_t in, int64_t half)
{
    tain_tensor *x = random_tensor(d, rows, in, NULL), *w = random_tensor(d, 2 * half, in, NULL), *r = random_tensor(d, rows, half, NULL);
    int64_t count[3] = { rows * half, rows * in, 2 * half * in };
    float *got[2][3];

    CHECK_INT(tain_tensor_want_grad(x, true), 0);
    CHECK_INT(tain_tensor_want_grad(w, true), 0);
    for (int fused = 0; fused < 2; fused++) {
        tain_tensor *both = NULL, *y, *product, *loss;
        CHECK_INT(tain_tape_begin(d), 0);
        if (!fused)
            CHECK(both = tain_linear(x, w, NULL));
        CHECK((y = fused ? op_linear(x, w, &(struct linear){ .activation = GEMM_GATE }) : tain_swiglu(both)));
        CHECK((product = tain_mul(y, r)) && (loss = tain_sum(product)));
        CHECK_INT(tain_backward(loss), 0);
        tain_tensor *const of[3] = { tensor_ref(y), tain_tensor_grad(x), tain_tensor_grad(w) };
        for (int i = 0; i < 3; i++) {
            CHECK(of[i] && (got[fused][i] = malloc((size_t)count[i] * 4)));
            CHECK_INT(tain_tensor_read(of[i], got[fused][i], count[i]), 0);
            tensor_unref(of[i]);
        }
        tain_tape_end(d);
        CHECK_INT(tain_tensor_want_grad(x, false), 0); /* drops what they have */
        CHECK_INT(tain_tensor_want_grad(w, false), 0);
        CHECK_INT(tain_tensor_want_grad(x, true), 0);
        CHECK_INT(tain_tensor_want_grad(w, true), 0);
        for (size_t i = 0; i < 4; i++)
            tensor_unref((tain_tensor *[]){ both, y, product, loss }[i]);
    }
    for (int i = 0; i < 3; i++) {
        for (int64_t k = 0; k < count[i]; k++)
            CHECK_CLOSE(got[0][i][k], got[1][i][k], 2e-5 * (1 + fabsf(got[0][i][k])));
        free(got[0][i]);
        free(got[1][i]);
    }
    CHECK(!op_linear(x, w, &(struct linear){ .activation = GEMM_GATE, .residual = x })); /* of another shape */
    for (size_t i = 0; i < 3; i++)
        tensor_unref((tain_tensor *[]){ x, w, r }[i]);
}

/* The norm before a product in it, against the norm by itself, also when a weight has changed that was laid out with its
 * norm before; x is a part of something wider, and its rows are of very different lengths. */
static void check_normed(tain_device *d, int64_t rows, int64_t in, int64_t out, tain_type type, enum gemm_activation activation)
{
    tain_tensor *lengths = random_tensor(d, rows, 1, NULL), *even = random_tensor(d, rows, in + 8, NULL);
    tain_tensor *longer = tain_scale(lengths, 5), *factors = tain_exp(longer), *all = tain_mul(even, factors);
    tain_tensor *x = tain_slice(all, 1, 4, in);
    tain_tensor *square = random_tensor(d, 1, in, NULL), *norm = tain_reshape(square, 1, (int64_t[]){ in });
    tain_tensor *f = random_tensor(d, out, in, NULL), *w = tain_cast(f, type);
    int64_t count = rows * (activation == GEMM_GATE ? out / 2 : out);
    float *a = malloc((size_t)count * 4), *b = malloc((size_t)count * 4), *other = malloc((size_t)(out * in) * 4);

    CHECK(a && b && other && gemm_norms(x, w) && (activation != GEMM_GATE || gemm_gates(x, w)));
    for (int pass = 0; pass < 5; pass++) {
        tain_tensor *apart = tain_rms_norm(x, norm, 1e-3f), *both = apart ? tain_linear(apart, w, NULL) : NULL, *y;
        tain_tensor *want = !both ? NULL : activation == GEMM_GATE ? tain_swiglu(both) : tensor_ref(both);
        CHECK(want && (y = op_linear(x, w, &(struct linear){ .norm = norm, .eps = 1e-3f, .activation = activation })));
        CHECK_INT(tain_tensor_read(want, a, count), 0);
        CHECK_INT(tain_tensor_read(y, b, count), 0);
        for (int64_t k = 0; k < count; k++)
            CHECK_CLOSE(a[k], b[k], 2e-5 * (1 + fabsf(a[k])));
        for (int64_t k = 0; k < out * in; k++)
            other[k] = check_uniform(-1, 1);
        if (pass == 2)
            CHECK_INT(tain_tensor_write(norm, other, in), 0);
        if (pass == 3)
            CHECK_INT(tain_tensor_write(w, other, out * in), 0);
        for (size_t i = 0; i < 4; i++)
            tensor_unref((tain_tensor *[]){ apart, both, want, y }[i]);
    }
    free(a);
    free(b);
    free(other);
    for (size_t i = 0; i < 10; i++)
        tensor_unref((tain_tensor *[]){ lengths, longer, factors, even, all, x, square, norm, f, w }[i]);
}

/* Where the product cannot begin so: few rows, many columns, and matrices that are not read four at a time. */
static void check_no_norm(tain_device *d)
{
    tain_tensor *x = random_tensor(d, 9, 32, NULL), *few = random_tensor(d, 4, 32, NULL), *w = random_tensor(d, 24, 32, NULL);
    tain_tensor *wide = random_tensor(d, 1028, 32, NULL), *blocks = tain_tensor_create(d, TAIN_INT8, 2, (int64_t[]){ 24, 32 });
    tain_tensor *odd = random_tensor(d, 10, 32, NULL);

    CHECK(gemm_norms(x, w) && !gemm_norms(few, w) && !gemm_norms(x, wide) && !gemm_norms(x, blocks) && !gemm_norms(x, odd));
    CHECK(!op_linear(x, w, &(struct linear){ .norm = w, .eps = 1e-3f }) && strstr(tain_error(), "linear: x is [9, 32], its norm's weight is [24, 32]"));
    for (size_t i = 0; i < 6; i++)
        tensor_unref((tain_tensor *[]){ x, few, w, wide, blocks, odd }[i]);
}

/* Where the product cannot end so. */
static void check_no_gate(tain_device *d)
{
    tain_tensor *x = random_tensor(d, 9, 32, NULL), *few = random_tensor(d, 4, 32, NULL), *w = random_tensor(d, 24, 32, NULL);
    tain_tensor *blocks = tain_tensor_create(d, TAIN_INT8, 2, (int64_t[]){ 24, 32 }), *odd = random_tensor(d, 12, 32, NULL);
    tain_tensor *thin = random_tensor(d, 9, 30, NULL), *of_thin = random_tensor(d, 24, 30, NULL);

    CHECK(gemm_gates(x, w) && !gemm_gates(few, w) && !gemm_gates(x, odd) && !gemm_gates(x, blocks) && !gemm_gates(thin, of_thin));
    for (size_t i = 0; i < 7; i++)
        tensor_unref((tain_tensor *[]){ x, few, w, blocks, odd, thin, of_thin }[i]);
}

/* q, k and v side by side, each with its adapter, and a bias: against three layers by themselves. Only
 * adapters are trained, as in fine-tuning; x is the first activation and has no gradient. */
static void check_three(tain_device *d)
{
    enum { ROWS = 10, IN = 12, RANK = 3 };
    static const int64_t own[3] = { 8, 5, 6 }, at[3] = { 0, 8, 13 };
    float ws[19 * IN], bs[19], got[ROWS * 19], want[ROWS * 8], grads[2][2][3][IN * RANK];
    tain_tensor *x = random_tensor(d, ROWS, IN, NULL), *w = random_tensor(d, 19, IN, ws), *bias = random_tensor(d, 19, 1, bs), *flat;
    struct linear_adapters a = { 3, { NULL }, { NULL }, { 0, 8, 13 }, { 2, 0.5f, -1 } };

    flat = tain_reshape(bias, 1, (int64_t[]){ 19 });
    for (int i = 0; i < 3; i++) {
        a.a[i] = random_tensor(d, RANK, IN, NULL);
        a.b[i] = random_tensor(d, own[i], RANK, NULL);
        CHECK(!tain_tensor_want_grad(a.a[i], true) && !tain_tensor_want_grad(a.b[i], true));
    }
    for (int apart = 0; apart < 2; apart++) {
        tain_tensor *y = NULL, *loss = NULL, *s, *t;
        CHECK_INT(tain_tape_begin(d), 0);
        if (!apart) {
            CHECK((y = op_linear(x, w, &(struct linear){ .bias = flat, .adapters = &a })));
            CHECK_INT(tain_tensor_read(y, got, ROWS * 19), 0);
            s = tain_square(y);
            loss = tain_sum(s);
            tensor_unref(s);
        }
        for (int i = 0; i < 3 && apart; i++) {
            struct linear_adapters single = { 1, { a.a[i] }, { a.b[i] }, { 0 }, { a.scale[i] } };
            tain_tensor *wi = tensor_from(d, TAIN_F32, 2, (int64_t[]){ own[i], IN }, ws + at[i] * IN);
            tain_tensor *bi = tensor_from(d, TAIN_F32, 1, &own[i], bs + at[i]);
            CHECK((y = op_linear(x, wi, &(struct linear){ .bias = bi, .adapters = &single })));
            CHECK_INT(tain_tensor_read(y, want, ROWS * own[i]), 0);
            for (int64_t k = 0; k < ROWS * own[i]; k++)
                CHECK_CLOSE(got[k / own[i] * 19 + at[i] + k % own[i]], want[k], 1e-5);
            s = tain_square(y);
            t = tain_sum(s);
            tensor_unref(s);
            tensor_unref(y);
            tensor_unref(wi);
            tensor_unref(bi);
            s = loss ? tain_add(loss, t) : tensor_ref(t);
            tensor_unref(t);
            tensor_unref(loss);
            loss = s;
            y = NULL;
        }
        CHECK_INT(tain_backward(loss), 0);
        for (int i = 0; i < 3; i++) {
            tain_tensor *ga = tain_tensor_grad(a.a[i]), *gb = tain_tensor_grad(a.b[i]);
            CHECK_INT(tain_tensor_read(ga, grads[apart][0][i], RANK * IN), 0);
            CHECK_INT(tain_tensor_read(gb, grads[apart][1][i], own[i] * RANK), 0);
            tensor_unref(ga);
            tensor_unref(gb);
            CHECK(!tain_tensor_want_grad(a.a[i], false) && !tain_tensor_want_grad(a.b[i], false));
            CHECK(!tain_tensor_want_grad(a.a[i], true) && !tain_tensor_want_grad(a.b[i], true));
        }
        tensor_unref(y);
        tensor_unref(loss);
        tain_tape_end(d);
    }
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < RANK * IN; k++)
            CHECK_CLOSE(grads[0][0][i][k], grads[1][0][i][k], 1e-4);
        for (int k = 0; k < own[i] * RANK; k++)
            CHECK_CLOSE(grads[0][1][i][k], grads[1][1][i][k], 1e-4);
        tensor_unref(a.a[i]);
        tensor_unref(a.b[i]);
    }
    tensor_unref(x);
    tensor_unref(w);
    tensor_unref(bias);
    tensor_unref(flat);
}

/* Some rows of a matrix in blocks, as parts of a weight are: forward, and the gradient of x. */
static void check_rows(tain_device *d, tain_type type)
{
    enum { ROWS = 5, IN = 96, ALL = 30, FIRST = 8, OWN = 12 };
    float ws[ALL * IN], ys[2][ROWS * OWN], grads[2][ROWS * IN];
    tain_tensor *x = random_tensor(d, ROWS, IN, NULL), *f = random_tensor(d, ALL, IN, ws), *all, *w[2];

    CHECK((all = tain_tensor_create(d, type, 2, (int64_t[]){ ALL, IN })));
    CHECK_INT(tain_tensor_write(all, ws, ALL * IN), 0);
    CHECK_INT(tain_tensor_read(all, ws, ALL * IN), 0);
    CHECK((w[0] = view_part(all, 0, FIRST, OWN)));
    CHECK((w[1] = tensor_from(d, TAIN_F32, 2, (int64_t[]){ OWN, IN }, ws + FIRST * IN)));
    CHECK(!tain_tensor_want_grad(x, true));
    for (int i = 0; i < 2; i++) {
        tain_tensor *y, *square, *loss, *g;
        CHECK_INT(tain_tape_begin(d), 0);
        CHECK((y = tain_linear(x, w[i], NULL)) && (square = tain_square(y)) && (loss = tain_sum(square)));
        CHECK_INT(tain_tensor_read(y, ys[i], ROWS * OWN), 0);
        CHECK_INT(tain_backward(loss), 0);
        tain_tape_end(d);
        CHECK((g = tain_tensor_grad(x)));
        CHECK_INT(tain_tensor_read(g, grads[i], ROWS * IN), 0);
        CHECK(!tain_tensor_want_grad(x, false) && !tain_tensor_want_grad(x, true));
        tensor_unref(g);
        tensor_unref(y);
        tensor_unref(square);
        tensor_unref(loss);
        tensor_unref(w[i]);
    }
    for (int k = 0; k < ROWS * OWN; k++)
        CHECK_CLOSE(ys[0][k], ys[1][k], 1e-4);
    for (int k = 0; k < ROWS * IN; k++)
        CHECK_CLOSE(grads[0][k], grads[1][k], 1e-3);
    tensor_unref(all);
    tensor_unref(f);
    tensor_unref(x);
}

/* Matrices in blocks are the weight of a linear layer and nothing else. */
static void check_blocks_refused(tain_device *d)
{
    tain_tensor *w = tain_tensor_create(d, TAIN_INT4, 2, (int64_t[]){ 8, 32 }), *x = random_tensor(d, 3, 32, NULL), *y;
    float nan[8 * 32] = { NAN };

    CHECK(w && (y = tain_linear(x, w, NULL)));
    CHECK(!tain_linear(w, x, NULL) && strstr(tain_error(), "linear: input 1 is stored as int4, which only the weight"));
    CHECK(!tain_matmul(x, w) && strstr(tain_error(), "matmul: input 2 is stored as int4"));
    CHECK(!tain_add(w, w) && strstr(tain_error(), "add: input 1 is stored as int4"));
    CHECK(!tain_transpose(w, 0, 1) && strstr(tain_error(), "transpose: input 1 is stored as int4"));
    CHECK(!tain_cast(w, TAIN_F32) && strstr(tain_error(), "cast: input 1 is stored as int4"));
    CHECK(!tain_cast(x, TAIN_INT8) && strstr(tain_error(), "cast: type is int8"));
    CHECK_FAILS(tain_tensor_want_grad(w, true), TAIN_EINVAL, "want_grad: the tensor is stored as int4; only f32 can be trained");
    CHECK_FAILS(tain_tensor_write(w, nan, 8 * 32), TAIN_EINVAL, "not finite");
    CHECK(!tain_tensor_create(d, TAIN_INT8, 2, (int64_t[]){ 8, 48 }) && strstr(tain_error(), "a multiple of 32"));
    CHECK(!tain_tensor_create(d, TAIN_INT8, 1, (int64_t[]){ 32 }) && strstr(tain_error(), "a multiple of 32"));
    CHECK(!tain_tensor_create(d, TAIN_INT4, 0, NULL) && strstr(tain_error(), "a multiple of 32"));
    tensor_unref(y);
    tensor_unref(w);
    tensor_unref(x);
}

static void check_refused(tain_device *d)
{
    tain_tensor *x = random_tensor(d, 3, 8, NULL), *w = random_tensor(d, 4, 8, NULL), *a = random_tensor(d, 2, 8, NULL);
    tain_tensor *b = random_tensor(d, 3, 2, NULL), *odd = random_tensor(d, 4, 2, NULL);
    struct linear_adapters low = { 1, { a }, { b }, { 2 }, { 1 } }, wrong = { 1, { a }, { w }, { 0 }, { 1 } };

    CHECK(!tain_linear(x, odd, NULL) && strstr(tain_error(), "linear: inner sizes differ: x is [3, 8], weight is [4, 2]"));
    CHECK(!tain_linear(x, w, a) && strstr(tain_error(), "linear: bias is [2, 8], weight is [4, 8]"));
    CHECK(!tain_linear(x, NULL, NULL) && strstr(tain_error(), "linear: weight is missing"));
    CHECK(!op_linear(x, w, &(struct linear){ .residual = x }) && strstr(tain_error(), "linear: residual is [3, 8]; x is [3, 8], weight is [4, 8]"));
    CHECK(!op_linear(x, w, &(struct linear){ .adapters = &low }));
    CHECK(strstr(tain_error(), "linear: adapter 1 is [2, 8] and [3, 2] at row 2 of weight [4, 8]"));
    CHECK(!op_linear(x, w, &(struct linear){ .adapters = &wrong }) && strstr(tain_error(), "linear: adapter 1 is [2, 8] and [4, 8]"));
    tensor_unref(x);
    tensor_unref(w);
    tensor_unref(a);
    tensor_unref(b);
    tensor_unref(odd);
}

int main(void)
{
    static const struct check_case cases[] = {
        { .in = { { 2, { 1, 4 } }, { 2, { 4, 4 } }, { 1, { 4 } } } },
        { .in = { { 3, { 2, 5, 12 } }, { 2, { 20, 12 } }, { 1, { 20 } } } },
        { .in = { { 3, { 2, 33, 10 } }, { 2, { 6, 10 } }, { 1, { 6 } } } },
        { .in = { { 2, { 40, 64 } }, { 2, { 72, 64 } }, { 1, { 72 } } } },
    };
    static const struct check_case halves[] = {
        { .in = { { 2, { 9, 16 } }, { 2, { 24, 16 }, -1, 1, TAIN_BF16, true }, { 1, { 24 } } } },
        { .in = { { 2, { 9, 16 } }, { 2, { 24, 16 }, -1, 1, TAIN_F16, true }, { 1, { 24 } } } },
        { .in = { { 2, { 5, 6 } }, { 2, { 7, 6 }, -1, 1, TAIN_BF16, true }, { 1, { 7 } } } },
    };
    static const struct check_case blocks[] = { /* rows and columns that fill no tile, no four, no pair of blocks */
        { .in = { { 2, { 1, 32 } }, { 2, { 4, 32 }, -1, 1, TAIN_INT8, true }, { 1, { 4 } } } },
        { .in = { { 2, { 1, 32 } }, { 2, { 4, 32 }, -1, 1, TAIN_INT4, true }, { 1, { 4 } } } },
        { .in = { { 2, { 9, 96 } }, { 2, { 72, 96 }, -1, 1, TAIN_INT8, true }, { 1, { 72 } } } },
        { .in = { { 2, { 9, 96 } }, { 2, { 72, 96 }, -1, 1, TAIN_INT4, true }, { 1, { 72 } } } },
        { .in = { { 3, { 2, 33, 64 } }, { 2, { 23, 64 }, -1, 1, TAIN_INT8, true }, { 1, { 23 } } } },
        { .in = { { 3, { 2, 33, 64 } }, { 2, { 23, 64 }, -1, 1, TAIN_INT4, true }, { 1, { 23 } } } },
        { .in = { { 2, { 40, 160 } }, { 2, { 133, 160 }, -1, 1, TAIN_INT8, true }, { 1, { 133 } } } },
        { .in = { { 2, { 40, 160 } }, { 2, { 132, 160 }, -1, 1, TAIN_INT4, true }, { 1, { 132 } } } },
        { .in = { { 2, { 0, 32 } }, { 2, { 4, 32 }, -1, 1, TAIN_INT4, true }, { 1, { 4 } } } },
    };
    static const struct check_case few[] = { /* the kernel for few rows: its last lanes and outputs have none */
        { .in = { { 2, { 1, 36 } }, { 2, { 5, 36 } }, { 1, { 5 } } } },
        { .in = { { 3, { 2, 1, 260 } }, { 2, { 67, 260 } }, { 1, { 67 } } } },
        { .in = { { 2, { 3, 132 } }, { 2, { 16, 132 } }, { 1, { 16 } } } },
        { .in = { { 2, { 4, 128 } }, { 2, { 33, 128 } }, { 1, { 33 } } } },
        { .in = { { 2, { 1, 72 } }, { 2, { 13, 72 }, -1, 1, TAIN_BF16, true }, { 1, { 13 } } } },
        { .in = { { 2, { 2, 264 } }, { 2, { 24, 264 }, -1, 1, TAIN_BF16, true }, { 1, { 24 } } } },
        { .in = { { 2, { 4, 136 } }, { 2, { 9, 136 }, -1, 1, TAIN_F16, true }, { 1, { 9 } } } },
        { .in = { { 2, { 1, 352 } }, { 2, { 13, 352 }, -1, 1, TAIN_INT8, true }, { 1, { 13 } } } },
        { .in = { { 2, { 2, 160 } }, { 2, { 66, 160 }, -1, 1, TAIN_INT8, true }, { 1, { 66 } } } },
        { .in = { { 2, { 2, 544 } }, { 2, { 23, 544 }, -1, 1, TAIN_INT4, true }, { 1, { 23 } } } },
        { .in = { { 2, { 1, 288 } }, { 2, { 8, 288 }, -1, 1, TAIN_INT4, true }, { 1, { 8 } } } },
        /* so many columns that an invocation takes more of them */
        { .in = { { 2, { 2, 64 } }, { 2, { 517, 64 }, -1, 1, TAIN_F32, true }, { 1, { 517 } } } },
        { .in = { { 2, { 3, 72 } }, { 2, { 513, 72 }, -1, 1, TAIN_BF16, true }, { 1, { 513 } } } },
        { .in = { { 2, { 2, 160 } }, { 2, { 526, 160 }, -1, 1, TAIN_INT8, true }, { 1, { 526 } } } },
        { .in = { { 2, { 1, 256 } }, { 2, { 515, 256 }, -1, 1, TAIN_INT4, true }, { 1, { 515 } } } },
    };
    static const struct check_case ones[] = {
        { .in = { { 2, { 2, 40 } }, { 2, { 24, 40 } }, { 2, { 36, 40 } }, { 2, { 20, 36 } } }, .with = { 3, 0, 0.5 } },
        { .in = { { 2, { 1, 4 } }, { 2, { 4, 4 } }, { 2, { 1, 4 } }, { 2, { 4, 1 } } }, .with = { 0, 0, 1 } },
        { .in = { { 3, { 2, 5, 16 } }, { 2, { 24, 16 } }, { 2, { 4, 16 } }, { 2, { 8, 4 } } }, .with = { 16, 0, 2 } },
        { .in = { { 2, { 7, 10 } }, { 2, { 9, 10 } }, { 2, { 3, 10 } }, { 2, { 4, 3 } } }, .with = { 3, 0, -0.5 } },
        { .in = { { 2, { 17, 20 } }, { 2, { 36, 20 }, -1, 1, TAIN_BF16, true }, { 2, { 8, 20 } }, { 2, { 36, 8 } } }, .with = { 0, 0, 0.25 } },
        { .in = { { 2, { 6, 8 }, 0, 0, TAIN_F32, true }, { 2, { 12, 8 }, -1, 1, TAIN_F16, true }, { 2, { 2, 8 } }, { 2, { 12, 2 } } }, .with = { 0, 0, 4 } },
        { .in = { { 2, { 10, 32 } }, { 2, { 24, 32 }, -1, 1, TAIN_INT8, true }, { 2, { 4, 32 } }, { 2, { 8, 4 } } }, .with = { 16, 0, 2 } },
        { .in = { { 2, { 7, 64 } }, { 2, { 9, 64 }, -1, 1, TAIN_INT4, true }, { 2, { 3, 64 } }, { 2, { 4, 3 } } }, .with = { 3, 0, -0.5 } },
        { .in = { { 2, { 6, 8 } }, { 2, { 12, 8 }, -1, 1, TAIN_F32, true }, { 2, { 2, 8 }, -1, 1, TAIN_F32, true }, { 2, { 12, 2 }, -1, 1, TAIN_F32, true } }, .with = { 0, 0, 4 } },
        { .in = { { 2, { 0, 4 } }, { 2, { 4, 4 } }, { 2, { 2, 4 } }, { 2, { 4, 2 } } }, .with = { 0, 0, 1 } },
    };
    static const struct check_case twos[] = { /* beside each other, with a gap, over each other */
        { .in = { { 2, { 5, 16 } }, { 2, { 32, 16 } }, { 2, { 4, 16 } }, { 2, { 16, 4 } }, { 2, { 8, 16 } }, { 2, { 16, 8 } } }, .with = { 0, 16, 1, 3 } },
        { .in = { { 2, { 9, 7 } }, { 2, { 13, 7 } }, { 2, { 1, 7 } }, { 2, { 5, 1 } }, { 2, { 2, 7 } }, { 2, { 6, 2 } } }, .with = { 1, 7, 1, -1 } },
        { .in = { { 2, { 6, 12 } }, { 2, { 20, 12 } }, { 2, { 3, 12 } }, { 2, { 12, 3 } }, { 2, { 3, 12 } }, { 2, { 16, 3 } } }, .with = { 0, 4, 0.5, 2 } },
    };
    static const struct check_case residuals[] = { /* many rows, odd sizes, few rows, weights of other kinds */
        { .in = { { 3, { 2, 21, 12 } }, { 2, { 72, 12 } }, { 1, { 72 } }, { 3, { 2, 21, 72 } } } },
        { .in = { { 2, { 9, 10 } }, { 2, { 7, 10 } }, { 1, { 7 } }, { 2, { 9, 7 } } } },
        { .in = { { 2, { 6, 15 } }, { 2, { 12, 15 } }, { 1, { 12 } }, { 2, { 6, 12 } } } },
        { .in = { { 3, { 3, 1, 132 } }, { 2, { 13, 132 } }, { 1, { 13 } }, { 3, { 3, 1, 13 } } } },
        { .in = { { 2, { 9, 16 } }, { 2, { 24, 16 }, -1, 1, TAIN_BF16, true }, { 1, { 24 } }, { 2, { 9, 24 } } } },
        { .in = { { 2, { 5, 6 } }, { 2, { 7, 6 }, -1, 1, TAIN_F16, true }, { 1, { 7 } }, { 2, { 5, 7 } } } },
        { .in = { { 2, { 9, 96 } }, { 2, { 23, 96 }, -1, 1, TAIN_INT8, true }, { 1, { 23 } }, { 2, { 9, 23 } } } },
        { .in = { { 2, { 2, 288 } }, { 2, { 8, 288 }, -1, 1, TAIN_INT4, true }, { 1, { 8 } }, { 2, { 2, 8 } } } },
        { .in = { { 2, { 0, 4 } }, { 2, { 4, 4 } }, { 1, { 4 } }, { 2, { 0, 4 } } } },
    };
    static const struct check_case both[] = {
        { .in = { { 2, { 17, 20 } }, { 2, { 24, 20 } }, { 1, { 24 } }, { 2, { 17, 24 } }, { 2, { 3, 20 } }, { 2, { 9, 3 } } },
          .with = { 5, 0, -0.5 } },
        { .in = { { 2, { 7, 64 } }, { 2, { 9, 64 }, -1, 1, TAIN_INT4, true }, { 1, { 9 } }, { 2, { 7, 9 } }, { 2, { 3, 64 } },
                  { 2, { 4, 3 } } }, .with = { 3, 0, 2 } },
    };
    tain_device *d;

    setenv("TAIN_DOT", "no", 1); /* few rows times blocks are rounded with it: op/gemv_dot */
    d = tain_device_open(NULL);
    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "linear", 3, run, reference, 1e-5, 1e-4 }), cases);
    CHECK_CASES(d, (&(struct check_op){ "linear", 3, run, reference, 1e-5, 1e-4 }), halves);
    CHECK_CASES(d, (&(struct check_op){ "linear, blocks", 3, run, reference, 1e-5, 1e-4 }), blocks);
    CHECK_CASES(d, (&(struct check_op){ "linear, few rows", 3, run, reference, 1e-5, 1e-4 }), few);
    CHECK_CASES(d, (&(struct check_op){ "linear, adapted", 4, run_one, reference_one, 1e-5, 1e-4 }), ones);
    CHECK_CASES(d, (&(struct check_op){ "linear, adapted twice", 6, run_two, reference_two, 1e-5, 1e-4 }), twos);
    CHECK_CASES(d, (&(struct check_op){ "linear, residual", 4, run_residual, reference_residual, 1e-5, 1e-4 }), residuals);
    CHECK_CASES(d, (&(struct check_op){ "linear, residual, adapted", 6, run_residual, reference_residual, 1e-5, 1e-4 }), both);
    check_activation(d, 5);
    check_activation(d, 2); /* few rows */
    check_gate(d, 5, 8, 4, TAIN_F32);
    check_gate(d, 33, 40, 36, TAIN_F32);
    check_gate(d, 70, 132, 96, TAIN_F32);
    check_gate(d, 18, 36, 20, TAIN_BF16);
    check_gate(d, 9, 64, 68, TAIN_F16);
    check_no_gate(d);
    check_gate_back(d, 5, 8, 4);
    check_gate_back(d, 33, 40, 36);  /* edges of tiles on both sides */
    check_gate_back(d, 70, 132, 96);
    check_gate_back(d, 200, 64, 128);
    if (!d->tiles || gpu_info(d->gpu)->texel) { /* GPUs' tiles have the norm before them */
        check_normed(d, 5, 8, 4, TAIN_F32, GEMM_NONE);
        check_normed(d, 33, 40, 72, TAIN_F32, GEMM_GATE);
        check_normed(d, 70, 132, 100, TAIN_F32, GEMM_NONE);
        check_normed(d, 131, 516, 264, TAIN_F32, GEMM_NONE); /* 64 rows a tile on 16 lanes */
        check_normed(d, 18, 36, 20, TAIN_BF16, GEMM_NONE);
        check_normed(d, 9, 64, 72, TAIN_F16, GEMM_GATE);
        check_no_norm(d);
    }
    check_three(d);
    check_rows(d, TAIN_INT8);
    check_rows(d, TAIN_INT4);
    check_refused(d);
    check_blocks_refused(d);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

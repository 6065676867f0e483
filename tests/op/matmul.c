/* Products: every orientation, awkward sizes, batches, one matrix for all batches, linear layers
 * with weights in 16 bits. */
#include "op/check_op.h"
#include "op/matmul.h"

static tain_tensor *run(tain_tensor *const *in, const double *with)
{
    tain_tensor *a = with[0] ? tain_transpose(in[0], -1, -2) : tensor_ref(in[0]);
    tain_tensor *b = with[1] ? tain_transpose(in[1], -1, -2) : tensor_ref(in[1]);
    tain_tensor *y = a && b ? tain_matmul(a, b) : NULL;

    tensor_unref(a);
    tensor_unref(b);
    return y;
}

static void reference(const struct check_value *in, struct check_value *out, const double *with)
{
    const struct check_value *a = &in[0], *b = &in[1];
    bool ta = with[0] != 0, tb = with[1] != 0, one = b->dims == 2;
    int64_t M = a->shape[a->dims - (ta ? 1 : 2)], K = a->shape[a->dims - (ta ? 2 : 1)];
    int64_t N = b->shape[b->dims - (tb ? 2 : 1)], batch = K && M ? a->count / (M * K) : 0, shape[TENSOR_DIMS];

    memcpy(shape, a->shape, sizeof(shape));
    shape[a->dims - 2] = M;
    shape[a->dims - 1] = N;
    check_shape(out, a->dims, shape);
    for (int64_t z = 0; z < batch; z++)
        for (int64_t m = 0; m < M; m++)
            for (int64_t n = 0; n < N; n++)
                for (int64_t k = 0; k < K; k++)
                    out->at[(z * M + m) * N + n] += a->at[z * M * K + (ta ? k * M + m : m * K + k)] *
                                                    b->at[(one ? 0 : z * N * K) + (tb ? n * K + k : k * N + n)];
}

static tain_tensor *linear_run(tain_tensor *const *in, const double *with)
{
    (void)with;
    return tain_linear(in[0], in[1], in[2]);
}

static void linear_reference(const struct check_value *in, struct check_value *out, const double *with)
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

/* A linear layer with its activation, against the activation by itself. */
static void check_activation(tain_device *d)
{
    tain_tensor *(*const act[])(tain_tensor *) = { NULL, tain_silu, tain_gelu, tain_gelu_tanh };
    float xs[5 * 8], ws[12 * 8], bs[12], a[60], b[60];

    for (int i = 0; i < 40; i++)
        xs[i] = check_uniform(-2, 2);
    for (int i = 0; i < 96; i++)
        ws[i] = check_uniform(-1, 1);
    for (int i = 0; i < 12; i++)
        bs[i] = check_uniform(-1, 1);
    tain_tensor *x = tensor_from(d, TAIN_F32, 2, (int64_t[]){ 5, 8 }, xs), *w = tensor_from(d, TAIN_F32, 2, (int64_t[]){ 12, 8 }, ws);
    tain_tensor *bias = tensor_from(d, TAIN_F32, 1, (int64_t[]){ 12 }, bs), *plain = tain_linear(x, w, bias);
    for (int i = GEMM_SILU; i <= GEMM_GELU_TANH; i++) {
        tain_tensor *want = act[i](plain), *y = op_linear(x, w, bias, (enum gemm_activation)i, NULL);
        CHECK(want && y);
        CHECK_INT(tain_tensor_read(want, a, 60), 0);
        CHECK_INT(tain_tensor_read(y, b, 60), 0);
        for (int k = 0; k < 60; k++)
            CHECK_CLOSE(a[k], b[k], 2e-6);
        tensor_unref(want);
        tensor_unref(y);
    }
    tensor_unref(plain);
    tensor_unref(bias);
    tensor_unref(w);
    tensor_unref(x);
}

int main(void)
{
    static const struct check_case products[] = {
        { .in = { { 2, { 1, 1 } }, { 2, { 1, 1 } } } },
        { .in = { { 2, { 3, 5 } }, { 2, { 5, 7 } } } },
        { .in = { { 2, { 33, 36 } }, { 2, { 36, 68 } } } },
        { .in = { { 2, { 65, 17 } }, { 2, { 17, 63 } } } },
        { .in = { { 2, { 12, 130 } }, { 2, { 130, 8 } } } },
        { .in = { { 2, { 20, 33 } }, { 2, { 20, 36 } } }, .with = { 1, 0 } },
        { .in = { { 2, { 24, 32 } }, { 2, { 24, 36 } } }, .with = { 1, 0 } },
        { .in = { { 2, { 7, 20 } }, { 2, { 12, 20 } } }, .with = { 0, 1 } },
        { .in = { { 2, { 20, 7 } }, { 2, { 12, 20 } } }, .with = { 1, 1 } },
        { .in = { { 4, { 2, 3, 9, 8 } }, { 4, { 2, 3, 8, 12 } } } },
        { .in = { { 4, { 2, 3, 9, 8 } }, { 4, { 2, 3, 12, 8 } } }, .with = { 0, 1 } },
        { .in = { { 3, { 4, 6, 10 } }, { 2, { 10, 5 } } } },
        { .in = { { 2, { 0, 4 } }, { 2, { 4, 4 } } } },
    };
    static const struct check_case linears[] = {
        { .in = { { 2, { 1, 4 } }, { 2, { 4, 4 } }, { 1, { 4 } } } },
        { .in = { { 3, { 2, 5, 12 } }, { 2, { 20, 12 } }, { 1, { 20 } } } },
        { .in = { { 3, { 2, 33, 10 } }, { 2, { 6, 10 } }, { 1, { 6 } } } },
        { .in = { { 2, { 100, 64 } }, { 2, { 72, 64 } }, { 1, { 72 } } } },
    };
    static const struct check_case halves[] = {
        { .in = { { 2, { 9, 16 } }, { 2, { 24, 16 }, -1, 1, TAIN_BF16, true }, { 1, { 24 } } } },
        { .in = { { 2, { 9, 16 } }, { 2, { 24, 16 }, -1, 1, TAIN_F16, true }, { 1, { 24 } } } },
        { .in = { { 2, { 5, 6 } }, { 2, { 7, 6 }, -1, 1, TAIN_BF16, true }, { 1, { 7 } } } },
    };
    tain_device *d = tain_device_open(NULL);
    tain_tensor *a, *b;

    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "matmul", 2, run, reference, 1e-5, 1e-4 }), products);
    CHECK_CASES(d, (&(struct check_op){ "linear", 3, linear_run, linear_reference, 1e-5, 1e-4 }), linears);
    CHECK_CASES(d, (&(struct check_op){ "linear", 3, linear_run, linear_reference, 1e-5, 1e-4 }), halves);
    check_activation(d);
    a = tensor_new(d, TAIN_F32, 2, (int64_t[]){ 3, 8 });
    b = tensor_new(d, TAIN_F32, 2, (int64_t[]){ 4, 2 });
    CHECK(!tain_matmul(a, b));
    CHECK(strstr(tain_error(), "matmul: inner sizes differ: a is [3, 8], b is [4, 2]"));
    tensor_unref(a);
    tensor_unref(b);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

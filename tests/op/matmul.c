/* Products: every orientation, awkward sizes, batches, one matrix for all batches. */
#include "op/check_op.h"

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

/* Rows that begin a power of two apart are copied first on CPUs: of parts of wider matrices, and of a
 * weight in 16 bits. */
static void even_rows(tain_device *d, bool weight)
{
    enum { M = 257, N = 260, PITCH = 512 };
    int K = weight ? PITCH : 252, at = weight ? 0 : 4;
    tain_tensor *a = tain_uniform(d, 2, (int64_t[]){ M, PITCH }, 5, 1, 0);
    tain_tensor *b = tain_uniform(d, 2, (int64_t[]){ N, PITCH }, 5, 2, 0);
    tain_tensor *stored = tain_cast(b, weight ? TAIN_BF16 : TAIN_F32), *back = tain_cast(stored, TAIN_F32);
    tain_tensor *left = tain_slice(a, 1, at, K), *right = tain_slice(stored, 1, at, K), *turned = tain_transpose(right, 0, 1);
    tain_tensor *y = weight ? tain_linear(left, right, NULL) : tain_matmul(left, turned);
    tain_tensor *all[] = { a, b, stored, back, left, right, turned, y };
    float *fa = malloc(sizeof(float) * M * PITCH), *fb = malloc(sizeof(float) * N * PITCH), *fy = malloc(sizeof(float) * M * N);

    CHECK(fa && fb && fy && y && back);
    CHECK_INT(tain_tensor_read(a, fa, M * PITCH), TAIN_OK);
    CHECK_INT(tain_tensor_read(back, fb, N * PITCH), TAIN_OK);
    CHECK_INT(tain_tensor_read(y, fy, M * N), TAIN_OK);
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            double sum = 0;

            for (int k = at; k < at + K; k++)
                sum += (double)fa[m * PITCH + k] * fb[n * PITCH + k];
            CHECK_CLOSE(fy[m * N + n], sum, 1e-5 * sum);
        }
    free(fa);
    free(fb);
    free(fy);
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        tensor_unref(all[i]);
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
    /* Workgroups in each direction whose numbers have many digits (shaders/lib/each.glsl). */
    static const struct check_case many[] = {
        { .in = { { 2, { 33000, 4 } }, { 2, { 4, 4 } } } },
        { .in = { { 2, { 3, 4 } }, { 2, { 4, 20000 } } } },
        { .in = { { 3, { 40000, 2, 4 } }, { 3, { 40000, 4, 4 } } } },
    };
    tain_device *d = tain_device_open(NULL);
    tain_tensor *a, *b;

    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "matmul", 2, run, reference, 1e-5, 1e-4 }), products);
    CHECK_CASES(d, (&(struct check_op){ "matmul", 2, run, reference, 1e-5, 1e-4, .no_grad = true }), many);
    even_rows(d, false);
    even_rows(d, true);
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

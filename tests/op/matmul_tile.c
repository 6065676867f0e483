/* The kernels that GPUs and CPUs have for large products, here on awkward small ones: against a loop, and bit by bit
 * against the other kernel, which adds in the same order. */
#include "check_gemm.h"

#include <math.h>

enum { GUARD = 12345 }; /* behind c */

/* Pitches are what the rows need and `more`. */
struct product {
    int64_t M, N, K, batch;
    bool ta, tb;
    tain_type type;
    bool bias;
    int add; /* 1: another matrix, 2: c itself */
    enum gemm_activation activation;
    int more;
};

static const struct product products[] = {
    /* One number; less than a tile and a step; all that fits exactly; one more of each. */
    { 1, 1, 1, 1, false, true, TAIN_F32, false, 0, GEMM_NONE, 0 },
    { 12, 8, 4, 1, false, true, TAIN_F32, true, 0, GEMM_NONE, 0 },
    { 64, 64, 16, 1, false, true, TAIN_F32, false, 0, GEMM_NONE, 0 },
    { 65, 65, 17, 1, false, true, TAIN_F32, true, 1, GEMM_NONE, 0 },
    /* Every orientation, four at a time and one at a time, on both sides of 64 rows. */
    { 68, 132, 36, 1, false, true, TAIN_F32, true, 0, GEMM_GELU, 0 },
    { 68, 132, 36, 1, false, false, TAIN_F32, false, 2, GEMM_NONE, 4 },
    { 68, 132, 36, 1, true, false, TAIN_F32, false, 0, GEMM_NONE, 0 },
    { 68, 132, 36, 1, true, true, TAIN_F32, false, 1, GEMM_SILU, 4 },
    { 29, 71, 23, 1, false, true, TAIN_F32, true, 1, GEMM_GELU_TANH, 0 },
    { 29, 71, 23, 1, false, false, TAIN_F32, false, 0, GEMM_NONE, 1 },
    { 129, 66, 50, 1, true, false, TAIN_F32, false, 2, GEMM_NONE, 3 },
    { 129, 66, 50, 1, true, true, TAIN_F32, true, 0, GEMM_SILU, 0 },
    /* A remainder of k goes by itself; more steps than one; several rows of tiles of 128. */
    { 36, 40, 70, 1, false, true, TAIN_F32, true, 0, GEMM_NONE, 2 },
    { 260, 68, 16, 1, false, true, TAIN_F32, true, 1, GEMM_NONE, 0 },
    { 5, 300, 515, 1, false, false, TAIN_F32, false, 0, GEMM_NONE, 1 },
    /* Batches. */
    { 20, 68, 24, 3, false, true, TAIN_F32, false, 0, GEMM_NONE, 0 },
    { 72, 12, 20, 2, true, false, TAIN_F32, false, 1, GEMM_NONE, 0 },
    { 7, 9, 19, 4, false, false, TAIN_F32, false, 2, GEMM_NONE, 1 },
    /* B in 16 bits. */
    { 68, 72, 40, 1, false, true, TAIN_BF16, true, 1, GEMM_GELU, 0 },
    { 20, 72, 40, 1, false, false, TAIN_BF16, false, 2, GEMM_NONE, 0 },
    { 68, 72, 40, 1, false, true, TAIN_F16, true, 0, GEMM_NONE, 0 },
    { 21, 35, 27, 1, false, true, TAIN_BF16, true, 0, GEMM_NONE, 0 },
    { 21, 35, 27, 1, false, false, TAIN_F16, false, 1, GEMM_NONE, 0 },
    { 21, 36, 28, 2, false, true, TAIN_F16, false, 0, GEMM_NONE, 0 },
    /* The first half of an MLP. */
    { 37, 72, 36, 1, false, true, TAIN_F32, false, 0, GEMM_GATE, 0 },
    { 130, 136, 20, 1, false, true, TAIN_BF16, false, 0, GEMM_GATE, 0 },
};

static void check(tain_device *d, const struct product *p)
{
    enum { MARGIN = 64 };
    int64_t wide = p->activation == GEMM_GATE ? p->N / 2 : p->N; /* columns of c */
    int64_t a_pitch = (p->ta ? p->M : p->K) + p->more, b_pitch = (p->tb ? p->K : p->N) + p->more, c_pitch = wide + p->more;
    int64_t a_batch = (p->ta ? p->K : p->M) * a_pitch, b_batch = (p->tb ? p->N : p->K) * b_pitch, c_batch = p->M * c_pitch;
    int64_t count = p->batch * c_batch + MARGIN;
    float *a, *b, *bias, *other, *before, *got, *plain;
    struct gemm g = {
        .a = matrix(d, TAIN_F32, p->batch * a_batch, &a), .b = matrix(d, p->type, p->batch * b_batch, &b),
        .c = matrix(d, TAIN_F32, count, &before), .ta = p->ta, .tb = p->tb, .activation = p->activation,
        .M = p->M, .N = p->N, .K = p->K, .batch = p->batch, .a_pitch = a_pitch, .b_pitch = b_pitch, .c_pitch = c_pitch,
        .a_batch = a_batch, .b_batch = b_batch, .c_batch = c_batch,
    };
    tain_tensor *biases = matrix(d, TAIN_F32, p->N, &bias), *others = matrix(d, TAIN_F32, count, &other);

    g.bias = p->bias ? biases : NULL;
    g.add = p->add == 2 ? g.c : p->add ? others : NULL;
    for (int i = 1; i <= MARGIN; i++)
        before[count - i] = GUARD;
    got = made(&g, &d->tiles, TILES_ALL, before, count);
    plain = made(&g, &d->tiles, TILES_NEVER, before, count);
    for (int64_t i = 0; i < count; i++) {
        int64_t z = i / c_batch, m = i % c_batch / c_pitch, n = i % c_pitch;
        double sum[2] = { 0 }, want;

        if (memcmp(&got[i], &plain[i], sizeof(float))) {
            fprintf(stderr, "product %d: row %lld, column %lld is %.9g in tiles, %.9g in rows\n", (int)(p - products),
                    (long long)m, (long long)n, got[i], plain[i]);
            exit(1);
        }
        if (z >= p->batch || n >= wide) {
            CHECK(got[i] == before[i]);
            continue;
        }
        for (int half = 0; half < (p->activation == GEMM_GATE ? 2 : 1); half++)
            for (int64_t k = 0; k < p->K; k++) {
                int64_t column = n + half * wide;
                sum[half] += (double)a[z * a_batch + (p->ta ? k * a_pitch + m : m * a_pitch + k)] *
                             b[z * b_batch + (p->tb ? column * b_pitch + k : k * b_pitch + column)];
            }
        want = p->activation == GEMM_GATE ? activated(sum[0], GEMM_SILU) * sum[1]
                                          : activated(sum[0] + (p->bias ? bias[n] : 0), p->activation);
        want += p->add == 2 ? before[i] : p->add ? other[i] : 0;
        CHECK_CLOSE(got[i], want, 1e-5 * (1 + fabs(want)));
    }
    tain_tensor *all[] = { g.a, g.b, g.c, biases, others };
    float *kept[] = { a, b, bias, other, before, got, plain };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        tensor_unref(all[i]);
    for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
        free(kept[i]);
}

/* Of a workgroup of `invocations`, 0: as many as there may be. */
static void check_device(int invocations)
{
    char limit[32];
    tain_device *d;

    snprintf(limit, sizeof(limit), "invocations:%d", invocations);
    if (invocations)
        setenv("TAIN_LIMITS", limit, 1);
    d = device_open(NULL);
    CHECK(d);
    for (size_t i = 0; i < sizeof(products) / sizeof(*products); i++)
        if (!invocations || i % 5 == 4)
            check(d, &products[i]);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
}

int main(void)
{
    tain_device *d;

    setenv("TAIN_READ", "buffer", 1);
    check_device(0);
    check_device(128);
    unsetenv("TAIN_LIMITS");
    setenv("TAIN_READ", "texel", 1);
    check_device(0);

    /* Who asks for tiles gets them; where inputs are texels, only with our passes. */
    setenv("TAIN_READ", "buffer", 1);
    setenv("TAIN_MATMUL", "tiled", 1);
    d = tain_device_open(NULL);
    CHECK(d);
    CHECK_INT(d->tiles, TILES_ALL);
    tain_device_free(d);
    setenv("TAIN_READ", "texel", 1);
    d = tain_device_open(NULL);
    CHECK(d);
    CHECK_INT(d->tiles, gpu_info(d->gpu)->passes ? TILES_ALL : TILES_NEVER);
    tain_device_free(d);
    return 0;
}

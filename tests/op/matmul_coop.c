/* The kernel for products by a matrix in 16 bits where a GPU has cooperative matrices, on awkward small ones: against
 * a loop in double precision. Skipped where the device has none. -v prints the errors. */
#include "check_gemm.h"

#include <math.h>

enum { GUARD = 12345 }; /* behind c */

/* Pitches are what the rows need, a multiple of four, and `more`. A's numbers are `size` at most, and where k is past
 * half `size` by 2^-fall. */
struct product {
    int64_t M, N, K, batch;
    bool ta, tb;
    tain_type type;
    bool bias;
    int add; /* 1: another matrix, 2: c itself */
    enum gemm_activation activation;
    int more;
    float size;
    int fall;
};

static const struct product products[] = {
    /* Less than a tile and a step; all that fits exactly; more than one tile either way, more than one step. */
    { 1, 4, 4, 1, false, true, TAIN_BF16, false, 0, GEMM_NONE, 0, 1, 0 },
    { 64, 64, 32, 1, false, true, TAIN_F16, false, 0, GEMM_NONE, 0, 1, 0 },
    { 131, 140, 100, 1, false, true, TAIN_BF16, true, 1, GEMM_NONE, 4, 1, 0 },
    /* Every orientation and every end. */
    { 68, 132, 36, 1, false, true, TAIN_BF16, true, 0, GEMM_GELU, 0, 1, 0 },
    { 68, 132, 36, 1, false, false, TAIN_F16, false, 2, GEMM_NONE, 4, 1, 0 },
    { 68, 132, 36, 1, true, false, TAIN_BF16, false, 0, GEMM_GELU_TANH, 0, 1, 0 },
    { 132, 68, 44, 1, true, true, TAIN_F16, true, 1, GEMM_SILU, 4, 1, 0 },
    { 37, 72, 36, 1, false, true, TAIN_F16, false, 0, GEMM_GATE, 0, 1, 0 },
    { 130, 136, 20, 1, false, true, TAIN_BF16, false, 0, GEMM_GATE, 0, 1, 0 },
    /* A remainder of k is another kernel's. */
    { 36, 40, 70, 1, false, true, TAIN_BF16, true, 0, GEMM_NONE, 4, 1, 0 },
    /* Batches. */
    { 20, 68, 24, 3, false, true, TAIN_F16, false, 1, GEMM_NONE, 0, 1, 0 },
    { 72, 12, 20, 2, true, false, TAIN_BF16, false, 2, GEMM_NONE, 0, 1, 0 },
    /* Beyond both ends of f16, and where what comes later is greater or smaller than what came before. */
    { 9, 20, 72, 1, false, true, TAIN_BF16, true, 0, GEMM_NONE, 0, 1e12f, 0 },
    { 9, 20, 72, 1, false, false, TAIN_BF16, false, 0, GEMM_NONE, 0, 1e-14f, 0 },
    { 72, 68, 72, 1, true, false, TAIN_F16, false, 0, GEMM_NONE, 0, 1e-3f, -40 },
    { 70, 68, 72, 1, false, true, TAIN_F16, false, 0, GEMM_NONE, 0, 1e-32f, -180 },
    { 70, 68, 72, 1, false, true, TAIN_BF16, false, 0, GEMM_NONE, 0, 1e20f, 40 },
};

static tain_tensor *left(tain_device *d, const struct product *p, int64_t pitch, int64_t count, float **keep)
{
    CHECK(*keep = malloc((size_t)count * sizeof(float)));
    for (int64_t i = 0; i < count; i++) {
        int64_t k = p->ta ? i / pitch % p->K : i % pitch;
        (*keep)[i] = ldexpf(number() * p->size, k >= p->K / 2 ? -p->fall : 0);
    }
    return stored(d, TAIN_F32, count, *keep);
}

/* The error is at most that of rounding A and B to f16, 2^-10 each of a number however a driver rounds (B's numbers
 * fit, but for those below 2^-14 that a driver may take for 0), and that of a sum in f32. What is 2^-28 of the greatest
 * of A's numbers may be lost. So of what is added up, without its sign: */
static const double most = 0x1p-10 + 0x1p-18, lost = 0x1p-28, tiny = 0x1p-14;

static int64_t fours(int64_t n)
{
    return (n + 3) / 4 * 4;
}

/* The greatest error, as a share of what is allowed. */
static double check(tain_device *d, const struct product *p)
{
    enum { MARGIN = 64 };
    int64_t wide = p->activation == GEMM_GATE ? p->N / 2 : p->N; /* columns of c */
    int64_t a_pitch = fours(p->ta ? p->M : p->K) + p->more, b_pitch = fours(p->tb ? p->K : p->N) + p->more;
    int64_t c_pitch = wide + p->more;
    int64_t a_batch = (p->ta ? p->K : p->M) * a_pitch, b_batch = (p->tb ? p->N : p->K) * b_pitch, c_batch = p->M * c_pitch;
    int64_t count = p->batch * c_batch + MARGIN;
    float *a, *b, *bias, *other, *before, *got, *plain;
    double worst = 0, greatest = 0;
    struct gemm g = {
        .a = left(d, p, a_pitch, p->batch * a_batch, &a), .b = matrix(d, p->type, p->batch * b_batch, &b),
        .c = matrix(d, TAIN_F32, count, &before), .ta = p->ta, .tb = p->tb, .activation = p->activation,
        .M = p->M, .N = p->N, .K = p->K, .batch = p->batch, .a_pitch = a_pitch, .b_pitch = b_pitch, .c_pitch = c_pitch,
        .a_batch = a_batch, .b_batch = b_batch, .c_batch = c_batch,
    };
    tain_tensor *biases = matrix(d, TAIN_F32, p->N, &bias), *others = matrix(d, TAIN_F32, count, &other);

    for (int64_t i = 0; i < p->batch * a_batch; i++)
        greatest = fmax(greatest, fabs(a[i]));
    g.bias = p->bias ? biases : NULL;
    g.add = p->add == 2 ? g.c : p->add ? others : NULL;
    for (int i = 1; i <= MARGIN; i++)
        before[count - i] = GUARD;
    got = made(&g, &d->coop, TILES_ALL, before, count);
    plain = made(&g, &d->coop, TILES_NEVER, before, count);
    CHECK(memcmp(got, plain, (size_t)count * sizeof(float))); /* nobody else rounds to f16 */
    for (int64_t i = 0; i < count; i++) {
        int64_t z = i / c_batch, m = i % c_batch / c_pitch, n = i % c_pitch;
        double sum[2] = { 0 }, slack[2] = { 0 }, want, allowed;

        if (z >= p->batch || n >= wide) {
            CHECK(got[i] == before[i]);
            continue;
        }
        for (int half = 0; half < (p->activation == GEMM_GATE ? 2 : 1); half++)
            for (int64_t k = 0; k < p->K; k++) {
                int64_t column = n + half * wide;
                double left = a[z * a_batch + (p->ta ? k * a_pitch + m : m * a_pitch + k)];
                double right = b[z * b_batch + (p->tb ? column * b_pitch + k : k * b_pitch + column)];
                sum[half] += left * right;
                slack[half] += most * fabs(left * right) + lost * greatest * fabs(right) +
                               (fabs(right) < tiny ? fabs(left * right) : 0);
            }
        /* No activation is steeper than 1.2; of a gate both factors are wrong. */
        if (p->activation == GEMM_GATE) {
            double gate = activated(sum[0], GEMM_SILU);
            want = gate * sum[1];
            allowed = 1.2 * slack[0] * fabs(sum[1]) + slack[1] * (fabs(gate) + 1.2 * slack[0]);
        } else {
            want = activated(sum[0] + (p->bias ? bias[n] : 0), p->activation);
            allowed = 1.2 * slack[0];
        }
        want += p->add == 2 ? before[i] : p->add ? other[i] : 0;
        allowed += 1e-5 * (fabs(want) + 1e-30);
        if (!(fabs(got[i] - want) <= allowed)) {
            fprintf(stderr, "product %d: row %lld, column %lld is %.9g, not %.9g, apart by %.3g > %.3g\n", (int)(p - products),
                    (long long)m, (long long)n, got[i], want, fabs(got[i] - want), allowed);
            exit(1);
        }
        worst = fmax(worst, fabs(got[i] - want) / allowed);
    }
    tain_tensor *all[] = { g.a, g.b, g.c, biases, others };
    float *kept[] = { a, b, bias, other, before, got, plain };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        tensor_unref(all[i]);
    for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
        free(kept[i]);
    return worst;
}

/* Of a workgroup of `invocations`, 0: as many as there may be. */
static void check_device(int invocations, bool print)
{
    char limit[32];
    tain_device *d;

    snprintf(limit, sizeof(limit), "invocations:%d", invocations);
    if (invocations)
        setenv("TAIN_LIMITS", limit, 1);
    d = device_open(NULL);
    CHECK(d);
    if (!gpu_info(d->gpu)->coop[0]) {
        tain_device_free(d);
        SKIP("the device has no cooperative matrices");
    }
    for (size_t i = 0; i < sizeof(products) / sizeof(*products); i++) {
        if (invocations && i % 5 != 2)
            continue;
        double worst = check(d, &products[i]);
        if (print)
            printf("%2zu: %.3f of what is allowed\n", i, worst);
    }
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
}

int main(int argc, char **argv)
{
    bool print = argc > 1 && !strcmp(argv[1], "-v");

    setenv("TAIN_READ", "buffer", 1);
    check_device(0, print);
    check_device(128, print);
    return 0;
}

/* A few rows times matrices in blocks by packed dot products: the rounding of the rows by itself, the product against
 * double precision of what was rounded, and how far it is from the product that is not rounded. */
#include "check_gemm.h"

enum { GUARD = 12345, MARGIN = 64, RUN = BLOCK_NUMBERS, MOST = GEMV_DOT_MOST };

static uint64_t state = 1;

static float uniform(float low, float high)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (float)(state >> 40) * 0x1p-24f;
}

static int64_t below(int64_t n)
{
    return (int64_t)uniform(0, (float)n) % n;
}

static tain_tensor *vector(tain_device *d, int64_t count, const float *f)
{
    tain_tensor *t = tensor_from(d, TAIN_F32, 1, &count, f);

    CHECK(t);
    return t;
}

static float *numbers(int64_t count, float low, float high)
{
    float *f = malloc((size_t)count * sizeof(*f));

    CHECK(f);
    for (int64_t i = 0; i < count; i++)
        f[i] = uniform(low, high);
    return f;
}

/* What gemm_quantise() made: numbers in the order of x, and the scales. */
struct rounded {
    int8_t *at;
    float *scales;
};

static struct rounded rounded(tain_tensor *q, int64_t M, int64_t K, tain_type with)
{
    int64_t words = M * K / 4, count = tensor_count(q);
    int32_t *w = malloc((size_t)count * 4);
    struct rounded r = { malloc((size_t)(M * K)), malloc((size_t)(M * K / RUN) * sizeof(float)) };

    CHECK(w && r.at && r.scales && count >= words + M * K / RUN);
    CHECK_INT(tain_tensor_read_ints(q, w, count), 0);
    for (int64_t i = 0; i < M * K; i++) {
        int64_t eight = i / 8 * 8, k = i % 8, place = with == TAIN_INT4 ? k % 2 * 4 + k / 2 : k;
        r.at[i] = (int8_t)((uint32_t)w[(eight + place) / 4] >> place % 4 * 8);
    }
    memcpy(r.scales, w + words, (size_t)(M * K / RUN) * sizeof(float));
    free(w);
    return r;
}

/* ---- Rounding ---- */

/* Rows of x that are rounded as the formula says. */
static void check_rounding(const float *x, const struct rounded *r, int64_t M, int64_t K, int64_t pitch)
{
    for (int64_t run = 0; run < M * K / RUN; run++) {
        const float *v = x + run * RUN / K * pitch + run * RUN % K;
        float scale = r->scales[run], most = 0;
        int greatest = 0;

        for (int i = 0; i < RUN; i++)
            most = fmaxf(most, fabsf(v[i]));
        CHECK(most < 1e-30f ? scale == 0 : fabsf(scale - most / 127) <= 1e-6f * scale);
        for (int i = 0; i < RUN; i++) {
            int n = r->at[run * RUN + i];
            greatest = abs(n) > greatest ? abs(n) : greatest;
            CHECK(v[i] != 0 || n == 0);
            CHECK_CLOSE((double)n * scale, scale > 0 ? v[i] : 0, 0.50001 * scale);
        }
        CHECK_INT(greatest, scale > 0 ? 127 : 0);
    }
}

static void check_quantise(tain_device *d, int64_t M, int64_t K, int64_t more, tain_type with)
{
    int64_t pitch = K + more, n = M * pitch, words = M * K / 4 + (M * K / RUN + 3) / 4 * 4;
    float *x = numbers(n + 4, -3, 3), *guard = malloc((size_t)words * 4);
    tain_tensor *around[3], *all, *from, *q;
    struct rounded r;

    CHECK(guard);
    for (int64_t i = 0; i < words; i++)
        guard[i] = GUARD;
    for (int64_t i = 0; i < M; i++)
        for (int64_t k = K; k < pitch; k++)
            x[4 + i * pitch + k] = NAN; /* between the rows */
    for (int64_t i = 0; i < M * K / RUN; i++) { /* runs of all sizes, some that are zero, some with little but zeros */
        float *v = x + 4 + i * RUN / K * pitch + i * RUN % K, by = ldexpf(1, (int)below(60) - 30);
        int kind = (int)below(8);
        for (int k = 0; k < RUN; k++)
            v[k] *= kind == 0 ? 0 : kind == 1 && k != 7 ? 0 : kind == 2 ? 1e-36f : kind == 3 ? 1e37f : by;
    }
    /* The result most likely lies where the middle one did. */
    for (int i = 0; i < 3; i++)
        around[i] = vector(d, words, guard);
    tensor_unref(around[1]);
    all = vector(d, n + 4, x);
    CHECK((from = view_make(all, 1, &n, (int64_t[]){ 1 }, 4)));
    CHECK((q = gemm_quantise(from, M, K, pitch, with)));
    r = rounded(q, M, K, with);
    check_rounding(x + 4, &r, M, K, pitch);
    for (int i = 0; i < 3; i += 2) {
        CHECK_INT(tain_tensor_read(around[i], guard, words), 0);
        for (int64_t k = 0; k < words; k++)
            CHECK(guard[k] == GUARD);
        tensor_unref(around[i]);
    }
    tensor_unref(q);
    tensor_unref(from);
    tensor_unref(all);
    free(r.at);
    free(r.scales);
    free(guard);
    free(x);
}

/* What has no place between -127 and 127. */
static void check_odd(tain_device *d)
{
    enum { K = 6 * RUN };
    float x[K] = { 0 };
    tain_tensor *t, *q;
    struct rounded r;

    x[0 * RUN + 5] = NAN;
    x[1 * RUN + 31] = -INFINITY;
    x[2 * RUN] = 3.4e38f, x[2 * RUN + 1] = -1.7e38f;
    x[3 * RUN] = 1e-42f; /* not normal */
    x[4 * RUN] = -127, x[4 * RUN + 1] = 2.5f, x[4 * RUN + 2] = -3.5f, x[4 * RUN + 3] = 126.4f, x[4 * RUN + 4] = -0.0f;
    t = vector(d, K, x);
    CHECK((q = gemm_quantise(t, 1, K, K, TAIN_INT8)));
    r = rounded(q, 1, K, TAIN_INT8);
    CHECK(isnan(r.scales[0]) && isnan(r.scales[1]) && r.scales[3] == 0 && r.scales[5] == 0);
    CHECK_CLOSE(r.scales[2], 3.4e38 / 127, 1e-6 * r.scales[2]);
    CHECK(r.at[2 * RUN] == 127 && (r.at[2 * RUN + 1] == -63 || r.at[2 * RUN + 1] == -64) && r.at[3 * RUN] == 0);
    CHECK(r.scales[4] == 1 && r.at[4 * RUN] == -127 && r.at[4 * RUN + 1] == 2 && r.at[4 * RUN + 2] == -4);
    CHECK(r.at[4 * RUN + 3] == 126 && r.at[4 * RUN + 4] == 0);
    free(r.at);
    free(r.scales);
    tensor_unref(q);
    tensor_unref(t);
}

/* ---- Products ---- */

struct product {
    int64_t M, N, K;
    tain_type type;
    bool bias;
    int add; /* 1: another matrix, 2: y itself */
    enum gemm_activation activation;
    int more; /* numbers between rows of x and of y, in fours for x */
    bool rows;  /* the matrix is a part of another */
};

static void check_product(tain_device *d, const struct product *p)
{
    int64_t lanes = gpu_info(d->gpu)->lanes; /* of which half have something to do */
    int64_t M = p->M, N = p->N, K = p->K * (lanes > 32 ? lanes / 32 : 1), pitch = K + 4 * p->more, wide = N + p->more, count = M * wide + MARGIN;
    int64_t first = p->rows ? 8 : 0, all_rows = N + (p->rows ? 13 : 0), chunk = 16;
    float *x = numbers(M * pitch + 4, -2, 2), *w = numbers(all_rows * K, -1, 1), *bias = numbers(N, -1, 1);
    float *other = numbers(count, -1, 1), *before = numbers(count, -1, 1), *got = malloc((size_t)count * sizeof(float));
    tain_tensor *all, *from, *matrix, *part, *biases = vector(d, N, bias), *others = vector(d, count, other), *y, *q;
    double apart = 0, greatest = 0;
    struct rounded r;

    CHECK(got);
    for (int i = 1; i <= MARGIN; i++)
        before[count - i] = GUARD;
    for (int64_t i = 0; i < M; i++)
        for (int64_t k = K; k < pitch; k++)
            x[4 + i * pitch + k] = NAN;
    all = vector(d, M * pitch + 4, x);
    CHECK((from = view_make(all, 1, (int64_t[]){ M * pitch }, (int64_t[]){ 1 }, 4)));
    CHECK((matrix = tain_tensor_create(d, p->type, 2, (int64_t[]){ all_rows, K })));
    CHECK_INT(tain_tensor_write(matrix, w, all_rows * K), 0);
    CHECK_INT(tain_tensor_read(matrix, w, all_rows * K), 0);
    CHECK((part = view_part(matrix, 0, first, N)));
    y = vector(d, count, before);
    struct gemm g = { .a = from, .b = part, .bias = p->bias ? biases : NULL, .c = y, .tb = true, .activation = p->activation,
                      .add = p->add == 2 ? y : p->add ? others : NULL, .M = M, .N = N, .K = K, .batch = 1, .a_pitch = pitch,
                      .b_pitch = K, .c_pitch = wide };
    d->dot = MOST;
    CHECK(gemv_dot_makes(&g));
    CHECK_INT(gemm(&g), 0);
    CHECK_INT(tain_tensor_read(y, got, count), 0);
    CHECK((q = gemm_quantise(from, M, K, pitch, p->type)));
    r = rounded(q, M, K, p->type);
    check_rounding(x + 4, &r, M, K, pitch);
    for (int64_t i = 0; i < count; i++) {
        int64_t m = i / wide, n = i % wide;
        double sum = 0, exact = 0, size = 1, may = 0, rest;

        if (m >= M || n >= N) {
            CHECK(got[i] == before[i]);
            continue;
        }
        for (int64_t from = 0; from < K; from += chunk) {
            const float *row = w + (first + n) * K;
            double piece = 0;
            for (int64_t k = from; k < from + chunk; k++) {
                double scale = r.scales[(m * K + k) / RUN];
                piece += r.at[m * K + k] * scale * row[k];
                exact += (double)x[4 + m * pitch + k] * row[k];
                may += 0.50001 * scale * fabs(row[k]);
            }
            sum += piece;
            size += fabs(piece);
        }
        /* The formula but for the last bits: two factors for each piece, and the additions of pieces. */
        rest = p->add == 2 ? before[i] : p->add ? other[i] : 0;
        CHECK_CLOSE(got[i], activated(sum + (p->bias ? bias[n] : 0), p->activation) + rest, 3e-7 * size + 1e-6);
        /* Each number of x is off by half a step of its scale, and by no more. */
        CHECK_CLOSE(sum, exact, may);
        apart = fmax(apart, fabs(sum - exact));
        greatest = fmax(greatest, fabs(exact));
    }
    CHECK(M * N < 40 || apart <= greatest / 64); /* what a device's trial allows, of enough numbers to tell */
    for (size_t i = 0; i < 8; i++)
        tensor_unref((tain_tensor *[]){ all, from, matrix, part, biases, others, y, q }[i]);
    for (size_t i = 0; i < 8; i++)
        free((void *[]){ x, w, bias, other, before, got, r.at, r.scales }[i]);
}

/* A number that is not one shows in its row, and nowhere else. */
static void check_nan(tain_device *d, tain_type type)
{
    enum { M = 3, N = 6, K = 2048 };
    float *x = numbers(M * K, -1, 1), *w = numbers(N * K, -1, 1), got[M * N];
    tain_tensor *a, *b = tain_tensor_create(d, type, 2, (int64_t[]){ N, K }), *y;

    x[K + 77] = NAN;
    memset(x + 2 * K, 0, K * sizeof(float));
    CHECK((a = tensor_from(d, TAIN_F32, 2, (int64_t[]){ M, K }, x)) && b);
    CHECK_INT(tain_tensor_write(b, w, N * K), 0);
    d->dot = MOST;
    CHECK((y = tain_linear(a, b, NULL)));
    CHECK_INT(tain_tensor_read(y, got, M * N), 0);
    for (int i = 0; i < M * N; i++)
        CHECK(i / N == 0 ? isfinite(got[i]) && got[i] != 0 : i / N == 1 ? isnan(got[i]) : got[i] == 0);
    tensor_unref(a);
    tensor_unref(b);
    tensor_unref(y);
    free(x);
    free(w);
}

/* In training the gradient is that of the product which is not rounded. */
static void check_gradient(tain_device *d)
{
    enum { M = 2, N = 20, K = 2048 };
    float *x = numbers(M * K, -1, 1), *w = numbers(N * K, -1, 1), grads[2][M * K], ys[2][M * N];
    tain_tensor *b = tain_tensor_create(d, TAIN_INT8, 2, (int64_t[]){ N, K });
    int changed = 0;

    CHECK(b);
    CHECK_INT(tain_tensor_write(b, w, N * K), 0);
    for (int dot = 0; dot < 2; dot++) {
        tain_tensor *a = tensor_from(d, TAIN_F32, 2, (int64_t[]){ M, K }, x), *y, *loss, *g;
        d->dot = dot ? MOST : 0;
        CHECK(a && !tain_tensor_want_grad(a, true));
        CHECK_INT(tain_tape_begin(d), 0);
        CHECK((y = tain_linear(a, b, NULL)) && (loss = tain_sum(y)));
        CHECK_INT(tain_tensor_read(y, ys[dot], M * N), 0);
        CHECK_INT(tain_backward(loss), 0);
        tain_tape_end(d);
        CHECK((g = tain_tensor_grad(a)));
        CHECK_INT(tain_tensor_read(g, grads[dot], M * K), 0);
        for (size_t i = 0; i < 4; i++)
            tensor_unref((tain_tensor *[]){ a, y, loss, g }[i]);
    }
    CHECK(!memcmp(grads[0], grads[1], sizeof(grads[0])));
    for (int i = 0; i < M * N; i++)
        changed += ys[0][i] != ys[1][i];
    CHECK(changed > M * N / 2); /* so both were tried */
    tensor_unref(b);
    free(x);
    free(w);
}

/* What it does not make. */
static void check_refused(tain_device *d)
{
    tain_tensor *x = tain_tensor_create(d, TAIN_F32, 2, (int64_t[]){ 12, 4096 });
    tain_tensor *w = tain_tensor_create(d, TAIN_INT8, 2, (int64_t[]){ 8, 4096 });
    struct gemm g = { .a = x, .b = w, .c = x, .tb = true, .M = 8, .N = 8, .K = 4096, .batch = 1, .a_pitch = 4096 };

    CHECK(x && w);
    d->dot = MOST;
    CHECK(gemv_dot_makes(&g));
    g.M = 9;
    CHECK(!gemv_dot_makes(&g));
    d->dot = 2;
    g.M = 3;
    CHECK(!gemv_dot_makes(&g));
    g.M = 2;
    CHECK(gemv_dot_makes(&g));
    g.K = 16 * (gpu_info(d->gpu)->lanes / 2 - 1);
    CHECK(!gemv_dot_makes(&g));
    g.K = 4096;
    g.a_pitch = 4098;
    CHECK(!gemv_dot_makes(&g));
    g.a_pitch = 4096;
    g.tb = false;
    CHECK(!gemv_dot_makes(&g));
    g.tb = true;
    g.b = x;
    CHECK(!gemv_dot_makes(&g));
    tensor_unref(x);
    tensor_unref(w);
}

/* Who asks for it gets it, and is told; on a CPU nobody else does. */
static void check_asked(int64_t rows)
{
    static const char *const asks[] = { "yes", "no", "", NULL };

    for (int i = 0; i < 4; i++) {
        bool said;
        tain_device *d;
        unsetenv("TAIN_DOT");
        if (asks[i])
            setenv("TAIN_DOT", asks[i], 1);
        CHECK((d = tain_device_open(NULL)));
        said = strstr(tain_device_banner(d), " | int8 activations") != NULL;
        CHECK(said == (d->dot != 0));
        if (asks[i] || !strcmp(gpu_info(d->gpu)->kind, "cpu"))
            CHECK_INT(d->dot, i == 0 ? rows : 0);
        tain_device_free(d);
    }
}

static void check_device(tain_device *d)
{
    static const struct product products[] = {
        /* One number; all that fits; one row of four and one block more. */
        { 1, 1, 512, TAIN_INT8, false, 0, GEMM_NONE, 0, false },
        { 1, 1, 512, TAIN_INT4, false, 0, GEMM_NONE, 0, false },
        { 2, 64, 2048, TAIN_INT8, true, 0, GEMM_NONE, 0, false },
        { 2, 64, 2048, TAIN_INT4, true, 0, GEMM_NONE, 0, false },
        { 2, 65, 2080, TAIN_INT8, true, 1, GEMM_GELU, 1, false },
        { 2, 65, 2080, TAIN_INT4, true, 1, GEMM_GELU, 1, false },
        { 8, 7, 544, TAIN_INT8, false, 2, GEMM_NONE, 3, true },
        { 8, 7, 544, TAIN_INT4, true, 2, GEMM_SILU, 3, true },
        /* So many columns that a grid or an invocation takes more of them. */
        { 3, 526, 512, TAIN_INT8, false, 0, GEMM_NONE, 0, false },
        { 1, 517, 576, TAIN_INT4, true, 1, GEMM_GELU_TANH, 2, false },
    };

    for (int i = 0; i < 24; i++)
        check_quantise(d, 1 + below(MOST), RUN * (1 + below(40)), 4 * below(3), i % 2 ? TAIN_INT4 : TAIN_INT8);
    check_odd(d);
    for (size_t i = 0; i < sizeof(products) / sizeof(*products); i++)
        check_product(d, &products[i]);
    for (int i = 0; i < 12; i++)
        check_product(d, &(struct product){
            1 + below(MOST), 1 + below(90), RUN * (16 + below(60)), i % 2 ? TAIN_INT4 : TAIN_INT8, below(2), (int)below(3),
            (enum gemm_activation)below(GEMM_GATE), (int)below(4), below(3) == 0,
        });
    check_nan(d, TAIN_INT8);
    check_nan(d, TAIN_INT4);
    check_gradient(d);
    check_refused(d);
    CHECK_INT(tain_device_memory(d, false), 0);
}

int main(void)
{
    tain_device *d;

    for (int texel = 0; texel < 2; texel++) {
        setenv("TAIN_DOT", "yes", 1);
        setenv("TAIN_READ", texel ? "texel" : "buffer", 1);
        CHECK((d = device_open(NULL)));
        if (!gpu_info(d->gpu)->dot)
            SKIP("the driver has no packed dot products");
        check_device(d);
        tain_device_free(d);
        check_asked(texel ? MOST / 2 : MOST);
    }
    return 0;
}

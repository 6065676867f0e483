/* sample against searchsorted in double precision; guide; and both in one. */
#include "check_op.h"

/* 0 if `got` is what double precision draws; otherwise how far u lies from the border between them. */
static double apart(const double *z, int64_t n, double u, int64_t got)
{
    double most = -INFINITY, total = 0, sum = 0, below = 0, above = 0;
    int64_t want = -1;

    for (int64_t i = 0; i < n; i++)
        most = fmax(most, z[i]);
    for (int64_t i = 0; i < n; i++)
        total += exp(z[i] - most);
    for (int64_t i = 0; i < n; i++) {
        if (i == got)
            below = sum;
        sum += exp(z[i] - most);
        if (i == got)
            above = sum;
        if (want < 0 && sum >= u * total && sum > 0)
            want = i;
    }
    if (want == got)
        return 0;
    return u * total < below ? below / total - u : u - above / total;
}

static double draw(tain_device *d, int64_t rows, int64_t last, float spread, float temperature, float guidance)
{
    bool guided = guidance != 0;
    int64_t all = rows * (guided ? 2 : 1);
    float *x = malloc((size_t)(all * last) * 4), *u = malloc((size_t)rows * 4);
    int32_t *got = malloc((size_t)rows * 4);
    double *z = malloc((size_t)last * 8), worst = 0;
    tain_tensor *logits, *uniforms, *out;

    for (int64_t i = 0; i < all * last; i++)
        x[i] = check_uniform(-spread, spread);
    for (int64_t i = 0; i < rows; i++)
        u[i] = i == 0 ? 0 : i == 1 ? 0x1.fffffep-1f : check_uniform(0, 1);
    logits = tensor_from(d, TAIN_F32, 2, (int64_t[]){ all, last }, x);
    uniforms = tensor_from(d, TAIN_F32, 1, &rows, u);
    out = guided ? tain_sample_guided(logits, uniforms, guidance, temperature) : tain_sample(logits, uniforms, temperature);
    CHECK(out);
    CHECK_INT(tain_tensor_type(out), TAIN_I32);
    CHECK_INT(tain_tensor_read_ints(out, got, rows), 0);
    for (int64_t r = 0; r < rows; r++) {
        CHECK(got[r] >= 0 && got[r] < last);
        for (int64_t i = 0; i < last; i++) {
            double c = x[(guided ? 2 * r : r) * last + i], n = guided ? x[(2 * r + 1) * last + i] : 0;
            z[i] = (guided ? n + guidance * (c - n) : c) / temperature;
        }
        worst = fmax(worst, apart(z, last, u[r], got[r]));
    }
    tain_tensor_free(logits);
    tain_tensor_free(uniforms);
    tain_tensor_free(out);
    free(x);
    free(u);
    free(z);
    free(got);
    return worst;
}

static void check_rows(tain_device *d)
{
    static const int64_t lengths[] = { 1, 3, 4, 31, 32, 63, 64, 65, 127, 1023, 1024, 16384 };

    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        int64_t rows = lengths[i] > 1000 ? 40 : 300;
        CHECK_CLOSE(draw(d, rows, lengths[i], 5, 1, 0), 0, 1e-6);
        CHECK_CLOSE(draw(d, rows, lengths[i], 5, 0.7f, 0), 0, 1e-6);
        CHECK_CLOSE(draw(d, rows, lengths[i], 5, 1, 5), 0, 1e-6);
    }
    CHECK_CLOSE(draw(d, 8, 131072, 3, 1, 0), 0, 1e-6);
    CHECK_CLOSE(draw(d, 4, 131071, 3, 1, 0), 0, 1e-6);
    CHECK_CLOSE(draw(d, 8, 16384, 0.01f, 1, 0), 0, 1e-6);
    CHECK_CLOSE(draw(d, 40000, 5, 2, 1, 0), 0, 1e-6);
}

/* No probability, no token; one token has it all; temperature 0; nothing to draw. */
static void check_corners(tain_device *d)
{
    const float ninf = -INFINITY, x[4][4] = { { ninf, 0, ninf, 0 }, { 1e4f, 0, 0, -1e4f }, { 0, 1, 5, 2 }, { 0, 0, 0, ninf } };
    const float u[4] = { 0, 0.999f, 0, 0x1.fffffep-1f };
    tain_tensor *logits = tensor_from(d, TAIN_F32, 2, (int64_t[]){ 4, 4 }, x), *uniforms = tensor_from(d, TAIN_F32, 1, (int64_t[]){ 4 }, u);
    tain_tensor *out = tain_sample(logits, uniforms, 1), *none, *mixed, *two;
    int32_t got[4];
    float z[8];

    CHECK(out);
    CHECK_INT(tain_tensor_read_ints(out, got, 4), 0);
    CHECK_INT(got[0], 1);
    CHECK_INT(got[1], 0);
    CHECK_INT(got[2], 0);
    CHECK_INT(got[3], 2);
    tain_tensor_free(out);
    out = tain_sample(logits, uniforms, 0);
    CHECK(out);
    CHECK_INT(tain_tensor_read_ints(out, got, 4), 0);
    CHECK_INT(got[0], 1);
    CHECK_INT(got[1], 0);
    CHECK_INT(got[2], 2);
    tain_tensor_free(out);
    CHECK(!tain_sample(logits, uniforms, -1));
    CHECK(!tain_sample_guided(logits, uniforms, 5, 1));
    CHECK(strstr(tain_error(), "sample_guided: logits are [4, 4], but uniforms are [4]; there must be two rows for each uniform"));
    none = tain_slice(logits, 0, 2, 2);
    mixed = tain_guide(none, 3);
    CHECK(mixed);
    CHECK_INT(tain_tensor_size(mixed, 0), 1);
    tain_tensor_free(none);
    tain_tensor_free(mixed);
    mixed = tain_tensor_create(d, TAIN_F32, 2, (int64_t[]){ 2, 3 });
    CHECK_INT(tain_tensor_write(mixed, (float[]){ 1, 2, 3, 4, 4, -1 }, 6), 0);
    none = tain_guide(mixed, 5);
    CHECK(none);
    CHECK_INT(tain_tensor_read(none, z, 3), 0);
    CHECK(z[0] == -11 && z[1] == -6 && z[2] == 19);
    two = tain_sample_guided(mixed, none, 5, 0);
    CHECK(two);
    CHECK_INT(tain_tensor_read_ints(two, got, 1), 0);
    CHECK_INT(got[0], 2);
    tain_tensor_free(two);
    tain_tensor_free(none);
    tain_tensor_free(mixed);
    none = tain_tensor_create(d, TAIN_F32, 2, (int64_t[]){ 0, 4 });
    mixed = tain_tensor_create(d, TAIN_F32, 1, (int64_t[]){ 0 });
    out = tain_sample(none, mixed, 1);
    CHECK(out);
    CHECK_INT(tain_tensor_count(out), 0);
    tain_tensor_free(out);
    tain_tensor_free(none);
    tain_tensor_free(mixed);
    tain_tensor_free(logits);
    tain_tensor_free(uniforms);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    check_rows(d);
    check_corners(d);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

/* softmax and log_softmax, along the last dimension and another, over rows of every kind. */
#include "check_op.h"

static void softmax(const struct check_value *in, struct check_value *out, int dim, bool log_of)
{
    int64_t inner = 1, count;

    dim = dim < 0 ? dim + in->dims : dim;
    check_like(out, in);
    for (int d = dim + 1; d < in->dims; d++)
        inner *= in->shape[d];
    count = in->shape[dim];
    for (int64_t r = 0; count && r < in->count / count; r++) {
        int64_t at = r / inner * count * inner + r % inner;
        double most = -INFINITY, sum = 0;
        for (int64_t k = 0; k < count; k++)
            most = fmax(most, in->at[at + k * inner]);
        for (int64_t k = 0; k < count; k++)
            sum += exp(in->at[at + k * inner] - most);
        for (int64_t k = 0; k < count; k++) {
            double v = in->at[at + k * inner] - most - log(sum);
            out->at[at + k * inner] = log_of ? v : exp(v);
        }
    }
}

static void softmax_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    softmax(in, out, (int)with[0], false);
}

static tain_tensor *softmax_run(tain_tensor *const *in, const double *with)
{
    return tain_softmax(in[0], (int)with[0]);
}

static void log_softmax_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    softmax(in, out, (int)with[0], true);
}

static tain_tensor *log_softmax_run(tain_tensor *const *in, const double *with)
{
    return tain_log_softmax(in[0], (int)with[0]);
}

static const struct check_case cases[] = {
    { { { 1, { 1 } } }, { -1 } },
    { { { 2, { 5, 3 } } }, { -1 } },
    { { { 2, { 3, 63 } } }, { 1 } },
    { { { 2, { 3, 64 } } }, { -1 } },
    { { { 2, { 2, 65 }, -30, 30 } }, { -1 } },
    { { { 3, { 2, 3, 132 }, -5, 5 } }, { -1 } },
    { { { 2, { 2, 1023 } } }, { -1 } },
    { { { 3, { 3, 16, 4 } } }, { 1 } },
    { { { 2, { 16, 3 } } }, { 0 } },
    { { { 2, { 9, 24 }, -80, 80, TAIN_BF16 } }, { -1 } },
    { { { 2, { 0, 7 } } }, { -1 } },
    { { { 2, { 3, 0 } } }, { -1 } },
};

/* Rows as long as a vocabulary, with a weight that the reference does not need to differentiate. */
static void check_long(tain_device *d, int64_t n)
{
    struct check_value in = { 0 }, want = { 0 };
    float *x = malloc((size_t)n * 4);
    tain_tensor *t = tain_tensor_create(d, TAIN_F32, 1, &n), *y;
    double worst = 0;

    check_shape(&in, 1, &n);
    for (int64_t i = 0; i < n; i++)
        in.at[i] = x[i] = check_uniform(-8, 8) + (i == n - 3 ? 6 : 0);
    CHECK_INT(tain_tensor_write(t, x, n), 0);
    for (int log_of = 0; log_of < 2; log_of++) {
        y = log_of ? tain_log_softmax(t, -1) : tain_softmax(t, -1);
        CHECK(y);
        CHECK_INT(tain_tensor_read(y, x, n), 0);
        tain_tensor_free(y);
        softmax(&in, &want, 0, log_of);
        for (int64_t i = 0; i < n; i++)
            worst = fmax(worst, fabs(x[i] - want.at[i]) / fmax(1e-3, fabs(want.at[i])));
        CHECK_CLOSE(worst, 0, 5e-6);
    }
    free(x);
    free(in.at);
    free(want.at);
    tain_tensor_free(t);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);
    const float masked[4] = { -INFINITY, 1, -INFINITY, 1 };
    float got[4];
    tain_tensor *t, *y;

    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "softmax", 1, softmax_run, softmax_reference }), cases);
    CHECK_CASES(d, (&(struct check_op){ "log_softmax", 1, log_softmax_run, log_softmax_reference }), cases);
    check_long(d, 131072);
    check_long(d, 131071);
    t = tensor_from(d, TAIN_F32, 1, (int64_t[]){ 4 }, masked);
    y = tain_softmax(t, 0);
    CHECK(y);
    CHECK_INT(tain_tensor_read(y, got, 4), 0);
    CHECK(got[0] == 0 && got[2] == 0);
    CHECK_CLOSE(got[1], 0.5, 1e-6);
    CHECK(!tain_softmax(t, 1));
    CHECK(strstr(tain_error(), "softmax: dim 1 is out of range"));
    tain_tensor_free(t);
    tain_tensor_free(y);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

/* Group norm with and without silu: one channel a group and many, several chunks of pixels, a mean
 * that is large against the deviation.
 */
#include "check_op.h"

/* with: groups, eps, silu */
static void reference(const struct check_value *in, struct check_value *out, const double *with)
{
    int64_t channels = in[1].count, groups = (int64_t)with[0], size = channels / groups, batch = in[0].shape[0];
    int64_t pixels = batch > 0 ? in[0].count / batch / channels : 0;

    check_like(out, &in[0]);
    for (int64_t b = 0; b < batch; b++)
        for (int64_t g = 0; g < groups; g++) {
            double mean = 0, square = 0, n = (double)(pixels * size);
            for (int64_t i = 0; i < pixels * size; i++)
                mean += in[0].at[(b * pixels + i / size) * channels + g * size + i % size] / n;
            for (int64_t i = 0; i < pixels * size; i++) {
                double d = in[0].at[(b * pixels + i / size) * channels + g * size + i % size] - mean;
                square += d * d / n;
            }
            for (int64_t i = 0; i < pixels * size; i++) {
                int64_t c = g * size + i % size, at = (b * pixels + i / size) * channels + c;
                double z = (in[0].at[at] - mean) / sqrt(square + with[1]) * in[1].at[c] + in[2].at[c];
                out->at[at] = with[2] > 0 ? z / (1 + exp(-z)) : z;
            }
        }
}

static tain_tensor *group_norm(tain_tensor *const *in, const double *with)
{
    return tain_group_norm(in[0], in[1], in[2], (int32_t)with[0], (float)with[1], with[2] > 0);
}

#define CASE(b, h, w, c, groups, silu) \
    { { { 4, { b, h, w, c } }, { 1, { c }, 0.5f, 1.5f }, { 1, { c } } }, { groups, 1e-6, silu } }

static const struct check_case cases[] = {
    CASE(2, 4, 4, 32, 32, 1), CASE(2, 5, 3, 64, 32, 0), CASE(1, 6, 7, 6, 3, 1), CASE(3, 1, 5, 5, 1, 0),
    CASE(1, 40, 50, 8, 2, 1), CASE(1, 2, 2, 128, 32, 1), CASE(0, 2, 2, 8, 2, 1),
};

/* 1000 and a little: in floats, the mean of the squares would say nothing of the variance. */
static void check_far(tain_device *d)
{
    enum { N = 400 };
    float x[N * 4], y[N * 4];
    tain_tensor *t = tain_tensor_create(d, TAIN_F32, 3, (int64_t[]){ 1, N, 4 }), *w, *b, *out;

    for (int i = 0; i < N * 4; i++)
        x[i] = 1000 + (i / 4 % 2 ? 0.125f : -0.125f);
    CHECK_INT(tain_tensor_write(t, x, N * 4), 0);
    w = tensor_from(d, TAIN_F32, 1, (int64_t[]){ 4 }, (float[]){ 1, 1, 1, 1 });
    b = tensor_from(d, TAIN_F32, 1, (int64_t[]){ 4 }, (float[]){ 0, 0, 0, 0 });
    out = tain_group_norm(t, w, b, 2, 0, false);
    CHECK(out);
    CHECK_INT(tain_tensor_read(out, y, N * 4), 0);
    for (int i = 0; i < N * 4; i++)
        CHECK_CLOSE(y[i], i / 4 % 2 ? 1 : -1, 2e-3);
    CHECK(!tain_group_norm(t, w, b, 3, 0, false));
    CHECK_STRING(tain_error(), "group_norm: x is [1, 400, 4]; 3 groups do not divide its channels");
    CHECK(!tain_group_norm(t, w, t, 2, 0, false));
    CHECK_STRING(tain_error(), "group_norm: bias is [1, 400, 4]; x is [1, 400, 4], so it must be [4]");
    tain_tensor_free(out);
    tain_tensor_free(t);
    tain_tensor_free(w);
    tain_tensor_free(b);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "group_norm", 3, group_norm, reference }), cases);
    check_far(d);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

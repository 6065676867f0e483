/* Images twice as large. */
#include "check_op.h"

static void reference(const struct check_value *in, struct check_value *out, const double *with)
{
    const int64_t *x = in[0].shape;

    (void)with;
    check_shape(out, 4, (int64_t[]){ x[0], 2 * x[1], 2 * x[2], x[3] });
    for (int64_t i = 0; i < out->count; i++) {
        int64_t c = i % x[3], column = i / x[3] % (2 * x[2]), row = i / x[3] / (2 * x[2]);
        out->at[i] = in[0].at[((row / (2 * x[1]) * x[1] + row % (2 * x[1]) / 2) * x[2] + column / 2) * x[3] + c];
    }
}

static tain_tensor *upsample(tain_tensor *const *in, const double *with)
{
    (void)with;
    return tain_upsample2(in[0]);
}

static const struct check_case cases[] = {
    { { { 4, { 2, 3, 4, 8 } } } }, { { { 4, { 1, 5, 3, 3 } } } }, { { { 4, { 3, 1, 1, 1 } } } },
    { { { 4, { 2, 8, 8, 32 } } } }, { { { 4, { 0, 2, 2, 4 } } } },
};

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "upsample2", 1, upsample, reference }), cases);

    tain_tensor *x = tain_tensor_create(d, TAIN_F32, 1, (int64_t[]){ 8 });
    CHECK(!tain_upsample2(x));
    CHECK_STRING(tain_error(), "upsample2: x is [8]; it must be [B, H, W, C]");
    tain_tensor_free(x);
    tain_device_free(d);
    return 0;
}

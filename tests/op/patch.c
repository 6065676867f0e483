/* Pictures as rows of patches. */
#include "check_op.h"

static void reference(const struct check_value *in, struct check_value *out, const double *with)
{
    const int64_t *x = in[0].shape, p = (int64_t)with[0], high = x[1] / p, wide = x[2] / p;
    int64_t k = 0;

    check_shape(out, 3, (int64_t[]){ x[0], high * wide, x[3] * p * p });
    for (int64_t b = 0; b < x[0]; b++)
        for (int64_t m = 0; m < high * wide; m++)
            for (int64_t c = 0; c < x[3]; c++)
                for (int64_t i = 0; i < p; i++)
                    for (int64_t j = 0; j < p; j++)
                        out->at[k++] = in[0].at[((b * x[1] + m / wide * p + i) * x[2] + m % wide * p + j) * x[3] + c];
}

static tain_tensor *patch(tain_tensor *const *in, const double *with)
{
    return tain_patch(in[0], (int32_t)with[0]);
}

static const struct check_case cases[] = {
    { { { 4, { 2, 8, 12, 3 }, .fixed = true } }, { 4 } }, { { { 4, { 1, 5, 5, 2 }, .fixed = true } }, { 1 } },
    { { { 4, { 3, 6, 3, 1 }, .fixed = true } }, { 3 } }, { { { 4, { 0, 4, 4, 3 }, .fixed = true } }, { 2 } },
};

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "patch", 1, patch, reference, .no_grad = true }), cases);

    tain_tensor *x = tain_tensor_create(d, TAIN_F32, 4, (int64_t[]){ 1, 6, 8, 3 });
    CHECK(!tain_patch(x, 4));
    CHECK_STRING(tain_error(), "patch: x is [1, 6, 8, 3]; patches of 4 do not divide its height and width");
    CHECK(!tain_patch(x, 0));
    tain_tensor_free(x);
    tain_device_free(d);
    return 0;
}

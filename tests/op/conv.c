/* Convolution: 1x1 and 3x3, stride 1 and 2, padding on both sides or on one, channel counts from 1
 * to more than a tile, sizes that leave tiles half empty.
 */
#include "check_op.h"

/* with: stride, padding before, padding after */
static void reference(const struct check_value *in, struct check_value *out, const double *with)
{
    const int64_t *x = in[0].shape, *w = in[1].shape, stride = (int64_t)with[0], before = (int64_t)with[1];
    int64_t high = (x[1] + before + (int64_t)with[2] - w[0]) / stride + 1;
    int64_t wide = (x[2] + before + (int64_t)with[2] - w[1]) / stride + 1;

    check_shape(out, 4, (int64_t[]){ x[0], high, wide, w[3] });
    for (int64_t m = 0; m < x[0] * high * wide; m++)
        for (int64_t tap = 0; tap < w[0] * w[1]; tap++) {
            int64_t b = m / (high * wide), i = m / wide % high * stride - before + tap / w[1];
            int64_t j = m % wide * stride - before + tap % w[1];
            if (i < 0 || i >= x[1] || j < 0 || j >= x[2])
                continue;
            for (int64_t c = 0; c < w[2]; c++)
                for (int64_t o = 0; o < w[3]; o++)
                    out->at[m * w[3] + o] += in[0].at[((b * x[1] + i) * x[2] + j) * w[2] + c] * in[1].at[(tap * w[2] + c) * w[3] + o];
        }
    for (int64_t k = 0; in[2].at && k < out->count; k++)
        out->at[k] += in[2].at[k % w[3]];
}

static tain_tensor *conv(tain_tensor *const *in, const double *with)
{
    return tain_conv2d(in[0], in[1], in[2], (int32_t)with[0], (int32_t)with[1], (int32_t)with[2]);
}

static tain_tensor *bare(tain_tensor *const *in, const double *with)
{
    return tain_conv2d(in[0], in[1], NULL, (int32_t)with[0], (int32_t)with[1], (int32_t)with[2]);
}

#define CASE(b, h, w, k, in, out, ...) \
    { { { 4, { b, h, w, in } }, { 4, { k, k, in, out } }, { 1, { out } } }, { __VA_ARGS__ } }

static const struct check_case cases[] = {
    CASE(2, 5, 6, 3, 4, 4, 1, 1, 1),   CASE(1, 7, 5, 3, 3, 8, 1, 1, 1),  CASE(2, 4, 4, 1, 8, 36, 1, 0, 0),
    CASE(1, 8, 8, 3, 8, 12, 2, 0, 1),  CASE(2, 5, 7, 3, 8, 5, 2, 1, 1),  CASE(1, 6, 6, 3, 32, 3, 1, 1, 1),
    CASE(1, 3, 3, 3, 40, 72, 1, 1, 1), CASE(3, 1, 1, 1, 1, 1, 1, 0, 0),  CASE(1, 9, 33, 2, 16, 16, 1, 0, 0),
    CASE(1, 6, 5, 3, 16, 132, 2, 0, 1), CASE(0, 4, 4, 3, 4, 4, 1, 1, 1), CASE(1, 8, 8, 4, 12, 24, 4, 0, 0),
    CASE(1, 31, 34, 1, 4, 32, 1, 0, 0), /* many pixels a tile */
};

static const struct check_case bare_cases[] = { CASE(1, 5, 4, 3, 8, 8, 1, 1, 1), CASE(1, 5, 4, 1, 7, 9, 2, 0, 0) };

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "conv2d", 3, conv, reference }), cases);
    CHECK_CASES(d, (&(struct check_op){ "conv2d without bias", 2, bare, reference }), bare_cases);
    if (gpu_info(d->gpu)->texel) { /* as products in panels, which are for large ones otherwise */
        enum tiles own = d->tiles;
        d->tiles = TILES_ALL;
        CHECK_CASES(d, (&(struct check_op){ "conv2d, tiles", 3, conv, reference }), cases);
        CHECK_CASES(d, (&(struct check_op){ "conv2d without bias, tiles", 2, bare, reference }), bare_cases);
        d->tiles = own;
    }

    tain_tensor *x = tain_tensor_create(d, TAIN_F32, 4, (int64_t[]){ 1, 4, 4, 8 });
    tain_tensor *w = tain_tensor_create(d, TAIN_F32, 4, (int64_t[]){ 3, 3, 7, 8 });
    tain_tensor *v = tain_tensor_create(d, TAIN_F32, 4, (int64_t[]){ 5, 5, 8, 8 });
    CHECK(!tain_conv2d(x, w, NULL, 1, 1, 1));
    CHECK_STRING(tain_error(), "conv2d: weight is [3, 3, 7, 8], for 7 channels; x is [1, 4, 4, 8]");
    CHECK(!tain_conv2d(x, v, NULL, 1, 0, 0));
    CHECK(strstr(tain_error(), "smaller than weight, which is [5, 5, 8, 8]"));
    CHECK(!tain_conv2d(x, v, x, 1, 1, 1));
    CHECK(!tain_conv2d(x, v, NULL, 0, 1, 1));
    CHECK(!tain_conv2d(x, v, NULL, 1, -1, 1));
    tain_tensor_free(x);
    tain_tensor_free(w);
    tain_tensor_free(v);
    tain_device_free(d);
    return 0;
}

/* RMS norm and layer norm: shapes with and without fours, rows longer than the registers hold, and
 * so many rows that the sums over them go in several chunks.
 */
#include "check_op.h"

static void reference(const struct check_value *in, struct check_value *out, const double *with)
{
    int64_t channels = in[0].shape[in[0].dims - 1], rows = channels ? in[0].count / channels : 0;
    bool centre = with[1] > 0, bias = with[1] > 1;

    check_like(out, &in[0]);
    for (int64_t r = 0; r < rows; r++) {
        const double *x = in[0].at + r * channels;
        double mean = 0, square = 0;
        for (int64_t i = 0; i < channels && centre; i++)
            mean += x[i] / (double)channels;
        for (int64_t i = 0; i < channels; i++)
            square += (x[i] - mean) * (x[i] - mean) / (double)channels;
        for (int64_t i = 0; i < channels; i++)
            out->at[r * channels + i] = (x[i] - mean) / sqrt(square + with[0]) * in[1].at[i] + (bias ? in[2].at[i] : 0);
    }
}

static tain_tensor *rms(tain_tensor *const *in, const double *with)
{
    return tain_rms_norm(in[0], in[1], (float)with[0]);
}

static tain_tensor *layer(tain_tensor *const *in, const double *with)
{
    return tain_layer_norm(in[0], in[1], with[1] > 1 ? in[2] : NULL, (float)with[0]);
}

#define CASE(kind, channels, ...) \
    { { { __VA_ARGS__ }, { 1, { channels }, 0.5f, 1.5f }, { 1, { channels } } }, { 1e-5, kind } }

static const struct check_case rms_cases[] = {
    CASE(0, 8, 3, { 2, 4, 8 }), CASE(0, 7, 3, { 1, 3, 7 }), CASE(0, 1, 2, { 1, 1 }), CASE(0, 130, 2, { 5, 130 }),
    CASE(0, 128, 2, { 33, 128 }), CASE(0, 20, 2, { 300, 20 }), CASE(0, 8192, 2, { 2, 8192 }), CASE(0, 16, 2, { 0, 16 }),
    CASE(0, 64, 1, { 64 }), CASE(0, 4, 2, { 9000, 4 }), CASE(0, 0, 2, { 2, 0 }),
};

static const struct check_case layer_cases[] = {
    CASE(2, 8, 3, { 2, 4, 8 }), CASE(2, 7, 3, { 1, 3, 7 }), CASE(2, 1023, 2, { 3, 1023 }), CASE(2, 20, 2, { 300, 20 }),
    CASE(2, 64, 1, { 64 }), CASE(2, 0, 2, { 2, 0 }),
};

static const struct check_case bare_cases[] = { CASE(1, 36, 3, { 2, 5, 36 }), CASE(1, 5, 2, { 3, 5 }) };

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "rms_norm", 2, rms, reference }), rms_cases);
    CHECK_CASES(d, (&(struct check_op){ "layer_norm", 3, layer, reference }), layer_cases);
    CHECK_CASES(d, (&(struct check_op){ "layer_norm without bias", 2, layer, reference }), bare_cases);

    tain_tensor *x = tain_tensor_create(d, TAIN_F32, 2, (int64_t[]){ 2, 8 });
    tain_tensor *w = tain_tensor_create(d, TAIN_F32, 1, (int64_t[]){ 7 });
    CHECK(!tain_rms_norm(x, w, 1e-5f));
    CHECK_STRING(tain_error(), "rms_norm: weight is [7]; x is [2, 8], so it must be [8]");
    CHECK(!tain_layer_norm(w, w, x, 1e-5f));
    CHECK_STRING(tain_error(), "layer_norm: bias is [2, 8]; x is [7], so it must be [7]");
    tain_tensor_free(w);
    tain_tensor_free(x);
    tain_device_free(d);
    return 0;
}

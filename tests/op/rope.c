/* Rotary positions: whole and partial widths, positions shared by the batch or not, the packed form,
 * and angles so large that a device's own sine would be wrong.
 */
#include "check_op.h"

/* [B, T, heads, head]: with[0] width, with[1] theta, with[2] rotated heads (0: all). */
static void turn(const struct check_value *in, struct check_value *out, const double *with, int64_t heads)
{
    int64_t batch = in[0].shape[0], tokens = in[0].shape[1], width = (int64_t)with[0];
    int64_t head = batch * tokens > 0 ? in[0].count / (batch * tokens * heads) : 0;
    int64_t rotated = with[2] > 0 ? (int64_t)with[2] : heads;

    check_like(out, &in[0]);
    memcpy(out->at, in[0].at, (size_t)in[0].count * sizeof(double));
    for (int64_t i = 0; i < batch * tokens * heads && head; i++) {
        int64_t t = i / heads;
        double position = in[1].at[in[1].dims == 2 ? t : t % tokens];
        for (int64_t j = 0; j < width / 2 && i % heads < rotated; j++) {
            double angle = position * pow(with[1], -2.0 * (double)j / (double)width);
            double a = in[0].at[i * head + j], b = in[0].at[i * head + j + width / 2];
            out->at[i * head + j] = a * cos(angle) - b * sin(angle);
            out->at[i * head + j + width / 2] = b * cos(angle) + a * sin(angle);
        }
    }
}

static void reference(const struct check_value *in, struct check_value *out, const double *with)
{
    turn(in, out, with, in[0].shape[2]);
}

static void reference_qkv(const struct check_value *in, struct check_value *out, const double *with)
{
    turn(in, out, with, (int64_t)(with[2] + with[3]));
}

static tain_tensor *rope(tain_tensor *const *in, const double *with)
{
    return tain_rope(in[0], in[1], (int32_t)with[0], (float)with[1]);
}

/* with[2]: heads + kv_heads, with[3]: kv_heads */
static tain_tensor *rope_qkv(tain_tensor *const *in, const double *with)
{
    return tain_rope_qkv(in[0], in[1], (int32_t)(with[2] - with[3]), (int32_t)with[3], (int32_t)with[0], (float)with[1]);
}

#define AT(most, ...) { __VA_ARGS__, .low = 0, .high = most, .type = TAIN_I32, .fixed = true }

static const struct check_case cases[] = {
    { { { 4, { 2, 5, 3, 16 } }, AT(9, 1, { 5 }) }, { 16, 10000 } },
    { { { 4, { 2, 5, 3, 32 } }, AT(900, 2, { 2, 5 }) }, { 16, 10000 } },
    { { { 4, { 1, 3, 2, 6 } }, AT(4000, 1, { 3 }) }, { 4, 10000 } },
    { { { 4, { 3, 1, 1, 10 } }, AT(30000, 2, { 3, 1 }) }, { 10, 1000000 } },
    { { { 4, { 2, 40, 4, 64 } }, AT(40, 1, { 40 }) }, { 32, 10000 } },
    { { { 4, { 2, 0, 4, 8 } }, AT(40, 1, { 0 }) }, { 8, 10000 } },
};

static const struct check_case packed[] = {
    { { { 3, { 2, 5, 9 * 16 } }, AT(9, 1, { 5 }) }, { 16, 10000, 6, 3 } },
    { { { 3, { 2, 4, 8 * 16 } }, AT(900, 2, { 2, 4 }) }, { 8, 10000, 6, 2 } },
    { { { 3, { 1, 3, 3 * 6 } }, AT(50, 1, { 3 }) }, { 6, 10000, 2, 1 } },
};

/* The queries of a packed tensor, as [B, T, H, D] with gaps, turned without a copy. */
static void check_slice(tain_device *d)
{
    enum { T = 3, H = 2, D = 8 };
    float all[T * 3 * H * D], whole[T * 3 * H * D], part[T * H * D];
    tain_tensor *x = tain_tensor_create(d, TAIN_F32, 3, (int64_t[]){ 1, T, 3 * H * D });
    tain_tensor *at = tensor_from(d, TAIN_I32, 1, (int64_t[]){ T }, (int32_t[]){ 3, 1, 7 });

    for (int i = 0; i < T * 3 * H * D; i++)
        all[i] = check_uniform(-1, 1);
    CHECK_INT(tain_tensor_write(x, all, T * 3 * H * D), 0);
    tain_tensor *heads = tain_reshape(x, 4, (int64_t[]){ 1, T, 3 * H, D }), *q = tain_slice(heads, 2, 0, H);
    tain_tensor *a = tain_rope(q, at, D, 10000), *b = tain_rope_qkv(x, at, H, H, D, 10000);
    CHECK(a && b);
    CHECK_INT(tain_tensor_read(a, part, T * H * D), 0);
    CHECK_INT(tain_tensor_read(b, whole, T * 3 * H * D), 0);
    for (int t = 0; t < T; t++) {
        CHECK(!memcmp(part + t * H * D, whole + t * 3 * H * D, sizeof(float) * H * D));
        CHECK(!memcmp(all + t * 3 * H * D + 2 * H * D, whole + t * 3 * H * D + 2 * H * D, sizeof(float) * H * D));
    }
    tain_tensor_free(a);
    tain_tensor_free(b);
    tain_tensor_free(q);
    tain_tensor_free(heads);
    tain_tensor_free(x);
    tain_tensor_free(at);
}

static void check_refusals(tain_device *d)
{
    tain_tensor *x = tain_tensor_create(d, TAIN_F32, 4, (int64_t[]){ 2, 3, 2, 8 });
    tain_tensor *at = tensor_from(d, TAIN_I32, 1, (int64_t[]){ 2 }, (int32_t[]){ 0, 1 });
    tain_tensor *minus = tensor_from(d, TAIN_I32, 1, (int64_t[]){ 3 }, (int32_t[]){ 0, -4, 1 });

    CHECK(!tain_rope(x, at, 8, 10000));
    CHECK_STRING(tain_error(), "rope: positions are [2]; x is [2, 3, 2, 8], so they must be [3] or [2, 3]");
    CHECK(!tain_rope(x, minus, 8, 10000));
    CHECK_STRING(tain_error(), "rope: position -4 is negative");
    CHECK(!tain_rope(x, minus, 12, 10000));
    CHECK(!tain_rope(x, x, 8, 10000));
    CHECK(!tain_rope(x, NULL, 8, 10000));
    CHECK(!tain_rope_qkv(x, minus, 1, 1, 8, 10000));
    tain_tensor_free(x);
    tain_tensor_free(at);
    tain_tensor_free(minus);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "rope", 2, rope, reference }), cases);
    CHECK_CASES(d, (&(struct check_op){ "rope_qkv", 2, rope_qkv, reference_qkv }), packed);
    check_slice(d);
    check_refusals(d);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

/* Ops that move numbers without changing them: reshape, slice, transpose, contiguous, cast. */
#include "check_op.h"

static tain_tensor *reshape_run(tain_tensor *const *in, const double *with)
{
    int64_t shape[3] = { -1, (int64_t)with[0], 2 };

    return tain_reshape(in[0], 3, shape);
}

static void reshape_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    check_shape(out, 3, (int64_t[]){ in->count / ((int64_t)with[0] * 2), (int64_t)with[0], 2 });
    memcpy(out->at, in->at, (size_t)in->count * sizeof(*in->at));
}

/* A slice of a transpose of a slice, [size, .., start] */
static tain_tensor *slice_run(tain_tensor *const *in, const double *with)
{
    tain_tensor *a = tain_slice(in[0], 0, 1, tain_tensor_size(in[0], 0) - 1), *b = tain_transpose(a, 0, -1), *c;

    CHECK(a && b);
    c = tain_slice(b, -2, (int64_t)with[0], (int64_t)with[1]);
    tain_tensor_free(a);
    tain_tensor_free(b);
    return c;
}

static void slice_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    int64_t start = (int64_t)with[0], size = (int64_t)with[1];
    int64_t A = in->shape[0] - 1, B = in->shape[1], C = in->shape[2];

    check_shape(out, 3, (int64_t[]){ C, size, A });
    for (int64_t c = 0; c < C; c++)
        for (int64_t b = 0; b < size; b++)
            for (int64_t a = 0; a < A; a++)
                out->at[(c * size + b) * A + a] = in->at[((a + 1) * B + b + start) * C + c];
}

static tain_tensor *transpose_run(tain_tensor *const *in, const double *with)
{
    tain_tensor *t = tain_transpose(in[0], (int)with[0], (int)with[1]), *c = t ? tain_contiguous(t) : NULL;

    tain_tensor_free(t);
    return c;
}

static void transpose_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    int a = (int)with[0], b = (int)with[1];
    int64_t shape[TENSOR_DIMS], stride[TENSOR_DIMS], step = 1;

    a = a < 0 ? a + in->dims : a;
    b = b < 0 ? b + in->dims : b;
    for (int d = in->dims - 1; d >= 0; d--) {
        shape[d] = in->shape[d];
        stride[d] = step;
        step *= shape[d];
    }
    shape[a] = in->shape[b];
    shape[b] = in->shape[a];
    step = stride[a];
    stride[a] = stride[b];
    stride[b] = step;
    check_shape(out, in->dims, shape);
    for (int64_t i = 0; i < out->count; i++) {
        int64_t rest = i, at = 0;
        for (int d = out->dims - 1; d >= 0; d--) {
            at += rest % out->shape[d] * stride[d];
            rest /= out->shape[d];
        }
        out->at[i] = in->at[at];
    }
}

static const struct check_case reshapes[] = {
    { { { 2, { 6, 4 } } }, { 3 } },
    { { { 3, { 5, 63, 2 } } }, { 9 } },
    { { { 1, { 12 }, .type = TAIN_BF16 } }, { 2 } },
};

static const struct check_case slices[] = {
    { { { 3, { 3, 5, 7 } } }, { 1, 3 } },
    { { { 3, { 5, 8, 64 } } }, { 4, 4 } },
    { { { 3, { 4, 3, 5 } } }, { 2, 0 } },
    { { { 3, { 2, 9, 1 } } }, { 0, 9 } },
};

static const struct check_case transposes[] = {
    { { { 2, { 1, 1 } } }, { 0, 1 } },
    { { { 2, { 65, 33 } } }, { 0, 1 } },
    { { { 2, { 64, 16 } } }, { -1, 0 } },
    { { { 4, { 2, 3, 5, 4 } } }, { 1, 2 } },
    { { { 6, { 2, 1, 3, 2, 2, 5 } } }, { 0, 4 } },
    { { { 3, { 0, 3, 2 } } }, { 1, 2 } },
};

/* Rounding between types is to the nearest, ties to even, and right for infinities and nothing. */
static void check_cast(tain_device *d)
{
    static const float x[10] = { 0, -0.0f, 1, 1.00390625f, 1.01171875f, 65504, 1e-7f, INFINITY, NAN, -3.14159f };
    static const float bf[10] = { 0, -0.0f, 1, 1, 1.015625f, 65536, 1.0000e-7f, INFINITY, NAN, -3.140625f };
    static const float f16[10] = { 0, -0.0f, 1, 1.00390625f, 1.01171875f, 65504, 1.1920929e-7f, INFINITY, NAN, -3.140625f };
    tain_tensor *t = tensor_from(d, TAIN_F32, 1, (int64_t[]){ 10 }, x), *h, *i, *f;
    const int32_t ints[5] = { 0, -7, 16777216, 100, -1 };
    int32_t back[5];
    float got[10];

    for (int type = TAIN_F16; type <= TAIN_BF16; type++) {
        h = tain_cast(t, (tain_type)type);
        CHECK(h);
        CHECK_INT(tain_tensor_type(h), type);
        CHECK_INT(tain_tensor_read(h, got, 10), 0);
        for (int k = 0; k < 10; k++) {
            float want = type == TAIN_BF16 ? bf[k] : f16[k];
            if (isnan(want))
                CHECK(isnan(got[k]));
            else if (isinf(want))
                CHECK(got[k] == want);
            else
                CHECK_CLOSE(got[k], want, fabs(want) * (k == 6 ? 4e-3 : 0));
        }
        tain_tensor_free(h);
    }
    i = tensor_from(d, TAIN_I32, 1, (int64_t[]){ 5 }, ints);
    f = tain_cast(i, TAIN_F32);
    CHECK(f);
    h = tain_cast(f, TAIN_I32);
    CHECK(h);
    CHECK_INT(tain_tensor_read_ints(h, back, 5), 0);
    CHECK(!memcmp(back, ints, sizeof(ints)));
    CHECK(!tain_reshape(t, 2, (int64_t[]){ 3, 3 }));
    CHECK(!tain_reshape(t, 2, (int64_t[]){ -1, -1 }));
    CHECK(!tain_slice(t, 0, 8, 3));
    CHECK(!tain_slice(t, 1, 0, 1));
    CHECK(!tain_transpose(t, 0, 1));
    tain_tensor_free(t);
    tain_tensor_free(i);
    tain_tensor_free(f);
    tain_tensor_free(h);
}

#define TEST(name, cases) CHECK_CASES(d, (&(struct check_op){ #name, 1, name##_run, name##_reference }), cases)

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    TEST(reshape, reshapes);
    TEST(slice, slices);
    TEST(transpose, transposes);
    check_cast(d);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

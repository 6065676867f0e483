/* gather and rows, with indices that repeat. */
#include "check_op.h"

static void gather_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    int64_t shape[TENSOR_DIMS];

    (void)with;
    memcpy(shape, in->shape, sizeof(shape));
    check_shape(out, in->dims - 1, shape);
    for (int64_t r = 0; r < out->count; r++)
        out->at[r] = in->at[r * in->shape[in->dims - 1] + (int64_t)in[1].at[r]];
}

static tain_tensor *gather_run(tain_tensor *const *in, const double *with)
{
    (void)with;
    return tain_gather(in[0], in[1]);
}

static void rows_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    int64_t shape[TENSOR_DIMS], part = 1;
    int dims = in[1].dims;

    (void)with;
    memcpy(shape, in[1].shape, sizeof(shape));
    for (int d = 1; d < in->dims; d++)
        part *= shape[dims++] = in->shape[d];
    check_shape(out, dims, shape);
    for (int64_t r = 0; r < in[1].count; r++)
        memcpy(out->at + r * part, in->at + (int64_t)in[1].at[r] * part, (size_t)part * sizeof(double));
}

static tain_tensor *rows_run(tain_tensor *const *in, const double *with)
{
    (void)with;
    return tain_rows(in[0], in[1]);
}

#define INDEX(high) 0, high, TAIN_I32, true

static const struct check_case gathers[] = {
    { { { 1, { 3 } }, { 0, { 0 }, INDEX(3) } } },
    { { { 2, { 65, 7 } }, { 1, { 65 }, INDEX(7) } } },
    { { { 3, { 3, 21, 64 } }, { 2, { 3, 21 }, INDEX(64) } } },
    { { { 2, { 0, 4 } }, { 1, { 0 }, INDEX(4) } } },
    { { { 2, { 9, 12 }, .type = TAIN_BF16 }, { 1, { 9 }, INDEX(12) } } },
};

static const struct check_case rowses[] = {
    { { { 1, { 5 } }, { 1, { 9 }, INDEX(5) } } },
    { { { 2, { 3, 64 } }, { 1, { 127 }, INDEX(3) } } },
    { { { 2, { 9, 7 } }, { 2, { 2, 3 }, INDEX(9) } } },
    { { { 3, { 4, 3, 5 } }, { 1, { 6 }, INDEX(4) } } },
    { { { 2, { 4, 8 } }, { 1, { 0 }, INDEX(4) } } },
};

/* An index that only the device knows cannot be refused, but does no harm. */
static void check_outside(tain_device *d)
{
    const float x[6] = { 1, 2, 3, 4, 5, 6 }, at[2] = { 1, 3 };
    float got[2];
    tain_tensor *t = tensor_from(d, TAIN_F32, 2, (int64_t[]){ 2, 3 }, x), *f = tensor_from(d, TAIN_F32, 1, (int64_t[]){ 2 }, at);
    tain_tensor *i = tain_cast(f, TAIN_I32), *y = tain_gather(t, i);

    CHECK(y);
    CHECK_INT(tain_tensor_read(y, got, 2), 0);
    CHECK(got[0] == 2 && isnan(got[1]));
    tain_tensor_free(i);
    tain_tensor_free(y);
    i = tensor_from(d, TAIN_I32, 1, (int64_t[]){ 2 }, (int32_t[]){ 0, 3 });
    CHECK(!tain_gather(t, i));
    CHECK(strstr(tain_error(), "gather: index 3 of row 1 is not in 0..2"));
    tain_tensor_free(t);
    tain_tensor_free(f);
    tain_tensor_free(i);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "gather", 2, gather_run, gather_reference }), gathers);
    CHECK_CASES(d, (&(struct check_op){ "rows", 2, rows_run, rows_reference }), rowses);
    check_outside(d);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

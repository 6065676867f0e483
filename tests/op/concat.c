/* concat: along every dimension, of any number of parts. */
#include "check_op.h"

static void join(const struct check_value *in, int count, struct check_value *out, int dim)
{
    int64_t shape[TENSOR_DIMS], outer = 1, inner = 1, start = 0;
    int dims = in[0].dims;

    dim = dim < 0 ? dim + dims : dim;
    memcpy(shape, in[0].shape, sizeof(shape));
    for (int i = 1; i < count; i++)
        shape[dim] += in[i].shape[dim];
    check_shape(out, dims, shape);
    for (int d = 0; d < dims; d++)
        if (d != dim)
            *(d < dim ? &outer : &inner) *= shape[d];
    for (int i = 0; i < count; i++) {
        int64_t width = in[i].shape[dim] * inner;
        for (int64_t o = 0; o < outer; o++)
            for (int64_t k = 0; k < width; k++)
                out->at[o * shape[dim] * inner + start + k] = in[i].at[o * width + k];
        start += width;
    }
}

static void two_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    join(in, 2, out, (int)with[0]);
}

static tain_tensor *two_run(tain_tensor *const *in, const double *with)
{
    return tain_concat(in, 2, (int)with[0]);
}

/* a b c a b c … */
static void many_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    struct check_value parts[20];

    for (int i = 0; i < (int)with[1]; i++)
        parts[i] = in[i % 3];
    join(parts, (int)with[1], out, (int)with[0]);
}

static tain_tensor *many_run(tain_tensor *const *in, const double *with)
{
    tain_tensor *parts[20];

    for (int i = 0; i < (int)with[1]; i++)
        parts[i] = in[i % 3];
    return tain_concat(parts, (int)with[1], (int)with[0]);
}

static const struct check_case twos[] = {
    { { { 1, { 1 } }, { 1, { 3 } } }, { 0 } },
    { { { 2, { 4, 8 } }, { 2, { 4, 12 } } }, { -1 } },
    { { { 2, { 3, 63 } }, { 2, { 3, 65 } } }, { 1 } },
    { { { 2, { 3, 64 } }, { 2, { 5, 64 } } }, { 0 } },
    { { { 3, { 2, 3, 5 } }, { 3, { 2, 4, 5 } } }, { 1 } },
    { { { 4, { 2, 1, 3, 4 } }, { 4, { 2, 5, 3, 4 } } }, { 1 } },
    { { { 2, { 3, 0 } }, { 2, { 3, 4 } } }, { 1 } },
    { { { 2, { 0, 4 } }, { 2, { 0, 4 } } }, { 1 } },
    { { { 2, { 2, 8 }, .type = TAIN_F16 }, { 2, { 1, 8 } } }, { 0 } },
};

static const struct check_case manys[] = {
    { { { 2, { 2, 3 } }, { 2, { 2, 4 } }, { 2, { 2, 1 } } }, { 1, 3 } },
    { { { 2, { 2, 3 } }, { 2, { 2, 4 } }, { 2, { 2, 1 } } }, { 1, 8 } },
    { { { 2, { 2, 3 } }, { 2, { 2, 4 } }, { 2, { 2, 1 } } }, { 1, 9 } },
    { { { 2, { 2, 4 } }, { 2, { 1, 4 } }, { 2, { 3, 4 } } }, { 0, 20 } },
};

int main(void)
{
    tain_device *d = tain_device_open(NULL);
    tain_tensor *t[2];

    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "concat of two", 2, two_run, two_reference }), twos);
    CHECK_CASES(d, (&(struct check_op){ "concat of many", 3, many_run, many_reference }), manys);
    t[0] = tain_tensor_create(d, TAIN_F32, 2, (int64_t[]){ 2, 3 });
    t[1] = tain_tensor_create(d, TAIN_F32, 2, (int64_t[]){ 3, 3 });
    CHECK(!tain_concat(t, 2, 1));
    CHECK(strstr(tain_error(), "concat: part 2 is [3, 3] and part 1 is [2, 3]; they may differ only in dimension 1"));
    CHECK(!tain_concat(t, 2, 2));
    CHECK(!tain_concat(t, 0, 0));
    tain_tensor_free(t[0]);
    tain_tensor_free(t[1]);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

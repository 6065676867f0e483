/* Functions of two and three numbers, over shapes that broadcast in every way. */
#include "check_op.h"

/* The index into an input that is broadcast to out. */
static int64_t place(const struct check_value *in, const struct check_value *out, int64_t i)
{
    int64_t at = 0, step = 1;

    for (int d = out->dims - 1, own = in->dims - 1; d >= 0; d--, own--) {
        int64_t k = i % out->shape[d];
        i /= out->shape[d];
        if (own < 0)
            continue;
        if (in->shape[own] != 1)
            at += k * step;
        step *= in->shape[own];
    }
    return at;
}

static void shape_of(const struct check_value *in, int inputs, struct check_value *out)
{
    int64_t shape[TENSOR_DIMS];
    int dims = 0;

    for (int i = 0; i < inputs; i++)
        dims = in[i].dims > dims ? in[i].dims : dims;
    for (int d = 0; d < dims; d++) {
        shape[d] = 1;
        for (int i = 0; i < inputs; i++) {
            int own = d - (dims - in[i].dims);
            if (own >= 0 && in[i].shape[own] != 1)
                shape[d] = in[i].shape[own];
        }
    }
    check_shape(out, dims, shape);
}

#define BINARY(name, expression)                                                                    \
    static void name##_reference(const struct check_value *in, struct check_value *out, const double *with) \
    {                                                                                               \
        (void)with;                                                                                 \
        shape_of(in, 2, out);                                                                       \
        for (int64_t i = 0; i < out->count; i++) {                                                  \
            double a = in[0].at[place(&in[0], out, i)], b = in[1].at[place(&in[1], out, i)];        \
            out->at[i] = expression;                                                                \
        }                                                                                           \
    }                                                                                               \
    static tain_tensor *name##_run(tain_tensor *const *in, const double *with)                      \
    {                                                                                               \
        (void)with;                                                                                 \
        return tain_##name(in[0], in[1]);                                                           \
    }

BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a * b)
BINARY(div, a / b)
BINARY(greatest, a > b ? a : b)
BINARY(least, a < b ? a : b)
BINARY(gt, a > b)
BINARY(ge, a >= b)
BINARY(lt, a < b)
BINARY(le, a <= b)
BINARY(eq, a == b)

static void where_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    (void)with;
    shape_of(in, 3, out);
    for (int64_t i = 0; i < out->count; i++) {
        int from = in[0].at[place(&in[0], out, i)] != 0 ? 1 : 2;
        out->at[i] = in[from].at[place(&in[from], out, i)];
    }
}

static tain_tensor *where_run(tain_tensor *const *in, const double *with)
{
    tain_tensor *half = tain_shift(in[0], 0.5f), *zero = tain_scale(in[0], 0), *mask = tain_gt(half, zero), *out;

    (void)with;
    CHECK(mask);
    out = tain_where(mask, in[1], in[2]);
    tain_tensor_free(half);
    tain_tensor_free(zero);
    tain_tensor_free(mask);
    return out;
}

/* The mask of where is x > -0.5, made from a random x. */
static void masked_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    struct check_value copy[3] = { in[0], in[1], in[2] };

    copy[0].at = malloc((size_t)in[0].count * sizeof(double) + 8);
    for (int64_t i = 0; i < in[0].count; i++)
        copy[0].at[i] = in[0].at[i] > -0.5;
    where_reference(copy, out, with);
    free(copy[0].at);
}

static const struct check_case cases[] = {
    { { { 0, { 0 } }, { 0, { 0 } } } },
    { { { 1, { 1 } }, { 1, { 3 } } } },
    { { { 2, { 3, 5 } }, { 2, { 3, 5 } } } },
    { { { 2, { 4, 64 } }, { 2, { 4, 64 } } } },
    { { { 2, { 5, 64 } }, { 1, { 64 } } } },                  /* a bias */
    { { { 2, { 7, 63 } }, { 1, { 63 } } } },
    { { { 1, { 127 } }, { 2, { 3, 127 } } } },
    { { { 2, { 6, 68 } }, { 2, { 6, 1 } } } },                /* a column */
    { { { 2, { 6, 65 } }, { 2, { 6, 1 } } } },
    { { { 2, { 1, 36 } }, { 2, { 9, 1 } } } },                /* both */
    { { { 3, { 2, 3, 64 } }, { 0, { 0 } } } },                /* a number */
    { { { 0, { 0 } }, { 1, { 1023 } } } },
    { { { 3, { 4, 1, 8 } }, { 3, { 1, 5, 8 } } } },
    { { { 6, { 2, 1, 3, 1, 2, 4 } }, { 6, { 1, 3, 1, 2, 1, 4 } } } },
    { { { 4, { 2, 3, 4, 1 } }, { 2, { 4, 5 } } } },
    { { { 2, { 0, 4 } }, { 1, { 4 } } } },
    { { { 2, { 3, 0 } }, { 2, { 1, 0 } } } },
    { { { 2, { 5, 12 }, .type = TAIN_F16 }, { 2, { 5, 12 }, .type = TAIN_BF16 } } },
    { { { 2, { 300, 33 }, .type = TAIN_BF16 }, { 1, { 33 } } } },
};

static const struct check_case quotients[] = {
    { { { 2, { 5, 64 } }, { 1, { 64 }, 0.5f, 2 } } },
    { { { 1, { 63 } }, { 2, { 4, 1 }, -3, -0.5f } } },
    { { { 2, { 1, 4 } }, { 2, { 3, 4 }, 0.5f, 2 } } },
    { { { 2, { 0, 4 } }, { 1, { 4 }, 1, 2 } } },
};

static const struct check_case choices[] = {
    { { { 1, { 64 }, .fixed = true }, { 1, { 64 } }, { 1, { 64 } } } },
    { { { 2, { 5, 1 }, .fixed = true }, { 1, { 63 } }, { 2, { 5, 63 } } } },
    { { { 3, { 4, 1, 8 }, .fixed = true }, { 3, { 1, 5, 8 } }, { 0, { 0 } } } },
};

/* For what shares all but one line of the shader with another. */
static const struct check_case few[] = {
    { { { 2, { 5, 64 } }, { 1, { 64 } } } },
    { { { 2, { 1, 3 } }, { 2, { 9, 1 } } } },
};

#define TEST(name, table) CHECK_CASES(d, (&(struct check_op){ #name, 2, name##_run, name##_reference }), table)
#define TEST_FLAT(name) CHECK_CASES(d, (&(struct check_op){ #name, 2, name##_run, name##_reference, .no_grad = true }), few)

/* Equal numbers, which random ones never are. */
static void check_equals(tain_device *d)
{
    const float x[5] = { 1, 2, 3, 4, 5 }, y[5] = { 1, 3, 3, 2, 5 }, want[5][5] = {
        { 0, 0, 0, 1, 0 }, { 1, 0, 1, 1, 1 }, { 0, 1, 0, 0, 0 }, { 1, 1, 1, 0, 1 }, { 1, 0, 1, 0, 1 },
    };
    tain_tensor *a = tensor_from(d, TAIN_F32, 1, (int64_t[]){ 5 }, x), *b = tensor_from(d, TAIN_F32, 1, (int64_t[]){ 5 }, y);
    tain_tensor *(*const ops[5])(tain_tensor *, tain_tensor *) = { tain_gt, tain_ge, tain_lt, tain_le, tain_eq };
    float got[5];

    for (int i = 0; i < 5; i++) {
        tain_tensor *r = ops[i](a, b);
        CHECK(r);
        CHECK_INT(tain_tensor_read(r, got, 5), 0);
        CHECK(!memcmp(got, want[i], sizeof(got)));
        tain_tensor_free(r);
    }
    tain_tensor_free(b);
    b = tensor_from(d, TAIN_F32, 1, (int64_t[]){ 4 }, y);
    CHECK(!tain_add(a, b));
    CHECK(strstr(tain_error(), "add: a is [5] and b is [4]; sizes 5 and 4 do not fit each other"));
    CHECK(!tain_add(a, NULL));
    tain_tensor_free(a);
    tain_tensor_free(b);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    TEST(add, cases);
    TEST(sub, few);
    TEST(mul, cases);
    TEST(div, quotients);
    TEST(greatest, few);
    TEST(least, few);
    TEST_FLAT(gt);
    TEST_FLAT(ge);
    TEST_FLAT(lt);
    TEST_FLAT(le);
    TEST_FLAT(eq);
    CHECK_CASES(d, (&(struct check_op){ "where", 3, where_run, masked_reference }), choices);
    check_equals(d);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

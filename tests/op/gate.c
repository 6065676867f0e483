/* silu(gate) * up of two tensors, of one tensor twice, and of the halves of one. */
#include "check_op.h"

static double gated(double g, double u)
{
    return g / (1 + exp(-g)) * u;
}

static void gate_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    (void)with;
    check_like(out, &in[0]);
    for (int64_t i = 0; i < out->count; i++)
        out->at[i] = gated(in[0].at[i], in[1].at[i]);
}

static void self_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    (void)with;
    check_like(out, &in[0]);
    for (int64_t i = 0; i < out->count; i++)
        out->at[i] = gated(in[0].at[i], in[0].at[i]);
}

static void swiglu_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    int64_t shape[TENSOR_DIMS], half = in[0].shape[in[0].dims - 1] / 2;

    (void)with;
    memcpy(shape, in[0].shape, sizeof(shape));
    shape[in[0].dims - 1] = half;
    check_shape(out, in[0].dims, shape);
    for (int64_t i = 0; i < out->count; i++) {
        const double *row = in[0].at + i / half * 2 * half + i % half;
        out->at[i] = gated(row[0], row[half]);
    }
}

static tain_tensor *gate(tain_tensor *const *in, const double *with)
{
    (void)with;
    return tain_gate(in[0], in[1]);
}

static tain_tensor *self(tain_tensor *const *in, const double *with)
{
    (void)with;
    return tain_gate(in[0], in[0]);
}

static tain_tensor *swiglu(tain_tensor *const *in, const double *with)
{
    (void)with;
    return tain_swiglu(in[0]);
}

static const struct check_case gates[] = {
    { { { 2, { 3, 8 } }, { 2, { 3, 8 } } } },
    { { { 3, { 2, 3, 7 } }, { 3, { 2, 3, 7 }, .fixed = true } } },
    { { { 1, { 1000 }, .fixed = true }, { 1, { 1000 }, -9, 9 } } },
};

static const struct check_case halves[] = {
    { { { 2, { 3, 16 } } } }, { { { 3, { 2, 3, 14 }, -9, 9 } } }, { { { 1, { 2 } } } },
    { { { 2, { 40, 344 } } } }, { { { 2, { 0, 8 } } } },
};

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "gate", 2, gate, gate_reference }), gates);
    CHECK_CASES(d, (&(struct check_op){ "gate with itself", 1, self, self_reference }), gates);
    CHECK_CASES(d, (&(struct check_op){ "swiglu", 1, swiglu, swiglu_reference }), halves);

    tain_tensor *a = tain_tensor_create(d, TAIN_F32, 1, (int64_t[]){ 3 });
    tain_tensor *b = tain_tensor_create(d, TAIN_F32, 1, (int64_t[]){ 4 });
    CHECK(!tain_gate(a, b));
    CHECK_STRING(tain_error(), "gate: gate is [3] and up is [4]; they must have one shape");
    CHECK(!tain_swiglu(a));
    CHECK_STRING(tain_error(), "swiglu: x is [3]; its last dimension must be even");
    tain_tensor_free(a);
    tain_tensor_free(b);
    tain_device_free(d);
    return 0;
}

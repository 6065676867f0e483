/* Every function of one number, away from its corners, and at the ends of the range. */
#include "check_op.h"

#define UNARY(name, expression)                                                                     \
    static void name##_reference(const struct check_value *in, struct check_value *out, const double *with) \
    {                                                                                               \
        const double a = with[0];                                                                   \
        (void)a;                                                                                    \
        check_like(out, in);                                                                        \
        for (int64_t i = 0; i < out->count; i++) {                                                  \
            const double x = in->at[i];                                                             \
            out->at[i] = expression;                                                                \
        }                                                                                           \
    }

#define PLAIN(name, expression)                                                                     \
    UNARY(name, expression)                                                                         \
    static tain_tensor *name##_run(tain_tensor *const *in, const double *with)                      \
    {                                                                                               \
        (void)with;                                                                                 \
        return tain_##name(in[0]);                                                                  \
    }

#define WITH(name, expression)                                                                      \
    UNARY(name, expression)                                                                         \
    static tain_tensor *name##_run(tain_tensor *const *in, const double *with)                      \
    {                                                                                               \
        return tain_##name(in[0], (float)with[0]);                                                  \
    }

static double sigmoid_of(double x)
{
    return 1 / (1 + exp(-x));
}

PLAIN(neg, -x)
PLAIN(exp, exp(x))
PLAIN(log, log(x))
PLAIN(sqrt, sqrt(x))
PLAIN(rsqrt, 1 / sqrt(x))
PLAIN(abs, fabs(x))
PLAIN(square, x * x)
PLAIN(tanh, tanh(x))
PLAIN(sigmoid, sigmoid_of(x))
PLAIN(logsigmoid, x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x)))
PLAIN(relu, x > 0 ? x : 0)
PLAIN(silu, x * sigmoid_of(x))
PLAIN(gelu, 0.5 * x * (1 + erf(x / sqrt(2))))
PLAIN(gelu_tanh, 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))))
PLAIN(quick_gelu, x * sigmoid_of(1.702 * x))
PLAIN(softplus, x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)))
PLAIN(sin, sin(x))
PLAIN(cos, cos(x))
PLAIN(reciprocal, 1 / x)
WITH(scale, x * a)
WITH(shift, x + a)
WITH(maximum, x > a ? x : a)
WITH(minimum, x < a ? x : a)

#define SHAPES(low, high) { { { 2, { 5, 63 }, low, high } }, { 0.4 } }, { { { 2, { 8, 32 }, low, high } }, { -0.3 } }

static const struct check_case wide[] = {
    SHAPES(-6, 6),
    { { { 0, { 0 } } }, { 2 } },
    { { { 1, { 3 } } }, { 2 } },
    { { { 2, { 0, 4 } } }, { 2 } },
    { { { 2, { 3, 65 }, .type = TAIN_F16 } }, { 0.7 } },
    { { { 1, { 1023 }, .type = TAIN_BF16 } }, { 0.7 } },
};
static const struct check_case some[] = { SHAPES(-6, 6) };
static const struct check_case positive[] = { SHAPES(0.3f, 4) };

#define TEST(name, cases) CHECK_CASES(d, (&(struct check_op){ #name, 1, name##_run, name##_reference }), cases)

/* Far out nothing overflows that has a finite value. */
static void check_ends(tain_device *d)
{
    static const struct {
        tain_tensor *(*f)(tain_tensor *);
        double want[4], slope[4];
    } ops[] = {
        { tain_tanh, { -1, 1, 0, 1e-4 }, { 0, 0, 1, 1 } },
        { tain_sigmoid, { 0, 1, 0.5, 0.500025 }, { 0, 0, 0.25, 0.25 } },
        { tain_logsigmoid, { -1e4, 0, -0.693147, -0.693097 }, { 1, 0, 0.5, 0.499975 } },
        { tain_softplus, { 0, 1e4, 0.693147, 0.693197 }, { 0, 1, 0.5, 0.500025 } },
        { tain_silu, { 0, 1e4, 0, 5e-5 }, { 0, 1, 0.5, 0.50005 } },
        { tain_gelu, { 0, 1e4, 0, 5e-5 }, { 0, 1, 0.5, 0.5000798 } },
        { tain_gelu_tanh, { 0, 1e4, 0, 5e-5 }, { 0, 1, 0.5, 0.5000798 } },
        { tain_quick_gelu, { 0, 1e4, 0, 5e-5 }, { 0, 1, 0.5, 0.5000851 } },
        { tain_relu, { 0, 1e4, 0, 1e-4 }, { 0, 1, 0, 1 } },
    };
    const float x[4] = { -1e4f, 1e4f, 0, 1e-4f };

    for (size_t i = 0; i < COUNT_OF(ops); i++) {
        tain_tensor *t = tensor_from(d, TAIN_F32, 1, (int64_t[]){ 4 }, x), *y, *s, *g;
        float got[4], grad[4];
        CHECK_INT(tain_tensor_want_grad(t, true), 0);
        CHECK_INT(tain_tape_begin(d), 0);
        y = ops[i].f(t);
        s = tain_sum(y);
        CHECK(s);
        CHECK_INT(tain_tensor_read(y, got, 4), 0);
        CHECK_INT(tain_backward(s), 0);
        g = tain_tensor_grad(t);
        CHECK(g);
        CHECK_INT(tain_tensor_read(g, grad, 4), 0);
        for (int k = 0; k < 4; k++) {
            CHECK_CLOSE(got[k], ops[i].want[k], 1e-6 * fmax(1, fabs(ops[i].want[k])));
            CHECK_CLOSE(grad[k], ops[i].slope[k], 2e-6);
        }
        tain_tape_end(d);
        tain_tensor_free(t);
        tain_tensor_free(y);
        tain_tensor_free(s);
        tain_tensor_free(g);
    }
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    TEST(silu, wide);
    TEST(scale, wide);
    TEST(neg, some);
    TEST(exp, positive);
    TEST(log, positive);
    TEST(sqrt, positive);
    TEST(rsqrt, positive);
    TEST(abs, some);
    TEST(square, some);
    TEST(tanh, some);
    TEST(sigmoid, some);
    TEST(logsigmoid, some);
    TEST(relu, some);
    TEST(gelu, some);
    TEST(gelu_tanh, some);
    TEST(quick_gelu, some);
    TEST(softplus, some);
    TEST(sin, some);
    TEST(cos, some);
    TEST(reciprocal, positive);
    TEST(shift, some);
    TEST(maximum, some);
    TEST(minimum, some);
    check_ends(d);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

/* unary.c - functions of one number, applied to every element.
 *
 * A new one is a row here, a case in shaders/unary.comp, a row in tests/op/unary.c and a prototype
 * in tain.h. The gradient is a function of x alone, so the tape keeps x and lets y go.
 */
#include "op/op.h"

struct unary_params {
    uint32_t function;
    float a;
};

/* The order is that of the cases in the shader. */
enum {
    NEG, EXP, LOG, SQRT, RSQRT, ABS, SQUARE, TANH, SIGMOID, LOGSIGMOID, RELU, SILU, GELU, GELU_TANH,
    SCALE, SHIFT, MAXIMUM, MINIMUM, SOFTPLUS, SIN, COS, RECIPROCAL, QUICK_GELU
};

static bool fours(const struct op_call *c)
{
    return tensor_count(c->in[0]) % 4 == 0 && c->in[0]->offset % 4 == 0 && (!c->dout || c->dout->offset % 4 == 0);
}

static int run(struct op_call *c, const char *name, tain_tensor *const *t, int count, bool add)
{
    const struct unary_params *u = (void *)c->params;
    bool v4 = fours(c) && t[count - 1]->offset % 4 == 0;
    int64_t n = tensor_count(c->in[0]) / (v4 ? 4 : 1), x, y;
    struct { uint32_t n; float a; } params = { (uint32_t)n, u->a };
    uint32_t constants[2] = { u->function, add };
    op_grid(n, 256, &x, &y);
    return op_dispatch(c->device, op_pipeline(c->device, 256, constants, 2, "unary.%s.%s", name, v4 ? "v4" : "v1"), t,
                       count, 1u << (count - 1), &params, sizeof(params), x, y, 1,
                       16.0 * (double)tensor_count(c->in[0]));
}

static int forward(struct op_call *c)
{
    return run(c, "forward", (tain_tensor *[]){ c->in[0], c->out }, 2, false);
}

static int backward(struct op_call *c)
{
    bool add;
    tain_tensor *dx = grad_target(c->in[0], &add);

    return dx ? run(c, "backward", (tain_tensor *[]){ c->in[0], c->dout, dx }, 3, add) : tain_error_status();
}

#define UNARY(public, label, number)                                                               \
    static const struct op op_##public = {                                                         \
        .name = label, .inputs = 1, .infer = infer_same, .forward = forward, .backward = backward, \
    };                                                                                             \
    tain_tensor *tain_##public(tain_tensor *x)                                                     \
    {                                                                                              \
        return OP_RUN(&op_##public, (&(struct unary_params){ number, 0 }), x);                     \
    }

#define UNARY_WITH(public, label, number)                                                          \
    static const struct op op_##public = {                                                         \
        .name = label, .inputs = 1, .infer = infer_same, .forward = forward, .backward = backward, \
    };                                                                                             \
    tain_tensor *tain_##public(tain_tensor *x, float a)                                            \
    {                                                                                              \
        return OP_RUN(&op_##public, (&(struct unary_params){ number, a }), x);                     \
    }

UNARY(neg, "neg", NEG)
UNARY(exp, "exp", EXP)
UNARY(log, "log", LOG)
UNARY(sqrt, "sqrt", SQRT)
UNARY(rsqrt, "rsqrt", RSQRT)
UNARY(abs, "abs", ABS)
UNARY(square, "square", SQUARE)
UNARY(tanh, "tanh", TANH)
UNARY(sigmoid, "sigmoid", SIGMOID)
UNARY(logsigmoid, "logsigmoid", LOGSIGMOID)
UNARY(relu, "relu", RELU)
UNARY(silu, "silu", SILU)
UNARY(gelu, "gelu", GELU)
UNARY(gelu_tanh, "gelu_tanh", GELU_TANH)
UNARY(quick_gelu, "quick_gelu", QUICK_GELU)
UNARY(softplus, "softplus", SOFTPLUS)
UNARY(sin, "sin", SIN)
UNARY(cos, "cos", COS)
UNARY(reciprocal, "reciprocal", RECIPROCAL)
UNARY_WITH(scale, "scale", SCALE)
UNARY_WITH(shift, "shift", SHIFT)
UNARY_WITH(maximum, "maximum", MAXIMUM)
UNARY_WITH(minimum, "minimum", MINIMUM)

/* linear.c - y = x W^T + bias + residual, with low-rank adapters added in place.
 *
 * The frozen product and the adapters are one call on the tape: backward needs x, and u = scale x A^T
 * of each adapter, which has only its rank in columns.
 */
#include "op/matmul.h"

#include <string.h>

/* What is kept: u of each adapter, and what lies before a gate. */
enum { KEPT = LINEAR_ADAPTERS };

/* Inputs: x, weight, then, each or nothing, bias, residual and the weight of x's norm, then A and B of each adapter. */
enum { X, WEIGHT, BIAS, RESIDUAL, NORM, ADAPTERS };

struct linear_params {
    float eps;
    int32_t activation, adapters;
    int32_t at[LINEAR_ADAPTERS];
    float scale[LINEAR_ADAPTERS];
};

static const struct linear_params *params_of(const struct op_call *c)
{
    return (const void *)c->params;
}

static int infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const struct linear_params *p = params_of(c);
    const tain_tensor *x = c->in[X], *w = c->in[WEIGHT], *b = c->in[BIAS], *r = c->in[RESIDUAL], *norm = c->in[NORM];

    REQUIRE(x->dims >= 1, "linear: x must have at least one dimension");
    REQUIRE(w->dims == 2, "linear: weight must have two dimensions; it is %s", tensor_text(w));
    REQUIRE(w->type != TAIN_I32, "linear: weight holds integers");
    REQUIRE(tensor_last(x) == w->shape[1], "linear: inner sizes differ: x is %s, weight is %s", tensor_text(x), tensor_text(w));
    REQUIRE(!b || (b->dims == 1 && b->shape[0] == w->shape[0]), "linear: bias is %s, weight is %s", tensor_text(b ? b : w),
            tensor_text(w));
    REQUIRE(!c->training || (!norm && (p->activation == GEMM_NONE || (p->activation == GEMM_GATE && !b && !r && !p->adapters))),
            "linear: with a norm or an activation other than a gate it has no gradient");
    REQUIRE(!norm || (norm->dims == 1 && norm->shape[0] == tensor_last(x)), "linear: x is %s, its norm's weight is %s",
            tensor_text(x), tensor_text(norm ? norm : w));
    for (int i = 0; i < p->adapters; i++) {
        const tain_tensor *A = c->in[ADAPTERS + 2 * i], *B = c->in[ADAPTERS + 2 * i + 1];
        REQUIRE(A->dims == 2 && B->dims == 2 && A->shape[1] == w->shape[1] && B->shape[1] == A->shape[0] &&
                    p->at[i] >= 0 && p->at[i] + B->shape[0] <= w->shape[0],
                "linear: adapter %d is %s and %s at row %d of weight %s", i + 1, tensor_text(A), tensor_text(B), p->at[i],
                tensor_text(w));
    }
    *type = TAIN_F32;
    *dims = x->dims;
    memcpy(shape, x->shape, sizeof(x->shape));
    shape[x->dims - 1] = p->activation == GEMM_GATE ? w->shape[0] / 2 : w->shape[0];
    REQUIRE(!r || (r->dims == x->dims && !memcmp(r->shape, shape, (size_t)r->dims * sizeof(int64_t))),
            "linear: residual is %s; x is %s, weight is %s", tensor_text(r ? r : w), tensor_text(x), tensor_text(w));
    return 0;
}

/* The columns of y that adapter i adds to, as [rows, out]. */
static tain_tensor *columns(const struct op_call *c, tain_tensor *y, int i)
{
    int64_t wide = tensor_last(y);

    return view_make(y, 2, (int64_t[]){ tensor_rows(y), c->in[ADAPTERS + 2 * i + 1]->shape[0] }, (int64_t[]){ wide, 1 },
                     y->offset + params_of(c)->at[i]);
}

/* A gate that goes back has what lies before it written by the same kernel, or has a kernel of its own behind that. */
static int gated(struct op_call *c, struct gemm g)
{
    tain_tensor *z = c->saved[KEPT] = tensor_new(c->device, TAIN_F32, 2, (int64_t[]){ g.M, g.N });
    int status;

    if (!z)
        return tain_error_status();
    g.keep = z;
    if (gemm_keeps(&g))
        return gemm(&g);
    g.keep = NULL;
    g.c = z;
    g.c_pitch = g.N;
    g.activation = GEMM_NONE;
    status = gemm(&g);
    return status ? status : gate_halves(z, c->out);
}

static int forward(struct op_call *c)
{
    const struct linear_params *p = params_of(c);
    tain_tensor *x = c->in[X], *w = c->in[WEIGHT];
    int64_t rows = tensor_rows(x), k = w->shape[1], n = w->shape[0];
    struct gemm product = {
        .a = x, .b = w, .bias = c->in[BIAS], .c = c->out, .add = c->in[RESIDUAL], .tb = true, .norm = c->in[NORM], .eps = p->eps,
        .activation = (enum gemm_activation)p->activation, .M = rows, .N = n, .K = k, .batch = 1,
        .a_pitch = tensor_pitch(x), .b_pitch = k, .c_pitch = tensor_last(c->out),
    };
    int status = c->training && p->activation == GEMM_GATE ? gated(c, product) : gemm(&product);

    for (int i = 0; i < p->adapters && !status; i++) {
        tain_tensor *A = c->in[ADAPTERS + 2 * i], *B = c->in[ADAPTERS + 2 * i + 1];
        int64_t rank = A->shape[0];
        tain_tensor *xa = tensor_new(c->device, TAIN_F32, 2, (int64_t[]){ rows, rank }), *u = NULL, *part = NULL;
        bool grad = c->device->grad;

        status = xa ? gemm(&(struct gemm){ .a = x, .b = A, .c = xa, .tb = true, .M = rows, .N = rank, .K = k, .batch = 1,
                                           .a_pitch = tensor_pitch(x), .b_pitch = k, .c_pitch = rank })
                    : tain_error_status();
        c->device->grad = false;
        if (!status && (!(u = tain_scale(xa, p->scale[i])) || !(part = columns(c, c->out, i))))
            status = tain_error_status();
        c->device->grad = grad;
        if (!status)
            status = gemm(&(struct gemm){ .a = u, .b = B, .c = part, .tb = true, .add = part, .M = rows, .N = B->shape[0],
                                          .K = rank, .batch = 1, .a_pitch = rank, .b_pitch = rank, .c_pitch = n });
        if (c->training && !status)
            c->saved[i] = u;
        else
            tensor_unref(u);
        tensor_unref(xa);
        tensor_unref(part);
    }
    return status;
}

/* dB += dy^T u, du = scale dy B, dA += du^T x, dx += du A. */
static int adapter_backward(struct op_call *c, int i, tain_tensor *dx)
{
    const struct linear_params *p = params_of(c);
    tain_tensor *x = c->in[X], *A = c->in[ADAPTERS + 2 * i], *B = c->in[ADAPTERS + 2 * i + 1], *u = c->saved[i], *g;
    tain_tensor *dy = columns(c, c->dout, i), *dyb, *du = NULL;
    int64_t rows = tensor_rows(x), k = A->shape[1], rank = A->shape[0], out = B->shape[0], wide = tensor_last(c->dout);
    bool add;
    int status = dy ? 0 : tain_error_status();

    if (!status && op_wants(c, ADAPTERS + 2 * i + 1)) {
        g = grad_target(B, &add);
        status = g ? gemm(&(struct gemm){ .a = dy, .b = u, .c = g, .ta = true, .add = add ? g : NULL, .M = out, .N = rank,
                                          .K = rows, .batch = 1, .a_pitch = wide, .b_pitch = rank, .c_pitch = rank })
                   : tain_error_status();
    }
    dyb = tensor_new(c->device, TAIN_F32, 2, (int64_t[]){ rows, rank });
    if (!status)
        status = dyb ? gemm(&(struct gemm){ .a = dy, .b = B, .c = dyb, .M = rows, .N = rank, .K = out, .batch = 1,
                                            .a_pitch = wide, .b_pitch = rank, .c_pitch = rank })
                     : tain_error_status();
    if (!status && !(du = tain_scale(dyb, p->scale[i]))) /* the tape is off during backward */
        status = tain_error_status();
    if (!status && op_wants(c, ADAPTERS + 2 * i)) {
        g = grad_target(A, &add);
        status = g ? gemm(&(struct gemm){ .a = du, .b = x, .c = g, .ta = true, .add = add ? g : NULL, .M = rank, .N = k,
                                          .K = rows, .batch = 1, .a_pitch = rank, .b_pitch = tensor_pitch(x), .c_pitch = k })
                   : tain_error_status();
    }
    if (!status && dx)
        status = gemm(&(struct gemm){ .a = du, .b = A, .c = dx, .add = dx, .M = rows, .N = k, .K = rank, .batch = 1,
                                      .a_pitch = rank, .b_pitch = k, .c_pitch = tensor_pitch(dx) });
    tensor_unref(dy);
    tensor_unref(dyb);
    tensor_unref(du);
    return status;
}

static int backward(struct op_call *c)
{
    const struct linear_params *p = params_of(c);
    tain_tensor *x = c->in[X], *w = c->in[WEIGHT], *dy = c->dout, *dx = NULL, *g;
    int64_t rows = tensor_rows(x), n = w->shape[0], k = w->shape[1];
    bool add;
    int status = 0;

    if (c->saved[KEPT]) { /* which nothing else needs */
        status = gate_halves_back(c->saved[KEPT], dy);
        dy = c->saved[KEPT];
    }
    if (!status && op_wants(c, X)) {
        if (!(dx = grad_target(x, &add)))
            return tain_error_status();
        status = gemm(&(struct gemm){ .a = dy, .b = w, .c = dx, .add = add ? dx : NULL, .M = rows, .N = k, .K = n, .batch = 1,
                                      .a_pitch = n, .b_pitch = k, .c_pitch = tensor_pitch(dx) });
    }
    if (!status && op_wants(c, WEIGHT)) {
        g = grad_target(w, &add);
        status = g ? gemm(&(struct gemm){ .a = dy, .b = x, .c = g, .ta = true, .add = add ? g : NULL, .M = n, .N = k,
                                          .K = rows, .batch = 1, .a_pitch = n, .b_pitch = tensor_pitch(x), .c_pitch = k })
                   : tain_error_status();
    }
    if (!status && op_wants(c, BIAS)) {
        g = grad_target(c->in[BIAS], &add);
        status = g ? gemm_column_sum(dy, rows, g, add) : tain_error_status();
    }
    for (int i = 0; i < p->adapters && !status; i++)
        status = adapter_backward(c, i, dx);
    if (!status && op_wants(c, RESIDUAL))
        status = grad_give(c->in[RESIDUAL], tensor_ref(dy));
    return status;
}

static const struct op op_linear_ = {
    .name = "linear", .inputs = 2, .optional = 3 + 2 * LINEAR_ADAPTERS, .any_stride = 1, .any_type = 2, .blocks = 2,
    .infer = infer, .forward = forward, .backward = backward,
};

tain_tensor *op_linear(tain_tensor *x, tain_tensor *weight, const struct linear *more)
{
    const struct linear_adapters *adapters = more->adapters;
    struct linear_params p = { .eps = more->eps, .activation = more->activation };
    tain_tensor *in[ADAPTERS + 2 * LINEAR_ADAPTERS] = { NULL, weight, more->bias, more->residual, more->norm }, *y;
    int inputs = ADAPTERS;

    in[X] = tensor_pitch(x) < 0 ? op_contiguous(x) : tensor_ref(x);
    if (!in[X])
        return NULL;
    if (adapters && adapters->count) {
        p.adapters = adapters->count;
        inputs = ADAPTERS + 2 * adapters->count;
        for (int i = 0; i < adapters->count; i++) {
            in[ADAPTERS + 2 * i] = adapters->a[i];
            in[ADAPTERS + 2 * i + 1] = adapters->b[i];
            p.at[i] = adapters->at[i];
            p.scale[i] = adapters->scale[i];
        }
    }
    y = op_run(&op_linear_, in, inputs, &p, sizeof(p));
    tensor_unref(in[X]);
    return y;
}

tain_tensor *tain_linear(tain_tensor *x, tain_tensor *weight, tain_tensor *bias)
{
    REQUIRE_OR_NULL(x, "linear: x is missing");
    REQUIRE_OR_NULL(weight, "linear: weight is missing");
    return op_linear(x, weight, &(struct linear){ .bias = bias });
}

/* gate.c - silu(gate) * up, the gate of an MLP: of two tensors, or of the halves of one.
 *
 * Both are one kernel over two views whose rows may lie apart; nothing but the inputs is kept.
 */
#include "op/matmul.h"

/* The two views of a call, and of its gradient. The pitch of a view with no rows does not matter. */
static int halves(tain_tensor *x, tain_tensor **gate, tain_tensor **up)
{
    int64_t half = tensor_last(x) / 2;

    *gate = view_part(x, x->dims - 1, 0, half);
    *up = *gate ? view_part(x, x->dims - 1, half, half) : NULL;
    return *up ? 0 : tain_error_status();
}

static bool fits(const tain_tensor *t, int64_t rows)
{
    return t->offset % 4 == 0 && (rows < 2 || tensor_pitch(t) % 4 == 0);
}

static int run_forward(tain_tensor *gate, tain_tensor *up, tain_tensor *out)
{
    bool dense = tensor_contiguous(gate) && tensor_contiguous(up);
    int64_t n = tensor_count(out), row = dense ? n : tensor_last(out), rows = row ? n / row : 0, x, y;
    bool v4 = row % 4 == 0 && fits(gate, rows) && fits(up, rows) && out->offset % 4 == 0;
    int64_t unit = v4 ? 4 : 1;
    uint32_t constants[1] = { dense ? 0 : (uint32_t)(row / unit) };
    struct { uint32_t n, gate, up; } p = { (uint32_t)(n / unit), (uint32_t)(tensor_pitch(gate) / unit),
                                           (uint32_t)(tensor_pitch(up) / unit) };

    op_grid(n / unit, 256, &x, &y);
    return op_dispatch(out->device, op_pipeline(out->device, 256, constants, 1, "gate.forward.%s", v4 ? "v4" : "v1"),
                       (tain_tensor *[]){ gate, up, out }, 3, 4, &p, sizeof(p), x, y, 1, 16.0 * (double)n);
}

static int run_backward(tain_tensor *dout, tain_tensor *gate, tain_tensor *up, tain_tensor *dgate, tain_tensor *dup,
                        bool add_gate, bool add_up)
{
    tain_tensor *dg = dgate ? dgate : dup, *du = dup ? dup : dgate;
    bool dense = tensor_contiguous(gate) && tensor_contiguous(up) && tensor_contiguous(dg) && tensor_contiguous(du);
    int64_t n = tensor_count(dout), row = dense ? n : tensor_last(dout), rows = row ? n / row : 0, x, y;
    bool v4 = row % 4 == 0 && fits(gate, rows) && fits(up, rows) && fits(dg, rows) && fits(du, rows) &&
              dout->offset % 4 == 0;
    int64_t unit = v4 ? 4 : 1;
    uint32_t constants[5] = { dense ? 0 : (uint32_t)(row / unit), dgate != NULL, dup != NULL, add_gate, add_up };
    struct { uint32_t n, pitch[4]; } p = {
        (uint32_t)(n / unit),
        { (uint32_t)(tensor_pitch(gate) / unit), (uint32_t)(tensor_pitch(up) / unit),
          (uint32_t)(tensor_pitch(dg) / unit), (uint32_t)(tensor_pitch(du) / unit) },
    };

    op_grid(n / unit, 256, &x, &y);
    return op_dispatch(
        dout->device, op_pipeline(dout->device, 256, constants, 5, "gate.backward.%s", v4 ? "v4" : "v1"),
        (tain_tensor *[]){ gate, up, dout, dg, du }, 5, 0x18, &p, sizeof(p), x, y, 1, 30.0 * (double)n);
}

/* ---- Two tensors ---- */

static int infer_gate(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    if (!tensor_same_shape(c->in[0], c->in[1]))
        return fail(TAIN_EINVAL, "gate: gate is %s and up is %s; they must have one shape", tensor_text(c->in[0]),
                    tensor_text(c->in[1]));
    return infer_same(c, type, dims, shape);
}

static int gate_forward(struct op_call *c)
{
    return run_forward(c->in[0], c->in[1], c->out);
}

static int gate_backward(struct op_call *c)
{
    struct op_grad g = { 0 }, u = { 0 };
    tain_tensor *dgate = NULL, *dup = NULL;
    int status = 0;

    /* One tensor on both sides: its gradient is started by the first half and added to by the
     * second, which one dispatch cannot do. */
    if (c->in[0] == c->in[1]) {
        for (int i = 0; i < 2 && !status; i++) {
            dgate = op_grad_open(&g, c->in[0]);
            status = dgate ? run_backward(c->dout, c->in[0], c->in[1], i ? NULL : dgate, i ? dgate : NULL, g.add, g.add)
                           : tain_error_status();
            status = op_grad_close(&g, status);
        }
        return status;
    }
    if (op_wants(c, 0) && !(dgate = op_grad_open(&g, c->in[0])))
        return tain_error_status();
    if (op_wants(c, 1) && !(dup = op_grad_open(&u, c->in[1])))
        status = tain_error_status();
    if (!status)
        status = run_backward(c->dout, c->in[0], c->in[1], dgate, dup, g.add, u.add);
    if (dgate)
        status = op_grad_close(&g, status);
    return dup ? op_grad_close(&u, status) : status;
}

static const struct op op_gate = {
    .name = "gate", .inputs = 2, .infer = infer_gate, .forward = gate_forward, .backward = gate_backward,
};

tain_tensor *tain_gate(tain_tensor *gate, tain_tensor *up)
{
    return OP_RUN0(&op_gate, gate, up);
}

/* ---- Two halves ---- */

static int infer_swiglu(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const tain_tensor *x = c->in[0];

    if (!x->dims || tensor_last(x) % 2)
        return fail(TAIN_EINVAL, "swiglu: x is %s; its last dimension must be even", tensor_text(x));
    infer_same(c, type, dims, shape);
    shape[x->dims - 1] /= 2;
    return 0;
}

int gate_halves(tain_tensor *z, tain_tensor *y)
{
    tain_tensor *gate, *up;
    int status = halves(z, &gate, &up);

    if (!status)
        status = run_forward(gate, up, y);
    tensor_unref(gate);
    tensor_unref(up);
    return status;
}

int gate_halves_back(tain_tensor *z, tain_tensor *dy)
{
    tain_tensor *gate, *up;
    int status = halves(z, &gate, &up);

    if (!status)
        status = run_backward(dy, gate, up, gate, up, false, false);
    tensor_unref(gate);
    tensor_unref(up);
    return status;
}

static int swiglu_forward(struct op_call *c)
{
    return gate_halves(c->in[0], c->out);
}

static int swiglu_backward(struct op_call *c)
{
    tain_tensor *gate, *up, *dx, *dgate = NULL, *dup = NULL;
    struct op_grad g;
    int status = halves(c->in[0], &gate, &up);

    dx = status ? NULL : op_grad_open(&g, c->in[0]);
    if (dx && !(status = halves(dx, &dgate, &dup)))
        status = run_backward(c->dout, gate, up, dgate, dup, g.add, g.add);
    status = dx ? op_grad_close(&g, status) : tain_error_status();
    tensor_unref(gate);
    tensor_unref(up);
    tensor_unref(dgate);
    tensor_unref(dup);
    return status;
}

static const struct op op_swiglu = {
    .name = "swiglu", .inputs = 1, .infer = infer_swiglu, .forward = swiglu_forward, .backward = swiglu_backward,
};

tain_tensor *tain_swiglu(tain_tensor *x)
{
    return OP_RUN0(&op_swiglu, x);
}

/* softmax.c - softmax and its logarithm along one dimension.
 *
 * The kernels work on rows, one subgroup each; another dimension than the last is exchanged with
 * the last and back. The gradient is a function of the result, which is therefore saved: that the
 * tape holds it as the result does not protect it, see loss.c.
 */
#include "op/op.h"

struct softmax_params {
    uint32_t log;
};

enum { STEPS = 21000 }; /* three loops of them stay below the CPU driver's limit of 65,535 */

static int run(struct op_call *c, const char *way, tain_tensor *const *t, int count, bool add)
{
    const struct softmax_params *s = (void *)c->params;
    int64_t rows = tensor_rows(t[0]), last = tensor_last(t[0]), lanes = gpu_info(c->device->gpu)->lanes, x, y;
    bool v4 = last % 4 == 0;
    struct { uint32_t rows, last, steps; } p;

    for (int i = 0; i < count; i++)
        v4 = v4 && t[i]->offset % 4 == 0;
    if (!last)
        return 0;
    last = v4 ? last / 4 : last;
    p.rows = (uint32_t)rows;
    p.last = (uint32_t)last;
    p.steps = (uint32_t)((last + lanes - 1) / lanes);
    if (p.steps > STEPS)
        return fail(TAIN_EUNSUPPORTED, "%s: rows of x, which is %s, are longer than %lld", c->op->name, tensor_text(t[0]),
                    (long long)lanes * STEPS * (v4 ? 4 : 1));
    op_rows(rows, (uint32_t)lanes, (uint32_t)lanes, &x, &y);
    return op_dispatch(c->device, op_pipeline(c->device, 0, (uint32_t[]){ s->log, add }, 2, "softmax.%s.%s", way, v4 ? "v4" : "v1"),
                       t, count, 1u << (count - 1), &p, sizeof(p), x, y, 1, 30.0 * (double)tensor_count(t[0]));
}

static int forward(struct op_call *c)
{
    if (c->training)
        c->saved[0] = tensor_ref(c->out);
    return run(c, "forward", (tain_tensor *[]){ c->in[0], c->out }, 2, false);
}

static int backward(struct op_call *c)
{
    struct op_grad g;
    tain_tensor *dx = op_grad_open(&g, c->in[0]);

    return op_grad_close(&g, dx ? run(c, "backward", (tain_tensor *[]){ c->saved[0], c->dout, dx }, 3, g.add) : tain_error_status());
}

static const struct op op_softmax = {
    .name = "softmax", .inputs = 1, .infer = infer_same, .forward = forward, .backward = backward,
};

static const struct op op_log_softmax = {
    .name = "log_softmax", .inputs = 1, .infer = infer_same, .forward = forward, .backward = backward,
};

static tain_tensor *along(const struct op *op, tain_tensor *x, int32_t dim, uint32_t log)
{
    struct softmax_params p = { log };
    tain_tensor *turned, *y, *back = NULL;

    REQUIRE_OR_NULL(x, "%s: x is missing", op->name);
    REQUIRE_OR_NULL(dim >= -x->dims && dim < x->dims, "%s: dim %d is out of range for a tensor of %d dimensions", op->name,
                    dim, x->dims);
    if (dim == -1 || dim == x->dims - 1)
        return OP_RUN(op, &p, x);
    turned = tain_transpose(x, dim, -1);
    y = turned ? OP_RUN(op, &p, turned) : NULL;
    tensor_unref(turned);
    if (y)
        back = tain_transpose(y, dim, -1);
    tensor_unref(y);
    return back;
}

tain_tensor *tain_softmax(tain_tensor *x, int32_t dim)
{
    return along(&op_softmax, x, dim, 0);
}

tain_tensor *tain_log_softmax(tain_tensor *x, int32_t dim)
{
    return along(&op_log_softmax, x, dim, 1);
}

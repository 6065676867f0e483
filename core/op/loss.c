/* loss.c - the log-probability of given tokens, what every loss here is made of.
 *
 * Logits are the largest tensor of a step (tokens x vocabulary), so there is never more than one
 * copy: forward keeps one number a row, and backward writes the gradient over the logits if nobody
 * else can see them any more. Whoever may still look holds a reference: an op that needs its result
 * to go backward must save it (softmax.c does), since being c->out does not count.
 */
#include "op/op.h"

enum { IGNORED = -100, STEPS = 32000 }; /* two loops of them stay below the CPU driver's limit of 65,535 */

static int infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const tain_tensor *x = c->in[0], *t = c->in[1];
    int64_t lanes = gpu_info(c->device->gpu)->lanes, last = tensor_last(x), rows = tensor_rows(x);
    const int32_t *host = t->storage->host;

    if (!x->dims)
        return fail(TAIN_EINVAL, "token_logprob: logits are one number; they must be rows");
    if (t->type != TAIN_I32)
        return fail(TAIN_EINVAL, "token_logprob: target is stored as %s, not i32", type_name(t->type));
    if (tensor_count(t) != rows)
        return fail(TAIN_EINVAL, "token_logprob: logits are %s, but target is %s", tensor_text(x), tensor_text(t));
    if (!last && rows)
        return fail(TAIN_EINVAL, "token_logprob: logits are %s; their rows are empty", tensor_text(x));
    if (last > lanes * STEPS)
        return fail(TAIN_EUNSUPPORTED, "token_logprob: logits are %s; rows may be %lld long", tensor_text(x),
                    (long long)lanes * STEPS);
    for (int64_t i = 0; host && i < rows; i++) {
        int32_t k = host[t->offset + i];
        if (k != IGNORED && (k < 0 || k >= last))
            return fail(TAIN_EINVAL, "token_logprob: target %d of row %lld is not in 0..%lld, nor %d", (int)k, (long long)i,
                        (long long)last - 1, IGNORED);
    }
    *type = TAIN_F32;
    *dims = x->dims - 1;
    for (int d = 0; d < *dims; d++)
        shape[d] = x->shape[d];
    return 0;
}

static int run(struct op_call *c, const char *way, tain_tensor *const *t, int count, unsigned writes, bool add)
{
    tain_tensor *logits = c->in[0], *last_one = t[count - 1];
    int64_t rows = tensor_rows(logits), last = tensor_last(logits), lanes = gpu_info(c->device->gpu)->lanes, x, y;
    bool v4 = last % 4 == 0 && logits->offset % 4 == 0 && (count < 5 || last_one->offset % 4 == 0);
    struct { uint32_t rows, last, steps; } p;

    if (!rows)
        return 0;
    last = v4 ? last / 4 : last;
    p.rows = (uint32_t)rows;
    p.last = (uint32_t)last;
    p.steps = (uint32_t)((last + lanes - 1) / lanes);
    op_rows(rows, (uint32_t)lanes, (uint32_t)lanes, &x, &y);
    return op_dispatch(c->device, op_pipeline(c->device, 0, (uint32_t[]){ add }, 1, "loss.%s.%s", way, v4 ? "v4" : "v1"), t, count,
                       writes, &p, sizeof(p), x, y, 1, 25.0 * (double)tensor_count(logits));
}

static int forward(struct op_call *c)
{
    tain_tensor *lse = tensor_new(c->device, TAIN_F32, c->out->dims, c->out->shape);

    c->saved[0] = lse;
    return lse ? run(c, "forward", (tain_tensor *[]){ c->in[0], c->in[1], c->out, lse }, 4, 12, false) : tain_error_status();
}

static int backward(struct op_call *c)
{
    tain_tensor *x = c->in[0];
    struct op_grad g;
    tain_tensor *dx;

    /* This call's reference and that of the call that made x: nobody will read x again. */
    if (!x->leaf && !x->grad && !x->grad_home && x->refs == 2 && x->storage->refs == 1) {
        int status = run(c, "backward", (tain_tensor *[]){ x, c->in[1], c->dout, c->saved[0], x }, 5, 16, false);
        return status ? status : grad_give(x, view_shape(x, x->dims, x->shape));
    }
    dx = op_grad_open(&g, x);
    return op_grad_close(&g, dx ? run(c, "backward", (tain_tensor *[]){ x, c->in[1], c->dout, c->saved[0], dx }, 5, 16, g.add)
                                : tain_error_status());
}

static const struct op op_token_logprob = {
    .name = "token_logprob", .inputs = 2, .any_type = 2, .no_grad = 2, .infer = infer, .forward = forward, .backward = backward,
};

tain_tensor *tain_token_logprob(tain_tensor *logits, tain_tensor *target)
{
    return OP_RUN0(&op_token_logprob, logits, target);
}

/* sample.c - drawing tokens: the inverse of the cumulative distribution at a given uniform number.
 *
 * A token is a function of the logits and one uniform, so a candidate can be drawn again alone. The
 * rule is that of NumPy's searchsorted(cumsum(p), u * sum(p)): the smallest index whose running sum
 * reaches the goal; but a token of no probability is never drawn, not even at u = 0.
 */
#include "op/op.h"

struct sample_params {
    float cold, guidance;
    int32_t guided;
};

enum { STEPS = 21000 }; /* three loops of them stay below the CPU driver's limit of 65,535 */

static int infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const struct sample_params *s = (const void *)c->params;
    const tain_tensor *x = c->in[0], *u = c->in[1];
    int64_t rows = tensor_rows(x), last = tensor_last(x), lanes = gpu_info(c->device->gpu)->lanes;

    if (!x->dims)
        return fail(TAIN_EINVAL, "%s: logits are one number; they must be rows", c->op->name);
    if (rows != tensor_count(u) * (s->guided ? 2 : 1))
        return fail(TAIN_EINVAL, "%s: logits are %s, but uniforms are %s; there must be %s for each uniform", c->op->name,
                    tensor_text(x), tensor_text(u), s->guided ? "two rows" : "one row");
    if (rows && !last)
        return fail(TAIN_EINVAL, "%s: logits are %s; their rows are empty", c->op->name, tensor_text(x));
    if (last > lanes * STEPS)
        return fail(TAIN_EUNSUPPORTED, "%s: logits are %s; rows may be %lld long", c->op->name, tensor_text(x),
                    (long long)lanes * STEPS);
    *type = TAIN_I32;
    *dims = u->dims;
    for (int d = 0; d < u->dims; d++)
        shape[d] = u->shape[d];
    return 0;
}

static int forward(struct op_call *c)
{
    const struct sample_params *s = (void *)c->params;
    tain_tensor *logits = c->in[0];
    int64_t rows = tensor_count(c->out), last = tensor_last(logits), lanes = gpu_info(c->device->gpu)->lanes, x, y;
    bool v4 = last % 4 == 0 && logits->offset % 4 == 0;
    struct { uint32_t rows, last, steps; float cold, guidance; } p = { .cold = s->cold, .guidance = s->guidance };

    if (!rows)
        return 0;
    last = v4 ? last / 4 : last;
    p.rows = (uint32_t)rows;
    p.last = (uint32_t)last;
    p.steps = (uint32_t)((last + lanes - 1) / lanes);
    op_rows(rows, (uint32_t)lanes, (uint32_t)lanes, &x, &y);
    return op_dispatch(c->device, op_pipeline(c->device, 0, NULL, 0, "sample.%s.%s", s->guided ? "guided" : "plain", v4 ? "v4" : "v1"),
                       (tain_tensor *[]){ logits, c->in[1], c->out }, 3, 4, &p, sizeof(p), x, y, 1,
                       40.0 * (double)tensor_count(logits));
}

static const struct op op_sample = {
    .name = "sample", .inputs = 2, .no_grad = 3, .infer = infer, .forward = forward,
};

static const struct op op_sample_guided = {
    .name = "sample_guided", .inputs = 2, .no_grad = 3, .infer = infer, .forward = forward,
};

tain_tensor *tain_sample(tain_tensor *logits, tain_tensor *uniforms, float temperature)
{
    REQUIRE_OR_NULL(logits && uniforms, "sample: %s are missing", logits ? "uniforms" : "logits");
    REQUIRE_OR_NULL(temperature >= 0, "sample: temperature %g is negative", (double)temperature);
    if (temperature == 0)
        return tain_argmax(logits, -1);
    return OP_RUN(&op_sample, (&(struct sample_params){ .cold = 1 / temperature }), logits, uniforms);
}

tain_tensor *tain_sample_guided(tain_tensor *logits, tain_tensor *uniforms, float guidance, float temperature)
{
    tain_tensor *mixed, *out;

    REQUIRE_OR_NULL(logits && uniforms, "sample_guided: %s are missing", logits ? "uniforms" : "logits");
    REQUIRE_OR_NULL(temperature >= 0, "sample_guided: temperature %g is negative", (double)temperature);
    if (temperature == 0) {
        mixed = tain_guide(logits, guidance);
        out = mixed ? tain_argmax(mixed, -1) : NULL;
        tensor_unref(mixed);
        return out;
    }
    return OP_RUN(&op_sample_guided, (&(struct sample_params){ 1 / temperature, guidance, 1 }), logits, uniforms);
}

tain_tensor *tain_guide(tain_tensor *logits, float guidance)
{
    tain_tensor *pairs = NULL, *c = NULL, *n = NULL, *apart = NULL, *scaled = NULL, *sum = NULL, *out = NULL;
    int64_t rows, last;

    REQUIRE_OR_NULL(logits, "guide: logits are missing");
    REQUIRE_OR_NULL(logits->dims == 2 && logits->shape[0] % 2 == 0,
                    "guide: logits are %s; they must be two rows, conditional and not, for each result", tensor_text(logits));
    rows = logits->shape[0] / 2;
    last = logits->shape[1];
    if ((pairs = tain_reshape(logits, 3, (int64_t[]){ rows, 2, last })) && (c = tain_slice(pairs, 1, 0, 1)) &&
        (n = tain_slice(pairs, 1, 1, 1)) && (apart = tain_sub(c, n)) && (scaled = tain_scale(apart, guidance)) &&
        (sum = tain_add(n, scaled)))
        out = tain_reshape(sum, 2, (int64_t[]){ rows, last });
    tensor_unref(pairs);
    tensor_unref(c);
    tensor_unref(n);
    tensor_unref(apart);
    tensor_unref(scaled);
    tensor_unref(sum);
    return out;
}

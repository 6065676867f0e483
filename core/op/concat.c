/* concat.c - tensors one after the other along a dimension.
 *
 * Around that dimension a tensor is [outer, size * inner], so a part is a band of columns: rows at
 * a distance, which tensor_accumulate() writes.
 */
#include "op/elementwise.h"

struct concat_params {
    int32_t dim;
};

static int infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    int dim = ((const struct concat_params *)(const void *)c->params)->dim;
    const tain_tensor *first = c->in[0];

    *type = TAIN_F32;
    *dims = first->dims;
    for (int d = 0; d < first->dims; d++)
        shape[d] = first->shape[d];
    for (int i = 1; i < c->inputs; i++) {
        for (int d = 0; d < first->dims; d++)
            if (c->in[i]->dims != first->dims || (d != dim && c->in[i]->shape[d] != first->shape[d]))
                return fail(TAIN_EINVAL, "concat: part %d is %s and part 1 is %s; they may differ only in dimension %d",
                            i + 1, tensor_text(c->in[i]), tensor_text(first), dim);
        shape[dim] += c->in[i]->shape[dim];
    }
    return 0;
}

/* The band of `whole` that part i takes, as [outer, size * inner]. */
static tain_tensor *band(struct op_call *c, tain_tensor *whole, int i)
{
    int dim = ((const struct concat_params *)(void *)c->params)->dim;
    int64_t outer = 1, inner = 1, start = 0;

    for (int k = 0; k < i; k++)
        start += c->in[k]->shape[dim];
    for (int d = 0; d < whole->dims; d++)
        *(d < dim ? &outer : &inner) *= d == dim ? 1 : whole->shape[d];
    return view_make(whole, 2, (int64_t[]){ outer, c->in[i]->shape[dim] * inner },
                     (int64_t[]){ whole->shape[dim] * inner, 1 }, whole->offset + start * inner);
}

static int forward(struct op_call *c)
{
    int status = 0;

    for (int i = 0; i < c->inputs && !status; i++) {
        tain_tensor *to = band(c, c->out, i);
        if (!to)
            return tain_error_status();
        if (tensor_count(to))
            status = tensor_accumulate(to, c->in[i], false);
        tensor_unref(to);
    }
    return status;
}

static int backward(struct op_call *c)
{
    int dim = ((const struct concat_params *)(void *)c->params)->dim, status = 0;
    int64_t start = 0;

    for (int i = 0; i < c->inputs && !status; start += c->in[i++]->shape[dim]) {
        tain_tensor *part;
        if (!op_wants(c, i))
            continue;
        part = view_part(c->dout, dim, start, c->in[i]->shape[dim]);
        status = part ? elementwise_grad(c->in[i], c->in[i], EL_SCALE, &part, 1, 1) : tain_error_status();
        tensor_unref(part);
    }
    return status;
}

static const struct op op_concat = {
    .name = "concat", .inputs = 1, .optional = OP_INPUTS - 1, .infer = infer, .forward = forward, .backward = backward,
};

tain_tensor *tain_concat(tain_tensor *const *parts, int32_t count, int32_t dim)
{
    struct concat_params p = { dim };
    tain_tensor *groups[OP_INPUTS], *whole;
    int32_t each = (count + OP_INPUTS - 1) / OP_INPUTS, made = 0;

    REQUIRE_OR_NULL(parts && count > 0, "concat: %d parts; there must be some", count);
    for (int i = 0; i < count; i++)
        REQUIRE_OR_NULL(parts[i], "concat: part %d is missing", i + 1);
    REQUIRE_OR_NULL(dim >= -parts[0]->dims && dim < parts[0]->dims, "concat: dim %d is out of range for a tensor of %d dimensions",
                    dim, parts[0]->dims);
    p.dim = dim < 0 ? dim + parts[0]->dims : dim;
    if (count <= OP_INPUTS)
        return op_run(&op_concat, parts, count, &p, sizeof(p));
    /* More than a call takes: groups first. */
    for (int32_t at = 0; at < count; at += each) {
        groups[made] = tain_concat(parts + at, count - at < each ? count - at : each, p.dim);
        if (!groups[made])
            break;
        made++;
    }
    whole = made * each >= count ? op_run(&op_concat, groups, made, &p, sizeof(p)) : NULL;
    while (made)
        tensor_unref(groups[--made]);
    return whole;
}

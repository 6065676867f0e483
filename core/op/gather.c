/* gather.c - one element of each row, by an index; and whole rows, by an index. */
#include "op/op.h"

#include <string.h>

static int infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const tain_tensor *x = c->in[0], *index = c->in[1];
    const int32_t *host = index->storage->host;
    int64_t rows = tensor_rows(x), last = tensor_last(x);

    if (!x->dims)
        return fail(TAIN_EINVAL, "gather: x is one number; it must have rows");
    if (index->type != TAIN_I32)
        return fail(TAIN_EINVAL, "gather: index is stored as %s, not i32", type_name(index->type));
    if (tensor_count(index) != rows)
        return fail(TAIN_EINVAL, "gather: x is %s, but index is %s", tensor_text(x), tensor_text(index));
    if (rows && !last)
        return fail(TAIN_EINVAL, "gather: x is %s; its rows are empty", tensor_text(x));
    for (int64_t i = 0; host && i < rows; i++) {
        int32_t k = host[index->offset + i];
        if (k < 0 || k >= last)
            return fail(TAIN_EINVAL, "gather: index %d of row %lld is not in 0..%lld", (int)k, (long long)i,
                        (long long)last - 1);
    }
    *type = TAIN_F32;
    *dims = x->dims - 1;
    for (int d = 0; d < *dims; d++)
        shape[d] = x->shape[d];
    return 0;
}

static int run(struct op_call *c, const char *way, tain_tensor *from, tain_tensor *to)
{
    int64_t n = tensor_count(c->in[1]), x, y;
    struct { uint32_t n, count, inner; } p = { (uint32_t)n, (uint32_t)tensor_last(c->in[0]), 1 };

    op_grid(n, 64, &x, &y);
    return op_dispatch(c->device, op_pipeline(c->device, 64, NULL, 0, "pick.%s", way), (tain_tensor *[]){ from, c->in[1], to }, 3,
                       4, &p, sizeof(p), x, y, 1, 10.0 * (double)n);
}

static int forward(struct op_call *c)
{
    return run(c, "take", c->in[0], c->out);
}

static int backward(struct op_call *c)
{
    struct op_grad g;
    tain_tensor *dx = op_grad_open(&g, c->in[0]);
    int status = dx ? 0 : tain_error_status();

    if (!status && !g.add)
        status = tensor_zero(dx);
    return op_grad_close(&g, status ? status : run(c, "put", c->dout, dx));
}

static const struct op op_gather = {
    .name = "gather", .inputs = 2, .any_type = 2, .no_grad = 2, .infer = infer, .forward = forward, .backward = backward,
};

tain_tensor *tain_gather(tain_tensor *x, tain_tensor *index)
{
    return OP_RUN0(&op_gather, x, index);
}

/* As embed, which takes tables of two dimensions. */
tain_tensor *tain_rows(tain_tensor *x, tain_tensor *index)
{
    int64_t shape[TENSOR_DIMS], table[2] = { 0, 1 };
    tain_tensor *flat, *rows, *out = NULL;
    int dims;

    REQUIRE_OR_NULL(x && index, "rows: %s is missing", x ? "index" : "x");
    REQUIRE_OR_NULL(x->dims >= 1, "rows: x is one number; it must have rows");
    dims = index->dims + x->dims - 1;
    REQUIRE_OR_NULL(dims <= TENSOR_DIMS, "rows: x is %s and index is %s; the result would have %d dimensions", tensor_text(x),
                    tensor_text(index), dims);
    memcpy(shape, index->shape, sizeof(shape));
    table[0] = x->shape[0];
    for (int d = 1; d < x->dims; d++) {
        shape[index->dims + d - 1] = x->shape[d];
        table[1] *= x->shape[d];
    }
    flat = tain_reshape(x, 2, table);
    rows = flat ? tain_embed(flat, index) : NULL;
    tensor_unref(flat);
    if (rows)
        out = tain_reshape(rows, dims, shape);
    tensor_unref(rows);
    return out;
}

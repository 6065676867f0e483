/* reduce.c - sums, means and maxima, over everything or along one dimension.
 *
 * A reduction is seen as [outer, count, inner] -> [outer, inner]. Where count is large, or outer and
 * inner are too small to keep a device busy, it is cut into chunks and the chunks' results are
 * reduced again: a tree of fixed shape, the same bits in every run, and its error grows like the
 * size of a chunk and not like the number of elements.
 */
#include "op/elementwise.h"

#include <string.h>

enum { CHUNK = 8192 }; /* the most elements that one part adds up, in units of a texel */

/* ---- The dispatch ---- */

static int pass(tain_tensor *x, int64_t outer, int64_t count, int64_t inner, int64_t chunks, float scale,
                tain_tensor *out, tain_tensor *where)
{
    struct gpu *g = x->device->gpu;
    int64_t lanes = gpu_info(g)->lanes, chunk = (count + chunks - 1) / chunks, groups_x, groups_y, parts;
    /* A subgroup for each row pays from some texels a lane on. */
    bool rows = inner == 1 && count >= 4 * lanes, v4 = x->offset % 4 == 0;
    struct { uint32_t parts, chunks, count, chunk, inner; float scale; } p;

    if (rows) {
        v4 = v4 && count % 4 == 0;
        if (v4)
            count /= 4, chunk = (chunk + 3) / 4;
    } else {
        v4 = v4 && inner % 4 == 0 && out->offset % 4 == 0;
        if (v4)
            inner /= 4;
    }
    parts = outer * chunks * inner;
    p.parts = (uint32_t)parts;
    p.chunks = (uint32_t)chunks;
    p.count = (uint32_t)count;
    p.chunk = (uint32_t)chunk;
    p.inner = (uint32_t)inner;
    p.scale = scale;
    if (outer * count * inner > UINT32_MAX)
        return fail(TAIN_EUNSUPPORTED, "reduce: a tensor of %lld elements is too large", (long long)(outer * count * inner));
    op_grid(parts, rows ? 1 : 64, &groups_x, &groups_y);
    return op_dispatch(x->device,
                       op_pipeline(x->device, rows ? 0 : 64, NULL, 0, "reduce.%s.%s.%s", where ? "max" : "sum",
                                   rows ? "rows" : "cols", v4 ? "v4" : "v1"),
                       (tain_tensor *[]){ x, out, where }, where ? 3 : 2, where ? 6 : 2, &p, sizeof(p), groups_x, groups_y,
                       1, (v4 ? 16.0 : 8.0) * (double)(outer * count * inner));
}

/* How many chunks a row of the sum is cut into. */
static int64_t chunks_for(int64_t outer, int64_t count, int64_t inner)
{
    int64_t most = inner == 1 ? 4 * CHUNK : 4096, least = inner == 1 ? 1024 : 32;
    int64_t parts = inner == 1 ? outer : (outer * inner + 63) / 64;
    int64_t chunks = (count + most - 1) / most;

    while (parts * chunks < 64 && count / (chunks * 2) >= least)
        chunks *= 2;
    return chunks;
}

int reduce_sum(tain_tensor *x, int64_t outer, int64_t count, int64_t inner, float scale, tain_tensor *out)
{
    tain_tensor *parts;
    int64_t chunks;
    int status;

    if (!outer || !inner)
        return 0;
    if (!count)
        return tensor_zero(out);
    chunks = chunks_for(outer, count, inner);
    if (chunks > 1 && inner == 1) { /* a chunk is a whole number of texels, and none is empty */
        int64_t chunk = ((count + chunks - 1) / chunks + 3) / 4 * 4;
        chunks = (count + chunk - 1) / chunk;
    } else if (chunks > 1) {
        int64_t chunk = (count + chunks - 1) / chunks;
        chunks = (count + chunk - 1) / chunk;
    }
    if (chunks == 1)
        return pass(x, outer, count, inner, 1, scale, out, NULL);
    parts = tensor_new(x->device, TAIN_F32, 1, (int64_t[]){ outer * chunks * inner });
    if (!parts)
        return tain_error_status();
    status = pass(x, outer, count, inner, chunks, 1, parts, NULL);
    if (!status)
        status = reduce_sum(parts, outer, chunks, inner, scale, out);
    tensor_unref(parts);
    return status;
}

tain_tensor *reduce_to(tain_tensor *x, int dims, const int64_t *shape)
{
    int64_t size[TENSOR_DIMS], done = 1;
    tain_tensor *now = tensor_ref(x), *result;

    /* What is left to reduce, from the last dimension on; neighbours go together. */
    memcpy(size, x->shape, sizeof(size));
    for (int d = x->dims - 1; d >= 0;) {
        int64_t outer = 1, count = 1, inner = done;
        int own = d - (x->dims - dims), e = d;

        if (own >= 0 && shape[own] == size[d]) {
            done *= size[d--];
            continue;
        }
        for (; e >= 0 && (own < 0 || shape[own] != size[e] || size[e] == 1); e--, own--)
            count *= size[e];
        for (int k = 0; k <= e; k++)
            outer *= size[k];
        if (count != 1) {
            tain_tensor *next = tensor_new(x->device, TAIN_F32, 1, (int64_t[]){ outer * inner });
            if (!next || reduce_sum(now, outer, count, inner, 1, next)) {
                tensor_unref(next);
                tensor_unref(now);
                return NULL;
            }
            tensor_unref(now);
            now = next;
        }
        d = e;
    }
    if (tensor_same_shape(now, x) && dims == x->dims && !memcmp(shape, x->shape, (size_t)dims * sizeof(*shape)))
        return now;
    result = view_shape(now, dims, shape);
    tensor_unref(now);
    return result;
}

/* ---- Sum and mean ---- */

struct reduce_params {
    int32_t dim, keep, all;
    float scale;
};

/* The input as [outer, count, inner] around dimension dim. */
static void around(const tain_tensor *x, const struct reduce_params *p, int64_t *outer, int64_t *count, int64_t *inner)
{
    *outer = *inner = 1;
    *count = p->all ? tensor_count(x) : x->shape[p->dim];
    if (p->all)
        return;
    for (int d = 0; d < p->dim; d++)
        *outer *= x->shape[d];
    for (int d = p->dim + 1; d < x->dims; d++)
        *inner *= x->shape[d];
}

static int infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const struct reduce_params *p = (const void *)c->params;
    const tain_tensor *x = c->in[0];

    *type = TAIN_F32;
    *dims = 0;
    for (int d = 0; d < x->dims && !p->all; d++)
        if (d != p->dim)
            shape[(*dims)++] = x->shape[d];
        else if (p->keep)
            shape[(*dims)++] = 1;
    return 0;
}

static int sum_forward(struct op_call *c)
{
    const struct reduce_params *p = (void *)c->params;
    int64_t outer, count, inner;

    around(c->in[0], p, &outer, &count, &inner);
    return reduce_sum(c->in[0], outer, count, inner, p->scale, c->out);
}

/* Every element gets what its sum got. */
static int sum_backward(struct op_call *c)
{
    const struct reduce_params *p = (void *)c->params;
    tain_tensor *x = c->in[0], *spread;
    int64_t shape[TENSOR_DIMS];
    int status;

    for (int d = 0; d < x->dims; d++)
        shape[d] = p->all || d == p->dim ? 1 : x->shape[d];
    spread = view_shape(c->dout, x->dims, shape);
    status = spread ? elementwise_grad(x, x, EL_SCALE, &spread, 1, p->scale) : tain_error_status();
    tensor_unref(spread);
    return status;
}

static const struct op op_sum = {
    .name = "sum", .inputs = 1, .infer = infer, .forward = sum_forward, .backward = sum_backward,
};

static const struct op op_mean = {
    .name = "mean", .inputs = 1, .infer = infer, .forward = sum_forward, .backward = sum_backward,
};

tain_tensor *tain_sum(tain_tensor *x)
{
    return OP_RUN(&op_sum, (&(struct reduce_params){ .all = true, .scale = 1 }), x);
}

tain_tensor *tain_mean(tain_tensor *x)
{
    REQUIRE_OR_NULL(x, "mean: x is missing");
    REQUIRE_OR_NULL(tensor_count(x), "mean: x is %s, which has no elements", tensor_text(x));
    return OP_RUN(&op_mean, (&(struct reduce_params){ .all = true, .scale = (float)(1.0 / (double)tensor_count(x)) }), x);
}

/* Fills in *p; false after fail(). */
static bool along(const char *name, const tain_tensor *x, int32_t dim, bool keep, struct reduce_params *p)
{
    if (!x) {
        fail(TAIN_EINVAL, "%s: x is missing", name);
        return false;
    }
    if (dim < -x->dims || dim >= x->dims) {
        fail(TAIN_EINVAL, "%s: dim %d is out of range for a tensor of %d dimensions", name, dim, x->dims);
        return false;
    }
    *p = (struct reduce_params){ .dim = dim < 0 ? dim + x->dims : dim, .keep = keep, .scale = 1 };
    return true;
}

tain_tensor *tain_sum_dim(tain_tensor *x, int32_t dim, bool keep)
{
    struct reduce_params p;

    return along("sum_dim", x, dim, keep, &p) ? OP_RUN(&op_sum, &p, x) : NULL;
}

tain_tensor *tain_mean_dim(tain_tensor *x, int32_t dim, bool keep)
{
    struct reduce_params p;

    if (!along("mean_dim", x, dim, keep, &p))
        return NULL;
    REQUIRE_OR_NULL(x->shape[p.dim], "mean_dim: dimension %d of x, which is %s, has no elements", dim, tensor_text(x));
    p.scale = (float)(1.0 / (double)x->shape[p.dim]);
    return OP_RUN(&op_mean, &p, x);
}

/* ---- Maximum and its place ---- */

static int infer_max(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const struct reduce_params *p = (const void *)c->params;
    int64_t count = c->in[0]->shape[p->dim], lanes = gpu_info(c->device->gpu)->lanes;
    bool last = p->dim == c->in[0]->dims - 1;

    if (!count && tensor_count(c->in[0]) == 0)
        return fail(TAIN_EINVAL, "%s: dimension %d of x, which is %s, has no elements", c->op->name, p->dim,
                    tensor_text(c->in[0]));
    if (count > (last ? lanes : 1) * 65000)
        return fail(TAIN_EUNSUPPORTED, "%s: dimension %d of x, which is %s, is longer than %lld", c->op->name, p->dim,
                    tensor_text(c->in[0]), (long long)(last ? lanes : 1) * 65000);
    infer(c, type, dims, shape);
    return 0;
}

static int max_into(struct op_call *c, tain_tensor *most, tain_tensor *where)
{
    const struct reduce_params *p = (void *)c->params;
    int64_t outer, count, inner;

    around(c->in[0], p, &outer, &count, &inner);
    return outer && inner ? pass(c->in[0], outer, count, inner, 1, 1, most, where) : 0;
}

static int max_forward(struct op_call *c)
{
    c->saved[0] = tensor_new(c->device, TAIN_I32, c->out->dims, c->out->shape);
    return c->saved[0] ? max_into(c, c->out, c->saved[0]) : tain_error_status();
}

/* All of the gradient goes to the element that was taken, of equals to the first. */
static int max_backward(struct op_call *c)
{
    const struct reduce_params *p = (void *)c->params;
    tain_tensor *dx = tensor_like(c->in[0]);
    int64_t outer, count, inner, x, y;
    struct { uint32_t n, count, inner; } push;
    int status;

    around(c->in[0], p, &outer, &count, &inner);
    push.n = (uint32_t)(outer * inner);
    push.count = (uint32_t)count;
    push.inner = (uint32_t)inner;
    op_grid(outer * inner, 64, &x, &y);
    status = dx ? tensor_zero(dx) : tain_error_status();
    if (!status)
        status = op_dispatch(c->device, op_pipeline(c->device, 64, NULL, 0, "pick.put"),
                             (tain_tensor *[]){ c->dout, c->saved[0], dx }, 3, 4, &push, sizeof(push), x, y, 1,
                             10.0 * (double)(outer * inner));
    if (status) {
        tensor_unref(dx);
        return status;
    }
    return grad_give(c->in[0], dx);
}

static const struct op op_max_dim = {
    .name = "max_dim", .inputs = 1, .infer = infer_max, .forward = max_forward, .backward = max_backward,
};

tain_tensor *tain_max_dim(tain_tensor *x, int32_t dim, bool keep)
{
    struct reduce_params p;

    return along("max_dim", x, dim, keep, &p) ? OP_RUN(&op_max_dim, &p, x) : NULL;
}

static int infer_argmax(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    int status = infer_max(c, type, dims, shape);

    *type = TAIN_I32;
    return status;
}

static int argmax_forward(struct op_call *c)
{
    tain_tensor *most = tensor_new(c->device, TAIN_F32, c->out->dims, c->out->shape);
    int status = most ? max_into(c, most, c->out) : tain_error_status();

    tensor_unref(most);
    return status;
}

static const struct op op_argmax = {
    .name = "argmax", .inputs = 1, .no_grad = 1, .infer = infer_argmax, .forward = argmax_forward,
};

tain_tensor *tain_argmax(tain_tensor *x, int32_t dim)
{
    struct reduce_params p;

    return along("argmax", x, dim, false, &p) ? OP_RUN(&op_argmax, &p, x) : NULL;
}

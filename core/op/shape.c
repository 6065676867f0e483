/* shape.c - ops that move no number, or only move numbers: reshape, slice, transpose, split,
 * contiguous, cast.
 *
 * Views share storage forward, and gradients backward: the gradient of a reshape is handed on as
 * it is, the parts of a split lie side by side in the gradient of the whole.
 */
#include "op/op.h"

#include <string.h>

struct view_params {
    int32_t dims, a, b;
    int64_t shape[TENSOR_DIMS];
};

static int infer_view(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    (void)c;
    (void)type;
    (void)shape;
    *dims = -1;
    return 0;
}

/* ---- Strided copies ---- */

static int copy(tain_device *d, const char *way, tain_tensor *dense, tain_tensor *view, bool add)
{
    bool pack = way[0] == 'p';
    int64_t n = tensor_count(dense), x, y;
    uint32_t constants[1] = { add };
    struct { uint32_t n, size[6], stride[6]; } p = { (uint32_t)n, { 1, 1, 1, 1, 1, 1 }, { 0 } };

    for (int i = 0; i < view->dims; i++) {
        p.size[6 - view->dims + i] = (uint32_t)(view->shape[i] ? view->shape[i] : 1);
        p.stride[6 - view->dims + i] = (uint32_t)view->stride[i];
    }
    op_grid(n, 256, &x, &y);
    return op_dispatch(d, op_pipeline(d, 256, constants, 1, "copy.%s", way),
                       pack ? (tain_tensor *[]){ view, dense } : (tain_tensor *[]){ dense, view }, 2, 2, &p, sizeof(p),
                       x, y, 1, 40.0 * (double)n);
}

static int contiguous_forward(struct op_call *c)
{
    return copy(c->device, "pack", c->out, c->in[0], false);
}

static int contiguous_backward(struct op_call *c)
{
    /* The gradient of a view is itself dense: one element for each of the view's. */
    return grad_give(c->in[0], tensor_ref(c->dout));
}

static const struct op op_contiguous_ = {
    .name = "contiguous", .inputs = 1, .any_stride = 1, .infer = infer_same,
    .forward = contiguous_forward, .backward = contiguous_backward,
};

tain_tensor *op_contiguous(tain_tensor *t)
{
    if (tensor_contiguous(t))
        return tensor_ref(t);
    if (t->type != TAIN_F32) {
        fail(TAIN_EUNSUPPORTED, "contiguous: a view with gaps of a tensor stored as %s", type_name(t->type));
        return NULL;
    }
    return OP_RUN0(&op_contiguous_, t);
}

tain_tensor *op_copy(tain_tensor *t)
{
    return OP_RUN0(&op_contiguous_, t);
}

tain_tensor *tain_contiguous(tain_tensor *x)
{
    REQUIRE_OR_NULL(x, "contiguous: x is missing");
    return op_contiguous(x);
}

/* ---- Reshape ---- */

static int reshape_forward(struct op_call *c)
{
    const struct view_params *p = (void *)c->params;

    c->out = view_shape(c->in[0], p->dims, p->shape);
    return c->out ? 0 : tain_error_status();
}

static int reshape_backward(struct op_call *c)
{
    tain_tensor *x = c->in[0];

    return grad_give(x, view_shape(c->dout, x->dims, x->shape));
}

static const struct op op_reshape = {
    .name = "reshape", .inputs = 1, .any_type = 1, .infer = infer_view,
    .forward = reshape_forward, .backward = reshape_backward,
};

tain_tensor *tain_reshape(tain_tensor *x, int32_t dims, const int64_t *shape)
{
    struct view_params p = { .dims = dims };
    int64_t count = 1, open = -1;

    REQUIRE_OR_NULL(x, "reshape: x is missing");
    REQUIRE_OR_NULL(dims >= 0 && dims <= TENSOR_DIMS, "reshape: %d dimensions; there may be 0 to %d", dims, TENSOR_DIMS);
    REQUIRE_OR_NULL(shape || !dims, "reshape: shape is missing");
    for (int i = 0; i < dims; i++) {
        REQUIRE_OR_NULL(shape[i] >= -1, "reshape: size %lld of dimension %d is negative", (long long)shape[i], i);
        p.shape[i] = shape[i];
        if (shape[i] == -1) {
            REQUIRE_OR_NULL(open < 0, "reshape: only one size may be -1");
            open = i;
        } else if (__builtin_mul_overflow(count, shape[i], &count)) {
            fail(TAIN_EINVAL, "reshape: its sizes multiply to more than a machine can count");
            return NULL;
        }
    }
    if (open >= 0 && count && tensor_count(x) % count == 0) {
        p.shape[open] = tensor_count(x) / count;
        count *= p.shape[open];
    }
    REQUIRE_OR_NULL(count == tensor_count(x), "reshape: x is %s, which has %lld elements; the new shape has %lld",
                    tensor_text(x), (long long)tensor_count(x), (long long)count);
    return OP_RUN(&op_reshape, &p, x);
}

/* ---- Slice ---- */

static int slice_forward(struct op_call *c)
{
    const struct view_params *p = (void *)c->params;

    c->out = view_part(c->in[0], p->dims, p->a, p->b);
    return c->out ? 0 : tain_error_status();
}

static int slice_backward(struct op_call *c)
{
    const struct view_params *p = (void *)c->params;
    bool add;
    tain_tensor *dx = grad_target(c->in[0], &add), *part;
    int status = dx ? 0 : tain_error_status();

    if (!status && !add)
        status = tensor_zero(dx);
    if (status)
        return status;
    part = view_part(dx, p->dims, p->a, p->b);
    status = part ? copy(c->device, "unpack", c->dout, part, true) : tain_error_status();
    tensor_unref(part);
    return status;
}

static const struct op op_slice = {
    .name = "slice", .inputs = 1, .any_stride = 1, .infer = infer_view,
    .forward = slice_forward, .backward = slice_backward,
};

tain_tensor *tain_slice(tain_tensor *x, int32_t dim, int64_t start, int64_t size)
{
    struct view_params p = { .a = (int32_t)start, .b = (int32_t)size };

    REQUIRE_OR_NULL(x, "slice: x is missing");
    REQUIRE_OR_NULL(dim >= -x->dims && dim < x->dims, "slice: dim %d is out of range for a tensor of %d dimensions", dim, x->dims);
    p.dims = dim < 0 ? dim + x->dims : dim;
    REQUIRE_OR_NULL(start >= 0 && size >= 0 && start + size <= x->shape[p.dims],
                    "slice: %lld elements from %lld leave dimension %d of x, which is %s", (long long)size,
                    (long long)start, dim, tensor_text(x));
    return OP_RUN(&op_slice, &p, x);
}

/* ---- Transpose ---- */

static int swap_forward(struct op_call *c)
{
    const struct view_params *p = (void *)c->params;

    c->out = view_swap(c->in[0], p->a, p->b);
    return c->out ? 0 : tain_error_status();
}

static int swap_backward(struct op_call *c)
{
    const struct view_params *p = (void *)c->params;
    tain_tensor *g = view_swap(c->dout, p->a, p->b), *dense;

    if (!g)
        return tain_error_status();
    dense = op_contiguous(g);
    tensor_unref(g);
    return grad_give(c->in[0], dense);
}

static const struct op op_swap = {
    .name = "transpose", .inputs = 1, .any_stride = 1, .infer = infer_view,
    .forward = swap_forward, .backward = swap_backward,
};

tain_tensor *tain_transpose(tain_tensor *x, int32_t a, int32_t b)
{
    struct view_params p;

    REQUIRE_OR_NULL(x, "transpose: x is missing");
    REQUIRE_OR_NULL(a >= -x->dims && a < x->dims, "transpose: a %d is out of range for a tensor of %d dimensions", a, x->dims);
    REQUIRE_OR_NULL(b >= -x->dims && b < x->dims, "transpose: b %d is out of range for a tensor of %d dimensions", b, x->dims);
    memset(&p, 0, sizeof(p));
    p.a = a < 0 ? a + x->dims : a;
    p.b = b < 0 ? b + x->dims : b;
    return OP_RUN(&op_swap, &p, x);
}

/* ---- Cast ---- */

struct cast_params {
    int32_t type;
};

static int infer_cast(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    infer_same(c, type, dims, shape);
    *type = (tain_type)((const struct cast_params *)(const void *)c->params)->type;
    return 0;
}

static int cast_to(struct op_call *c, tain_tensor *from, tain_tensor *to)
{
    tain_device *d = c->device;
    int64_t n = tensor_count(from), x, y;
    bool ints = from->type == TAIN_I32 || to->type == TAIN_I32;
    tain_type half = to->type == TAIN_F32 ? from->type : to->type;
    uint32_t constants[2] = { half == TAIN_BF16, to->type == TAIN_I32 };
    struct { uint32_t n; } p;

    if (from->type == to->type)
        return tensor_copy_bytes(to, from);
    if (!ints)
        n = (n + 1) / 2;
    p.n = (uint32_t)n;
    op_grid(n, 256, &x, &y);
    return op_dispatch(d, op_pipeline(d, 256, constants, 2, ints ? "cast.ints" : to->type == TAIN_F32 ? "cast.from_16" : "cast.to_16"),
                       (tain_tensor *[]){ from, to }, 2, 2, &p, sizeof(p), x, y, 1, 10.0 * (double)n);
}

static int cast_forward(struct op_call *c)
{
    return cast_to(c, c->in[0], c->out);
}

static int cast_backward(struct op_call *c)
{
    return grad_give(c->in[0], tensor_ref(c->dout)); /* gradients are f32 whatever is stored */
}

static const struct op op_cast = {
    .name = "cast", .inputs = 1, .any_type = 1, .infer = infer_cast, .forward = cast_forward, .backward = cast_backward,
};

tain_tensor *tain_cast(tain_tensor *x, tain_type type)
{
    tain_tensor *wide, *out;

    REQUIRE_OR_NULL(x, "cast: x is missing");
    REQUIRE_OR_NULL(type >= TAIN_F32 && type <= TAIN_INT4, "cast: type %d does not exist", (int)type);
    REQUIRE_OR_NULL(!type_blocks(type), "cast: type is %s, which a tensor can only be made as", type_name(type));
    if (x->type == TAIN_F32 || type == TAIN_F32 || type == x->type)
        return OP_RUN(&op_cast, (&(struct cast_params){ type }), x);
    wide = OP_RUN(&op_cast, (&(struct cast_params){ TAIN_F32 }), x);
    out = wide ? OP_RUN(&op_cast, (&(struct cast_params){ type }), wide) : NULL;
    tensor_unref(wide);
    return out;
}

tain_tensor *op_float(tain_tensor *t)
{
    return t->type == TAIN_F32 ? tensor_ref(t) : tain_cast(t, TAIN_F32);
}

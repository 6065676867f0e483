/* binary.c - functions of two or three numbers, element by element, with NumPy's broadcasting:
 * shapes are aligned to the right, and a size of 1 (or none) repeats.
 *
 * Dimensions that lie one after the other in every operand are merged first, so that equal shapes
 * become one dimension and a bias two. The gradient of what was broadcast is summed (reduce.c).
 */
#include "op/elementwise.h"

#include <string.h>

/* ---- The dispatch ---- */

struct layout {
    int dims;
    int64_t size[TENSOR_DIMS], stride[3][TENSOR_DIMS];
};

/* Aligns the inputs to out, drops dimensions of size 1, and merges what lies in a line. */
static void lay_out(struct layout *l, tain_tensor *const *in, int inputs, const tain_tensor *out)
{
    l->dims = 0;
    for (int d = 0; d < out->dims; d++) {
        int64_t stride[3] = { 0 };
        bool merge = l->dims > 0;

        if (out->shape[d] == 1)
            continue;
        for (int i = 0; i < inputs; i++) {
            int own = d - (out->dims - in[i]->dims);
            stride[i] = own < 0 || in[i]->shape[own] == 1 ? 0 : in[i]->stride[own];
            merge = merge && l->stride[i][l->dims - 1] == stride[i] * out->shape[d];
        }
        if (!merge)
            l->dims++;
        l->size[l->dims - 1] = merge ? l->size[l->dims - 1] * out->shape[d] : out->shape[d];
        for (int i = 0; i < inputs; i++)
            l->stride[i][l->dims - 1] = stride[i];
    }
    if (!l->dims) {
        l->dims = 1;
        l->size[0] = 1;
        memset(l->stride, 0, sizeof(l->stride));
    }
}

/* Whether four neighbours can be moved at a time; *splat gets a bit for each input that repeats
 * along the last dimension. */
static bool fours(const struct layout *l, tain_tensor *const *in, int inputs, const tain_tensor *out, uint32_t *splat)
{
    int last = l->dims - 1;

    *splat = 0;
    if (l->size[last] % 4 || out->offset % 4)
        return false;
    for (int i = 0; i < inputs; i++) {
        if (!l->stride[i][last]) {
            *splat |= 1u << i;
            continue;
        }
        if (l->stride[i][last] != 1 || in[i]->offset % 4)
            return false;
        for (int d = 0; d < last; d++)
            if (l->stride[i][d] % 4)
                return false;
    }
    return true;
}

int elementwise(enum elementwise function, tain_tensor *const *in, int inputs, tain_tensor *out, bool add, float a)
{
    static const char *const names[] = { "", "one", "two", "three" };
    struct layout l = { 0 };
    struct { uint32_t n; float a; uint32_t size[6], stride[3][6]; } p = { .a = a };
    int64_t n = tensor_count(out), x, y;
    uint32_t splat;
    bool v4;

    if (!n)
        return 0;
    if (n > UINT32_MAX)
        return fail(TAIN_EUNSUPPORTED, "broadcast: a result of %lld elements is too large", (long long)n);
    lay_out(&l, in, inputs, out);
    v4 = fours(&l, in, inputs, out, &splat);
    for (int d = 0; d < TENSOR_DIMS; d++)
        p.size[d] = 1;
    for (int d = 0; d < l.dims; d++) {
        int at = TENSOR_DIMS - l.dims + d;
        bool last = d == l.dims - 1;
        p.size[at] = (uint32_t)(v4 && last ? l.size[d] / 4 : l.size[d]);
        for (int i = 0; i < inputs; i++)
            p.stride[i][at] = (uint32_t)(v4 && !last && !(splat >> i & 1) ? l.stride[i][d] / 4 : l.stride[i][d]);
    }
    n = v4 ? n / 4 : n;
    p.n = (uint32_t)n;
    op_grid(n, 256, &x, &y);
    return op_dispatch(out->device,
                       op_pipeline(out->device, 256, (uint32_t[]){ function, add, (uint32_t)l.dims, v4 ? splat : 0 }, 4,
                                   "binary.%s.%s", names[inputs], v4 ? "v4" : "v1"),
                       (tain_tensor *[]){ in[0], inputs > 1 ? in[1] : out, inputs > 2 ? in[2] : out, out }, inputs + 1,
                       1u << inputs, &p, 8 + 24 + 24 * (size_t)inputs, x, y, 1, (v4 ? 32.0 : 24.0) * (double)n);
}

int elementwise_grad(tain_tensor *t, const tain_tensor *out, enum elementwise function, tain_tensor *const *in,
                     int inputs, float a)
{
    tain_tensor *whole, *sum;
    int status;

    if (tensor_same_shape(t, out) && !(t->grad_home && !tensor_contiguous(t->grad_home))) {
        bool add;
        tain_tensor *dx = grad_target(t, &add);
        return dx ? elementwise(function, in, inputs, dx, add, a) : tain_error_status();
    }
    whole = tensor_like(out);
    if (!whole)
        return tain_error_status();
    if ((status = elementwise(function, in, inputs, whole, false, a))) {
        tensor_unref(whole);
        return status;
    }
    sum = reduce_to(whole, t->dims, t->shape);
    tensor_unref(whole);
    return grad_give(t, sum);
}

/* ---- The ops ---- */

static int infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    static const char *const names[] = { "a", "b" }, *const three[] = { "mask", "a", "b" };
    const char *const *name = c->inputs == 3 ? three : names;

    *type = TAIN_F32;
    *dims = 0;
    for (int i = 0; i < c->inputs; i++)
        *dims = c->in[i]->dims > *dims ? c->in[i]->dims : *dims;
    for (int d = 0; d < *dims; d++) {
        int who = -1;
        shape[d] = 1;
        for (int i = 0; i < c->inputs; i++) {
            int own = d - (*dims - c->in[i]->dims);
            int64_t size = own < 0 ? 1 : c->in[i]->shape[own];
            if (size == 1)
                continue;
            if (who >= 0 && size != shape[d])
                return fail(TAIN_EINVAL, "%s: %s is %s and %s is %s; sizes %lld and %lld do not fit each other", c->op->name,
                            name[who], tensor_text(c->in[who]), name[i], tensor_text(c->in[i]), (long long)shape[d],
                            (long long)size);
            shape[d] = size;
            who = i;
        }
    }
    return 0;
}

struct binary_params {
    int32_t function;
};

static int forward(struct op_call *c)
{
    const struct binary_params *p = (void *)c->params;

    return elementwise((enum elementwise)p->function, c->in, c->inputs, c->out, false, 0);
}

/* dout, summed to the shape of input i. */
static tain_tensor *dout_for(struct op_call *c, int i)
{
    return reduce_to(c->dout, c->in[i]->dims, c->in[i]->shape);
}

static int add_backward(struct op_call *c)
{
    int status = 0;

    for (int i = 0; i < 2 && !status; i++)
        if (op_wants(c, i))
            status = grad_give(c->in[i], dout_for(c, i));
    return status;
}

static int sub_backward(struct op_call *c)
{
    int status = 0;

    if (op_wants(c, 0))
        status = grad_give(c->in[0], dout_for(c, 0));
    if (!status && op_wants(c, 1)) {
        tain_tensor *sum = dout_for(c, 1);
        status = sum ? elementwise_grad(c->in[1], c->in[1], EL_SCALE, &sum, 1, -1) : tain_error_status();
        tensor_unref(sum);
    }
    return status;
}

static int mul_backward(struct op_call *c)
{
    int status = 0;

    for (int i = 0; i < 2 && !status; i++)
        if (op_wants(c, i))
            status = elementwise_grad(c->in[i], c->out, EL_MUL, (tain_tensor *[]){ c->dout, c->in[1 - i] }, 2, 0);
    return status;
}

static int div_backward(struct op_call *c)
{
    tain_tensor *a = c->in[0], *b = c->in[1];
    int status = 0;

    if (op_wants(c, 0))
        status = elementwise_grad(a, c->out, EL_DIV, (tain_tensor *[]){ c->dout, b }, 2, 0);
    if (!status && op_wants(c, 1))
        status = elementwise_grad(b, c->out, EL_DIV_BACK, (tain_tensor *[]){ c->dout, a, b }, 3, 0);
    return status;
}

/* Of equals, the first takes the gradient. */
static int chosen_backward(struct op_call *c)
{
    const struct binary_params *p = (void *)c->params;
    bool least = p->function == EL_LEAST;
    tain_tensor *in[3] = { c->dout, c->in[least], c->in[!least] };
    int status = 0;

    if (op_wants(c, 0))
        status = elementwise_grad(c->in[0], c->out, EL_IF_GE, in, 3, 0);
    if (!status && op_wants(c, 1))
        status = elementwise_grad(c->in[1], c->out, EL_IF_LT, in, 3, 0);
    return status;
}

static int where_backward(struct op_call *c)
{
    tain_tensor *in[2] = { c->in[0], c->dout };
    int status = 0;

    if (op_wants(c, 1))
        status = elementwise_grad(c->in[1], c->out, EL_WHERE_NOT_0, in, 2, 0);
    if (!status && op_wants(c, 2))
        status = elementwise_grad(c->in[2], c->out, EL_WHERE_0, in, 2, 0);
    return status;
}

#define BINARY(public, number, fixed, back)                                                        \
    static const struct op op_##public = {                                                         \
        .name = #public, .inputs = 2, .any_stride = 3, .no_grad = fixed, .infer = infer,           \
        .forward = forward, .backward = back,                                                      \
    };                                                                                             \
    tain_tensor *tain_##public(tain_tensor *a, tain_tensor *b)                                     \
    {                                                                                              \
        return OP_RUN(&op_##public, (&(struct binary_params){ number }), a, b);                    \
    }

BINARY(add, EL_ADD, 0, add_backward)
BINARY(sub, EL_SUB, 0, sub_backward)
BINARY(mul, EL_MUL, 0, mul_backward)
BINARY(div, EL_DIV, 0, div_backward)
BINARY(greatest, EL_GREATEST, 0, chosen_backward)
BINARY(least, EL_LEAST, 0, chosen_backward)
BINARY(gt, EL_GT, 3, NULL)
BINARY(ge, EL_GE, 3, NULL)
BINARY(lt, EL_LT, 3, NULL)
BINARY(le, EL_LE, 3, NULL)
BINARY(eq, EL_EQ, 3, NULL)

static const struct op op_where = {
    .name = "where", .inputs = 3, .any_stride = 7, .no_grad = 1, .infer = infer,
    .forward = forward, .backward = where_backward,
};

tain_tensor *tain_where(tain_tensor *mask, tain_tensor *a, tain_tensor *b)
{
    return OP_RUN(&op_where, (&(struct binary_params){ EL_WHERE }), mask, a, b);
}

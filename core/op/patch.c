/* patch.c - pictures as rows of patches, for a vision transformer.
 *
 * A patch lies in the order channel, row, column: so the convolution that cuts patches, whose weight
 * is stored [out, C, P, P], is a matrix product with that weight as [out, C * P * P].
 */
#include "op/op.h"

struct patch_params {
    int32_t size;
};

static int infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const struct patch_params *v = (void *)c->params;
    const tain_tensor *x = c->in[0];

    if (x->dims != 4)
        return fail(TAIN_EINVAL, "patch: x is %s; it must be [B, H, W, C]", tensor_text(x));
    if (v->size < 1 || x->shape[1] % v->size || x->shape[2] % v->size)
        return fail(TAIN_EINVAL, "patch: x is %s; patches of %d do not divide its height and width",
                    tensor_text(x), v->size);
    *type = TAIN_F32;
    *dims = 3;
    shape[0] = x->shape[0];
    shape[1] = x->shape[1] / v->size * (x->shape[2] / v->size);
    shape[2] = x->shape[3] * v->size * v->size;
    return 0;
}

static int forward(struct op_call *c)
{
    const struct patch_params *v = (void *)c->params;
    const int64_t *shape = c->in[0]->shape;
    int64_t n = tensor_count(c->out), x, y;
    uint32_t constants[2] = { (uint32_t)v->size, (uint32_t)shape[3] };
    struct {
        uint32_t n, high, wide;
    } p = { (uint32_t)n, (uint32_t)(shape[1] / v->size), (uint32_t)(shape[2] / v->size) };

    if (!n)
        return 0;
    op_grid(n, 256, &x, &y);
    return op_dispatch(c->device, op_pipeline(c->device, 256, constants, 2, "patch"),
                       (tain_tensor *[]){ c->in[0], c->out }, 2, 2, &p, sizeof(p), x, y, 1, 4.0 * (double)n);
}

static const struct op op_patch = { .name = "patch", .inputs = 1, .infer = infer, .forward = forward };

tain_tensor *tain_patch(tain_tensor *x, int32_t size)
{
    return OP_RUN(&op_patch, (&(struct patch_params){ size }), x);
}

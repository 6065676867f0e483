/* upsample.c - nearest-neighbour enlargement of images [B, H, W, C] by two. */
#include "op/op.h"

static int infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const tain_tensor *x = c->in[0];

    if (x->dims != 4)
        return fail(TAIN_EINVAL, "upsample2: x is %s; it must be [B, H, W, C]", tensor_text(x));
    infer_same(c, type, dims, shape);
    shape[1] *= 2;
    shape[2] *= 2;
    return 0;
}

static int run(struct op_call *c, const char *name, tain_tensor *from, tain_tensor *to, bool add)
{
    tain_tensor *x = c->in[0];
    bool v4 = tensor_last(x) % 4 == 0 && from->offset % 4 == 0 && to->offset % 4 == 0;
    int64_t n = tensor_count(x) / (v4 ? 4 : 1), gx, gy;
    uint32_t constants[2] = { (uint32_t)tensor_last(x) / (v4 ? 4 : 1), add };
    struct { uint32_t n, wide; } p = { (uint32_t)n, (uint32_t)x->shape[2] };

    if (!n)
        return 0;
    op_grid(n, 256, &gx, &gy);
    return op_dispatch(c->device, op_pipeline(c->device, 256, constants, 2, "upsample.%s.%s", name, v4 ? "v4" : "v1"),
                       (tain_tensor *[]){ from, to }, 2, 2, &p, sizeof(p), gx, gy, 1, 8.0 * (double)tensor_count(x));
}

static int forward(struct op_call *c)
{
    return run(c, "forward", c->in[0], c->out, false);
}

static int backward(struct op_call *c)
{
    struct op_grad g;
    tain_tensor *dx = op_grad_open(&g, c->in[0]);

    return op_grad_close(&g, dx ? run(c, "backward", c->dout, dx, g.add) : tain_error_status());
}

static const struct op op_upsample2 = {
    .name = "upsample2", .inputs = 1, .infer = infer, .forward = forward, .backward = backward,
};

tain_tensor *tain_upsample2(tain_tensor *x)
{
    return OP_RUN0(&op_upsample2, x);
}

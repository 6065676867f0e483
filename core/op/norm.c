/* norm.c - RMS norm and layer norm over the last dimension.
 *
 * With u = (x - mean) * r, r = 1 / sqrt(variance + eps) and g = dy * weight:
 *
 *     dx = r * (g - average(g) - u * average(g * u)),  dweight = sum of dy * u,  dbias = sum of dy
 *
 * where the sums run over rows, and RMS norm leaves out the means. Forward keeps mean and r of each
 * row; u is computed again.
 */
#include "op/op.h"

enum { WIDTH = 64 };

struct norm_params {
    float eps;
    uint32_t centre;
};

static bool fours(const tain_tensor *x, const tain_tensor *weight, const tain_tensor *bias)
{
    return tensor_last(x) % 4 == 0 && x->offset % 4 == 0 && weight->offset % 4 == 0 &&
           (!bias || bias->offset % 4 == 0);
}

static int infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const tain_tensor *x = c->in[0];
    const char *name = c->op->name;
    static const char *const parts[] = { "x", "weight", "bias" };

    if (!x->dims)
        return fail(TAIN_EINVAL, "%s: x is a single number; it needs a last dimension", name);
    if (tensor_last(x) > 65536)
        return fail(TAIN_EUNSUPPORTED, "%s: x is %s; rows may have at most 65536 elements", name, tensor_text(x));
    for (int i = 1; i < c->inputs; i++)
        if (c->in[i] && (c->in[i]->dims != 1 || c->in[i]->shape[0] != tensor_last(x)))
            return fail(TAIN_EINVAL, "%s: %s is %s; x is %s, so it must be [%lld]", name, parts[i],
                        tensor_text(c->in[i]), tensor_text(x), (long long)tensor_last(x));
    return infer_same(c, type, dims, shape);
}

static int forward(struct op_call *c)
{
    const struct norm_params *n = (void *)c->params;
    tain_tensor *x = c->in[0], *bias = c->inputs > 2 ? c->in[2] : NULL;
    bool v4 = fours(x, c->in[1], bias);
    uint32_t lanes = gpu_info(c->device->gpu)->lanes, width = lanes < WIDTH ? WIDTH : lanes;
    uint32_t constants[3] = { (uint32_t)tensor_last(x) / (v4 ? 4 : 1), n->centre, bias != NULL };
    int64_t rows = tensor_rows(x), gx, gy;
    struct { uint32_t rows; float eps; } p = { (uint32_t)rows, n->eps };

    c->saved[0] = tensor_new(c->device, TAIN_F32, 2, (int64_t[]){ rows, 2 });
    if (!c->saved[0])
        return tain_error_status();
    if (!tensor_count(x))
        return 0;
    op_rows(rows, width, lanes, &gx, &gy);
    return op_dispatch(c->device, op_pipeline(c->device, width, constants, 3, "norm.forward.%s", v4 ? "v4" : "v1"),
                       (tain_tensor *[]){ x, c->in[1], bias ? bias : c->in[1], c->out, c->saved[0] }, 5, 0x18, &p,
                       sizeof(p), gx, gy, 1, 16.0 * (double)tensor_count(x));
}

/* The gradients of weight and bias: a partial sum for each chunk of rows, then the sum of those. */
static int backward_columns(struct op_call *c, bool v4)
{
    const struct norm_params *n = (void *)c->params;
    tain_tensor *x = c->in[0], *part;
    int64_t rows = tensor_rows(x), channels = tensor_last(x), kinds = 1 + n->centre, size = channels / (v4 ? 4 : 1);
    int64_t chunk = (rows + 255) / 256 < 32 ? 32 : (rows + 255) / 256, chunks;
    uint32_t constants[2] = { (uint32_t)size, n->centre }, width = gpu_info(c->device->gpu)->lanes;
    int status;

    while (width < size && width < WIDTH)
        width *= 2;
    if (chunk > 32768)
        chunk = 32768;
    chunks = rows ? (rows + chunk - 1) / chunk : 1;
    struct { uint32_t rows, chunk; } p = { (uint32_t)rows, (uint32_t)chunk };
    part = tensor_new(c->device, TAIN_F32, 3, (int64_t[]){ chunks, kinds, channels });
    if (!part)
        return tain_error_status();
    status = op_dispatch(c->device, op_pipeline(c->device, width, constants, 2, "norm.columns.%s", v4 ? "v4" : "v1"),
                         (tain_tensor *[]){ x, c->saved[0], c->dout, part }, 4, 8, &p, sizeof(p),
                         (size + width - 1) / width, chunks, 1, 16.0 * (double)tensor_count(x));
    for (int i = 1; i < c->inputs && !status; i++)
        if (op_wants(c, i)) {
            bool add;
            tain_tensor *to = grad_target(c->in[i], &add);
            status = to ? op_fold(part, (i - 1) * channels, chunks, kinds * channels, to, add) : tain_error_status();
        }
    tensor_unref(part);
    return status;
}

static int backward(struct op_call *c)
{
    const struct norm_params *n = (void *)c->params;
    tain_tensor *x = c->in[0];
    bool v4 = fours(x, c->in[1], NULL) && c->dout->offset % 4 == 0;
    uint32_t lanes = gpu_info(c->device->gpu)->lanes, width = lanes < WIDTH ? WIDTH : lanes;
    int64_t rows = tensor_rows(x), gx, gy;
    struct { uint32_t rows; } p = { (uint32_t)rows };
    int status = 0;

    if (!tensor_last(x))
        return 0;
    if (op_wants(c, 0)) {
        struct op_grad g;
        tain_tensor *dx = op_grad_open(&g, x);
        bool wide = v4 && dx && dx->offset % 4 == 0;
        uint32_t constants[3] = { (uint32_t)tensor_last(x) / (wide ? 4 : 1), n->centre, g.add };
        op_rows(rows, width, lanes, &gx, &gy);
        status = dx ? op_dispatch(c->device,
                                  op_pipeline(c->device, width, constants, 3, "norm.backward.%s", wide ? "v4" : "v1"),
                                  (tain_tensor *[]){ x, c->in[1], c->saved[0], c->dout, dx, dx }, 6, 0x10, &p, sizeof(p),
                                  gx, gy, 1, 24.0 * (double)tensor_count(x))
                    : tain_error_status();
        status = op_grad_close(&g, status);
    }
    if (!status && (op_wants(c, 1) || op_wants(c, 2)))
        status = backward_columns(c, v4);
    return status;
}

static const struct op op_rms_norm = {
    .name = "rms_norm", .inputs = 2, .infer = infer, .forward = forward, .backward = backward,
};

static const struct op op_layer_norm = {
    .name = "layer_norm", .inputs = 2, .optional = 1, .infer = infer, .forward = forward, .backward = backward,
};

tain_tensor *tain_rms_norm(tain_tensor *x, tain_tensor *weight, float eps)
{
    return OP_RUN(&op_rms_norm, (&(struct norm_params){ eps, 0 }), x, weight);
}

tain_tensor *tain_layer_norm(tain_tensor *x, tain_tensor *weight, tain_tensor *bias, float eps)
{
    return OP_RUN(&op_layer_norm, (&(struct norm_params){ eps, 1 }), x, weight, bias);
}

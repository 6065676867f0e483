/* groupnorm.c - group norm of images with the channels last, with the silu that follows it.
 *
 * Means and variances go in chunks of pixels: each chunk leaves its mean and its squared deviations
 * from that, so nothing is lost where the mean is large against the deviation. Then, with
 * u = (x - mean) * r, z = u * weight + bias, dz = dy * silu'(z) and g = dz * weight:
 *
 *     dx = r * (g - average(g) - u * average(g * u)),  dweight = sum of dz * u,  dbias = sum of dz
 */
#include "op/elementwise.h"

struct group_params {
    int32_t groups;
    float eps;
    uint32_t silu;
};

struct shape {
    int64_t batch, pixels, channels, chunks, chunk;
    bool v4;
};

static struct shape shape_of(const struct op_call *c)
{
    const tain_tensor *x = c->in[0];
    struct shape s = { .batch = x->shape[0], .pixels = 1, .channels = tensor_last(x) };

    for (int i = 1; i + 1 < x->dims; i++)
        s.pixels *= x->shape[i];
    s.chunk = (s.pixels + 63) / 64;
    s.chunk = s.chunk < 16 ? 16 : s.chunk > 16384 ? 16384 : s.chunk;
    s.chunks = (s.pixels + s.chunk - 1) / s.chunk;
    s.v4 = s.channels % 4 == 0;
    for (int i = 0; i < 3; i++)
        s.v4 &= c->in[i]->offset % 4 == 0;
    return s;
}

static int infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const struct group_params *g = (void *)c->params;
    const tain_tensor *x = c->in[0];
    static const char *const parts[] = { "x", "weight", "bias" };

    if (x->dims < 2)
        return fail(TAIN_EINVAL, "group_norm: x is %s; it must be [B, .., C]", tensor_text(x));
    if (g->groups < 1 || tensor_last(x) % g->groups)
        return fail(TAIN_EINVAL, "group_norm: x is %s; %d groups do not divide its channels", tensor_text(x),
                    g->groups);
    if (tensor_last(x) > 65536)
        return fail(TAIN_EUNSUPPORTED, "group_norm: x is %s; there may be at most 65536 channels", tensor_text(x));
    for (int i = 1; i < 3; i++)
        if (c->in[i]->dims != 1 || c->in[i]->shape[0] != tensor_last(x))
            return fail(TAIN_EINVAL, "group_norm: %s is %s; x is %s, so it must be [%lld]", parts[i],
                        tensor_text(c->in[i]), tensor_text(x), (long long)tensor_last(x));
    return infer_same(c, type, dims, shape);
}

/* One of the passes of group.comp; the last tensor is written. Invocations: `items` times the
 * channels. */
static int pass(struct op_call *c, const char *name, tain_tensor *const *t, int count, bool add, int64_t items)
{
    const struct group_params *g = (void *)c->params;
    struct shape s = shape_of(c);
    bool v4 = s.v4;
    int64_t n, x, y;

    for (int i = 0; i < count; i++)
        v4 &= t[i]->offset % 4 == 0;
    n = items * s.channels / (v4 ? 4 : 1);
    uint32_t constants[3] = { (uint32_t)s.channels / (v4 ? 4 : 1), g->silu, add };
    struct {
        uint32_t n, pixels, chunks, chunk;
    } p = { (uint32_t)n, (uint32_t)s.pixels, (uint32_t)s.chunks, (uint32_t)s.chunk };
    uint32_t width = name[0] == 's' ? 64 : 256;
    op_grid(n, width, &x, &y);
    return op_dispatch(
        c->device, op_pipeline(c->device, width, constants, 3, "group.%s.%s", name, v4 ? "v4" : "v1"), t, count,
        1u << (count - 1), &p, name[0] == 's' ? sizeof(p) : 8, x, y, 1, 16.0 * (double)tensor_count(c->in[0]));
}

static int forward(struct op_call *c)
{
    const struct group_params *g = (void *)c->params;
    struct shape s = shape_of(c);
    uint32_t lanes = gpu_info(c->device->gpu)->lanes, constants[1] = { (uint32_t)(s.channels / g->groups) };
    struct { uint32_t n, groups, pixels, chunks, chunk; float eps; } p = {
        (uint32_t)(s.batch * g->groups), (uint32_t)g->groups, (uint32_t)s.pixels, (uint32_t)s.chunks,
        (uint32_t)s.chunk, g->eps,
    };
    tain_tensor *part, *stat;
    int64_t x, y;
    int status;

    if (!tensor_count(c->in[0]))
        return 0;
    part = tensor_new(c->device, TAIN_F32, 4, (int64_t[]){ s.batch, s.chunks, 2, s.channels });
    stat = c->saved[0] = tensor_new(c->device, TAIN_F32, 3, (int64_t[]){ s.batch, 2, s.channels });
    status = part && stat ? pass(c, "stats", (tain_tensor *[]){ c->in[0], part }, 2, false, s.batch * s.chunks)
                          : tain_error_status();
    op_rows(s.batch * g->groups, lanes, lanes, &x, &y);
    if (!status)
        status = op_dispatch(c->device, op_pipeline(c->device, 0, constants, 1, "group_share.forward"),
                             (tain_tensor *[]){ part, stat }, 2, 2, &p, sizeof(p), x, y, 1,
                             8.0 * (double)tensor_count(part));
    if (!status)
        status = pass(c, "apply", (tain_tensor *[]){ c->in[0], stat, c->in[1], c->in[2], c->out }, 5, false,
                      s.batch * s.pixels);
    tensor_unref(part);
    return status;
}

static int backward(struct op_call *c)
{
    const struct group_params *g = (void *)c->params;
    struct shape s = shape_of(c);
    uint32_t lanes = gpu_info(c->device->gpu)->lanes, constants[1] = { (uint32_t)(s.channels / g->groups) };
    struct {
        uint32_t n, groups, pixels;
    } p = { (uint32_t)(s.batch * g->groups), (uint32_t)g->groups, (uint32_t)s.pixels };
    tain_tensor *part, *sums, *share = NULL;
    int64_t x, y;
    int status;

    if (!tensor_count(c->in[0])) {
        for (int i = 0; i < 3; i++) {
            bool add;
            tain_tensor *to = op_wants(c, i) ? grad_target(c->in[i], &add) : NULL;
            if (to && !add && (status = tensor_zero(to)))
                return status;
        }
        return 0;
    }
    part = tensor_new(c->device, TAIN_F32, 4, (int64_t[]){ s.batch, s.chunks, 2, s.channels });
    sums = tensor_new(c->device, TAIN_F32, 3, (int64_t[]){ s.batch, 2, s.channels });
    status = part && sums ? pass(c, "sums",
                                 (tain_tensor *[]){ c->in[0], c->saved[0], c->in[1], c->in[2], c->dout, part },
                                 6, false, s.batch * s.chunks)
                          : tain_error_status();
    if (!status)
        status = reduce_sum(part, s.batch, s.chunks, 2 * s.channels, 1, sums);
    for (int i = 1; i < 3 && !status; i++)
        if (op_wants(c, i)) {
            struct op_grad w;
            tain_tensor *to = op_grad_open(&w, c->in[i]);
            status = to ? op_fold(sums, i == 1 ? s.channels : 0, s.batch, 2 * s.channels, to, w.add)
                        : tain_error_status();
            status = to ? op_grad_close(&w, status) : status;
        }
    if (!status && op_wants(c, 0)) {
        struct op_grad w;
        tain_tensor *dx = op_grad_open(&w, c->in[0]);
        share = dx ? tensor_new(c->device, TAIN_F32, 3, (int64_t[]){ s.batch, 2, s.channels }) : NULL;
        op_rows(s.batch * g->groups, lanes, lanes, &x, &y);
        status = share ? op_dispatch(c->device, op_pipeline(c->device, 0, constants, 1, "group_share.backward"),
                                     (tain_tensor *[]){ sums, c->in[1], share }, 3, 4, &p, sizeof(p), x, y, 1,
                                     8.0 * (double)tensor_count(sums))
                       : tain_error_status();
        if (!status)
            status = pass(c, "dx",
                          (tain_tensor *[]){ c->in[0], c->saved[0], c->in[1], c->in[2], c->dout, share, dx }, 7,
                          w.add, s.batch * s.pixels);
        status = dx ? op_grad_close(&w, status) : status;
    }
    tensor_unref(part);
    tensor_unref(sums);
    tensor_unref(share);
    return status;
}

static const struct op op_group_norm = {
    .name = "group_norm", .inputs = 3, .infer = infer, .forward = forward, .backward = backward,
};

tain_tensor *tain_group_norm(tain_tensor *x, tain_tensor *weight, tain_tensor *bias, int32_t groups, float eps,
                             bool silu)
{
    return OP_RUN(&op_group_norm, (&(struct group_params){ groups, eps, silu }), x, weight, bias);
}

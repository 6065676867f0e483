/* conv.c - 2-d convolution of images [B, H, W, C] with weights [Kh, Kw, Cin, Cout].
 *
 * One shader makes all three products (shaders/conv.comp): forward, the gradient of the image, and
 * the gradient of the weight, which is cut into chunks of image rows and folded. It wants channel
 * counts that are multiples of 4; others (the 3 of a picture) are filled up in copies.
 *
 * On CPUs forward is products of matrices where their kernel for large ones is used: in a frame of zeros the pixels under a
 * row of the weight lie one after the other, so that it is a product for every row, of as many numbers as all of them have.
 */
#include "op/elementwise.h"
#include "op/matmul.h"

struct conv_params {
    int32_t stride, before, after;
};

/* Everything that the three products are made of. */
struct shape {
    int64_t batch, high, wide, to_high, to_wide, kernel_high, kernel_wide, in, out;
    int64_t in4, out4; /* channels in texels, filled up */
};

static struct shape shape_of(const struct op_call *c)
{
    const struct conv_params *v = (void *)c->params;
    const int64_t *x = c->in[0]->shape, *w = c->in[1]->shape;

    return (struct shape){
        .batch = x[0], .high = x[1], .wide = x[2], .kernel_high = w[0], .kernel_wide = w[1], .in = w[2], .out = w[3],
        .to_high = (x[1] + v->before + v->after - w[0]) / v->stride + 1,
        .to_wide = (x[2] + v->before + v->after - w[1]) / v->stride + 1,
        .in4 = (w[2] + 3) / 4, .out4 = (w[3] + 3) / 4,
    };
}

static int infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const struct conv_params *v = (void *)c->params;
    const tain_tensor *x = c->in[0], *w = c->in[1], *b = c->inputs > 2 ? c->in[2] : NULL;
    struct shape s;

    if (x->dims != 4 || w->dims != 4)
        return fail(TAIN_EINVAL,
                    "conv2d: x is %s and weight is %s; they must be [B, H, W, Cin] and [Kh, Kw, Cin, Cout]",
                    tensor_text(x), tensor_text(w));
    if (w->shape[2] != x->shape[3])
        return fail(TAIN_EINVAL, "conv2d: weight is %s, for %lld channels; x is %s", tensor_text(w),
                    (long long)w->shape[2], tensor_text(x));
    if (b && (b->dims != 1 || b->shape[0] != w->shape[3]))
        return fail(TAIN_EINVAL, "conv2d: bias is %s; weight is %s, so it must be [%lld]", tensor_text(b),
                    tensor_text(w), (long long)w->shape[3]);
    if (v->stride < 1 || v->stride > 64 || v->before < 0 || v->after < 0 || v->before > 4096 || v->after > 4096)
        return fail(TAIN_EINVAL, "conv2d: stride %d, padding %d and %d", v->stride, v->before, v->after);
    for (int i = 0; i < 4; i++)
        if (!w->shape[i])
            return fail(TAIN_EINVAL, "conv2d: weight is %s; no size may be 0", tensor_text(w));
    for (int i = 0; i < 2; i++)
        if (x->shape[1 + i] + v->before + v->after < w->shape[i] || !x->shape[1 + i])
            return fail(TAIN_EINVAL, "conv2d: x is %s with padding %d and %d, smaller than weight, which is %s",
                        tensor_text(x), v->before, v->after, tensor_text(w));
    s = shape_of(c);
    if (s.kernel_high * s.kernel_wide * (1 + (s.in4 > s.out4 ? s.in4 : s.out4)) + s.kernel_high > OP_TURNS)
        return fail(TAIN_EUNSUPPORTED, "conv2d: weight is %s, more than one invocation may go through",
                    tensor_text(w));
    *type = TAIN_F32;
    *dims = 4;
    shape[0] = s.batch;
    shape[1] = s.to_high;
    shape[2] = s.to_wide;
    shape[3] = s.out;
    return 0;
}

/* ---- Filling up ---- */

static int pad(tain_tensor *from, int64_t n, int64_t rows, int64_t columns, tain_tensor *to, int64_t to_rows,
               int64_t to_columns, bool add)
{
    int64_t count = n * to_rows * to_columns, x, y;
    uint32_t constants[1] = { add };
    struct { uint32_t n, rows, columns, to_rows, to_columns; } p = {
        (uint32_t)count, (uint32_t)rows, (uint32_t)columns, (uint32_t)to_rows, (uint32_t)to_columns
    };

    op_grid(count, 256, &x, &y);
    return op_dispatch(to->device, op_pipeline(to->device, 256, constants, 1, "pad"),
                       (tain_tensor *[]){ from, to }, 2, 2, &p, sizeof(p), x, y, 1, 8.0 * (double)count);
}

/* t as [n, rows, columns] with the latter two filled up to fours (rows only if there are several):
 * t itself if it is so already. A new reference. */
static tain_tensor *filled(tain_tensor *t, int64_t n, int64_t rows, int64_t columns)
{
    int64_t more = rows == 1 ? 1 : (rows + 3) / 4 * 4, wide = (columns + 3) / 4 * 4;
    tain_tensor *to;

    if (more == rows && wide == columns && t->offset % 4 == 0)
        return tensor_ref(t);
    to = tensor_new(t->device, TAIN_F32, 3, (int64_t[]){ n, more, wide });
    if (to && pad(t, n, rows, columns, to, more, wide, false)) {
        tensor_unref(to);
        return NULL;
    }
    return to;
}

static tain_tensor *filled_image(tain_tensor *t)
{
    return filled(t, tensor_rows(t), 1, tensor_last(t));
}

/* The weight's rows are filled up even if there is only one. */
static tain_tensor *filled_weight(const struct shape *s, tain_tensor *w)
{
    int64_t taps = s->kernel_high * s->kernel_wide;
    tain_tensor *to;

    if (s->in != 1)
        return filled(w, taps, s->in, s->out);
    to = tensor_new(w->device, TAIN_F32, 3, (int64_t[]){ taps, 4, s->out4 * 4 });
    if (to && pad(w, taps, 1, s->out, to, 4, s->out4 * 4, false)) {
        tensor_unref(to);
        return NULL;
    }
    return to;
}

/* ---- The products ---- */

/* How many lanes lie over `texels` of channels: as many as there are, with as few idle as possible. */
static uint32_t lanes_over(int64_t texels, const tain_device *d)
{
    if (d->portable & KERNEL_CONV)
        return 1; /* and nothing is handed round */
    const struct gpu_info *info = gpu_info(d->gpu);
    uint32_t widest = info->texel ? 32 : 16, most = info->lanes < widest ? info->lanes : widest, best;
    int64_t least;

    while (most > 1 && texels <= most / 2)
        most /= 2;
    best = most;
    least = (texels + most - 1) / most * most;
    for (uint32_t k = most / 2; k >= 4; k /= 2)
        if ((texels + k - 1) / k * k < least) {
            best = k;
            least = (texels + k - 1) / k * k;
        }
    return best;
}

/* FORWARD and INPUT: the image a gathered into the result y. Channels of both in texels. */
static int gather(struct op_call *c, const char *kind, tain_tensor *a, tain_tensor *w, tain_tensor *bias,
                  tain_tensor *y, bool flag)
{
    const struct conv_params *v = (void *)c->params;
    struct shape s = shape_of(c);
    bool back = kind[0] == 'i';
    const struct gpu_info *info = gpu_info(c->device->gpu);
    uint32_t lanes = info->lanes, cols = lanes_over(back ? s.in4 : s.out4, c->device);
    /* Sums are kept in registers, which on GPUs are for all the subgroups in flight. */
    uint32_t tile = cols >= 8 && info->texel ? 32 : cols >= 4 ? 16 : 8;
    int64_t pixels = s.batch * (back ? s.high * s.wide : s.to_high * s.to_wide), per, x, z;
    /* On CPUs weights that are read serve twice as many pixels where that leaves work for all threads; but code for
     * 8 lanes is so much longer that it leaves the instruction cache. */
    if (tile == 32 && lanes >= 16 && pixels >= 16 * 2 * tile)
        tile *= 2;
    per = tile * (lanes / cols);
    uint32_t constants[4] = { cols, (uint32_t)v->stride, tile, flag };
    struct {
        uint32_t pixels, columns, depth, high, wide, to_high, to_wide, kernel_high, kernel_wide;
        int32_t pad;
    } p = {
        (uint32_t)pixels, (uint32_t)(back ? s.in4 : s.out4), (uint32_t)(back ? s.out4 : s.in4),
        (uint32_t)(back ? s.to_high : s.high), (uint32_t)(back ? s.to_wide : s.wide),
        (uint32_t)(back ? s.high : s.to_high), (uint32_t)(back ? s.wide : s.to_wide),
        (uint32_t)s.kernel_high, (uint32_t)s.kernel_wide, v->before,
    };

    op_grid((pixels + per - 1) / per, 1, &x, &z);
    return op_dispatch(
        c->device, op_pipeline(c->device, 0, constants, 4, "conv.%s", kind), (tain_tensor *[]){ a, w, bias, y },
        4, 8, &p, sizeof(p), x, z, (p.columns + cols - 1) / cols,
        2.0 * (double)pixels * (double)(s.kernel_high * s.kernel_wide) * (double)(s.in4 * s.out4 * 16));
}

static int forward_gathered(struct op_call *c, struct shape s)
{
    int64_t pixels = s.batch * s.to_high * s.to_wide;
    bool straight = s.out % 4 == 0 && c->out->offset % 4 == 0;
    tain_tensor *x = filled_image(c->in[0]), *w = filled_weight(&s, c->in[1]);
    tain_tensor *bias = c->inputs > 2 && c->in[2] ? filled(c->in[2], 1, 1, s.out) : w;
    tain_tensor *y = straight ? c->out : tensor_new(c->device, TAIN_F32, 2, (int64_t[]){ pixels, s.out4 * 4 });
    int status = x && w && bias && y ? gather(c, "forward", x, w, bias, y, bias != w) : tain_error_status();

    if (!status && !straight)
        status = pad(y, pixels, 1, s.out4 * 4, c->out, 1, s.out, false);
    if (!straight)
        tensor_unref(y);
    if (bias != w)
        tensor_unref(bias);
    tensor_unref(w);
    tensor_unref(x);
    return status;
}

/* ---- By panels ---- */

/* The product that row 0 of the weight gives of row 0 of the images, which is one row of the framed image after the other. */
static struct gemm product_of(const struct op_call *c, const struct shape *s, tain_tensor *x)
{
    const struct conv_params *v = (void *)c->params;
    int64_t framed = s->wide + v->before + v->after;

    return (struct gemm){
        .a = x, .b = c->in[1], .bias = c->inputs > 2 ? c->in[2] : NULL, .c = c->out, .M = s->to_wide, .N = s->out,
        .K = s->kernel_wide * s->in, .batch = s->to_high, .a_pitch = v->stride * s->in, .b_pitch = s->out, .c_pitch = s->out,
        .a_batch = v->stride * framed * s->in, .c_batch = s->to_wide * s->out,
    };
}

static bool by_panels(const struct op_call *c, const struct shape *s)
{
    const struct conv_params *v = (void *)c->params;
    struct gemm g = product_of(c, s, c->in[0]);
    uint64_t framed = (uint64_t)(s->batch * (s->high + v->before + v->after) * (s->wide + v->before + v->after) * s->in);

    return s->batch && !(c->device->portable & KERNEL_CONV) && gemm_by_panels(&g) && gpu_by_words(c->device->gpu, framed * 4);
}

/* x in a frame of zeros. */
static tain_tensor *framed(const struct op_call *c, const struct shape *s)
{
    const struct conv_params *v = (void *)c->params;
    tain_tensor *x = c->in[0], *to;
    int64_t high = s->high + v->before + v->after, wide = s->wide + v->before + v->after, row = s->wide * s->in * 4;
    int status;

    if (high == s->high)
        return tensor_ref(x);
    if (!(to = tensor_new(x->device, TAIN_F32, 4, (int64_t[]){ s->batch, high, wide, s->in })))
        return NULL;
    status = tensor_zero(to);
    for (int64_t b = 0; b < s->batch && !status; b++)
        status = gpu_copy_rows(x->device->gpu, &x->storage->range, (uint64_t)(x->offset * 4 + b * s->high * row), (uint64_t)row,
                               &to->storage->range, (uint64_t)((b * high + v->before) * wide + v->before) * (uint64_t)s->in * 4,
                               (uint64_t)(wide * s->in * 4), (uint64_t)row, (uint64_t)s->high);
    if (status) {
        tensor_unref(to);
        return NULL;
    }
    return to;
}

/* A view of t from number `at` on. */
static tain_tensor *from_number(tain_tensor *t, int64_t at)
{
    return view_make(t, 1, (int64_t[]){ 1 }, (int64_t[]){ 1 }, t->offset + at);
}

static int forward_panels(struct op_call *c, const struct shape *s)
{
    tain_tensor *x = framed(c, s);
    int64_t row = x ? x->shape[2] * s->in : 0, image = x ? x->shape[1] * row : 0;
    int status = x ? 0 : tain_error_status();

    for (int64_t b = 0; b < s->batch && !status; b++)
        for (int64_t k = 0; k < s->kernel_high && !status; k++) {
            struct gemm g = product_of(c, s, x);
            g.a = from_number(x, b * image + k * row);
            g.b = from_number(c->in[1], k * g.K * s->out);
            g.c = from_number(c->out, b * s->to_high * g.c_batch);
            g.add = k ? g.c : NULL;
            g.bias = k ? NULL : g.bias;
            status = g.a && g.b && g.c ? gemm_panels(&g) : tain_error_status();
            tensor_unref(g.a);
            tensor_unref(g.b);
            tensor_unref(g.c);
        }
    tensor_unref(x);
    return status;
}

static int forward(struct op_call *c)
{
    struct shape s = shape_of(c);

    if (by_panels(c, &s))
        return forward_panels(c, &s);
    return forward_gathered(c, s);
}

static int backward_input(struct op_call *c, tain_tensor *dy)
{
    struct shape s = shape_of(c);
    struct op_grad g;
    int64_t pixels = s.batch * s.high * s.wide;
    tain_tensor *to = op_grad_open(&g, c->in[0]), *w = filled_weight(&s, c->in[1]), *dx;
    bool straight = to && s.in % 4 == 0 && to->offset % 4 == 0;
    int status;

    dx = straight ? to : tensor_new(c->device, TAIN_F32, 2, (int64_t[]){ pixels, s.in4 * 4 });
    status = to && w && dx ? gather(c, "input", dy, w, w, dx, straight && g.add) : tain_error_status();
    if (!status && !straight)
        status = pad(dx, pixels, 1, s.in4 * 4, to, 1, s.in, g.add);
    if (!straight)
        tensor_unref(dx);
    tensor_unref(w);
    return to ? op_grad_close(&g, status) : status;
}

static int backward_weight(struct op_call *c, tain_tensor *dy)
{
    const struct conv_params *v = (void *)c->params;
    struct shape s = shape_of(c);
    const struct gpu_info *info = gpu_info(c->device->gpu);
    uint32_t lanes = info->lanes, cols = lanes_over(s.out4, c->device);
    uint32_t tile = s.in4 > 4 && info->texel ? 8 : s.in4 > 2 ? 4 : (uint32_t)s.in4;
    uint32_t constants[3] = { cols, (uint32_t)v->stride, tile };
    int64_t taps = s.kernel_high * s.kernel_wide, blocks = (s.in4 + tile - 1) / tile,
            across = (s.out4 + cols - 1) / cols;
    int64_t lines = s.batch * s.to_high, groups = lanes / cols, trips = 2 + (s.to_wide + 3) / 4;
    /* Chunks: enough workgroups to keep a device busy, a whole number of lines for each group of
     * lanes, and no invocation with too many steps. */
    int64_t chunks = (256 + taps * blocks * across - 1) / (taps * blocks * across), chunk;
    int64_t size = taps * s.in4 * s.out4 * 16;
    tain_tensor *x, *part, *dw = NULL, *to;
    struct op_grad g;
    bool straight;
    int status = 0;

    chunk = (lines + chunks * groups - 1) / (chunks * groups);
    chunk = (chunk < 1 ? 1 : chunk * trips > OP_TURNS ? OP_TURNS / trips : chunk) * groups;
    if (chunk < 1)
        return fail(TAIN_EUNSUPPORTED, "conv2d: rows of %lld pixels are too long for the weight's gradient",
                    (long long)s.to_wide);
    chunks = lines ? (lines + chunk - 1) / chunk : 1;
    struct {
        uint32_t columns, depth, blocks, high, wide, to_high, to_wide, kernel_high, kernel_wide;
        int32_t pad;
        uint32_t lines, chunk;
    } p = {
        (uint32_t)s.out4, (uint32_t)s.in4, (uint32_t)blocks, (uint32_t)s.high, (uint32_t)s.wide,
        (uint32_t)s.to_high, (uint32_t)s.to_wide, (uint32_t)s.kernel_high, (uint32_t)s.kernel_wide,
        v->before, (uint32_t)lines, (uint32_t)chunk,
    };
    x = filled_image(c->in[0]);
    part = tensor_new(c->device, TAIN_F32, 2, (int64_t[]){ chunks, size });
    to = op_grad_open(&g, c->in[1]);
    straight = s.in % 4 == 0 && s.out % 4 == 0;
    if (to)
        dw = straight ? to : tensor_new(c->device, TAIN_F32, 1, &size);
    if (!x || !part || !dw)
        status = tain_error_status();
    if (!status)
        status = op_dispatch(c->device, op_pipeline(c->device, 0, constants, 3, "conv.weight"),
                             (tain_tensor *[]){ x, dy, part }, 3, 4, &p, sizeof(p), taps * blocks, across, chunks,
                             2.0 * (double)lines * (double)s.to_wide * (double)size);
    if (!status)
        status = op_fold(part, 0, chunks, size, dw, straight && g.add);
    if (!status && !straight)
        status = pad(dw, taps, s.in4 * 4, s.out4 * 4, to, s.in, s.out, g.add);
    if (!straight)
        tensor_unref(dw);
    tensor_unref(part);
    tensor_unref(x);
    return to ? op_grad_close(&g, status) : status;
}

static int backward(struct op_call *c)
{
    struct shape s = shape_of(c);
    tain_tensor *dy, *sum;
    int status = 0;

    if (op_wants(c, 2)) {
        sum = tensor_new(c->device, TAIN_F32, 1, &s.out);
        status = sum ? reduce_sum(c->dout, 1, s.batch * s.to_high * s.to_wide, s.out, 1, sum) : tain_error_status();
        if (status) {
            tensor_unref(sum);
            return status;
        }
        status = grad_give(c->in[2], sum);
    }
    if (status)
        return status;
    dy = filled_image(c->dout);
    if (!dy)
        return tain_error_status();
    if (op_wants(c, 0))
        status = backward_input(c, dy);
    if (!status && op_wants(c, 1))
        status = backward_weight(c, dy);
    tensor_unref(dy);
    return status;
}

static const struct op op_conv2d = {
    .name = "conv2d", .inputs = 2, .optional = 1, .infer = infer, .forward = forward, .backward = backward,
};

tain_tensor *tain_conv2d(tain_tensor *x, tain_tensor *weight, tain_tensor *bias, int32_t stride, int32_t pad_top_left,
                         int32_t pad_bottom_right)
{
    return OP_RUN(&op_conv2d, (&(struct conv_params){ stride, pad_top_left, pad_bottom_right }), x, weight, bias);
}

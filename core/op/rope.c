/* rope.c - rotary positions: pairs of channels turned by an angle that grows with the position.
 *
 * With width r, channel j < r/2 goes with channel j + r/2 (the "rotate half" form that all models
 * here use), and its angle is position * theta^(-2j/r). Sines and cosines are computed on the host
 * in double precision, since devices disagree about large angles, and kept on the device.
 *
 * The packed form does the queries and keys of [q | k | v] in one pass, and copies v; or works in place. The cached form, for
 * decoding, puts keys and values where attention will read them, and makes queries alone.
 */
#include "op/attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct rope_params {
    int32_t heads, rotated, head; /* in all, of which turned, and the size of each */
    int32_t width;
    float theta;
    int64_t used; /* of the caches, before */
};

/* Where the elements of [B, T, heads, head] lie in a tensor. */
struct place {
    int64_t batch, token, head;
};

static struct place place_of(const tain_tensor *x, int32_t head)
{
    return (struct place){ x->stride[0], x->stride[1], x->dims == 4 ? x->stride[2] : head };
}

static int infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const struct rope_params *r = (void *)c->params;
    const tain_tensor *x = c->in[0], *at = c->in[1];
    const char *name = c->op->name;

    if (at->type != TAIN_I32)
        return fail(TAIN_EINVAL, "%s: positions are %s; they must be i32", name, type_name(at->type));
    if (!(at->dims == 1 && at->shape[0] == x->shape[1]) &&
        !(at->dims == 2 && at->shape[0] == x->shape[0] && at->shape[1] == x->shape[1]))
        return fail(TAIN_EINVAL, "%s: positions are %s; x is %s, so they must be [%lld] or [%lld, %lld]", name,
                    tensor_text(at), tensor_text(x), (long long)x->shape[1], (long long)x->shape[0],
                    (long long)x->shape[1]);
    if (r->head % 2 || r->width < 2 || r->width % 2 || r->width > r->head)
        return fail(TAIN_EINVAL,
                    "%s: width %d of heads of %d; both must be even, and the width at most the head", name,
                    r->width, r->head);
    if (!(r->theta > 0))
        return fail(TAIN_EINVAL, "%s: theta is %g; it must be positive", name, r->theta);
    if (x->shape[0] > 65535)
        return fail(TAIN_EUNSUPPORTED, "%s: x is %s; a batch may hold at most 65535", name, tensor_text(x));
    return infer_same(c, type, dims, shape);
}

/* The greatest position, plus one. */
static int64_t span(tain_tensor *at)
{
    int64_t n = tensor_count(at);
    int32_t *own = NULL, most = 0, least = 0;
    const int32_t *p = at->storage->host ? at->storage->host + at->offset : NULL;

    if (!p) {
        own = base_alloc((size_t)n, sizeof(*own));
        if (!own || tain_tensor_read_ints(at, own, n)) {
            free(own);
            return tain_error_status();
        }
        p = own;
    }
    for (int64_t i = 0; i < n; i++) {
        most = p[i] > most ? p[i] : most;
        least = p[i] < least ? p[i] : least;
    }
    free(own);
    if (least < 0)
        return fail(TAIN_EINVAL, "rope: position %d is negative", least);
    return (int64_t)most + 1;
}

tain_tensor *rope_table(tain_tensor *at, int64_t width, float theta)
{
    int64_t rows = 256, half = width / 2, positions = span(at);
    tain_device *d = at->device;
    tain_tensor *table;
    char key[64];
    float *host;

    if (positions < 0)
        return NULL;
    snprintf(key, sizeof(key), "rope %d %a", (int)width, theta);
    table = cache_find(d, key);
    if (table && table->shape[0] >= positions)
        return table;
    while (rows < positions)
        rows *= 2;
    host = base_alloc((size_t)(rows * width), sizeof(*host));
    if (!host)
        return NULL;
    for (int64_t j = 0; j < half; j++) {
        double slow = pow(theta, -2.0 * (double)j / (double)width);
        for (int64_t i = 0; i < rows; i++) {
            host[i * width + j] = (float)cos((double)i * slow);
            host[i * width + half + j] = (float)sin((double)i * slow);
        }
    }
    table = tensor_from(d, TAIN_F32, 3, (int64_t[]){ rows, 2, half }, host);
    free(host);
    return table && !cache_put(d, key, table) ? table : NULL;
}

/* Whether lanes go along rows, as on CPUs, where they all lie in one head. */
static bool by_rows(const struct op_call *c, const tain_tensor *from, const tain_tensor *to, const struct rope_params *r)
{
    enum { HEADS_MOST = 64 }; /* which are one after the other in its code */
    const struct gpu_info *info = gpu_info(c->device->gpu);

    return info->texel && from->storage == to->storage && r->width == r->head && r->width / 2 % info->lanes == 0 &&
           r->rotated <= HEADS_MOST && op_by_words(from);
}

static int turn(struct op_call *c, tain_tensor *from, struct place f, tain_tensor *to, struct place t,
                bool back, bool add)
{
    const struct rope_params *r = (void *)c->params;
    tain_tensor *table = c->saved[0], *at = c->in[1];
    const int64_t all[] = { r->head / 2, r->width / 2, f.batch, f.token, f.head, t.batch, t.token, t.head,
                            from->offset, to->offset };
    bool v4 = true;

    for (size_t i = 0; i < COUNT_OF(all); i++)
        v4 &= all[i] % 4 == 0;
    /* What is not turned is there already where both are the same memory. */
    int32_t heads = from->storage == to->storage ? r->rotated : r->heads;
    int64_t unit = v4 ? 4 : 1, pairs = r->head / 2 / unit, batch = from->shape[0], tokens = from->shape[1];
    int64_t n = tokens * heads * pairs, x, z;
    uint32_t constants[6] = { add, (uint32_t)pairs, (uint32_t)(r->width / 2 / unit), (uint32_t)heads,
                              (uint32_t)r->rotated, back };
    struct {
        uint32_t n, positions_step, x_batch, x_token, x_head, y_batch, y_token, y_head, tokens, down;
    } p = {
        (uint32_t)n, at->dims == 2 ? (uint32_t)tokens : 0,
        (uint32_t)(f.batch / unit), (uint32_t)(f.token / unit), (uint32_t)(f.head / unit),
        (uint32_t)(t.batch / unit), (uint32_t)(t.token / unit), (uint32_t)(t.head / unit), (uint32_t)tokens, 0,
    };
    if (by_rows(c, from, to, r)) {
        enum { NUMBERS = 8192 }; /* of a workgroup */
        int64_t half = r->width / 2;
        constants[1] = constants[2] = (uint32_t)half;
        p.x_batch = (uint32_t)f.batch, p.x_token = (uint32_t)f.token, p.x_head = (uint32_t)f.head;
        p.y_batch = (uint32_t)t.batch, p.y_token = (uint32_t)t.token, p.y_head = (uint32_t)t.head;
        p.down = (uint32_t)op_steps(NUMBERS, r->rotated * r->head);
        return op_dispatch(c->device, op_pipeline(c->device, 0, constants, 6, "rope.rows"), (tain_tensor *[]){ from, table, at, to },
                           4, 8, &p, sizeof(p), op_steps(tokens, p.down), batch, 1, 12.0 * (double)tensor_count(from));
    }
    op_grid(n, 256, &x, &z);
    return op_dispatch(c->device, op_pipeline(c->device, 256, constants, 6, "rope.%s", v4 ? "v4" : "v1"),
                       (tain_tensor *[]){ from, table, at, to }, 4, 8, &p, sizeof(p), x, batch, z,
                       12.0 * (double)tensor_count(from));
}

static int forward(struct op_call *c)
{
    const struct rope_params *r = (void *)c->params;
    tain_tensor *x = c->in[0], *table = rope_table(c->in[1], r->width, r->theta);

    if (!table)
        return tain_error_status();
    c->saved[0] = tensor_ref(table);
    return turn(c, x, place_of(x, r->head), c->out, place_of(c->out, r->head), false, false);
}

static int backward(struct op_call *c)
{
    const struct rope_params *r = (void *)c->params;
    struct op_grad g;
    tain_tensor *dx = op_grad_open(&g, c->in[0]);

    return op_grad_close(&g, dx ? turn(c, c->dout, place_of(c->dout, r->head), dx, place_of(dx, r->head), true, g.add)
                                : tain_error_status());
}

static const struct op op_rope = {
    .name = "rope", .inputs = 2, .any_stride = 1, .any_type = 2, .no_grad = 2, .infer = infer, .forward = forward,
    .backward = backward,
};

static const struct op op_rope_qkv = {
    .name = "rope_qkv", .inputs = 2, .any_stride = 1, .any_type = 2, .no_grad = 2, .infer = infer, .forward = forward,
    .backward = backward,
};

/* Strides are fine, as long as the last dimension has none. */
static tain_tensor *run(const struct op *op, tain_tensor *x, tain_tensor *positions, const struct rope_params *r)
{
    int last = x->dims - 1;
    tain_tensor *dense = x->stride[last] == 1 || x->shape[last] == 1 ? tensor_ref(x) : op_contiguous(x), *out;

    out = dense ? OP_RUN(op, r, dense, positions) : NULL;
    tensor_unref(dense);
    return out;
}

tain_tensor *tain_rope(tain_tensor *x, tain_tensor *positions, int32_t width, float theta)
{
    REQUIRE_OR_NULL(x && positions, "rope: %s missing", x ? "positions are" : "x is");
    REQUIRE_OR_NULL(x->dims == 4, "rope: x is %s; it must be [B, T, H, D]", tensor_text(x));
    return run(&op_rope, x, positions,
               &(struct rope_params){ (int32_t)x->shape[2], (int32_t)x->shape[2], (int32_t)x->shape[3], width,
                                      theta });
}

tain_tensor *tain_rope_qkv(tain_tensor *qkv, tain_tensor *positions, int32_t heads, int32_t kv_heads, int32_t width,
                           float theta)
{
    int64_t all = (int64_t)heads + 2 * (int64_t)kv_heads;

    REQUIRE_OR_NULL(qkv && positions, "rope_qkv: %s missing", qkv ? "positions are" : "qkv is");
    REQUIRE_OR_NULL(heads > 0 && kv_heads > 0, "rope_qkv: %d heads and %d kv_heads; both must be positive",
                    heads, kv_heads);
    REQUIRE_OR_NULL(qkv->dims == 3 && qkv->shape[2] % all == 0,
                    "rope_qkv: qkv is %s; with %d heads and %d kv_heads it must be [B, T, %lld * D]",
                    tensor_text(qkv), heads, kv_heads, (long long)all);
    return run(&op_rope_qkv, qkv, positions,
               &(struct rope_params){ (int32_t)all, heads + kv_heads, (int32_t)(qkv->shape[2] / all), width, theta });
}

/* ---- In place ---- */

static int infer_over(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    int status = infer(c, type, dims, shape);

    *dims = -1; /* a view of what is turned */
    return status;
}

static int forward_over(struct op_call *c)
{
    const struct rope_params *r = (void *)c->params;
    tain_tensor *x = c->in[0], *table = rope_table(c->in[1], r->width, r->theta);

    if (!table || !(c->out = view_shape(x, x->dims, x->shape)))
        return tain_error_status();
    c->saved[0] = tensor_ref(table);
    return turn(c, x, place_of(x, r->head), c->out, place_of(c->out, r->head), false, false);
}

/* A gradient that nobody else holds is turned where it is, too. */
static int backward_over(struct op_call *c)
{
    const struct rope_params *r = (void *)c->params;
    tain_tensor *dy = c->dout;
    int status;

    if (dy->refs > 1 || dy->storage->refs > 1 || !tensor_contiguous(dy))
        return backward(c);
    status = turn(c, dy, place_of(dy, r->head), dy, place_of(dy, r->head), true, false);
    return status ? status : grad_give(c->in[0], tensor_ref(dy));
}

static const struct op op_over = {
    .name = "rope_qkv", .inputs = 2, .any_stride = 1, .any_type = 2, .no_grad = 2, .infer = infer_over,
    .forward = forward_over, .backward = backward_over,
};

tain_tensor *op_rope_over(tain_tensor *qkv, tain_tensor *positions, int64_t heads, int64_t kv_heads, float theta)
{
    int64_t all = heads + 2 * kv_heads, head = qkv->shape[2] / all;
    tain_tensor *y = run(&op_over, qkv, positions, &(struct rope_params){ (int32_t)all, (int32_t)(heads + kv_heads), (int32_t)head,
                                                                          (int32_t)head, theta, 0 });

    tensor_unref(qkv);
    return y;
}

/* ---- Into caches ---- */

static int infer_cached(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const struct rope_params *r = (void *)c->params;
    const tain_tensor *x = c->in[0], *k = c->in[2], *v = c->in[3];
    int64_t kv = r->heads - r->rotated, rest = k->dims == 4 ? k->shape[1] - r->used : 0;
    int status = infer(c, type, dims, shape);

    if (status)
        return status;
    REQUIRE(x->shape[2] % r->heads == 0 && r->rotated >= 2 * kv,
            "rope_cached: qkv is %s; %d heads of %d do not fit, or fewer are queries than keys", tensor_text(x), r->heads, r->head);
    REQUIRE(k->dims == 4 && tensor_same_shape(k, v) && k->type == v->type && tensor_contiguous(k) && tensor_contiguous(v) &&
            k->shape[2] == kv && k->shape[3] == attention_room(r->head, k->type),
            "rope_cached: the caches are %s and %s; both must be dense [B, room, %lld, %lld]", tensor_text(k), tensor_text(v),
            (long long)kv, (long long)attention_room(r->head, k->type));
    REQUIRE(x->shape[0] == k->shape[0] && x->shape[1] <= rest,
            "cache: %lld rows and %lld tokens more; it has %lld rows, and room for %lld tokens", (long long)x->shape[0],
            (long long)x->shape[1], (long long)k->shape[0], (long long)rest);
    *dims = 4;
    shape[2] = r->rotated - kv;
    shape[3] = k->shape[3];
    return 0;
}

static int forward_cached(struct op_call *c)
{
    const struct rope_params *r = (void *)c->params;
    tain_tensor *qkv = c->in[0], *at = c->in[1], *k = c->in[2], *v = c->in[3], *table;
    int64_t batch = qkv->shape[0], tokens = qkv->shape[1], room = k->shape[1], x, z;
    bool v4 = r->head % 8 == 0 && qkv->offset % 4 == 0, each = at->dims == 2;
    uint32_t kv = (uint32_t)(r->heads - r->rotated), heads = (uint32_t)r->rotated - kv;
    uint32_t parts = (uint32_t)(k->shape[3] / attention_unit(k->type));
    uint32_t constants[4] = { parts, heads, kv, (uint32_t)r->head / (v4 ? 4 : 1) };
    struct {
        uint32_t n, tokens, used, batch_row, token_row, batch_position, token_position;
    } p = {
        0, (uint32_t)tokens, (uint32_t)r->used, (uint32_t)room, 1, each ? (uint32_t)tokens : 0, 1,
    };

    if (!tensor_count(qkv))
        return 0;
    table = rope_table(at, r->width, r->theta);
    if (!table)
        return tain_error_status();
    if (tokens == 1) { /* a row has few parts; rows as tokens of one fill the workgroups */
        p.tokens = (uint32_t)batch;
        p.token_row = (uint32_t)room;
        p.token_position = each;
        batch = 1;
    }
    p.n = p.tokens * heads * parts;
    op_grid(p.n, 256, &x, &z);
    return op_dispatch(c->device,
                       op_pipeline(c->device, 256, constants, 4, "rope_cached.%s.b_%s", v4 ? "v4" : "v1", type_name(k->type)),
                       (tain_tensor *[]){ qkv, table, at, c->out, k, v }, 6, 8 | 16 | 32, &p, sizeof(p), x, batch, z,
                       12.0 * (double)tensor_count(qkv));
}

static const struct op op_cached = {
    .name = "rope_cached", .inputs = 4, .any_stride = 12, .any_type = 14, .no_grad = 14, .infer = infer_cached,
    .forward = forward_cached,
};

tain_tensor *op_rope_cached(tain_tensor *qkv, tain_tensor *positions, tain_tensor *k, tain_tensor *v, int64_t heads,
                            int64_t kv_heads, int64_t used, float theta)
{
    int64_t all = heads + 2 * kv_heads, head = qkv->dims == 3 ? qkv->shape[2] / all : 0;

    return OP_RUN(&op_cached, (&(struct rope_params){ (int32_t)all, (int32_t)(heads + kv_heads), (int32_t)head, (int32_t)head,
                                                      theta, used }), qkv, positions, k, v);
}

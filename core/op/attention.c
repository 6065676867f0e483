/* attention.c - softmax(q k^T) v, forward and backward, without storing the scores.
 *
 * Two forms of call: separate q, k, v; and one packed tensor. attention_decode.c has one query a head, against
 * a cache. Keys and values may be stored in 16 bits, as caches are, where no gradient is wanted.
 * All come down to struct attn, which holds three views and their strides.
 */
#include "op/attention_part.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void drop(struct attn *a)
{
    tensor_unref(a->q);
    tensor_unref(a->k);
    tensor_unref(a->v);
}

/* Views of the parts of a packed tensor [B, T, (H + 2 KV) * D], or of its gradient. */
static int unpack(tain_tensor *x, const struct attn_params *p, struct attn *a)
{
    int64_t B = x->shape[0], T = x->shape[1], wide = x->shape[2], D = wide / (p->heads + 2 * p->kv_heads);
    int64_t stride[4] = { T * wide, wide, D, 1 }, h = p->heads, kv = p->kv_heads;

    a->q = view_make(x, 4, (int64_t[]){ B, T, h, D }, stride, x->offset);
    a->k = view_make(x, 4, (int64_t[]){ B, T, kv, D }, stride, x->offset + h * D);
    a->v = view_make(x, 4, (int64_t[]){ B, T, kv, D }, stride, x->offset + (h + kv) * D);
    return a->q && a->k && a->v ? 0 : tain_error_status();
}

static int operands(struct op_call *c, struct attn *a)
{
    memset(a, 0, sizeof(*a));
    if (c->in[0]->dims == 3)
        return unpack(c->in[0], (void *)c->params, a);
    a->q = tensor_ref(c->in[0]);
    a->k = tensor_ref(c->in[1]);
    a->v = tensor_ref(c->in[2]);
    return 0;
}

tain_tensor *attn_rule(const struct op_call *c)
{
    int at = c->in[0]->dims == 3 ? 1 : 3;

    return c->inputs > at ? c->in[at] : NULL;
}

uint32_t attn_rules(const struct op_call *c)
{
    return (attn_rule(c) ? 2 : 0) + (uint32_t)((const struct attn_params *)(const void *)c->params)->causal;
}

struct strides attn_strides(const tain_tensor *t)
{
    int64_t unit = attention_unit(t->type);

    return (struct strides){ (uint32_t)(t->stride[1] / unit), (uint32_t)(t->stride[2] / unit), (uint32_t)(t->stride[0] / unit) };
}

struct rest attn_rest(const struct op_call *c, const struct attn *a)
{
    const struct attn_params *p = (const void *)c->params;

    return (struct rest){
        (uint32_t)a->q->shape[1], (uint32_t)a->k->shape[1], (uint32_t)a->q->shape[2],
        (uint32_t)a->q->shape[0] << 16 | (uint32_t)(a->q->shape[2] / a->k->shape[2]), (uint32_t)p->past,
        p->scale > 0 ? p->scale : 1 / sqrtf((float)a->q->shape[3]),
    };
}

double attn_work(const struct attn *a)
{
    return 4.0 * (double)tensor_count(a->q) * (double)a->k->shape[1];
}

/* Where rows may start: the offset and all strides but the last, or-ed together. */
static int64_t steps(const tain_tensor *t)
{
    int64_t all = t->offset;

    for (int i = 0; i + 1 < t->dims; i++)
        all |= t->shape[i] == 1 ? 0 : t->stride[i];
    return all;
}

static int infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const struct attn_params *p = (const void *)c->params;
    const tain_tensor *q = c->in[0], *k = c->in[1], *v = c->in[2], *rule = attn_rule(c);
    int64_t B = q->shape[0], T = q->shape[1], S = T, D, unit;

    *type = TAIN_F32;
    if (q->dims == 3) {
        REQUIRE(p->heads > 0 && p->kv_heads > 0 && p->heads % p->kv_heads == 0,
                "attention: %d heads cannot share %d key heads", p->heads, p->kv_heads);
        REQUIRE(q->shape[2] % (p->heads + 2 * p->kv_heads) == 0, "attention: x is %s, which %d + 2 * %d heads do not divide",
                tensor_text(q), p->heads, p->kv_heads);
        D = q->shape[2] / (p->heads + 2 * p->kv_heads);
        *dims = 3;
        memcpy(shape, q->shape, sizeof(q->shape));
        shape[2] = p->heads * D;
    } else {
        REQUIRE(q->dims == 4 && k->dims == 4 && v->dims == 4, "attention: q is %s, k is %s, v is %s; all must be [B, T, H, D]",
                tensor_text(q), tensor_text(k), tensor_text(v));
        REQUIRE(tensor_same_shape(k, v), "attention: k is %s, v is %s", tensor_text(k), tensor_text(v));
        REQUIRE(k->type == v->type && k->type != TAIN_I32, "attention: k is stored as %s, v as %s", type_name(k->type),
                type_name(v->type));
        REQUIRE(k->type == TAIN_F32 || !c->training, "attention: no gradient where k and v are stored as %s", type_name(k->type));
        REQUIRE(!memcmp(k->stride, v->stride, 3 * sizeof(int64_t)), "attention: k and v are stored with different strides");
        REQUIRE(k->shape[0] == B && k->shape[3] == q->shape[3] && k->shape[2] > 0 && q->shape[2] % k->shape[2] == 0,
                "attention: q is %s, k is %s", tensor_text(q), tensor_text(k));
        S = k->shape[1];
        D = q->shape[3];
        *dims = 4;
        memcpy(shape, q->shape, sizeof(q->shape));
        for (int i = 0; i < 3; i++)
            REQUIRE(c->in[i]->stride[3] == 1 || !tensor_count(c->in[i]), "attention: the last dimension of input %d is not dense", i + 1);
    }
    for (int i = 0; i < (q->dims == 3 ? 1 : 3); i++)
        REQUIRE(steps(c->in[i]) % attention_unit(c->in[i]->type) == 0,
                "attention: input %d is not stored in steps of sixteen bytes", i + 1);
    unit = q->dims == 3 ? 4 : attention_unit(k->type);
    REQUIRE(D % unit == 0 && D > 0 && D <= 512, "attention: a head of %lld numbers; it must be a multiple of %lld up to 512",
            (long long)D, (long long)unit);
    REQUIRE(B < 65536, "attention: %lld batch rows; there may be 65535", (long long)B);
    if (rule && rule->dims == 2) { /* of a cache: only segments, and room for more keys */
        REQUIRE(rule->type == TAIN_I32 && T == 1 && rule->shape[0] == B && rule->shape[1] >= S && !c->training,
                "attention: hidden keys are %s; %lld rows of one query and %lld keys need [%lld, %lld or more]", tensor_text(rule),
                (long long)B, (long long)S, (long long)B, (long long)S);
        return 0;
    }
    REQUIRE(!rule || (rule->type == TAIN_I32 && tensor_count(rule) == B * (S + 2 * T)),
            "attention: the mask rule has %lld numbers; %lld rows of %lld keys and %lld queries need %lld",
            (long long)tensor_count(rule ? rule : q), (long long)B, (long long)S, (long long)T, (long long)(B * (S + 2 * T)));
    return 0;
}

/* Where that is wrong, GPUs take the form of CPUs. */
bool attn_shared_rows(const tain_device *d)
{
    return !gpu_info(d->gpu)->texel && !(d->portable & KERNEL_ATTENTION);
}

/* A GPU's lane has room for few numbers. */
uint32_t attn_parts(const tain_device *d, int64_t size, tain_type stored)
{
    int64_t texels = size / attention_unit(stored);
    uint32_t parts = 1;

    while (attn_shared_rows(d) && size / parts > 16 && parts < 16 && 2 * parts <= gpu_info(d->gpu)->lanes &&
           texels % (2 * parts) == 0)
        parts *= 2;
    return parts;
}

int attn_lay_apart(const struct op_call *c, tain_tensor **t, int64_t uses)
{
    const tain_tensor *x = *t;
    int64_t B = x->shape[0], T = x->shape[1], wide = x->shape[2] * x->shape[3], pitch;
    tain_tensor *copy, *y;

    if (!gpu_info(c->device->gpu)->texel || T < 128 || uses < 128 || B * T * wide > OP_SPREAD_MOST)
        return 0;
    if (!op_even(x->type, x->stride[1]) || x->stride[2] != x->shape[3] || (B > 1 && x->stride[0] != T * x->stride[1]))
        return 0;
    if (!(copy = op_spread(*t, x->offset, x->stride[1], B * T, wide)))
        return tain_error_status();
    pitch = copy->stride[0];
    y = view_make(copy, 4, x->shape, (int64_t[]){ T * pitch, pitch, x->shape[3], 1 }, 0);
    tensor_unref(copy);
    if (!y)
        return tain_error_status();
    tensor_unref(*t);
    *t = y;
    return 0;
}

/* How many rows a lane owns. Each turn over STEP fetched rows costs a CPU about as much for fetching and handing
 * round as one and a half own rows do; more rows a tile mean fewer turns, but under the causal rule more of
 * what they compute is hidden, and the last tile may be nearly empty. */
static uint32_t own_of(int64_t lanes, int64_t rows, int64_t others, bool causal)
{
    double least = 0;
    uint32_t best = 1;

    for (uint32_t own = 1; own <= 2; own *= 2) {
        int64_t side = lanes * own, past = others > rows ? others - rows : 0;
        double cost = 0;
        for (int64_t end = side; end < rows + side; end += side)
            cost += (causal && end + past < others ? (double)(end + past) : (double)others) * (1.5 + own);
        if (own == 1 || cost < least) {
            least = cost;
            best = own;
        }
    }
    return best;
}

static int run(struct op_call *c, const struct attn *a, const char *name, uint32_t add, uint32_t lse, tain_tensor *const *t,
               int count, unsigned writes, const void *params, size_t bytes, int64_t rows, int64_t others, int64_t head_rows)
{
    uint32_t parts = attn_parts(c->device, a->q->shape[3], a->k->type), lanes = gpu_info(c->device->gpu)->lanes;
    /* On GPUs forward takes two rows at a time; backward holds more for each, and takes one: with two,
     * heads of 64 and 128 do not fit into the registers of an RX 7900 (tests/gpu/radv). */
    uint32_t step = attn_shared_rows(c->device) ? (name[0] == 'd' ? 1 : 2) : a->q->shape[3] > 128 ? 2 : 4;
    while (step > lanes) /* what is known of fetched rows is read by a lane each */
        step /= 2;
    uint32_t own = attn_shared_rows(c->device) ? 1 : own_of(lanes, rows, others, attn_rules(c) & 1), side = lanes / parts * own;
    uint32_t constants[7] = { (uint32_t)a->q->shape[3], attn_rules(c), add, lse, step, parts, own };

    return op_dispatch(c->device, op_pipeline(c->device, 0, constants, 7, "attention.%s", name), t, count, writes, params,
                       bytes, (rows + side - 1) / side, head_rows < 32768 ? head_rows : 32768, (head_rows + 32767) / 32768,
                       attn_work(a));
}

static int forward(struct op_call *c)
{
    tain_tensor *rule = attn_rule(c), *stat = NULL;
    static const char *const names[] = { [TAIN_F32] = "forward", [TAIN_F16] = "forward_f16", [TAIN_BF16] = "forward_bf16" };
    struct attn a;
    int status = operands(c, &a);

    if (!status && !tensor_count(c->out))
        goto done;
    if (!status && tensor_count(a.k) == 0)
        status = tensor_zero(c->out);
    else if (!status && a.q->shape[1] == 1 && !c->training && (!rule || rule->dims == 2))
        status = attn_decode(c->device, &(struct decode){
            .q = a.q, .k = a.k, .v = a.v, .rule = rule, .y = c->out, .keys = a.k->shape[1],
            .scale = attn_rest(c, &a).scale,
        });
    else if (!status) {
        int64_t B = a.q->shape[0], T = a.q->shape[1], H = a.q->shape[2], D = a.q->shape[3];
        bool panels = attn_by_panels(c, &a);
        if (!panels && (attn_lay_apart(c, &a.k, T) || attn_lay_apart(c, &a.v, T))) {
            status = tain_error_status();
            goto done;
        }
        struct { struct strides q, k, y; struct rest rest; } p = {
            attn_strides(a.q), attn_strides(a.k), { (uint32_t)(H * D / 4), (uint32_t)(D / 4), (uint32_t)(T * H * D / 4) }, attn_rest(c, &a),
        };
        if (c->training && !(stat = tensor_new(c->device, TAIN_F32, 4, (int64_t[]){ 2, B, H, T }))) {
            status = tain_error_status();
            goto done;
        }
        status = panels ? attn_panels_forward(c, &a, stat)
                        : run(c, &a, names[a.k->type], 0, stat != NULL,
                              (tain_tensor *[]){ a.q, a.k, a.v, rule ? rule : a.q, c->out, stat ? stat : c->out }, 6, 16 | 32, &p,
                              sizeof(p), T, a.k->shape[1], B * H);
        if (stat) {
            c->saved[0] = stat;
            c->saved[1] = tensor_ref(c->out);
        }
    }
done:
    drop(&a);
    return status;
}

/* Whether input i is one of the other two as well: the kernels cannot add up in one place what they make of both. */
static bool shared(const struct op_call *c, int i)
{
    return c->in[i] == c->in[(i + 1) % 3] || c->in[i] == c->in[(i + 2) % 3];
}

static int backward(struct op_call *c)
{
    const struct attn_params *ap = (void *)c->params;
    tain_tensor *rule = attn_rule(c), *stat = c->saved[0], *y = c->saved[1], *dy = NULL;
    bool packed = c->in[0]->dims == 3, add[3] = { false, false, false };
    struct attn a, d = { NULL, NULL, NULL };
    tain_tensor **to[3] = { &d.q, &d.k, &d.v };
    int status = operands(c, &a);
    int64_t D = status ? 0 : a.q->shape[3];

    if (status || !stat)
        goto done;
    if (packed) {
        tain_tensor *dx = grad_target(c->in[0], &add[0]);
        add[1] = add[2] = add[0];
        status = dx ? unpack(dx, ap, &d) : tain_error_status();
    } else {
        for (int i = 0; i < 3 && !status; i++) {
            bool own = !op_wants(c, i) || shared(c, i); /* the kernels write all three */
            tain_tensor *g = own ? tensor_like(c->in[i]) : grad_target(c->in[i], &add[i]);
            if (!g)
                status = tain_error_status();
            else
                *to[i] = own ? g : tensor_ref(g);
        }
    }
    if (!status)
        dy = view_make(c->dout, 4, a.q->shape, (int64_t[]){ a.q->shape[1] * a.q->shape[2] * D, a.q->shape[2] * D, D, 1 },
                       c->dout->offset);
    if (!status && !dy)
        status = tain_error_status();
    if (!status && attn_by_panels(c, &a)) {
        status = attn_panels_backward(c, &a, &d, dy, y, stat, add[0] | add[1] << 1 | add[2] << 2);
    } else if (!status && (attn_lay_apart(c, &a.k, a.q->shape[1]) || attn_lay_apart(c, &a.v, a.q->shape[1]))) {
        status = tain_error_status();
    } else if (!status) {
        int64_t B = a.q->shape[0], T = a.q->shape[1], S = a.k->shape[1], H = a.q->shape[2];
        struct { struct strides q, k, y, d; struct rest rest; } p = {
            attn_strides(a.q), attn_strides(a.k), attn_strides(dy), attn_strides(d.q), attn_rest(c, &a),
        };
        status = run(c, &a, "dq", add[0], 0, (tain_tensor *[]){ a.q, a.k, a.v, rule ? rule : a.q, dy, y, d.q, stat }, 8,
                     64 | 128, &p, sizeof(p), T, S, B * H);
        if (!status && (attn_lay_apart(c, &a.q, S) || attn_lay_apart(c, &dy, S)))
            status = tain_error_status();
        p.q = attn_strides(a.q);
        p.y = attn_strides(dy);
        p.d = attn_strides(d.k);
        if (!status)
            status = run(c, &a, "dkv", add[1] | add[2] << 1, 0,
                         (tain_tensor *[]){ a.q, a.k, a.v, rule ? rule : a.q, dy, stat, d.k, d.v }, 8, 64 | 128, &p,
                         sizeof(p), S, T, B * a.k->shape[2]);
    }
    for (int i = 0; i < 3 && !packed && !status; i++)
        if (op_wants(c, i) && shared(c, i))
            status = grad_give(c->in[i], tensor_ref(*to[i]));
done:
    tensor_unref(dy);
    drop(&a);
    drop(&d);
    return status;
}

static const struct op op_attention_ = {
    .name = "attention", .inputs = 3, .optional = 1, .any_stride = 7, .any_type = 14, .no_grad = 8,
    .infer = infer, .forward = forward, .backward = backward,
};

static const struct op op_packed = {
    .name = "attention", .inputs = 1, .optional = 1, .any_type = 2, .no_grad = 2,
    .infer = infer, .forward = forward, .backward = backward,
};

tain_tensor *attention_rule(tain_device *d, int64_t batch, int64_t keys, int64_t queries, const int32_t *key_segment,
                            const int32_t *reach, const int32_t *query_segment)
{
    int64_t n = batch * (keys + 2 * queries);
    int32_t *all = base_alloc((size_t)n, 4);
    tain_tensor *rule;

    if (!all)
        return NULL;
    memcpy(all, key_segment, (size_t)(batch * keys) * 4);
    for (int64_t i = 0; i < batch * queries; i++) {
        all[batch * keys + 2 * i] = reach[i];
        all[batch * keys + 2 * i + 1] = query_segment[i];
    }
    rule = tensor_from(d, TAIN_I32, 1, &n, all);
    free(all);
    return rule;
}

/* A view that the kernels can read: rows dense and everything in steps of a texel. A new reference. */
static tain_tensor *readable(tain_tensor *t)
{
    bool dense = t->dims && (t->stride[t->dims - 1] == 1 || tensor_last(t) == 1);

    return dense && steps(t) % attention_unit(t->type) == 0 ? tensor_ref(t) : op_copy(t);
}

tain_tensor *op_attention(tain_tensor *q, tain_tensor *k, tain_tensor *v, tain_tensor *rule, bool causal, int64_t past,
                          float scale)
{
    struct attn_params p = { 0, 0, causal, (int32_t)past, scale };
    bool alike = k->dims == 4 && v->dims == 4 && !memcmp(k->stride, v->stride, 4 * sizeof(int64_t));
    tain_tensor *a = readable(q), *b = alike ? readable(k) : op_copy(k), *c = alike ? readable(v) : op_copy(v);
    tain_tensor *y = NULL;

    if (a && b && c)
        y = rule ? OP_RUN(&op_attention_, &p, a, b, c, rule) : OP_RUN(&op_attention_, &p, a, b, c);
    tensor_unref(a);
    tensor_unref(b);
    tensor_unref(c);
    return y;
}

tain_tensor *attention_heads(tain_tensor *x, int64_t heads, int64_t to)
{
    int64_t B = x->shape[0], T = x->shape[1], from = x->shape[2] / heads;
    tain_tensor *apart = tain_reshape(x, 4, (int64_t[]){ B, T, heads, from }), *other = NULL, *y = NULL;

    if (apart && to > from) {
        tain_tensor *zeros = tensor_new(x->device, TAIN_F32, 4, (int64_t[]){ B, T, heads, to - from });
        if (zeros && !tensor_zero(zeros))
            other = tain_concat((tain_tensor *[]){ apart, zeros }, 2, -1);
        tensor_unref(zeros);
    } else if (apart) {
        other = tain_slice(apart, -1, 0, to);
    }
    if (other)
        y = tain_reshape(other, 3, (int64_t[]){ B, T, heads * to });
    tensor_unref(apart);
    tensor_unref(other);
    return y;
}

tain_tensor *op_attention_packed(tain_tensor *qkv, int heads, int kv_heads, tain_tensor *rule, bool causal)
{
    struct attn_params p = { heads, kv_heads, causal, 0, 0 };
    int64_t all = heads + 2 * kv_heads, size = qkv->dims == 3 && all > 0 && qkv->shape[2] % all == 0 ? qkv->shape[2] / all : 0;
    tain_tensor *x = tensor_ref(qkv), *y;

    if (size % 4) {
        tensor_unref(x);
        p.scale = 1 / sqrtf((float)size);
        if (!(x = attention_heads(qkv, all, attention_room(size, TAIN_F32))))
            return NULL;
    }
    y = rule ? OP_RUN(&op_packed, &p, x, rule) : OP_RUN(&op_packed, &p, x);
    tensor_unref(x);
    if (y && size % 4) {
        x = y;
        y = attention_heads(x, heads, size);
        tensor_unref(x);
    }
    return y;
}

tain_tensor *tain_attention(tain_tensor *q, tain_tensor *k, tain_tensor *v, bool causal)
{
    tain_tensor *b, *c, *y = NULL;

    REQUIRE_OR_NULL(q && k && v, "attention: q, k or v is missing");
    REQUIRE_OR_NULL(!causal || (q->dims == 4 && k->dims == 4 && k->shape[1] >= q->shape[1]),
                    "attention: q is %s, k is %s; under the causal mask there must be as many keys as queries, or more",
                    tensor_text(q), tensor_text(k));
    b = op_float(k); /* what is stored in 16 bits may want a gradient here */
    c = op_float(v);
    if (b && c)
        y = op_attention(q, b, c, NULL, causal, causal ? k->shape[1] - q->shape[1] : 0, 0);
    tensor_unref(b);
    tensor_unref(c);
    return y;
}

/* attention_decode.c - one query a head against a cache of keys and values, as when tokens are generated.
 *
 * The next token of every row takes one dispatch from its packed query, key and value: turned by its position,
 * put into the cache, and attention over all there is. Rows that go on from the same tokens may have those in
 * caches that they share, in memory once and for many of them in the processor's caches.
 */
#include "op/attention_part.h"

#include <math.h>
#include <string.h>

int attn_decode(tain_device *d, const struct decode *a)
{
    bool shared_rows = attn_shared_rows(d), packed = a->positions != NULL;
    int64_t B = a->k->shape[0], KV = a->k->shape[2], D = a->k->shape[3], H = tensor_count(a->y) / (B * D), x, y;
    int64_t words = a->shared_k ? a->shared_k->shape[1] : 0;
    uint32_t lanes = gpu_info(d->gpu)->lanes, parts = attn_parts(d, D, a->k->type), side = shared_rows ? lanes / parts : 1;
    uint32_t constants[6] = { (uint32_t)D, a->rule != NULL, parts, side, packed, words > 0 };
    struct strides k = attn_strides(a->k), q = packed ? (struct strides){ 0, (uint32_t)(D / 4), (uint32_t)((H + 2 * KV) * D / 4) }
                                                      : attn_strides(a->q);
    struct {
        uint32_t q_h, q_b, k_t, k_h, k_b, shared_b, y_h, y_b, words, keys, heads, batches, group, segments, position_b;
        float scale;
    } p = { q.h, q.b, k.t, k.h, k.b, words ? attn_strides(a->shared_k).b : 0, (uint32_t)(D / 4), (uint32_t)(H * D / 4),
            (uint32_t)words, (uint32_t)a->keys, (uint32_t)H, (uint32_t)B, (uint32_t)(H / KV),
            a->rule ? (uint32_t)a->rule->shape[1] : 0, packed && tensor_count(a->positions) > 1, a->scale };
    /* What this call does not use is bound to what it has. */
    tain_tensor *const t[] = {
        a->q, a->k, a->v, a->rule ? a->rule : a->q, packed ? a->table : a->q, packed ? a->positions : a->q,
        words ? a->shared_k : a->k, words ? a->shared_v : a->v, words ? a->which : a->q,
        a->y, packed ? a->k : a->y, packed ? a->v : a->y,
    };

    op_grid(B * H * parts * side, lanes, &x, &y);
    return op_dispatch(d, op_pipeline(d, 0, constants, COUNT_OF(constants), "attention_decode.b_%s", type_name(a->k->type)), t,
                       COUNT_OF(t), 1 << 9 | 1 << 10 | 1 << 11, &p, sizeof(p), x, y, 1,
                       4.0 * (double)(B * H * D) * (double)(words + a->keys + packed));
}

/* ---- The next token ---- */

struct next_params {
    int64_t used;
    int32_t heads;
    float scale, theta;
};

/* The inputs: the query, turned already, or with positions the packed token; then the caches, and what there may be. */
enum { QUERY, K, V, POSITIONS, HIDDEN, SHARED_K, SHARED_V, WHICH, INPUTS };

static int infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const struct next_params *p = (const void *)c->params;
    tain_tensor *const *in = c->in;
    const tain_tensor *q = in[QUERY], *k = in[K], *v = in[V];
    int64_t B = q->shape[0], KV = k->shape[2], D = k->shape[3], keys;

    REQUIRE(k->dims == 4 && tensor_same_shape(k, v) && k->type == v->type && k->type != TAIN_I32 && tensor_contiguous(k) &&
            tensor_contiguous(v) && B == k->shape[0] && p->used <= k->shape[1] && p->used >= !in[POSITIONS],
            "attention: the caches are %s and %s and hold %lld tokens; both must be dense [%lld, room, KV, D]", tensor_text(k),
            tensor_text(v), (long long)p->used, (long long)B);
    REQUIRE(tensor_count(q) == B * (p->heads + (in[POSITIONS] ? 2 * KV : 0)) * D && p->heads % KV == 0 && D % attention_unit(k->type) == 0 &&
            D <= 512, "attention: q is %s, k is %s", tensor_text(q), tensor_text(k));
    REQUIRE(!in[POSITIONS] || (in[POSITIONS]->type == TAIN_I32 && (tensor_count(in[POSITIONS]) == B || tensor_count(in[POSITIONS]) == 1)),
            "attention: positions are %s; %lld rows need one each, or one for all", tensor_text(in[POSITIONS]), (long long)B);
    REQUIRE(!in[POSITIONS] || p->used < k->shape[1], "cache: %lld rows and 1 token more; it has %lld rows, and room for 0 tokens",
            (long long)B, (long long)B);
    keys = p->used + (in[POSITIONS] != NULL);
    if (in[SHARED_K]) {
        const tain_tensor *s = in[SHARED_K], *t = in[SHARED_V], *which = in[WHICH];
        REQUIRE(t && which && s->dims == 4 && tensor_same_shape(s, t) && s->type == k->type && t->type == k->type &&
                tensor_contiguous(s) && tensor_contiguous(t) && s->shape[2] == KV && s->shape[3] == D && which->type == TAIN_I32 &&
                tensor_count(which) == B,
                "attention: shared keys are %s, others %s; all but rows and tokens must be alike, and each row name one", tensor_text(s),
                tensor_text(k));
        keys += s->shape[1];
    }
    REQUIRE(!in[HIDDEN] || (in[HIDDEN]->type == TAIN_I32 && in[HIDDEN]->dims == 2 && in[HIDDEN]->shape[0] == B &&
                            in[HIDDEN]->shape[1] >= keys),
            "attention: hidden keys are %s; %lld rows and %lld keys need [%lld, %lld or more]", tensor_text(in[HIDDEN]), (long long)B,
            (long long)keys, (long long)B, (long long)keys);
    *type = TAIN_F32;
    *dims = 3;
    shape[0] = B;
    shape[1] = 1;
    shape[2] = p->heads * D;
    return 0;
}

static int forward(struct op_call *c)
{
    const struct next_params *p = (const void *)c->params;
    struct decode a = {
        .q = c->in[QUERY], .k = c->in[K], .v = c->in[V], .rule = c->in[HIDDEN], .positions = c->in[POSITIONS],
        .shared_k = c->in[SHARED_K], .shared_v = c->in[SHARED_V], .which = c->in[WHICH], .y = c->out, .keys = p->used,
        .scale = p->scale,
    };

    if (!tensor_count(c->out))
        return 0;
    if (a.positions && !(a.table = rope_table(a.positions, a.k->shape[3], p->theta)))
        return tain_error_status();
    return attn_decode(c->device, &a);
}

static const struct op op_next = {
    .name = "attention", .inputs = 3, .optional = INPUTS - 3, .any_stride = 1 << K | 1 << V | 1 << SHARED_K | 1 << SHARED_V,
    .any_type = ~(1u << QUERY), .no_grad = ~0u, .infer = infer, .forward = forward,
};

/* Several tokens, or heads that the kernel cannot turn: keys and values go into the cache first. */
static tain_tensor *in_two(tain_tensor *qkv, tain_tensor *positions, tain_tensor *rule, const struct attention_cache *cache,
                           int64_t heads, float theta, struct next_params *p)
{
    int64_t words = cache->shared_k ? cache->shared_k->shape[1] : 0, own = cache->used - words, B = qkv->shape[0], T = qkv->shape[1];
    int64_t KV = cache->k->shape[2], D = cache->k->shape[3];
    tain_tensor *q = op_rope_cached(qkv, positions, cache->k, cache->v, heads, KV, own, theta), *k = NULL, *v = NULL, *y = NULL, *flat;

    if (q && T == 1) {
        p->used++;
        y = OP_RUN(&op_next, p, q, cache->k, cache->v, NULL, rule, cache->shared_k, cache->shared_v, cache->which);
    } else if (q && cache->shared_k) {
        fail(TAIN_EUNSUPPORTED, "attention: %lld tokens a row beside shared keys; there may be 1", (long long)T);
    } else if (q && (k = view_part(cache->k, 1, 0, own + T)) && (v = view_part(cache->v, 1, 0, own + T)) &&
               (y = op_attention(q, k, v, rule, true, own, p->scale))) {
        flat = view_shape(y, 3, (int64_t[]){ B, T, heads * D });
        tensor_unref(y);
        y = flat;
    }
    tensor_unref(q);
    tensor_unref(k);
    tensor_unref(v);
    return y;
}

tain_tensor *op_attention_cached(tain_tensor *qkv, tain_tensor *positions, tain_tensor *rule, const struct attention_cache *cache,
                                 int64_t heads, float theta)
{
    int64_t words = cache->shared_k ? cache->shared_k->shape[1] : 0, KV = cache->k->shape[2], D = cache->k->shape[3];
    int64_t all = heads + 2 * KV, head = qkv->dims == 3 ? qkv->shape[2] / all : 0;
    struct next_params p = { cache->used - words, (int32_t)heads, 1 / sqrtf((float)head), theta };
    tain_tensor *y, *cut;

    if (qkv->shape[1] == 1 && head == D && head % 8 == 0 && qkv->offset % 4 == 0)
        return OP_RUN(&op_next, &p, qkv, cache->k, cache->v, positions, rule, cache->shared_k, cache->shared_v, cache->which);
    y = in_two(qkv, positions, rule, cache, heads, theta, &p);
    if (y && head != D) {
        cut = attention_heads(y, heads, head);
        tensor_unref(y);
        y = cut;
    }
    return y;
}

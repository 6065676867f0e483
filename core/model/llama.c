/* llama.c - the decoder language model of the Llama kind.
 *
 *   x [B, T, C] -- rms -- q|k|v -- rotary -- attention -- o -- + x      each layer
 *               -- rms -- gate|up -- silu(gate) up -- down -- + x
 *   ... rms -> hidden states
 *
 * q, k and v are one product, and so are gate and up. With a cache, keys and values of earlier
 * tokens are read from it and those of the new ones added; it may be stored in 16 bits.
 */
#include "model/layers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int llama_declare(struct weights *w, struct llama *m, const struct llama_config *c, const char *prefix, const char *head)
{
    int64_t D = c->width, q_rows = c->heads * c->head, kv = c->kv_heads * c->head;
    float in = 1 / sqrtf((float)D), out = in / sqrtf(2 * (float)c->layers);

    m->config = *c;
    m->layers = base_alloc((size_t)c->layers, sizeof(*m->layers));
    if (!m->layers)
        return TAIN_ENOMEM;
    weight_declare(w, &m->embed, WEIGHT_TABLE, 0.02f * 8, c->vocabulary, D, "%sembed_tokens.weight", prefix);
    for (int i = 0; i < c->layers; i++) {
        struct llama_layer *l = &m->layers[i];
        char p[256], q[300], k[300], v[300], g[300], u[300];

        snprintf(p, sizeof(p), "%slayers.%d.", prefix, i);
        snprintf(q, sizeof(q), "%sself_attn.q_proj.weight", p);
        snprintf(k, sizeof(k), "%sself_attn.k_proj.weight", p);
        snprintf(v, sizeof(v), "%sself_attn.v_proj.weight", p);
        snprintf(g, sizeof(g), "%smlp.gate_proj.weight", p);
        snprintf(u, sizeof(u), "%smlp.up_proj.weight", p);
        weight_declare(w, &l->norm1, WEIGHT_ONES, 0, D, 1, "%sinput_layernorm.weight", p);
        l->qkv.w = weight_declare_parts(w, &l->qkv.weight, WEIGHT_MATRIX, in, D, 3, (int64_t[]){ q_rows, kv, kv },
                                        (const char *[]){ q, k, v });
        dense_declare(w, &l->o, false, out, D, q_rows, "%sself_attn.o_proj", p);
        weight_declare(w, &l->norm2, WEIGHT_ONES, 0, D, 1, "%spost_attention_layernorm.weight", p);
        l->gate_up.w = weight_declare_parts(w, &l->gate_up.weight, WEIGHT_MATRIX, in, D, 2,
                                            (int64_t[]){ c->hidden, c->hidden }, (const char *[]){ g, u });
        dense_declare(w, &l->down, false, 1 / sqrtf((float)c->hidden * 2 * (float)c->layers), D, c->hidden, "%smlp.down_proj", p);
        struct weight *const matrices[] = { l->qkv.w, l->o.w, l->gate_up.w, l->down.w };
        for (size_t k = 0; k < COUNT_OF(matrices); k++)
            if (matrices[k]) /* else w has the failure */
                matrices[k]->blocks = true;
    }
    weight_declare(w, &m->norm, WEIGHT_ONES, 0, D, 1, "%snorm.weight", prefix);
    return dense_declare(w, &m->head, false, 0.5f * in, c->vocabulary, D, "%s", head);
}

void llama_close(struct llama *m)
{
    free(m->layers);
}

/* ---- The cache ---- */

struct llama_cache *llama_cache_new(const struct llama *m, int64_t batch, int64_t room)
{
    const struct llama_config *c = &m->config;
    tain_device *d = m->embed->device;
    struct llama_cache *cache = base_alloc(1, sizeof(*cache));
    int64_t shape[4] = { batch, room, c->kv_heads, attention_room(c->head, m->cache) };

    if (!cache)
        return NULL;
    *cache = (struct llama_cache){ .batch = batch, .room = room, .layers = (int)c->layers };
    cache->k = base_alloc((size_t)c->layers, sizeof(*cache->k));
    cache->v = base_alloc((size_t)c->layers, sizeof(*cache->v));
    for (int i = 0; cache->k && cache->v && i < cache->layers; i++) {
        cache->k[i] = tensor_new(d, m->cache, 4, shape);
        cache->v[i] = tensor_new(d, m->cache, 4, shape);
        if (!cache->k[i] || !cache->v[i]) {
            llama_cache_free(cache);
            return NULL;
        }
    }
    if (!cache->k || !cache->v) {
        llama_cache_free(cache);
        return NULL;
    }
    return cache;
}

void llama_cache_free(struct llama_cache *cache)
{
    if (!cache)
        return;
    for (int i = 0; i < cache->layers; i++) {
        if (cache->k)
            tensor_unref(cache->k[i]);
        if (cache->v)
            tensor_unref(cache->v[i]);
    }
    llama_cache_free(cache->shared);
    tensor_unref(cache->which);
    free(cache->k);
    free(cache->v);
    free(cache);
}

int llama_cache_share(struct llama_cache *to, struct llama_cache *from, tain_tensor *which)
{
    if (to->used || to->shared || from->shared || from->used != from->room || to->layers != from->layers) {
        fail(TAIN_EINVAL, "cache: %lld tokens, to go on from %lld of %lld; it must hold none, and those be all",
             (long long)to->used, (long long)from->used, (long long)from->room);
        llama_cache_free(from);
        return tain_error_status();
    }
    to->shared = from;
    to->which = tensor_ref(which);
    to->used = from->used;
    return 0;
}

static struct attention_cache layer_of(const struct llama_cache *cache, int i)
{
    struct attention_cache a = { .k = cache->k[i], .v = cache->v[i], .used = cache->used };

    if (cache->shared) {
        a.shared_k = cache->shared->k[i];
        a.shared_v = cache->shared->v[i];
        a.which = cache->which;
    }
    return a;
}

/* ---- The model ---- */

/* The rows of x [B, T, C] that `pick` names, as [n, C]; all of x if it is NULL. Takes x over. */
static tain_tensor *picked(tain_tensor *x, tain_tensor *pick)
{
    tain_tensor *flat;

    if (!x || !pick)
        return x;
    flat = tain_reshape(x, 2, (int64_t[]){ -1, tensor_last(x) });
    x = then(x, flat);
    return x ? then(x, tain_rows(x, pick)) : NULL;
}

/* What lies behind attention is done for the picked rows alone. */
static tain_tensor *attend(const struct weights *w, const struct llama *m, int i, tain_tensor *x, tain_tensor *positions,
                           tain_tensor *rule, struct llama_cache *cache, tain_tensor *pick)
{
    const struct llama_config *c = &m->config;
    const struct llama_layer *l = &m->layers[i];
    tain_tensor *h = dense_normed(w, &l->qkv, x, l->norm1, c->eps, GEMM_NONE);

    if (h && !cache)
        h = op_rope_over(h, positions, c->heads, c->kv_heads, c->theta);
    if (h && cache) {
        struct attention_cache held = layer_of(cache, i);
        h = then(h, op_attention_cached(h, positions, rule, &held, c->heads, c->theta));
    } else if (h) {
        h = then(h, op_attention_packed(h, (int)c->heads, (int)c->kv_heads, rule, true));
    }
    h = picked(h, pick);
    x = h ? picked(tensor_ref(x), pick) : NULL;
    h = then(h, dense_add(w, &l->o, h, x));
    tensor_unref(x);
    return h;
}

static tain_tensor *think(const struct weights *w, const struct llama *m, int i, tain_tensor *x)
{
    const struct llama_layer *l = &m->layers[i];
    tain_tensor *h = dense_normed(w, &l->gate_up, x, l->norm2, m->config.eps, GEMM_GATE);

    return then(h, dense_add(w, &l->down, h, x));
}

/* ---- Layers that are run again backward ---- */

struct again {
    const struct weights *w;
    const struct llama *m;
    tain_tensor *positions, *rule; /* borrowed from the call */
    int32_t layer;
};

static tain_tensor *layer_run(void *with, tain_tensor *x)
{
    const struct again *a = with;
    tain_tensor *h = attend(a->w, a->m, a->layer, x, a->positions, a->rule, NULL, NULL);

    return h ? then(h, think(a->w, a->m, a->layer, h)) : NULL;
}

static int again_infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    (void)c;
    (void)type;
    (void)shape;
    *dims = -1; /* the layer makes its result */
    return 0;
}

/* The inputs are x, positions, the rule or nothing, and a weight that is trained, if any is. */
static struct again again_of(struct op_call *c)
{
    struct again a;

    memcpy(&a, c->params, sizeof(a));
    a.positions = c->in[1];
    a.rule = c->in[2];
    return a;
}

static int again_forward(struct op_call *c)
{
    struct again a = again_of(c);
    bool grad = c->device->grad;

    c->device->grad = false;
    c->out = layer_run(&a, c->in[0]);
    c->device->grad = grad;
    return c->out ? 0 : tain_error_status();
}

static int again_backward(struct op_call *c)
{
    struct again a = again_of(c);

    return tape_again(c->in[0], c->dout, layer_run, &a);
}

static const struct op op_again = {
    .name = "layer", .inputs = 2, .optional = 2, .any_stride = 14, .any_type = 14, .no_grad = 6,
    .infer = again_infer, .forward = again_forward, .backward = again_backward,
};

/* A weight of the layer that wants a gradient, or NULL. */
static tain_tensor *trained(const struct weights *w, const struct llama_layer *l)
{
    const struct dense *dense[] = { &l->qkv, &l->o, &l->gate_up, &l->down };
    const struct weight_part *p;

    for (size_t i = 0; i < COUNT_OF(dense); i++) {
        if (dense[i]->weight->wants_grad)
            return dense[i]->weight;
        for (int k = 0; w->adapted && (p = weight_place(dense[i]->w, k)); k++)
            if (p->b && p->b->wants_grad)
                return p->b;
    }
    return l->norm1->wants_grad ? l->norm1 : l->norm2->wants_grad ? l->norm2 : NULL;
}

tain_tensor *llama_run(const struct weights *w, const struct llama *m, tain_tensor *x, tain_tensor *positions,
                       tain_tensor *rule, struct llama_cache *cache, tain_tensor *pick)
{
    tain_tensor *h = tensor_ref(x);

    for (int i = 0; h && i < m->config.layers; i++) {
        tain_tensor *last = i + 1 == m->config.layers ? pick : NULL;
        if (m->recompute && !cache && !last && h->device->tape && h->device->grad) {
            struct again a = { w, m, NULL, NULL, i };
            h = then(h, op_run(&op_again, (tain_tensor *[]){ h, positions, rule, trained(w, &m->layers[i]) }, 4, &a, sizeof(a)));
            continue;
        }
        h = then(h, attend(w, m, i, h, positions, rule, cache, last));
        if (h)
            h = then(h, think(w, m, i, h));
    }
    if (h && cache)
        cache->used += x->shape[1];
    return h ? then(h, tain_rms_norm(h, m->norm, m->config.eps)) : NULL;
}

/* attention.h - what models need of attention: the mask rule, and caches. */
#ifndef TAIN_OP_ATTENTION_H
#define TAIN_OP_ATTENTION_H

#include "op/op.h"

/* Packs a mask into the tensor that attention reads: query i of a row sees key j if
 * j <= reach[i], and segment[j] is 0 or segment[i]; a negative segment hides a key from all.
 * key_segment [batch, keys], reach and query_segment [batch, queries]. A new i32 tensor. */
tain_tensor *attention_rule(tain_device *d, int64_t batch, int64_t keys, int64_t queries, const int32_t *key_segment,
                            const int32_t *reach, const int32_t *query_segment);

/* q [B, T, H, D], k and v [B, S, KV, D] with equal strides; views are fine. rule NULL: causal, or
 * every key if not; with a rule, causal promises that its reach is never beyond the query itself. Queries start
 * `past` behind the first key. scale 0: 1/sqrt(D). For one query a row, the rule may be a [B, room] of
 * segments alone, room being that of the cache. Where no gradient is wanted, k and v may both be stored as
 * f16 or bf16; D is then a multiple of eight. */
tain_tensor *op_attention(tain_tensor *q, tain_tensor *k, tain_tensor *v, tain_tensor *rule, bool causal, int64_t past,
                          float scale);

/* The same on one packed tensor [B, T, (H + 2 KV) * D] as a fused projection makes it; D may be any. */
tain_tensor *op_attention_packed(tain_tensor *qkv, int heads, int kv_heads, tain_tensor *rule, bool causal);

/* The kernels read sixteen bytes at a time, four or eight numbers: heads of another size stand in a room
 * of zeros. */
static inline int64_t attention_unit(tain_type type)
{
    return type == TAIN_F32 ? 4 : 8;
}

static inline int64_t attention_room(int64_t size, tain_type type)
{
    int64_t unit = attention_unit(type);

    return (size + unit - 1) / unit * unit;
}

/* What new tokens have to do with caches k and v [B, room, KV, attention_room(D)], in one pass over the packed
 * [B, T, (H + 2 KV) * D]: keys, with rotary positions over the whole head, and values become tokens `used` and
 * following of the caches, in their type. Returns the queries, likewise turned, as [B, T, H, attention_room(D)].
 * No gradient. */
tain_tensor *op_rope_cached(tain_tensor *qkv, tain_tensor *positions, tain_tensor *k, tain_tensor *v, int64_t heads,
                            int64_t kv_heads, int64_t used, float theta);

/* Cosines and sines [rows, 2, width / 2] of at least all positions in an i32 tensor, kept by the device; borrowed. */
tain_tensor *rope_table(tain_tensor *positions, int64_t width, float theta);

/* tain_rope_qkv() of whole heads where qkv [B, T, (H + 2 KV) * D] is; takes it over, which nobody else reads any more. */
tain_tensor *op_rope_over(tain_tensor *qkv, tain_tensor *positions, int64_t heads, int64_t kv_heads, float theta);

/* Where the keys and values of earlier tokens are: in caches k and v [B, room, KV, attention_room(D)]; or the first
 * ones in shared_k and shared_v [U, words, KV, attention_room(D)], in row which[b] (i32 [B]) of them. */
struct attention_cache {
    tain_tensor *k, *v, *shared_k, *shared_v, *which; /* the last three may be NULL */
    int64_t used; /* tokens so far, with shared ones */
};

/* What new tokens do: op_rope_cached(), then causal attention over all that the caches hold. qkv is the packed
 * [B, T, (H + 2 KV) * D], rule as for op_attention(). Beside shared keys T is 1. Returns [B, T, H * D]. No gradient. */
tain_tensor *op_attention_cached(tain_tensor *qkv, tain_tensor *positions, tain_tensor *rule, const struct attention_cache *cache,
                                 int64_t heads, float theta);

/* [B, T, heads * D] to [B, T, heads * to]: each head gets zeros behind it, or loses what is behind. */
tain_tensor *attention_heads(tain_tensor *x, int64_t heads, int64_t to);

#endif

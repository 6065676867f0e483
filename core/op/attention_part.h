/* attention_part.h - what the files that make attention share. */
#ifndef TAIN_OP_ATTENTION_PART_H
#define TAIN_OP_ATTENTION_PART_H

#include "op/attention.h"

struct attn_params {
    int32_t heads, kv_heads, causal, past;
    float scale;
};

/* The three operands as [B, T, H, D] views, not on the tape. */
struct attn {
    tain_tensor *q, *k, *v;
};

/* In texels. */
struct strides {
    uint32_t t, h, b;
};

/* The end of what the kernels are told. */
struct rest {
    uint32_t queries, keys, heads, group, past;
    float scale;
};

tain_tensor *attn_rule(const struct op_call *c); /* NULL if there is none */
uint32_t attn_rules(const struct op_call *c);    /* RULES of the kernels */
struct rest attn_rest(const struct op_call *c, const struct attn *a);
double attn_work(const struct attn *a);
/* Tokens that lie too evenly (op_spread) and are read by many others, laid apart: a new reference in *t. */
int attn_lay_apart(const struct op_call *c, tain_tensor **t, int64_t uses);

struct strides attn_strides(const tain_tensor *t);
/* Whether lanes share the rows of keys, and how many own one of `size` numbers between them. */
bool attn_shared_rows(const tain_device *d);
uint32_t attn_parts(const tain_device *d, int64_t size, tain_type stored);

/* ---- One query a head (attention_decode.c) ---- */

struct decode {
    tain_tensor *q;                            /* [B, 1, H, D]; with positions the dense [B, 1, (H + 2 KV) D] */
    tain_tensor *k, *v;                        /* [B, room, KV, D], with equal strides */
    tain_tensor *rule;                         /* NULL, or segments [B, all keys or more] */
    tain_tensor *positions, *table;            /* of new tokens, i32 [1] or [B, 1], or NULL; and rope_table() of them */
    tain_tensor *shared_k, *shared_v, *which;  /* [U, words, KV, D] and i32 [B], or NULL */
    tain_tensor *y;                            /* B * H * D numbers */
    int64_t keys;                              /* in k and v, without the new one */
    float scale;
};
int attn_decode(tain_device *d, const struct decode *a);

/* ---- By tiles, on CPUs (attention_panel.c) ---- */

bool attn_by_panels(const struct op_call *c, const struct attn *a);
/* y; with stat [2, B, H, T] also the log of sums of exponentials, in its first half. */
int attn_panels_forward(struct op_call *c, const struct attn *a, tain_tensor *stat);
/* d (=|+=: bits of `add` for q, k, v) the gradients; a, d and dy as [B, T, H, D] views. */
int attn_panels_backward(struct op_call *c, const struct attn *a, const struct attn *d, tain_tensor *dy, tain_tensor *y,
                         tain_tensor *stat, unsigned add);

#endif

/* layers.h - what models are put together from: dense layers, the decoder language model with its
 * cache, the vision transformer, the two-layer projector, the convolutional codec.
 *
 * All functions return new references, NULL on failure, and work on the tape if one runs. Letters:
 * B batch, T tokens, C channels.
 */
#ifndef TAIN_MODEL_LAYERS_H
#define TAIN_MODEL_LAYERS_H

#include "model/weights.h"
#include "op/attention.h"

/* ---- Dense layers (layers.c) ---- */

struct dense {
    struct weight *w;
    tain_tensor *weight, *bias;
};

int dense_declare(struct weights *w, struct dense *d, bool bias, float spread, int64_t out, int64_t in,
                  const char *format, ...) __attribute__((format(printf, 7, 8)));
tain_tensor *dense_run(const struct weights *w, const struct dense *d, tain_tensor *x, enum gemm_activation activation);
/* dense(RMS norm(x)): the beginning of one. */
tain_tensor *dense_normed(const struct weights *w, const struct dense *d, tain_tensor *x, tain_tensor *norm, float eps,
                          enum gemm_activation activation);
/* to + dense(x): the end of a branch of a residual network. */
tain_tensor *dense_add(const struct weights *w, const struct dense *d, tain_tensor *x, tain_tensor *to);

/* gelu (erf) between two dense layers: Janus' aligners and head. */
struct projector {
    struct dense first, second;
};
tain_tensor *projector_run(const struct weights *w, const struct projector *p, tain_tensor *x);

/* Frees x and hands on y: for chains in which every step needs only the one before. */
static inline tain_tensor *then(tain_tensor *x, tain_tensor *y)
{
    tensor_unref(x);
    return y;
}

/* ---- The language model (llama.c) ---- */

struct llama_config {
    int64_t vocabulary, width, hidden, layers, heads, kv_heads, head; /* head: numbers of one */
    float eps, theta;
};

struct llama_layer {
    tain_tensor *norm1, *norm2;
    struct dense qkv, o, gate_up, down;
};

struct llama {
    struct llama_config config;
    bool recompute; /* in training, keep only the layers' inputs and run each layer again backward */
    tain_type cache; /* how keys and values of earlier tokens are kept: f32, f16 or bf16 */
    tain_tensor *embed, *norm;
    struct dense head;
    struct llama_layer *layers;
};

/* Keys and values of the tokens so far. */
struct llama_cache {
    int64_t batch, room, used;
    int layers;
    tain_tensor **k, **v; /* [B, room, KV, D], stored as the model said when it was made */
    struct llama_cache *shared; /* NULL, or where the first tokens are: of row b in row which[b] */
    tain_tensor *which;
};

int llama_declare(struct weights *w, struct llama *m, const struct llama_config *c, const char *prefix, const char *head);
void llama_close(struct llama *m);

/* x [B, T, C] to the normed hidden states [B, T, C]. positions i32 [T] or [B, T]. rule NULL:
 * causal; a rule must be causal too. With `pick`, indices into the B * T rows, only those hidden
 * states are made, as [n, C]: most of the last layer is not run for the others. */
tain_tensor *llama_run(const struct weights *w, const struct llama *m, tain_tensor *x, tain_tensor *positions,
                       tain_tensor *rule, struct llama_cache *cache, tain_tensor *pick);

struct llama_cache *llama_cache_new(const struct llama *m, int64_t batch, int64_t room);
/* Lets row r of `to`, which holds nothing yet, go on from row which[r] of `from`, which is full and is taken over. */
int llama_cache_share(struct llama_cache *to, struct llama_cache *from, tain_tensor *which);
void llama_cache_free(struct llama_cache *cache);

/* ---- The vision transformer (vit.c) ---- */

struct vit_config {
    int64_t image, patch, width, layers, heads, hidden;
    float eps;
    bool tanh; /* gelu by its tanh approximation */
};

struct vit_layer {
    tain_tensor *norm1, *norm1_bias, *norm2, *norm2_bias;
    struct dense qkv, proj, fc1, fc2;
};

struct vit {
    struct vit_config config;
    struct dense patch;
    tain_tensor *positions, *norm, *norm_bias;
    struct vit_layer *layers;
};

int vit_declare(struct weights *w, struct vit *m, const struct vit_config *c, const char *prefix);
void vit_close(struct vit *m);
/* patches [B, N, P*P*3] (vit_patches) to [B, N, C]. */
tain_tensor *vit_run(const struct weights *w, const struct vit *m, tain_tensor *patches);
/* Pixels [B, 3, S, S], normalised, to patches in the order of the weight, on the host. */
tain_tensor *vit_patches(tain_device *d, const struct vit_config *c, int64_t batch, const float *pixels);

/* ---- The image codec (codec.c) ---- */

enum { CODEC_LEVELS = 8 };

struct codec_config {
    int64_t channels, z, code_size, codes, blocks, image;
    int levels;
    int64_t encoder_mult[CODEC_LEVELS], decoder_mult[CODEC_LEVELS];
};

struct codec;
struct codec *codec_declare(struct weights *w, const struct codec_config *c, const char *prefix);
void codec_close(struct codec *m);
int64_t codec_grid(const struct codec_config *c); /* codes a side */

/* pixels [B, S, S, 3] in -1..1 to z [B, G, G, code_size], not normalised. */
tain_tensor *codec_encode(const struct weights *w, const struct codec *m, tain_tensor *pixels);
/* z [B, N, code_size], unit length, N = G*G, to pixels [B, S, S, 3]. */
tain_tensor *codec_decode(const struct weights *w, const struct codec *m, tain_tensor *z);
/* The codebook's rows at unit length [codes, code_size]. */
tain_tensor *codec_book(const struct codec *m);
/* The nearest code of each row of z, by direction: z [.., code_size] to i32 [rows]. */
tain_tensor *codec_nearest(const struct codec *m, tain_tensor *z);
/* Rows at unit length; differentiable. */
tain_tensor *codec_unit(tain_tensor *z);

#endif

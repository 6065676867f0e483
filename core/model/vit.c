/* vit.c - the vision transformer of the SigLIP kind, as Janus carries it.
 *
 *   patches [B, N, 3 P P] -- dense -- + positions
 *   each layer: x += proj(attention(qkv(norm1 x)));  x += fc2(gelu(fc1(norm2 x)))
 *   norm -> [B, N, C]: all patches, no class token, no pooling
 */
#include "model/layers.h"

#include <math.h>
#include <stdlib.h>

int vit_declare(struct weights *w, struct vit *m, const struct vit_config *c, const char *prefix)
{
    int64_t C = c->width, n = c->image / c->patch, pixels = 3 * c->patch * c->patch;
    float in = 1 / sqrtf((float)C), deep = 1 / sqrtf(2 * (float)c->layers);

    m->config = *c;
    m->layers = base_alloc((size_t)c->layers, sizeof(*m->layers));
    if (!m->layers)
        return TAIN_ENOMEM;
    dense_declare(w, &m->patch, true, 1 / sqrtf((float)pixels), C, pixels, "%spatch_embed.proj", prefix);
    if (m->patch.w) { /* a convolution in the file */
        m->patch.w->file_rank = 4;
        m->patch.w->file_shape[1] = 3;
        m->patch.w->file_shape[2] = m->patch.w->file_shape[3] = c->patch;
    }
    struct weight *p = weight_declare(w, &m->positions, WEIGHT_TABLE, 0.1f, n * n, C, "%spos_embed", prefix);
    if (p) {
        p->file_rank = 3;
        p->file_shape[0] = 1;
        p->file_shape[1] = n * n;
        p->file_shape[2] = C;
    }
    for (int i = 0; i < c->layers; i++) {
        struct vit_layer *l = &m->layers[i];
        weight_declare(w, &l->norm1, WEIGHT_ONES, 0, C, 1, "%sblocks.%d.norm1.weight", prefix, i);
        weight_declare(w, &l->norm1_bias, WEIGHT_ZEROS, 0, C, 1, "%sblocks.%d.norm1.bias", prefix, i);
        dense_declare(w, &l->qkv, true, in, 3 * C, C, "%sblocks.%d.attn.qkv", prefix, i);
        dense_declare(w, &l->proj, true, in * deep, C, C, "%sblocks.%d.attn.proj", prefix, i);
        weight_declare(w, &l->norm2, WEIGHT_ONES, 0, C, 1, "%sblocks.%d.norm2.weight", prefix, i);
        weight_declare(w, &l->norm2_bias, WEIGHT_ZEROS, 0, C, 1, "%sblocks.%d.norm2.bias", prefix, i);
        dense_declare(w, &l->fc1, true, in, c->hidden, C, "%sblocks.%d.mlp.fc1", prefix, i);
        dense_declare(w, &l->fc2, true, deep / sqrtf((float)c->hidden), C, c->hidden, "%sblocks.%d.mlp.fc2", prefix, i);
    }
    weight_declare(w, &m->norm, WEIGHT_ONES, 0, C, 1, "%snorm.weight", prefix);
    weight_declare(w, &m->norm_bias, WEIGHT_ZEROS, 0, C, 1, "%snorm.bias", prefix);
    return w->status;
}

void vit_close(struct vit *m)
{
    free(m->layers);
}

tain_tensor *vit_patches(tain_device *d, const struct vit_config *c, int64_t batch, const float *pixels)
{
    int64_t n = c->image / c->patch, P = c->patch, S = c->image, wide = 3 * P * P;
    float *all = base_alloc((size_t)(batch * n * n * wide), sizeof(float)), *to = all;
    tain_tensor *t;

    if (!all)
        return NULL;
    for (int64_t b = 0; b < batch; b++)
        for (int64_t i = 0; i < n * n; i++)
            for (int64_t k = 0; k < 3; k++)
                for (int64_t y = 0; y < P; y++)
                    for (int64_t x = 0; x < P; x++)
                        *to++ = pixels[((b * 3 + k) * S + i / n * P + y) * S + i % n * P + x];
    t = tensor_from(d, TAIN_F32, 3, (int64_t[]){ batch, n * n, wide }, all);
    free(all);
    return t;
}

tain_tensor *vit_run(const struct weights *w, const struct vit *m, tain_tensor *patches)
{
    const struct vit_config *c = &m->config;
    tain_tensor *x = dense_run(w, &m->patch, patches, GEMM_NONE), *h;

    x = x ? then(x, tain_add(x, m->positions)) : NULL;
    for (int i = 0; x && i < c->layers; i++) {
        const struct vit_layer *l = &m->layers[i];
        h = tain_layer_norm(x, l->norm1, l->norm1_bias, c->eps);
        h = then(h, dense_run(w, &l->qkv, h, GEMM_NONE));
        h = h ? then(h, op_attention_packed(h, (int)c->heads, (int)c->heads, NULL, false)) : NULL;
        x = then(x, then(h, dense_add(w, &l->proj, h, x)));
        if (!x)
            return NULL;
        h = tain_layer_norm(x, l->norm2, l->norm2_bias, c->eps);
        h = then(h, dense_run(w, &l->fc1, h, c->tanh ? GEMM_GELU_TANH : GEMM_GELU));
        x = then(x, then(h, dense_add(w, &l->fc2, h, x)));
    }
    return x ? then(x, tain_layer_norm(x, m->norm, m->norm_bias, c->eps)) : NULL;
}

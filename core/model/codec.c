/* codec.c - images to codes and back: the VQ-16 of LlamaGen, which Janus uses.
 *
 *   encoder: conv_in, levels of (res [attn]) with a halving between, mid, out    -> z [B, G, G, Z]
 *            quant_conv to code_size, unit length, nearest row of the codebook
 *   decoder: post_quant_conv, conv_in, mid, levels with a doubling between, out  -> pixels
 *
 * Channels lie last. Easy to get wrong: halving pads right and bottom only; attention follows every
 * block of the lowest resolution; decoder levels are stored in the order they run; the codebook's
 * rows are normalised when used.
 */
#include "model/layers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct conv {
    tain_tensor *weight, *bias;
};

struct res {
    tain_tensor *norm1, *norm1_bias, *norm2, *norm2_bias;
    struct conv conv1, conv2, shortcut;
};

struct attn {
    tain_tensor *norm, *norm_bias;
    struct dense q, k, v, out;
};

struct level {
    struct res *res;
    struct attn *attn; /* NULL but at the lowest resolution */
    int blocks;
    struct conv between;
    bool last;
};

struct half {
    struct conv conv_in, conv_out;
    tain_tensor *norm, *norm_bias;
    struct level levels[CODEC_LEVELS];
    struct res mid0, mid2;
    struct attn mid1;
};

struct codec {
    struct codec_config config;
    struct half encoder, decoder;
    struct dense quant, post_quant;
    tain_tensor *book;
};

/* ---- Declaring ---- */

static void conv_declare(struct weights *w, struct conv *c, int64_t out, int64_t in, int64_t size, float gain, const char *name)
{
    weight_declare_conv(w, &c->weight, gain / sqrtf((float)(in * size * size)), out, in, size, "%s.weight", name);
    weight_declare(w, &c->bias, WEIGHT_ZEROS, 0, out, 1, "%s.bias", name);
}

/* A 1x1 convolution is a dense layer on the channels. */
static void point_declare(struct weights *w, struct dense *d, int64_t out, int64_t in, float gain, const char *name)
{
    dense_declare(w, d, true, gain / sqrtf((float)in), out, in, "%s", name);
    if (d->w) {
        d->w->file_rank = 4;
        d->w->file_shape[2] = d->w->file_shape[3] = 1;
    }
}

static void norm_declare(struct weights *w, tain_tensor **scale, tain_tensor **bias, int64_t channels, const char *name)
{
    weight_declare(w, scale, WEIGHT_ONES, 0, channels, 1, "%s.weight", name);
    weight_declare(w, bias, WEIGHT_ZEROS, 0, channels, 1, "%s.bias", name);
}

#define NAME(...) (snprintf(name, sizeof(name), __VA_ARGS__), name)

static void res_declare(struct weights *w, struct res *r, int64_t in, int64_t out, const char *p)
{
    char name[384];

    norm_declare(w, &r->norm1, &r->norm1_bias, in, NAME("%s.norm1", p));
    conv_declare(w, &r->conv1, out, in, 3, 1, NAME("%s.conv1", p));
    norm_declare(w, &r->norm2, &r->norm2_bias, out, NAME("%s.norm2", p));
    conv_declare(w, &r->conv2, out, out, 3, 0.3f, NAME("%s.conv2", p));
    if (in != out)
        conv_declare(w, &r->shortcut, out, in, 1, 1, NAME("%s.nin_shortcut", p));
}

static void attn_declare(struct weights *w, struct attn *a, int64_t channels, const char *p)
{
    char name[384];

    norm_declare(w, &a->norm, &a->norm_bias, channels, NAME("%s.norm", p));
    point_declare(w, &a->q, channels, channels, 1, NAME("%s.q", p));
    point_declare(w, &a->k, channels, channels, 1, NAME("%s.k", p));
    point_declare(w, &a->v, channels, channels, 1, NAME("%s.v", p));
    point_declare(w, &a->out, channels, channels, 0.3f, NAME("%s.proj_out", p));
}

static void mid_declare(struct weights *w, struct half *h, int64_t channels, const char *p)
{
    char name[384];

    res_declare(w, &h->mid0, channels, channels, NAME("%s.mid.0", p));
    attn_declare(w, &h->mid1, channels, NAME("%s.mid.1", p));
    res_declare(w, &h->mid2, channels, channels, NAME("%s.mid.2", p));
}

static void half_declare(struct weights *w, struct half *h, const struct codec_config *c, bool decoder, const char *p)
{
    const int64_t *mult = decoder ? c->decoder_mult : c->encoder_mult;
    int64_t channels = c->channels * (decoder ? mult[c->levels - 1] : 1);
    char name[384], inner[320];

    conv_declare(w, &h->conv_in, channels, decoder ? c->z : 3, 3, 1, NAME("%s.conv_in", p));
    if (decoder)
        mid_declare(w, h, channels, p);
    for (int i = 0; i < c->levels; i++) {
        struct level *l = &h->levels[i];
        bool lowest = decoder ? i == 0 : i == c->levels - 1;
        int64_t out = c->channels * mult[decoder ? c->levels - 1 - i : i];

        l->blocks = (int)c->blocks + decoder;
        l->last = i == c->levels - 1;
        l->res = base_alloc((size_t)l->blocks, sizeof(*l->res));
        l->attn = lowest ? base_alloc((size_t)l->blocks, sizeof(*l->attn)) : NULL;
        if (!l->res || (lowest && !l->attn)) {
            w->status = TAIN_ENOMEM;
            return;
        }
        snprintf(inner, sizeof(inner), "%s.conv_blocks.%d", p, i);
        for (int b = 0; b < l->blocks; b++) {
            res_declare(w, &l->res[b], channels, out, NAME("%s.res.%d", inner, b));
            if (lowest)
                attn_declare(w, &l->attn[b], out, NAME("%s.attn.%d", inner, b));
            channels = out;
        }
        if (!l->last)
            conv_declare(w, &l->between, channels, channels, 3, 1, NAME("%s.%s.conv", inner, decoder ? "upsample" : "downsample"));
    }
    if (!decoder)
        mid_declare(w, h, channels, p);
    norm_declare(w, &h->norm, &h->norm_bias, channels, NAME("%s.norm_out", p));
    conv_declare(w, &h->conv_out, decoder ? 3 : c->z, channels, 3, 1, NAME("%s.conv_out", p));
}

struct codec *codec_declare(struct weights *w, const struct codec_config *c, const char *prefix)
{
    struct codec *m = base_alloc(1, sizeof(*m));
    char name[384];

    if (!m)
        return NULL;
    m->config = *c;
    half_declare(w, &m->encoder, c, false, NAME("%sencoder", prefix));
    half_declare(w, &m->decoder, c, true, NAME("%sdecoder", prefix));
    point_declare(w, &m->quant, c->code_size, c->z, 1, NAME("%squant_conv", prefix));
    point_declare(w, &m->post_quant, c->z, c->code_size, 1, NAME("%spost_quant_conv", prefix));
    weight_declare(w, &m->book, WEIGHT_TABLE, 1, c->codes, c->code_size, "%squantize.embedding.weight", prefix);
    return m;
}

static void half_close(struct half *h)
{
    for (int i = 0; i < CODEC_LEVELS; i++) {
        free(h->levels[i].res);
        free(h->levels[i].attn);
    }
}

void codec_close(struct codec *m)
{
    if (!m)
        return;
    half_close(&m->encoder);
    half_close(&m->decoder);
    free(m);
}

int64_t codec_grid(const struct codec_config *c)
{
    return c->image >> (c->levels - 1);
}

/* ---- Running ---- */

static tain_tensor *conv_run(const struct conv *c, tain_tensor *x)
{
    int pad = c->weight->shape[0] == 3;

    return x ? tain_conv2d(x, c->weight, c->bias, 1, pad, pad) : NULL;
}

static tain_tensor *norm_run(tain_tensor *scale, tain_tensor *bias, tain_tensor *x, bool silu)
{
    return x ? tain_group_norm(x, scale, bias, 32, 1e-6f, silu) : NULL;
}

static tain_tensor *res_run(const struct res *r, tain_tensor *x)
{
    tain_tensor *h = norm_run(r->norm1, r->norm1_bias, x, true), *side = NULL, *y;

    h = then(h, conv_run(&r->conv1, h));
    h = then(h, norm_run(r->norm2, r->norm2_bias, h, true));
    h = then(h, conv_run(&r->conv2, h));
    if (h && r->shortcut.weight)
        side = conv_run(&r->shortcut, x);
    else if (h)
        side = tensor_ref(x);
    y = h && side ? tain_add(side, h) : NULL;
    tensor_unref(h);
    tensor_unref(side);
    return y;
}

static tain_tensor *attn_run(const struct weights *w, const struct attn *a, tain_tensor *x)
{
    int64_t B, N, C, shape[3];
    tain_tensor *h = norm_run(a->norm, a->norm_bias, x, false), *q = NULL, *k = NULL, *v = NULL, *t = NULL, *s = NULL, *y = NULL;

    if (!h)
        return NULL;
    B = x->shape[0];
    N = x->shape[1] * x->shape[2];
    C = x->shape[3];
    shape[0] = B;
    shape[1] = N;
    shape[2] = C;
    h = then(h, tain_reshape(h, 3, shape));
    if (h) {
        q = dense_run(w, &a->q, h, GEMM_NONE);
        k = dense_run(w, &a->k, h, GEMM_NONE);
        v = dense_run(w, &a->v, h, GEMM_NONE);
    }
    if (q && k && v && (t = tain_transpose(k, 1, 2)))
        s = tain_matmul(q, t);
    s = s ? then(s, tain_scale(s, 1 / sqrtf((float)C))) : NULL;
    s = s ? then(s, tain_softmax(s, -1)) : NULL;
    y = s ? tain_matmul(s, v) : NULL;
    y = then(y, dense_run(w, &a->out, y, GEMM_NONE));
    y = y ? then(y, tain_reshape(y, 4, x->shape)) : NULL;
    y = y ? then(y, tain_add(x, y)) : NULL;
    tensor_unref(h);
    tensor_unref(q);
    tensor_unref(k);
    tensor_unref(v);
    tensor_unref(t);
    tensor_unref(s);
    return y;
}

static tain_tensor *mid_run(const struct weights *w, const struct half *h, tain_tensor *x)
{
    x = x ? res_run(&h->mid0, x) : NULL;
    x = x ? then(x, attn_run(w, &h->mid1, x)) : NULL;
    return x ? then(x, res_run(&h->mid2, x)) : NULL;
}

static tain_tensor *half_run(const struct weights *w, const struct half *h, int levels, bool decoder, tain_tensor *input)
{
    tain_tensor *x = conv_run(&h->conv_in, input);

    if (decoder && x)
        x = then(x, mid_run(w, h, x));
    for (int i = 0; x && i < levels; i++) {
        const struct level *l = &h->levels[i];
        for (int b = 0; x && b < l->blocks; b++) {
            x = then(x, res_run(&l->res[b], x));
            if (x && l->attn)
                x = then(x, attn_run(w, &l->attn[b], x));
        }
        if (x && !l->last && decoder) {
            x = then(x, tain_upsample2(x));
            x = x ? then(x, conv_run(&l->between, x)) : NULL;
        } else if (x && !l->last) {
            x = then(x, tain_conv2d(x, l->between.weight, l->between.bias, 2, 0, 1));
        }
    }
    if (!decoder && x)
        x = then(x, mid_run(w, h, x));
    x = x ? then(x, norm_run(h->norm, h->norm_bias, x, true)) : NULL;
    return x ? then(x, conv_run(&h->conv_out, x)) : NULL;
}

tain_tensor *codec_encode(const struct weights *w, const struct codec *m, tain_tensor *pixels)
{
    tain_tensor *z = half_run(w, &m->encoder, m->config.levels, false, pixels);

    return then(z, dense_run(w, &m->quant, z, GEMM_NONE));
}

tain_tensor *codec_decode(const struct weights *w, const struct codec *m, tain_tensor *z)
{
    int64_t g = codec_grid(&m->config);
    tain_tensor *x = dense_run(w, &m->post_quant, z, GEMM_NONE);

    x = x ? then(x, tain_reshape(x, 4, (int64_t[]){ -1, g, g, m->config.z })) : NULL;
    return x ? then(x, half_run(w, &m->decoder, m->config.levels, true, x)) : NULL;
}

tain_tensor *codec_unit(tain_tensor *z)
{
    tain_tensor *s = tain_square(z), *y;

    s = s ? then(s, tain_sum_dim(s, -1, true)) : NULL;
    s = s ? then(s, tain_maximum(s, 1e-24f)) : NULL;
    s = s ? then(s, tain_rsqrt(s)) : NULL;
    y = s ? tain_mul(z, s) : NULL;
    tensor_unref(s);
    return y;
}

tain_tensor *codec_book(const struct codec *m)
{
    return codec_unit(m->book);
}

tain_tensor *codec_nearest(const struct codec *m, tain_tensor *z)
{
    tain_tensor *book = codec_book(m), *flat = tain_reshape(z, 2, (int64_t[]){ -1, m->config.code_size }), *unit = NULL, *dots = NULL, *best;

    /* Among rows of unit length, the nearest is the one with the greatest product. */
    if (book && flat && (unit = codec_unit(flat)))
        dots = tain_linear(unit, book, NULL);
    best = dots ? tain_argmax(dots, -1) : NULL;
    tensor_unref(book);
    tensor_unref(flat);
    tensor_unref(unit);
    tensor_unref(dots);
    return best;
}

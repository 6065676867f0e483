/* janus_config.c - the sizes of a Janus, from what its files say and what they leave out.
 *
 * The published config.json names its parts ("siglip_large_patch16_384", "VQ-16") instead of giving
 * their sizes, and the 7B's leaves out most of the language model too: then LlamaConfig's defaults
 * hold. A model with other sizes says so in the same places with further keys. The port of
 * transformers has places of its own for the same sizes.
 */
#include "model/janus.h"

#include <stdlib.h>
#include <string.h>

enum { WIDE = 1 << 20 };

static void defaults(struct janus_config *c)
{
    *c = (struct janus_config){
        .language = { 32000, 4096, 11008, 32, 32, 0, 0, 1e-6f, 10000 },
        .vision = { 384, 16, 1024, 24, 16, 4096, 1e-6f, false },
        .codec = { .channels = 128, .z = 256, .code_size = 8, .codes = 16384, .blocks = 2, .image = 384, .levels = 5,
                   .encoder_mult = { 1, 1, 2, 2, 4 }, .decoder_mult = { 1, 1, 2, 2, 4 } },
        .ids = { -1, -1, -1, -1, -1, -1 },
        .mean = { 0.5f, 0.5f, 0.5f },
        .deviation = { 0.5f, 0.5f, 0.5f },
        .background = { 127, 127, 127 },
        .least = 14,
    };
}

static int opt(const struct json *o, const char *key, int64_t *out)
{
    return o ? json_opt_int(o, key, 1, WIDE, out) : 0;
}

static int opt_float(const struct json *o, const char *key, float *out)
{
    double v = *out;
    int status = o ? json_opt_number(o, key, 0, 1e12, &v) : 0;

    *out = (float)v;
    return status;
}

/* What would make another model of the same weights is refused and not passed over. */
static int only(const struct json *o, const char *key, const char *const *known)
{
    const struct json *v = json_find(o, key);
    const char *text;
    int status;

    if (!v || json_type(v) == JSON_NULL)
        return 0;
    if ((status = json_string(v, &text, NULL)))
        return status;
    for (int i = 0; known[i]; i++)
        if (!strcmp(text, known[i]))
            return i;
    return json_fail(v, "is \"%s\"; tain knows \"%s\"", text, known[0]);
}

static int never(const struct json *o, const char *key)
{
    bool is = false;
    int status = json_opt_bool(o, key, &is);

    return status ? status : is ? json_fail(json_find(o, key), "must be false") : 0;
}

/* Angles that grow with the position and nothing else. */
static int read_rope(struct llama_config *l, const struct json *rope)
{
    static const char *const plain[] = { "default", NULL };
    int status;

    if (!rope || json_type(rope) != JSON_OBJECT)
        return 0;
    if ((status = only(rope, "rope_type", plain)) || (status = only(rope, "type", plain)))
        return status;
    return opt_float(rope, "rope_theta", &l->theta);
}

static const struct json *params_of(const struct json *root, const char *key)
{
    const struct json *part = json_find(root, key), *params = part ? json_find(part, "params") : NULL;

    return params ? params : part;
}

static int read_multipliers(const struct json *o, const char *key, struct codec_config *c, int64_t *mult)
{
    const struct json *list = o ? json_find(o, key) : NULL;
    int status = 0, n = 0;

    if (!list)
        return 0;
    if (json_type(list) != JSON_ARRAY || json_count(list) < 1 || json_count(list) > CODEC_LEVELS)
        return json_fail(list, "must be a list of 1 to %d numbers", CODEC_LEVELS);
    for (const struct json *v = json_first(list); v && !status; v = json_next(v))
        status = json_int(v, 1, 64, &mult[n++]);
    c->levels = n;
    return status;
}

static int read_language(struct llama_config *l, const struct json *o)
{
    static const char *const silu[] = { "silu", "swish", NULL };
    int status;

    if (!o)
        return 0;
    if ((status = opt(o, "vocab_size", &l->vocabulary)) || (status = opt(o, "hidden_size", &l->width)) ||
        (status = opt(o, "intermediate_size", &l->hidden)) || (status = opt(o, "num_hidden_layers", &l->layers)) ||
        (status = opt(o, "num_attention_heads", &l->heads)) || (status = opt(o, "num_key_value_heads", &l->kv_heads)) ||
        (status = opt(o, "head_dim", &l->head)) || (status = never(o, "attention_bias")) || (status = never(o, "mlp_bias")) ||
        (status = opt_float(o, "rms_norm_eps", &l->eps)) || (status = opt_float(o, "rope_theta", &l->theta)))
        return status;
    if ((status = only(o, "hidden_act", silu)) < 0)
        return status;
    status = read_rope(l, json_find(o, "rope_scaling"));
    return status ? status : read_rope(l, json_find(o, "rope_parameters"));
}

static int read_vision(struct vit_config *v, const struct json *o)
{
    static const char *const gelu[] = { "gelu", "gelu_erf", "gelu_tanh", "gelu_pytorch_tanh", "gelu_new", NULL };
    static const char *const whole[] = { "same", "cls_patch", NULL }; /* there is no class token to drop */
    double ratio = 4;
    int64_t select = -1;
    int status;

    if (!o)
        return 0;
    if ((status = opt(o, "image_size", &v->image)) || (status = opt(o, "patch", &v->patch)) ||
        (status = opt(o, "patch_size", &v->patch)) || (status = opt(o, "width", &v->width)) ||
        (status = opt(o, "layers", &v->layers)) || (status = opt(o, "heads", &v->heads)) ||
        (status = opt_float(o, "ln_eps", &v->eps)))
        return status;
    if ((status = json_opt_number(o, "mlp_ratio", 1e-3, 1024, &ratio)) ||
        (status = json_opt_int(o, "select_layer", -1024, 1024, &select)))
        return status;
    v->hidden = (int64_t)(ratio * (double)v->width);
    /* From the end if not above 0: -1 is all layers, -2 all but the last. What is left out is not in
     * the file either, and the final norm follows what is there. */
    select = select > 0 ? select : v->layers + select + 1;
    if (select < 1)
        return json_fail(o, "select_layer leaves no layer of %lld", (long long)v->layers);
    v->layers = select < v->layers ? select : v->layers;
    if ((status = only(o, "select_feature", whole)) < 0)
        return status;
    for (int i = 0; i < 2; i++) { /* two places where it may be said */
        if ((status = only(o, i ? "hidden_act" : "act", gelu)) < 0)
            return status;
        v->tanh |= status > 1;
    }
    return 0;
}

static int read_codec(struct codec_config *c, const struct json *o, int64_t grid)
{
    int64_t blocks = c->blocks;
    int status;

    if (!o)
        return 0;
    if ((status = opt(o, "image_token_size", &c->codes)) || (status = opt(o, "codes", &c->codes)) ||
        (status = opt(o, "n_embed", &c->code_size)) || (status = opt(o, "code_dim", &c->code_size)) ||
        (status = opt(o, "ch", &c->channels)) || (status = opt(o, "z_channels", &c->z)) ||
        (status = json_opt_int(o, "num_res_blocks", 0, 16, &blocks)) || (status = opt(o, "grid", &grid)) ||
        (status = read_multipliers(o, "ch_mult", c, c->encoder_mult)) ||
        (status = read_multipliers(o, "ch_mult", c, c->decoder_mult)) ||
        (status = read_multipliers(o, "encoder_ch_mult", c, c->encoder_mult)) ||
        (status = read_multipliers(o, "decoder_ch_mult", c, c->decoder_mult)))
        return status;
    c->blocks = blocks;
    if (grid)
        c->image = grid << (c->levels - 1);
    return 0;
}

/* What later code takes for granted. */
static int check(const struct janus_config *c, const struct json *root)
{
    const struct llama_config *l = &c->language;
    const struct vit_config *v = &c->vision;
    const struct codec_config *k = &c->codec;

    if (!l->head || l->heads % l->kv_heads || l->head % 2)
        return json_fail(root, "language: width %lld, %lld heads of %lld (an even number) and %lld key heads do not fit together",
                         (long long)l->width, (long long)l->heads, (long long)l->head, (long long)l->kv_heads);
    if (v->image % v->patch || v->width % v->heads || v->image / v->patch > 256)
        return json_fail(root, "vision: image %lld, patch %lld, width %lld and %lld heads do not fit together",
                         (long long)v->image, (long long)v->patch, (long long)v->width, (long long)v->heads);
    if (k->channels % 32 || k->image % (1 << (k->levels - 1)) || k->image > 4096 || k->image < 1)
        return json_fail(root, "codec: %lld channels (a multiple of 32) and an image of %lld in %d levels do not fit together",
                         (long long)k->channels, (long long)k->image, k->levels);
    if (l->layers > 1024 || v->layers > 1024)
        return json_fail(root, "more than 1024 layers");
    return 0;
}

/* The json of a golden folder: parts at the top, ids as numbers. */
static int read_golden(struct janus_config *c, const struct json *root)
{
    const struct json *ids = json_find(root, "ids"), *head = json_find(root, "gen_head");
    int64_t v[6] = { -1, -1, -1, -1, -1, -1 };
    static const char *const names[] = { "bos", "eos", "pad", "boi", "eoi", "img" };
    int status;

    if ((status = read_language(&c->language, json_find(root, "language"))) ||
        (status = read_vision(&c->vision, json_find(root, "vision"))) ||
        (status = read_codec(&c->codec, json_find(root, "vq"), 0)))
        return status;
    c->head_hidden = c->language.width;
    if (head && (status = opt(head, "hidden", &c->head_hidden)))
        return status;
    for (int i = 0; ids && i < 6; i++)
        if ((status = json_opt_int(ids, names[i], 0, c->language.vocabulary - 1, &v[i])))
            return status;
    c->ids = (struct template_janus){ (int32_t)v[0], (int32_t)v[1], (int32_t)v[2], (int32_t)v[3], (int32_t)v[4], (int32_t)v[5] };
    return 0;
}

/* transformers' port: text_config, vision_config and vq_config, with the same defaults. A size that
 * must be another one's is left out or says the same. */
static int read_port(struct janus_config *c, const struct json *root)
{
    static const char *const gelu[] = { "gelu", NULL };
    const struct json *v = json_find(root, "vision_config"), *k = json_find(root, "vq_config");
    struct vit_config *vit = &c->vision;
    struct codec_config *codec = &c->codec;
    int64_t grid, depth = 2, blocks = codec->blocks, width, same[3];
    bool bias = true;
    double ratio = 4;
    int status = read_language(&c->language, json_find(root, "text_config"));

    c->port = true;
    if (!status && v &&
        !((status = opt(v, "image_size", &vit->image)) || (status = opt(v, "patch_size", &vit->patch)) ||
          (status = opt(v, "hidden_size", &vit->width)) || (status = opt(v, "num_hidden_layers", &vit->layers)) ||
          (status = opt(v, "num_attention_heads", &vit->heads)) || (status = opt_float(v, "layer_norm_eps", &vit->eps)) ||
          (status = json_opt_number(v, "mlp_ratio", 1e-3, 1024, &ratio)) || (status = never(v, "use_qk_norm")) ||
          (status = json_opt_bool(v, "attention_bias", &bias)) || (status = json_opt_int(v, "depth", 2, 2, &depth))) &&
        (status = only(v, "hidden_act", gelu)) >= 0)
        status = bias ? 0 : json_fail(json_find(v, "attention_bias"), "must be true");
    vit->hidden = (int64_t)(ratio * (double)vit->width);
    grid = vit->image / vit->patch;
    if (!status && k &&
        !((status = opt(k, "num_embeddings", &codec->codes)) || (status = opt(k, "embed_dim", &codec->code_size)) ||
          (status = opt(k, "base_channels", &codec->channels)) || (status = opt(k, "latent_channels", &codec->z)) ||
          (status = json_opt_int(k, "num_res_blocks", 0, 16, &blocks)) || (status = opt(k, "num_patches", &grid)) ||
          (status = json_opt_int(k, "num_hidden_layers", 2, 2, &depth)) || (status = never(k, "double_latent")) ||
          (status = read_multipliers(k, "channel_multiplier", codec, codec->encoder_mult)) ||
          (status = read_multipliers(k, "channel_multiplier", codec, codec->decoder_mult))))
        status = only(k, "hidden_act", gelu);
    codec->blocks = blocks;
    codec->image = grid << (codec->levels - 1);
    c->head_hidden = width = same[0] = same[1] = same[2] = c->language.width;
    if (status < 0 || (v && (status = opt(v, "projection_dim", &same[0]))) ||
        (k && ((status = opt(k, "projection_dim", &same[1])) || (status = opt(k, "image_token_embed_dim", &same[2])))))
        return status;
    if (same[0] != width || same[1] != width || same[2] != width)
        return json_fail(root, "the projections have %lld, %lld and %lld numbers; the language model has %lld",
                         (long long)same[0], (long long)same[1], (long long)same[2], (long long)width);
    return 0;
}

int janus_config_read(struct janus_config *c, const struct json *root)
{
    int status;

    defaults(c);
    if (json_find(root, "vq")) {
        status = read_golden(c, root);
    } else if (json_find(root, "text_config") || json_find(root, "vq_config")) {
        status = read_port(c, root);
    } else {
        const struct json *codec = params_of(root, "gen_vision_config"), *head = params_of(root, "gen_head_config");
        int64_t image;
        status = read_language(&c->language, json_find(root, "language_config"));
        if (!status)
            status = read_vision(&c->vision, params_of(root, "vision_config"));
        image = c->vision.image;
        c->codec.image = image;
        if (!status)
            status = read_codec(&c->codec, codec, 0);
        if (!status)
            status = opt(codec, "image_size", &c->codec.image);
        c->head_hidden = c->language.width;
        if (!status)
            status = opt(head, "image_token_embed", &c->head_hidden);
    }
    if (!c->language.kv_heads)
        c->language.kv_heads = c->language.heads;
    if (!c->language.head && c->language.width % c->language.heads == 0)
        c->language.head = c->language.width / c->language.heads;
    return status ? status : check(c, root);
}

/* port.c - a Janus against a recorded run of transformers' port, in a folder as the port saves it.
 *
 * info.json has the texts and ids, io.safetensors what went in and came out. A picture k is recorded
 * under gen{k}.: its two rows of ids, the codes, the logits of every step when these codes are given,
 * and the codes that are likeliest at every step.
 *
 * Easy to get wrong: the port looks for the nearest code without bringing anything to unit length
 * (vq.codes_hf) and rounds the sides of a picture that the original cuts off (pre.*.hf_norm). tain
 * does both as the original does, and does not compare these.
 */
#include "check/janus.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct port {
    struct golden g;
    const struct json *info;
    struct tokenizer *tokenizer;
};

static int32_t *ints_of(const struct port *p, const char *name, int64_t *count)
{
    int32_t *v = st_need(p->g.io, name) ? check_read_ints(p->g.io, name, count) : NULL;

    return v;
}

/* Compares what tain made, floats or else ids, with a recorded tensor, if there is one. */
static int compare(const struct port *p, const char *name, const float *floats, const int32_t *ids, int64_t count)
{
    int64_t n = 0;
    void *want;
    int status = 0;

    if (!st_find(p->g.io, name))
        return 0;
    want = floats ? (void *)check_read_floats(p->g.io, name, &n) : (void *)check_read_ints(p->g.io, name, &n);
    if (!want)
        return tain_error_status();
    if (n != count)
        status = fail(TAIN_EFORMAT, "%s: %lld %s were recorded, tain makes %lld", name, (long long)n,
                      floats ? "numbers" : "ids", (long long)count);
    else if (floats)
        check_floats(p->g.report, name, floats, want, n);
    else
        check_ints(p->g.report, name, ids, want, n);
    free(want);
    return status;
}

static int floats(const struct port *p, const char *name, const float *got, int64_t count)
{
    return compare(p, name, got, NULL, count);
}

static int same_ids(const struct port *p, const char *name, const int32_t *got, int64_t count)
{
    return compare(p, name, NULL, got, count);
}

/* ---- Text ---- */

/* Prompts and the question through the folder's tokenizer, against the recorded ids. */
static int texts(struct port *p)
{
    const struct json *prompts = json_find(p->info, "prompts"), *v;
    const struct vit_config *c = &p->g.m.config.vision;
    int64_t grid = c->image / c->patch;
    const char *text = NULL;
    int status = json_opt_string(p->info, "question", &text), k = 0;
    struct tokens ids = { 0 };
    char name[64];

    for (v = prompts ? json_first(prompts) : NULL; v && !status; v = json_next(v), k++) {
        const char *prompt;

        tokens_clear(&ids);
        snprintf(name, sizeof(name), "gen%d.ids", k);
        if (!(status = json_string(v, &prompt, NULL)) &&
            !(status = tokenizer_encode(p->tokenizer, prompt, strlen(prompt), true, &ids)))
            status = same_ids(p, name, ids.at, (int64_t)ids.count);
    }
    tokens_clear(&ids);
    if (!status && text &&
        !(status = template_janus_question(p->tokenizer, template_janus_system, text, (size_t)(grid * grid), &ids)))
        status = same_ids(p, "und.input_ids", ids.at, (int64_t)ids.count);
    tokens_clear(&ids);
    return status;
}

/* pre.NAME.…: the picture pre.src, made ready at the size that info.json gives under the name. */
static int pictures(struct port *p)
{
    const struct json *sizes = json_find(p->info, "sizes");
    const struct janus_config *c = &p->g.m.config;
    const struct st_entry *e = st_find(p->g.io, "pre.src");
    struct image *source = e && e->type == ST_U8 && e->rank == 3 && e->shape[2] == 3
                               ? image_new((int)e->shape[1], (int)e->shape[0]) : NULL;
    int64_t least = c->least;
    int status = source ? st_read(p->g.io, e, source->rgb, e->bytes) : 0;

    if (!status)
        status = json_opt_int(p->info, "min_size", 1, IMAGE_SIDE, &least);
    for (const struct json *v = source && sizes ? json_first(sizes) : NULL; v && !status; v = json_next(v)) {
        int64_t target, n;
        struct image *square = NULL;
        float *pixels = NULL;
        char name[128];

        if ((status = json_get_int(v, "target", 1, 4096, &target)))
            break;
        n = 3 * target * target;
        square = image_square(source, (int)target, (int)least, c->background);
        pixels = base_alloc((size_t)n, sizeof(float));
        if (!square || !pixels) {
            status = tain_error_status();
        } else {
            image_floats(square, c->mean, c->deviation, pixels);
            snprintf(name, sizeof(name), "pre.%.60s.orig_norm", json_key(v, NULL));
            status = floats(p, name, pixels, n);
            snprintf(name, sizeof(name), "pre.%.60s.orig_u8", json_key(v, NULL));
            if (!status && (e = st_find(p->g.io, name)) && e->type == ST_U8 && e->count == n) {
                uint8_t *bytes = base_alloc((size_t)n, 1);
                int64_t off = 0;

                status = bytes ? st_read(p->g.io, e, bytes, e->bytes) : TAIN_ENOMEM;
                for (int64_t i = 0; i < n && !status; i++)
                    off += bytes[i] != square->rgb[i];
                if (!status)
                    check_share(p->g.report, name, off, n);
                free(bytes);
            }
        }
        image_free(square);
        free(pixels);
    }
    image_free(source);
    return status;
}

/* ---- Drawing ---- */

/* Logits of every step of a row, when the codes are given. [N, codes] on the host. */
static int given(struct port *p, const int32_t *ids, int64_t words, const int32_t *codes, int64_t n, float *logits)
{
    struct janus *m = &p->g.m;
    tain_device *d = m->weights.device;
    int64_t T = words + n - 1, D = m->config.language.width;
    int32_t *at = base_alloc((size_t)T, 4), *pick = base_alloc((size_t)n, 4);
    tain_tensor *t[4] = { NULL }, *w = NULL, *c = NULL, *x = NULL;
    int status;

    for (int64_t i = 0; i < T && at; i++)
        at[i] = (int32_t)i;
    for (int64_t i = 0; i < n && pick; i++)
        pick[i] = (int32_t)(words - 1 + i);
    if (at && pick) {
        t[0] = tensor_from(d, TAIN_I32, 1, &words, ids);
        t[1] = tensor_from(d, TAIN_I32, 1, (int64_t[]){ n - 1 }, codes);
        t[2] = tensor_from(d, TAIN_I32, 1, &T, at);
        t[3] = tensor_from(d, TAIN_I32, 1, &n, pick);
    }
    w = t[0] ? tain_embed(m->language.embed, t[0]) : NULL;
    c = t[1] ? tain_embed(m->image_embed, t[1]) : NULL;
    c = c ? then(c, projector_run(&m->weights, &m->image_aligner, c)) : NULL;
    x = w && c ? tain_concat((tain_tensor *[]){ w, c }, 2, 0) : NULL;
    x = x ? then(x, tain_reshape(x, 3, (int64_t[]){ 1, T, D })) : NULL;
    x = x && t[2] && t[3] ? then(x, llama_run(&m->weights, &m->language, x, t[2], NULL, NULL, t[3])) : NULL;
    x = x ? then(x, projector_run(&m->weights, &m->image_head, x)) : NULL;
    status = x ? tain_tensor_read(x, logits, n * m->config.codec.codes) : tain_error_status();
    for (int i = 0; i < 4; i++)
        tensor_unref(t[i]);
    tensor_unref(w);
    tensor_unref(c);
    tensor_unref(x);
    free(at);
    free(pick);
    return status;
}

static int picture(struct port *p, const int32_t *codes, int k)
{
    const struct st_entry *e;
    int64_t S = p->g.m.config.codec.image, n = 3 * S * S;
    tain_tensor *image = janus_decode(&p->g.m, codes, 1);
    float *hwc = base_alloc((size_t)n, sizeof(float));
    uint8_t *bytes = base_alloc((size_t)n, 1);
    int status = image && hwc && bytes ? tain_tensor_read(image, hwc, n) : tain_error_status();
    char name[64];

    snprintf(name, sizeof(name), "gen%d.image", k);
    if (!status)
        status = check_tensor(p->g.report, name, golden_channels_first(tensor_ref(image)), p->g.io, name);
    snprintf(name, sizeof(name), "gen%d.image_u8", k);
    if (!status && (e = st_find(p->g.io, name)) && e->type == ST_U8 && e->count == n &&
        !(status = st_read(p->g.io, e, bytes, e->bytes))) {
        int64_t off = 0;

        for (int64_t i = 0; i < n; i++) {
            float v = (hwc[i] + 1) / 2 * 255;
            int byte = (int)(v < 0 ? 0 : v > 255 ? 255 : v), away = abs(byte - bytes[i]);
            /* A byte off by one is right if the exact number lies on the edge between the two. */
            off += away > 1 || (away == 1 && fabsf(v - roundf(v)) > 1e-3f);
        }
        check_share(p->g.report, name, off, n);
    }
    tensor_unref(image);
    free(hwc);
    free(bytes);
    return status;
}

/* The likeliest code at every step: a temperature at which nothing else is ever drawn. */
static int likeliest(struct port *p, const struct janus_row *c, const struct janus_row *un, int64_t n, int32_t *codes)
{
    float *u = base_alloc((size_t)n, sizeof(float));
    struct janus_drawing *d = NULL;
    int64_t left = 1;
    int status = 0;

    for (int64_t i = 0; i < n && u; i++)
        u[i] = 0.5f;
    if (!u || !(d = janus_draw(&p->g.m, c, un, 1, u, (float)p->g.guidance, 1e-5f)))
        status = tain_error_status();
    while (!status && left > 0)
        if ((left = janus_draw_next(d)) < 0)
            status = (int)left;
    if (!status)
        status = janus_draw_codes(d, codes);
    janus_draw_free(d);
    free(u);
    return status;
}

/* token_logp and its sum, from the conditional logits. */
static int likelihood(struct port *p, const float *logits, const int32_t *codes, int64_t n, int k)
{
    int64_t V = p->g.m.config.codec.codes;
    float *each = base_alloc((size_t)n, sizeof(float)), all;
    double sum = 0;
    char name[64];
    int status = each ? 0 : TAIN_ENOMEM;

    for (int64_t i = 0; i < n && !status; i++) {
        const float *row = logits + i * V;
        double most = row[0], total = 0;

        for (int64_t v = 1; v < V; v++)
            most = row[v] > most ? row[v] : most;
        for (int64_t v = 0; v < V; v++)
            total += exp(row[v] - most);
        each[i] = (float)(row[codes[i]] - most - log(total));
        sum += each[i];
    }
    all = (float)sum;
    snprintf(name, sizeof(name), "gen%d.token_logp", k);
    if (!status)
        status = floats(p, name, each, n);
    snprintf(name, sizeof(name), "gen%d.logp", k);
    if (!status)
        status = floats(p, name, &all, 1);
    free(each);
    return status;
}

static int drawing(struct port *p, int k)
{
    struct janus *m = &p->g.m;
    int64_t words[2] = { 0 }, n = 0, V = m->config.codec.codes, all, g = codec_grid(&m->config.codec);
    int32_t *ids[2], *codes, *made = NULL;
    float *logits[3] = { NULL };
    char name[64];
    int status = 0;

    snprintf(name, sizeof(name), "gen%d.ids", k);
    ids[0] = ints_of(p, name, &words[0]);
    snprintf(name, sizeof(name), "gen%d.ids_uncond", k);
    ids[1] = ints_of(p, name, &words[1]);
    snprintf(name, sizeof(name), "gen%d.codes", k);
    codes = ints_of(p, name, &n);
    all = n * V;
    for (int i = 0; i < 3; i++)
        logits[i] = base_alloc((size_t)all + 1, sizeof(float));
    made = base_alloc((size_t)n + 1, 4);
    if (!ids[0] || !ids[1] || !codes || !made || !logits[0] || !logits[1] || !logits[2])
        status = tain_error_status();
    else if (n != g * g || words[0] != words[1] || words[0] < 1)
        status = fail(TAIN_EFORMAT, "%s: %lld codes, after %lld and %lld ids; the configuration asks for %lld codes", name,
                      (long long)n, (long long)words[0], (long long)words[1], (long long)(g * g));
    for (int64_t i = 0; i < n && !status; i++)
        if (codes[i] < 0 || codes[i] >= V)
            status = fail(TAIN_EFORMAT, "%s: code %d; the codebook has %lld", name, codes[i], (long long)V);
    for (int i = 0; i < 2; i++)
        for (int64_t t = 0; t < words[i] && !status; t++)
            if (ids[i][t] < 0 || ids[i][t] >= m->config.language.vocabulary)
                status = fail(TAIN_EFORMAT, "%s: token %d; the vocabulary has %lld", name, ids[i][t],
                              (long long)m->config.language.vocabulary);
    for (int i = 0; i < 2 && !status; i++) {
        status = given(p, ids[i], words[i], codes, n, logits[i]);
        snprintf(name, sizeof(name), i ? "gen%d.logit_uncond" : "gen%d.logit_cond", k);
        if (!status)
            status = floats(p, name, logits[i], all);
    }
    for (int64_t i = 0; i < all && !status; i++)
        logits[2][i] = logits[1][i] + (float)p->g.guidance * (logits[0][i] - logits[1][i]);
    snprintf(name, sizeof(name), "gen%d.logit_guided", k);
    if (!status)
        status = floats(p, name, logits[2], all);
    if (!status)
        status = likelihood(p, logits[0], codes, n, k);
    if (!status)
        status = likeliest(p, &(struct janus_row){ ids[0], words[0] }, &(struct janus_row){ ids[1], words[1] }, n, made);
    snprintf(name, sizeof(name), "gen%d.greedy", k);
    if (!status)
        status = same_ids(p, name, made, n);
    if (!status)
        status = picture(p, codes, k);
    free(ids[0]);
    free(ids[1]);
    free(codes);
    free(made);
    for (int i = 0; i < 3; i++)
        free(logits[i]);
    return status;
}

/* ---- The codec ---- */

static int codec(struct port *p)
{
    struct janus *m = &p->g.m;
    int64_t S = m->config.codec.image, n = 0, g = codec_grid(&m->config.codec);
    float *chw = check_read_floats(p->g.io, "vq.image", &n), *hwc = base_alloc((size_t)n + 1, sizeof(float));
    int32_t *got = base_alloc((size_t)(g * g), 4);
    tain_tensor *x = NULL, *z = NULL, *best = NULL;
    int status = hwc && got ? 0 : TAIN_ENOMEM;

    if (!status && chw && n != 3 * S * S)
        status = fail(TAIN_EFORMAT, "vq.image: its size is not that of the configuration");
    if (!status && chw) {
        for (int64_t i = 0; i < n; i++)
            hwc[i] = chw[i % 3 * S * S + i / 3];
        x = tensor_from(m->weights.device, TAIN_F32, 4, (int64_t[]){ 1, S, S, 3 }, hwc);
        z = x ? codec_encode(&m->weights, m->codec, x) : NULL;
        best = z ? codec_nearest(m->codec, z) : NULL;
        status = best ? tain_tensor_read_ints(best, got, g * g) : tain_error_status();
        if (!status && st_find(p->g.io, "vq.z"))
            status = check_tensor(p->g.report, "vq.z", golden_channels_first(tensor_ref(z)), p->g.io, "vq.z");
        if (!status)
            status = same_ids(p, "vq.codes_original", got, g * g);
    }
    tensor_unref(x);
    tensor_unref(z);
    tensor_unref(best);
    free(chw);
    free(hwc);
    free(got);
    return status;
}

/* ---- All of it ---- */

static int read_ids(struct port *p)
{
    static const char *const names[] = { "bos", "eos", "pad", "boi", "eoi", "img" };
    const struct json *ids = json_find(p->info, "ids");
    struct template_janus *known = &p->g.m.config.ids;
    int32_t *const to[] = { &known->bos, &known->eos, &known->pad, &known->begin_image, &known->end_image, &known->image };
    int status = template_janus_open(p->tokenizer, known);

    for (int i = 0; i < 6 && ids && !status; i++) {
        int64_t id = *to[i];

        if (!(status = json_opt_int(ids, names[i], 0, p->g.m.config.language.vocabulary - 1, &id)) && id != *to[i])
            status = fail(TAIN_EFORMAT, "info.json: ids.%s is %lld; the tokenizer says %d", names[i], (long long)id, *to[i]);
    }
    return status;
}

static int check(struct port *p, tain_device *d, const char *folder, const struct json *root, const struct st_file *weights)
{
    static const char *const known[] = {
        "und.pixels", "und.input_ids", "und.vit", "und.aligned", "und.logits", "und.greedy", "vq.image", "vq.z",
        "vq.codes_original", "pre.src", "pre.*.orig_norm", "pre.*.orig_u8", "gen*.ids", "gen*.ids_uncond", "gen*.codes",
        "gen*.logit_cond", "gen*.logit_uncond", "gen*.logit_guided", "gen*.token_logp", "gen*.logp", "gen*.greedy",
        "gen*.image", "gen*.image_u8",
    };
    struct janus_config c;
    char name[64];
    int status = json_opt_number(p->info, "cfg", 0, 1000, &p->g.guidance);

    if (!status)
        status = janus_config_read(&c, root);
    if (!status)
        status = janus_open(&p->g.m, d, &c);
    if (!status && !(p->tokenizer = tokenizer_open(folder)))
        status = tain_error_status();
    if (!status)
        status = read_ids(p);
    if (!status)
        status = weights_load(&p->g.m.weights, weights, TAIN_F32);
    if (!status)
        status = texts(p);
    if (!status)
        status = pictures(p);
    if (!status)
        status = golden_understanding(&p->g);
    for (int k = 0; !status; k++) {
        snprintf(name, sizeof(name), "gen%d.codes", k);
        if (!st_find(p->g.io, name))
            break;
        status = drawing(p, k);
    }
    if (!status)
        status = codec(p);
    if (!status)
        golden_tell_unknown(&p->g, known, COUNT_OF(known));
    tokenizer_free(p->tokenizer);
    janus_close(&p->g.m);
    return status;
}

double tain_check_port(tain_device *device, const char *folder, const char **lines)
{
    static const char *const names[] = { "info.json", "config.json", "io.safetensors" };
    struct check_report r = check_begin();
    struct port p = { .g = { .report = &r, .guidance = 5, .temperature = 1 } };
    struct json *root[2] = { NULL, NULL };
    struct st_file *weights = NULL, *io = NULL;
    char *paths[3] = { NULL };
    int status = device && folder ? 0 : fail(TAIN_EINVAL, "check: device or folder is missing");

    for (int i = 0; i < 3 && !status; i++)
        if (!(paths[i] = path_join(folder, names[i])) || (i < 2 && !(root[i] = json_read(paths[i], 1 << 24))))
            status = tain_error_status();
    if (!status && (!(io = st_open(paths[2])) || !(weights = st_open(folder))))
        status = tain_error_status();
    p.info = root[0];
    p.g.io = io;
    if (!status)
        status = check(&p, device, folder, root[1], weights);
    st_close(weights);
    st_close(io);
    json_free(root[0]);
    json_free(root[1]);
    for (int i = 0; i < 3; i++)
        free(paths[i]);
    return check_end(&r, status, lines);
}

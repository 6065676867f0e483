/* model.c - the public face of models: folders, prompts and pixels in, likelihoods, answers and
 * pixels out.
 */
#include "model/adapter.h"
#include "model/janus.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tain_model {
    struct janus j;
    struct tokenizer *tokenizer;
    struct tokens yes, no;    /* ids of their spellings */
    int32_t *part_of, *part;  /* weight names in order: which weight, which part of it */
    int32_t names;
};

/* ---- Folders ---- */

/* Three numbers, or those that were there. */
static int opt_three(const struct json *o, const char *key, double min, double max, double out[3])
{
    const struct json *list = json_find(o, key);
    int status = 0, i = 0;

    if (!list || json_type(list) == JSON_NULL)
        return 0;
    if (json_type(list) != JSON_ARRAY || json_count(list) != 3)
        return json_fail(list, "must be a list of 3 numbers");
    for (const struct json *v = json_first(list); v && !status; v = json_next(v))
        status = json_number(v, min, max, &out[i++]);
    return status;
}

/* How pictures are made ready for the vision transformer. */
static int read_pixels(struct janus_config *c, const struct json *root)
{
    double mean[3] = { 0.5, 0.5, 0.5 }, deviation[3] = { 0.5, 0.5, 0.5 }, background[3] = { 127, 127, 127 };
    int status;

    if ((status = opt_three(root, "image_mean", -1e3, 1e3, mean)) || (status = opt_three(root, "image_std", 1e-6, 1e3, deviation)) ||
        (status = opt_three(root, "background_color", 0, 255, background)) ||
        (status = json_opt_int(root, "min_size", 1, IMAGE_SIDE, &c->least)))
        return status;
    for (int i = 0; i < 3; i++) {
        c->mean[i] = (float)mean[i];
        c->deviation[i] = (float)deviation[i];
        c->background[i] = (uint8_t)background[i];
    }
    return 0;
}

/* The text before questions and how pictures are made ready, where the folder says other than Janus. */
static int read_processors(struct tain_model *m, const char *folder)
{
    static const char *const names[] = { "processor_config.json", "preprocessor_config.json" };
    const char *system = template_janus_system;
    struct json *root[2] = { NULL, NULL };
    int status = 0;

    for (int i = 0; i < 2 && !status; i++) {
        char *path = path_join(folder, names[i]);

        if (!path || (file_exists(path) && !(root[i] = json_read(path, 1 << 20))))
            status = tain_error_status();
        free(path);
    }
    if (!status && root[0])
        status = json_opt_string(root[0], "system_prompt", &system);
    if (!status && root[1])
        status = read_pixels(&m->j.config, root[1]);
    if (!status && !(m->j.config.system = base_strdup(system)))
        status = TAIN_ENOMEM;
    json_free(root[0]);
    json_free(root[1]);
    return status;
}

static int read_words(struct tain_model *m)
{
    static const char *const yes[] = { " Yes", "Yes", " yes", "yes" }, *const no[] = { " No", "No", " no", "no" };
    int status;

    if ((status = template_single_tokens(m->tokenizer, yes, 4, &m->yes)) ||
        (status = template_single_tokens(m->tokenizer, no, 4, &m->no)))
        return status;
    return 0;
}

static int list_names(struct tain_model *m)
{
    struct weights *w = &m->j.weights;
    int at = 0;

    for (int i = 0; i < w->count; i++)
        m->names += w->list[i]->part_count;
    m->part_of = base_alloc((size_t)m->names, 4);
    m->part = base_alloc((size_t)m->names, 4);
    if (!m->part_of || !m->part)
        return TAIN_ENOMEM;
    for (int i = 0; i < w->count; i++)
        for (int p = 0; p < w->list[i]->part_count; p++, at++) {
            m->part_of[at] = i;
            m->part[at] = p;
        }
    return 0;
}

/* Everything but the weights. */
static struct tain_model *open_folder(tain_device *d, const char *folder)
{
    struct tain_model *m = base_alloc(1, sizeof(*m));
    struct janus_config c;
    char *path = path_join(folder, "config.json");
    struct json *root = NULL;
    int status = m && path ? 0 : TAIN_ENOMEM;

    if (!status && !(root = json_read(path, 1 << 20)))
        status = tain_error_status();
    if (!status)
        status = janus_config_read(&c, root);
    if (!status && !(m->tokenizer = tokenizer_open(folder)))
        status = tain_error_status();
    if (!status)
        status = template_janus_open(m->tokenizer, &c.ids);
    if (!status && tokenizer_count(m->tokenizer) > c.language.vocabulary)
        status = fail(TAIN_EFORMAT, "%s: the tokenizer has %d tokens, the model %lld", folder, tokenizer_count(m->tokenizer),
                      (long long)c.language.vocabulary);
    if (!status)
        status = janus_open(&m->j, d, &c);
    if (!status)
        status = read_processors(m, folder);
    if (!status)
        status = read_words(m);
    if (!status)
        status = list_names(m);
    json_free(root);
    free(path);
    if (status) {
        tain_model_free(m);
        return NULL;
    }
    d->refs++;
    return m;
}

tain_model *tain_model_load(tain_device *device, const char *folder, tain_type storage)
{
    struct tain_model *m;
    struct st_file *f;
    int status;

    REQUIRE_OR_NULL(device, "load: device is missing");
    REQUIRE_OR_NULL(folder, "load: folder is missing");
    REQUIRE_OR_NULL((storage >= TAIN_F32 && storage <= TAIN_BF16) || type_blocks(storage),
                    "load: storage must be f32, f16, bf16, int8 or int4");
    REQUIRE_OR_NULL(folder_exists(folder), "load: there is no folder %s", folder);
    if (!(m = open_folder(device, folder)))
        return NULL;
    if (gpu_plans(device->gpu)) {
        status = weights_place(&m->j.weights, storage, TAIN_BF16);
    } else {
        f = st_open(folder);
        status = f ? weights_load(&m->j.weights, f, storage) : tain_error_status();
        st_close(f);
    }
    if (status) {
        tain_model_free(m);
        return NULL;
    }
    m->j.language.cache = m->j.language.embed->type;
    return m;
}

tain_model *tain_model_create(tain_device *device, const char *folder, int64_t seed)
{
    struct tain_model *m;

    REQUIRE_OR_NULL(device, "create: device is missing");
    REQUIRE_OR_NULL(folder, "create: folder is missing");
    if (!(m = open_folder(device, folder)))
        return NULL;
    if (weights_random(&m->j.weights, (uint64_t)seed)) {
        tain_model_free(m);
        return NULL;
    }
    return m;
}

void tain_model_free(tain_model *model)
{
    tain_device *d;

    if (!model)
        return;
    d = model->part ? model->j.weights.device : NULL; /* a half-opened model holds none */
    janus_close(&model->j);
    tokenizer_free(model->tokenizer);
    tokens_clear(&model->yes);
    tokens_clear(&model->no);
    free(model->part_of);
    free(model->part);
    free(model);
    tain_device_free(d);
}

tain_status tain_model_save(tain_model *model, const char *folder, tain_type type, bool port, int64_t shard)
{
    static const enum st_type types[] = { ST_F32, ST_F16, ST_BF16 };
    bool as_it_is = type_blocks(type);

    REQUIRE(model, "save: model is missing");
    REQUIRE(folder, "save: folder is missing");
    REQUIRE((type >= TAIN_F32 && type <= TAIN_BF16) || as_it_is, "save: type must be f32, f16, bf16, int8 or int4");
    REQUIRE(!as_it_is || tain_model_matrices(model, type) > 0,
            "save: type is %s, and no matrix of the model is stored so; load it with that storage", type_name(type));
    REQUIRE(shard > 0, "save: shard is %lld bytes; it must be above 0", (long long)shard);
    return weights_save(&model->j.weights, folder, as_it_is ? ST_OTHER : types[type], port, shard);
}

int32_t tain_model_matrices(tain_model *model, tain_type type)
{
    const struct weights *w;
    int32_t n = 0;

    REQUIRE(model, "matrices: model is missing");
    w = &model->j.weights;
    for (int i = 0; i < w->count; i++)
        if (w->list[i]->tensor->type == type && w->list[i]->kind == WEIGHT_MATRIX)
            n += w->list[i]->part_count;
    return n;
}

bool tain_model_is_port(tain_model *model)
{
    return model && model->j.config.port;
}

int32_t tain_model_token(tain_model *model, const char *name)
{
    return model && name ? tokenizer_id(model->tokenizer, name) : -1;
}

tain_status tain_model_restore(tain_model *model, const char *path)
{
    struct st_file *f;
    int status;

    REQUIRE(model, "restore: model is missing");
    REQUIRE(path, "restore: path is missing");
    f = st_open(path);
    if (!f)
        return tain_error_status();
    status = weights_reload(&model->j.weights, f);
    st_close(f);
    return status;
}

int32_t tain_model_weight_count(tain_model *model)
{
    return model ? model->names : 0;
}

const char *tain_model_weight_name(tain_model *model, int32_t index)
{
    REQUIRE_OR_NULL(model, "weight: model is missing");
    REQUIRE_OR_NULL(index >= 0 && index < model->names, "weight: number %d of %d does not exist", index, model->names);
    return model->j.weights.list[model->part_of[index]]->parts[model->part[index]].name;
}

tain_tensor *tain_model_weight(tain_model *model, int32_t index)
{
    REQUIRE_OR_NULL(model, "weight: model is missing");
    REQUIRE_OR_NULL(index >= 0 && index < model->names, "weight: number %d of %d does not exist", index, model->names);
    return tensor_ref(model->j.weights.list[model->part_of[index]]->tensor);
}

tain_status tain_model_recompute(tain_model *model, bool on)
{
    REQUIRE(model, "recompute: model is missing");
    model->j.language.recompute = on;
    return 0;
}

tain_status tain_model_cache(tain_model *model, tain_type type)
{
    REQUIRE(model, "cache: model is missing");
    REQUIRE(type >= TAIN_F32 && type <= TAIN_BF16, "cache: type must be f32, f16 or bf16");
    model->j.language.cache = type;
    return 0;
}

int32_t tain_model_image_codes(tain_model *model)
{
    int64_t g = model ? codec_grid(&model->j.config.codec) : 0;

    return (int32_t)(g * g);
}

int32_t tain_model_codebook(tain_model *model)
{
    return model ? (int32_t)model->j.config.codec.codes : 0;
}

int32_t tain_model_image_size(tain_model *model)
{
    return model ? (int32_t)model->j.config.codec.image : 0;
}

/* ---- Adapters ---- */

tain_status tain_model_adapt(tain_model *model, const char *targets, int32_t rank, float alpha, bool root, int64_t seed)
{
    int status;

    REQUIRE(model, "adapt: model is missing");
    REQUIRE(targets, "adapt: targets are missing");
    status = adapter_new(&model->j.weights, targets, rank, alpha, root, (uint64_t)seed);
    if (!status)
        model->j.weights.adapted = true;
    return status;
}

tain_status tain_model_adapter_load(tain_model *model, const char *folder)
{
    int status;

    REQUIRE(model, "adapter: model is missing");
    REQUIRE(folder, "adapter: folder is missing");
    status = adapter_load(&model->j.weights, folder);
    if (!status)
        model->j.weights.adapted = true;
    return status;
}

tain_status tain_model_adapter_save(tain_model *model, const char *folder, const char *base, bool port)
{
    REQUIRE(model, "adapter: model is missing");
    REQUIRE(folder && base, "adapter: folder or base is missing");
    REQUIRE(adapter_count(&model->j.weights) > 0, "adapter: the model has none");
    return adapter_save(&model->j.weights, folder, base, port);
}

bool tain_model_adapter_enable(tain_model *model, bool on)
{
    bool before = model && model->j.weights.adapted;

    if (model)
        model->j.weights.adapted = on;
    return before;
}

tain_status tain_model_adapter_merge(tain_model *model)
{
    REQUIRE(model, "adapter: model is missing");
    REQUIRE(adapter_count(&model->j.weights) > 0, "adapter: the model has none");
    return adapter_merge(&model->j.weights);
}

void tain_model_adapter_drop(tain_model *model)
{
    if (model)
        adapter_drop(&model->j.weights);
}

tain_tensor *tain_model_adapter(tain_model *model, int32_t index)
{
    tain_tensor *t = model && index >= 0 ? adapter_tensor(&model->j.weights, index) : NULL;

    return t ? tensor_ref(t) : NULL;
}

/* ---- Prompts ---- */

/* Ids of prompts, one list after the other. */
struct prompts {
    struct tokens all, blank; /* conditional and unconditional */
    struct janus_row *rows, *blanks;
};

static void prompts_clear(struct prompts *p)
{
    tokens_clear(&p->all);
    tokens_clear(&p->blank);
    free(p->rows);
    free(p->blanks);
}

static int prompts_make(struct tain_model *m, struct prompts *p, const char *const *texts, int32_t count, const char *what)
{
    size_t *ends = base_alloc((size_t)count + 1, sizeof(*ends));
    int status = ends ? 0 : TAIN_ENOMEM;

    for (int32_t i = 0; i < count && !status; i++) {
        if (!texts[i])
            status = fail(TAIN_EINVAL, "%s: prompt %d is missing", what, i + 1);
        else
            status = template_janus_image(m->tokenizer, texts[i], &p->all, &p->blank);
        ends[i + 1] = p->all.count;
    }
    p->rows = base_alloc((size_t)count, sizeof(*p->rows));
    p->blanks = base_alloc((size_t)count, sizeof(*p->blanks));
    if (!p->rows || !p->blanks)
        status = TAIN_ENOMEM;
    for (int32_t i = 0; i < count && !status; i++) {
        p->rows[i] = (struct janus_row){ p->all.at + ends[i], (int64_t)(ends[i + 1] - ends[i]) };
        p->blanks[i] = (struct janus_row){ p->blank.at + ends[i], (int64_t)(ends[i + 1] - ends[i]) };
    }
    free(ends);
    return status;
}

tain_tensor *tain_model_logprob(tain_model *model, const char *const *prompts, const uint8_t *dropped, int32_t rows,
                                const int32_t *codes)
{
    struct prompts p = { 0 };
    tain_tensor *y = NULL;

    REQUIRE_OR_NULL(model, "logprob: model is missing");
    REQUIRE_OR_NULL(prompts && codes, "logprob: prompts or codes are missing");
    REQUIRE_OR_NULL(rows > 0, "logprob: %d rows; there must be one or more", rows);
    if (!prompts_make(model, &p, prompts, rows, "logprob")) {
        for (int32_t i = 0; dropped && i < rows; i++)
            if (dropped[i])
                p.rows[i] = p.blanks[i];
        y = janus_image_logprob(&model->j, p.rows, rows, codes);
    }
    prompts_clear(&p);
    return y;
}

/* ---- Pixels ---- */

/* Images as the vision transformer wants them. */
static tain_tensor *look(struct tain_model *m, const uint8_t *rgb, int32_t images, int32_t width, int32_t height)
{
    const struct janus_config *c = &m->j.config;
    int64_t S = c->vision.image;
    float *pixels = base_alloc((size_t)(images * 3 * S * S), sizeof(float));
    tain_tensor *t = NULL;
    int status = pixels ? 0 : TAIN_ENOMEM;

    for (int32_t i = 0; i < images && !status; i++) {
        struct image *one = image_new(width, height), *square = NULL;
        if (one) {
            memcpy(one->rgb, rgb + (size_t)i * (size_t)width * (size_t)height * 3, (size_t)width * (size_t)height * 3);
            square = width == S && height == S ? one : image_square(one, (int)S, (int)c->least, c->background);
        }
        if (square)
            image_floats(square, c->mean, c->deviation, pixels + (size_t)i * 3 * (size_t)(S * S));
        else
            status = tain_error_status();
        if (square != one)
            image_free(square);
        image_free(one);
    }
    if (!status)
        t = vit_patches(m->j.weights.device, &c->vision, images, pixels);
    free(pixels);
    return t;
}

static int check_pixels(const char *what, const uint8_t *rgb, int32_t images, int32_t width, int32_t height)
{
    REQUIRE(rgb, "%s: pixels are missing", what);
    REQUIRE(images > 0 && width > 0 && height > 0 && width <= IMAGE_SIDE && height <= IMAGE_SIDE,
            "%s: %d images of %d x %d pixels", what, images, width, height);
    return 0;
}

tain_status tain_model_decode(tain_model *model, const int32_t *codes, int32_t images, uint8_t *rgb)
{
    enum { AT_ONCE = 64 };
    int64_t S, N;
    float *pixels;
    int status = 0;

    REQUIRE(model, "decode: model is missing");
    REQUIRE(codes && rgb, "decode: codes or pixels are missing");
    REQUIRE(images >= 0, "decode: %d images", images);
    S = model->j.config.codec.image;
    N = tain_model_image_codes(model);
    pixels = base_alloc((size_t)(AT_ONCE * S * S * 3), sizeof(float));
    if (!pixels)
        return TAIN_ENOMEM;
    for (int32_t i = 0; i < images && !status; i += AT_ONCE) {
        int64_t n = images - i < AT_ONCE ? images - i : AT_ONCE, count = n * S * S * 3;
        tain_device *d = model->j.weights.device;
        bool grad = d->grad;
        tain_tensor *t;

        d->grad = false;
        t = janus_decode(&model->j, codes + i * N, n);
        d->grad = grad;
        status = t ? tain_tensor_read(t, pixels, count) : tain_error_status();
        tensor_unref(t);
        for (int64_t k = 0; k < count && !status; k++) { /* cut off, not rounded, as the reference does */
            float v = (pixels[k] + 1) / 2 * 255;
            rgb[i * S * S * 3 + k] = (uint8_t)(v > 0 ? v < 255 ? v : 255 : 0);
        }
    }
    free(pixels);
    return status;
}

tain_status tain_model_encode(tain_model *model, const uint8_t *rgb, int32_t images, int32_t width, int32_t height,
                              int32_t *codes)
{
    enum { AT_ONCE = 64 };
    int64_t S, N;
    float *pixels;
    int status;

    REQUIRE(model, "encode: model is missing");
    REQUIRE(codes, "encode: codes are missing");
    if ((status = check_pixels("encode", rgb, images, width, height)))
        return status;
    S = model->j.config.codec.image;
    N = tain_model_image_codes(model);
    pixels = base_alloc((size_t)(AT_ONCE * S * S * 3), sizeof(float));
    if (!pixels)
        return TAIN_ENOMEM;
    for (int32_t i = 0; i < images && !status; i += AT_ONCE) {
        int64_t n = images - i < AT_ONCE ? images - i : AT_ONCE;
        tain_device *d = model->j.weights.device;
        tain_tensor *x = NULL, *z = NULL, *best = NULL;
        bool grad = d->grad;

        for (int64_t k = 0; k < n && !status; k++) {
            const uint8_t *from = rgb + (size_t)(i + k) * (size_t)width * (size_t)height * 3;
            struct image *one = image_new(width, height), *fit = NULL, *cut = NULL;
            if (one) {
                memcpy(one->rgb, from, (size_t)width * (size_t)height * 3);
                fit = width == S && height == S ? one : image_short_side(one, (int)S, IMAGE_BICUBIC);
                cut = fit ? image_crop(fit, (fit->width - (int)S) / 2, (fit->height - (int)S) / 2, (int)S, (int)S) : NULL;
            }
            if (!cut)
                status = tain_error_status();
            for (int64_t p = 0; p < S * S * 3 && !status; p++)
                pixels[k * S * S * 3 + p] = (float)cut->rgb[p] / 127.5f - 1;
            image_free(cut);
            if (fit != one)
                image_free(fit);
            image_free(one);
        }
        d->grad = false;
        x = status ? NULL : tensor_from(d, TAIN_F32, 4, (int64_t[]){ n, S, S, 3 }, pixels);
        z = x ? codec_encode(&model->j.weights, model->j.codec, x) : NULL;
        best = z ? codec_nearest(model->j.codec, z) : NULL;
        d->grad = grad;
        if (!status)
            status = best ? tain_tensor_read_ints(best, codes + i * N, n * N) : tain_error_status();
        tensor_unref(x);
        tensor_unref(z);
        tensor_unref(best);
    }
    free(pixels);
    return status;
}

/* ---- Questions ---- */

struct questions {
    struct tokens ids, head;
    struct janus_question *list;
};

static void questions_clear(struct questions *q)
{
    tokens_clear(&q->ids);
    tokens_clear(&q->head);
    free(q->list);
}

/* Tokenises; what stands before the image's end is the same for all and goes into `head`. */
static int questions_make(struct tain_model *m, struct questions *q, const int32_t *image_of, const char *const *questions,
                          const char *const *answers, int32_t count)
{
    const struct template_janus *ids = &m->j.config.ids;
    size_t *at = base_alloc((size_t)count * 2 + 1, sizeof(*at));
    int status = at ? 0 : TAIN_ENOMEM;

    q->list = base_alloc((size_t)count, sizeof(*q->list));
    if (!q->list)
        status = TAIN_ENOMEM;
    for (int32_t i = 0; i < count && !status; i++) {
        struct tokens one = { 0 };
        size_t end = 0;

        if (!questions[i] || (answers && !answers[i])) {
            status = fail(TAIN_EINVAL, "question %d or its answer is missing", i + 1);
            break;
        }
        status = template_janus_question(m->tokenizer, m->j.config.system, questions[i], 1, &one);
        while (!status && end < one.count && one.at[end] != ids->end_image)
            end++;
        if (!status && (end == one.count || end < 2))
            status = fail(TAIN_EINVAL, "question %d: no image stands in its prompt", i + 1);
        if (!status && !q->head.count)
            status = tokens_append(&q->head, one.at, end - 1); /* without the one placeholder */
        at[2 * i] = q->ids.count;
        if (!status)
            status = tokens_append(&q->ids, one.at + end + 1, one.count - end - 1);
        at[2 * i + 1] = q->ids.count;
        if (!status && answers) {
            char *text = base_format(" %s", answers[i]);
            status = text ? tokenizer_encode(m->tokenizer, text, strlen(text), false, &q->ids) : TAIN_ENOMEM;
            if (!status)
                status = tokens_push(&q->ids, ids->eos);
            free(text);
        }
        at[2 * i + 2] = q->ids.count;
        tokens_clear(&one);
    }
    for (int32_t i = 0; i < count && !status; i++) {
        q->list[i] = (struct janus_question){
            .image = image_of[i],
            .ids = q->ids.at + at[2 * i],
            .count = (int64_t)(at[2 * i + 1] - at[2 * i]),
            .answer = q->ids.at + at[2 * i + 1],
            .answer_count = (int64_t)(at[2 * i + 2] - at[2 * i + 1]),
        };
    }
    free(at);
    return status;
}

int32_t tain_model_tokens(tain_model *model, const char *text, bool question)
{
    const char *const texts[] = { text };
    int64_t count = 0, seen;
    int status;

    REQUIRE(model, "tokens: model is missing");
    REQUIRE(text, "tokens: text is missing");
    if (question) {
        struct questions q = { 0 };
        int32_t image = 0;

        status = questions_make(model, &q, &image, texts, NULL, 1);
        seen = model->j.config.vision.image / model->j.config.vision.patch;
        count = (int64_t)q.head.count + seen * seen + 1 + (int64_t)q.ids.count; /* 1: the image's end */
        questions_clear(&q);
    } else {
        struct prompts p = { 0 };

        status = prompts_make(model, &p, texts, 1, "tokens");
        count = (int64_t)p.all.count;
        prompts_clear(&p);
    }
    return status ? status : (int32_t)count;
}

tain_tensor *tain_model_answer(tain_model *model, const uint8_t *rgb, int32_t images, int32_t width, int32_t height,
                               const int32_t *image_of, const char *const *questions, const char *const *answers,
                               int32_t count)
{
    struct questions q = { 0 };
    tain_tensor *patches = NULL, *y = NULL;

    REQUIRE_OR_NULL(model, "answer: model is missing");
    REQUIRE_OR_NULL(image_of && questions && answers, "answer: questions or answers are missing");
    REQUIRE_OR_NULL(count > 0, "answer: %d questions; there must be one or more", count);
    if (check_pixels("answer", rgb, images, width, height))
        return NULL;
    if (!questions_make(model, &q, image_of, questions, answers, count) &&
        (patches = look(model, rgb, images, width, height)))
        y = janus_answers(&model->j, patches, q.head.at, (int64_t)q.head.count, q.list, count, false);
    questions_clear(&q);
    tensor_unref(patches);
    return y;
}

static bool among(const struct tokens *list, int32_t id)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->at[i] == id)
            return true;
    return false;
}

tain_status tain_model_score(tain_model *model, const uint8_t *rgb, int32_t images, int32_t width, int32_t height,
                             const int32_t *image_of, const char *const *questions, int32_t count, float *yes, float *no,
                             int32_t *first)
{
    struct questions q = { 0 };
    tain_tensor *patches = NULL, *t = NULL;
    float *logits = NULL;
    bool grad;
    int64_t V;
    int status;

    REQUIRE(model, "score: model is missing");
    REQUIRE(image_of && questions && yes && no && first, "score: an argument is missing");
    REQUIRE(count > 0, "score: %d questions; there must be one or more", count);
    REQUIRE(model->yes.count && model->no.count, "score: the tokenizer has no token for yes or no");
    if ((status = check_pixels("score", rgb, images, width, height)))
        return status;
    V = model->j.config.language.vocabulary;
    grad = model->j.weights.device->grad;
    model->j.weights.device->grad = false;
    status = questions_make(model, &q, image_of, questions, NULL, count);
    if (!status && (patches = look(model, rgb, images, width, height)))
        t = janus_answers(&model->j, patches, q.head.at, (int64_t)q.head.count, q.list, count, true);
    model->j.weights.device->grad = grad;
    if (!status && !t)
        status = tain_error_status();
    if (!status && !(logits = base_alloc((size_t)(count * V), sizeof(float))))
        status = TAIN_ENOMEM;
    if (!status)
        status = tain_tensor_read(t, logits, count * V);
    for (int32_t i = 0; i < count && !status; i++) {
        const float *row = logits + i * V;
        double total = 0, mass[2] = { 0, 0 };
        int64_t best = 0;

        for (int64_t k = 1; k < V; k++)
            if (row[k] > row[best])
                best = k;
        for (int64_t k = 0; k < V; k++)
            total += exp((double)row[k] - row[best]);
        for (size_t k = 0; k < model->yes.count; k++)
            mass[0] += exp((double)row[model->yes.at[k]] - row[best]);
        for (size_t k = 0; k < model->no.count; k++)
            mass[1] += exp((double)row[model->no.at[k]] - row[best]);
        yes[i] = (float)(mass[0] / total);
        no[i] = (float)(mass[1] / total);
        first[i] = among(&model->yes, (int32_t)best) ? 1 : among(&model->no, (int32_t)best) ? 0 : -1;
        if (!isfinite(yes[i]) || !isfinite(no[i]))
            status = fail(TAIN_EINVAL, "score: the model's answer to question %d is not a number", i + 1);
    }
    free(logits);
    questions_clear(&q);
    tensor_unref(patches);
    tensor_unref(t);
    return status;
}

const char *tain_model_ask(tain_model *model, const uint8_t *rgb, int32_t width, int32_t height, const char *question,
                           int32_t most)
{
    static _Thread_local char *answer;
    struct tokens prompt = { 0 }, made = { 0 };
    struct template_turn turns[2] = { { question }, { "" } };
    tain_tensor *patches = NULL, *seen = NULL, *x = NULL, *logits = NULL, *best = NULL;
    struct llama_cache *cache = NULL;
    struct janus *j;
    size_t length;
    int64_t tokens, D;
    bool grad;
    int status = 0;

    REQUIRE_OR_NULL(model, "ask: model is missing");
    REQUIRE_OR_NULL(question, "ask: question is missing");
    REQUIRE_OR_NULL(most > 0 && most <= 65536, "ask: %d tokens; there may be 1 to 65536", most);
    if (rgb && check_pixels("ask", rgb, 1, width, height))
        return NULL;
    j = &model->j;
    D = j->config.language.width;
    grad = j->weights.device->grad;
    j->weights.device->grad = false;
    tokens = j->config.vision.image / j->config.vision.patch;
    tokens *= tokens;
    if (rgb) {
        status = template_janus_question(model->tokenizer, j->config.system, question, (size_t)tokens, &prompt);
        patches = status ? NULL : look(model, rgb, 1, width, height);
        seen = patches ? janus_see(j, patches) : NULL;
        if (!status && !seen)
            status = tain_error_status();
    } else {
        status = template_janus_talk(model->tokenizer, j->config.system, turns, 2, (size_t)tokens, &prompt);
    }
    cache = status ? NULL : llama_cache_new(&j->language, 1, (int64_t)prompt.count + most);
    x = cache ? janus_read(j, prompt.at, (int64_t)prompt.count, seen, cache) : NULL;
    for (int32_t i = 0; i < most && !status; i++) {
        tain_tensor *last = x ? view_part(x, 1, x->shape[1] - 1, 1) : NULL;
        tain_tensor *row = last ? op_contiguous(last) : NULL, *flat = row ? tain_reshape(row, 2, (int64_t[]){ 1, D }) : NULL;
        int32_t id = 0;

        logits = flat ? dense_run(&j->weights, &j->language.head, flat, GEMM_NONE) : NULL;
        best = logits ? tain_argmax(logits, -1) : NULL;
        status = best ? tain_tensor_read_ints(best, &id, 1) : tain_error_status();
        tensor_unref(last);
        tensor_unref(row);
        tensor_unref(flat);
        tensor_unref(logits);
        tensor_unref(best);
        if (status || id == j->config.ids.eos)
            break;
        status = tokens_push(&made, id);
        tensor_unref(x);
        x = NULL;
        if (!status && i + 1 < most && !(x = janus_read(j, &id, 1, NULL, cache)))
            status = tain_error_status();
    }
    j->weights.device->grad = grad;
    if (!status) {
        free(answer);
        answer = tokenizer_decode(model->tokenizer, made.at, made.count, true, &length);
        if (!answer)
            status = tain_error_status();
    }
    tokens_clear(&prompt);
    tokens_clear(&made);
    tensor_unref(patches);
    tensor_unref(seen);
    tensor_unref(x);
    llama_cache_free(cache);
    if (status)
        return NULL;
    return answer[0] == ' ' ? answer + 1 : answer;
}

/* ---- Drawing ---- */

struct tain_drawing {
    struct janus_drawing *g;
};

/* Philox-4x32-10: the first word of block (index) of (seed, stream), as a number in (0, 1). */
static float uniform(uint64_t seed, uint64_t stream, uint32_t index)
{
    uint32_t c[4] = { index, 0, (uint32_t)stream, (uint32_t)(stream >> 32) }, k[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };

    for (int i = 0; i < 10; i++) {
        uint64_t a = (uint64_t)c[0] * 0xd2511f53u, b = (uint64_t)c[2] * 0xcd9e8d57u;
        uint32_t n[4] = { (uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k[1], (uint32_t)a };
        memcpy(c, n, sizeof(c));
        k[0] += 0x9e3779b9u;
        k[1] += 0xbb67ae85u;
    }
    return ((float)(c[0] >> 8) + 0.5f) * 0x1p-24f;
}

tain_drawing *tain_model_draw(tain_model *model, const char *const *prompts, int32_t rows, int64_t seed,
                              const int64_t *streams, float guidance, float temperature)
{
    struct prompts p = { 0 };
    tain_drawing *d = NULL;
    float *u = NULL;
    int64_t N;

    REQUIRE_OR_NULL(model, "draw: model is missing");
    REQUIRE_OR_NULL(prompts && streams, "draw: prompts or streams are missing");
    REQUIRE_OR_NULL(rows > 0, "draw: %d images; there must be one or more", rows);
    REQUIRE_OR_NULL(guidance >= 0 && guidance <= 1000, "draw: guidance is %g; it must be from 0 to 1000", (double)guidance);
    REQUIRE_OR_NULL(temperature > 0 && temperature <= 1000, "draw: temperature is %g; it must be above 0", (double)temperature);
    N = tain_model_image_codes(model);
    u = base_alloc((size_t)(N * rows), sizeof(float));
    d = base_alloc(1, sizeof(*d));
    if (u && d && !prompts_make(model, &p, prompts, rows, "draw")) {
        for (int64_t i = 0; i < N; i++)
            for (int32_t r = 0; r < rows; r++)
                u[i * rows + r] = uniform((uint64_t)seed, (uint64_t)streams[r], (uint32_t)i);
        d->g = janus_draw(&model->j, p.rows, p.blanks, rows, u, guidance, temperature);
    }
    prompts_clear(&p);
    free(u);
    if (d && !d->g) {
        free(d);
        d = NULL;
    }
    return d;
}

int32_t tain_drawing_next(tain_drawing *drawing)
{
    REQUIRE(drawing, "draw: drawing is missing");
    return (int32_t)janus_draw_next(drawing->g);
}

tain_status tain_drawing_codes(tain_drawing *drawing, int32_t *codes)
{
    REQUIRE(drawing, "draw: drawing is missing");
    REQUIRE(codes, "draw: codes are missing");
    return janus_draw_codes(drawing->g, codes);
}

void tain_drawing_free(tain_drawing *drawing)
{
    if (!drawing)
        return;
    janus_draw_free(drawing->g);
    free(drawing);
}

/* ---- The codec by itself ---- */

tain_tensor *tain_codec_encode(tain_model *model, tain_tensor *pixels)
{
    int64_t S;

    REQUIRE_OR_NULL(model && pixels, "codec_encode: model or pixels are missing");
    S = model->j.config.codec.image;
    REQUIRE_OR_NULL(pixels->dims == 4 && pixels->shape[1] == S && pixels->shape[2] == S && pixels->shape[3] == 3,
                    "codec_encode: pixels are %s; they must be [B, %lld, %lld, 3]", tensor_text(pixels), (long long)S, (long long)S);
    return codec_encode(&model->j.weights, model->j.codec, pixels);
}

tain_tensor *tain_codec_decode(tain_model *model, tain_tensor *z)
{
    REQUIRE_OR_NULL(model && z, "codec_decode: model or z is missing");
    REQUIRE_OR_NULL(z->dims == 3 && z->shape[1] == tain_model_image_codes(model) && z->shape[2] == model->j.config.codec.code_size,
                    "codec_decode: z is %s; it must be [B, %d, %lld]", tensor_text(z), tain_model_image_codes(model),
                    (long long)model->j.config.codec.code_size);
    return codec_decode(&model->j.weights, model->j.codec, z);
}

tain_tensor *tain_codec_book(tain_model *model)
{
    REQUIRE_OR_NULL(model, "codec_book: model is missing");
    return codec_book(model->j.codec);
}

tain_tensor *tain_codec_nearest(tain_model *model, tain_tensor *z)
{
    REQUIRE_OR_NULL(model && z, "codec_nearest: model or z is missing");
    REQUIRE_OR_NULL(tensor_last(z) == model->j.config.codec.code_size, "codec_nearest: z is %s; its rows must have %lld numbers",
                    tensor_text(z), (long long)model->j.config.codec.code_size);
    return codec_nearest(model->j.codec, z);
}

tain_tensor *tain_codec_unit(tain_tensor *z)
{
    REQUIRE_OR_NULL(z, "codec_unit: z is missing");
    return codec_unit(z);
}

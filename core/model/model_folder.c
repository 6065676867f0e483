/* model_folder.c - a model from a folder, and into one. */
#include "model/model.h"

#include <stdlib.h>

/* ---- What lies beside the weights ---- */

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
        m->name_count += w->list[i]->part_count;
    if (!(m->names = base_alloc((size_t)m->name_count, sizeof(*m->names))))
        return TAIN_ENOMEM;
    for (int i = 0; i < w->count; i++)
        for (int p = 0; p < w->list[i]->part_count; p++)
            m->names[at++] = (struct named){ i, p };
    return 0;
}

/* ---- Opening and closing ---- */

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
    d = model->names ? model->j.weights.device : NULL; /* a half-opened model holds none */
    janus_close(&model->j);
    tokenizer_free(model->tokenizer);
    tokens_clear(&model->yes);
    tokens_clear(&model->no);
    free(model->names);
    free(model);
    tain_device_free(d);
}

/* ---- Saving and restoring ---- */

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

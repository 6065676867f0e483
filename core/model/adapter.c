/* adapter.c - see adapter.h.
 *
 * Easy to get wrong:
 *   - the names may be those of either layout of the model, whichever it was loaded from;
 *   - the folder's tensors say which modules are adapted; target_modules only says what was asked for;
 *   - the rank is that of the tensors, which rank_pattern may have changed;
 *   - there are dozens of variants under the same file name. A key that we do not know and that is
 *     switched on may change the arithmetic, so it is refused by name.
 */
#include "model/adapter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA = 8 << 20, RANK = 1 << 16 };

#define PREFIX "base_model.model."
#define CONFIG "adapter_config.json"
#define TENSORS "adapter_model.safetensors"

/* An adapter that is being made. */
struct made {
    struct weight *weight;
    int place, part; /* the weight's place in the model, and the part of it */
    int64_t rank;
    float alpha;
    bool root;
    const struct st_entry *from_a, *from_b;
    tain_tensor *a, *b;
};

struct list {
    struct made *at;
    int count;
};

static bool fits(const struct weight *n)
{
    return n->kind == WEIGHT_MATRIX && n->file_rank == 2;
}

/* The part's name without ".weight". */
static int module_length(const struct weight_part *p)
{
    size_t n = strlen(p->name);

    return (int)(n > 7 && !strcmp(p->name + n - 7, ".weight") ? n - 7 : n);
}

static int start(struct list *l, const struct weights *w)
{
    int parts = 0;

    for (int i = 0; i < w->count; i++)
        parts += w->list[i]->part_count;
    l->count = 0;
    l->at = base_alloc((size_t)parts, sizeof(*l->at));
    return l->at ? 0 : TAIN_ENOMEM;
}

static void finish(struct list *l)
{
    for (int i = 0; i < l->count; i++) {
        tensor_unref(l->at[i].a);
        tensor_unref(l->at[i].b);
    }
    free(l->at);
}

/* ---- Room on the device: neighbours, so that an optimizer updates them together ---- */

static int64_t span(int64_t count)
{
    return (count + 63) / 64 * 64;
}

static int64_t columns(const struct made *m)
{
    return m->weight->shape[1];
}

static int64_t rows(const struct made *m)
{
    return m->weight->parts[m->part].rows;
}

static int place(struct list *l, tain_device *d)
{
    int64_t most = tensor_most(d) < ARENA ? tensor_most(d) : ARENA;
    int status = 0;

    for (int first = 0; first < l->count && !status;) {
        int64_t size = 0, at = 0, n;
        tain_tensor *arena;
        int last = first;

        for (; last < l->count; last++) {
            const struct made *m = &l->at[last];
            n = span(m->rank * columns(m)) + span(m->rank * rows(m));
            if (last > first && size + n > most)
                break;
            size += n;
        }
        if (!(arena = tain_tensor_create(d, TAIN_F32, 1, &size)))
            return tain_error_status();
        for (; first < last && !status; first++) {
            struct made *m = &l->at[first];
            int64_t in = columns(m), out = rows(m), r = m->rank;
            m->a = view_make(arena, 2, (int64_t[]){ r, in }, (int64_t[]){ in, 1 }, at);
            m->b = view_make(arena, 2, (int64_t[]){ out, r }, (int64_t[]){ r, 1 }, at + span(r * in));
            at += span(r * in) + span(r * out);
            status = m->a && m->b ? 0 : tain_error_status();
        }
        tensor_unref(arena);
    }
    return status;
}

void adapter_drop(struct weights *w)
{
    for (int i = 0; i < w->count; i++)
        for (int p = 0; p < w->list[i]->part_count; p++) {
            struct weight_part *part = &w->list[i]->parts[p];
            tensor_unref(part->a);
            tensor_unref(part->b);
            part->a = part->b = NULL;
        }
    w->adapted = false;
}

static void install(struct weights *w, struct list *l)
{
    adapter_drop(w);
    for (int i = 0; i < l->count; i++) {
        struct made *m = &l->at[i];
        struct weight_part *part = &m->weight->parts[m->part];
        part->a = tensor_ref(m->a);
        part->b = tensor_ref(m->b);
        part->alpha = m->alpha;
        part->root = m->root;
        part->scale = m->root ? (float)(m->alpha / sqrt((double)m->rank)) : m->alpha / (float)m->rank;
    }
    w->adapted = l->count > 0;
}

/* ---- A folder: its configuration ---- */

struct config {
    int64_t rank;
    double alpha;
    bool root, ranks; /* ranks differ from module to module */
    const struct json *alphas;
};

/* null, false, and what is empty. */
static bool is_off(const struct json *v)
{
    bool truth = true;
    const char *text;

    switch (json_type(v)) {
    case JSON_NULL: return true;
    case JSON_BOOL: return !json_bool(v, &truth) && !truth;
    case JSON_STRING: return !json_string(v, &text, NULL) && !*text;
    case JSON_ARRAY:
    case JSON_OBJECT: return json_count(v) == 0;
    default: return false;
    }
}

static bool one_of(const char *key, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(key, *list))
            return true;
    return false;
}

static int must_be(const struct json *root, const char *key, const char *want)
{
    const struct json *v = json_find(root, key);
    const char *is;
    int status = v ? json_string(v, &is, NULL) : 0;

    if (status || !v || !strcmp(is, want))
        return status;
    return json_fail(v, "is \"%s\"; only \"%s\" is supported", is, want);
}

static int read_config(struct config *c, const struct json *root)
{
    /* These say where the adapter comes from, or how it was trained; the tensors say the rest. */
    static const char *const harmless[] = {
        "auto_mapping", "base_model_name_or_path", "peft_version", "task_type", "inference_mode", "revision",
        "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "lora_dropout", "megatron_core",
        "qalora_group_size", NULL,
    };
    static const char *const read[] = {
        "peft_type", "bias", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "init_lora_weights", NULL,
    };
    const struct json *start = json_find(root, "init_lora_weights"), *ranks = json_find(root, "rank_pattern");
    int status;

    *c = (struct config){ .rank = 8, .alpha = 8, .alphas = json_find(root, "alpha_pattern") };
    if (json_type(root) != JSON_OBJECT)
        return json_fail(root, "must be an object");
    if (!json_find(root, "peft_type"))
        return json_fail(root, "has no peft_type");
    if ((status = must_be(root, "peft_type", "LORA")) || (status = must_be(root, "bias", "none")) ||
        (status = json_opt_int(root, "r", 1, RANK, &c->rank)) ||
        (status = json_opt_number(root, "lora_alpha", -1e9, 1e9, &c->alpha)) ||
        (status = json_opt_bool(root, "use_rslora", &c->root)))
        return status;
    /* Some ways to start change the model's own weights, without which the adapter means nothing. */
    if (start && json_type(start) == JSON_STRING && (status = must_be(root, "init_lora_weights", "gaussian")))
        return status;
    c->ranks = ranks && !is_off(ranks);
    if (c->alphas && is_off(c->alphas))
        c->alphas = NULL;
    if (c->alphas && json_type(c->alphas) != JSON_OBJECT)
        return json_fail(c->alphas, "must be an object");
    for (const struct json *v = json_first(root); v; v = json_next(v)) {
        const char *key = json_key(v, NULL);
        if (!one_of(key, harmless) && !one_of(key, read) && !is_off(v))
            return json_fail(v, "is a variant of LoRA that is not supported");
    }
    return 0;
}

/* Whether a name of targets or patterns stands for a module: all of it, or what follows a dot. */
static bool names(const char *name, size_t length, const char *module, size_t n)
{
    return length && length <= n && !memcmp(module + n - length, name, length) &&
           (length == n || module[n - length - 1] == '.');
}

static int alpha_of(const struct config *c, const char *module, size_t n, double *alpha)
{
    *alpha = c->alpha;
    for (const struct json *v = c->alphas ? json_first(c->alphas) : NULL; v; v = json_next(v)) {
        size_t length;
        const char *key = json_key(v, &length);
        if (strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") != length)
            return json_fail(v, "is a regular expression; only names are supported");
        if (names(key, length, module, n))
            return json_number(v, -1e9, 1e9, alpha);
    }
    return 0;
}

/* ---- A folder: its tensors ---- */

/* The weight of a name as the model has it, or as its other layout does: adapters are published for both. */
static struct weight *find_either(struct weights *w, const char *name, int *part)
{
    struct weight_alias a;

    for (int i = 0; i < w->count && w->rename; i++)
        for (int p = 0; p < w->list[i]->part_count; p++) {
            w->rename(w->list[i]->parts[p].name, &a);
            if (a.count == 1 && !strcmp(a.names[0], name)) {
                *part = p;
                return w->list[i];
            }
        }
    return weights_find(w, name, part);
}

/* Fills in what the entry, a lora_A, is for. */
static int match(struct made *m, struct weights *w, const struct st_file *f, const struct st_entry *e, const struct config *c)
{
    const char *end = strstr(e->name, ".lora_A.weight");
    size_t n = (size_t)(end - e->name) - strlen(PREFIX);
    char name[ST_NAME + 16];
    double alpha;
    int status;

    snprintf(name, sizeof(name), "%.*s.weight", (int)n, e->name + strlen(PREFIX));
    if (!(m->weight = find_either(w, name, &m->part)))
        return fail(TAIN_EFORMAT, "%s: %s belongs to a module that the model does not have", st_path(f, e), e->name);
    while (w->list[m->place] != m->weight)
        m->place++;
    if (!fits(m->weight))
        return fail(TAIN_EUNSUPPORTED, "%s: %s belongs to what is no matrix", st_path(f, e), e->name);
    m->from_a = e;
    snprintf(name, sizeof(name), "%.*s.lora_B.weight", (int)(end - e->name), e->name);
    if (!(m->from_b = st_need(f, name)))
        return tain_error_status();
    m->rank = e->rank == 2 ? e->shape[0] : 0;
    if (e->rank != 2 || m->from_b->rank != 2 || m->rank < 1 || m->rank > RANK || e->shape[1] != columns(m) ||
        m->from_b->shape[0] != rows(m) || m->from_b->shape[1] != m->rank)
        return fail(TAIN_EFORMAT, "%s: %s and its lora_B do not fit the model's matrix of %lld rows and %lld columns",
                    st_path(f, e), e->name, (long long)rows(m), (long long)columns(m));
    if (!c->ranks && m->rank != c->rank)
        return fail(TAIN_EFORMAT, "%s: %s has the rank %lld; %s says %lld", st_path(f, e), e->name, (long long)m->rank, CONFIG,
                    (long long)c->rank);
    status = alpha_of(c, e->name + strlen(PREFIX), n, &alpha);
    m->alpha = (float)alpha;
    m->root = c->root;
    return status;
}

/* The model's order, whatever the file's is: an optimizer's state depends on it. */
static int by_weight(const void *a, const void *b)
{
    const struct made *x = a, *y = b;

    return x->place != y->place ? x->place - y->place : x->part - y->part;
}

static bool ends(const char *name, const char *with)
{
    size_t n = strlen(name), k = strlen(with);

    return n > k && !strcmp(name + n - k, with);
}

static int match_all(struct list *l, struct weights *w, const struct st_file *f, const struct config *c)
{
    int status = 0;

    for (int i = 0; i < st_count(f) && !status; i++) {
        const struct st_entry *e = st_at(f, i);
        bool a = ends(e->name, ".lora_A.weight"), b = ends(e->name, ".lora_B.weight");
        if (strncmp(e->name, PREFIX, strlen(PREFIX)) || (!a && !b)) {
            status = fail(TAIN_EUNSUPPORTED, "%s: %s is no part of a plain adapter", st_path(f, e), e->name);
        } else if (a) {
            status = match(&l->at[l->count++], w, f, e, c);
        } else {
            char name[ST_NAME + 1];
            snprintf(name, sizeof(name), "%s", e->name);
            name[strlen(name) - strlen("B.weight")] = 'A';
            status = st_need(f, name) ? 0 : tain_error_status();
        }
    }
    if (!status && !l->count)
        status = fail(TAIN_EFORMAT, "%s: it holds no adapter", TENSORS);
    return status;
}

static int fill(tain_tensor *t, const struct st_file *f, const struct st_entry *e)
{
    float *values = base_alloc((size_t)e->count + 1, sizeof(float));
    int status = values ? st_read_float(f, e, values, (size_t)e->count) : TAIN_ENOMEM;

    for (int64_t i = 0; i < e->count && !status; i++)
        if (!isfinite(values[i]))
            status = fail(TAIN_EFORMAT, "%s: %s holds a number that is not finite", st_path(f, e), e->name);
    if (!status)
        status = tain_tensor_write(t, values, e->count);
    free(values);
    return status;
}

int adapter_load(struct weights *w, const char *folder)
{
    char *config_path = path_join(folder, CONFIG), *path = path_join(folder, TENSORS);
    struct json *root = config_path ? json_read(config_path, 1 << 24) : NULL;
    struct st_file *f = root && path ? st_open(path) : NULL;
    struct list l = { 0 };
    struct config c;
    int status = f ? read_config(&c, root) : tain_error_status();

    if (!status && !(status = start(&l, w)) && !(status = match_all(&l, w, f, &c))) {
        qsort(l.at, (size_t)l.count, sizeof(*l.at), by_weight);
        status = place(&l, w->device);
    }
    for (int i = 0; i < l.count && !status; i++)
        if (!(status = fill(l.at[i].a, f, l.at[i].from_a)))
            status = fill(l.at[i].b, f, l.at[i].from_b);
    if (!status)
        install(w, &l);
    finish(&l);
    st_close(f);
    json_free(root);
    free(path);
    free(config_path);
    return status;
}

/* ---- A new one ---- */

/* Whether text fits a pattern in which * is any text. */
static bool glob(const char *p, const char *end, const char *s, const char *s_end)
{
    for (; p < end; p++, s++) {
        if (*p == '*') {
            for (const char *rest = s; rest <= s_end; rest++)
                if (glob(p + 1, end, rest, s_end))
                    return true;
            return false;
        }
        if (s == s_end || *s != *p)
            return false;
    }
    return s == s_end;
}

static bool wanted(const char *targets, const char *module, size_t n)
{
    if (!strcmp(targets, "all-linear")) /* PEFT leaves the output out too */
        return !names("lm_head", 7, module, n);
    for (const char *p = targets; *p;) {
        size_t length = strcspn(p, ",");
        const char *name = p, *end = p + length;
        while (name < end && *name == ' ')
            name++;
        while (end > name && end[-1] == ' ')
            end--;
        if (memchr(name, '*', (size_t)(end - name)) ? glob(name, end, module, module + n)
                                                    : names(name, (size_t)(end - name), module, n))
            return true;
        p += length + (p[length] == ',');
    }
    return false;
}

/* Uniform in +-1/sqrt(columns), as PEFT starts; a matrix's start depends on its name and the seed alone. */
static int begin(const struct made *m, uint64_t seed)
{
    int64_t n = m->rank * columns(m);
    float *values = base_alloc((size_t)n, sizeof(float)), bound = 1 / sqrtf((float)columns(m));
    uint64_t state = seed;
    int status;

    if (!values)
        return TAIN_ENOMEM;
    for (const char *c = m->weight->parts[m->part].name; *c; c++)
        state = (state ^ (uint8_t)*c) * 0x100000001b3ull;
    for (int64_t i = 0; i < n; i++) { /* splitmix64 */
        uint64_t z = state += 0x9e3779b97f4a7c15ull;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ z >> 27) * 0x94d049bb133111ebull;
        values[i] = (float)((double)((z ^ z >> 31) >> 11) * 0x1p-53 * 2 - 1) * bound;
    }
    status = tain_tensor_write(m->a, values, n);
    free(values);
    return status;
}

int adapter_new(struct weights *w, const char *targets, int rank, float alpha, bool root, uint64_t seed)
{
    struct list l;
    int status;

    REQUIRE(rank >= 1 && rank <= RANK, "adapter: rank is %d; it must be from 1 to %d", rank, RANK);
    REQUIRE(isfinite(alpha), "adapter: alpha is %g", (double)alpha);
    if ((status = start(&l, w)))
        return status;
    for (int i = 0; i < w->count; i++)
        for (int p = 0; p < w->list[i]->part_count; p++)
            if (fits(w->list[i]) && wanted(targets, w->list[i]->parts[p].name, (size_t)module_length(&w->list[i]->parts[p])))
                l.at[l.count++] = (struct made){ .weight = w->list[i], .part = p, .rank = rank, .alpha = alpha, .root = root };
    if (!l.count)
        status = fail(TAIN_EINVAL, "adapter: no matrix of the model fits \"%s\"", targets);
    if (!status)
        status = place(&l, w->device);
    for (int i = 0; i < l.count && !status; i++)
        status = begin(&l.at[i], seed);
    if (!status)
        install(w, &l);
    finish(&l);
    return status;
}

/* ---- What there is ---- */

/* Adapted part number `index`. */
static const struct weight_part *part_at(const struct weights *w, int index, const struct weight **of)
{
    for (int i = 0; i < w->count; i++)
        for (int p = 0; p < w->list[i]->part_count; p++)
            if (w->list[i]->parts[p].a && !index--) {
                *of = w->list[i];
                return &w->list[i]->parts[p];
            }
    return NULL;
}

int adapter_count(const struct weights *w)
{
    int n = 0;

    for (int i = 0; i < w->count; i++)
        for (int p = 0; p < w->list[i]->part_count; p++)
            n += w->list[i]->parts[p].a != NULL;
    return n;
}

tain_tensor *adapter_tensor(const struct weights *w, int index)
{
    const struct weight *of;
    const struct weight_part *p = part_at(w, index / 2, &of);

    return p ? index % 2 ? p->b : p->a : NULL;
}

int adapter_merge(struct weights *w)
{
    bool grad = w->device->grad;
    const struct weight *of;
    const struct weight_part *p;
    int status = 0;

    for (int i = 0; (p = part_at(w, i, &of)); i++) {
        REQUIRE(!type_blocks(of->tensor->type),
                "merge: %s is stored as %s; load the model as f32, merge there, and quantise what comes out", p->name,
                type_name(of->tensor->type));
        REQUIRE(of->tensor->type == TAIN_F32, "merge: %s is stored as %s; load the model as f32", p->name,
                type_name(of->tensor->type));
    }
    w->device->grad = false;
    for (int i = 0; !status && (p = part_at(w, i, &of)); i++) {
        int64_t in = of->shape[1], r = p->a->shape[0];
        tain_tensor *b = tain_scale(p->b, p->scale), *to = view_part(of->tensor, 0, p->row, p->rows);
        status = b && to ? gemm(&(struct gemm){ .a = b, .b = p->a, .c = to, .add = true, .M = p->rows, .N = in, .K = r,
                                                .batch = 1, .a_pitch = r, .b_pitch = in, .c_pitch = in })
                         : tain_error_status();
        tensor_unref(b);
        tensor_unref(to);
    }
    w->device->grad = grad;
    if (!status)
        adapter_drop(w);
    return status;
}

/* ---- Writing ---- */

static void write_config(struct text *t, const struct weights *w, int count, const char *base)
{
    const struct weight *of;
    const struct weight_part *first = part_at(w, 0, &of), *p;
    int64_t rank = first->a->shape[0];

    text_format(t, "{\n  \"alpha_pattern\": {");
    for (int i = 0, k = 0; i < count; i++)
        if ((p = part_at(w, i, &of))->alpha != first->alpha) {
            text_format(t, k++ ? ",\n    " : "\n    ");
            text_json_string(t, p->name, (size_t)module_length(p));
            text_format(t, ": ");
            text_json_number(t, p->alpha);
        }
    text_format(t, "},\n  \"auto_mapping\": null,\n  \"base_model_name_or_path\": ");
    text_json_string(t, base, strlen(base));
    text_format(t, ",\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n"
                   "  \"init_lora_weights\": true,\n  \"layers_pattern\": null,\n  \"layers_to_transform\": null,\n"
                   "  \"lora_alpha\": ");
    text_json_number(t, first->alpha);
    text_format(t, ",\n  \"lora_dropout\": 0.0,\n  \"modules_to_save\": null,\n  \"peft_type\": \"LORA\",\n  \"r\": %lld,\n"
                   "  \"rank_pattern\": {", (long long)rank);
    for (int i = 0, k = 0; i < count; i++)
        if ((p = part_at(w, i, &of))->a->shape[0] != rank) {
            text_format(t, k++ ? ",\n    " : "\n    ");
            text_json_string(t, p->name, (size_t)module_length(p));
            text_format(t, ": %lld", (long long)p->a->shape[0]);
        }
    text_format(t, "},\n  \"revision\": null,\n  \"target_modules\": [");
    for (int i = 0; i < count; i++) {
        p = part_at(w, i, &of);
        text_format(t, i ? ",\n    " : "\n    ");
        text_json_string(t, p->name, (size_t)module_length(p));
    }
    text_format(t, "\n  ],\n  \"task_type\": null,\n  \"use_dora\": false,\n  \"use_rslora\": %s\n}\n",
                first->root ? "true" : "false");
}

static int write_tensors(const struct weights *w, int count, const char *path)
{
    struct st_tensor *list = base_alloc((size_t)count * 2, sizeof(*list));
    float *values = NULL;
    struct st_out *out = NULL;
    int64_t most = 0;
    int status = list ? 0 : TAIN_ENOMEM;

    for (int i = 0; i < 2 * count && !status; i++) {
        const struct weight *of;
        const struct weight_part *p = part_at(w, i / 2, &of);
        const tain_tensor *t = adapter_tensor(w, i);
        list[i] = (struct st_tensor){
            .name = base_format("%s%.*s.lora_%c.weight", PREFIX, module_length(p), p->name, i % 2 ? 'B' : 'A'),
            .type = ST_F32, .rank = 2, .shape = { t->shape[0], t->shape[1] },
        };
        status = list[i].name ? 0 : TAIN_ENOMEM;
        most = tensor_count(t) > most ? tensor_count(t) : most;
    }
    if (!status && !(values = base_alloc((size_t)most, sizeof(*values))))
        status = TAIN_ENOMEM;
    if (!status && !(out = st_begin(path, list, 2 * count, 0)))
        status = tain_error_status();
    for (int i = 0; i < 2 * count && !status; i++) {
        tain_tensor *t = adapter_tensor(w, i);
        int64_t n = tensor_count(t);
        status = tain_tensor_read(t, values, n);
        for (int64_t k = 0; k < n && !status; k++)
            if (!isfinite(values[k]))
                status = fail(TAIN_EINVAL, "save: %s holds a number that is not finite; nothing was saved", list[i].name);
        if (!status)
            status = st_put(out, values, (size_t)n * sizeof(float));
    }
    if (out && !status)
        status = st_end(out);
    else
        st_drop(out);
    for (int i = 0; list && i < 2 * count; i++)
        free((char *)(uintptr_t)list[i].name);
    free(list);
    free(values);
    return status;
}

int adapter_save(struct weights *w, const char *folder, const char *base)
{
    char *config_path = path_join(folder, CONFIG), *path = path_join(folder, TENSORS);
    int count = adapter_count(w), status = config_path && path ? 0 : TAIN_ENOMEM;
    struct text t = { 0 };

    if (!status && !count)
        status = fail(TAIN_EINVAL, "save: the model has no adapter");
    if (!status && !(status = folder_make(folder)) && !(status = write_tensors(w, count, path))) {
        write_config(&t, w, count, base);
        status = t.failed ? TAIN_ENOMEM : file_write(config_path, t.at, t.count);
    }
    free(t.at);
    free(path);
    free(config_path);
    return status;
}

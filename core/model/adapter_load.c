/* adapter_load.c - an adapter from a folder of PEFT's.
 *
 * Easy to get wrong:
 *   - the names may be those of either layout of the model, whichever it was loaded from. What is one matrix
 *     in one of them may be three in the other (q, k and v of the vision tower), each with an adapter: the three
 *     are kept as they are, for their sum is no adapter of that rank;
 *   - the folder's tensors say which modules are adapted; target_modules only says what was asked for;
 *   - the rank is that of the tensors, which rank_pattern may have changed;
 *   - there are dozens of variants under the same file name. A key that we do not know and that is
 *     switched on may change the arithmetic, so it is refused by name.
 */
#include "model/adapter_part.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Its configuration ---- */

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
        (status = json_opt_int(root, "r", 1, ADAPTER_RANK, &c->rank)) ||
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

static int alpha_of(const struct config *c, const char *module, size_t n, double *alpha)
{
    *alpha = c->alpha;
    for (const struct json *v = c->alphas ? json_first(c->alphas) : NULL; v; v = json_next(v)) {
        size_t length;
        const char *key = json_key(v, &length);
        if (strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") != length)
            return json_fail(v, "is a regular expression; only names are supported");
        if (adapter_names(key, length, module, n))
            return json_number(v, -1e9, 1e9, alpha);
    }
    return 0;
}

/* ---- Its tensors ---- */

/* The weight of a name as the model has it, or as its other layout does: adapters are published for both. */
static struct weight *find_either(struct weights *w, const char *name, int *place)
{
    struct weight_alias a;

    for (int i = 0; i < w->count && w->rename; i++)
        for (int p = 0; p < w->list[i]->part_count + w->list[i]->cut_count; p++) {
            const char *own = weight_place(w->list[i], p)->name;
            bool cut = p >= w->list[i]->part_count; /* which has the other layout's name */
            if (!cut)
                w->rename(own, &a);
            if (!strcmp(cut ? own : a.count == 1 ? a.names[0] : "", name)) {
                *place = p;
                return w->list[i];
            }
        }
    return weights_find(w, name, place);
}

/* Whether both change the same rows of one matrix. */
static bool overlap(const struct adapter_made *x, const struct adapter_made *y)
{
    const struct weight_part *p = made_part(x), *q = made_part(y);

    return x->weight == y->weight && p->row < q->row + q->rows && q->row < p->row + p->rows;
}

/* A module has one adapter, whichever of its names it goes by. */
static int check_alone(const struct adapter_list *l, const struct adapter_made *m, const struct st_file *f)
{
    for (const struct adapter_made *other = l->at; other < l->at + l->count; other++)
        if (overlap(other, m))
            return fail(TAIN_EFORMAT, "%s: %s and %s change the same matrix", st_path(f, m->from_a), other->from_a->name,
                        m->from_a->name);
    return 0;
}

/* Fills in what the entry, a lora_A, is for. */
static int match(struct adapter_made *m, struct weights *w, const struct st_file *f, const struct st_entry *e, const struct config *c)
{
    const char *end = strstr(e->name, ".lora_A.weight");
    size_t n = (size_t)(end - e->name) - strlen(ADAPTER_PREFIX);
    char name[ST_NAME + 16];
    double alpha;
    int status;

    snprintf(name, sizeof(name), "%.*s.weight", (int)n, e->name + strlen(ADAPTER_PREFIX));
    if (!(m->weight = find_either(w, name, &m->part)))
        return fail(TAIN_EFORMAT, "%s: %s belongs to a module that the model does not have", st_path(f, e), e->name);
    while (w->list[m->place] != m->weight)
        m->place++;
    if (!adapter_fits(m->weight))
        return fail(TAIN_EUNSUPPORTED, "%s: %s belongs to what is no matrix", st_path(f, e), e->name);
    m->from_a = e;
    snprintf(name, sizeof(name), "%.*s.lora_B.weight", (int)(end - e->name), e->name);
    if (!(m->from_b = st_need(f, name)))
        return tain_error_status();
    m->rank = e->rank == 2 ? e->shape[0] : 0;
    if (e->rank != 2 || m->from_b->rank != 2 || m->rank < 1 || m->rank > ADAPTER_RANK || e->shape[1] != made_columns(m) ||
        m->from_b->shape[0] != made_rows(m) || m->from_b->shape[1] != m->rank)
        return fail(TAIN_EFORMAT, "%s: %s and its lora_B do not fit the model's matrix of %lld rows and %lld columns",
                    st_path(f, e), e->name, (long long)made_rows(m), (long long)made_columns(m));
    if (!c->ranks && m->rank != c->rank)
        return fail(TAIN_EFORMAT, "%s: %s has the rank %lld; %s says %lld", st_path(f, e), e->name, (long long)m->rank, ADAPTER_CONFIG,
                    (long long)c->rank);
    status = alpha_of(c, e->name + strlen(ADAPTER_PREFIX), n, &alpha);
    m->alpha = (float)alpha;
    m->root = c->root;
    return status;
}

/* The model's order, whatever the file's is: an optimizer's state depends on it. */
static int by_weight(const void *a, const void *b)
{
    const struct adapter_made *x = a, *y = b;

    return x->place != y->place ? x->place - y->place : x->part - y->part;
}

static bool ends(const char *name, const char *with)
{
    size_t n = strlen(name), k = strlen(with);

    return n > k && !strcmp(name + n - k, with);
}

static int match_all(struct adapter_list *l, struct weights *w, const struct st_file *f, const struct config *c)
{
    int status = 0;

    for (int i = 0; i < st_count(f) && !status; i++) {
        const struct st_entry *e = st_at(f, i);
        bool a = ends(e->name, ".lora_A.weight"), b = ends(e->name, ".lora_B.weight");
        if (strncmp(e->name, ADAPTER_PREFIX, strlen(ADAPTER_PREFIX)) || (!a && !b)) {
            status = fail(TAIN_EUNSUPPORTED, "%s: %s is no part of a plain adapter", st_path(f, e), e->name);
        } else if (a) {
            struct adapter_made m = { 0 };
            if (!(status = match(&m, w, f, e, c)) && !(status = check_alone(l, &m, f)))
                l->at[l->count++] = m;
        } else {
            char name[ST_NAME + 1];
            snprintf(name, sizeof(name), "%s", e->name);
            name[strlen(name) - strlen("B.weight")] = 'A';
            status = st_need(f, name) ? 0 : tain_error_status();
        }
    }
    if (!status && !l->count)
        status = fail(TAIN_EFORMAT, "%s: it holds no adapter", ADAPTER_TENSORS);
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
    char *config_path = path_join(folder, ADAPTER_CONFIG), *path = path_join(folder, ADAPTER_TENSORS);
    struct json *root = config_path ? json_read(config_path, 1 << 24) : NULL;
    struct st_file *f = root && path ? st_open(path) : NULL;
    struct adapter_list l = { 0 };
    struct config c;
    int status = f ? read_config(&c, root) : tain_error_status();

    if (!status && !(status = adapter_list_open(&l, w)) && !(status = match_all(&l, w, f, &c))) {
        qsort(l.at, (size_t)l.count, sizeof(*l.at), by_weight);
        status = adapter_place(&l, w->device);
    }
    for (int i = 0; i < l.count && !status; i++)
        if (!(status = fill(l.at[i].a, f, l.at[i].from_a)))
            status = fill(l.at[i].b, f, l.at[i].from_b);
    if (!status)
        adapter_install(w, &l);
    adapter_list_close(&l);
    st_close(f);
    json_free(root);
    free(path);
    free(config_path);
    return status;
}

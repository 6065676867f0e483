/* adapter.c - see adapter.h.
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
    int place, part; /* the weight's place in the model, and the adapter's in it (weight_place) */
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
    int places = 0;

    for (int i = 0; i < w->count; i++)
        places += w->list[i]->part_count + w->list[i]->cut_count;
    l->count = 0;
    l->at = base_alloc((size_t)places, sizeof(*l->at));
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

static const struct weight_part *part_of(const struct made *m)
{
    return weight_place(m->weight, m->part);
}

static int64_t rows(const struct made *m)
{
    return part_of(m)->rows;
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
    struct weight_part *part;

    for (int i = 0; i < w->count; i++)
        for (int p = 0; (part = weight_place(w->list[i], p)); p++) {
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
        struct weight_part *part = weight_place(m->weight, m->part);
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
static bool overlap(const struct made *x, const struct made *y)
{
    const struct weight_part *p = part_of(x), *q = part_of(y);

    return x->weight == y->weight && p->row < q->row + q->rows && q->row < p->row + p->rows;
}

/* A module has one adapter, whichever of its names it goes by. */
static int check_alone(const struct list *l, const struct made *m, const struct st_file *f)
{
    for (const struct made *other = l->at; other < l->at + l->count; other++)
        if (overlap(other, m))
            return fail(TAIN_EFORMAT, "%s: %s and %s change the same matrix", st_path(f, m->from_a), other->from_a->name,
                        m->from_a->name);
    return 0;
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
            struct made m = { 0 };
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
    for (const char *c = part_of(m)->name; *c; c++)
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
    const struct weight_part *p;

    for (int i = 0; i < w->count; i++)
        for (int k = 0; (p = weight_place(w->list[i], k)); k++)
            if (p->a && !index--) {
                *of = w->list[i];
                return p;
            }
    return NULL;
}

int adapter_count(const struct weights *w)
{
    const struct weight *of;
    int n = 0;

    while (part_at(w, n, &of))
        n++;
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

/* An adapter as it goes into the file: one of the model's or, in the layout that cuts its matrix, some rows of
 * its B; or, in the layout that does not, several of the model's as one, with their ranks added up. */
struct written {
    char name[256];           /* of the module */
    const struct weight *of;
    const struct weight_part *from[WEIGHT_PARTS];
    int count;
    bool joined;
    int64_t first, rows, rank; /* of B */
    float alpha;
};

struct writing {
    struct written *at;
    int count;
    bool root;
};

static void put_name(struct written *o, const char *weight)
{
    struct weight_part p = { .name = (char *)(uintptr_t)weight };

    snprintf(o->name, sizeof(o->name), "%.*s", module_length(&p), weight);
}

/* One part, under its own name or under those of the other layout. */
static void write_part(struct writing *g, const struct weights *w, const struct weight *of, const struct weight_part *p, bool other)
{
    struct weight_alias a = { .count = 1 };

    if (other)
        w->rename(p->name, &a);
    else
        snprintf(a.names[0], sizeof(a.names[0]), "%s", p->name);
    for (int i = 0; i < a.count; i++) {
        int64_t some = p->rows / a.count;
        struct written *o = &g->at[g->count++];
        *o = (struct written){ .of = of, .from = { p }, .count = 1, .first = i * some, .rows = some, .rank = p->a->shape[0],
                               .alpha = p->alpha };
        put_name(o, a.names[i]);
    }
}

/* What the other layout cuts: as it is there, or joined under the name of the whole. */
static void write_cuts(struct writing *g, const struct weight *n, bool other)
{
    struct written *whole = NULL;

    for (int i = 0; i < n->cut_count; i++) {
        const struct weight_part *p = &n->cuts[i];
        if (!p->a)
            continue;
        if (other || !whole) {
            whole = &g->at[g->count++];
            *whole = (struct written){ .of = n, .joined = !other, .rows = other ? p->rows : n->parts[0].rows, .alpha = p->alpha };
            put_name(whole, other ? p->name : n->parts[0].name);
        }
        whole->from[whole->count++] = p;
        whole->rank += p->a->shape[0];
        if (!other)
            whole->alpha = whole->from[0]->scale * (p->root ? sqrtf((float)whole->rank) : (float)whole->rank);
    }
}

static int list_written(struct writing *g, const struct weights *w, bool other)
{
    const struct weight *of;
    const struct weight_part *first = part_at(w, 0, &of);

    *g = (struct writing){ .at = base_alloc((size_t)adapter_count(w) * WEIGHT_PARTS, sizeof(*g->at)), .root = first->root };
    if (!g->at)
        return TAIN_ENOMEM;
    for (int i = 0; i < w->count; i++) {
        for (int p = 0; p < w->list[i]->part_count; p++)
            if (w->list[i]->parts[p].a)
                write_part(g, w, w->list[i], &w->list[i]->parts[p], other);
        write_cuts(g, w->list[i], other);
    }
    return 0;
}

static void put_text(struct text *t, const char *text)
{
    text_json_string(t, text, strlen(text));
}

static void write_config(struct text *t, const struct writing *g, const char *base)
{
    const struct written *first = g->at, *end = g->at + g->count;
    int k = 0;

    text_format(t, "{\n  \"alpha_pattern\": {");
    for (const struct written *o = first; o < end; o++)
        if (o->alpha != first->alpha) {
            text_format(t, k++ ? ",\n    " : "\n    ");
            put_text(t, o->name);
            text_format(t, ": ");
            text_json_number(t, o->alpha);
        }
    text_format(t, "},\n  \"auto_mapping\": null,\n  \"base_model_name_or_path\": ");
    put_text(t, base);
    text_format(t, ",\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n"
                   "  \"init_lora_weights\": true,\n  \"layers_pattern\": null,\n  \"layers_to_transform\": null,\n"
                   "  \"lora_alpha\": ");
    text_json_number(t, first->alpha);
    text_format(t, ",\n  \"lora_dropout\": 0.0,\n  \"modules_to_save\": null,\n  \"peft_type\": \"LORA\",\n  \"r\": %lld,\n"
                   "  \"rank_pattern\": {", (long long)first->rank);
    k = 0;
    for (const struct written *o = first; o < end; o++)
        if (o->rank != first->rank) {
            text_format(t, k++ ? ",\n    " : "\n    ");
            put_text(t, o->name);
            text_format(t, ": %lld", (long long)o->rank);
        }
    text_format(t, "},\n  \"revision\": null,\n  \"target_modules\": [");
    for (const struct written *o = first; o < end; o++) {
        text_format(t, o > first ? ",\n    " : "\n    ");
        put_text(t, o->name);
    }
    text_format(t, "\n  ],\n  \"task_type\": null,\n  \"use_dora\": false,\n  \"use_rslora\": %s\n}\n", g->root ? "true" : "false");
}

/* A: those of all that are joined, one below the other. */
static int read_a(const struct written *o, float *values)
{
    int status = 0;

    for (int i = 0; i < o->count && !status; i++) {
        int64_t n = tensor_count(o->from[i]->a);
        status = tain_tensor_read(o->from[i]->a, values, n);
        values += n;
    }
    return status;
}

/* B: those that are joined, each at its own rows and its own ranks, with the scale that it has. */
static int read_joined(const struct written *o, float *values)
{
    int64_t at = 0;
    int status = 0;

    memset(values, 0, (size_t)(o->rows * o->rank) * sizeof(*values));
    for (int i = 0; i < o->count && !status; i++) {
        const struct weight_part *p = o->from[i];
        int64_t r = p->a->shape[0];
        float *b = base_alloc((size_t)(p->rows * r), sizeof(*b)), times = p->scale / o->from[0]->scale;
        status = b ? tain_tensor_read(p->b, b, p->rows * r) : TAIN_ENOMEM;
        for (int64_t k = 0; k < p->rows * r && !status; k++)
            values[(p->row + k / r) * o->rank + at + k % r] = b[k] * times;
        free(b);
        at += r;
    }
    return status;
}

static int read_b(const struct written *o, float *values)
{
    tain_tensor *some;
    int status;

    if (o->joined)
        return read_joined(o, values);
    some = view_part(o->from[0]->b, 0, o->first, o->rows);
    status = some ? tain_tensor_read(some, values, o->rows * o->rank) : tain_error_status();
    tensor_unref(some);
    return status;
}

static int write_tensors(const struct writing *g, const char *path)
{
    struct st_tensor *list = base_alloc((size_t)g->count * 2, sizeof(*list));
    float *values = NULL;
    struct st_out *out = NULL;
    int64_t most = 0;
    int status = list ? 0 : TAIN_ENOMEM;

    for (int i = 0; i < 2 * g->count && !status; i++) {
        const struct written *o = &g->at[i / 2];
        list[i] = (struct st_tensor){
            .name = base_format("%s%s.lora_%c.weight", PREFIX, o->name, i % 2 ? 'B' : 'A'), .type = ST_F32, .rank = 2,
            .shape = { i % 2 ? o->rows : o->rank, i % 2 ? o->rank : o->of->shape[1] },
        };
        status = list[i].name ? 0 : TAIN_ENOMEM;
        most = list[i].shape[0] * list[i].shape[1] > most ? list[i].shape[0] * list[i].shape[1] : most;
    }
    if (!status && !(values = base_alloc((size_t)most, sizeof(*values))))
        status = TAIN_ENOMEM;
    if (!status && !(out = st_begin(path, list, 2 * g->count, 0)))
        status = tain_error_status();
    for (int i = 0; i < 2 * g->count && !status; i++) {
        int64_t n = list[i].shape[0] * list[i].shape[1];
        status = (i % 2 ? read_b : read_a)(&g->at[i / 2], values);
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
    for (int i = 0; list && i < 2 * g->count; i++)
        free((char *)(uintptr_t)list[i].name);
    free(list);
    free(values);
    return status;
}

int adapter_save(struct weights *w, const char *folder, const char *base, bool other)
{
    char *config_path = path_join(folder, CONFIG), *path = path_join(folder, TENSORS);
    int status = config_path && path ? 0 : TAIN_ENOMEM;
    struct writing g = { 0 };
    struct text t = { 0 };

    if (!status && !adapter_count(w))
        status = fail(TAIN_EINVAL, "save: the model has no adapter");
    if (!status && other && !w->rename)
        status = fail(TAIN_EINVAL, "save: there is no other layout of this model");
    if (!status && !(status = folder_make(folder)) && !(status = list_written(&g, w, other)) && !(status = write_tensors(&g, path))) {
        write_config(&t, &g, base);
        status = t.failed ? TAIN_ENOMEM : file_write(config_path, t.at, t.count);
    }
    free(g.at);
    free(t.at);
    free(path);
    free(config_path);
    return status;
}

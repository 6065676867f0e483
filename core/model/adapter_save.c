/* adapter_save.c - an adapter into a folder of PEFT's. */
#include "model/adapter_part.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

    snprintf(o->name, sizeof(o->name), "%.*s", adapter_module(&p), weight);
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
    const struct weight_part *first = adapter_at(w, 0, &of);

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
            .name = base_format("%s%s.lora_%c.weight", ADAPTER_PREFIX, o->name, i % 2 ? 'B' : 'A'), .type = ST_F32, .rank = 2,
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
    char *config_path = path_join(folder, ADAPTER_CONFIG), *path = path_join(folder, ADAPTER_TENSORS);
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

/* weights.c - see weights.h. */
#include "model/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Declaring ---- */

static struct weight *add(struct weights *w)
{
    struct weight *n;

    if (w->count == w->room) {
        int room = w->room * 2 + 64;
        struct weight **more = base_grow(w->list, (size_t)w->room, (size_t)room, sizeof(*more));
        if (!more) {
            w->status = TAIN_ENOMEM;
            return NULL;
        }
        w->list = more;
        w->room = room;
    }
    if (!(n = base_alloc(1, sizeof(*n)))) {
        w->status = TAIN_ENOMEM;
        return NULL;
    }
    return w->list[w->count++] = n;
}

/* What has one tensor here and several in the other layout. */
static void declare_cuts(struct weights *w, struct weight *n)
{
    struct weight_alias a = { .count = 1 };

    if (w->rename && n->part_count == 1 && n->parts[0].name)
        w->rename(n->parts[0].name, &a);
    for (int i = 0; a.count > 1 && i < a.count; i++, n->cut_count++) {
        int64_t rows = n->parts[0].rows / a.count;
        n->cuts[i] = (struct weight_part){ .name = base_strdup(a.names[i]), .row = i * rows, .rows = rows };
        if (!n->cuts[i].name)
            w->status = TAIN_ENOMEM;
    }
}

struct weight *weight_declare_parts(struct weights *w, tain_tensor **slot, enum weight_kind kind, float spread,
                                    int64_t columns, int parts, const int64_t *rows, const char *const *names)
{
    struct weight *n = add(w);
    int64_t all = 0;

    if (!n)
        return NULL;
    n->kind = kind;
    n->slot = slot;
    n->spread = spread;
    n->part_count = parts;
    for (int i = 0; i < parts; i++) {
        n->parts[i] = (struct weight_part){ .name = base_strdup(names[i]), .row = all, .rows = rows[i] };
        if (!n->parts[i].name)
            w->status = TAIN_ENOMEM;
        all += rows[i];
    }
    n->dims = n->file_rank = kind == WEIGHT_ZEROS || kind == WEIGHT_ONES ? 1 : 2;
    n->shape[0] = n->file_shape[0] = all;
    n->shape[1] = n->file_shape[1] = n->dims == 2 ? columns : 1;
    declare_cuts(w, n);
    return n;
}

struct weight *weight_declare(struct weights *w, tain_tensor **slot, enum weight_kind kind, float spread, int64_t rows,
                              int64_t columns, const char *format, ...)
{
    char name[512];
    va_list args;

    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    return weight_declare_parts(w, slot, kind, spread, columns, 1, &rows, (const char *[]){ name });
}

struct weight *weight_declare_conv(struct weights *w, tain_tensor **slot, float spread, int64_t out, int64_t in, int64_t size,
                                   const char *format, ...)
{
    char name[512];
    struct weight *n;
    va_list args;

    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    n = weight_declare_parts(w, slot, WEIGHT_CONV, spread, in, 1, &out, (const char *[]){ name });
    if (n) {
        n->dims = n->file_rank = 4;
        memcpy(n->shape, (int64_t[]){ size, size, in, out }, sizeof(n->shape));
        memcpy(n->file_shape, (int64_t[]){ out, in, size, size }, sizeof(n->file_shape));
    }
    return n;
}

/* ---- Finding and using ---- */

struct weight *weights_find(struct weights *w, const char *name, int *part)
{
    for (int i = 0; i < w->count; i++)
        for (int p = 0; p < w->list[i]->part_count; p++)
            if (!strcmp(w->list[i]->parts[p].name, name)) {
                *part = p;
                return w->list[i];
            }
    fail(TAIN_EINVAL, "model: it has no weight named %s", name);
    return NULL;
}

struct weight_part *weight_place(const struct weight *of, int place)
{
    struct weight *n = (struct weight *)(uintptr_t)of;

    if (place < n->part_count)
        return &n->parts[place];
    return place < n->part_count + n->cut_count ? &n->cuts[place - n->part_count] : NULL;
}

bool weights_adapted(const struct weights *w, const struct weight *of)
{
    const struct weight_part *p;

    for (int i = 0; w->adapted && (p = weight_place(of, i)); i++)
        if (p->a)
            return true;
    return false;
}

tain_tensor *weights_linear(const struct weights *w, const struct weight *of, tain_tensor *x, tain_tensor *bias,
                            enum gemm_activation activation, tain_tensor *residual)
{
    struct linear_adapters a = { 0 };
    const struct weight_part *p;

    for (int i = 0; w->adapted && (p = weight_place(of, i)); i++)
        if (p->a) {
            a.a[a.count] = p->a;
            a.b[a.count] = p->b;
            a.at[a.count] = (int32_t)p->row;
            a.scale[a.count++] = p->scale;
        }
    return op_linear(x, of->tensor, &(struct linear){ .bias = bias, .residual = residual, .activation = activation, .adapters = &a });
}

void weights_close(struct weights *w)
{
    for (int i = 0; i < w->count; i++) {
        struct weight *n = w->list[i];
        int places = 0;
        tensor_unref(n->tensor);
        for (struct weight_part *p; (p = weight_place(n, places)); places++) {
            free(p->name);
            tensor_unref(p->a);
            tensor_unref(p->b);
        }
        free(n);
    }
    free(w->list);
    for (int i = 0; i < w->arena_count; i++)
        tensor_unref(w->arenas[i]);
    free(w->arenas);
    memset(w, 0, sizeof(*w));
}

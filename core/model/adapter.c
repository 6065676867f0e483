/* adapter.c - a new adapter, what there is of it, and merging; see adapter.h. Folders: adapter_load.c, adapter_save.c. */
#include "model/adapter_part.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA = 8 << 20 };

bool adapter_fits(const struct weight *n)
{
    return n->kind == WEIGHT_MATRIX && n->file_rank == 2;
}

int adapter_module(const struct weight_part *p)
{
    size_t n = strlen(p->name);

    return (int)(n > 7 && !strcmp(p->name + n - 7, ".weight") ? n - 7 : n);
}

bool adapter_names(const char *name, size_t length, const char *module, size_t n)
{
    return length && length <= n && !memcmp(module + n - length, name, length) &&
           (length == n || module[n - length - 1] == '.');
}

int adapter_list_open(struct adapter_list *l, const struct weights *w)
{
    int places = 0;

    for (int i = 0; i < w->count; i++)
        places += w->list[i]->part_count + w->list[i]->cut_count;
    l->count = 0;
    l->at = base_alloc((size_t)places, sizeof(*l->at));
    return l->at ? 0 : TAIN_ENOMEM;
}

void adapter_list_close(struct adapter_list *l)
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

int adapter_place(struct adapter_list *l, tain_device *d)
{
    int64_t most = tensor_most(d) < ARENA ? tensor_most(d) : ARENA;
    int status = 0;

    for (int first = 0; first < l->count && !status;) {
        int64_t size = 0, at = 0, n;
        tain_tensor *arena;
        int last = first;

        for (; last < l->count; last++) {
            const struct adapter_made *m = &l->at[last];
            n = span(m->rank * made_columns(m)) + span(m->rank * made_rows(m));
            if (last > first && size + n > most)
                break;
            size += n;
        }
        if (!(arena = tain_tensor_create(d, TAIN_F32, 1, &size)))
            return tain_error_status();
        for (; first < last && !status; first++) {
            struct adapter_made *m = &l->at[first];
            int64_t in = made_columns(m), out = made_rows(m), r = m->rank;
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

void adapter_install(struct weights *w, struct adapter_list *l)
{
    adapter_drop(w);
    for (int i = 0; i < l->count; i++) {
        struct adapter_made *m = &l->at[i];
        struct weight_part *part = weight_place(m->weight, m->part);
        part->a = tensor_ref(m->a);
        part->b = tensor_ref(m->b);
        part->alpha = m->alpha;
        part->root = m->root;
        part->scale = m->root ? (float)(m->alpha / sqrt((double)m->rank)) : m->alpha / (float)m->rank;
    }
    w->adapted = l->count > 0;
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
        return !adapter_names("lm_head", 7, module, n);
    for (const char *p = targets; *p;) {
        size_t length = strcspn(p, ",");
        const char *name = p, *end = p + length;
        while (name < end && *name == ' ')
            name++;
        while (end > name && end[-1] == ' ')
            end--;
        if (memchr(name, '*', (size_t)(end - name)) ? glob(name, end, module, module + n)
                                                    : adapter_names(name, (size_t)(end - name), module, n))
            return true;
        p += length + (p[length] == ',');
    }
    return false;
}

/* Uniform in +-1/sqrt(columns), as PEFT starts; a matrix's start depends on its name and the seed alone. */
static int begin(const struct adapter_made *m, uint64_t seed)
{
    int64_t n = m->rank * made_columns(m);
    float *values = base_alloc((size_t)n, sizeof(float)), bound = 1 / sqrtf((float)made_columns(m));
    uint64_t state = seed;
    int status;

    if (!values)
        return TAIN_ENOMEM;
    for (const char *c = made_part(m)->name; *c; c++)
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
    struct adapter_list l;
    int status;

    REQUIRE(rank >= 1 && rank <= ADAPTER_RANK, "adapter: rank is %d; it must be from 1 to %d", rank, ADAPTER_RANK);
    REQUIRE(isfinite(alpha), "adapter: alpha is %g", (double)alpha);
    if ((status = adapter_list_open(&l, w)))
        return status;
    for (int i = 0; i < w->count; i++)
        for (int p = 0; p < w->list[i]->part_count; p++)
            if (adapter_fits(w->list[i]) && wanted(targets, w->list[i]->parts[p].name, (size_t)adapter_module(&w->list[i]->parts[p])))
                l.at[l.count++] = (struct adapter_made){ .weight = w->list[i], .part = p, .rank = rank, .alpha = alpha, .root = root };
    if (!l.count)
        status = fail(TAIN_EINVAL, "adapter: no matrix of the model fits \"%s\"", targets);
    if (!status)
        status = adapter_place(&l, w->device);
    for (int i = 0; i < l.count && !status; i++)
        status = begin(&l.at[i], seed);
    if (!status)
        adapter_install(w, &l);
    adapter_list_close(&l);
    return status;
}

/* ---- What there is ---- */

const struct weight_part *adapter_at(const struct weights *w, int index, const struct weight **of)
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

    while (adapter_at(w, n, &of))
        n++;
    return n;
}

tain_tensor *adapter_tensor(const struct weights *w, int index)
{
    const struct weight *of;
    const struct weight_part *p = adapter_at(w, index / 2, &of);

    return p ? index % 2 ? p->b : p->a : NULL;
}

int adapter_merge(struct weights *w)
{
    bool grad = w->device->grad;
    const struct weight *of;
    const struct weight_part *p;
    int status = 0;

    for (int i = 0; (p = adapter_at(w, i, &of)); i++) {
        REQUIRE(!type_blocks(of->tensor->type),
                "merge: %s is stored as %s; load the model as f32, merge there, and quantise what comes out", p->name,
                type_name(of->tensor->type));
        REQUIRE(of->tensor->type == TAIN_F32, "merge: %s is stored as %s; load the model as f32", p->name,
                type_name(of->tensor->type));
    }
    w->device->grad = false;
    for (int i = 0; !status && (p = adapter_at(w, i, &of)); i++) {
        int64_t in = of->shape[1], r = p->a->shape[0];
        tain_tensor *b = tain_scale(p->b, p->scale), *to = view_part(of->tensor, 0, p->row, p->rows);
        status = b && to ? gemm(&(struct gemm){ .a = b, .b = p->a, .c = to, .add = to, .M = p->rows, .N = in, .K = r,
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

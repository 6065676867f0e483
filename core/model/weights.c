/* weights.c - see weights.h. */
#include "model/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA = 8 << 20, SMALL = 1 << 20 }; /* elements: of an arena, of the largest weight in one */

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

/* ---- Between the file's layout and the device's ---- */

static int64_t count_of(const struct weight *n)
{
    int64_t c = 1;

    for (int i = 0; i < n->dims; i++)
        c *= n->shape[i];
    return c;
}

int64_t weight_part_count(const struct weight *of, int part)
{
    return of->kind == WEIGHT_CONV ? count_of(of) : of->parts[part].rows * (count_of(of) / of->shape[0]);
}

/* Convolutions: [out, in, k, k] to [k, k, in, out], or back. */
static void turn(const struct weight *n, const float *from, float *to, bool back)
{
    int64_t out = n->file_shape[0], in = n->file_shape[1], k2 = n->file_shape[2] * n->file_shape[3];

    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++)
            for (int64_t k = 0; k < k2; k++) {
                int64_t file = (o * in + i) * k2 + k, device = (k * in + i) * out + o;
                if (back)
                    to[file] = from[device];
                else
                    to[device] = from[file];
            }
}

/* The rows of one part of the weight, or of a tensor shaped like it. */
static tain_tensor *part_view(const struct weight *of, int part, tain_tensor *t)
{
    return of->kind == WEIGHT_CONV ? tensor_ref(t) : view_part(t, 0, of->parts[part].row, of->parts[part].rows);
}

int weights_read(struct weights *w, const struct weight *of, int part, tain_tensor *tensor, float *values)
{
    tain_tensor *view = part_view(of, part, tensor);
    int64_t n = weight_part_count(of, part);
    float *turned;
    int status;

    (void)w;
    if (!view)
        return tain_error_status();
    status = tain_tensor_read(view, values, n);
    tensor_unref(view);
    if (status || of->kind != WEIGHT_CONV)
        return status;
    if (!(turned = base_alloc((size_t)n, sizeof(float))))
        return TAIN_ENOMEM;
    turn(of, values, turned, true);
    memcpy(values, turned, (size_t)n * sizeof(float));
    free(turned);
    return 0;
}

int weights_write(struct weights *w, const struct weight *of, int part, const float *values)
{
    tain_tensor *view = part_view(of, part, of->tensor);
    int64_t n = weight_part_count(of, part);
    float *turned = NULL;
    int status;

    (void)w;
    if (!view)
        return tain_error_status();
    if (of->kind == WEIGHT_CONV) {
        if (!(turned = base_alloc((size_t)n, sizeof(float)))) {
            tensor_unref(view);
            return TAIN_ENOMEM;
        }
        turn(of, values, turned, false);
        values = turned;
    }
    status = tain_tensor_write(view, values, n);
    tensor_unref(view);
    free(turned);
    return status;
}

/* ---- Room on the device ---- */

static bool halved(const struct weight *n, tain_type storage)
{
    return storage != TAIN_F32 && (n->kind == WEIGHT_MATRIX || n->kind == WEIGHT_TABLE) && n->shape[1] % 8 == 0;
}

int weights_place(struct weights *w, tain_type storage)
{
    int64_t used = ARENA;

    if (w->status)
        return fail_in("weights");
    for (int i = 0; i < w->count; i++) {
        struct weight *n = w->list[i];
        int64_t count = count_of(n), span = (count + 63) / 64 * 64;

        if (halved(n, storage) || count > SMALL) {
            n->tensor = tensor_new(w->device, halved(n, storage) ? storage : TAIN_F32, n->dims, n->shape);
        } else {
            int64_t stride[4], step = 1;
            if (used + span > ARENA) {
                tain_tensor **more = base_grow(w->arenas, (size_t)w->arena_count, (size_t)w->arena_count + 1, sizeof(*more));
                if (!more)
                    return TAIN_ENOMEM;
                w->arenas = more;
                more[w->arena_count] = tain_tensor_create(w->device, TAIN_F32, 1, (int64_t[]){ ARENA });
                if (!more[w->arena_count])
                    return tain_error_status();
                w->arena_count++;
                used = 0;
            }
            for (int d = n->dims - 1; d >= 0; d--) {
                stride[d] = step;
                step *= n->shape[d];
            }
            n->tensor = view_make(w->arenas[w->arena_count - 1], n->dims, n->shape, stride, used);
            used += span;
        }
        if (!n->tensor)
            return tain_error_status();
        *n->slot = n->tensor;
    }
    return 0;
}

/* ---- Loading, starting, saving ---- */

static void shape_text(char *text, size_t room, int rank, const int64_t *shape)
{
    size_t n = (size_t)snprintf(text, room, "[");

    for (int i = 0; i < rank && n < room; i++)
        n += (size_t)snprintf(text + n, room - n, "%s%lld", i ? ", " : "", (long long)shape[i]);
    snprintf(text + (n < room ? n : room - 1), n < room ? room - n : 1, "]");
}

/* The shape in a file of what the alias calls one weight's part; returns the rank. */
static int shape_in_file(const struct weight *n, int part, const struct weight_alias *a, int64_t shape[4])
{
    int rank = n->file_rank;

    memcpy(shape, n->file_shape, sizeof(n->file_shape));
    if (n->part_count > 1)
        shape[0] = n->parts[part].rows;
    shape[0] /= a->count;
    if (a->flat)
        memmove(shape, shape + 1, (size_t)--rank * sizeof(*shape));
    return rank;
}

static int check_shape(const struct st_file *f, const struct st_entry *e, const struct weight *n, int part,
                       const struct weight_alias *alias)
{
    int64_t want[4];
    int rank = shape_in_file(n, part, alias, want);
    char a[128], b[128];

    if (e->rank == rank && !memcmp(e->shape, want, (size_t)rank * sizeof(*want)))
        return 0;
    shape_text(a, sizeof(a), e->rank, e->shape);
    shape_text(b, sizeof(b), rank, want);
    return fail(TAIN_EFORMAT, "%s: %s is %s; the configuration asks for %s", st_path(f, e), e->name, a, b);
}

/* What a part is called: as declared, or as in the other layout. */
static void alias_of(const struct weights *w, const struct weight *n, int part, bool other, struct weight_alias *a)
{
    if (other) {
        w->rename(n->parts[part].name, a);
        return;
    }
    *a = (struct weight_alias){ .count = 1 };
    snprintf(a->names[0], sizeof(a->names[0]), "%s", n->parts[part].name);
}

/* Whether a file has the other layout: it has the first weight under its other name, and not as it is
 * declared. */
static bool is_other(const struct weights *w, const struct st_file *f)
{
    struct weight_alias a;

    if (!w->rename || !w->count || st_find(f, w->list[0]->parts[0].name))
        return false;
    w->rename(w->list[0]->parts[0].name, &a);
    return st_find(f, a.names[0]);
}

/* Reads what the alias names, one below the other. */
static int read_part(const struct st_file *f, const struct weight *n, int part, const struct weight_alias *a, float *values,
                     size_t count)
{
    int status = 0;

    for (int i = 0; i < a->count && !status; i++) {
        const struct st_entry *e = st_need(f, a->names[i]);

        if (!e)
            return tain_error_status();
        if (!(status = check_shape(f, e, n, part, a)))
            status = st_read_float(f, e, values + (size_t)i * (count / (size_t)a->count), count / (size_t)a->count);
    }
    return status;
}

int weights_load(struct weights *w, const struct st_file *f, tain_type storage)
{
    int status = weights_place(w, storage);

    return status ? status : weights_reload(w, f);
}

int weights_reload(struct weights *w, const struct st_file *f)
{
    bool other = is_other(w, f);
    float *values = NULL;
    int status = 0;
    size_t room = 0;

    for (int i = 0; i < w->count && !status; i++) {
        struct weight *n = w->list[i];
        for (int p = 0; p < n->part_count && !status; p++) {
            size_t count = (size_t)weight_part_count(n, p);
            struct weight_alias a;

            if (count > room) {
                free(values);
                room = count;
                if (!(values = base_alloc(room, sizeof(float)))) {
                    status = TAIN_ENOMEM;
                    break;
                }
            }
            alias_of(w, n, p, other, &a);
            status = read_part(f, n, p, &a, values, count);
            if (!status)
                status = weights_write(w, n, p, values);
        }
    }
    free(values);
    return status;
}

static uint64_t mix(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

int weights_random(struct weights *w, uint64_t seed)
{
    int status = weights_place(w, TAIN_F32);

    for (int i = 0; i < w->count && !status; i++) {
        struct weight *n = w->list[i];
        for (int p = 0; p < n->part_count && !status; p++) {
            int64_t count = weight_part_count(n, p);
            float *values = base_alloc((size_t)count + 1, sizeof(float));
            uint64_t state = seed;

            if (!values)
                return TAIN_ENOMEM;
            for (const char *c = n->parts[p].name; *c; c++) /* a weight's start depends on its name alone */
                state = (state ^ (uint8_t)*c) * 0x100000001b3ull;
            for (int64_t k = 0; k < count; k += 2) {
                double u = ((double)(mix(&state) >> 11) + 0.5) * 0x1p-53, v = (double)(mix(&state) >> 11) * 0x1p-53;
                double r = sqrt(-2 * log(u)) * n->spread;
                values[k] = (float)(r * cos(6.283185307179586 * v));
                values[k + 1] = (float)(r * sin(6.283185307179586 * v));
            }
            if (n->kind == WEIGHT_ZEROS || n->kind == WEIGHT_ONES)
                for (int64_t k = 0; k < count; k++)
                    values[k] = n->kind == WEIGHT_ONES;
            status = weights_write(w, n, p, values);
            free(values);
        }
    }
    return status;
}

int weights_save(struct weights *w, const char *folder, enum st_type type, bool other, int64_t shard)
{
    struct weight_alias *names;
    struct st_tensor *list;
    struct st_out *out = NULL;
    int count = 0, status = 0, at = 0, name = 0;

    if (other && !w->rename)
        return fail(TAIN_EINVAL, "save: there is no other layout of this model");
    for (int i = 0; i < w->count; i++)
        count += w->list[i]->part_count;
    names = base_alloc((size_t)count, sizeof(*names));
    list = base_alloc((size_t)count * WEIGHT_PARTS, sizeof(*list));
    if (!names || !list) {
        free(names);
        free(list);
        return TAIN_ENOMEM;
    }
    for (int i = 0; i < w->count; i++)
        for (int p = 0; p < w->list[i]->part_count; p++, name++) {
            alias_of(w, w->list[i], p, other, &names[name]);
            for (int k = 0; k < names[name].count; k++, at++) {
                list[at].name = names[name].names[k];
                list[at].type = type;
                list[at].rank = shape_in_file(w->list[i], p, &names[name], list[at].shape);
            }
        }
    out = st_begin(folder, list, at, shard);
    if (!out)
        status = tain_error_status();
    for (int i = 0; i < w->count && !status; i++)
        for (int p = 0; p < w->list[i]->part_count && !status; p++) {
            const struct weight *n = w->list[i];
            size_t values = (size_t)weight_part_count(n, p);
            float *v = base_alloc(values, sizeof(float));
            uint16_t *h = (uint16_t *)v; /* shrinks in place */

            status = v ? weights_read(w, n, p, n->tensor, v) : TAIN_ENOMEM;
            for (size_t k = 0; k < values && !status; k++) {
                if (!isfinite(v[k]))
                    status = fail(TAIN_EINVAL, "save: %s holds a number that is not finite; nothing was saved", n->parts[p].name);
                else if (type == ST_F16)
                    h[k] = f32_to_f16(v[k]);
                else if (type == ST_BF16)
                    h[k] = f32_to_bf16(v[k]);
            }
            if (!status)
                status = st_put(out, v, values * st_type_bytes(type));
            free(v);
        }
    if (!status)
        status = st_end(out);
    else
        st_drop(out);
    free(names);
    free(list);
    return status;
}

void weights_close(struct weights *w)
{
    for (int i = 0; i < w->count; i++) {
        struct weight *n = w->list[i];
        tensor_unref(n->tensor);
        for (int p = 0; p < n->part_count; p++) {
            free(n->parts[p].name);
            tensor_unref(n->parts[p].a);
            tensor_unref(n->parts[p].b);
        }
        free(n);
    }
    free(w->list);
    for (int i = 0; i < w->arena_count; i++)
        tensor_unref(w->arenas[i]);
    free(w->arenas);
    memset(w, 0, sizeof(*w));
}

/* ---- Using ---- */

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

bool weights_adapted(const struct weights *w, const struct weight *of)
{
    for (int p = 0; w->adapted && p < of->part_count; p++)
        if (of->parts[p].a)
            return true;
    return false;
}

tain_tensor *weights_linear(const struct weights *w, const struct weight *of, tain_tensor *x, tain_tensor *bias,
                            enum gemm_activation activation)
{
    struct linear_adapters a = { 0 };

    for (int p = 0; w->adapted && p < of->part_count; p++)
        if (of->parts[p].a) {
            a.a[a.count] = of->parts[p].a;
            a.b[a.count] = of->parts[p].b;
            a.at[a.count] = (int32_t)of->parts[p].row;
            a.scale[a.count++] = of->parts[p].scale;
        }
    return op_linear(x, of->tensor, bias, activation, &a);
}

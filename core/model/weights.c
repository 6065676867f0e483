/* weights.c - see weights.h. */
#include "model/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Elements: of an arena, of the largest weight in one, of what is read or written at a time. */
enum { ARENA = 8 << 20, SMALL = 1 << 20, PIECE = 4 << 20 };

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

static bool in_blocks(const struct weight *n)
{
    bool fits = n->blocks && n->shape[1] % BLOCK_NUMBERS == 0;

    for (int p = 0; p < n->part_count; p++)
        fits = fits && n->parts[p].rows % BLOCK_ROWS == 0;
    return fits;
}

/* How a weight is stored; `half` is for what could be in blocks and is not. */
static tain_type stored(const struct weight *n, tain_type storage, tain_type half)
{
    if (type_blocks(storage))
        storage = in_blocks(n) ? storage : half;
    return (n->kind == WEIGHT_MATRIX || n->kind == WEIGHT_TABLE) && n->shape[1] % 8 == 0 ? storage : TAIN_F32;
}

int weights_place(struct weights *w, tain_type storage, tain_type half)
{
    int64_t room = tensor_most(w->device) / 64 * 64 < ARENA ? tensor_most(w->device) / 64 * 64 : ARENA, used = room;

    if (w->status)
        return fail_in("weights");
    for (int i = 0; i < w->count; i++) {
        struct weight *n = w->list[i];
        int64_t count = count_of(n), span = (count + 63) / 64 * 64;

        tain_type type = stored(n, storage, half);

        if (type != TAIN_F32 || count > SMALL || span > room) {
            n->tensor = tensor_new(w->device, type, n->dims, n->shape);
        } else {
            int64_t stride[4], step = 1;
            if (used + span > room) {
                tain_tensor **more = base_grow(w->arenas, (size_t)w->arena_count, (size_t)w->arena_count + 1, sizeof(*more));
                if (!more)
                    return TAIN_ENOMEM;
                w->arenas = more;
                more[w->arena_count] = tain_tensor_create(w->device, TAIN_F32, 1, &room);
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

/* ---- Reading, piece by piece ---- */

/* A row's numbers, and rows of a piece. */
static int64_t wide(const struct weight *n)
{
    return count_of(n) / n->shape[0];
}

static int64_t piece_rows(const struct weight *n)
{
    int64_t rows = PIECE / (wide(n) + 1) / BLOCK_ROWS * BLOCK_ROWS;

    return rows ? rows : BLOCK_ROWS;
}

/* What is read at a time, in one allocation. */
struct piece {
    float *values;
    int8_t *numbers, *packed;
    uint16_t *scales;
};

static int piece_open(struct piece *p, const struct weight *n)
{
    int64_t count = piece_rows(n) * wide(n), most = 0;

    for (int i = 0; i < n->part_count; i++)
        most = weight_part_count(n, i) > most ? weight_part_count(n, i) : most;
    if (n->kind == WEIGHT_CONV || count > most) /* turned as a whole */
        count = most;
    *p = (struct piece){ .values = base_alloc((size_t)count + 1, sizeof(float)) };
    if (n->blocks) {
        p->numbers = base_alloc((size_t)count + 1, 1);
        p->packed = base_alloc((size_t)count / 2 + 1, 1);
        p->scales = base_alloc((size_t)count / BLOCK_NUMBERS + 1, sizeof(*p->scales));
    }
    return p->values && (!n->blocks || (p->numbers && p->packed && p->scales)) ? 0 : TAIN_ENOMEM;
}

static void piece_close(struct piece *p)
{
    free(p->values);
    free(p->numbers);
    free(p->packed);
    free(p->scales);
}

/* One of the file's tensors: floats, or numbers in blocks and their scales. */
struct source {
    const struct st_entry *values, *numbers, *scales;
    tain_type type; /* of the blocks */
};

/* Of blocks: what the names of the two end in, how they are stored, and how long their rows are. */
static void blocks_entry(struct st_tensor *t, tain_type type, bool scales, const int64_t *shape)
{
    t->type = scales ? ST_F16 : type == TAIN_INT8 ? ST_I8 : ST_U8;
    t->rank = 2;
    t->shape[0] = shape[0];
    t->shape[1] = scales ? shape[1] / BLOCK_NUMBERS : type == TAIN_INT8 ? shape[1] : shape[1] / 2;
}

static int find_blocks(const struct st_file *f, const struct weight *n, const char *name, const int64_t *shape, struct source *s)
{
    char full[300];

    for (tain_type type = TAIN_INT8; n->blocks && type <= TAIN_INT4 && !s->numbers; type++) {
        snprintf(full, sizeof(full), "%s.%s", name, type_name(type));
        s->numbers = st_find(f, full);
        s->type = type;
    }
    if (!s->numbers)
        return 0;
    snprintf(full, sizeof(full), "%s.scales", name);
    if (!(s->scales = st_need(f, full)))
        return tain_error_status();
    for (int i = 0; i < 2; i++) {
        const struct st_entry *e = i ? s->scales : s->numbers;
        struct st_tensor want = { 0 };
        char have[128], text[128];

        blocks_entry(&want, s->type, i, shape);
        if (e->type == want.type && e->rank == 2 && e->shape[0] == want.shape[0] && e->shape[1] == want.shape[1] &&
            shape[1] % BLOCK_NUMBERS == 0)
            continue;
        shape_text(have, sizeof(have), e->rank, e->shape);
        shape_text(text, sizeof(text), 2, want.shape);
        return fail(TAIN_EFORMAT, "%s: %s is %s %s; the configuration asks for %s %s", st_path(f, e), e->name, e->type_name, have,
                    st_type_name(want.type), text);
    }
    return 0;
}

static int find_source(const struct st_file *f, const struct weight *n, int part, const struct weight_alias *a, int i,
                       struct source *s)
{
    int64_t shape[4];

    *s = (struct source){ 0 };
    if ((s->values = st_find(f, a->names[i])))
        return check_shape(f, s->values, n, part, a);
    shape_in_file(n, part, a, shape);
    if (find_blocks(f, n, a->names[i], shape, s))
        return tain_error_status();
    if (!s->numbers) {
        st_need(f, a->names[i]); /* says so */
        return tain_error_status();
    }
    return 0;
}

static int read_blocks(const struct st_file *f, const struct source *s, size_t from, size_t count, struct piece *p)
{
    int status;

    if (s->type == TAIN_INT8)
        status = st_read_part(f, s->numbers, from, p->numbers, count);
    else
        status = st_read_part(f, s->numbers, from / 2, p->packed, count / 2);
    if (!status)
        status = st_read_part(f, s->scales, from / BLOCK_NUMBERS * 2, p->scales, count / BLOCK_NUMBERS * 2);
    for (size_t i = 0; i < count && !status && s->type == TAIN_INT4; i++)
        p->numbers[i] = (int8_t)((int8_t)(uint8_t)((uint8_t)p->packed[i / 2] << (i % 2 ? 0 : 4)) >> 4);
    for (size_t i = 0; i < count / BLOCK_NUMBERS && !status; i++)
        if ((p->scales[i] & 0x7c00) == 0x7c00)
            status = fail(TAIN_EFORMAT, "%s: %s holds a number that is not finite", st_path(f, s->scales), s->scales->name);
    return status;
}

/* Whether the file's numbers lie in memory as the device's do: they need not become floats in between. */
static bool alike(const struct source *s, const struct weight *n)
{
    return s->values && ((s->values->type == ST_F16 && n->tensor->type == TAIN_F16) ||
                         (s->values->type == ST_BF16 && n->tensor->type == TAIN_BF16));
}

/* Some rows of a part, from the source's row `from` on, into the weight's rows from `to` on. */
static int load_rows(const struct st_file *f, const struct weight *n, const struct source *s, int64_t from, int64_t to, int64_t rows,
                     struct piece *p)
{
    int64_t first = from * wide(n), count = rows * wide(n);
    tain_tensor *view = view_part(n->tensor, 0, to, rows);
    int status = view ? 0 : tain_error_status();

    if (!status && alike(s, n))
        status = st_read_part(f, s->values, (size_t)first * 2, p->values, (size_t)count * 2);
    else if (!status && s->values)
        status = st_read_float_part(f, s->values, (size_t)first, p->values, (size_t)count);
    else if (!status)
        status = read_blocks(f, s, (size_t)first, (size_t)count, p);
    if (!status && alike(s, n)) {
        status = tensor_put(view, p->values);
    } else if (!status && !s->values && n->tensor->type == s->type) {
        status = blocks_put(view, p->numbers, p->scales);
    } else if (!status) {
        if (!s->values)
            blocks_floats(p->numbers, p->scales, count, p->values);
        status = tain_tensor_write(view, p->values, count);
        if (status && type_blocks(view->type))
            fail_in("%s", n->parts[0].name);
    }
    tensor_unref(view);
    return status;
}

static int load_part(struct weights *w, const struct st_file *f, const struct weight *n, int part, bool other, struct piece *p)
{
    struct weight_alias a;
    struct source s;
    int64_t rows;
    int status = 0;

    alias_of(w, n, part, other, &a);
    rows = n->parts[part].rows / a.count;
    for (int i = 0; i < a.count && !status; i++) {
        if ((status = find_source(f, n, part, &a, i, &s)))
            return status;
        if (n->kind == WEIGHT_CONV) {
            if (!(status = st_read_float(f, s.values, p->values, (size_t)weight_part_count(n, part))))
                status = weights_write(w, n, part, p->values);
            continue;
        }
        for (int64_t r = 0, some = piece_rows(n); r < rows && !status; r += some) {
            some = rows - r < some ? rows - r : some;
            status = load_rows(f, n, &s, r, n->parts[part].row + i * rows + r, some, p);
        }
    }
    return status;
}

/* What 16-bit storage fits a file best: that of its first table. */
static tain_type half_of(const struct weights *w, const struct st_file *f)
{
    bool other = is_other(w, f);

    for (int i = 0; i < w->count; i++) {
        struct weight_alias a;
        const struct st_entry *e;

        if (w->list[i]->kind != WEIGHT_TABLE)
            continue;
        alias_of(w, w->list[i], 0, other, &a);
        e = st_find(f, a.names[0]);
        return e && e->type == ST_BF16 ? TAIN_BF16 : TAIN_F16;
    }
    return TAIN_F16;
}

/* Whether the file has all of the weights in their sizes: before memory is taken that a configuration asks for,
 * and before the first of those that are there is changed. */
static int check_sources(const struct weights *w, const struct st_file *f)
{
    bool other = is_other(w, f);
    int status = 0;

    for (int i = 0; i < w->count; i++)
        for (int p = 0; p < w->list[i]->part_count && !status; p++) {
            struct weight_alias a;
            struct source s;

            alias_of(w, w->list[i], p, other, &a);
            for (int k = 0; k < a.count && !status; k++)
                status = find_source(f, w->list[i], p, &a, k, &s);
        }
    return status;
}

static int load_all(struct weights *w, const struct st_file *f)
{
    bool other = is_other(w, f);
    int status = 0;

    for (int i = 0; i < w->count && !status; i++) {
        const struct weight *n = w->list[i];
        struct piece p;

        status = piece_open(&p, n);
        for (int k = 0; k < n->part_count && !status; k++)
            status = load_part(w, f, n, k, other, &p);
        piece_close(&p);
    }
    return status;
}

int weights_load(struct weights *w, const struct st_file *f, tain_type storage)
{
    int status = check_sources(w, f);

    if (!status)
        status = weights_place(w, storage, half_of(w, f));
    return status ? status : load_all(w, f);
}

int weights_reload(struct weights *w, const struct st_file *f)
{
    int status = check_sources(w, f);

    return status ? status : load_all(w, f);
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
    int status = weights_place(w, TAIN_F32, TAIN_F32);

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

/* ---- Writing, piece by piece ---- */

/* All weights as one type; or, with ST_OTHER, each as it is stored, and what is f32 as `floats`. */
struct form {
    enum st_type type, floats;
};

static enum st_type type_in_file(const struct weight *n, const struct form *form)
{
    const enum st_type types[] = { form->floats, ST_F16, ST_BF16 };

    return form->type == ST_OTHER ? types[n->tensor->type] : form->type;
}

static bool saved_in_blocks(const struct weight *n, const struct form *form)
{
    return form->type == ST_OTHER && type_blocks(n->tensor->type);
}

/* The shortest type that holds every number of the weights that are f32: mostly they were 16-bit in the file
 * that they came from. One for all, so that none begins where its type may not. */
static int find_floats(const struct weights *w, enum st_type *type)
{
    bool halves = true, brains = true;
    int status = 0;

    for (int i = 0; i < w->count && !status && (halves || brains); i++) {
        const struct weight *n = w->list[i];
        struct piece p;

        if (n->tensor->type != TAIN_F32)
            continue;
        status = piece_open(&p, n);
        for (int64_t r = 0, some = piece_rows(n); r < n->shape[0] && !status; r += some) {
            tain_tensor *view;
            some = n->shape[0] - r < some ? n->shape[0] - r : some;
            view = view_part(n->tensor, 0, r, some);
            status = view ? tain_tensor_read(view, p.values, some * wide(n)) : tain_error_status();
            for (int64_t k = 0; k < some * wide(n) && !status; k++) {
                halves &= f16_to_f32(f32_to_f16(p.values[k])) == p.values[k];
                brains &= bf16_to_f32(f32_to_bf16(p.values[k])) == p.values[k];
            }
            tensor_unref(view);
        }
        piece_close(&p);
    }
    *type = brains ? ST_BF16 : halves ? ST_F16 : ST_F32;
    return status;
}

/* Floats as the file has them, in place: no type is wider. */
static int convert(const struct weight *n, int part, enum st_type type, float *v, int64_t count)
{
    uint16_t *h = (uint16_t *)v;

    for (int64_t k = 0; k < count; k++) {
        if (!isfinite(v[k]))
            return fail(TAIN_EINVAL, "save: %s holds a number that is not finite; nothing was saved", n->parts[part].name);
        if (type == ST_F16)
            h[k] = f32_to_f16(v[k]);
        else if (type == ST_BF16)
            h[k] = f32_to_bf16(v[k]);
    }
    return 0;
}

/* Some rows of a weight that is in blocks: their numbers, or their scales. */
static int put_blocks(struct st_out *out, tain_tensor *rows, bool scales, struct piece *p)
{
    int64_t count = tensor_count(rows);
    int status = blocks_get(rows, p->numbers, p->scales);

    if (status)
        return status;
    if (scales)
        return st_put(out, p->scales, (size_t)count / BLOCK_NUMBERS * 2);
    if (rows->type == TAIN_INT8)
        return st_put(out, p->numbers, (size_t)count);
    for (int64_t i = 0; i < count; i += 2)
        p->packed[i / 2] = (int8_t)((p->numbers[i] & 15) | (p->numbers[i + 1] & 15) << 4);
    return st_put(out, p->packed, (size_t)count / 2);
}

/* The rows of one of the file's tensors. */
static int save_rows(struct weights *w, struct st_out *out, const struct weight *n, int part, int64_t first, int64_t rows,
                     const struct form *form, bool scales, struct piece *p)
{
    enum st_type type = saved_in_blocks(n, form) ? ST_OTHER : type_in_file(n, form);
    int64_t some = piece_rows(n);
    int status = 0;

    if (n->kind == WEIGHT_CONV) {
        rows = weight_part_count(n, part);
        if (!(status = weights_read(w, n, part, n->tensor, p->values)) && !(status = convert(n, part, type, p->values, rows)))
            status = st_put(out, p->values, (size_t)rows * st_type_bytes(type));
        return status;
    }
    for (int64_t r = 0; r < rows && !status; r += some) {
        tain_tensor *view;
        some = rows - r < some ? rows - r : some;
        if (!(view = view_part(n->tensor, 0, first + r, some)))
            return tain_error_status();
        if (saved_in_blocks(n, form))
            status = put_blocks(out, view, scales, p);
        else if (!(status = tain_tensor_read(view, p->values, some * wide(n))) &&
                 !(status = convert(n, part, type, p->values, some * wide(n))))
            status = st_put(out, p->values, (size_t)(some * wide(n)) * st_type_bytes(type));
        tensor_unref(view);
    }
    return status;
}

/* What the file will hold; names are put into `texts`, of as many as there can be. */
static int list_tensors(const struct weights *w, const struct form *form, bool other, struct st_tensor *list, char (*texts)[288])
{
    struct weight_alias a;
    int at = 0;

    for (int i = 0; i < w->count; i++)
        for (int p = 0; p < w->list[i]->part_count; p++) {
            const struct weight *n = w->list[i];
            bool blocks = saved_in_blocks(n, form);
            alias_of(w, n, p, other, &a);
            for (int k = 0; k < a.count * (1 + blocks); k++, at++) {
                struct st_tensor *t = &list[at];
                const char *name = a.names[blocks ? k / 2 : k];
                int64_t shape[4];
                int rank = shape_in_file(n, p, &a, shape);
                t->name = texts[at];
                if (blocks) {
                    snprintf(texts[at], sizeof(*texts), "%s.%s", name, k % 2 ? "scales" : type_name(n->tensor->type));
                    blocks_entry(t, n->tensor->type, k % 2, shape);
                } else {
                    snprintf(texts[at], sizeof(*texts), "%s", name);
                    t->type = type_in_file(n, form);
                    t->rank = rank;
                    memcpy(t->shape, shape, sizeof(shape));
                }
            }
        }
    return at;
}

int weights_save(struct weights *w, const char *folder, enum st_type type, bool other, int64_t shard)
{
    struct form form = { type, ST_F32 };
    char (*texts)[288];
    struct st_tensor *list;
    struct st_out *out = NULL;
    int count = 0, status = 0;

    if (other && !w->rename)
        return fail(TAIN_EINVAL, "save: there is no other layout of this model");
    if (type == ST_OTHER && (status = find_floats(w, &form.floats)))
        return status;
    for (int i = 0; i < w->count; i++)
        count += w->list[i]->part_count * WEIGHT_PARTS * 2;
    texts = base_alloc((size_t)count, sizeof(*texts));
    list = base_alloc((size_t)count, sizeof(*list));
    if (!texts || !list) {
        free(texts);
        free(list);
        return TAIN_ENOMEM;
    }
    count = list_tensors(w, &form, other, list, texts);
    out = st_begin(folder, list, count, shard);
    if (!out)
        status = tain_error_status();
    for (int i = 0; i < w->count && !status; i++) {
        const struct weight *n = w->list[i];
        struct piece piece;

        status = piece_open(&piece, n);
        for (int p = 0; p < n->part_count && !status; p++) {
            struct weight_alias a;
            bool blocks = saved_in_blocks(n, &form);
            alias_of(w, n, p, other, &a);
            for (int k = 0; k < a.count * (1 + blocks) && !status; k++) {
                int64_t rows = n->parts[p].rows / a.count;
                status = save_rows(w, out, n, p, n->parts[p].row + (blocks ? k / 2 : k) * rows, rows, &form, k % 2 == 1, &piece);
            }
        }
        piece_close(&piece);
    }
    if (!status)
        status = st_end(out);
    else
        st_drop(out);
    free(texts);
    free(list);
    return status;
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
                            enum gemm_activation activation)
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
    return op_linear(x, of->tensor, bias, activation, &a);
}

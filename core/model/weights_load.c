/* weights_load.c - weights from files of either layout, quantised on the way where they are to be. */
#include "model/weights_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What the file has of a weight ---- */

/* One of the file's tensors: floats, or numbers in blocks and their scales. */
struct source {
    const struct st_entry *values, *numbers, *scales;
    tain_type type; /* of the blocks */
};

static void shape_text(char *text, size_t room, int rank, const int64_t *shape)
{
    size_t n = (size_t)snprintf(text, room, "[");

    for (int i = 0; i < rank && n < room; i++)
        n += (size_t)snprintf(text + n, room - n, "%s%lld", i ? ", " : "", (long long)shape[i]);
    snprintf(text + (n < room ? n : room - 1), n < room ? room - n : 1, "]");
}

static int check_shape(const struct st_file *f, const struct st_entry *e, const struct weight *n, int part,
                       const struct weight_alias *alias)
{
    int64_t want[4];
    int rank = weight_shape_in_file(n, part, alias, want);
    char a[128], b[128];

    if (e->rank == rank && !memcmp(e->shape, want, (size_t)rank * sizeof(*want)))
        return 0;
    shape_text(a, sizeof(a), e->rank, e->shape);
    shape_text(b, sizeof(b), rank, want);
    return fail(TAIN_EFORMAT, "%s: %s is %s; the configuration asks for %s", st_path(f, e), e->name, a, b);
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

        weight_blocks_in_file(&want, s->type, i, shape);
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
    weight_shape_in_file(n, part, a, shape);
    if (find_blocks(f, n, a->names[i], shape, s))
        return tain_error_status();
    if (!s->numbers) {
        st_need(f, a->names[i]); /* says so */
        return tain_error_status();
    }
    return 0;
}

/* ---- Piece by piece ---- */

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
    int64_t first = from * piece_wide(n), count = rows * piece_wide(n);
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

    weight_alias_of(w, n, part, other, &a);
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

/* ---- All of them ---- */

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

/* What 16-bit storage fits a file best: that of its first table. */
static tain_type half_of(const struct weights *w, const struct st_file *f)
{
    bool other = is_other(w, f);

    for (int i = 0; i < w->count; i++) {
        struct weight_alias a;
        const struct st_entry *e;

        if (w->list[i]->kind != WEIGHT_TABLE)
            continue;
        weight_alias_of(w, w->list[i], 0, other, &a);
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

            weight_alias_of(w, w->list[i], p, other, &a);
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

/* weights_save.c - weights into files of either layout. */
#include "model/weights_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What the file will hold ---- */

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
            status = view ? tain_tensor_read(view, p.values, some * piece_wide(n)) : tain_error_status();
            for (int64_t k = 0; k < some * piece_wide(n) && !status; k++) {
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

/* What the file will hold; names are put into `texts`, of as many as there can be. */
static int list_tensors(const struct weights *w, const struct form *form, bool other, struct st_tensor *list, char (*texts)[288])
{
    struct weight_alias a;
    int at = 0;

    for (int i = 0; i < w->count; i++)
        for (int p = 0; p < w->list[i]->part_count; p++) {
            const struct weight *n = w->list[i];
            bool blocks = saved_in_blocks(n, form);
            weight_alias_of(w, n, p, other, &a);
            for (int k = 0; k < a.count * (1 + blocks); k++, at++) {
                struct st_tensor *t = &list[at];
                const char *name = a.names[blocks ? k / 2 : k];
                int64_t shape[4];
                int rank = weight_shape_in_file(n, p, &a, shape);
                t->name = texts[at];
                if (blocks) {
                    snprintf(texts[at], sizeof(*texts), "%s.%s", name, k % 2 ? "scales" : type_name(n->tensor->type));
                    weight_blocks_in_file(t, n->tensor->type, k % 2, shape);
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

/* ---- Piece by piece ---- */

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
        else if (!(status = tain_tensor_read(view, p->values, some * piece_wide(n))) &&
                 !(status = convert(n, part, type, p->values, some * piece_wide(n))))
            status = st_put(out, p->values, (size_t)(some * piece_wide(n)) * st_type_bytes(type));
        tensor_unref(view);
    }
    return status;
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
            weight_alias_of(w, n, p, other, &a);
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

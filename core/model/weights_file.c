/* weights_file.c - see weights_file.h. */
#include "model/weights_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Elements of what is read or written at a time. */
enum { PIECE = 4 << 20 };

void weight_alias_of(const struct weights *w, const struct weight *n, int part, bool other, struct weight_alias *a)
{
    if (other) {
        w->rename(n->parts[part].name, a);
        return;
    }
    *a = (struct weight_alias){ .count = 1 };
    snprintf(a->names[0], sizeof(a->names[0]), "%s", n->parts[part].name);
}

int weight_shape_in_file(const struct weight *n, int part, const struct weight_alias *a, int64_t shape[4])
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

void weight_blocks_in_file(struct st_tensor *t, tain_type type, bool scales, const int64_t *shape)
{
    t->type = scales ? ST_F16 : type == TAIN_INT8 ? ST_I8 : ST_U8;
    t->rank = 2;
    t->shape[0] = shape[0];
    t->shape[1] = scales ? shape[1] / BLOCK_NUMBERS : type == TAIN_INT8 ? shape[1] : shape[1] / 2;
}

int64_t piece_wide(const struct weight *n)
{
    return weight_count(n) / n->shape[0];
}

int64_t piece_rows(const struct weight *n)
{
    int64_t rows = PIECE / (piece_wide(n) + 1) / BLOCK_ROWS * BLOCK_ROWS;

    return rows ? rows : BLOCK_ROWS;
}

int piece_open(struct piece *p, const struct weight *n)
{
    int64_t count = piece_rows(n) * piece_wide(n), most = 0;

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

void piece_close(struct piece *p)
{
    free(p->values);
    free(p->numbers);
    free(p->packed);
    free(p->scales);
}

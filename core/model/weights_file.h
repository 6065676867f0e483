/* weights_file.h - a model's weights in files: their names and sizes there, and the piece of one that is on the
 * host at a time. For weights_load.c and weights_save.c.
 */
#ifndef TAIN_MODEL_WEIGHTS_FILE_H
#define TAIN_MODEL_WEIGHTS_FILE_H

#include "model/weights.h"

/* What a part is called: as declared, or as in the other layout. */
void weight_alias_of(const struct weights *w, const struct weight *n, int part, bool other, struct weight_alias *a);
/* The shape in a file of what the alias calls one weight's part; returns the rank. */
int weight_shape_in_file(const struct weight *n, int part, const struct weight_alias *a, int64_t shape[4]);
/* Of blocks: what the names of the two end in, how they are stored, and how long their rows are. */
void weight_blocks_in_file(struct st_tensor *t, tain_type type, bool scales, const int64_t *shape);

/* What is read or written at a time: some rows, or all of a convolution. What a weight does not need is NULL. */
struct piece {
    float *values;
    int8_t *numbers, *packed;
    uint16_t *scales;
};

int piece_open(struct piece *p, const struct weight *n); /* piece_close, even if it fails */
void piece_close(struct piece *p);

/* A row's numbers, and rows of a piece. */
int64_t piece_wide(const struct weight *n);
int64_t piece_rows(const struct weight *n);

#endif

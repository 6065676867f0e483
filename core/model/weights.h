/* weights.h - the weights of a model: declared once, then loaded from files, made at random, saved,
 * listed for training, and adapted.
 *
 * A weight on the device may hold several of the file side by side (q, k and v, say), so that one
 * product does them all; each keeps its name, and can be trained, adapted and saved by itself.
 */
#ifndef TAIN_MODEL_WEIGHTS_H
#define TAIN_MODEL_WEIGHTS_H

#include "io/io.h"
#include "op/matmul.h"

enum weight_kind {
    WEIGHT_MATRIX, /* [rows, columns] */
    WEIGHT_ZEROS,  /* a bias: [rows], starts at 0 */
    WEIGHT_ONES,   /* the scale of a norm: [rows], starts at 1 */
    WEIGHT_TABLE,  /* an embedding: [rows, columns] */
    WEIGHT_CONV,   /* in the file [out, in, k, k], on the device [k, k, in, out] */
};

enum { WEIGHT_PARTS = 3 };

struct weight_part {
    char *name;           /* as in the file */
    int64_t row, rows;    /* where in the weight */
    tain_tensor *a, *b;   /* its adapter (adapter.h), or NULL */
    float scale, alpha;
    bool root;            /* scale is alpha / sqrt(rank) and not alpha / rank */
};

struct weight {
    enum weight_kind kind;
    tain_tensor **slot;      /* the model's pointer to it */
    tain_tensor *tensor;
    int dims;                /* on the device */
    int64_t shape[4];
    int file_rank;           /* the file may have sizes of 1 more: [out, in, 1, 1], [1, N, C] */
    int64_t file_shape[4];   /* of the whole; part i has its rows in place of the first size */
    float spread;            /* of the random start */
    bool blocks;             /* may be stored as int8 or int4, if its sizes allow it */
    int part_count;
    struct weight_part parts[WEIGHT_PARTS];
    int cut_count;           /* what the other layout cuts a lone part into, under its names there: these */
    struct weight_part cuts[WEIGHT_PARTS]; /* can be adapted one by one as well */
};

/* What one of the file's tensors is in files of another layout: there it may be cut into several, one
 * below the other, or lack a first size of 1. */
struct weight_alias {
    char names[WEIGHT_PARTS][256];
    int count;
    bool flat;
};

struct weights {
    tain_device *device;
    void (*rename)(const char *name, struct weight_alias *alias); /* or NULL: there is one layout */
    struct weight **list;
    int count, room;
    tain_tensor **arenas;    /* small f32 weights lie together, so that one dispatch updates many */
    int arena_count;
    bool adapted;            /* adapters are in force */
    int status;              /* the first failure of a declaration */
};

/* Declares a weight; *slot is set by weights_load or weights_random. `spread` is the standard
 * deviation of the random start. Failures are kept in w->status. */
struct weight *weight_declare(struct weights *w, tain_tensor **slot, enum weight_kind kind, float spread, int64_t rows,
                              int64_t columns, const char *format, ...) __attribute__((format(printf, 7, 8)));
/* Several of the file side by side: rows[i] of names[i]; names are made by the caller and copied. */
struct weight *weight_declare_parts(struct weights *w, tain_tensor **slot, enum weight_kind kind, float spread,
                                    int64_t columns, int parts, const int64_t *rows, const char *const *names);
struct weight *weight_declare_conv(struct weights *w, tain_tensor **slot, float spread, int64_t out, int64_t in, int64_t size,
                                   const char *format, ...) __attribute__((format(printf, 7, 8)));

/* Makes room for every weight on the device, without values. `half` is how matrices are stored that could
 * not be stored as int8 or int4. */
int weights_place(struct weights *w, tain_type storage, tain_type half);

/* The file may have either layout. Storage int8 or int4 is for the weights that may have it and whose
 * sizes allow it: rows of a multiple of 32, parts of a multiple of 4 rows. Other matrices and tables are
 * then bf16 if the file's are, or else f16. At most PIECE numbers are on the host at a time. */
int weights_load(struct weights *w, const struct st_file *f, tain_type storage);
/* The same into weights that are there already; stored as they are. */
int weights_reload(struct weights *w, const struct st_file *f);
int weights_random(struct weights *w, uint64_t seed);
/* In files of at most `shard` bytes, or larger ones that hold one tensor; in the other layout if asked.
 * ST_OTHER writes each as it is stored, f32 in 16 bits if that changes no number; blocks as NAME.int8 (I8) or NAME.int4 (U8, two a byte, the first in
 * the lower bits) and NAME.scales (F16, one for 32 numbers of a row). */
int weights_save(struct weights *w, const char *folder, enum st_type type, bool other, int64_t shard);
void weights_close(struct weights *w);

/* The weight and part of a name; NULL with a sentence. */
struct weight *weights_find(struct weights *w, const char *name, int *part);
/* What the file would hold for a part: f32, in the file's layout. */
int weights_read(struct weights *w, const struct weight *of, int part, tain_tensor *tensor, float *values);
int weights_write(struct weights *w, const struct weight *of, int part, const float *values);
int64_t weight_count(const struct weight *of); /* numbers of the whole, and of a part */
int64_t weight_part_count(const struct weight *of, int part);

/* Where it may have an adapter: its parts, then the pieces that the other layout cuts it into. NULL past the
 * last one. */
struct weight_part *weight_place(const struct weight *of, int place);
/* Whether adapters change what this weight does. */
bool weights_adapted(const struct weights *w, const struct weight *of);
/* x W^T + bias + residual with the adapters of W in force. bias and residual may be NULL. The activation comes
 * before both adapters and residual, so there can only be one where there are no adapters. */
tain_tensor *weights_linear(const struct weights *w, const struct weight *of, tain_tensor *x, tain_tensor *bias,
                            enum gemm_activation activation, tain_tensor *residual);

#endif

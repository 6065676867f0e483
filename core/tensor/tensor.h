/* tensor.h - tensors, views and the tape.
 *
 * A tensor is a window on reference-counted storage: a shape, strides in elements (slowest
 * dimension first) and an offset. Arithmetic is always float; f16 and bf16 are ways to store, and so
 * are int8 and int4, for matrices that are not trained (blocks.c).
 *
 * The tape remembers, while it runs, the calls whose result depends on a tensor that wants a
 * gradient. tape_backward() walks it from the end. Everything on the tape is dropped together.
 */
#ifndef TAIN_TENSOR_H
#define TAIN_TENSOR_H

#include "base/base.h"
#include "gpu/gpu.h"

enum { TENSOR_DIMS = 6, OP_INPUTS = 12, OP_SAVED = 4, OP_PARAMS = 96 };

struct tape;

/* Kernels that have a portable form beside the fast one; bits of tain_device.portable. */
enum kernel {
    KERNEL_MATMUL = 1, KERNEL_ATTENTION = 2, KERNEL_CONV = 4, KERNEL_MATMUL_TILE = 8, KERNEL_MATMUL_COOP = 16, KERNEL_DOT = 32,
    KERNEL_MATMUL_PANEL = 64
};

/* Which products matmul_tile.comp (on CPUs matmul_panel.comp) or matmul_coop.comp makes. All of them: in tests and trials, whose products are small. */
enum tiles { TILES_NEVER, TILES_LARGE, TILES_ALL };

struct tain_device {
    int refs;
    struct gpu *gpu;
    unsigned portable; /* whose fast form is wrong on this driver (check/trial.c) */
    char wrong[192];   /* the same as text, and "reads" */
    enum tiles tiles;  /* where it is right and faster */
    enum tiles coop;   /* of the products by a matrix in 16 bits; before tiles */
    int64_t dot;       /* up to so many rows times a matrix in blocks are gemv_dot.comp's: where it is right and faster */
    bool grad;         /* false inside no_grad */
    struct tape *tape; /* NULL outside a step */
    uint64_t live;     /* tensors alive, but for the cached ones */
    struct cached *cached;
    struct copies *copies;
};

struct storage {
    int refs;
    tain_device *device;
    struct gpu_range range;
    uint64_t scales; /* where the scales of a matrix in blocks start, in bytes */
    int32_t *host; /* a copy of small integer tensors that came from the host, or NULL */
};

struct tain_tensor {
    int refs;
    tain_device *device;
    struct storage *storage;
    tain_type type;
    int dims;
    int64_t shape[TENSOR_DIMS], stride[TENSOR_DIMS];
    int64_t offset; /* elements */

    bool wants_grad;   /* a leaf that is trained, or a result that depends on one */
    bool leaf;         /* its gradient is kept when the tape is dropped */
    tain_tensor *grad; /* f32, contiguous unless it is a part of split's gradient */
    /* Where the gradient must lie, if that is given: parameters of an optimizer, parts of a split. */
    tain_tensor *grad_home;
    bool grad_started; /* grad_home holds something: add to it */
};

tain_device *device_open(const char *which); /* untried (device.c) */

/* ---- Tensors (tensor.c): new references, NULL on failure ---- */

tain_tensor *tensor_new(tain_device *d, tain_type type, int dims, const int64_t *shape); /* uninitialised */
tain_tensor *tensor_like(const tain_tensor *t);                                          /* f32, same shape */
tain_tensor *tensor_from(tain_device *d, tain_type type, int dims, const int64_t *shape, const void *data);
tain_tensor *tensor_ref(tain_tensor *t);
void tensor_unref(tain_tensor *t); /* NULL is fine */
int64_t tensor_count(const tain_tensor *t);
size_t type_bytes(tain_type type);
const char *type_name(tain_type type);
uint64_t tensor_bytes(const tain_tensor *t);
bool tensor_contiguous(const tain_tensor *t);
bool tensor_same_shape(const tain_tensor *a, const tain_tensor *b);
const char *tensor_text(const tain_tensor *t); /* "[2, 3]", one of eight buffers of this thread */
int64_t tensor_rows(const tain_tensor *t);     /* product of all dimensions but the last */
int64_t tensor_last(const tain_tensor *t);     /* the last dimension, 1 if there is none */
/* All rows lie at one distance from each other and the last dimension is dense: the distance in
 * elements, or -1. */
int64_t tensor_pitch(const tain_tensor *t);
int tensor_zero(tain_tensor *t); /* f32 or contiguous; rows with gaps are cleared row by row */
int tensor_put(tain_tensor *t, const void *data); /* as it is stored; not in blocks */
int tensor_copy_bytes(tain_tensor *to, const tain_tensor *from); /* both contiguous, same type and count */
int tensor_accumulate(tain_tensor *to, const tain_tensor *from, bool add); /* f32; to may have a pitch */
/* Elements of f32 that one piece of memory may have, and be bound. An allocation is a little larger than asked for. */
int64_t tensor_most(const tain_device *d);
struct gpu_bind tensor_bind(const tain_tensor *t, enum gpu_access access);

uint16_t to_f16(float f); /* rounds to nearest even */
float from_f16(uint16_t h);

/* ---- Matrices in blocks: int8 and int4 (blocks.c) ---- */

enum { BLOCK_NUMBERS = 32, BLOCK_ROWS = 4 }; /* of a row, with one scale; rows that lie together */

bool type_blocks(tain_type type);
/* What a matrix takes, and where in it the scales start. columns is a multiple of BLOCK_NUMBERS. */
uint64_t blocks_bytes(tain_type type, int64_t rows, int64_t columns, uint64_t *scales);
/* Texels from four rows to the next four, and where the numbers or the scales lie from a row on. */
int64_t blocks_pitch(const tain_tensor *t);
struct gpu_bind blocks_bind(const tain_tensor *t, bool scales, int64_t row);
/* Numbers row after row, -127 to 127 or -8 to 7, and a scale in f16 for each 32 of them. A view is some
 * fours of rows; the last may be cut short where the matrix ends. */
int blocks_round(tain_type type, const float *values, int64_t count, int8_t *numbers, uint16_t *scales);
void blocks_floats(const int8_t *numbers, const uint16_t *scales, int64_t count, float *values);
int blocks_put(tain_tensor *t, const int8_t *numbers, const uint16_t *scales);
int blocks_get(tain_tensor *t, int8_t *numbers, uint16_t *scales);
int blocks_write(tain_tensor *t, const float *values);
int blocks_read(tain_tensor *t, float *values);

/* ---- Tables and copies that ops keep (cache.c): gone when no other tensor is left on the device ---- */

tain_tensor *cache_find(tain_device *d, const char *key);           /* borrowed, or NULL */
int cache_put(tain_device *d, const char *key, tain_tensor *table); /* takes the reference, whatever happens */
void cache_drop(tain_device *d);

enum { COPIED_WORDS = 10 };

/* What a copy is of: the version of a range first (gpu_version; 0: none is kept), then how it is laid out. */
struct copied {
    uint64_t word[COPIED_WORDS];
};

tain_tensor *copy_find(tain_device *d, const struct copied *of, bool *keep); /* borrowed, or NULL; keep: it is worth it */
void copy_keep(tain_device *d, const struct copied *of, tain_tensor *copy);  /* shares it, if there is room */
bool copy_drop(tain_device *d);                                              /* all of them; whether there were any */

/* ---- Views (view.c): not on the tape; ops make them differentiable ---- */

tain_tensor *view_make(tain_tensor *t, int dims, const int64_t *shape, const int64_t *stride, int64_t offset);
tain_tensor *view_shape(tain_tensor *t, int dims, const int64_t *shape); /* contiguous t */
tain_tensor *view_part(tain_tensor *t, int dim, int64_t start, int64_t size);
tain_tensor *view_swap(tain_tensor *t, int a, int b);

/* ---- Gradients and the tape (tape.c) ---- */

struct op;

/* One call of an op. Forward fills out and saved; backward reads dout and writes gradients. */
struct op_call {
    const struct op *op;
    int (*backward)(struct op_call *c);
    tain_device *device;
    tain_tensor *in[OP_INPUTS]; /* NULL where an optional one is absent */
    int inputs;
    tain_tensor *out;
    tain_tensor *dout;
    tain_tensor *saved[OP_SAVED];
    bool training; /* the call will be on the tape: save what backward needs */
    char params[OP_PARAMS] __attribute__((aligned(8)));
};

/* Where backward writes the gradient of t. *add tells whether to add to what is there. The result
 * is borrowed, f32 and of t's shape; contiguous unless t is a part of a split. */
tain_tensor *grad_target(tain_tensor *t, bool *add);
/* Hands over g (a new reference, contiguous f32, t's shape) as the gradient of t, or adds it. */
int grad_give(tain_tensor *t, tain_tensor *g);

int tape_begin(tain_device *d);   /* fails if one runs */
void tape_end(tain_device *d);    /* drops everything on it */
int tape_record(struct op_call *call); /* takes references */
int tape_backward(tain_tensor *loss);  /* one element; then the tape is empty */
/* For backward passes that did not keep their intermediates: runs y = run(with, x) again on a tape
 * of its own and goes backward from dy, giving x and every leaf on the way its gradient. */
int tape_again(tain_tensor *x, tain_tensor *dy, tain_tensor *(*run)(void *with, tain_tensor *x), void *with);

#endif

/* op.h - what an op is, and what the files of core/op share.
 *
 * An op is one file here, one shader (or a few), one test of the same name, and one prototype in
 * include/tain.h. op_run() is the one place that checks inputs, calls infer, makes the output and
 * records the call on the tape.
 */
#ifndef TAIN_OP_H
#define TAIN_OP_H

#include "tensor/tensor.h"

struct op {
    const char *name;
    int inputs;      /* how many there must be; in[] beyond may be NULL only if optional > 0 */
    int optional;    /* how many more there may be */
    unsigned any_stride; /* bit i: input i may be a view with strides; else it is made contiguous */
    unsigned any_type;   /* bit i: input i may be other than f32; else it is converted to f32 */
    unsigned blocks;     /* bit i: input i may be a matrix in blocks (int8, int4) */
    unsigned no_grad;    /* bit i: input i never gets a gradient (indices, masks) */
    /* Fills in type, dims and shape of the output from in[] and params; fails with a sentence. */
    int (*infer)(const struct op_call *c, tain_type *type, int *dims, int64_t *shape);
    int (*forward)(struct op_call *c);
    int (*backward)(struct op_call *c); /* NULL: not differentiable */
};

/* Runs op; params (at most OP_PARAMS bytes) are copied. A new reference, or NULL with a sentence. */
tain_tensor *op_run(const struct op *op, tain_tensor *const *in, int inputs, const void *params, size_t bytes);
#define OP_IN(...) (tain_tensor *const[]){ __VA_ARGS__ }, (int)(sizeof((tain_tensor *[]){ __VA_ARGS__ }) / sizeof(tain_tensor *))
#define OP_RUN0(op, ...) op_run(op, OP_IN(__VA_ARGS__), NULL, 0)
#define OP_RUN(op, params, ...) op_run(op, OP_IN(__VA_ARGS__), (params), sizeof(*(params)))

/* True if backward is wanted for input i of this call. */
static inline bool op_wants(const struct op_call *c, int i)
{
    return i < c->inputs && c->in[i] && c->in[i]->wants_grad && !(c->op->no_grad >> i & 1);
}

/* Whether kernels can read it by single numbers; NULL can. */
bool op_by_words(const tain_tensor *t);

/* Common shapes. */
int infer_same(const struct op_call *c, tain_type *type, int *dims, int64_t *shape); /* f32, like in[0] */
int infer_scalar(const struct op_call *c, tain_type *type, int *dims, int64_t *shape);

/* Dispatch helpers. Bindings are tensors; `writes` has bit i set where tensor i is written (and, as
 * backward may add, read). */
int op_dispatch(tain_device *d, struct gpu_pipeline *p, tain_tensor *const *t, int count, unsigned writes,
                const void *params, size_t bytes, int64_t x, int64_t y, int64_t z, double work);
/* gpu_pipeline() with a name put together as by printf. */
struct gpu_pipeline *op_pipeline(tain_device *d, uint32_t width, const uint32_t *constants, int count,
                                 const char *format, ...) __attribute__((format(printf, 5, 6)));
/* One invocation for each of `items`, in groups of `width`; x and y of the grid, see
 * lib/index.glsl. */
void op_grid(int64_t items, uint32_t width, int64_t *x, int64_t *y);

/* The same for row kernels (lib/row.glsl): one subgroup of `lanes` for each row, in groups of
 * `width` invocations. */
void op_rows(int64_t rows, uint32_t width, uint32_t lanes, int64_t *x, int64_t *y);

/* An invocation runs 65,535 turns of its loops at most on the CPU driver; so many are safely below. */
enum { OP_TURNS = 60000 };

/* n in steps of `by`, the last of which may not be full. */
static inline int64_t op_steps(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

/* to[i] = (add: to[i] +) the sum over k < count of part[start + k * pitch + i]; to is contiguous. */
int op_fold(tain_tensor *part, int64_t start, int64_t count, int64_t pitch, tain_tensor *to, bool add);

/* The many rows that a kernel reads along at once push each other out of a CPU's first caches when they begin a
 * power of two apart: a cache's sets are chosen by the middle bits of an address. op_even: whether rows of this
 * pitch do so; op_spread: a copy [rows, columns] whose rows begin a cache line more apart (its stride[0]). */
enum { OP_SPREAD_MOST = 1 << 26 };
bool op_even(tain_type type, int64_t pitch);
tain_tensor *op_spread(tain_tensor *from, int64_t offset, int64_t pitch, int64_t rows, int64_t columns);

/* A gradient target that is contiguous for sure. What open returns is borrowed; close hands over
 * what was written elsewhere because the target itself has gaps, and passes the status on. */
struct op_grad {
    tain_tensor *of, *fresh;
    bool add;
};
tain_tensor *op_grad_open(struct op_grad *g, tain_tensor *t);
int op_grad_close(struct op_grad *g, int status);

/* Runs without the tape: for backward passes that are made of other ops. */
tain_tensor *op_plain(const struct op *op, tain_tensor *const *in, int inputs, const void *params, size_t bytes);

/* A tensor as f32 / contiguous: t itself with a new reference if it is so already. On the tape. */
tain_tensor *op_float(tain_tensor *t);
tain_tensor *op_contiguous(tain_tensor *t);
tain_tensor *op_copy(tain_tensor *t); /* dense, in memory of its own; on the tape */

#endif

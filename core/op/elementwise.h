/* elementwise.h - what ops use of binary.c and reduce.c to put their gradients together. */
#ifndef TAIN_ELEMENTWISE_H
#define TAIN_ELEMENTWISE_H

#include "op/op.h"

/* The numbers are those of the cases in shaders/binary.comp. */
enum elementwise {
    EL_SCALE = 0,                                   /* of one: x * a */
    EL_ADD, EL_SUB, EL_MUL, EL_DIV, EL_GREATEST, EL_LEAST, /* of two */
    EL_GT, EL_GE, EL_LT, EL_LE, EL_EQ,              /* 1 or 0 */
    EL_WHERE_NOT_0,                                 /* x != 0 ? y : 0 */
    EL_WHERE_0,                                     /* x == 0 ? y : 0 */
    EL_WHERE = 20,                                  /* of three: x != 0 ? y : z */
    EL_DIV_BACK,                                    /* -x * y / (z * z) */
    EL_IF_GE, EL_IF_LT,                             /* y >= z ? x : 0, y < z ? x : 0 */
};

/* out = f(in…), or out += f(in…), with the inputs broadcast to the shape of out, which is dense. All
 * f32; inputs may have strides. `a` goes to functions of one. */
int elementwise(enum elementwise function, tain_tensor *const *in, int inputs, tain_tensor *out, bool add, float a);

/* The same into the gradient of t: if t was broadcast, what fell on one element is summed. `out` has
 * the shape that the inputs are broadcast to. */
int elementwise_grad(tain_tensor *t, const tain_tensor *out, enum elementwise function, tain_tensor *const *in,
                     int inputs, float a);

/* Sums x (dense f32) over the dimensions along which `shape` would be broadcast to it. A new
 * reference, dense. */
tain_tensor *reduce_to(tain_tensor *x, int dims, const int64_t *shape);

/* out[o, i] = scale * sum over c of x[o, c, i]; both dense. */
int reduce_sum(tain_tensor *x, int64_t outer, int64_t count, int64_t inner, float scale, tain_tensor *out);

#endif

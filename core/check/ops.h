/* ops.h - what a check of one operation is: shapes, the call, and a plain loop in double precision.
 */
#ifndef TAIN_CHECK_OPS_H
#define TAIN_CHECK_OPS_H

#include "tensor/tensor.h"

enum { CHECK_INPUTS = 4, CHECK_SHAPES = 3 };

/* Numbers on the host; row-major. */
struct check_value {
    int dims;
    int64_t shape[TENSOR_DIMS], count;
    double *at;
};

struct check_input {
    int dims;
    int64_t shape[4];
    float low, high; /* both 0: -2 to 2; of ints, low to high - 1 */
};

struct check_op {
    const char *name;
    int inputs, ints;  /* how many; bit i: input i holds whole numbers */
    tain_tensor *(*run)(tain_tensor *const *in, const double *with);
    /* check_shape() on out first. */
    void (*want)(const struct check_value *in, struct check_value *out, const double *with);
    bool no_grad;
    struct check_case {
        struct check_input in[CHECK_INPUTS];
        double with[4]; /* for both functions */
    } cases[CHECK_SHAPES]; /* where there are fewer, in[0].dims is 0 */
    tain_type second;      /* how the second input is stored */
};

extern const struct check_op check_op_table[];
extern const int check_op_count;

/* How wrong a product by a matrix in 16 bits may be where matmul_coop.comp makes it. Rounding A to f16 changes a number
 * by 2^-10 of it at most, however a driver rounds, so a sum by 2^-10 of what its parts are without their signs; B's
 * numbers are within f16 as they are. Of these random cases' results and gradients that sum is less than eight times
 * 1 + the greatest result, which errors are relative to. What any mistake does is more. */
#define CHECK_F16 (8 * 0x1p-10)

/* That, or 0 where it does not make products of the operation. */
double check_slack(const tain_device *d, const struct check_op *op);

/* One case of an operation: the greatest error of what it gives, and of its gradients, unless those given
 * are greater. state: of the random numbers. */
int check_case(tain_device *d, const struct check_op *op, const struct check_case *c, uint64_t *state, double *worst,
               double *slope);

/* Whether on this device tiles are the faster kernel for large products; whether cooperative matrices are, of those by
 * a matrix in 16 bits, than the one of the other two that is chosen; whether stores are faster where addresses that
 * all lanes share are told from others; up to how many rows packed dot products are the faster kernel for matrices in
 * blocks. The device is left as the answer says. (race.c) */
int race_tiles(tain_device *d, bool *wins);
int race_coop(tain_device *d, bool *wins);
int race_alike(tain_device *d, bool *wins);
int race_dot(tain_device *d, int64_t *rows);

/* Gives out a shape, and room that is cleared; out->at is NULL if there is none. */
void check_shape(struct check_value *out, int dims, const int64_t *shape);

#endif

/* train.h - the inside of an optimizer: where gradients and moments lie.
 *
 * Parameters that are neighbours in memory form a run; a run is updated by one dispatch. Arenas hold
 * gradient, m and v of many runs, in the same layout, so that one fill clears and few dispatches
 * measure. Between the parameters of a run there may be gaps: there the gradient is 0 and v negative,
 * which tells the shader to leave them alone.
 */
#ifndef TAIN_TRAIN_H
#define TAIN_TRAIN_H

#include "tensor/tensor.h"

struct train_run {
    tain_tensor *base; /* a window on the parameters' storage: [n] */
    int arena;
    int64_t at, n;     /* in the arena, elements; multiples of 4 */
};

struct train_arena {
    tain_tensor *grad, *m, *v;
    int64_t n;
    int64_t part;      /* its first partial sum */
};

struct train_param {
    tain_tensor *tensor;
    int storage;       /* parameters with the same number share memory */
    int arena;
    int64_t at, count; /* in the arena */
};

/* As shaders/sumsq.comp writes it. */
struct train_control {
    float norm, factor, go;
    uint32_t skipped;
    float loss;
};

struct tain_optimizer {
    tain_device *device;
    struct train_param *params; /* in the caller's order */
    int count;
    struct train_run *runs;
    int run_count;
    struct train_arena *arenas;
    int arena_count;
    tain_tensor *part;    /* partial sums of squares */
    tain_tensor *control; /* what the device decides, struct train_control */
    struct train_control seen; /* what the host knows of it */
    bool stale;           /* and that is not the latest */
    bool watch;           /* the loss decides too */
    int64_t steps;
};

#endif

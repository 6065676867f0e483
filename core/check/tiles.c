/* tiles.c - which of the two kernels for large products is the faster one on this device.
 *
 * GPUs differ in what they like, so nothing but the clock is asked: both kernels in turn, the three orientations
 * of training, the shortest time of each. Both add in the same order, so that it is a choice of time alone.
 */
#include "check/ops.h"
#include "op/matmul.h"

enum { SMALL = 128, LARGE = 512, GROWTH = 64, ROUNDS = 8, RUNS = 16 };

/* Seconds. No round begins after LIMIT, and a kernel that would take longer for one is judged by small products;
 * one that takes less than FAST is run several times before its clock is read. */
static const double LIMIT = 0.1, FAST = 2e-3;

/* The time of one run of all three. */
static int run(struct gemm *g, int size, enum tiles tiles, int runs, double *seconds)
{
    static const bool stored[][2] = { { false, true }, { false, false }, { true, false } };
    tain_device *d = g->c->device;
    double start = base_seconds();
    int status = 0;

    d->tiles = tiles;
    g->M = g->N = g->K = size;
    for (int i = 0; i < runs * 3 && !status; i++) {
        g->ta = stored[i % 3][0];
        g->tb = stored[i % 3][1];
        status = gemm(g);
    }
    if (!status)
        status = gpu_wait(d->gpu);
    *seconds = (base_seconds() - start) / runs;
    return status;
}

static int race(struct gemm *g, double best[2])
{
    static const enum tiles kernels[] = { TILES_NEVER, TILES_LARGE };
    double seconds, begun;
    int status = 0, runs[2];

    for (int i = 0; i < 2 && !status; i++) {
        if ((status = run(g, SMALL, kernels[i], 1, &seconds)) || /* compiles */
            (status = run(g, SMALL, kernels[i], 1, &best[i])))
            break;
        best[i] *= GROWTH;
        runs[i] = best[i] > LIMIT ? 0 : best[i] > FAST ? 1 : RUNS;
        if (runs[i])
            status = run(g, LARGE, kernels[i], 1, &seconds);
    }
    begun = base_seconds();
    for (int k = 0; k < 2 * ROUNDS && !status && (k < 2 || base_seconds() - begun < LIMIT); k++) {
        int i = k % 2;
        if (!runs[i])
            continue;
        status = run(g, LARGE, kernels[i], runs[i], &seconds);
        if (k < 2 || seconds < best[i])
            best[i] = seconds;
    }
    return status;
}

int tiles_choose(tain_device *d, enum tiles *tiles)
{
    tain_tensor *t[3] = { NULL };
    double best[2];
    int status = 0;

    for (int i = 0; i < 3 && !status; i++) {
        t[i] = tensor_new(d, TAIN_F32, 2, (int64_t[]){ LARGE, LARGE });
        status = t[i] ? tensor_zero(t[i]) : tain_error_status();
    }
    if (!status)
        status = race(&(struct gemm){ .a = t[0], .b = t[1], .c = t[2], .batch = 1, .a_pitch = LARGE, .b_pitch = LARGE,
                                      .c_pitch = LARGE }, best);
    if (!status)
        *tiles = best[1] < best[0] ? TILES_LARGE : TILES_NEVER;
    for (int i = 0; i < 3; i++)
        tensor_unref(t[i]);
    return status;
}

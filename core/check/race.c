/* race.c - which of two forms of a kernel is the faster one on this device.
 *
 * Devices differ in what they like, so nothing but the clock is asked: both forms in turn, the three orientations
 * of training, the shortest time of each. But for cooperative matrices, which round to f16, both add in the same
 * order, so that it is a choice of time alone.
 */
#include "check/ops.h"
#include "op/matmul.h"

enum { SMALL = 128, LARGE = 512, ROUNDS = 8, RUNS = 16 };

/* Seconds. No round begins after LIMIT, and a form that would take longer for one is judged by small products;
 * one that takes less than FAST is run several times before its clock is read. */
static const double LIMIT = 0.1, FAST = 2e-3;

/* What races: products of `K` columns, as many as rows if 0. */
struct race {
    void (*choose)(tain_device *d, bool second);
    int K;
    tain_type type; /* of B */
};

/* The time of one run of all three. */
static int run(const struct race *race, struct gemm *g, int size, bool second, int runs, double *seconds)
{
    static const bool stored[][2] = { { false, true }, { false, false }, { true, false } };
    tain_device *d = g->c->device;
    double start = base_seconds();
    int status = 0;

    race->choose(d, second);
    g->M = g->N = size;
    g->K = race->K ? race->K : size;
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

static int race(const struct race *race, struct gemm *g, double best[2])
{
    double seconds, begun;
    int status = 0, runs[2];

    for (int i = 0; i < 2 && !status; i++) {
        if ((status = run(race, g, SMALL, i, 1, &seconds)) || /* compiles */
            (status = run(race, g, SMALL, i, 1, &best[i])))
            break;
        best[i] *= (LARGE / SMALL) * (LARGE / SMALL) * (race->K ? 1 : LARGE / SMALL);
        runs[i] = best[i] > LIMIT ? 0 : best[i] > FAST ? 1 : RUNS;
        if (runs[i])
            status = run(race, g, LARGE, i, 1, &seconds);
    }
    begun = base_seconds();
    for (int k = 0; k < 2 * ROUNDS && !status && (k < 2 || base_seconds() - begun < LIMIT); k++) {
        int i = k % 2;
        if (!runs[i])
            continue;
        status = run(race, g, LARGE, i, runs[i], &seconds);
        if (k < 2 || seconds < best[i])
            best[i] = seconds;
    }
    return status;
}

static int second_wins(tain_device *d, const struct race *r, bool *wins)
{
    tain_tensor *t[3] = { NULL };
    double best[2];
    int status = 0;

    for (int i = 0; i < 3 && !status; i++) {
        t[i] = tensor_new(d, i == 1 ? r->type : TAIN_F32, 2, (int64_t[]){ LARGE, LARGE });
        status = t[i] ? tensor_zero(t[i]) : tain_error_status();
    }
    if (!status)
        status = race(r, &(struct gemm){ .a = t[0], .b = t[1], .c = t[2], .batch = 1, .a_pitch = LARGE, .b_pitch = LARGE,
                                         .c_pitch = LARGE }, best);
    if (!status)
        r->choose(d, *wins = best[1] < best[0]);
    for (int i = 0; i < 3; i++)
        tensor_unref(t[i]);
    return status;
}

static void choose_tiles(tain_device *d, bool second)
{
    d->tiles = second ? TILES_LARGE : TILES_NEVER;
}

static void choose_alike(tain_device *d, bool second)
{
    gpu_alike(d->gpu, second);
}

static void choose_coop(tain_device *d, bool second)
{
    d->coop = second ? TILES_LARGE : TILES_NEVER;
}

int race_tiles(tain_device *d, bool *wins)
{
    return second_wins(d, &(struct race){ choose_tiles, 0, TAIN_F32 }, wins);
}

int race_coop(tain_device *d, bool *wins)
{
    return second_wins(d, &(struct race){ choose_coop, 0, TAIN_BF16 }, wins);
}

/* Much is stored for little that is added up. */
int race_alike(tain_device *d, bool *wins)
{
    return second_wins(d, &(struct race){ choose_alike, 8, TAIN_F32 }, wins);
}

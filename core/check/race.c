/* race.c - which of two forms of a kernel is the faster one on this device.
 *
 * Devices differ in what they like, so nothing but the clock is asked: both forms in turn, the shortest time of
 * each. Both add in the same order, so that it is a choice of time alone; but for cooperative matrices, which round to
 * f16, and packed dot products, which lose what 8 bits lose and race only where the driver says that they are fast.
 */
#include "check/ops.h"
#include "op/matmul.h"

#include <math.h>

enum { SMALL = 128, LARGE = 512, TRIES = 3, ROUNDS_LEAST = 3, ROUNDS = 8, RUNS = 16 };

/* Seconds. But for the first few no round begins after LIMIT; a form that would take longer than SLOW for one is judged by
 * small products, which on a busy machine take as long as it takes to be begun; one that takes less than FAST is run
 * several times before its clock is read. */
static const double LIMIT = 0.1, SLOW = 1, FAST = 2e-3;

/* What races: products that add up K numbers, as many as there are rows if 0, in so many orientations. A driver compiles
 * each. */
struct race {
    void (*choose)(tain_device *d, bool second);
    int K, orientations;
    tain_type type; /* of B */
};

/* The time of one run of all of them. */
static int run(const struct race *race, struct gemm *g, int size, bool second, int runs, double *seconds)
{
    static const bool stored[][2] = { { false, false }, { false, true }, { true, false } };
    tain_device *d = g->c->device;
    double start = base_seconds();
    int status = 0;

    race->choose(d, second);
    g->M = g->N = size;
    g->K = race->K ? race->K : size;
    for (int i = 0; i < runs * race->orientations && !status; i++) {
        g->ta = stored[i % race->orientations][0];
        g->tb = stored[i % race->orientations][1];
        status = gemm(g);
    }
    if (!status)
        status = gpu_wait(d->gpu);
    *seconds = (base_seconds() - start) / runs;
    return status;
}

/* Both forms in turn, each `runs` times a round, 0: not at all. */
static int rounds(int (*turn)(const void *of, bool second, int runs, double *seconds), const void *of, const int runs[2],
                  double best[2])
{
    double begun = base_seconds(), seconds;
    int status = 0;

    for (int k = 0; k < 2 * ROUNDS && !status && (k < 2 * ROUNDS_LEAST || base_seconds() - begun < LIMIT); k++) {
        int i = k % 2;
        if (!runs[i])
            continue;
        status = turn(of, i, runs[i], &seconds);
        if (k < 2 || seconds < best[i])
            best[i] = seconds;
    }
    return status;
}

struct large {
    const struct race *race;
    struct gemm *g;
};

static int run_large(const void *of, bool second, int runs, double *seconds)
{
    const struct large *l = of;

    return run(l->race, l->g, LARGE, second, runs, seconds);
}

static int race(const struct race *race, struct gemm *g, double best[2])
{
    double seconds;
    int status = 0, runs[2] = { 0 };

    for (int i = 0; i < 2 && !status; i++) {
        status = run(race, g, SMALL, i, 1, &seconds); /* compiles */
        best[i] = INFINITY;
        for (int k = 0; k < TRIES && !status && !(status = run(race, g, SMALL, i, 1, &seconds)); k++)
            best[i] = fmin(best[i], seconds);
        if (status)
            break;
        best[i] *= (LARGE / SMALL) * (LARGE / SMALL) * (race->K ? 1 : LARGE / SMALL);
        runs[i] = best[i] > SLOW ? 0 : best[i] > FAST ? 1 : RUNS;
        if (runs[i])
            status = run(race, g, LARGE, i, 1, &seconds);
    }
    return status ? status : rounds(run_large, &(struct large){ race, g }, runs, best);
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
    return second_wins(d, &(struct race){ choose_tiles, 0, 3, TAIN_F32 }, wins);
}

int race_coop(tain_device *d, bool *wins)
{
    return second_wins(d, &(struct race){ choose_coop, 0, 3, TAIN_BF16 }, wins);
}

/* Much is stored for little that is added up. */
int race_alike(tain_device *d, bool *wins)
{
    return second_wins(d, &(struct race){ choose_alike, 8, 1, TAIN_F32 }, wins);
}

/* ---- A few rows times matrices in blocks ---- */

/* A matrix larger than most caches, and the word that it is made of: as scales, which are f16, 0.11 and 0.095. */
enum { COLUMNS = 8192, ACROSS = 4096, WORD = 0x2e172f3c };

struct few {
    struct gemm *g;
    tain_tensor *w[2];
};

/* The time of one product with both matrices. */
static int run_few(const void *of, bool dot, int runs, double *seconds)
{
    const struct few *f = of;
    tain_device *d = f->g->c->device;
    double start = base_seconds();
    int status = 0;

    d->dot = dot ? f->g->M : 0;
    for (int i = 0; i < 2 * runs && !status; i++) {
        f->g->b = f->w[i % 2];
        status = gemm(f->g);
    }
    if (!status)
        status = gpu_wait(d->gpu);
    *seconds = (base_seconds() - start) / runs;
    return status;
}

static int race_few(const struct few *f, bool *wins)
{
    double best[2] = { 0 }, seconds;
    int status = 0, runs[2];

    for (int i = 0; i < 2 && !status; i++)
        if (!(status = run_few(f, i, 1, &seconds))) /* compiles */
            status = run_few(f, i, 1, &best[i]);
    runs[0] = runs[1] = best[0] > FAST || best[1] > FAST ? 1 : RUNS;
    if (!status)
        status = rounds(run_few, f, runs, best);
    *wins = best[1] < best[0];
    return status;
}

/* As when a token is decoded, with guidance; and for the most rows, where it is another kernel that is replaced. */
int race_dot(tain_device *d, int64_t *rows)
{
    static const int64_t sizes[] = { 2, GEMV_DOT_MOST };
    tain_tensor *w[2], *x = tensor_new(d, TAIN_F32, 2, (int64_t[]){ GEMV_DOT_MOST, ACROSS });
    tain_tensor *y = tensor_new(d, TAIN_F32, 2, (int64_t[]){ GEMV_DOT_MOST, COLUMNS });
    struct gemm g = { .a = x, .c = y, .tb = true, .N = COLUMNS, .K = ACROSS, .batch = 1, .a_pitch = ACROSS, .b_pitch = ACROSS,
                      .c_pitch = COLUMNS };
    bool wins = true;
    int status = 0;

    *rows = 0;
    for (int i = 0; i < 2; i++)
        w[i] = tensor_new(d, i ? TAIN_INT4 : TAIN_INT8, 2, (int64_t[]){ COLUMNS, ACROSS });
    if (!x || !y || !w[0] || !w[1]) /* a device on which they do not fit keeps the kernels that it has */
        goto done;
    status = gpu_fill(d->gpu, &x->storage->range, 0, x->storage->range.bytes, WORD);
    for (int i = 0; i < 2 && !status; i++)
        status = gpu_fill(d->gpu, &w[i]->storage->range, 0, w[i]->storage->range.bytes, WORD);
    for (size_t i = 0; i < COUNT_OF(sizes) && !status && wins; i++) {
        g.M = sizes[i];
        status = race_few(&(struct few){ &g, { w[0], w[1] } }, &wins);
        if (!status && wins)
            *rows = g.M;
    }
done:
    d->dot = *rows;
    tensor_unref(w[0]);
    tensor_unref(w[1]);
    tensor_unref(x);
    tensor_unref(y);
    return status;
}

/* trial.c - opening a device, and whether its driver computes right.
 *
 * The kernels that take most of the time lean on more of a driver than plain ones do: texel buffers, four
 * numbers at a time, values handed round among lanes. So before a device is used for the first time they
 * are tried against the loops of op_table.c, on shapes that take their fast form. A kernel that is wrong is
 * left out for its portable form; one that has none, or is wrong in that too, for reads of plain
 * buffers; what is wrong even then is refused. Of the two kernels for large products (that of CPUs needs our passes and
 * brings one for attention along) the faster is taken, or a third, by cooperative matrices, for those by a matrix in 16
 * bits; of the two ways to store on CPU drivers the faster one; and packed dot products where they are faster (race.c).
 * What was found is kept beside Mesa's compiled shaders and holds for this driver, this device and these shaders.
 *
 * These are few shapes of few kernels, because a driver must compile each: `tain check` tries all of them.
 */
#include "check/ops.h"
#include "op/matmul.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Greater than what rounding does to any of the cases, less than what any mistake does. */
static const double most = 1e-3;

/* For x rounded to 8 bits. A number is off by 1/254 of the greatest of its 32 at most, and evenly so. The numbers of
 * these cases lie evenly between -2 and 2, so the mean square of what they are off by is (1/254)^2 of their own. Both
 * are random to each other and add up alike: a sum is off by 1/254 of what sums are, and the greatest of a few by not
 * much more of the greatest. Four times that is allowed. What is rounded exactly is tried as well, and held to the
 * above. */
static const double most_rounded = 1.0 / 64;

#define AT(dims, ...) { dims, { __VA_ARGS__ }, 0, 0 }
#define SIGNS(dims, ...) { dims, { __VA_ARGS__ }, -1, 2 } /* and zeros */

/* In the order of dependence: what reads wrong is wrong in everything else. */
static const struct trial {
    const char *name;
    enum kernel kernel; /* 0: all of them, by the way they read */
    bool forward;       /* no gradients: each is one kernel more for the driver to compile */
    const char *op;     /* in check_op_table */
    struct check_case of;
    bool rounded;
} trials[] = {
    { "reads", 0, true, "mul", { { AT(2, 9, 32), AT(2, 9, 32) }, { 0 } } },
    { "reads", 0, true, "mul", { { AT(2, 5, 7), AT(1, 7) }, { 0 } } },
    { "reads", 0, true, "cast, bf16", { { { 2, { 5, 8 }, 1, 1.0000001f } }, { TAIN_BF16 } } },
    /* With gradients these are all three orientations, with tiles of 32 rows; then of 8, and few rows, as in
     * drawing. */
    { "matmul", KERNEL_MATMUL, false, "matmul", { { AT(2, 64, 32), AT(2, 32, 512) }, { 0 } } },
    { "matmul", KERNEL_MATMUL, true, "linear", { { AT(2, 8, 32), AT(2, 64, 32), AT(1, 64) }, { 0 } } },
    { "matmul", KERNEL_MATMUL, true, "linear", { { AT(2, 2, 128), AT(2, 20, 128), AT(1, 20) }, { 0 } } },
    { "matmul", KERNEL_MATMUL, true, "linear, norm and gate", { { AT(2, 19, 64), AT(2, 96, 64), AT(1, 64) }, { 1e-5 } } },
    /* Several tiles in all three orientations, with edges; then four numbers at a time nowhere. */
    { "matmul_tile", KERNEL_MATMUL_TILE, false, "matmul", { { AT(2, 132, 36), AT(2, 36, 72) }, { 0 } } },
    { "matmul_tile", KERNEL_MATMUL_TILE, true, "matmul", { { AT(2, 36, 20), AT(2, 20, 68) }, { 0 } } },
    { "matmul_tile", KERNEL_MATMUL_TILE, true, "linear", { { AT(2, 69, 35), AT(2, 67, 35), AT(1, 67) }, { 0 } } },
    /* Panels that are copied and ones that lie well, in all three orientations, with edges. */
    { "matmul_panel", KERNEL_MATMUL_PANEL, false, "matmul", { { AT(2, 132, 36), AT(2, 36, 96) }, { 0 } } },
    { "matmul_panel", KERNEL_MATMUL_PANEL, true, "linear", { { AT(2, 29, 36), AT(2, 72, 36), AT(1, 72) }, { 0 } } },
    { "matmul_panel", KERNEL_MATMUL_PANEL, true, "linear", { { AT(2, 29, 35), AT(2, 67, 35), AT(1, 67) }, { 0 } } },
    { "matmul_panel", KERNEL_MATMUL_PANEL, false, "attention",
      { { AT(4, 2, 20, 2, 36), AT(4, 2, 20, 2, 36), AT(4, 2, 20, 2, 36) }, { 1 } } },
    /* Tiles of both sizes, with edges, along either side of both matrices; several steps of k. */
    { "matmul_coop", KERNEL_MATMUL_COOP, false, "linear, f16", { { AT(2, 132, 100), AT(2, 72, 100), AT(1, 72) }, { 0 } } },
    { "matmul_coop", KERNEL_MATMUL_COOP, false, "linear, bf16", { { AT(2, 60, 36), AT(2, 40, 36), AT(1, 40) }, { 0 } } },
    { "attention", KERNEL_ATTENTION, false, "attention",
      { { AT(4, 1, 20, 2, 32), AT(4, 1, 20, 2, 32), AT(4, 1, 20, 2, 32) }, { 1 } } },
    { "attention", KERNEL_ATTENTION, true, "attention, one query",
      { { AT(4, 2, 1, 2, 32), AT(4, 2, 41, 2, 32), AT(4, 2, 41, 2, 32) }, { 1 } } },
    /* Columns enough for the widest subgroup; the last steps and columns are not full. */
    { "dot", KERNEL_DOT, true, "linear, int8", { { AT(2, 2, 2080), AT(2, 23, 2080), AT(1, 23) }, { 0 } }, true },
    { "dot", KERNEL_DOT, true, "linear, int4", { { AT(2, 2, 2080), AT(2, 23, 2080), AT(1, 23) }, { 0 } }, true },
    { "dot", KERNEL_DOT, true, "linear, int8, few rows", { { SIGNS(2, 7, 2080), AT(2, 23, 2080), AT(1, 23) }, { 0 } } },
    { "dot", KERNEL_DOT, true, "linear, int4, few rows", { { SIGNS(2, 7, 2080), AT(2, 23, 2080), AT(1, 23) }, { 0 } } },
    { "conv", KERNEL_CONV, true, "conv2d", { { AT(4, 1, 6, 5, 16), AT(4, 3, 3, 16, 32), AT(1, 32) }, { 1, 1, 1 } } },
};

/* How a device is used. */
struct form {
    bool buffers, alike;
    unsigned portable;
    enum tiles tiles, coop;
    int64_t dot;
};

static void take_form(tain_device *d, const struct form *f)
{
    if (f->buffers)
        gpu_read_buffers(d->gpu);
    else if (!getenv("TAIN_READ"))
        gpu_alike(d->gpu, f->alike);
    d->portable = f->portable;
}

static tain_device *open_as(const char *which, const struct form *f)
{
    tain_device *d = device_open(which);

    if (d)
        take_form(d, f);
    return d;
}

/* The kernel for large products is another where CPUs read, and only our passes make that one fast. */
static enum kernel large_kernel(const tain_device *d)
{
    return gpu_info(d->gpu)->texel ? KERNEL_MATMUL_PANEL : KERNEL_MATMUL_TILE;
}

/* It is for products whose other kernel is right as well. */
static bool may_tile(const tain_device *d)
{
    const struct gpu_info *i = gpu_info(d->gpu);

    return (!i->texel || i->passes) && !(d->portable & (KERNEL_MATMUL | large_kernel(d)));
}

/* Packed dot products are for a device that has them, where the kernel that they replace is right. */
static bool may_dot(const tain_device *d)
{
    return gpu_info(d->gpu)->dot && !(d->portable & (KERNEL_MATMUL | KERNEL_DOT));
}

/* Cooperative matrices are for the same, where the device has them. A CPU driver only plays them, and takes a minute to
 * compile, so it must be asked. */
static bool may_cooperate(const tain_device *d)
{
    const struct gpu_info *i = gpu_info(d->gpu);
    const char *asked = getenv("TAIN_MATMUL");

    return i->coop[0] && !i->texel && !(d->portable & (KERNEL_MATMUL | KERNEL_MATMUL_COOP)) &&
           (strcmp(i->kind, "cpu") || (asked && !strcmp(asked, "coop")));
}

static struct check_op op_of(const struct trial *t)
{
    struct check_op op;
    int i = 0;

    while (strcmp(check_op_table[i].name, t->op))
        i++;
    op = check_op_table[i];
    op.no_grad |= t->forward;
    return op;
}

/* Whether the kernel has another form than the one that is being tried. */
static bool has_portable(const struct trial *t, const tain_device *d)
{
    return t->kernel && !(d->portable & t->kernel) && (t->kernel != KERNEL_ATTENTION || !gpu_info(d->gpu)->texel);
}

/* The first that is wrong, with what is wrong of it; NULL if none is. Failing for want of memory, or because
 * the user stops it, says nothing about the kernel: *status. */
static const struct trial *first_wrong(tain_device *d, char *why, size_t room, int *status)
{
    for (size_t i = 0; i < COUNT_OF(trials); i++) {
        const struct trial *t = &trials[i];
        bool fast = t->kernel ? !(d->portable & t->kernel) : gpu_info(d->gpu)->texel;
        struct check_op op = op_of(t);
        double worst = 0, slope = 0, allowed = t->rounded ? most_rounded : most;
        uint64_t state = 1;

        bool large = t->kernel & (KERNEL_MATMUL_TILE | KERNEL_MATMUL_PANEL);
        if ((large && (t->kernel != large_kernel(d) || !may_tile(d))) || (t->kernel == KERNEL_MATMUL_COOP && !may_cooperate(d)))
            continue;
        if (t->kernel == KERNEL_DOT && !may_dot(d))
            continue;
        d->coop = t->kernel == KERNEL_MATMUL_COOP ? TILES_ALL : TILES_NEVER;
        d->tiles = large ? TILES_ALL : TILES_NEVER;
        d->dot = t->kernel == KERNEL_DOT ? GEMV_DOT_MOST : 0;
        *status = check_case(d, &op, &t->of, &state, &worst, &slope);
        if (*status == TAIN_ENOMEM || *status == TAIN_EINTERRUPTED)
            return NULL;
        if (*status) {
            snprintf(why, room, "%s", tain_error());
            *status = 0;
            return t;
        }
        if (fast && base_fault_kernel(t->name)) {
            snprintf(why, room, "as TAIN_FAULT asks");
            return t;
        }
        allowed = fmax(allowed, check_slack(d, &op));
        if (!(fmax(worst, slope) <= allowed)) {
            snprintf(why, room, "an error of %.2g where %.2g is allowed", fmax(worst, slope), allowed);
            return t;
        }
    }
    return NULL;
}

/* ---- What was found before ---- */

static uint64_t mix(uint64_t h, const char *text)
{
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h;
}

/* The file for this device and driver; another one where the environment leaves no choice to remember. */
static bool memory_path(const tain_device *d, char *path, size_t room)
{
    const struct gpu_info *i = gpu_info(d->gpu);
    uint64_t h = mix(mix(mix(14695981039346656037u, i->name), i->driver), i->uuid);

    return gpu_cache() && !base_fault_kernel(NULL) &&
           snprintf(path, room, "%s/kernels-%016llx-%u%s%s%s%s", gpu_cache(), (unsigned long long)h, i->lanes,
                    i->passes ? "-passes" : "", !i->texel ? "" : getenv("TAIN_READ") ? "-asked" : "-texel", i->dot ? "-dot" : "",
                    may_cooperate(d) ? "-coop" : "") < (int)room;
}

/* True if this build tried them already. The sentences are left in *said. */
static bool recall(const char *path, struct form *f, char *said, size_t room)
{
    FILE *file = fopen(path, "r");
    unsigned long long build = 0;
    int buffers = 0, alike = 0, tiles = 0, coop = 0, dot = 0;
    bool known = file && fscanf(file, "%llx %d %d %u %d %d %d\n", &build, &buffers, &alike, &f->portable, &tiles, &coop, &dot) == 7 &&
                 build == gpu_build();

    if (known) {
        f->buffers = buffers;
        f->alike = alike;
        f->tiles = tiles ? TILES_LARGE : TILES_NEVER;
        f->coop = coop ? TILES_LARGE : TILES_NEVER;
        f->dot = dot < 0 ? 0 : dot > GEMV_DOT_MOST ? GEMV_DOT_MOST : dot;
        said[fread(said, 1, room - 1, file)] = 0;
    } else {
        *f = (struct form){ 0 };
    }
    if (file)
        fclose(file);
    return known;
}

/* Where it cannot be kept they are tried again. */
static void keep(const char *path, const struct form *f, const char *said)
{
    char fresh[700];
    FILE *file;
    bool whole;

    snprintf(fresh, sizeof(fresh), "%s.%ld", path, (long)getpid());
    if (!(file = fopen(fresh, "w")))
        return;
    whole = fprintf(file, "%llx %d %d %u %d %d %d\n%s", (unsigned long long)gpu_build(), f->buffers, f->alike, f->portable,
                    f->tiles == TILES_LARGE, f->coop == TILES_LARGE, (int)f->dot, said) > 0;
    if (fclose(file) || !whole || rename(fresh, path))
        unlink(fresh);
}

/* ---- Opening ---- */

/* How stores are to be done, if there is a choice: our passes make the plain way the faster one. */
static int find_alike(const char *which, bool *alike)
{
    tain_device *d = device_open(which);
    int status = d ? 0 : tain_error_status();

    if (d && gpu_info(d->gpu)->texel && !gpu_info(d->gpu)->passes && !getenv("TAIN_READ"))
        status = race_alike(d, alike);
    tain_device_free(d);
    return status;
}

/* Leaves out what is wrong until nothing is, on devices that are closed again: nothing remains of it in
 * the one that is used. */
static int find_form(const char *which, struct form *f, char *said, size_t room)
{
    int status = find_alike(which, &f->alike);

    while (!status) {
        tain_device *d = open_as(which, f);
        const struct trial *t;
        const struct gpu_info *i;
        char why[256] = "";
        bool wins;

        if (!d)
            return tain_error_status();
        i = gpu_info(d->gpu);
        t = first_wrong(d, why, sizeof(why), &status);
        if (t && has_portable(t, d)) {
            f->portable |= t->kernel;
            snprintf(said + strlen(said), room - strlen(said),
                     "tain: %s's fast kernel is wrong on this driver (%s, %s): the portable one is used\n", t->name, i->driver, why);
        } else if (t && i->texel) {
            *f = (struct form){ .buffers = true };
            snprintf(said, room, "tain: texel reads are wrong on this driver (%s; %s: %s): buffer reads are used\n", i->driver,
                     t->name, why);
        } else if (t) {
            status = fail(TAIN_EDEVICE, "device: %s is wrong on this driver in its portable form as well (%s; %s); choose another "
                          "with --device", t->name, i->driver, why);
        }
        if (!status && !t && may_tile(d) && !(status = race_tiles(d, &wins)))
            f->tiles = wins ? TILES_LARGE : TILES_NEVER;
        if (!status && !t && may_cooperate(d) && !(status = race_coop(d, &wins)))
            f->coop = wins ? TILES_LARGE : TILES_NEVER;
        if (!status && !t && may_dot(d))
            status = race_dot(d, &f->dot);
        tain_device_free(d);
        if (!t)
            break;
    }
    return status;
}

tain_device *tain_device_open(const char *which)
{
    static const char *const names[] = { "matmul", "attention", "conv", "matmul_tile", "matmul_coop", "dot", "matmul_panel" };
    const char *tiles = getenv("TAIN_MATMUL");
    struct form f = { 0 };
    tain_device *d = device_open(which);
    char path[640], said[2048] = "";
    bool kept, texel;

    if (!d)
        return NULL;
    texel = gpu_info(d->gpu)->texel;
    kept = memory_path(d, path, sizeof(path));
    if (!kept || !recall(path, &f, said, sizeof(said))) {
        if (isatty(STDERR_FILENO))
            fputs("tain: this device's first use: its kernels are compiled and tried, which takes some seconds\n", stderr);
        if (find_form(which, &f, said, sizeof(said))) {
            tain_device_free(d);
            return NULL;
        }
        if (kept)
            keep(path, &f, said);
    }
    fputs(said, stderr);
    take_form(d, &f);
    d->tiles = f.tiles;
    d->coop = may_cooperate(d) ? f.coop : TILES_NEVER; /* TAIN_LIMITS may have made it too small for them */
    if (tiles) {
        d->coop = !strcmp(tiles, "coop") && may_cooperate(d) ? TILES_ALL : TILES_NEVER;
        d->tiles = !strcmp(tiles, "tiled") && may_tile(d) ? TILES_ALL : TILES_NEVER;
    }
    if (may_dot(d)) /* asked for by TAIN_DOT: all rows for which that may pay, on CPUs fewer */
        d->dot = !getenv("TAIN_DOT") ? f.dot : gpu_info(d->gpu)->texel ? GEMV_DOT_MOST / 2 : GEMV_DOT_MOST;
    if (f.buffers && texel)
        strcat(d->wrong, "texel reads");
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (f.portable >> i & 1)
            snprintf(d->wrong + strlen(d->wrong), sizeof(d->wrong) - strlen(d->wrong), "%s%s's fast kernel", *d->wrong ? ", " : "",
                     names[i]);
    return d;
}

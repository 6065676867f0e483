/* gpu.h - Vulkan compute, as little of it as the rest of tain needs.
 *
 * A device owns memory blocks, pipelines and one queue. Work is recorded and runs in the order of
 * the calls; nothing waits for the device until a value is read. Ranges of memory may be freed and
 * used again at once, because every later use is ordered behind the earlier ones (command.c keeps
 * track of what the commands since the last barrier read and wrote).
 *
 * Only this folder includes vulkan.h.
 */
#ifndef TAIN_GPU_H
#define TAIN_GPU_H

#include "base/base.h"

struct gpu;

/* What the rest of tain may know of a device. */
struct gpu_info {
    char name[256];        /* "llvmpipe (LLVM 15.0.6, 256 bits)" */
    char driver[256];      /* "llvmpipe Mesa 22.3.6 (LLVM 15.0.6)" */
    char uuid[37];
    const char *kind;      /* "discrete", "integrated", "virtual", "cpu", "other" */
    uint32_t api[3];
    uint32_t lanes;        /* subgroup size that tiled kernels are made for */
    bool texel;            /* inputs are read through texel buffers: fast on the CPU driver */
    bool alike;            /* and stores are fast to addresses that all lanes share (shaders/lib/each.glsl) */
    bool passes;           /* kernels go through core/lavapipe */
    bool dot;              /* packed dot products of 8 bits: worth trying, or asked for by TAIN_DOT */
    bool unified;          /* device memory is host memory */
    uint64_t memory;       /* bytes of device memory, as the driver tells */
    uint64_t range;        /* largest storage buffer binding, bytes */
    uint64_t allocation;   /* largest allocation, bytes */
    uint64_t texels;       /* of a texel buffer */
    uint32_t shared;       /* shared memory of a workgroup, bytes */
    uint32_t invocations;  /* of a workgroup */
    uint32_t coop[3];      /* rows, columns and k of a cooperative matrix, f16 times f16 added up in f32; 0: there are none */
};

/* How many devices there are, 0 with a sentence if there is none, negative on failure. */
int gpu_count(void);
int gpu_describe(int index, struct gpu_info *info);

/* Opens the device that `which` names: an index, part of a name, or a UUID; NULL takes the
 * environment's TAIN_DEVICE, else a discrete GPU before an integrated one before a CPU driver. */
struct gpu *gpu_open(const char *which);
void gpu_close(struct gpu *g);
const struct gpu_info *gpu_info(const struct gpu *g);
void gpu_read_buffers(struct gpu *g); /* no texel reads; before any pipeline was made */
void gpu_alike(struct gpu *g, bool alike); /* from now on, where inputs are texels */

/* The folder of what may be found out again, with Mesa's compiled shaders: NULL if there is no home. */
const char *gpu_cache(void);
uint64_t gpu_build(void); /* another number for other shaders */

/* From now on memory is counted but not taken, and work is checked but not done; what is read is zero. So
 * the program itself tells what it would need. Only before anything was made. (memory.c) */
int gpu_plan(struct gpu *g);
bool gpu_plans(const struct gpu *g);

/* ---- Memory (memory.c) ---- */

struct gpu_block;

/* Some bytes of a block; aligned to 256. `node` belongs to the allocator. */
struct gpu_range {
    struct gpu_block *block;
    uint64_t offset, bytes;
    void *node;
};

int gpu_alloc(struct gpu *g, uint64_t bytes, struct gpu_range *range);
void gpu_free(struct gpu *g, struct gpu_range *range);
/* Whether so many bytes can be read by single words: as texels these reach a quarter as far as fours. */
bool gpu_by_words(const struct gpu *g, uint64_t bytes);

/* A number that no range has had before, from every write to this one on; 0 while nothing is run (gpu_plan). */
uint64_t gpu_version(const struct gpu *g, const struct gpu_range *range);

struct gpu_usage {
    uint64_t used, peak; /* bytes given out by gpu_alloc */
    uint64_t reserved;   /* bytes taken from the driver */
    uint64_t ranges;     /* live ranges */
};
void gpu_usage(const struct gpu *g, struct gpu_usage *usage);
void gpu_reset_peak(struct gpu *g);
void gpu_limit_memory(struct gpu *g, uint64_t bytes); /* 0: no limit but the device's */

/* ---- Commands (command.c) ---- */

enum gpu_access { GPU_READ = 1, GPU_WRITE = 2, GPU_READ_WRITE = 3 };

struct gpu_bind {
    const struct gpu_range *range;
    uint64_t offset; /* bytes into the range, a multiple of 4 */
    uint64_t bytes;  /* how much is touched; 0: to the end of the range */
    enum gpu_access access;
};

struct gpu_pipeline;

enum { GPU_BINDINGS = 12, GPU_PUSH = 128 };

/* The pipeline of an embedded shader, made on first use and kept. `name` is without the reading
 * suffix. `constants` are the specialization constants 2, 3, …; number 0 is the workgroup's width
 * and number 1 the device's lanes. `width` 0 means one subgroup. */
struct gpu_pipeline *gpu_pipeline(struct gpu *g, const char *name, uint32_t width,
                                  const uint32_t *constants, int count);

/* Records one dispatch. The push constants start with one uint for each binding, its offset in
 * units of 4 bytes; `params` follow. `work` is an estimate in floating point operations, from which
 * command.c learns when to submit. */
int gpu_dispatch(struct gpu *g, struct gpu_pipeline *p, const struct gpu_bind *binds, int count,
                 const void *params, size_t params_bytes, uint32_t x, uint32_t y, uint32_t z,
                 double work);

int gpu_write(struct gpu *g, const struct gpu_range *to, uint64_t offset, const void *from, uint64_t bytes);
int gpu_read(struct gpu *g, const struct gpu_range *from, uint64_t offset, void *to, uint64_t bytes);
int gpu_copy(struct gpu *g, const struct gpu_range *from, uint64_t from_offset,
             const struct gpu_range *to, uint64_t to_offset, uint64_t bytes);
/* `rows` rows of `bytes` bytes, which begin `from_pitch` and `to_pitch` bytes apart. */
int gpu_copy_rows(struct gpu *g, const struct gpu_range *from, uint64_t from_offset, uint64_t from_pitch,
                  const struct gpu_range *to, uint64_t to_offset, uint64_t to_pitch, uint64_t bytes, uint64_t rows);
int gpu_fill(struct gpu *g, const struct gpu_range *to, uint64_t offset, uint64_t bytes, uint32_t word);
int gpu_submit(struct gpu *g); /* starts what is recorded */
int gpu_wait(struct gpu *g);   /* and waits for all of it */

struct gpu_counts {
    uint64_t dispatches, barriers, submits;
    double longest; /* seconds of the longest submission so far */
};
void gpu_counts(const struct gpu *g, struct gpu_counts *counts);

#endif

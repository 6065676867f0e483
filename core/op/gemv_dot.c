/* gemv_dot.c - a few rows times a matrix in blocks, by packed dot products of 8 bits.
 *
 * The rows are rounded to 8 bits first, 32 numbers with a scale (shaders/quantise.comp); then four products
 * and their additions are one instruction (shaders/gemv_dot.comp). That pays on devices which have the
 * instruction, and changes results: each number of x is off by up to 1/254 of the greatest of its 32. So the device
 * says whether it is done (core/check/trial.c).
 */
#include "op/matmul.h"

enum { K_MOST = 4 * OP_TURNS };

/* Columns of the matrix that a lane takes at a time, or half of them. */
static int64_t chunk(tain_type type)
{
    return type == TAIN_INT8 ? 16 : 32;
}

bool gemv_dot_makes(const struct gemm *g)
{
    const tain_device *d = g->c->device;

    return g->M <= d->dot && type_blocks(g->b->type) && g->tb && !g->ta && g->batch == 1 && g->K <= K_MOST &&
           (g->a->offset | g->a_pitch) % 4 == 0 &&
           g->K / chunk(g->b->type) >= gpu_info(d->gpu)->lanes / 2; /* below, most lanes would have nothing to do */
}

static struct gpu_bind part_of(const tain_tensor *t, int64_t from, int64_t count, enum gpu_access access)
{
    return (struct gpu_bind){ .range = &t->storage->range, .offset = (uint64_t)from * 4, .bytes = (uint64_t)count * 4,
                              .access = access };
}

/* M * K / 4 words, then M * K / 32 scales; whole texels of both. */
tain_tensor *gemm_quantise(tain_tensor *x, int64_t M, int64_t K, int64_t pitch, tain_type with)
{
    enum { WIDTH = 64 };
    tain_device *d = x->device;
    int64_t words = M * K / 4, scales = M * K / BLOCK_NUMBERS, across, down;
    tain_tensor *q = tensor_new(d, TAIN_I32, 1, (int64_t[]){ words + (scales + 3) / 4 * 4 });
    uint32_t even_first = with == TAIN_INT4;
    struct { uint32_t M, K, pitch; } p = { (uint32_t)M, (uint32_t)K, (uint32_t)pitch };

    if (!q)
        return NULL;
    op_grid(scales, WIDTH, &across, &down);
    if (gpu_dispatch(d->gpu, op_pipeline(d, WIDTH, &even_first, 1, "quantise"),
                     (struct gpu_bind[]){ tensor_bind(x, GPU_READ), part_of(q, 0, words, GPU_WRITE),
                                          part_of(q, words, scales, GPU_WRITE) },
                     3, &p, sizeof(p), (uint32_t)across, (uint32_t)down, 1, 4.0 * (double)(M * K))) {
        tensor_unref(q);
        return NULL;
    }
    return q;
}

int gemv_dot(const struct gemm *g)
{
    tain_device *d = g->c->device;
    const struct gpu_info *info = gpu_info(d->gpu);
    /* As in gemv.comp: what is read of x serves them all, and GPUs have no room for many sums. */
    uint32_t outputs = !info->texel || info->lanes < 8 ? 4 : info->lanes >= 16 && g->N >= 512 ? 16 : 8;
    uint32_t constants[5] = { (uint32_t)g->M, outputs, g->add != NULL, g->bias != NULL, g->activation };
    struct { uint32_t N, K, w_pitch, y_pitch; } p = { (uint32_t)g->N, (uint32_t)g->K, (uint32_t)blocks_pitch(g->b),
                                                      (uint32_t)g->c_pitch };
    int64_t words = g->M * g->K / 4, scales = g->M * g->K / BLOCK_NUMBERS, across, down;
    tain_tensor *x = gemm_quantise(g->a, g->M, g->K, g->a_pitch, g->b->type);
    int status;

    if (!x)
        return tain_error_status();
    op_grid(g->N, outputs, &across, &down);
    status = gpu_dispatch(d->gpu, op_pipeline(d, 0, constants, 5, "gemv_dot.b_%s", type_name(g->b->type)),
                          (struct gpu_bind[]){ part_of(x, 0, words, GPU_READ), blocks_bind(g->b, false, 0),
                                               tensor_bind(g->bias ? g->bias : g->a, GPU_READ),
                                               tensor_bind(g->add ? g->add : g->a, GPU_READ), tensor_bind(g->c, GPU_WRITE),
                                               blocks_bind(g->b, true, 0), part_of(x, words, scales, GPU_READ) },
                          7, &p, sizeof(p), (uint32_t)across, (uint32_t)down, 1,
                          2.0 * (double)g->M * (double)g->N * (double)g->K);
    tensor_unref(x);
    return status;
}

/* fold.c - what several backward passes share: sums in two stages, and gradients that may lie in a
 * part of something larger.
 *
 * A sum over rows is begun by many workgroups, each leaving a partial sum of its chunk, and ended
 * here. No atomics: the order of the additions is fixed, so the bits are the same in every run.
 */
#include "op/op.h"

int op_fold(tain_tensor *part, int64_t start, int64_t count, int64_t pitch, tain_tensor *to, bool add)
{
    tain_device *d = to->device;
    int64_t n = tensor_count(to), x, y;
    bool v4 = n % 4 == 0 && pitch % 4 == 0 && (part->offset + start) % 4 == 0 && to->offset % 4 == 0;
    uint32_t constants[1] = { add };
    struct { uint32_t n, count, pitch; } p;
    struct gpu_bind binds[2] = { tensor_bind(part, GPU_READ), tensor_bind(to, GPU_READ_WRITE) };

    if (!n)
        return 0;
    binds[0].offset += (uint64_t)start * 4;
    binds[0].bytes -= (uint64_t)start * 4;
    if (v4)
        n /= 4, pitch /= 4;
    p.n = (uint32_t)n;
    p.count = (uint32_t)count;
    p.pitch = (uint32_t)pitch;
    op_grid(n, 64, &x, &y);
    return gpu_dispatch(d->gpu, op_pipeline(d, 64, constants, 1, "fold.%s", v4 ? "v4" : "v1"), binds, 2, &p,
                        sizeof(p), (uint32_t)x, (uint32_t)y, 1, 8.0 * (double)n * (double)count);
}

tain_tensor *op_grad_open(struct op_grad *g, tain_tensor *t)
{
    g->of = t;
    g->fresh = NULL;
    if (t->grad_home && !tensor_contiguous(t->grad_home)) {
        g->add = false;
        return g->fresh = tensor_like(t);
    }
    return grad_target(t, &g->add);
}

int op_grad_close(struct op_grad *g, int status)
{
    if (g->fresh && status)
        tensor_unref(g->fresh);
    else if (g->fresh)
        status = grad_give(g->of, g->fresh);
    return status;
}

void op_rows(int64_t rows, uint32_t width, uint32_t lanes, int64_t *x, int64_t *y)
{
    op_grid(rows, width / lanes, x, y);
}

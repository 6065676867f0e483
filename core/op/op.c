/* op.c - running an op: check, infer, dispatch, record. */
#include "op/op.h"

#include <stdio.h>
#include <string.h>

int infer_same(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    *type = TAIN_F32;
    *dims = c->in[0]->dims;
    memcpy(shape, c->in[0]->shape, sizeof(c->in[0]->shape));
    return 0;
}

int infer_scalar(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    (void)c;
    (void)shape;
    *type = TAIN_F32;
    *dims = 0;
    return 0;
}

/* Checks the inputs and brings them into the form that the op takes; c->in gets new references. */
static int take_inputs(struct op_call *c, tain_tensor *const *in, int inputs)
{
    const struct op *op = c->op;

    if (inputs < op->inputs || inputs > op->inputs + op->optional)
        return fail(TAIN_EINVAL, "%s: %d inputs; it takes %d", op->name, inputs, op->inputs);
    for (int i = 0; i < inputs; i++) {
        tain_tensor *t = in[i], *next;
        if (!t) {
            if (i < op->inputs)
                return fail(TAIN_EINVAL, "%s: input %d is missing", op->name, i + 1);
            c->inputs = i + 1;
            continue;
        }
        if (c->device && t->device != c->device)
            return fail(TAIN_EINVAL, "%s: its inputs lie on different devices", op->name);
        c->device = t->device;
        if (type_blocks(t->type) && !(op->blocks >> i & 1))
            return fail(TAIN_EUNSUPPORTED, "%s: input %d is stored as %s, which only the weight of a linear layer can be",
                        op->name, i + 1, type_name(t->type));
        tensor_ref(t);
        if (!(op->any_type >> i & 1) && t->type != TAIN_F32) {
            if (t->type == TAIN_I32) {
                tensor_unref(t);
                return fail(TAIN_EINVAL, "%s: input %d holds integers; cast it first", op->name, i + 1);
            }
            next = op_float(t);
            tensor_unref(t);
            if (!(t = next))
                return tain_error_status();
        }
        if (!(op->any_stride >> i & 1) && !tensor_contiguous(t)) {
            next = op_contiguous(t);
            tensor_unref(t);
            if (!(t = next))
                return tain_error_status();
        }
        c->in[i] = t;
        c->inputs = i + 1;
    }
    return 0;
}

tain_tensor *op_run(const struct op *op, tain_tensor *const *in, int inputs, const void *params, size_t bytes)
{
    struct op_call c = { .op = op, .backward = op->backward };
    int64_t shape[TENSOR_DIMS] = { 0 };
    bool wants = false;
    tain_type type = TAIN_F32;
    int dims = 0, status;

    if (bytes > sizeof(c.params)) {
        fail(TAIN_EINVAL, "%s: its parameters do not fit a call", op->name);
        return NULL;
    }
    if (bytes)
        memcpy(c.params, params, bytes);
    status = take_inputs(&c, in, inputs);
    if (!status)
        for (int i = 0; i < c.inputs; i++)
            wants |= op_wants(&c, i);
    if (!status) {
        wants = wants && c.device->grad && c.device->tape;
        c.training = wants;
        if (wants && !op->backward)
            status = fail(TAIN_EUNSUPPORTED, "%s: it has no gradient; detach its input, or use it inside no_grad", op->name);
    }
    if (!status)
        status = op->infer(&c, &type, &dims, shape);
    if (!status && dims >= 0) { /* negative: a view, which forward makes itself */
        c.out = tensor_new(c.device, type, dims, shape);
        if (!c.out)
            status = tain_error_status();
    }
    if (!status)
        status = op->forward(&c);
    if (!status && wants)
        status = tape_record(&c);
    for (int i = 0; i < c.inputs; i++)
        tensor_unref(c.in[i]);
    for (int i = 0; i < OP_SAVED; i++)
        tensor_unref(c.saved[i]);
    if (status) {
        tensor_unref(c.out);
        return NULL;
    }
    return c.out;
}

tain_tensor *op_plain(const struct op *op, tain_tensor *const *in, int inputs, const void *params, size_t bytes)
{
    tain_device *d = in[0]->device;
    bool before = d->grad;
    tain_tensor *out;

    d->grad = false;
    out = op_run(op, in, inputs, params, bytes);
    d->grad = before;
    return out;
}

struct gpu_pipeline *op_pipeline(tain_device *d, uint32_t width, const uint32_t *constants, int count,
                                 const char *format, ...)
{
    char name[128];
    va_list args;

    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    return gpu_pipeline(d->gpu, name, width, constants, count);
}

void op_grid(int64_t items, uint32_t width, int64_t *x, int64_t *y)
{
    int64_t groups = (items + width - 1) / width;

    *x = groups < 32768 ? groups : 32768;
    *y = groups ? (groups + *x - 1) / *x : 0;
}

int op_dispatch(tain_device *d, struct gpu_pipeline *p, tain_tensor *const *t, int count, unsigned writes,
                const void *params, size_t bytes, int64_t x, int64_t y, int64_t z, double work)
{
    struct gpu_bind binds[GPU_BINDINGS];

    if (count > GPU_BINDINGS)
        return fail(TAIN_EINVAL, "dispatch: %d bindings; there may be %d", count, GPU_BINDINGS);
    if (x > 65535 || y > 65535 || z > 65535)
        return fail(TAIN_EUNSUPPORTED, "dispatch: %lld x %lld x %lld workgroups are more than a dispatch may have",
                    (long long)x, (long long)y, (long long)z);
    for (int i = 0; i < count; i++)
        binds[i] = tensor_bind(t[i], writes >> i & 1 ? GPU_READ_WRITE : GPU_READ);
    return gpu_dispatch(d->gpu, p, binds, count, params, bytes, (uint32_t)x, (uint32_t)y, (uint32_t)z, work);
}

bool op_by_words(const tain_tensor *t)
{
    return !t || gpu_by_words(t->device->gpu, t->storage->range.offset + t->storage->range.bytes);
}

/* ---- Rows that lie too evenly ---- */

enum { EVEN = 1024, LINE = 64 };

bool op_even(tain_type type, int64_t pitch)
{
    return !type_blocks(type) && pitch * (int64_t)type_bytes(type) % EVEN == 0;
}

tain_tensor *op_spread(tain_tensor *from, int64_t offset, int64_t pitch, int64_t rows, int64_t columns)
{
    int64_t unit = (int64_t)type_bytes(from->type), wide = (columns * unit + EVEN - 1) / EVEN * EVEN + LINE;
    tain_tensor *copy = tensor_new(from->device, from->type, 2, (int64_t[]){ rows, wide / unit });

    if (copy && gpu_copy_rows(from->device->gpu, &from->storage->range, (uint64_t)(offset * unit), (uint64_t)(pitch * unit),
                              &copy->storage->range, 0, (uint64_t)wide, (uint64_t)(columns * unit), (uint64_t)rows)) {
        tensor_unref(copy);
        return NULL;
    }
    return copy;
}

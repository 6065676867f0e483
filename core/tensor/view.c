/* view.c - windows on a tensor's storage. No number moves. */
#include "tensor/tensor.h"

#include <string.h>
#include <stdlib.h>

tain_tensor *view_make(tain_tensor *t, int dims, const int64_t *shape, const int64_t *stride, int64_t offset)
{
    tain_tensor *v = base_alloc(1, sizeof(*v));

    if (!v)
        return NULL;
    v->refs = 1;
    v->device = t->device;
    v->device->refs++;
    v->device->live++;
    v->storage = t->storage;
    v->storage->refs++;
    v->type = t->type;
    v->dims = dims;
    if (dims) { /* a scalar's shape may be NULL */
        memcpy(v->shape, shape, (size_t)dims * sizeof(*shape));
        memcpy(v->stride, stride, (size_t)dims * sizeof(*stride));
    }
    v->offset = offset;
    return v;
}

tain_tensor *view_shape(tain_tensor *t, int dims, const int64_t *shape)
{
    int64_t stride[TENSOR_DIMS];

    for (int64_t i = dims - 1, step = 1; i >= 0; i--) {
        stride[i] = step;
        step *= shape[i];
    }
    return view_make(t, dims, shape, stride, t->offset);
}

tain_tensor *view_part(tain_tensor *t, int dim, int64_t start, int64_t size)
{
    int64_t shape[TENSOR_DIMS];

    memcpy(shape, t->shape, sizeof(shape));
    shape[dim] = size;
    return view_make(t, t->dims, shape, t->stride, t->offset + start * t->stride[dim]);
}

tain_tensor *view_swap(tain_tensor *t, int a, int b)
{
    int64_t shape[TENSOR_DIMS], stride[TENSOR_DIMS];

    memcpy(shape, t->shape, sizeof(shape));
    memcpy(stride, t->stride, sizeof(stride));
    shape[a] = t->shape[b];
    shape[b] = t->shape[a];
    stride[a] = t->stride[b];
    stride[b] = t->stride[a];
    return view_make(t, t->dims, shape, stride, t->offset);
}

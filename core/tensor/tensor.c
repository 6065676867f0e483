/* tensor.c - making tensors, and moving numbers in and out of them. */
#include "tensor/tensor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Types ---- */

size_t type_bytes(tain_type type)
{
    return type == TAIN_F16 || type == TAIN_BF16 ? 2 : 4;
}

const char *type_name(tain_type type)
{
    static const char *const names[] = { "f32", "f16", "bf16", "i32", "int8", "int4" };

    return (unsigned)type < COUNT_OF(names) ? names[type] : "unknown";
}

static uint16_t to_bf16(float f)
{
    uint32_t u;

    memcpy(&u, &f, 4);
    return isnan(f) ? 0x7fc0 : (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static float from_bf16(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;

    memcpy(&f, &u, 4);
    return f;
}

/* With denormals. */
uint16_t to_f16(float f)
{
    uint32_t u, sign, rest;

    memcpy(&u, &f, 4);
    sign = u >> 16 & 0x8000;
    u &= 0x7fffffff;
    if (u > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (u >= 0x47800000) /* 65536 and above */
        return (uint16_t)(sign | 0x7c00);
    if (u >= 0x38800000) { /* normal */
        rest = u & 0x1fff;
        u = (u - 0x38000000) >> 13;
        u += rest > 0x1000 || (rest == 0x1000 && (u & 1));
        return (uint16_t)(sign | u);
    }
    if (u < 0x33000000)
        return (uint16_t)sign;
    int shift = 126 - (int)(u >> 23);
    uint32_t m = (u & 0x7fffff) | 0x800000, half = 1u << (shift - 1);
    rest = m & ((1u << shift) - 1);
    m >>= shift;
    m += rest > half || (rest == half && (m & 1));
    return (uint16_t)(sign | m);
}

float from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 0x3ff, u;
    float f;

    if (e == 31)
        u = sign | 0x7f800000 | m << 13;
    else if (e)
        u = sign | (e + 112) << 23 | m << 13;
    else {
        f = (float)m * 0x1p-24f;
        return sign ? -f : f;
    }
    memcpy(&f, &u, 4);
    return f;
}

/* ---- Shapes ---- */

int64_t tensor_count(const tain_tensor *t)
{
    int64_t n = 1;

    for (int i = 0; i < t->dims; i++)
        n *= t->shape[i];
    return n;
}

int64_t tensor_last(const tain_tensor *t)
{
    return t->dims ? t->shape[t->dims - 1] : 1;
}

int64_t tensor_rows(const tain_tensor *t)
{
    int64_t n = 1;

    for (int i = 0; i + 1 < t->dims; i++)
        n *= t->shape[i];
    return n;
}

uint64_t tensor_bytes(const tain_tensor *t)
{
    uint64_t scales;

    if (type_blocks(t->type))
        return blocks_bytes(t->type, t->shape[0], t->shape[1], &scales);
    return (uint64_t)tensor_count(t) * type_bytes(t->type);
}

bool tensor_contiguous(const tain_tensor *t)
{
    int64_t step = 1;

    for (int i = t->dims - 1; i >= 0; i--) {
        if (t->shape[i] != 1 && t->stride[i] != step)
            return false;
        step *= t->shape[i];
    }
    return true;
}

int64_t tensor_pitch(const tain_tensor *t)
{
    int64_t pitch = -1, step = 0;

    if (!t->dims)
        return 1;
    if (t->shape[t->dims - 1] != 1 && t->stride[t->dims - 1] != 1)
        return -1;
    for (int i = t->dims - 2; i >= 0; i--) {
        if (t->shape[i] == 1)
            continue;
        if (pitch < 0)
            pitch = step = t->stride[i];
        else if (t->stride[i] != step)
            return -1;
        step *= t->shape[i];
    }
    return pitch < 0 ? t->shape[t->dims - 1] : pitch;
}

bool tensor_same_shape(const tain_tensor *a, const tain_tensor *b)
{
    return a->dims == b->dims && !memcmp(a->shape, b->shape, (size_t)a->dims * sizeof(a->shape[0]));
}

const char *tensor_text(const tain_tensor *t)
{
    static _Thread_local char texts[8][128];
    static _Thread_local int turn;
    char *s = texts[turn++ % 8];
    int n = snprintf(s, sizeof(texts[0]), "[");

    for (int i = 0; i < t->dims; i++)
        n += snprintf(s + n, sizeof(texts[0]) - (size_t)n, "%s%lld", i ? ", " : "", (long long)t->shape[i]);
    snprintf(s + n, sizeof(texts[0]) - (size_t)n, "]");
    return s;
}

/* ---- Making and releasing ---- */

tain_tensor *tensor_new(tain_device *d, tain_type type, int dims, const int64_t *shape)
{
    tain_tensor *t;
    int64_t count = 1;
    uint64_t bytes, scales = 0;

    REQUIRE_OR_NULL(!type_blocks(type) || (dims == 2 && shape[1] % BLOCK_NUMBERS == 0),
                    "tensor: only a matrix whose rows are a multiple of %d long can be stored as %s, not %d sizes ending in %lld",
                    BLOCK_NUMBERS, type_name(type), dims, dims ? (long long)shape[dims - 1] : 1);
    REQUIRE_OR_NULL(dims >= 0 && dims <= TENSOR_DIMS, "tensor: %d dimensions; there may be 0 to %d", dims, TENSOR_DIMS);
    for (int i = 0; i < dims; i++) {
        REQUIRE_OR_NULL(shape[i] >= 0, "tensor: size %lld of dimension %d is negative", (long long)shape[i], i);
        if (__builtin_mul_overflow(count, shape[i], &count) || count > INT64_MAX / 16) {
            fail(TAIN_EINVAL, "tensor: its sizes multiply to more than a machine can count");
            return NULL;
        }
    }
    bytes = type_blocks(type) ? blocks_bytes(type, shape[0], shape[1], &scales) : (uint64_t)count * type_bytes(type);
    t = base_alloc(1, sizeof(*t));
    if (!t || !(t->storage = base_alloc(1, sizeof(*t->storage)))) {
        free(t);
        return NULL;
    }
    if (gpu_alloc(d->gpu, bytes, &t->storage->range) && /* copies take only what nobody else wants */
        (tain_error_status() != TAIN_ENOMEM || !copy_drop(d) || gpu_alloc(d->gpu, bytes, &t->storage->range))) {
        free(t->storage);
        free(t);
        return NULL;
    }
    t->storage->refs = 1;
    t->storage->device = d;
    t->storage->scales = scales;
    t->refs = 1;
    t->device = d;
    d->refs++;
    d->live++;
    t->type = type;
    t->dims = dims;
    for (int64_t i = dims - 1, step = 1; i >= 0; i--) {
        t->shape[i] = shape[i];
        t->stride[i] = step;
        step *= shape[i];
    }
    return t;
}

tain_tensor *tensor_like(const tain_tensor *t)
{
    return tensor_new(t->device, TAIN_F32, t->dims, t->shape);
}

tain_tensor *tensor_from(tain_device *d, tain_type type, int dims, const int64_t *shape, const void *data)
{
    tain_tensor *t = tensor_new(d, type, dims, shape);
    size_t bytes;

    if (!t)
        return NULL;
    bytes = (size_t)tensor_bytes(t);
    if (gpu_write(d->gpu, &t->storage->range, 0, data, bytes)) {
        tensor_unref(t);
        return NULL;
    }
    if (type == TAIN_I32 && bytes) {
        t->storage->host = base_alloc(bytes, 1);
        if (t->storage->host)
            memcpy(t->storage->host, data, bytes);
    }
    return t;
}

tain_tensor *tensor_ref(tain_tensor *t)
{
    t->refs++;
    return t;
}

void tensor_unref(tain_tensor *t)
{
    tain_device *d;

    if (!t || --t->refs)
        return;
    d = t->device;
    tensor_unref(t->grad);
    tensor_unref(t->grad_home);
    if (!--t->storage->refs) {
        gpu_free(d->gpu, &t->storage->range);
        free(t->storage->host);
        free(t->storage);
    }
    free(t);
    if (!--d->live)
        cache_drop(d);
    tain_device_free(d);
}

int64_t tensor_most(const tain_device *d)
{
    const struct gpu_info *info = gpu_info(d->gpu);
    uint64_t bytes = info->range < info->allocation ? info->range : info->allocation;

    return (int64_t)(bytes / 4) - 256;
}

struct gpu_bind tensor_bind(const tain_tensor *t, enum gpu_access access)
{
    uint64_t span = 0, size = type_bytes(t->type);

    if (type_blocks(t->type))
        return blocks_bind(t, false, 0);
    for (int i = 0; i < t->dims; i++) {
        if (!t->shape[i])
            span = 0;
        else
            span += (uint64_t)(t->shape[i] - 1) * (uint64_t)t->stride[i];
    }
    return (struct gpu_bind){
        .range = &t->storage->range,
        .offset = (uint64_t)t->offset * size,
        .bytes = ((span + 1) * size + 3) / 4 * 4,
        .access = access,
    };
}

int tensor_copy_bytes(tain_tensor *to, const tain_tensor *from)
{
    size_t size = type_bytes(to->type);

    return gpu_copy(to->device->gpu, &from->storage->range, (uint64_t)from->offset * size, &to->storage->range,
                    (uint64_t)to->offset * size, tensor_bytes(to));
}

int tensor_zero(tain_tensor *t)
{
    struct gpu *g = t->device->gpu;
    uint64_t size = type_bytes(t->type);
    int64_t rows = tensor_rows(t), last = tensor_last(t), pitch = tensor_pitch(t);
    int status = 0;

    if (tensor_contiguous(t))
        return gpu_fill(g, &t->storage->range, (uint64_t)t->offset * size, tensor_bytes(t), 0);
    if (pitch < 0)
        return fail(TAIN_EINVAL, "zero: a view of shape %s whose rows have no common distance", tensor_text(t));
    for (int64_t i = 0; i < rows && !status; i++)
        status = gpu_fill(g, &t->storage->range, (uint64_t)(t->offset + i * pitch) * size, (uint64_t)last * size, 0);
    return status;
}

int tensor_accumulate(tain_tensor *to, const tain_tensor *from, bool add)
{
    struct gpu *g = to->device->gpu;
    int64_t rows = tensor_rows(to), last = tensor_last(to), pitch = tensor_pitch(to), n = rows * last;
    bool fours = last % 4 == 0 && pitch % 4 == 0 && to->offset % 4 == 0 && from->offset % 4 == 0;
    uint32_t constants[1] = { add };
    struct gpu_bind binds[2] = { tensor_bind(from, GPU_READ), tensor_bind(to, GPU_READ_WRITE) };
    struct { uint32_t n, last, pitch; } params;
    int64_t groups;

    if (pitch < 0)
        return fail(TAIN_EINVAL, "accumulate: a view of shape %s whose rows have no common distance", tensor_text(to));
    if (fours)
        n /= 4, last /= 4, pitch /= 4;
    params.n = (uint32_t)n;
    params.last = (uint32_t)last;
    params.pitch = (uint32_t)pitch;
    groups = (n + 255) / 256;
    return gpu_dispatch(g, gpu_pipeline(g, fours ? "accumulate.v4" : "accumulate.v1", 256, constants, 1), binds, 2,
                        &params, sizeof(params), (uint32_t)(groups < 32768 ? groups : 32768),
                        (uint32_t)((groups + 32767) / 32768), 1, (double)n * 4);
}

/* ---- The public part ---- */

tain_tensor *tain_tensor_create(tain_device *device, tain_type type, int32_t dims, const int64_t *shape)
{
    tain_tensor *t;

    REQUIRE_OR_NULL(device, "tensor: device is missing");
    REQUIRE_OR_NULL(type >= TAIN_F32 && type <= TAIN_INT4, "tensor: type %d does not exist", (int)type);
    REQUIRE_OR_NULL(dims == 0 || shape, "tensor: shape is missing");
    t = tensor_new(device, type, dims, shape);
    if (t && tensor_zero(t)) {
        tensor_unref(t);
        return NULL;
    }
    return t;
}

void tain_tensor_free(tain_tensor *tensor)
{
    tensor_unref(tensor);
}

int32_t tain_tensor_dims(const tain_tensor *tensor)
{
    REQUIRE(tensor, "dims: tensor is missing");
    return tensor->dims;
}

int64_t tain_tensor_size(const tain_tensor *tensor, int32_t dim)
{
    REQUIRE(tensor, "size: tensor is missing");
    REQUIRE(dim >= -tensor->dims && dim < tensor->dims, "size: dim %d is out of range for a tensor of %d dimensions", dim, tensor->dims);
    return tensor->shape[dim < 0 ? dim + tensor->dims : dim];
}

int64_t tain_tensor_count(const tain_tensor *tensor)
{
    REQUIRE(tensor, "count: tensor is missing");
    return tensor_count(tensor);
}

tain_type tain_tensor_type(const tain_tensor *tensor)
{
    return tensor ? tensor->type : TAIN_F32;
}

/* The window as bytes from the host, whatever its strides. */
static int move(tain_tensor *t, char *host, bool write)
{
    struct gpu *g = t->device->gpu;
    size_t size = type_bytes(t->type);
    int64_t rows = tensor_rows(t), last = tensor_last(t), pitch = tensor_pitch(t);
    int status = 0;

    if (tensor_contiguous(t))
        pitch = last * rows, last = pitch, rows = 1;
    if (pitch < 0)
        return fail(TAIN_EINVAL, "tensor: a view of shape %s with gaps must be made contiguous first", tensor_text(t));
    for (int64_t i = 0; i < rows && !status; i++) {
        uint64_t at = (uint64_t)(t->offset + i * pitch) * size, bytes = (uint64_t)last * size;
        char *p = host + (size_t)(i * last) * size;
        status = write ? gpu_write(g, &t->storage->range, at, p, bytes) : gpu_read(g, &t->storage->range, at, p, bytes);
    }
    return status;
}

int tensor_put(tain_tensor *t, const void *data)
{
    return move(t, (char *)data, true);
}

tain_status tain_tensor_write(tain_tensor *tensor, const float *values, int64_t count)
{
    size_t size;
    char *host;
    int status;

    REQUIRE(tensor, "write: tensor is missing");
    REQUIRE(values || !count, "write: values are missing");
    REQUIRE(count == tensor_count(tensor), "write: %lld values for a tensor of %lld", (long long)count,
            (long long)tensor_count(tensor));
    if (tensor->type == TAIN_F32)
        return move(tensor, (char *)values, true);
    if (type_blocks(tensor->type))
        return blocks_write(tensor, values);
    size = type_bytes(tensor->type);
    host = base_alloc((size_t)count, size);
    if (!host)
        return TAIN_ENOMEM;
    if (tensor->type == TAIN_F16)
        for (int64_t i = 0; i < count; i++)
            ((uint16_t *)host)[i] = to_f16(values[i]);
    else if (tensor->type == TAIN_BF16)
        for (int64_t i = 0; i < count; i++)
            ((uint16_t *)host)[i] = to_bf16(values[i]);
    else
        for (int64_t i = 0; i < count; i++)
            ((int32_t *)host)[i] = (int32_t)values[i];
    status = move(tensor, host, true);
    if (tensor->type == TAIN_I32) {
        free(tensor->storage->host);
        tensor->storage->host = NULL;
    }
    free(host);
    return status;
}

tain_status tain_tensor_assign(tain_tensor *tensor, tain_tensor *from)
{
    REQUIRE(tensor && from, "assign: tensor or from is missing");
    REQUIRE(tensor->type == TAIN_F32 && from->type == TAIN_F32, "assign: from %s to %s; both must be f32", type_name(from->type),
            type_name(tensor->type));
    REQUIRE(tensor_same_shape(tensor, from), "assign: %s to %s; the shapes must be the same", tensor_text(from),
            tensor_text(tensor));
    REQUIRE(tensor_contiguous(tensor) && tensor_contiguous(from), "assign: %s is a view with gaps",
            tensor_text(tensor_contiguous(tensor) ? from : tensor));
    REQUIRE(!tensor->device->tape, "assign: not inside a step; what was computed there would no longer be so");
    return tensor_accumulate(tensor, from, false);
}

tain_status tain_tensor_read(tain_tensor *tensor, float *values, int64_t count)
{
    char *host;
    int status;

    REQUIRE(tensor, "read: tensor is missing");
    REQUIRE(values || !count, "read: values are missing");
    REQUIRE(count == tensor_count(tensor), "read: %lld values of a tensor of %lld", (long long)count,
            (long long)tensor_count(tensor));
    if (tensor->type == TAIN_F32)
        return move(tensor, (char *)values, false);
    if (type_blocks(tensor->type))
        return blocks_read(tensor, values);
    host = base_alloc((size_t)count, type_bytes(tensor->type));
    if (!host)
        return TAIN_ENOMEM;
    status = move(tensor, host, false);
    for (int64_t i = 0; i < count && !status; i++)
        switch (tensor->type) {
        case TAIN_F16: values[i] = from_f16(((uint16_t *)host)[i]); break;
        case TAIN_BF16: values[i] = from_bf16(((uint16_t *)host)[i]); break;
        default: values[i] = (float)((int32_t *)host)[i];
        }
    free(host);
    return status;
}

tain_status tain_tensor_write_ints(tain_tensor *tensor, const int32_t *values, int64_t count)
{
    int status;

    REQUIRE(tensor, "write_ints: tensor is missing");
    REQUIRE(values || !count, "write_ints: values are missing");
    REQUIRE(tensor->type == TAIN_I32, "write_ints: the tensor is %s, not i32", type_name(tensor->type));
    REQUIRE(count == tensor_count(tensor), "write_ints: %lld values for a tensor of %lld", (long long)count,
            (long long)tensor_count(tensor));
    status = move(tensor, (char *)values, true);
    free(tensor->storage->host);
    tensor->storage->host = NULL;
    if (!status && !tensor->offset && tensor->storage->range.bytes >= tensor_bytes(tensor)) {
        tensor->storage->host = base_alloc((size_t)count, 4);
        if (tensor->storage->host)
            memcpy(tensor->storage->host, values, (size_t)count * 4);
    }
    return status;
}

tain_status tain_tensor_read_ints(tain_tensor *tensor, int32_t *values, int64_t count)
{
    REQUIRE(tensor, "read_ints: tensor is missing");
    REQUIRE(values || !count, "read_ints: values are missing");
    REQUIRE(tensor->type == TAIN_I32, "read_ints: the tensor is %s, not i32", type_name(tensor->type));
    REQUIRE(count == tensor_count(tensor), "read_ints: %lld values of a tensor of %lld", (long long)count,
            (long long)tensor_count(tensor));
    return move(tensor, (char *)values, false);
}

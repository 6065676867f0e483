/* weights_device.c - weights on the device: the room that they take there, and the numbers that go in and come
 * out, as the file's layout has them.
 */
#include "model/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Elements: of an arena, of the largest weight in one. */
enum { ARENA = 8 << 20, SMALL = 1 << 20 };

/* ---- Between the file's layout and the device's ---- */

int64_t weight_count(const struct weight *n)
{
    int64_t c = 1;

    for (int i = 0; i < n->dims; i++)
        c *= n->shape[i];
    return c;
}

int64_t weight_part_count(const struct weight *of, int part)
{
    return of->kind == WEIGHT_CONV ? weight_count(of) : of->parts[part].rows * (weight_count(of) / of->shape[0]);
}

/* Convolutions: [out, in, k, k] to [k, k, in, out], or back. */
static void turn(const struct weight *n, const float *from, float *to, bool back)
{
    int64_t out = n->file_shape[0], in = n->file_shape[1], k2 = n->file_shape[2] * n->file_shape[3];

    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++)
            for (int64_t k = 0; k < k2; k++) {
                int64_t file = (o * in + i) * k2 + k, device = (k * in + i) * out + o;
                if (back)
                    to[file] = from[device];
                else
                    to[device] = from[file];
            }
}

/* The rows of one part of the weight, or of a tensor shaped like it. */
static tain_tensor *part_view(const struct weight *of, int part, tain_tensor *t)
{
    return of->kind == WEIGHT_CONV ? tensor_ref(t) : view_part(t, 0, of->parts[part].row, of->parts[part].rows);
}

int weights_read(struct weights *w, const struct weight *of, int part, tain_tensor *tensor, float *values)
{
    tain_tensor *view = part_view(of, part, tensor);
    int64_t n = weight_part_count(of, part);
    float *turned;
    int status;

    (void)w;
    if (!view)
        return tain_error_status();
    status = tain_tensor_read(view, values, n);
    tensor_unref(view);
    if (status || of->kind != WEIGHT_CONV)
        return status;
    if (!(turned = base_alloc((size_t)n, sizeof(float))))
        return TAIN_ENOMEM;
    turn(of, values, turned, true);
    memcpy(values, turned, (size_t)n * sizeof(float));
    free(turned);
    return 0;
}

int weights_write(struct weights *w, const struct weight *of, int part, const float *values)
{
    tain_tensor *view = part_view(of, part, of->tensor);
    int64_t n = weight_part_count(of, part);
    float *turned = NULL;
    int status;

    (void)w;
    if (!view)
        return tain_error_status();
    if (of->kind == WEIGHT_CONV) {
        if (!(turned = base_alloc((size_t)n, sizeof(float)))) {
            tensor_unref(view);
            return TAIN_ENOMEM;
        }
        turn(of, values, turned, false);
        values = turned;
    }
    status = tain_tensor_write(view, values, n);
    tensor_unref(view);
    free(turned);
    return status;
}

/* ---- Room on the device ---- */

static bool in_blocks(const struct weight *n)
{
    bool fits = n->blocks && n->shape[1] % BLOCK_NUMBERS == 0;

    for (int p = 0; p < n->part_count; p++)
        fits = fits && n->parts[p].rows % BLOCK_ROWS == 0;
    return fits;
}

/* How a weight is stored; `half` is for what could be in blocks and is not. */
static tain_type stored(const struct weight *n, tain_type storage, tain_type half)
{
    if (type_blocks(storage))
        storage = in_blocks(n) ? storage : half;
    return (n->kind == WEIGHT_MATRIX || n->kind == WEIGHT_TABLE) && n->shape[1] % 8 == 0 ? storage : TAIN_F32;
}

int weights_place(struct weights *w, tain_type storage, tain_type half)
{
    int64_t room = tensor_most(w->device) / 64 * 64 < ARENA ? tensor_most(w->device) / 64 * 64 : ARENA, used = room;

    if (w->status)
        return fail_in("weights");
    for (int i = 0; i < w->count; i++) {
        struct weight *n = w->list[i];
        int64_t count = weight_count(n), span = (count + 63) / 64 * 64;

        tain_type type = stored(n, storage, half);

        if (type != TAIN_F32 || count > SMALL || span > room) {
            n->tensor = tensor_new(w->device, type, n->dims, n->shape);
        } else {
            int64_t stride[4], step = 1;
            if (used + span > room) {
                tain_tensor **more = base_grow(w->arenas, (size_t)w->arena_count, (size_t)w->arena_count + 1, sizeof(*more));
                if (!more)
                    return TAIN_ENOMEM;
                w->arenas = more;
                more[w->arena_count] = tain_tensor_create(w->device, TAIN_F32, 1, &room);
                if (!more[w->arena_count])
                    return tain_error_status();
                w->arena_count++;
                used = 0;
            }
            for (int d = n->dims - 1; d >= 0; d--) {
                stride[d] = step;
                step *= n->shape[d];
            }
            n->tensor = view_make(w->arenas[w->arena_count - 1], n->dims, n->shape, stride, used);
            used += span;
        }
        if (!n->tensor)
            return tain_error_status();
        *n->slot = n->tensor;
    }
    return 0;
}

/* ---- Random numbers to start from ---- */

static uint64_t mix(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

int weights_random(struct weights *w, uint64_t seed)
{
    int status = weights_place(w, TAIN_F32, TAIN_F32);

    for (int i = 0; i < w->count && !status; i++) {
        struct weight *n = w->list[i];
        for (int p = 0; p < n->part_count && !status; p++) {
            int64_t count = weight_part_count(n, p);
            float *values = base_alloc((size_t)count + 1, sizeof(float));
            uint64_t state = seed;

            if (!values)
                return TAIN_ENOMEM;
            for (const char *c = n->parts[p].name; *c; c++) /* a weight's start depends on its name alone */
                state = (state ^ (uint8_t)*c) * 0x100000001b3ull;
            for (int64_t k = 0; k < count; k += 2) {
                double u = ((double)(mix(&state) >> 11) + 0.5) * 0x1p-53, v = (double)(mix(&state) >> 11) * 0x1p-53;
                double r = sqrt(-2 * log(u)) * n->spread;
                values[k] = (float)(r * cos(6.283185307179586 * v));
                values[k + 1] = (float)(r * sin(6.283185307179586 * v));
            }
            if (n->kind == WEIGHT_ZEROS || n->kind == WEIGHT_ONES)
                for (int64_t k = 0; k < count; k++)
                    values[k] = n->kind == WEIGHT_ONES;
            status = weights_write(w, n, p, values);
            free(values);
        }
    }
    return status;
}

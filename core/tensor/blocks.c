/* blocks.c - matrices in blocks: 32 numbers of a row share a scale, and each keeps 8 or 4 bits.
 *
 * Four rows lie together, and a texel of 16 bytes has one word of each of them: four numbers of int8
 * or eight of int4, the first in the lowest bits. A texel of scales, which are f16, has those of two
 * neighbouring blocks of each of the four rows. So a product reads four by four numbers at once,
 * whichever way it goes through the matrix (shaders/matmul.comp). Rows that are missing in the last
 * four are zeros.
 */
#include "tensor/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = BLOCK_ROWS, N = BLOCK_NUMBERS };

/* Numbers of one row in a word. */
static int64_t per_word(tain_type type)
{
    return type == TAIN_INT8 ? 4 : 8;
}

/* Words of a row: of its numbers, and of its scales. */
static int64_t words(tain_type type, int64_t columns)
{
    return columns / per_word(type);
}

static int64_t scale_words(int64_t columns)
{
    return (columns / N + 1) / 2;
}

bool type_blocks(tain_type type)
{
    return type == TAIN_INT8 || type == TAIN_INT4;
}

static int64_t padded(int64_t rows)
{
    return (rows + ROWS - 1) / ROWS * ROWS;
}

uint64_t blocks_bytes(tain_type type, int64_t rows, int64_t columns, uint64_t *scales)
{
    *scales = (uint64_t)(padded(rows) * words(type, columns) * 4);
    return *scales + (uint64_t)(padded(rows) * scale_words(columns) * 4);
}

int64_t blocks_pitch(const tain_tensor *t)
{
    return words(t->type, t->shape[1]);
}

struct gpu_bind blocks_bind(const tain_tensor *t, bool scales, int64_t row)
{
    int64_t first = (t->shape[1] ? t->offset / t->shape[1] : 0) + row, rows = padded(t->shape[0]) - row;
    int64_t wide = scales ? scale_words(t->shape[1]) : words(t->type, t->shape[1]);

    return (struct gpu_bind){
        .range = &t->storage->range,
        .offset = (scales ? t->storage->scales : 0) + (uint64_t)(first * wide * 4),
        .bytes = (uint64_t)(rows * wide * 4),
        .access = GPU_READ,
    };
}

/* ---- Rounding ---- */

static float nearest(float f) /* for |f| below 2^22 */
{
    return f + 12582912.0f - 12582912.0f;
}

static float clamp(float f, float low, float high)
{
    return f < low ? low : f > high ? high : f;
}

static uint16_t round8(const float *v, float most, int8_t *q)
{
    uint16_t scale = to_f16(most / 127);
    float d = from_f16(scale);

    if (most > d * 127.5f) /* the scale was rounded down, so far that it shows where scales are tiny */
        d = from_f16(++scale);
    for (int i = 0; i < N; i++)
        q[i] = (int8_t)(d > 0 ? nearest(clamp(v[i] / d, -127, 127)) : 0);
    return scale;
}

/* The greatest number becomes -8 (of -8 to 7), a little more or less, or 7: what is nearest as a whole. */
static uint16_t round4(const float *v, float most, int8_t *q)
{
    static const float ends[] = { -8, -8.5f, -7.25f, 7 };
    float least = HUGE_VALF;
    uint16_t best = 0;

    for (size_t e = 0; e < COUNT_OF(ends); e++) {
        uint16_t scale = to_f16(most / ends[e]);
        float d = from_f16(scale), by = d != 0 ? 1 / d : 0, error = 0;
        for (int i = 0; i < N; i++) {
            float r = v[i] - d * nearest(clamp(v[i] * by, -8, 7));
            error += r * r;
        }
        if (error < least) {
            least = error;
            best = scale;
        }
    }
    float d = from_f16(best), by = d != 0 ? 1 / d : 0;
    for (int i = 0; i < N; i++)
        q[i] = (int8_t)nearest(clamp(v[i] * by, -8, 7));
    return best;
}

int blocks_round(tain_type type, const float *values, int64_t count, int8_t *numbers, uint16_t *scales)
{
    for (int64_t b = 0; b < count / N; b++) {
        const float *v = values + b * N;
        float most = 0;
        for (int i = 0; i < N; i++) {
            REQUIRE(isfinite(v[i]), "blocks: a number that is not finite cannot be stored as %s", type_name(type));
            most = fabsf(v[i]) > fabsf(most) ? v[i] : most;
        }
        REQUIRE(fabsf(most) < 65504.0f * 7, "blocks: %g is too great to be stored as %s", (double)most, type_name(type));
        scales[b] = type == TAIN_INT8 ? round8(v, fabsf(most), numbers + b * N) : round4(v, most, numbers + b * N);
    }
    return 0;
}

/* ---- Between rows on the host and the device's order ---- */

/* Where the word of a row lies. */
static int64_t place(int64_t row, int64_t word, int64_t wide)
{
    return (row / ROWS * wide + word) * ROWS + row % ROWS;
}

static int check(const tain_tensor *t)
{
    REQUIRE(t->dims == 2 && tensor_contiguous(t) && (!t->shape[1] || t->offset / t->shape[1] % ROWS == 0),
            "blocks: a view of %s that is not some fours of whole rows", type_name(t->type));
    return 0;
}

int blocks_put(tain_tensor *t, const int8_t *numbers, const uint16_t *scales)
{
    struct gpu_bind at[2] = { blocks_bind(t, false, 0), blocks_bind(t, true, 0) };
    uint32_t *q = base_alloc((size_t)at[0].bytes + 4, 1), *s = base_alloc((size_t)at[1].bytes + 4, 1);
    int64_t rows = t->shape[0], columns = t->shape[1], each = per_word(t->type), wide = words(t->type, columns);
    int status = q && s ? check(t) : TAIN_ENOMEM, bits = 32 / (int)each;

    for (int64_t r = 0; r < rows && !status; r++) {
        for (int64_t w = 0; w < wide; w++) {
            uint32_t word = 0;
            for (int i = 0; i < each; i++)
                word |= ((uint32_t)numbers[r * columns + w * each + i] & (0xffu >> (8 - bits))) << (i * bits);
            q[place(r, w, wide)] = word;
        }
        for (int64_t b = 0; b < columns / N; b++)
            s[place(r, b / 2, scale_words(columns))] |= (uint32_t)scales[r * (columns / N) + b] << (b % 2 * 16);
    }
    if (!status)
        status = gpu_write(t->device->gpu, at[0].range, at[0].offset, q, at[0].bytes);
    if (!status)
        status = gpu_write(t->device->gpu, at[1].range, at[1].offset, s, at[1].bytes);
    free(q);
    free(s);
    return status;
}

int blocks_get(tain_tensor *t, int8_t *numbers, uint16_t *scales)
{
    struct gpu_bind at[2] = { blocks_bind(t, false, 0), blocks_bind(t, true, 0) };
    uint32_t *q = base_alloc((size_t)at[0].bytes + 4, 1), *s = base_alloc((size_t)at[1].bytes + 4, 1);
    int64_t rows = t->shape[0], columns = t->shape[1], each = per_word(t->type), wide = words(t->type, columns);
    int status = q && s ? check(t) : TAIN_ENOMEM, bits = 32 / (int)each;

    if (!status)
        status = gpu_read(t->device->gpu, at[0].range, at[0].offset, q, at[0].bytes);
    if (!status)
        status = gpu_read(t->device->gpu, at[1].range, at[1].offset, s, at[1].bytes);
    for (int64_t r = 0; r < rows && !status; r++) {
        for (int64_t w = 0; w < wide; w++) {
            uint32_t word = q[place(r, w, wide)];
            for (int i = 0; i < each; i++) /* up to the sign, and down with it */
                numbers[r * columns + w * each + i] = (int8_t)((int32_t)(word << (32 - bits - i * bits)) >> (32 - bits));
        }
        for (int64_t b = 0; b < columns / N; b++)
            scales[r * (columns / N) + b] = (uint16_t)(s[place(r, b / 2, scale_words(columns))] >> (b % 2 * 16));
    }
    free(q);
    free(s);
    return status;
}

/* ---- As floats ---- */

int blocks_write(tain_tensor *t, const float *values)
{
    int64_t n = tensor_count(t);
    int8_t *numbers = base_alloc((size_t)n + 1, 1);
    uint16_t *scales = base_alloc((size_t)(n / N) + 1, sizeof(*scales));
    int status = numbers && scales ? blocks_round(t->type, values, n, numbers, scales) : TAIN_ENOMEM;

    if (!status)
        status = blocks_put(t, numbers, scales);
    free(numbers);
    free(scales);
    return status;
}

int blocks_read(tain_tensor *t, float *values)
{
    int64_t n = tensor_count(t);
    int8_t *numbers = base_alloc((size_t)n + 1, 1);
    uint16_t *scales = base_alloc((size_t)(n / N) + 1, sizeof(*scales));
    int status = numbers && scales ? blocks_get(t, numbers, scales) : TAIN_ENOMEM;

    if (!status)
        blocks_floats(numbers, scales, n, values);
    free(numbers);
    free(scales);
    return status;
}

void blocks_floats(const int8_t *numbers, const uint16_t *scales, int64_t count, float *values)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)numbers[i] * from_f16(scales[i / N]);
}

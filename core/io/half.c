/* half.c - floats of 16 bits: exactly to f32, and back by rounding to nearest even. */
#include "io/io.h"

#include <string.h>

static float float_of(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, 4);
    return f;
}

static uint32_t bits_of(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, 4);
    return bits;
}

float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;

    if (rest >= 0x7c00) /* infinite or not a number */
        return float_of(sign | 0x7f800000 | rest << 13);
    if (rest >= 0x0400)
        return float_of(sign | ((rest << 13) + (112u << 23)));
    return float_of(sign | bits_of((float)rest * 0x1p-24f)); /* subnormal: a multiple of 2^-24 */
}

float bf16_to_f32(uint16_t h)
{
    return float_of((uint32_t)h << 16);
}

uint16_t f32_to_f16(float f)
{
    uint32_t bits = bits_of(f), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;

    if (rest > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (rest >= 143u << 23) /* 65536 and more; what rounds up to it gets there by the carry below */
        return (uint16_t)(sign | 0x7c00);
    if (rest < 113u << 23) /* below 2^-14: 0.5 has its last bit at 2^-24, so the sum rounds there */
        return (uint16_t)(sign | (bits_of(float_of(rest) + 0.5f) - bits_of(0.5f)));
    return (uint16_t)(sign | (rest + 0xfff + (rest >> 13 & 1) - (112u << 23)) >> 13);
}

void bf16_to_floats(const void *from, float *to, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t h;

        memcpy(&h, (const char *)from + i * 2, 2);
        to[i] = float_of((uint32_t)h << 16);
    }
}

void f16_to_floats(const void *from, float *to, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t h;

        memcpy(&h, (const char *)from + i * 2, 2);
        to[i] = f16_to_f32(h);
    }
}

uint16_t f32_to_bf16(float f)
{
    uint32_t bits = bits_of(f);

    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40); /* a NaN that stays one */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

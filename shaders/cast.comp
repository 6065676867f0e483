// cast: between storage types. 16-bit values lie two to a word, the first in the low half. TO_16
// handles eight values (two words of input texels to one texel), FROM_16 the other way round.
// BF is a specialization constant: 1 bf16, 0 f16, 2 i32 (to and from float by value).
//
//! variants: TO_16 FROM_16 INTS
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/io.glsl"

layout(constant_id = 2) const uint BF = 0;
layout(constant_id = 3) const uint TO_INT = 0;
layout(push_constant) uniform Push { uint x_at, y_at, n; } p;

uint pack_pair(float lo, float hi)
{
    if (BF == 0)
        return packHalf2x16(vec2(lo, hi));
    uvec2 u = floatBitsToUint(vec2(lo, hi));
    uvec2 r = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    r = mix(r, uvec2(0x7fc0u), isnan(vec2(lo, hi)));
    return r.x | r.y << 16;
}

vec2 unpack_word(uint w)
{
    return BF == 0 ? unpackHalf2x16(w) : uintBitsToFloat(uvec2(w << 16, w & 0xffff0000u));
}

#ifdef TO_16
// n words of output; x_at in floats, y_at in words
IN1(0, x);
OUT1U(1, y);
void main()
{
    uint i = flat_index();
    if (i < p.n)
        y.at[p.y_at + i] = pack_pair(GET1(x, p.x_at + 2 * i), GET1(x, p.x_at + 2 * i + 1));
}
#endif
#ifdef FROM_16
// n words of input
IN1U(0, x);
OUT1(1, y);
void main()
{
    uint i = flat_index();
    if (i >= p.n)
        return;
    vec2 v = unpack_word(GET1U(x, p.x_at + i));
    y.at[p.y_at + 2 * i] = v.x;
    y.at[p.y_at + 2 * i + 1] = v.y;
}
#endif
#ifdef INTS
IN1U(0, x);
OUT1U(1, y);
void main()
{
    uint i = flat_index();
    if (i >= p.n)
        return;
    uint w = GET1U(x, p.x_at + i);
    y.at[p.y_at + i] = TO_INT != 0 ? uint(int(uintBitsToFloat(w))) : floatBitsToUint(float(int(w)));
}
#endif

// cast: between storage types. 16-bit values lie two to a word, the first in the low half. TO_16
// makes a word of two floats, FROM_16 the other way round; INTS are to and from float by value.
//
//! variants: TO_16 FROM_16 INTS
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/io.glsl"

layout(constant_id = 2) const uint BF16 = 0;
layout(constant_id = 3) const uint TO_INT = 0;
#include "lib/halves.glsl"
layout(push_constant) uniform Push { uint x_at, y_at, n; } p;

#ifdef TO_16
// n words of output; x_at in floats, y_at in words
IN1(0, x);
OUT1U(1, y);
void main()
{
    uint i = flat_index();
    if (i < p.n)
        y.at[p.y_at + i] = halve(vec2(GET1(x, p.x_at + 2 * i), GET1(x, p.x_at + 2 * i + 1)));
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
    vec2 v = halves(GET1U(x, p.x_at + i));
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

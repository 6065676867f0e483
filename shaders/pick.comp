// pick: one element of each row of [outer, count, inner], at the index that the row's own number in
// `index` tells. TAKE reads it, PUT adds to it (the gradient: no two rows share a place).
// An index outside the row reads as not-a-number, and nothing is added there.
//
//! variants: TAKE PUT
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/io.glsl"

layout(push_constant) uniform Push { uint x_at, index_at, y_at, n, count, inner; } p;

IN1(0, x);
IN1U(1, index);
OUT1(2, y);

void main()
{
    uint r = flat_index();
    if (r >= p.n)
        return;
    uint o = r / p.inner, k = GET1U(index, p.index_at + r);
    uint place = (o * p.count + min(k, p.count - 1)) * p.inner + (r - o * p.inner);
#ifdef TAKE
    float v = GET1(x, p.x_at + place);
    y.at[p.y_at + r] = k < p.count ? v : uintBitsToFloat(0x7fc00000u);
#else
    if (k < p.count)
        y.at[p.y_at + place] += GET1(x, p.x_at + r);
#endif
}

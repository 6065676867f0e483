// fold: out[i] = the sum over k of part[k * pitch + i], in the order of k. The second stage of
// every sum that many workgroups begin.
//
//! variants: V4 V1
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/io.glsl"

layout(constant_id = 2) const uint ADD = 0;
layout(push_constant) uniform Push { uint part_at, to_at, n, count, pitch; } p;

IN(0, part);
OUT(1, to);

void main()
{
    uint i = flat_index(), at = AT(p.part_at) + i;
    NUM sum = NUM(0.0);

    if (i >= p.n)
        return;
    for (uint k = 0; k < p.count; k++, at += p.pitch)
        sum += GET(part, at);
    if (ADD != 0)
        sum += to.at[AT(p.to_at) + i];
    to.at[AT(p.to_at) + i] = sum;
}

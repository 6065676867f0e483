// copy: gathers a strided view into dense memory (PACK), or adds dense memory into a strided view
// (UNPACK, the gradient). Up to six dimensions; `size` and `stride` are slowest first.
//
//! variants: PACK UNPACK
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "lib/io.glsl"

layout(constant_id = 2) const uint ADD = 0;
layout(push_constant) uniform Push { uint from_at, to_at, n, size[6], stride[6]; } p;

IN1(0, from);
OUT1(1, to);

void main()
{
    uint i = flat_index();
    if (i >= p.n)
        return;
    uint rest = i, at = 0;
    [[unroll]] for (int d = 5; d >= 0; d--) {
        uint q = rest / p.size[d];
        at += (rest - q * p.size[d]) * p.stride[d];
        rest = q;
    }
#ifdef PACK
    to.at[p.to_at + i] = GET1(from, p.from_at + at);
#else
    float v = GET1(from, p.from_at + i);
    if (ADD != 0)
        v += to.at[p.to_at + at];
    to.at[p.to_at + at] = v;
#endif
}

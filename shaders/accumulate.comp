// accumulate: to = from, or to += from. `to` may be rows at a distance (pitch), `from` is dense.
//
//! variants: V4 V1
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/io.glsl"

layout(constant_id = 2) const uint ADD = 0;
layout(push_constant) uniform Push { uint from_at, to_at, n, last, pitch; } p;

IN(0, from);
OUT(1, to);

void main()
{
    uint i = flat_index();
    IDLE(i >= p.n);
    uint k = AT(p.to_at) + (p.pitch == p.last ? i : i / p.last * p.pitch + i % p.last);
    NUM v = GET(from, AT(p.from_at) + i);
    if (ADD != 0)
        v += to.at[k];
    SET(to, k, i < p.n, v);
}

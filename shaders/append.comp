// append: the keys and values of new tokens, from a packed [B, T, (H + 2 KV) * D], into the caches
// [B, room, KV * D]. All in texels.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/io.glsl"

layout(push_constant) uniform Push { uint x_at, k_at, v_at, n, T, wide, skip, kv, room, used; } p;

IN4(0, x);
OUT4(1, k);
OUT4(2, v);

void main()
{
    uint i = flat_index(); // of [B, T, kv]
    if (i >= p.n)
        return;
    uint row = i / p.kv, c = i % p.kv, b = row / p.T, t = row % p.T;
    uint from = (p.x_at >> 2) + row * p.wide + p.skip + c;
    uint to = (b * p.room + p.used + t) * p.kv + c;
    k.at[(p.k_at >> 2) + to] = GET4(x, from);
    v.at[(p.v_at >> 2) + to] = GET4(x, from + p.kv);
}

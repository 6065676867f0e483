// append: the keys and values of new tokens, from a packed [B, T, (H + 2 KV) * D], into the caches
// [B, room, KV * D]. Counted in texels of the caches, of which each is one or two of the packed tensor.
//
//! variants: B_F32 B_F16 B_BF16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/io.glsl"

layout(push_constant) uniform Push { uint x_at, k_at, v_at, n, T, wide, skip, kv, room, used; } p;

IN4(0, x);
#ifdef B_F32
OUT4(1, k);
OUT4(2, v);
#define TEXEL(i) GET4(x, (p.x_at >> 2) + (i))
#else
#include "lib/halves.glsl"
OUT4U(1, k);
OUT4U(2, v);
uvec4 eight(vec4 a, vec4 b) { return uvec4(halve(a.xy), halve(a.zw), halve(b.xy), halve(b.zw)); }
#define TEXEL(i) eight(GET4(x, (p.x_at >> 2) + 2 * (i)), GET4(x, (p.x_at >> 2) + 2 * (i) + 1))
#endif

void main()
{
    uint i = flat_index(); // of [B, T, kv]
    if (i >= p.n)
        return;
    uint row = i / p.kv, c = i % p.kv, b = row / p.T, t = row % p.T;
    uint from = row * p.wide + p.skip + c;
    uint to = (b * p.room + p.used + t) * p.kv + c;
    k.at[(p.k_at >> 2) + to] = TEXEL(from);
    v.at[(p.v_at >> 2) + to] = TEXEL(from + p.kv);
}

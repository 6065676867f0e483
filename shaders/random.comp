// random: Philox-4x32-10 (Salmon et al., 2011), four words an invocation. The key is the seed, the
// counter is (block, stream), and an element's position among all words decides which word is its
// own: nothing else enters.
//
// UNIFORM: the upper 24 bits, in [0, 1). NORMAL: of the pair of words at an even position, Box and
// Muller's cosine and sine.
//
//! variants: UNIFORM NORMAL
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "lib/io.glsl"

// `skip` words of the first block come before the first element.
layout(push_constant) uniform Push { uint y_at, n, skip, block[2], stream[2], seed[2]; } p;
OUT1(0, y);

uvec4 philox(uvec4 c, uvec2 k)
{
    [[unroll]] for (int i = 0; i < 10; i++) {
        uint h0, l0, h1, l1;
        umulExtended(0xD2511F53u, c.x, h0, l0);
        umulExtended(0xCD9E8D57u, c.z, h1, l1);
        c = uvec4(h1 ^ c.y ^ k.x, l1, h0 ^ c.w ^ k.y, l0);
        k += uvec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

void main()
{
    uint g = flat_index();
    if (g * 4 >= p.n + p.skip)
        return;
    uint carry, low = uaddCarry(p.block[0], g, carry);
    uvec4 w = philox(uvec4(low, p.block[1] + carry, p.stream[0], p.stream[1]), uvec2(p.seed[0], p.seed[1])) >> 8;
#ifdef UNIFORM
    vec4 v = vec4(w) * exp2(-24.0);
#else
    vec2 r = sqrt(-2.0 * log((vec2(w.xz) + 0.5) * exp2(-24.0))), t = vec2(w.yw) * (6.283185307 * exp2(-24.0));
    vec4 v = vec4(r.x * cos(t.x), r.x * sin(t.x), r.y * cos(t.y), r.y * sin(t.y));
#endif
    [[unroll]] for (uint k = 0; k < 4; k++) {
        uint i = g * 4 + k - p.skip; // below 0 it is large
        if (i < p.n)
            y.at[p.y_at + i] = v[k];
    }
}

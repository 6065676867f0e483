// quantise: x[M,K] in 8 bits, for gemv_dot.comp. As in a matrix in blocks, 32 neighbours of a row share a scale:
// scale = max |x| / 127, number = x / scale to the nearest. An invocation does 32.
//
// All zeros have the scale 0, and so has what is too small for 127 / max |x|. The scale of numbers of which one is
// not finite is NaN: then every sum that they are in shows it, as it would without rounding. (Magnitudes are
// compared as bits, whose order is that of the numbers, with infinity and NaN at its end.)
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "lib/io.glsl"

// How eight numbers lie in two words: in their order; or the even ones first, as gemv_dot.comp takes int4 apart.
layout(constant_id = 2) const uint EVEN_FIRST = 0;

layout(push_constant) uniform Push {
    uint x_at, q_at, s_at;
    uint M, K, pitch;
} p;

IN4(0, x);
OUT4U(1, q); // [M, K / 16] texels
OUT1(2, s);  // [M, K / 32]

const uint INFINITE = 0x7f800000u, NOT_A_NUMBER = 0x7fc00000u;
const float LEAST = 1e-30;

uint packed_bytes(ivec4 v)
{
    v = (v & 255) << ivec4(0, 8, 16, 24);
    return uint(v.x | v.y | v.z | v.w);
}

void main()
{
    uint i = flat_index(), runs = p.K >> 5, row = i / runs;
    bool on = row < p.M;
    uint from = (p.x_at + min(row, p.M - 1) * p.pitch >> 2) + (i - row * runs) * 8;
    uvec4 bits = uvec4(0);
    vec4 v[8];
    uint w[8];

    IDLE(!on);
    [[unroll]] for (uint e = 0; e < 8; e++) {
        v[e] = GET4(x, from + e);
        bits = max(bits, floatBitsToUint(v[e]) & 0x7fffffffu);
    }
    uint greatest = max(max(bits.x, bits.y), max(bits.z, bits.w));
    float most = uintBitsToFloat(greatest);
    bool finite = greatest < INFINITE, some = finite && most >= LEAST;
    float by = some ? 127.0 / most : 0.0;

    [[unroll]] for (uint e = 0; e < 8; e++)
        v[e] = some ? clamp(roundEven(v[e] * by), -127.0, 127.0) : vec4(0);
    [[unroll]] for (uint e = 0; e < 8; e += 2) {
        ivec4 a = ivec4(v[e]), b = ivec4(v[e + 1]);
        w[e] = packed_bytes(EVEN_FIRST != 0 ? ivec4(a.xz, b.xz) : a);
        w[e + 1] = packed_bytes(EVEN_FIRST != 0 ? ivec4(a.yw, b.yw) : b);
    }
    SET4U(q, (p.q_at >> 2) + i * 2, on, uvec4(w[0], w[1], w[2], w[3]));
    SET4U(q, (p.q_at >> 2) + i * 2 + 1, on, uvec4(w[4], w[5], w[6], w[7]));
    SET1(s, p.s_at + i, on, some ? most / 127.0 : finite ? 0.0 : uintBitsToFloat(NOT_A_NUMBER));
}

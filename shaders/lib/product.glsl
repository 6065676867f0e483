// What the kernels of a product have in common: constants and bindings, how B is read where it is not in
// blocks, and what becomes of the sums.

layout(constant_id = 2) const uint TM = 32;    // rows of a tile
layout(constant_id = 3) const uint TA = 0;     // A is stored [K][M]
layout(constant_id = 4) const uint TB = 0;     // B is stored [N][K]
layout(constant_id = 5) const uint UNROLL = 1; // steps of four k in the loop body
layout(constant_id = 6) const uint ADD = 0;
layout(constant_id = 7) const uint BIAS = 0;
layout(constant_id = 8) const uint ACTIVATION = 0;
#include "activation.glsl"
#include "each.glsl"
const bool GATED = ACTIVATION == 4; // B is stored [N][K]; no BIAS, no ADD

layout(push_constant) uniform Push {
    uint a_at, b_at, bias_at, d_at, c_at;
#ifdef BLOCKS
    uint s_at;
#endif
    uint M, N, K, a_pitch, b_pitch, c_pitch, a_batch, b_batch, c_batch;
    uint bands; // of columns: a grid's z counts them, and batches
    DIGITS
} p;

IN(0, A);
IN(2, bias);
IN(3, D);
OUT(4, C);
#ifdef V4
OUT2(4, C);
#endif
#ifdef BLOCKS
IN4U(1, B);
IN4U(5, S);
#else
#include "stored.glsl"
#endif

// The bias of four columns.
vec4 bias_of(uint column)
{
    vec4 v = vec4(0);
#ifdef V4
    if (BIAS != 0)
        v = GET4(bias, (p.bias_at + column) >> 2);
#else
    if (BIAS != 0)
        [[unroll]] for (uint e = 0; e < 4; e++)
            v[e] = GET1(bias, p.bias_at + min(column + e, p.N - 1));
#endif
    return v;
}

#ifdef V4
// What becomes of the sums of four columns, of the product's two halves where it is gated. `from` is where D has them.
vec4 ended(vec4 sum, vec4 add, uint from)
{
    vec4 v = activate(sum + add);
    if (ADD != 0)
        v += GET4(D, from);
    return v;
}

vec2 gated(vec4 sum)
{
    vec2 gate = sum.xy, s = 1.0 / (1.0 + exp_fast(-gate)); // as gate.comp, which training uses
    return gate * s * sum.zw;
}
#else
// Ends the sums of four columns and writes them, from number `at` of C on; `from` is where D has them.
void finish(uint at, uint from, uint column, vec4 sum, vec4 add)
{
    vec4 v = activate(sum + add);
    [[unroll]] for (uint e = 0; e < 4; e++)
        if (column + e < p.N)
            C.at[at + e] = ADD != 0 ? v[e] + GET1(D, from + e) : v[e];
}
#endif

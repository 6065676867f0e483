// matmul_panel: C[M,N] = A[M,K] * B[K,N] as matmul.comp makes it, for CPUs: a tile has as many sums as a processor has
// registers for, so that they are never in memory while products are added up. What is read for a product is two vectors of
// B and a number of A for each of the tile's rows. B is laid out in panels (panel.comp), or so that a tile's columns lie side
// by side as it is.
//
// KEEP, with GATED: Z[M,N] are the sums as they are without the gate, for the way back.
//
// A workgroup is one subgroup and makes tiles of p.down rows of tiles, p.across panels wide. GATED as in
// matmul.comp: the first half of a panel's columns are of the left half of B, the others of the right. NORM, too, as there: a
// row of A is divided by its root mean square; the norm's weight is in B's panels already.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#include "lib/io.glsl"
#include "lib/tile.glsl"

layout(constant_id = 4) const uint TA = 0; // A is stored [K][M]
layout(constant_id = 5) const uint ADD = 0;
layout(constant_id = 6) const uint BIAS = 0;
layout(constant_id = 7) const uint ACTIVATION = 0;
#include "lib/activation.glsl"
layout(constant_id = 8) const uint EDGE = 0; // the last panel is not full
layout(constant_id = 9) const uint NORM = 0; // no TA, no BIAS, and K a multiple of four
layout(constant_id = 10) const uint KEEP = 0;
const bool GATED = ACTIVATION == 4; // no BIAS, no ADD

layout(push_constant) uniform Push {
    uint a_at, b_at, bias_at, d_at, c_at, z_at;
    uint M, N, K, a_pitch, b_pitch, c_pitch, a_batch, b_batch, c_batch;
    uint b_panel, down, across; // from one panel of B to the next; tiles of a workgroup, and panels
    float eps;                  // of the norm
} p;

IN1(0, A);
IN1(1, B);
IN1(2, bias);
IN1(3, D);
OUT1(4, C);
OUT1(5, Z);

const uint WIDE = GATED ? TN / 2 : TN; // columns of C, in lanes

// Four at a time: what an exponential waits for is a long row of operations.
void activate_all(inout float acc[TM][TN])
{
    [[unroll]] for (uint n = 0; n < TM * WIDE; n += 4) {
        vec4 v = vec4(0), up = vec4(1);
        [[unroll]] for (uint k = 0; k < 4; k++)
            if (n + k < TM * WIDE) {
                v[k] = acc[(n + k) / WIDE][(n + k) % WIDE];
                if (GATED)
                    up[k] = acc[(n + k) / WIDE][(n + k) % WIDE + WIDE];
            }
        v = GATED ? v * (1.0 / (1.0 + exp_fast(-v))) * up : activate(v); // as gate.comp
        [[unroll]] for (uint k = 0; k < 4; k++)
            if (n + k < TM * WIDE)
                acc[(n + k) / WIDE][(n + k) % WIDE] = v[k];
    }
}

void main()
{
    uint lane = gl_SubgroupInvocationID, batch = gl_WorkGroupID.z, panels = (p.N + W - 1) / W;
    uint a_base = p.a_at + batch * p.a_batch, b_base = p.b_at + batch * p.b_batch + lane, c_base = batch * p.c_batch;
    uint M = p.M, K = p.K, a_pitch = p.a_pitch, b_pitch = p.b_pitch, c_pitch = p.c_pitch, a_step = TA == 0 ? 1 : a_pitch;
    uint N = GATED ? p.N >> 1 : p.N, c_at = p.c_at, d_at = p.d_at, z_at = p.z_at, z_pitch = p.N, bias_at = p.bias_at;
    uint down = p.down, b_panel = p.b_panel;
    uint first = gl_WorkGroupID.x * p.across, last = min(first + p.across, panels);

    for (uint tile = 0; tile < down; tile++) {
        uint m0 = (gl_WorkGroupID.y * down + tile) * TM;
        if (m0 >= M)
            break;
        uint a_from[TM];
        [[unroll]] for (uint r = 0; r < TM; r++)
            a_from[r] = a_base + min(m0 + r, M - 1) * (TA == 0 ? a_pitch : 1);
        float scale[TM];
        if (NORM != 0) {
            [[unroll]] for (uint r = 0; r < TM; r++)
                scale[r] = 0.0;
            for (uint k = 0; k < K; k += 4) // in all lanes the same, summed up as there, to the last bit
                [[unroll]] for (uint r = 0; r < TM; r++) {
                    vec4 a;
                    [[unroll]] for (uint e = 0; e < 4; e++)
                        a[e] = GET1(A, a_from[r] + k + e);
                    scale[r] += dot(a, a);
                }
            [[unroll]] for (uint r = 0; r < TM; r++)
                scale[r] = inversesqrt(scale[r] / float(K) + p.eps);
        }
        for (uint panel = first; panel < last; panel++) {
            float acc[TM][TN];
            CLEAR(acc)
            MULTIPLY(acc, A, a_from, a_step, B, b_base + panel * b_panel, b_pitch, K)
            if (NORM != 0)
                [[unroll]] for (uint r = 0; r < TM; r++)
                    [[unroll]] for (uint q = 0; q < TN; q++)
                        acc[r][q] *= scale[r];
            if (BIAS != 0)
                [[unroll]] for (uint q = 0; q < WIDE; q++) {
                    float add = GET1(bias, bias_at + min((panel * WIDE + q) * LANES + lane, N - 1));
                    [[unroll]] for (uint r = 0; r < TM; r++)
                        acc[r][q] += add;
                }
            if (GATED && KEEP != 0)
                [[unroll]] for (uint q = 0; q < TN; q++) {
                    uint column = (panel * WIDE + q % WIDE) * LANES + lane;
                    [[unroll]] for (uint r = 0; r < TM; r++) {
                        bool on = m0 + r < M;
                        if (EDGE != 0)
                            on = all(bvec2(on, column < N));
                        SET1(Z, z_at + (m0 + r) * z_pitch + column + (q < WIDE ? 0 : N), on, acc[r][q]);
                    }
                }
            if (ACTIVATION != 0)
                activate_all(acc);
            [[unroll]] for (uint q = 0; q < WIDE; q++) {
                uint column = (panel * WIDE + q) * LANES + lane;
                [[unroll]] for (uint r = 0; r < TM; r++) {
                    uint at = c_base + (m0 + r) * c_pitch + column;
                    float v = acc[r][q];
                    bool on = m0 + r < M;
                    if (ADD != 0)
                        v += GET1(D, d_at + at);
                    if (EDGE != 0)
                        on = all(bvec2(on, column < N));
                    SET1(C, c_at + at, on, v);
                }
            }
        }
    }
}

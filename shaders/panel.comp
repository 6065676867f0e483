// panel: B[K,N] laid out for matmul_panel.comp: W columns of it and nothing in between, row by row: [N/W][K][W]. Columns
// that there are none of are zero. B is stored as [K][N] or [N][K], in 32 or 16 bits; batched in z.
//
// GATED: of a panel's columns the first half are of B's left half, and the others of its right. NORM: row k is times
// norm[k].
//
// A workgroup is one subgroup and writes p.rows rows of a panel, a multiple of four.
//
//! variants: V4 V1
//! variants: B_F32 B_F16 B_BF16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#include "lib/io.glsl"

layout(constant_id = 2) const uint TN = 2; // columns of a panel, in lanes
layout(constant_id = 3) const uint TB = 0; // B is stored [N][K]
layout(constant_id = 4) const bool GATED = false; // only so; TN is even
layout(constant_id = 5) const bool NORM = false;

layout(push_constant) uniform Push {
    uint to_at, b_at, norm_at;
#ifdef V4
    uint four_at; // the same as to_at
#endif
    uint N, K, b_pitch, b_batch, to_batch, rows;
    uint heads, b_head; // matrices within a batch, and how far they lie apart
} p;

#include "lib/stored.glsl"
OUT1(0, to);
IN1(2, norm);
#ifdef V4
OUT4(3, four);
#endif

const uint W = TN * LANES;

void main()
{
    uint lane = gl_SubgroupInvocationID, panel = gl_WorkGroupID.x, batch = gl_WorkGroupID.z;
    uint first = gl_WorkGroupID.y * p.rows, last = min(first + p.rows, p.K), K = p.K, pitch = p.b_pitch;
    uint base = b_start(batch / p.heads) + batch % p.heads * p.b_head, start = p.to_at + batch * p.to_batch + panel * K * W;

#ifdef V4
    if (TB == 0) { // the lanes write several rows at once, four columns each
        uint across = W / 4, down = LANES / across, column = panel * W + 4 * (lane % across);
        bool on = column < p.N;
        uint from = base + min(column, p.N - 4);
        for (uint k = first; k < last; k += down) {
            uint row = k + lane / across, at = (start + row * W >> 2) + lane % across;
            vec4 v = b_read(from + min(row, K - 1) * pitch);
            if (NORM)
                v *= GET1(norm, p.norm_at + min(row, K - 1));
            SET4(four, at, row < last, on ? v : vec4(0));
        }
        return;
    }
#endif
    uint columns = GATED ? p.N >> 1 : p.N;
    bool on[TN];
    uint from[TN];
    [[unroll]] for (uint q = 0; q < TN; q++) {
        uint n = GATED ? (panel * (TN / 2) + q % (TN / 2)) * LANES + lane : (panel * TN + q) * LANES + lane;
        on[q] = n < columns;
        n = min(n, columns - 1) + (GATED && q >= TN / 2 ? columns : 0);
        from[q] = base + n * (TB != 0 ? pitch : 1);
    }
#ifdef V4
    for (uint k = first; k < last; k += 4)
        [[unroll]] for (uint q = 0; q < TN; q++) {
            vec4 v = b_read(from[q] + k);
            [[unroll]] for (uint e = 0; e < 4; e++) {
                if (NORM)
                    v[e] *= GET1(norm, p.norm_at + k + e);
                SET1(to, start + (k + e) * W + q * LANES + lane, true, on[q] ? v[e] : 0.0);
            }
        }
#else
    for (uint k = first; k < last; k++)
        [[unroll]] for (uint q = 0; q < TN; q++) {
            float v = b_read(from[q] + k * (TB != 0 ? 1 : pitch));
            if (NORM)
                v *= GET1(norm, p.norm_at + k);
            SET1(to, start + k * W + q * LANES + lane, true, on[q] ? v : 0.0);
        }
#endif
}

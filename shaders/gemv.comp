// gemv: y[M,N] = x[M,K] * W[N,K]^T for very few rows M, as when a token is decoded. Epilogue as in
// matmul: + bias[N], activation, + d[M,N], which may be y itself.
//
// Time is the reading of W, once. A workgroup is one subgroup and makes OUTPUTS columns of y: its lanes
// read neighbouring k of a row of W, sixteen bytes each, and multiply them by the same piece of every
// row of x, which they hold. Only at the end are the lanes' sums added. K is a multiple of CHUNK.
//
// Of a matrix in blocks a lane takes four texels, whose numbers share a scale.
//
//! variants: B_F32 B_F16 B_BF16 B_INT8 B_INT4
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#define V4
#include "lib/io.glsl"
#include "lib/row.glsl"
#if defined(B_INT8) || defined(B_INT4)
#define BLOCKS
#include "lib/blocks.glsl"
#elif !defined(B_F32)
#include "lib/halves.glsl"
#endif

layout(constant_id = 2) const uint M = 2;
layout(constant_id = 3) const uint OUTPUTS = 8; // at most the lanes; of blocks a multiple of four
layout(constant_id = 4) const uint ADD = 0;
layout(constant_id = 5) const uint BIAS = 0;
layout(constant_id = 6) const uint ACTIVATION = 0;
#include "lib/activation.glsl"

layout(push_constant) uniform Push {
    uint x_at, w_at, bias_at, d_at, y_at;
#ifdef BLOCKS
    uint s_at;
#endif
    uint N, K, x_pitch, w_pitch, y_pitch; // w_pitch of blocks is in texels
} p;

IN4(0, x);
#ifdef B_F32
IN4(1, W);
#else
IN4U(1, W);
#endif
IN4(2, bias); // as x: a view of single words reaches less far
IN4(3, d);
OUT1(4, y);
#ifdef BLOCKS
IN4U(5, S);
#endif

// Columns of W that a lane takes at a time.
#if defined(B_F32)
const uint CHUNK = 4;
#elif defined(B_INT8)
const uint CHUNK = 16;
#elif defined(B_INT4)
const uint CHUNK = 32;
#else
const uint CHUNK = 8;
#endif

void main()
{
    uint lane = gl_SubgroupInvocationID;
    uint n0 = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * OUTPUTS;
    float sums[M][OUTPUTS];

    if (n0 >= p.N)
        return;
    [[unroll]] for (uint m = 0; m < M; m++)
        [[unroll]] for (uint r = 0; r < OUTPUTS; r++)
            sums[m][r] = 0.0;

    for (uint from = 0; from < p.K; from += LANES * CHUNK) {
        uint k = from + lane * CHUNK, kk = min(k, p.K - CHUNK);
        vec4 piece[M][CHUNK / 4];

        [[unroll]] for (uint m = 0; m < M; m++)
            [[unroll]] for (uint i = 0; i < CHUNK / 4; i++) {
                vec4 v = GET4(x, (p.x_at + m * p.x_pitch + kk + 4 * i) >> 2);
                piece[m][i] = k < p.K ? v : vec4(0);
            }
#ifdef BLOCKS
        [[unroll]] for (uint four = 0; four < OUTPUTS; four += 4) {
            uint rows = min(n0 + four, (p.N - 1) & ~3u) >> 2;
            uint s_pitch = (p.w_pitch + (1u << 6 - WORD) - 1) >> 6 - WORD;
            vec4 scales = block_scales(GET4U(S, (p.s_at >> 2) + rows * s_pitch + (kk >> 6)), kk);
            vec4 part[M];

            [[unroll]] for (uint m = 0; m < M; m++)
                part[m] = vec4(0);
            [[unroll]] for (uint t = 0; t < CHUNK >> WORD; t++) {
                uvec4 numbers = GET4U(W, (p.w_at >> 2) + rows * p.w_pitch + (kk >> WORD) + t);
                [[unroll]] for (uint r = 0; r < 4; r++)
                    [[unroll]] for (uint i = 0; i < 1u << WORD; i += 4) {
                        vec4 w = block_row(numbers[r], i);
                        [[unroll]] for (uint m = 0; m < M; m++)
                            part[m][r] += dot(w, piece[m][((t << WORD) + i) / 4]);
                    }
            }
            [[unroll]] for (uint m = 0; m < M; m++)
                [[unroll]] for (uint r = 0; r < 4; r++)
                    sums[m][four + r] += scales[r] * part[m][r];
        }
#else
        [[unroll]] for (uint r = 0; r < OUTPUTS; r++) {
            uint row = min(n0 + r, p.N - 1) * p.w_pitch;
#ifdef B_F32
            vec4 w = GET4(W, (p.w_at + row + kk) >> 2);
            [[unroll]] for (uint m = 0; m < M; m++)
                sums[m][r] += dot(w, piece[m][0]);
#else
            uvec4 t = GET4U(W, (p.w_at >> 2) + (row + kk >> 3));
            vec4 low = vec4(halves(t.x), halves(t.y)), high = vec4(halves(t.z), halves(t.w));
            [[unroll]] for (uint m = 0; m < M; m++)
                sums[m][r] += dot(low, piece[m][0]) + dot(high, piece[m][1]);
#endif
        }
#endif
    }

    // Lane r gets column r.
    uint column = n0 + lane, last = p.bias_at + min(column, p.N - 1);
    float more = BIAS != 0 ? GET4(bias, last >> 2)[last & 3] : 0.0;
    [[unroll]] for (uint m = 0; m < M; m++) {
        float v = 0.0;
        [[unroll]] for (uint r = 0; r < OUTPUTS; r++) {
            float sum = row_sum(sums[m][r]);
            v = lane == r ? sum : v;
        }
        v = activate(vec4(v + more)).x;
        if (lane < OUTPUTS && column < p.N) {
            uint i = m * p.y_pitch + column, from = p.d_at + i;
            y.at[p.y_at + i] = ADD != 0 ? v + GET4(d, from >> 2)[from & 3] : v;
        }
    }
}

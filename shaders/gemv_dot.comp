// gemv_dot: y[M,N] = x[M,K] * W[N,K]^T for few rows M and a W in blocks, by packed dot products: four numbers of 8 bits
// of x times four of W are one instruction, and their sums are whole numbers until the scales come in. x was
// rounded by quantise.comp, which makes the difference to gemv.comp: order, reading and epilogue are the same.
//
// A word of int8 is four k of a row, so it is taken as it is. Of a word of int4, eight k, the even ones are brought
// into the upper halves of four bytes and the odd ones are there already: bytes of sixteen times the number, whose
// sign is right. So there x lies with the even ones first, and the sums are divided by 16 at the end.
//
//! variants: B_INT8 B_INT4
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_spirv_intrinsics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#define V4
#include "lib/io.glsl"
#include "lib/row.glsl"
#include "lib/blocks.glsl"

layout(constant_id = 2) const uint M = 2;
layout(constant_id = 3) const uint OUTPUTS = 8; // at most the lanes; a multiple of four
layout(constant_id = 4) const uint ADD = 0;
layout(constant_id = 5) const uint BIAS = 0;
layout(constant_id = 6) const uint ACTIVATION = 0;
#include "lib/activation.glsl"

// OpSDot. Compilers older than GL_EXT_integer_dot_product take it as an instruction by its number: capabilities
// DotProduct and DotProductInput4x8BitPacked, format PackedVectorFormat4x8Bit.
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6019, 6018], id = 4450)
int signed_dot(uint a, uint b, spirv_literal int format);
#define DOT(a, b) signed_dot(a, b, 0)

layout(push_constant) uniform Push {
    uint x_at, w_at, bias_at, d_at, y_at, s_at, t_at;
    uint N, K, w_pitch, y_pitch; // w_pitch is in texels
} p;

IN4U(0, x); // [M, K / 16]
IN4U(1, W);
IN4(2, bias);
IN4(3, d);
OUT1(4, y);
IN4U(5, S);
IN4(6, t); // the scales of x, [M, K / 32]

#ifdef B_INT8
const uint CHUNK = 16; // columns of W that a lane takes at a time
const float UNIT = 1.0;
#else
const uint CHUNK = M > 4 ? 16 : 32; // more of many rows do not fit into a GPU's registers
const float UNIT = 1.0 / 16.0;
#endif
const uint TEXELS = CHUNK >> WORD;

void main()
{
    uint lane = gl_SubgroupInvocationID;
    uint n0 = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * OUTPUTS;
    uint s_pitch = (p.w_pitch + (1u << 6 - WORD) - 1) >> 6 - WORD;
    float sums[M][OUTPUTS];

    if (n0 >= p.N)
        return;
    [[unroll]] for (uint m = 0; m < M; m++)
        [[unroll]] for (uint r = 0; r < OUTPUTS; r++)
            sums[m][r] = 0.0;

    for (uint from = 0; from < p.K; from += LANES * CHUNK) {
        uint k = from + lane * CHUNK, kk = min(k, p.K - CHUNK);
        uvec4 piece[M][CHUNK / 16];
        float scale[M];

        [[unroll]] for (uint m = 0; m < M; m++) {
            uint at = p.t_at + (m * p.K + kk >> 5);
            [[unroll]] for (uint i = 0; i < CHUNK / 16; i++)
                piece[m][i] = GET4U(x, (p.x_at >> 2) + (m * p.K + kk >> 4) + i);
            scale[m] = k < p.K ? GET4(t, at >> 2)[at & 3] : 0.0;
        }
        [[unroll]] for (uint four = 0; four < OUTPUTS; four += 4) {
            uint rows = min(n0 + four, (p.N - 1) & ~3u) >> 2;
            vec4 scales = block_scales(GET4U(S, (p.s_at >> 2) + rows * s_pitch + (kk >> 6)), kk);
            ivec4 part[M];

            [[unroll]] for (uint m = 0; m < M; m++)
                part[m] = ivec4(0);
            [[unroll]] for (uint i = 0; i < TEXELS; i++) {
                uvec4 numbers = GET4U(W, (p.w_at >> 2) + rows * p.w_pitch + (kk >> WORD) + i);
#ifdef B_INT8
                [[unroll]] for (uint m = 0; m < M; m++)
                    [[unroll]] for (uint r = 0; r < 4; r++)
                        part[m][r] += DOT(numbers[r], piece[m][0][i]);
#else
                uvec4 even = numbers << 4 & 0xf0f0f0f0u, odd = numbers & 0xf0f0f0f0u;
                [[unroll]] for (uint m = 0; m < M; m++)
                    [[unroll]] for (uint r = 0; r < 4; r++) {
                        part[m][r] += DOT(even[r], piece[m][i / 2][i % 2 * 2]);
                        part[m][r] += DOT(odd[r], piece[m][i / 2][i % 2 * 2 + 1]);
                    }
#endif
            }
            [[unroll]] for (uint m = 0; m < M; m++)
                [[unroll]] for (uint r = 0; r < 4; r++)
                    sums[m][four + r] += scales[r] * scale[m] * float(part[m][r]);
        }
    }

    // Lane r gets column r.
    uint column = n0 + lane, last = p.bias_at + min(column, p.N - 1);
    float more = BIAS != 0 ? GET4(bias, last >> 2)[last & 3] : 0.0;
    [[unroll]] for (uint m = 0; m < M; m++) {
        float v = 0.0;
        [[unroll]] for (uint r = 0; r < OUTPUTS; r++) {
            float sum = row_sum(sums[m][r]);
            v = lane == r ? sum * UNIT : v;
        }
        v = activate(vec4(v + more)).x;
        if (lane < OUTPUTS && column < p.N) {
            uint i = m * p.y_pitch + column, from = p.d_at + i;
            y.at[p.y_at + i] = ADD != 0 ? v + GET4(d, from >> 2)[from & 3] : v;
        }
    }
}

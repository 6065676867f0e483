// matmul: C[M,N] = A[M,K] * B[K,N], with A stored as it is or transposed ([K][M]), B as [K][N] or as
// [N][K] like the weights of a linear layer; batched in z. Epilogue: + bias[N], activation, + D[M,N], which
// lies in rows as C does: the residual of a layer, or C itself where a product is added to what is there.
// Every number of D is read by the invocation that writes its place in C, before it does.
//
// NORMED multiplies the RMS norm of A's rows: what is read of B is multiplied by the norm's weight, and the squares of
// A are added up; the sums of a row are divided by the root of their mean at the end. Every tile of columns does so
// again, which costs less than a pass of its own over A where columns are few. A is stored as it is.
//
// GATED is for the first half of an MLP, silu(gate) * up, where nothing else needs the two: of a lane's four
// columns two are columns of the left half of B and two of the right, and C is half as wide as the product.
//
// The shape that is fast on the CPU driver and right everywhere: a workgroup is one subgroup and
// makes a tile of TM rows by 4*LANES columns. A lane owns four columns, so a row of the tile is one
// vec4 a lane. Per step of four k, the lanes fetch A together, one texel each, and every element
// reaches all lanes by a shuffle whose lane number is a constant; that costs nothing on CPUs.
//
// Out of range rows and columns are read from the last row or column that exists and not stored.
// V1 is for pitches or sizes that are no multiple of four.
//
// B_INT8 and B_INT4 are matrices in blocks (core/tensor/blocks.c), of which one texel of numbers and one
// of scales are four by four values in either orientation; b_pitch is in texels.
//
//! variants: V4 V1
//! variants: B_F32 B_F16 B_BF16 B_INT8 B_INT4
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "lib/io.glsl"
#if defined(B_INT8) || defined(B_INT4)
#define BLOCKS
#endif
#include "lib/product.glsl"

layout(constant_id = 10) const uint EPS = 0; // the bits of the norm's
const bool NORMED = EPS != 0;                // V4; no BIAS, whose place the norm's weight [K] has
layout(constant_id = 11) const bool ALIKE = false; // see lib/each.glsl

// Rows of A that one load of the subgroup brings.
const uint NA = (TM + LANES - 1) / LANES;

#ifdef BLOCKS
#include "lib/blocks.glsl"
#endif

void main()
{
    uint lane = gl_SubgroupInvocationID;
    uint batch = gl_WorkGroupID.z / p.bands, band = gl_WorkGroupID.z - batch * p.bands;
    uint m0 = gl_WorkGroupID.y * TM, n0 = (band * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 4 * LANES;
    uint column = n0 + 4 * lane;
    vec4 acc[TM];
    uint a_from[NA], b_from[4];
    float squares[NA]; // of the row that this lane fetches

    [[unroll]] for (uint i = 0; i < TM; i++)
        acc[i] = vec4(0);

    // Where each lane starts to read, in elements; the loop adds to it.
#ifdef BLOCKS
    uint across = min(column, (p.N - 1) & ~3u), s_pitch = (p.b_pitch + (1u << 6 - WORD) - 1) >> 6 - WORD;
    uint b_base = (p.b_at >> 2) + (TB != 0 ? (across >> 2) * p.b_pitch : across >> WORD);
    uint s_base = (p.s_at >> 2) + (TB != 0 ? (across >> 2) * s_pitch : across >> 6);
    uvec4 numbers;
    vec4 scales;
#else
    uint b_base = b_start(batch);
#endif
    uint a_base = p.a_at + batch * p.a_batch;
    [[unroll]] for (uint i = 0; i < NA; i++) {
        if (TA == 0)
            a_from[i] = a_base + min(m0 + i * LANES + lane, p.M - 1) * p.a_pitch;
        else
            a_from[i] = a_base + (lane / (LANES / 4)) * p.a_pitch;
        squares[i] = 0.0;
    }
#ifndef BLOCKS
    [[unroll]] for (uint q = 0; q < 4; q++)
        b_from[q] = GATED     ? b_base + (min((column >> 1) + q % 2, (p.N >> 1) - 1) + q / 2 * (p.N >> 1)) * p.b_pitch
                    : TB != 0 ? b_base + min(column + q, p.N - 1) * p.b_pitch
#ifdef V4
                            : b_base + q * p.b_pitch + min(column, (p.N - 1) & ~3u);
#else
                            : b_base + q * p.b_pitch;
#endif
#endif

    uint steps = (p.K + 3) / 4; // a multiple of UNROLL
    for (uint step = 0; step < steps; step += UNROLL) {
        [[unroll]] for (uint u = 0; u < UNROLL; u++) {
            uint k = 4 * (step + u);
            vec4 a[NA], b[4], bk[4];
            [[unroll]] for (uint i = 0; i < NA; i++) {
                uint row = m0 + i * LANES + 4 * (lane % (LANES / 4)); // where A is transposed
#ifdef V4
                if (TA == 0)
                    a[i] = GET4(A, (a_from[i] + k) >> 2);
                else
                    a[i] = GET4(A, (a_from[i] + k * p.a_pitch + min(row, p.M - 4)) >> 2);
#else
                if (TA == 0) {
                    [[unroll]] for (uint e = 0; e < 4; e++)
                        a[i][e] = k + e < p.K ? GET1(A, a_from[i] + min(k + e, p.K - 1)) : 0.0;
                } else {
                    uint kk = k + lane / (LANES / 4);
                    [[unroll]] for (uint e = 0; e < 4; e++)
                        a[i][e] = kk < p.K ? GET1(A, a_base + min(kk, p.K - 1) * p.a_pitch + min(row + e, p.M - 1)) : 0.0;
                }
#endif
            }
#ifdef BLOCKS
            // A texel may hold the numbers of two steps, and scales are those of eight.
            if (TB == 0 || (u << 2 & (1u << WORD) - 1) == 0)
                numbers = GET4U(B, b_base + (TB != 0 ? k >> WORD : (k >> 2) * p.b_pitch));
            if (TB == 0 || u == 0)
                scales = block_scales(GET4U(S, s_base + (TB != 0 ? k >> 6 : (k >> 2) * s_pitch)), TB != 0 ? k : across);
            [[unroll]] for (uint q = 0; q < 4; q++)
                b[q] = scales[q] * block_row(numbers[q], TB != 0 ? k : across);
#else
            [[unroll]] for (uint q = 0; q < 4; q++) {
#ifdef V4
                b[q] = TB != 0 ? b_read(b_from[q] + k) : b_read(b_from[q] + k * p.b_pitch);
#else
                [[unroll]] for (uint e = 0; e < 4; e++) {
                    uint kk = TB != 0 ? k + e : k + q;
                    b[q][e] = kk >= p.K ? 0.0
                              : TB != 0 ? b_read(b_from[q] + kk)
                                        : b_read(b_base + kk * p.b_pitch + min(column + e, p.N - 1));
                }
#endif
            }
#endif
            if (TB != 0) {
                bk[0] = vec4(b[0].x, b[1].x, b[2].x, b[3].x);
                bk[1] = vec4(b[0].y, b[1].y, b[2].y, b[3].y);
                bk[2] = vec4(b[0].z, b[1].z, b[2].z, b[3].z);
                bk[3] = vec4(b[0].w, b[1].w, b[2].w, b[3].w);
            } else {
                bk[0] = b[0];
                bk[1] = b[1];
                bk[2] = b[2];
                bk[3] = b[3];
            }
#ifdef V4
            if (NORMED) {
                vec4 weight = GET4(bias, (p.bias_at + k) >> 2);
                [[unroll]] for (uint i = 0; i < NA; i++)
                    squares[i] += dot(a[i], a[i]);
                [[unroll]] for (uint e = 0; e < 4; e++)
                    bk[e] *= weight[e];
            }
#endif
            // Row outermost: one accumulator stays in a register while the four texels of B are used.
            [[unroll]] for (uint r = 0; r < TM; r++) {
                vec4 sum = acc[r];
                [[unroll]] for (uint e = 0; e < 4; e++) {
                    float v = TA == 0 ? subgroupShuffle(a[r / LANES][e], r % LANES)
                                      : subgroupShuffle(a[r / LANES][r % 4], e * (LANES / 4) + (r % LANES) / 4);
                    sum += v * bk[e];
                }
                acc[r] = sum;
            }
        }
    }

    if (NORMED) {
        [[unroll]] for (uint i = 0; i < NA; i++)
            squares[i] = inversesqrt(squares[i] / float(p.K) + uintBitsToFloat(EPS));
        [[unroll]] for (uint r = 0; r < TM; r++)
            acc[r] *= subgroupShuffle(squares[r / LANES], r % LANES);
    }
    vec4 add = bias_of(column);
#ifdef V4
    uint rows = p.M - m0, pitch = p.c_pitch >> 2, own = p.d_at + batch * p.c_batch + m0 * p.c_pitch + column >> 2;
    uint um = alike(gl_WorkGroupID.y) * TM, un = alike(n0 / (4 * LANES)) * LANES, ub = alike(batch);
    uint to = (p.c_at + ub * p.c_batch + um * p.c_pitch >> 2) + un;
    if (GATED) {
        // C, half as wide, has a batch alone. Its rows in pairs:
        to = (p.c_at + um * p.c_pitch >> 1) + un;
        [[unroll]] for (uint r = 0; r < TM; r++)
            SET2_EACH(C, j, um + r < p.M, to + r * (p.c_pitch >> 1), 4 * (un + j) < p.N, j, gated(acc[r]))
    } else {
        IDLE(column >= p.N);
        [[unroll]] for (uint r = 0; r < TM; r++) {
            vec4 v = ended(acc[r], add, own + min(r, rows - 1) * pitch);
            SET4_EACH(C, j, um + r < p.M, to + r * pitch, 4 * (un + j) < p.N, j, v)
        }
    }
#else
    uint first = batch * p.c_batch + m0 * p.c_pitch + column;
    [[unroll]] for (uint r = 0; r < TM; r++)
        if (m0 + r < p.M)
            finish(p.c_at + first + r * p.c_pitch, p.d_at + first + r * p.c_pitch, column, acc[r], add);
#endif
}

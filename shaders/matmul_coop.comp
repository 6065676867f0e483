// matmul_coop: the products of matmul_tile.comp by the matrix units of GPUs, where B is stored in 16 bits.
//
// A workgroup makes a tile of TM rows by TN columns, each of its subgroups a part of it, in cooperative matrices of
// MS x NS sums. Per step of DEPTH k it brings that many columns of A and rows of B into shared memory as f16, in the
// order in which they are stored: a cooperative matrix can be loaded along either side. Products of f16 are added up
// in f32. What the next step needs is read while this one is computed.
//
// f16 ends at 65504 and at 6e-8, and gradients are smaller. So A is multiplied by a power of two that brings the
// greatest number the workgroup has met so far to 2^14 .. 2^15, and the sums by its inverse at the end. Where a
// greater one comes the sums so far follow it. B, which is weights, is rounded as it is; its bf16 beyond f16 become
// the last f16.
//
// Rows and columns that do not exist are read from the last ones and not stored, k that do not exist are zero.
// There is no form for pitches or sizes that are no multiple of four: weights have none, and matmul_tile.comp has one.
//
//! carried
//! reads: buffer
//! variants: V4
//! variants: B_F16 B_BF16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#include "lib/io.glsl"
#include "lib/product.glsl"

layout(constant_id = 9) const uint TN = 64;   // columns of a tile
layout(constant_id = 10) const uint MS = 16;  // of a cooperative matrix: rows,
layout(constant_id = 11) const uint NS = 16;  // columns
layout(constant_id = 12) const uint KS = 16;  // and k
layout(constant_id = 13) const uint DOWN = 2; // subgroups one below the other

const uint WIDTH = gl_WorkGroupSize.x;
const uint TEAMS = WIDTH / LANES, ACROSS = TEAMS / DOWN;
const uint DEPTH = 4 * UNROLL;
const uint ROWS = TM / (DOWN * MS), COLUMNS = TN / (ACROSS * NS); // cooperative matrices of a subgroup

// Reads of an invocation, of four numbers: how many, how many side by side in memory, and how far apart those of an
// invocation are.
const bool A_ALONG = TA == 0, B_ALONG = TB != 0; // whether k runs along what is stored
const uint NA = TM * DEPTH / (4 * WIDTH), A_SIDE = (A_ALONG ? DEPTH : TM) / 4, A_SKIP = WIDTH / A_SIDE;
const uint NB = TN * DEPTH / (4 * WIDTH), B_SIDE = (B_ALONG ? DEPTH : TN) / 4, B_SKIP = WIDTH / B_SIDE;

// Lines as they are stored, in pairs, with a gap that puts the next line into other banks. It keeps every line, and so
// every row or column of a cooperative matrix, at a multiple of sixteen bytes, which a load must have.
const uint A_LINE = (A_ALONG ? DEPTH : TM) / 2 + 4, B_LINE = (B_ALONG ? DEPTH : TN) / 2 + 4;
shared f16vec2 a_tile[(A_ALONG ? TM : DEPTH) * A_LINE];
shared f16vec2 b_tile[(B_ALONG ? TN : DEPTH) * B_LINE];
shared float sums[TEAMS * MS * NS]; // a cooperative matrix of each subgroup, on its way out
shared uint highest;                // exponent in what was met of A

// The highest exponent of four numbers, plus 127. What is no number shall not make all others vanish.
uint exponent(vec4 v)
{
    uvec4 e = floatBitsToUint(v) >> 23 & 255u;
    e = mix(e, uvec4(0), equal(e, uvec4(255)));
    return max(max(e.x, e.y), max(e.z, e.w));
}

float power(uint exponent)
{
    return uintBitsToFloat(exponent << 23);
}

// Four numbers of B in f16, two a word.
#ifdef B_F16
f16vec4 b_half(STORED v, uint i) { return f16vec4(unpackFloat2x16(v.x), unpackFloat2x16(v.y)); }
#else
f16vec4 b_half(STORED v, uint i)
{
    vec4 n = b_number(v, i);
    return f16vec4(mix(n, clamp(n, -65504, 65504), greaterThan(abs(n), vec4(65504)))); // leaves NaN
}
#endif

// The row of B, stored [N][K], that is a column of the product.
uint b_row(uint column)
{
    column = min(column, p.N - 1);
    return GATED ? (column >> 2) * 2 + (column & 1u) + (column >> 1 & 1u) * (p.N >> 1) : column;
}

void main()
{
    // Exponents, plus 127: no lower one, so that the power of two and its inverse are numbers; that of 2^14.
    const uint LOWEST = 15, GOAL = 127 + 14;
    uint id = gl_LocalInvocationID.x;
    uint batch = gl_WorkGroupID.z / p.bands, band = gl_WorkGroupID.z - batch * p.bands;
    uint m0 = gl_WorkGroupID.y * TM, n0 = (band * gl_NumWorkGroups.x + gl_WorkGroupID.x) * TN;
    uint a_base = p.a_at + batch * p.a_batch, b_base = b_start(batch);
    uint a_step = A_ALONG ? 1 : p.a_pitch, b_step = B_ALONG ? 1 : p.b_pitch; // from one k to the next
    // Of the first read: its k in the step, its row of A or column of B in the tile.
    uint a_k = A_ALONG ? id % A_SIDE * 4 : id / A_SIDE, a_line = A_ALONG ? id / A_SIDE : id % A_SIDE * 4;
    uint b_k = B_ALONG ? id % B_SIDE * 4 : id / B_SIDE, b_line = B_ALONG ? id / B_SIDE : id % B_SIDE * 4;
    uint a_to = id / A_SIDE * A_LINE + id % A_SIDE * 2, b_to = id / B_SIDE * B_LINE + id % B_SIDE * 2, a_from[NA], b_from[NB];
    uint row = gl_SubgroupID / ACROSS * ROWS * MS, column = gl_SubgroupID % ACROSS * COLUMNS * NS; // in the tile
    uint top = LOWEST;
    vec4 a[NA];
    STORED b[NB];
    coopmat<float, gl_ScopeSubgroup, MS, NS, gl_MatrixUseAccumulator> acc[ROWS * COLUMNS];

    [[unroll]] for (uint i = 0; i < NA; i++)
        a_from[i] = a_base + (A_ALONG ? min(m0 + a_line + i * A_SKIP, p.M - 1) * p.a_pitch : min(m0 + a_line, p.M - 4));
    [[unroll]] for (uint i = 0; i < NB; i++)
        b_from[i] = b_base + (B_ALONG ? b_row(n0 + b_line + i * B_SKIP) * p.b_pitch : min(n0 + b_line, p.N - 4));
    [[unroll]] for (uint i = 0; i < ROWS * COLUMNS; i++)
        acc[i] = coopmat<float, gl_ScopeSubgroup, MS, NS, gl_MatrixUseAccumulator>(0);
    if (id == 0)
        highest = LOWEST;
    barrier();

    // One turn more than there are steps: the first only reads, the last only computes. What is read is not looked
    // at before the next turn, so that nobody waits for it.
    for (uint ahead = 0; ahead < p.K + DEPTH; ahead += DEPTH) {
        if (ahead != 0) {
            uint high = 0;
            [[unroll]] for (uint i = 0; i < NA; i++)
                high = max(high, exponent(a[i]));
            if (high > top)
                atomicMax(highest, high);
            barrier(); // all have told, and have done with the step before
            high = highest;
            if (high > top) {
                float less = high - top < 127 ? power(127 + top - high) : 0;
                [[unroll]] for (uint i = 0; i < ROWS * COLUMNS; i++)
                    acc[i] = acc[i] * less;
                top = high;
            }
            float scale = power(127 + GOAL - top);
            [[unroll]] for (uint i = 0; i < NA; i++) {
                uint k = ahead - DEPTH + a_k + (A_ALONG ? 0 : i * A_SKIP);
                f16vec4 v = f16vec4(k < p.K ? a[i] * scale : vec4(0));
                a_tile[a_to + i * A_SKIP * A_LINE] = v.xy;
                a_tile[a_to + i * A_SKIP * A_LINE + 1] = v.zw;
            }
            [[unroll]] for (uint i = 0; i < NB; i++) {
                uint k = ahead - DEPTH + b_k + (B_ALONG ? 0 : i * B_SKIP);
                f16vec4 v = k < p.K ? b_half(b[i], b_from[i] + k * b_step) : f16vec4(0);
                b_tile[b_to + i * B_SKIP * B_LINE] = v.xy;
                b_tile[b_to + i * B_SKIP * B_LINE + 1] = v.zw;
            }
            barrier();
        }
        if (ahead < p.K) {
            [[unroll]] for (uint i = 0; i < NA; i++) {
                uint k = ahead + a_k + (A_ALONG ? 0 : i * A_SKIP);
                a[i] = GET4(A, (a_from[i] + min(k, p.K - (A_ALONG ? 4 : 1)) * a_step) >> 2);
            }
            [[unroll]] for (uint i = 0; i < NB; i++) {
                uint k = ahead + b_k + (B_ALONG ? 0 : i * B_SKIP);
                b[i] = b_stored(b_from[i] + min(k, p.K - (B_ALONG ? 4 : 1)) * b_step);
            }
        }
        if (ahead != 0)
            [[unroll]] for (uint k = 0; k < DEPTH; k += KS) {
                coopmat<float16_t, gl_ScopeSubgroup, MS, KS, gl_MatrixUseA> left[ROWS];
                coopmat<float16_t, gl_ScopeSubgroup, KS, NS, gl_MatrixUseB> right;
                [[unroll]] for (uint i = 0; i < ROWS; i++) {
                    if (A_ALONG)
                        coopMatLoad(left[i], a_tile, (row + i * MS) * A_LINE + k / 2, A_LINE, gl_CooperativeMatrixLayoutRowMajor);
                    else
                        coopMatLoad(left[i], a_tile, k * A_LINE + (row + i * MS) / 2, A_LINE, gl_CooperativeMatrixLayoutColumnMajor);
                }
                [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
                    if (B_ALONG)
                        coopMatLoad(right, b_tile, (column + j * NS) * B_LINE + k / 2, B_LINE, gl_CooperativeMatrixLayoutColumnMajor);
                    else
                        coopMatLoad(right, b_tile, k * B_LINE + (column + j * NS) / 2, B_LINE, gl_CooperativeMatrixLayoutRowMajor);
                    [[unroll]] for (uint i = 0; i < ROWS; i++)
                        acc[i * COLUMNS + j] = coopMatMulAdd(left[i], right, acc[i * COLUMNS + j]);
                }
            }
    }

    float whole = power(127 + top - GOAL);
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
            uint mine = gl_SubgroupID * MS * NS;
            barrier(); // the one before is read
            coopMatStore(acc[i * COLUMNS + j], sums, mine, NS, gl_CooperativeMatrixLayoutRowMajor);
            barrier();
            for (uint f = gl_SubgroupInvocationID; f < MS * NS / 4; f += LANES) {
                uint r = m0 + row + i * MS + f / (NS / 4), c = n0 + column + j * NS + f % (NS / 4) * 4;
                uint from = mine + f * 4, there = batch * p.c_batch + r * p.c_pitch + c;
                vec4 sum = vec4(sums[from], sums[from + 1], sums[from + 2], sums[from + 3]) * whole;
                if (r >= p.M || c >= p.N)
                    continue;
                if (GATED)
                    pair_C.at[(p.c_at + r * p.c_pitch >> 1) + (c >> 2)] = gated(sum);
                else
                    C.at[p.c_at + there >> 2] = ended(sum, bias_of(c), p.d_at + there >> 2);
            }
        }
}

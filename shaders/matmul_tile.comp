// matmul_tile: the products of matmul.comp the way GPUs want them. Memory is read where neighbouring
// invocations find neighbouring numbers, whatever the orientation, and passed on through shared memory.
//
// A workgroup makes a tile of TM rows by TN columns. Per step of DEPTH k it brings that many columns of A and
// rows of B into shared memory; an invocation has four columns of four rows, or of eight. What the next
// step needs is read while this one is computed. Every sum is added up in the order of k, as matmul.comp does it.
//
// Rows and columns that do not exist are read from the last ones and not stored, k that do not exist are zero.
// V1 is for pitches or sizes that are no multiple of four. With 128 rows and 64 columns, or less, shared memory
// is within the 16 KiB that every device has.
//
//! reads: buffer
//! variants: V4 V1
//! variants: B_F32 B_F16 B_BF16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "lib/io.glsl"
#include "lib/product.glsl"

layout(constant_id = 9) const uint TN = 64; // columns of a tile

#ifdef V4
const uint SIZE = 4; // numbers of one read
#else
const uint SIZE = 1;
#endif
const uint WIDTH = gl_WorkGroupSize.x;
const uint DEPTH = 4 * UNROLL;
const uint ACROSS = TN / 4, DOWN = 4 * WIDTH / ACROSS; // invocations in a row of fours; rows that all fours have

// Reads of an invocation: how many, how many side by side in memory, and how far apart those of an invocation are.
const bool A_ALONG = TA == 0, B_ALONG = TB != 0; // whether k runs along what is stored
const uint NA = TM * DEPTH / (SIZE * WIDTH), A_SIDE = (A_ALONG ? DEPTH : TM) / SIZE, A_SKIP = WIDTH / A_SIDE;
const uint NB = TN * DEPTH / (SIZE * WIDTH), B_SIDE = (B_ALONG ? DEPTH : TN) / SIZE, B_SKIP = WIDTH / B_SIDE;

// Shared memory has the rows of A and the columns of B in fours: all k of a four, four numbers each, and a gap that
// puts the next four into other banks. So every read is of sixteen bytes, and compilers see that.
const uint FOUR = 4 * DEPTH + 4, B_PART = TM / 4 * FOUR;
shared float tile[(TM + TN) / 4 * FOUR];

// Where a row's or a column's number k is. Of four lines that are read together it is the first, which needs no
// remainder: with one, compilers do not see that what is written begins at a multiple of sixteen bytes.
uint place(uint line, uint k, bool along)
{
    return line / 4 * FOUR + k * 4 + (SIZE == 4 && !along ? 0 : line % 4);
}

void put(uint at, bool along, NUM v)
{
#ifdef V4
    [[unroll]] for (uint e = 0; e < 4; e++)
        tile[at + e * (along ? 4 : 1)] = v[e];
#else
    tile[at] = v;
#endif
}

vec4 four(uint at)
{
    return vec4(tile[at], tile[at + 1], tile[at + 2], tile[at + 3]);
}

// The row of B, stored [N][K], that is a column of the product.
uint b_row(uint column)
{
    column = min(column, p.N - 1);
    return GATED ? (column >> 2) * 2 + (column & 1u) + (column >> 1 & 1u) * (p.N >> 1) : column;
}

void main()
{
    uint id = gl_LocalInvocationID.x;
    uint batch = gl_WorkGroupID.z / p.bands, band = gl_WorkGroupID.z - batch * p.bands;
    uint m0 = gl_WorkGroupID.y * TM, n0 = (band * gl_NumWorkGroups.x + gl_WorkGroupID.x) * TN;
    uint a_base = p.a_at + batch * p.a_batch, b_base = b_start(batch);
    uint a_step = A_ALONG ? 1 : p.a_pitch, b_step = B_ALONG ? 1 : p.b_pitch; // from one k to the next
    // Of the first read: its k in the step, its row of A or column of B in the tile.
    uint a_k = A_ALONG ? id % A_SIDE * SIZE : id / A_SIDE, a_line = A_ALONG ? id / A_SIDE : id % A_SIDE * SIZE;
    uint b_k = B_ALONG ? id % B_SIDE * SIZE : id / B_SIDE, b_line = B_ALONG ? id / B_SIDE : id % B_SIDE * SIZE;
    uint a_to = place(a_line, a_k, A_ALONG), b_to = B_PART + place(b_line, b_k, B_ALONG), a_from[NA], b_from[NB];
    uint row = id / ACROSS, column = id % ACROSS; // fours of the tile
    NUM a[NA];
    STORED b[NB];
    vec4 acc[TM / DOWN * 4];

    [[unroll]] for (uint i = 0; i < NA; i++)
        a_from[i] = a_base + (A_ALONG ? min(m0 + a_line + i * A_SKIP, p.M - 1) * p.a_pitch : min(m0 + a_line, p.M - SIZE));
    [[unroll]] for (uint i = 0; i < NB; i++)
        b_from[i] = b_base + (B_ALONG ? b_row(n0 + b_line + i * B_SKIP) * p.b_pitch : min(n0 + b_line, p.N - SIZE));
    [[unroll]] for (uint i = 0; i < TM / DOWN * 4; i++)
        acc[i] = vec4(0);

    // One turn more than there are steps: the first only reads, the last only computes. What is read is not looked
    // at before the next turn, so that nobody waits for it.
    for (uint ahead = 0; ahead < p.K + DEPTH; ahead += DEPTH) {
        if (ahead != 0) {
            barrier(); // all have done with the step before
            [[unroll]] for (uint i = 0; i < NA; i++) {
                uint k = ahead - DEPTH + a_k + (A_ALONG ? 0 : i * A_SKIP);
                put(a_to + i * A_SKIP / (A_ALONG ? 4 : 1) * (A_ALONG ? FOUR : 4), A_ALONG, k < p.K ? a[i] : NUM(0));
            }
            [[unroll]] for (uint i = 0; i < NB; i++) {
                uint k = ahead - DEPTH + b_k + (B_ALONG ? 0 : i * B_SKIP);
                NUM v = b_number(b[i], b_from[i] + k * b_step);
                put(b_to + i * B_SKIP / (B_ALONG ? 4 : 1) * (B_ALONG ? FOUR : 4), B_ALONG, k < p.K ? v : NUM(0));
            }
            barrier();
        }
        if (ahead < p.K) {
            [[unroll]] for (uint i = 0; i < NA; i++) {
                uint k = ahead + a_k + (A_ALONG ? 0 : i * A_SKIP);
                a[i] = GET(A, AT(a_from[i] + min(k, p.K - (A_ALONG ? SIZE : 1)) * a_step));
            }
            [[unroll]] for (uint i = 0; i < NB; i++) {
                uint k = ahead + b_k + (B_ALONG ? 0 : i * B_SKIP);
                b[i] = b_stored(b_from[i] + min(k, p.K - (B_ALONG ? SIZE : 1)) * b_step);
            }
        }
        if (ahead != 0)
            [[unroll]] for (uint k = 0; k < DEPTH; k++) {
                vec4 right = four(B_PART + column * FOUR + k * 4);
                [[unroll]] for (uint i = 0; i < TM / DOWN; i++) {
                    vec4 left = four((i * DOWN / 4 + row) * FOUR + k * 4);
                    [[unroll]] for (uint e = 0; e < 4; e++)
                        acc[i * 4 + e] += left[e] * right;
                }
            }
    }

    column = n0 + column * 4;
    IDLE(column >= p.N);
    vec4 add = bias_of(column);
    uint first = batch * p.c_batch + m0 * p.c_pitch + column;
    [[unroll]] for (uint i = 0; i < TM / DOWN; i++)
        [[unroll]] for (uint e = 0; e < 4; e++) {
            uint r = i * DOWN + row * 4 + e, there = first + r * p.c_pitch;
            if (m0 + r >= p.M)
                continue;
#ifdef V4
            if (GATED)
                pair_C.at[(p.c_at + m0 * p.c_pitch + r * p.c_pitch >> 1) + (column >> 2)] = gated(acc[i * 4 + e]);
            else
                C.at[p.c_at + there >> 2] = ended(acc[i * 4 + e], add, p.d_at + there >> 2);
#else
            finish(p.c_at + there, p.d_at + there, column, acc[i * 4 + e], add);
#endif
        }
}

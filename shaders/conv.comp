// conv: convolution as a matrix product that gathers one side as it goes. Images are [B, H, W, C],
// weights [taps, Cin, Cout]; all channel counts are multiples of 4 (conv.c fills up others).
//
// A workgroup is one subgroup. COLS of its lanes own four output channels each; the LANES / COLS
// groups of such lanes have pixels of their own. The lanes of a group fetch image texels together,
// one pixel each, and every pixel's texel reaches the group by a shuffle with constant lanes.
//
//   FORWARD  y[pixel, co] = sum over taps, ci of x[pixel * STRIDE - pad + tap, ci] * w[tap, ci, co]
//   INPUT    dx[pixel, ci] = sum over taps, co of dy[(pixel + pad - tap) / STRIDE, co] * w[tap, ci, co]
//   WEIGHT   dw[tap, ci, co] = sum over pixels of x[pixel * STRIDE - pad + tap, ci] * dy[pixel, co],
//            here for `chunk` of the rows of dy: part is [chunks, taps, Cin, Cout]
//
//! variants: FORWARD INPUT WEIGHT
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "lib/io.glsl"

layout(constant_id = 2) const uint COLS = 8;  // lanes over channels: a power of two
layout(constant_id = 3) const uint STRIDE = 1;
layout(constant_id = 4) const uint TILE = 16; // pixels of a group; WEIGHT: texels of ci. A multiple of
                                              // COLS, or (WEIGHT) a divisor
const uint GROUPS = LANES / COLS;

// An index that no texel buffer has reads zero; a storage buffer needs a select.
#ifdef READ_TEXEL
#define NOWHERE 0x80000000u
#define FETCH(name, base, i) GET4(name, (base) + (i))
#else
#define NOWHERE 0xffffffffu
#define FETCH(name, base, i) ((base) == NOWHERE ? vec4(0.0) : GET4(name, (base) + (i)))
#endif

#ifndef WEIGHT
layout(constant_id = 5) const uint FLAG = 0; // FORWARD: there is a bias; INPUT: add

layout(push_constant) uniform Push {
    uint a_at, w_at, bias_at, y_at;
    uint pixels, columns, depth;     // of the result; texels of its channels; texels of the image's
    uint high, wide, to_high, to_wide; // the image, the result
    uint kernel_high, kernel_wide;
    int pad;
} p;

IN4(0, a);
IN4(1, w);
IN4(2, bias);
OUT4(3, y);

const uint SLOTS = TILE / COLS;

void main()
{
    uint lane = gl_SubgroupInvocationID, own = lane & (COLS - 1), group = lane / COLS;
    uint tile = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint first = (tile * GROUPS + group) * TILE, column = gl_WorkGroupID.z * COLS + own;
    uint from = min(column, p.columns - 1);
    uint rows[SLOTS], at[SLOTS];
    int down[SLOTS], right[SLOTS];
    vec4 sum[TILE];

    if (tile * GROUPS * TILE >= p.pixels)
        return;
    [[unroll]] for (uint s = 0; s < SLOTS; s++) {
        uint m = first + s * COLS + own, line = m / p.to_wide, b = line / p.to_high;
        rows[s] = b * p.high;
#ifdef FORWARD
        down[s] = int((line - b * p.to_high) * STRIDE) - p.pad;
        right[s] = int((m - line * p.to_wide) * STRIDE) - p.pad;
#else
        down[s] = int(line - b * p.to_high) + p.pad;
        right[s] = int(m - line * p.to_wide) + p.pad;
#endif
        if (m >= p.pixels)
            down[s] = -0x1000000; // no tap brings it back
    }
    [[unroll]] for (uint i = 0; i < TILE; i++)
        sum[i] = vec4(0.0);
    uint tap = 0;
    for (int ky = 0; ky < int(p.kernel_high); ky++) {
        for (int kx = 0; kx < int(p.kernel_wide); kx++, tap++) {
            [[unroll]] for (uint s = 0; s < SLOTS; s++) {
#ifdef FORWARD
                uint i = uint(down[s] + ky), j = uint(right[s] + kx);
                bool inside = i < p.high && j < p.wide;
#else
                uint i = uint(down[s] - ky), j = uint(right[s] - kx);
                bool inside = i / STRIDE < p.high && j / STRIDE < p.wide && i % STRIDE == 0 && j % STRIDE == 0;
                i /= STRIDE;
                j /= STRIDE;
#endif
                at[s] = inside ? (p.a_at >> 2) + ((rows[s] + i) * p.wide + j) * p.depth : NOWHERE;
            }
#ifdef FORWARD
            uint weight = (p.w_at >> 2) + tap * p.depth * 4 * p.columns + from;
#else
            uint weight = (p.w_at >> 2) + (tap * p.columns + from) * 4 * p.depth;
#endif
            for (uint k = 0; k < p.depth; k++) {
                vec4 texel[SLOTS], b0, b1, b2, b3;
                [[unroll]] for (uint s = 0; s < SLOTS; s++)
                    texel[s] = FETCH(a, at[s], k);
#ifdef FORWARD
                uint here = weight + k * 4 * p.columns;
                b0 = GET4(w, here);
                b1 = GET4(w, here + p.columns);
                b2 = GET4(w, here + 2 * p.columns);
                b3 = GET4(w, here + 3 * p.columns);
#else
                uint here = weight + k;
                vec4 c0 = GET4(w, here), c1 = GET4(w, here + p.depth), c2 = GET4(w, here + 2 * p.depth),
                     c3 = GET4(w, here + 3 * p.depth);
                b0 = vec4(c0.x, c1.x, c2.x, c3.x);
                b1 = vec4(c0.y, c1.y, c2.y, c3.y);
                b2 = vec4(c0.z, c1.z, c2.z, c3.z);
                b3 = vec4(c0.w, c1.w, c2.w, c3.w);
#endif
                [[unroll]] for (uint i = 0; i < TILE; i++) {
                    vec4 v = subgroupShuffle(texel[i / COLS], (gl_SubgroupInvocationID & ~(COLS - 1)) | (i & (COLS - 1)));
                    sum[i] += v.x * b0;
                    sum[i] += v.y * b1;
                    sum[i] += v.z * b2;
                    sum[i] += v.w * b3;
                }
            }
        }
    }
    vec4 start = vec4(0.0);
#ifdef FORWARD
    if (FLAG != 0)
        start = GET4(bias, (p.bias_at >> 2) + from);
#endif
    [[unroll]] for (uint i = 0; i < TILE; i++) {
        uint to = (p.y_at >> 2) + (first + i) * p.columns + column;
        bool on = first + i < p.pixels && column < p.columns;
        vec4 v = sum[i] + start;
#ifdef INPUT
        if (FLAG != 0 && on)
            v += y.at[to];
#endif
        SET4(y, to, on, v);
    }
}

#else

layout(push_constant) uniform Push {
    uint x_at, dy_at, part_at;
    uint columns, depth, blocks; // texels of dy's channels, of x's, and tiles of the latter
    uint high, wide, to_high, to_wide;
    uint kernel_high, kernel_wide;
    int pad;
    uint lines, chunk; // rows of all the images of dy, and how many of them go together
} p;

IN4(0, x);
IN4(1, dy);
OUT4(2, part);

const uint LOADS = (TILE + COLS - 1) / COLS;

void main()
{
    uint lane = gl_SubgroupInvocationID, own = lane & (COLS - 1), group = lane / COLS;
    uint tap = gl_WorkGroupID.x / p.blocks, texel = (gl_WorkGroupID.x - tap * p.blocks) * TILE;
    uint ky = tap / p.kernel_wide, kx = tap - ky * p.kernel_wide;
    uint column = gl_WorkGroupID.y * COLS + own, from = min(column, p.columns - 1);
    uint first = gl_WorkGroupID.z * p.chunk, end = min(first + p.chunk, p.lines);
    vec4 sum[4 * TILE];

    [[unroll]] for (uint i = 0; i < 4 * TILE; i++)
        sum[i] = vec4(0.0);
    for (; first < end; first += GROUPS) { // a line of dy for each group
        uint line = min(first + group, end - 1), b = line / p.to_high;
        uint i = (line - b * p.to_high) * STRIDE + ky - uint(p.pad);
        bool high = i < p.high && first + group < end;
        uint row = (b * p.high + i) * p.wide, out_row = (p.dy_at >> 2) + line * p.to_wide * p.columns + from;
        for (uint start = 0; start < p.to_wide; start += 4) {
            vec4 image[4 * LOADS], g[4];
            [[unroll]] for (uint q = 0; q < 4; q++) {
                uint to = start + q, j = to * STRIDE + kx - uint(p.pad);
                bool inside = high && to < p.to_wide && j < p.wide;
                g[q] = GET4(dy, out_row + min(to, p.to_wide - 1) * p.columns);
                [[unroll]] for (uint l = 0; l < LOADS; l++) {
                    uint k = texel + ((l * COLS + own) & (TILE - 1));
                    uint at = inside && k < p.depth ? (p.x_at >> 2) + (row + j) * p.depth + k : NOWHERE;
                    image[q * LOADS + l] = FETCH(x, at, 0);
                }
            }
            // One sum at a time, so that it stays in a register with all of g.
            [[unroll]] for (uint t = 0; t < 4 * TILE; t++)
                [[unroll]] for (uint q = 0; q < 4; q++)
                    sum[t] += subgroupShuffle(image[q * LOADS + t / 4 / COLS][t & 3],
                                              (gl_SubgroupInvocationID & ~(COLS - 1)) | (t / 4 & (COLS - 1))) * g[q];
        }
    }
    [[unroll]] for (uint m = COLS; m < LANES; m <<= 1)
        [[unroll]] for (uint i = 0; i < 4 * TILE; i++)
            sum[i] += subgroupShuffle(sum[i], gl_SubgroupInvocationID ^ m);
    uint to = (p.part_at >> 2) + ((gl_WorkGroupID.z * p.kernel_high * p.kernel_wide + tap) * p.depth + texel) * 4 * p.columns;
    [[unroll]] for (uint i = 0; i < 4 * TILE; i++)
        if (group == 0 && column < p.columns && texel + i / 4 < p.depth)
            part.at[to + i * p.columns + column] = sum[i];
}
#endif

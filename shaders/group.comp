// group: group norm of [batch, pixels, C]: y = silu(u * weight + bias) with u = (x - mean) * r, where
// mean and r belong to the batch item and the group of channels. SILU switches the silu.
//
//   STATS  leaves, for each chunk of pixels and each channel, the mean and the sum of the squared
//          deviations from that mean: part is [batch, chunks, 2, C]
//   APPLY  makes y out of x and stat, which is [batch, 2, C]: mean and r
//   SUMS   sums dz and dz * u over each chunk, where z = u * weight + bias: part as above
//   DX     makes dx, with share [batch, 2, C]: the averages over the group of dz * weight and of
//          dz * weight * u
//
//! variants: STATS APPLY SUMS DX
//! variants: V4 V1
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "lib/io.glsl"

layout(constant_id = 2) const uint N = 1; // channels, in units of NUM
layout(constant_id = 3) const uint SILU = 0;
layout(constant_id = 4) const uint ADD = 0;

#if defined(STATS) || defined(SUMS)
// The chunk of this invocation, and where its pixels are.
#define CHUNK                                                                                        \
    uint i = flat_index(), k = i / N, c = i - k * N, b = k / p.chunks, part_at = AT(p.part_at) + 2 * k * N + c; \
    uint first = (k - b * p.chunks) * p.chunk, last = min(first + p.chunk, p.pixels);                \
    if (i >= p.n)                                                                                    \
        return;
#endif

#if defined(SUMS) || defined(DX)
// The slope of silu at z, or 1.
NUM slope(NUM z)
{
    NUM s = 1.0 / (1.0 + exp(-z));
    return SILU != 0 ? s + z * s * (1.0 - s) : NUM(1.0);
}
#endif

#ifdef STATS
layout(push_constant) uniform Push { uint x_at, part_at, n, pixels, chunks, chunk; } p;
IN(0, x);
OUT(1, part);

void main()
{
    CHUNK
    uint at = AT(p.x_at) + b * p.pixels * N + c;
    NUM mean = NUM(0.0), square = NUM(0.0);
    for (uint m = first; m < last; m += 4)
        [[unroll]] for (uint q = 0; q < 4; q++)
            mean += GET(x, at + min(m + q, last - 1) * N) * (m + q < last ? 1.0 : 0.0);
    mean /= float(max(last - first, 1));
    for (uint m = first; m < last; m += 4)
        [[unroll]] for (uint q = 0; q < 4; q++) {
            NUM d = GET(x, at + min(m + q, last - 1) * N) - mean;
            square += d * d * (m + q < last ? 1.0 : 0.0);
        }
    part.at[part_at] = mean;
    part.at[part_at + N] = square;
}
#endif

#ifdef APPLY
layout(push_constant) uniform Push { uint x_at, stat_at, w_at, b_at, y_at, n, pixels; } p;
IN(0, x);
IN(1, stat);
IN(2, w);
IN(3, bias);
OUT(4, y);

void main()
{
    uint i = flat_index();
    IDLE(i >= p.n);
    uint m = i / N, c = i - m * N, s = AT(p.stat_at) + m / p.pixels * 2 * N + c;
    NUM z = (GET(x, AT(p.x_at) + i) - GET(stat, s)) * GET(stat, s + N) * GET(w, AT(p.w_at) + c) + GET(bias, AT(p.b_at) + c);
    if (SILU != 0)
        z /= 1.0 + exp(-z);
    SET(y, AT(p.y_at) + i, i < p.n, z);
}
#endif

#ifdef SUMS
layout(push_constant) uniform Push {
    uint x_at, stat_at, w_at, b_at, dy_at, part_at, n, pixels, chunks, chunk;
} p;
IN(0, x);
IN(1, stat);
IN(2, w);
IN(3, bias);
IN(4, dy);
OUT(5, part);

void main()
{
    CHUNK
    uint at = b * p.pixels * N + c, s = AT(p.stat_at) + b * 2 * N + c;
    NUM mean = GET(stat, s), r = GET(stat, s + N), scale = GET(w, AT(p.w_at) + c), shift = GET(bias, AT(p.b_at) + c);
    NUM sum = NUM(0.0), along = NUM(0.0);
    for (uint m = first; m < last; m += 2)
        [[unroll]] for (uint q = 0; q < 2; q++) {
            uint here = at + min(m + q, last - 1) * N;
            NUM u = (GET(x, AT(p.x_at) + here) - mean) * r;
            NUM d = GET(dy, AT(p.dy_at) + here) * slope(u * scale + shift) * (m + q < last ? 1.0 : 0.0);
            sum += d;
            along += d * u;
        }
    part.at[part_at] = sum;
    part.at[part_at + N] = along;
}
#endif

#ifdef DX
layout(push_constant) uniform Push { uint x_at, stat_at, w_at, b_at, dy_at, share_at, dx_at, n, pixels; } p;
IN(0, x);
IN(1, stat);
IN(2, w);
IN(3, bias);
IN(4, dy);
IN(5, share);
OUT(6, dx);

void main()
{
    uint i = flat_index();
    IDLE(i >= p.n);
    uint m = i / N, c = i - m * N, s = m / p.pixels * 2 * N + c;
    NUM r = GET(stat, AT(p.stat_at) + s + N), u = (GET(x, AT(p.x_at) + i) - GET(stat, AT(p.stat_at) + s)) * r;
    NUM scale = GET(w, AT(p.w_at) + c);
    NUM g = GET(dy, AT(p.dy_at) + i) * slope(u * scale + GET(bias, AT(p.b_at) + c)) * scale;
    NUM v = (g - GET(share, AT(p.share_at) + s) - u * GET(share, AT(p.share_at) + s + N)) * r;
    if (ADD != 0)
        v += dx.at[AT(p.dx_at) + i];
    SET(dx, AT(p.dx_at) + i, i < p.n, v);
}
#endif

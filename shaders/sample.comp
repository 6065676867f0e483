// sample: for each row the smallest index at which the running sum of exp(z - max) reaches u times
// the total, z being the logits over the temperature; GUIDED first mixes two rows, conditional and
// not: z = n + w (c - n). One subgroup a row.
//
// A tile is what the subgroup reads at a time. The sums over tiles are compensated (two floats), so
// that the result is that of double precision but where u lies within 1e-6 of a border.
//
//! variants: PLAIN GUIDED
//! variants: V4 V1
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "lib/io.glsl"
#include "lib/row.glsl"

// last: the row's length in units of NUM; steps: that divided by LANES, upwards; cold: 1 / temperature
layout(push_constant) uniform Push { uint x_at, u_at, y_at, rows, last, steps; float cold, guidance; } p;
IN(0, x);
IN1(1, u);
OUT1U(2, y);

#ifdef V4
const uint SIZE = 4;
#else
const uint SIZE = 1;
#endif

NUM logits(uint row, uint i)
{
#ifdef GUIDED
    uint at = AT(p.x_at) + 2 * row * p.last + i;
    NUM n = GET(x, at + p.last);
    return (n + p.guidance * (GET(x, at) - n)) * p.cold;
#else
    return GET(x, AT(p.x_at) + row * p.last + i) * p.cold;
#endif
}

// The weights of this lane's part of tile s; 0 beyond the row.
NUM weights(uint row, uint s, float top)
{
    uint i = s * LANES + gl_SubgroupInvocationID;
    NUM e = exp(logits(row, min(i, p.last - 1)) - top);
    return i < p.last ? e : NUM(0.0);
}

// sum.x + sum.y, the latter being what the former rounded away
vec2 plus(vec2 sum, float v)
{
    precise float s = sum.x + v;
    precise float part = s - sum.x;
    precise float lost = (sum.x - (s - part)) + (v - part);
    precise float low = sum.y + lost;
    return vec2(s, low);
}

void main()
{
    uint row = row_index();
    if (row >= p.rows)
        return;
    uint lane = gl_SubgroupInvocationID;
    NUM most = logits(row, min(lane, p.last - 1));
    for (uint s = 1; s < p.steps; s++)
        most = max(most, logits(row, min(s * LANES + lane, p.last - 1)));
#ifdef V4
    float top = row_max(max(max(most.x, most.y), max(most.z, most.w)));
#else
    float top = row_max(most);
#endif

    vec2 total = vec2(0.0);
    for (uint s = 0; s < p.steps; s++)
        total = plus(total, row_sum(inside(weights(row, s, top))));
    float goal = GET1(u, p.u_at + row) * (total.x + total.y);

    vec2 before = vec2(0.0);
    uint tile = 0;
    for (; tile < p.steps; tile++) {
        vec2 after = plus(before, row_sum(inside(weights(row, tile, top))));
        float reached = after.x + after.y;
        if (reached >= goal && reached > 0.0)
            break;
        before = after;
    }

    // Inside of the tile: what the lanes before this one hold, then its own elements.
    NUM e = weights(row, min(tile, p.steps - 1), top);
    float own = inside(e), sum = own;
    [[unroll]] for (uint k = 0; k < 7; k++) {
        uint d = 1u << k;
        float v = subgroupShuffle(sum, lane >= d ? lane - d : lane);
        sum += lane >= d ? v : 0.0;
    }
    float left = (goal - before.x) - before.y, run = sum - own;
    uint none = 0xffffffffu, first = none, last = 0, at = (tile * LANES + lane) * SIZE;
#ifdef V4
    [[unroll]] for (uint k = 0; k < 4; k++) {
        float v = e[k];
        run += v;
        if (v > 0.0) {
            first = run >= left ? min(first, at + k) : first;
            last = at + k;
        }
    }
#else
    if (e > 0.0) {
        first = run + e >= left ? at : none;
        last = at;
    }
#endif
#define STEP(m) first = min(first, ROW_OTHER(first, m)); last = max(last, ROW_OTHER(last, m));
    ROW_FOLD(STEP)
    // The tile's sum was made in another order: if that reached the goal and this did not, by a hair,
    // it is the last element that weighs anything.
    uint found = first != none ? first : last;
    if (tile == p.steps) // u above 1, or something is not a number
        found = p.last * SIZE - 1;
    if (lane == 0)
        y.at[p.y_at + row] = found;
}

// group_share: what a group of channels has in common, one subgroup for each batch item and group;
// see group.comp. FORWARD puts the chunks' means and squares together (to: mean and r), BACKWARD
// averages sums [batch, 2, C] with the weight. Both write every channel's copy of the result.
//
//! variants: FORWARD BACKWARD
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "lib/io.glsl"
#include "lib/row.glsl"

layout(constant_id = 2) const uint SIZE = 1; // channels of a group

#ifdef FORWARD
layout(push_constant) uniform Push { uint part_at, to_at, n, groups, pixels, chunks, chunk; float eps; } p;
IN1(0, part);
OUT1(1, to);
#else
layout(push_constant) uniform Push { uint sums_at, w_at, to_at, n, groups, pixels; } p;
IN1(0, sums);
IN1(1, w);
OUT1(2, to);
#endif

void main()
{
    uint row = row_index(), lane = gl_SubgroupInvocationID, b = row / p.groups, from = (row - b * p.groups) * SIZE;
    uint C = p.groups * SIZE;
    float one = 0.0, two = 0.0;

    if (row >= p.n)
        return;
#ifdef FORWARD
    for (uint i = lane; i < p.chunks * SIZE; i += LANES) {
        uint k = i / SIZE, at = p.part_at + (b * p.chunks + k) * 2 * C + from + i - k * SIZE;
        one += GET1(part, at) * float(min(p.chunk, p.pixels - k * p.chunk));
    }
    one = row_sum(one) / (float(p.pixels) * float(SIZE));
    for (uint i = lane; i < p.chunks * SIZE; i += LANES) {
        uint k = i / SIZE, at = p.part_at + (b * p.chunks + k) * 2 * C + from + i - k * SIZE;
        float d = GET1(part, at) - one;
        two += GET1(part, at + C) + d * d * float(min(p.chunk, p.pixels - k * p.chunk));
    }
    two = 1.0 / sqrt(row_sum(two) / (float(p.pixels) * float(SIZE)) + p.eps);
#else
    for (uint i = lane; i < SIZE; i += LANES) {
        uint at = p.sums_at + b * 2 * C + from + i;
        float scale = GET1(w, p.w_at + from + i);
        one += GET1(sums, at) * scale;
        two += GET1(sums, at + C) * scale;
    }
    one = row_sum(one) / (float(p.pixels) * float(SIZE));
    two = row_sum(two) / (float(p.pixels) * float(SIZE));
#endif
    for (uint i = lane; i < SIZE; i += LANES) {
        to.at[p.to_at + b * 2 * C + from + i] = one;
        to.at[p.to_at + b * 2 * C + C + from + i] = two;
    }
}

// sumsq: the norm of all gradients, in two stages and always in the same order.
//
//   PARTS   one subgroup for each CHUNK fours of x: part[at + chunk] = the sum of their squares
//   FINISH  one subgroup: control = { norm, clip factor, 1 to go on, how many steps were skipped,
//           loss }; a norm that is no finite number skips the step, and so does a watched loss
//
//! variants: PARTS FINISH
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#define V4
#include "lib/io.glsl"
#include "lib/row.glsl"

#ifdef PARTS
layout(constant_id = 2) const uint CHUNK = 4096; // a multiple of 4 * LANES
layout(push_constant) uniform Push { uint x_at, part_at, n, chunks; } p;
IN4(0, x);
OUT1(1, part);

void main()
{
    uint row = row_index(), lane = gl_SubgroupInvocationID;
    vec4 sum = vec4(0.0);

    if (row >= p.chunks)
        return;
    for (uint t = 0; t < CHUNK; t += 4 * LANES)
        [[unroll]] for (uint u = 0; u < 4; u++) {
            uint i = row * CHUNK + t + u * LANES + lane;
            vec4 v = GET4(x, AT(p.x_at) + min(i, p.n - 1));
            sum += i < p.n ? v * v : vec4(0.0);
        }
    float all = row_sum(inside(sum));
    if (lane == 0)
        part.at[p.part_at + row] = all;
}
#endif

#ifdef FINISH
layout(push_constant) uniform Push { uint part_at, control_at, n, watch; float clip; } p;
IN4(0, part);
OUT1U(1, control);

bool finite(uint bits) { return (bits & 0x7f800000u) != 0x7f800000u; }

void main()
{
    uint lane = gl_SubgroupInvocationID, at = p.control_at;
    vec4 sum = vec4(0.0);

    for (uint t = 0; t < p.n; t += LANES)
        sum += t + lane < p.n ? GET4(part, AT(p.part_at) + min(t + lane, p.n - 1)) : vec4(0.0);
    float norm = sqrt(row_sum(inside(sum)));
    bool go = finite(floatBitsToUint(norm)) && (p.watch == 0 || finite(control.at[at + 4]));
    if (lane == 0) {
        control.at[at] = floatBitsToUint(norm);
        control.at[at + 1] = floatBitsToUint(p.clip > 0.0 ? min(1.0, p.clip / (norm + 1e-6)) : 1.0);
        control.at[at + 2] = floatBitsToUint(go ? 1.0 : 0.0);
        control.at[at + 3] += go ? 0u : 1u;
    }
}
#endif

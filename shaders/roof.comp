// roof: what a device can do at most, for `tain bench` to compare with.
//
//   ARITHMETIC  v = v * other + add, over and over, for twelve numbers of each invocation: as many as
//               it takes that none waits for another, and few enough for the registers of any CPU. Each
//               is multiplied by another of them, or a compiler would finish one after the other. They
//               stay between 0 and 1.
//   READING     one subgroup for each CHUNK texels of x: part[chunk] = the sum of all
//
// The results are of no use; they are stored so that no compiler leaves the work out.
//
//! variants: ARITHMETIC READING
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#define V4
#include "lib/io.glsl"
#include "lib/row.glsl"

#ifdef ARITHMETIC
layout(push_constant) uniform Push { uint y_at, turns; float add; } p;
OUT1(0, y);

void main()
{
    uint i = flat_index();
    vec4 a = vec4(1.0 / float(i + 2)), b = a * 0.75, c = a * 0.5, add = vec4(p.add);

    for (uint t = 0; t < p.turns; t++)
        [[unroll]] for (uint u = 0; u < 64; u++) {
            vec4 d = fma(a, b.yzwx, add), e = fma(b, c.yzwx, add);
            c = fma(c, a.yzwx, add);
            a = d;
            b = e;
        }
    y.at[p.y_at + i] = inside(a + b + c);
}
#endif

#ifdef READING
layout(constant_id = 2) const uint CHUNK = 4096; // a multiple of 8 * LANES
layout(push_constant) uniform Push { uint x_at, part_at, chunks; } p;
IN4(0, x);
OUT1(1, part);

void main()
{
    uint row = row_index(), lane = gl_SubgroupInvocationID;
    vec4 sum = vec4(0.0);

    if (row >= p.chunks)
        return;
    for (uint t = 0; t < CHUNK; t += 8 * LANES)
        [[unroll]] for (uint u = 0; u < 8; u++)
            sum += GET4(x, AT(p.x_at) + row * CHUNK + t + u * LANES + lane);
    float all = row_sum(inside(sum));
    if (lane == 0)
        part.at[p.part_at + row] = all;
}
#endif

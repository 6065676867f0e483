// spread: rows of a cache that was filled for rows which differ, to all the rows that are one of them.
// In texels, whatever is stored in them.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/io.glsl"

// From [.., pitch], of which `row` are taken, to [rows, to_pitch]. The grid's y is the row.
layout(push_constant) uniform Push { uint from_at, which_at, to_at, row, pitch, to_pitch; } p;

IN4U(0, from);
IN1U(1, which);
OUT4U(2, to);

void main()
{
    uint c = gl_GlobalInvocationID.x, r = gl_WorkGroupID.y;

    IDLE(c >= p.row);
    uvec4 v = GET4U(from, (p.from_at >> 2) + GET1U(which, p.which_at + r) * p.pitch + c);
    SET4U(to, (p.to_at >> 2) + r * p.to_pitch + c, c < p.row, v);
}

// spread: rows of a cache that was filled for rows which differ, to all the rows that are one of them.
// In texels, whatever is stored in them.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/io.glsl"

// from [.., pitch], of which `row` are taken; to [rows, to_pitch].
layout(push_constant) uniform Push { uint from_at, which_at, to_at, n, row, pitch, to_pitch; } p;

IN4U(0, from);
IN1U(1, which);
OUT4U(2, to);

void main()
{
    uint i = flat_index(); // of [rows, row]
    if (i >= p.n)
        return;
    uint r = i / p.row, c = i % p.row;
    to.at[(p.to_at >> 2) + r * p.to_pitch + c] = GET4U(from, (p.from_at >> 2) + GET1U(which, p.which_at + r) * p.pitch + c);
}

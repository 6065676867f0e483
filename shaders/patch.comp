// patch: [B, H, W, C] into [B, H/P * W/P, C * P * P], each patch in the order channel, row, column.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/io.glsl"

layout(constant_id = 2) const uint P = 1;
layout(constant_id = 3) const uint C = 3;
layout(push_constant) uniform Push { uint x_at, y_at, n, high, wide; } p; // high, wide: in patches

IN1(0, x);
OUT1(1, y);

void main()
{
    uint i = flat_index();
    if (i >= p.n)
        return;
    uint column = i % P, row = i / P % P, c = i / (P * P) % C, piece = i / (P * P * C);
    uint line = piece / p.wide; // of patches, over the whole batch
    y.at[p.y_at + i] = GET1(x, p.x_at + (((line * P + row) * p.wide + piece - line * p.wide) * P + column) * C + c);
}

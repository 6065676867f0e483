// pad: [n, rows, columns] into [n, to_rows, to_columns], filled up with zeros or cut off.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/io.glsl"

layout(constant_id = 2) const uint ADD = 0;
layout(push_constant) uniform Push { uint x_at, y_at, n, rows, columns, to_rows, to_columns; } p;

IN1(0, x);
OUT1(1, y);

void main()
{
    uint i = flat_index();
    if (i >= p.n)
        return;
    uint line = i / p.to_columns, column = i - line * p.to_columns, k = line / p.to_rows, row = line - k * p.to_rows;
    bool inside = row < p.rows && column < p.columns;
    float v = inside ? GET1(x, p.x_at + (k * p.rows + row) * p.columns + column) : 0.0;
    if (ADD != 0)
        v += y.at[p.y_at + i];
    y.at[p.y_at + i] = v;
}

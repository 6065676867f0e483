// softmax along rows: y = exp(x - max) / sum, or (LOG) y = x - max - log(sum). One subgroup a row.
//
// Backward, from y: dx = y * (dy - sum(dy * y)), or (LOG) dx = dy - exp(y) * sum(dy).
//
//! variants: FORWARD BACKWARD
//! variants: V4 V1
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "lib/io.glsl"
#include "lib/row.glsl"

layout(constant_id = 2) const uint LOG = 0;
layout(constant_id = 3) const uint ADD = 0;

// last: the row's length in units of NUM; steps: that divided by LANES, upwards.
#ifdef FORWARD
layout(push_constant) uniform Push { uint x_at, y_at, rows, last, steps; } p;
IN(0, x);
OUT(1, y);
#else
layout(push_constant) uniform Push { uint y_at, dy_at, dx_at, rows, last, steps; } p;
IN(0, y);
IN(1, dy);
OUT(2, dx);
#endif

void main()
{
    uint row = row_index();
    if (row >= p.rows)
        return;
    uint lane = gl_SubgroupInvocationID, at = row * p.last;
#ifdef FORWARD
    NUM most = GET(x, AT(p.x_at) + at + min(lane, p.last - 1));
    for (uint s = 1; s < p.steps; s++)
        most = max(most, GET(x, AT(p.x_at) + at + min(s * LANES + lane, p.last - 1)));
#ifdef V4
    float top = row_max(max(max(most.x, most.y), max(most.z, most.w)));
#else
    float top = row_max(most);
#endif
    NUM sum = NUM(0.0);
    for (uint s = 0; s < p.steps; s++) {
        uint i = s * LANES + lane;
        NUM e = exp(GET(x, AT(p.x_at) + at + min(i, p.last - 1)) - top);
        sum += i < p.last ? e : NUM(0.0);
    }
    float total = row_sum(inside(sum));
    float factor = 1.0 / total, less = top + log(total);
    for (uint s = 0; s < p.steps; s++) {
        uint i = s * LANES + lane;
        NUM v = GET(x, AT(p.x_at) + at + min(i, p.last - 1));
        v = LOG != 0 ? v - less : exp(v - top) * factor;
        SET(y, AT(p.y_at) + at + i, i < p.last, v);
    }
#else
    NUM sum = NUM(0.0);
    for (uint s = 0; s < p.steps; s++) {
        uint i = s * LANES + lane, k = at + min(i, p.last - 1);
        NUM g = GET(dy, AT(p.dy_at) + k);
        if (LOG == 0)
            g *= GET(y, AT(p.y_at) + k);
        sum += i < p.last ? g : NUM(0.0);
    }
    float total = row_sum(inside(sum));
    for (uint s = 0; s < p.steps; s++) {
        uint i = s * LANES + lane, k = at + min(i, p.last - 1);
        NUM v = GET(y, AT(p.y_at) + k), g = GET(dy, AT(p.dy_at) + k);
        g = LOG != 0 ? g - exp(v) * total : v * (g - total);
        if (ADD != 0 && i < p.last)
            g += dx.at[AT(p.dx_at) + at + i];
        SET(dx, AT(p.dx_at) + at + i, i < p.last, g);
    }
#endif
}

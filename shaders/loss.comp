// loss: the log-probability of one target a row, out = x[target] - lse, where lse is the logarithm of
// the sum of exp over the row. One subgroup a row.
//
// Backward: dx = dout * ([i == target] - exp(x - lse)). dx may lie where x lies: every element is
// read and written by one invocation, in this order.
//
// A target of -100 gives 0, and no gradient; any other outside of the row gives not-a-number.
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

layout(constant_id = 2) const uint ADD = 0;

const uint IGNORED = uint(-100);

// last: the row's length in units of NUM; steps: that divided by LANES, upwards.
#ifdef FORWARD
layout(push_constant) uniform Push { uint x_at, target_at, y_at, lse_at, rows, last, steps; } p;
IN(0, x);
IN1U(1, target);
OUT1(2, y);
OUT1(3, lse);
#else
layout(push_constant) uniform Push { uint x_at, target_at, dy_at, lse_at, dx_at, rows, last, steps; } p;
IN(0, x);
IN1U(1, target);
IN1(2, dy);
IN1(3, lse);
OUT(4, dx);
#endif

#ifdef V4
const uint SIZE = 4;
NUM onehot(uint i, uint k) { return vec4(equal(uvec4(i * 4) + uvec4(0, 1, 2, 3), uvec4(k))); }
float one_of(vec4 v, uint i) { return i < 2 ? (i == 0 ? v.x : v.y) : (i == 2 ? v.z : v.w); }
#else
const uint SIZE = 1;
NUM onehot(uint i, uint k) { return i == k ? 1.0 : 0.0; }
float one_of(float v, uint i) { return v; }
#endif

void main()
{
    uint row = row_index();
    if (row >= p.rows)
        return;
    uint lane = gl_SubgroupInvocationID, at = row * p.last, k = GET1U(target, p.target_at + row);
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
    float rest = log(row_sum(inside(sum)));
    float v = one_of(GET(x, AT(p.x_at) + at + min(k / SIZE, p.last - 1)), k % SIZE) - top - rest;
    v = k == IGNORED ? 0.0 : k < p.last * SIZE ? v : uintBitsToFloat(0x7fc00000u);
    if (lane == 0) {
        y.at[p.y_at + row] = v;
        lse.at[p.lse_at + row] = top + rest;
    }
#else
    float g = GET1(dy, p.dy_at + row), less = GET1(lse, p.lse_at + row);
    g = k == IGNORED ? 0.0 : k < p.last * SIZE ? g : uintBitsToFloat(0x7fc00000u);
    for (uint s = 0; s < p.steps; s++) {
        uint i = s * LANES + lane;
        NUM v = GET(x, AT(p.x_at) + at + min(i, p.last - 1));
        v = g == 0.0 ? NUM(0.0) : g * (onehot(i, k) - exp(v - less));
        if (ADD != 0 && i < p.last)
            v += dx.at[AT(p.dx_at) + at + i];
        SET(dx, AT(p.dx_at) + at + i, i < p.last, v);
    }
#endif
}

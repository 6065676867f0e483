// adamw: m, v and the parameter in one pass over one run of memory.
//
//     m = m + (1 - beta1) (g - m)        v = beta2 v + (1 - beta2) g g
//     p = keep p - step m / (sqrt(v) root + eps)
//
// with g the gradient times the clip factor, keep = 1 - lr decay, step = lr / (1 - beta1^t) and
// root = 1 / sqrt(1 - beta2^t). `control` holds norm, factor, whether to go at all (shaders/sumsq).
//
// A run may have gaps that belong to nobody or to somebody else. There v is negative, and everything
// stays as it is. Parameter, m and v are bound twice, to be read the fast way.
#version 450
#extension GL_GOOGLE_include_directive : require
#define V4
#include "lib/io.glsl"

layout(push_constant) uniform Push {
    uint g_at, p_in_at, m_in_at, v_in_at, control_at, p_at, m_at, v_at;
    uint n; // in fours
    float beta1c, beta2, beta2c, keep, step, root, eps;
} p;

IN4(0, g);
IN4(1, param_in);
IN4(2, m_in);
IN4(3, v_in);
IN1(4, control);
OUT4(5, param);
OUT4(6, m);
OUT4(7, v);

void main()
{
    uint i = flat_index();
    bool on = i < p.n && GET1(control, p.control_at + 2) != 0.0;

    IDLE(!on);
    vec4 g1 = GET4(g, AT(p.g_at) + i) * GET1(control, p.control_at + 1);
    vec4 p0 = GET4(param_in, AT(p.p_in_at) + i), m0 = GET4(m_in, AT(p.m_in_at) + i), v0 = GET4(v_in, AT(p.v_in_at) + i);
    vec4 m1 = m0 + p.beta1c * (g1 - m0), v1 = p.beta2 * v0 + p.beta2c * g1 * g1;
    vec4 p1 = p.keep * p0 - p.step * m1 / (sqrt(max(v1, vec4(0.0))) * p.root + p.eps);
    bvec4 gap = lessThan(v0, vec4(0.0));
    SET4(param, AT(p.p_at) + i, on, mix(p1, p0, gap));
    SET4(m, AT(p.m_at) + i, on, mix(m1, m0, gap));
    SET4(v, AT(p.v_at) + i, on, mix(v1, v0, gap));
}

// unary: y = f(x), and dx = dy * f'(x). The function is a specialization constant; its numbers are
// the rows of the table in core/op/unary.c.
//
//! variants: FORWARD BACKWARD
//! variants: V4 V1
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/io.glsl"

layout(constant_id = 2) const uint FUNCTION = 0;
layout(constant_id = 3) const uint ADD = 0;

#ifdef FORWARD
layout(push_constant) uniform Push { uint x_at, y_at, n; float a; } p;
IN(0, x);
OUT(1, y);
#else
layout(push_constant) uniform Push { uint x_at, dy_at, dx_at, n; float a; } p;
IN(0, x);
IN(1, dy);
OUT(2, dx);
#endif

NUM sigmoid(NUM v) { return 1.0 / (1.0 + exp(-v)); }

// erf, absolute error below 1.5e-7: Abramowitz and Stegun 7.1.26.
NUM erf(NUM v)
{
    NUM x = abs(v);
    NUM t = 1.0 / (1.0 + 0.3275911 * x);
    NUM s = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    return sign(v) * (1.0 - s * exp(-x * x));
}

NUM gauss(NUM v) { return 0.3989422804 * exp(-0.5 * v * v); }
NUM tanh_arg(NUM v) { return 0.7978845608 * (v + 0.044715 * v * v * v); }

// tanh through exp keeps its relative precision near 0 where the driver's may not.
NUM safe_tanh(NUM v)
{
    NUM e = exp(-2.0 * abs(v));
    return sign(v) * (1.0 - e) / (1.0 + e);
}

// log(1 + exp(-|v|)) and the like
NUM logsigmoid(NUM v) { return min(v, NUM(0.0)) - log(1.0 + exp(-abs(v))); }

NUM f(NUM v)
{
    switch (FUNCTION) {
    case 0: return -v;
    case 1: return exp(v);
    case 2: return log(v);
    case 3: return sqrt(v);
    case 4: return 1.0 / sqrt(v);
    case 5: return abs(v);
    case 6: return v * v;
    case 7: return safe_tanh(v);
    case 8: return sigmoid(v);
    case 9: return logsigmoid(v);
    case 10: return max(v, NUM(0.0));
    case 11: return v * sigmoid(v);
    case 12: return 0.5 * v * (1.0 + erf(v * 0.7071067812));
    case 13: return 0.5 * v * (1.0 + safe_tanh(tanh_arg(v)));
    case 14: return v * p.a;
    case 15: return v + p.a;
    case 16: return max(v, NUM(p.a));
    case 17: return min(v, NUM(p.a));
    case 18: return max(v, NUM(0.0)) + log(1.0 + exp(-abs(v)));
    case 19: return sin(v);
    case 20: return cos(v);
    case 21: return 1.0 / v;
    case 22: return v * sigmoid(1.702 * v);
    }
    return v;
}

#ifdef BACKWARD
NUM slope(NUM v)
{
    NUM s;
    switch (FUNCTION) {
    case 0: return NUM(-1.0);
    case 1: return exp(v);
    case 2: return 1.0 / v;
    case 3: return 0.5 / sqrt(v);
    case 4: return -0.5 / (v * sqrt(v));
    case 5: return sign(v);
    case 6: return 2.0 * v;
    case 7: s = safe_tanh(v); return 1.0 - s * s;
    case 8: s = sigmoid(v); return s * (1.0 - s);
    case 9: return sigmoid(-v);
    case 10: return step(NUM(1e-45), v);
    case 11: s = sigmoid(v); return s + v * s * (1.0 - s);
    case 12: return 0.5 * (1.0 + erf(v * 0.7071067812)) + v * gauss(v);
    case 13: s = safe_tanh(tanh_arg(v));
             return 0.5 * (1.0 + s) + 0.5 * v * (1.0 - s * s) * 0.7978845608 * (1.0 + 0.134145 * v * v);
    case 14: return NUM(p.a);
    case 15: return NUM(1.0);
    case 16: return step(NUM(p.a), v);
    case 17: return step(v, NUM(p.a));
    case 18: return sigmoid(v);
    case 19: return cos(v);
    case 20: return -sin(v);
    case 21: return -1.0 / (v * v);
    case 22: s = sigmoid(1.702 * v); return s + v * 1.702 * s * (1.0 - s);
    }
    return NUM(1.0);
}
#endif

void main()
{
    uint i = flat_index();
    IDLE(i >= p.n);
#ifdef FORWARD
    SET(y, AT(p.y_at) + i, i < p.n, f(GET(x, AT(p.x_at) + i)));
#else
    NUM g = GET(dy, AT(p.dy_at) + i) * slope(GET(x, AT(p.x_at) + i));
    if (ADD != 0 && i < p.n)
        g += dx.at[AT(p.dx_at) + i];
    SET(dx, AT(p.dx_at) + i, i < p.n, g);
#endif
}

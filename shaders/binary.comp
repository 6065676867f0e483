// binary: functions of one, two or three numbers with broadcasting. Inputs have strides, slowest
// dimension first and aligned to the right; a stride of 0 repeats. The output is dense.
//
// In V4 sizes and strides of the last dimension count texels; an input whose bit of SPLAT is set
// repeats along it, so its strides count floats and one float is spread over the four.
//
//! variants: ONE TWO THREE
//! variants: V4 V1
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "lib/io.glsl"

layout(constant_id = 2) const uint FUNCTION = 0;
layout(constant_id = 3) const uint ADD = 0;
layout(constant_id = 4) const uint DIMS = 1;
layout(constant_id = 5) const uint SPLAT = 0;

#ifdef ONE
layout(push_constant) uniform Push { uint x_at, out_at, n; float a; uint size[6], xs[6]; } p;
IN(0, x);
OUT(1, to);
#endif
#ifdef TWO
layout(push_constant) uniform Push { uint x_at, y_at, out_at, n; float a; uint size[6], xs[6], ys[6]; } p;
IN(0, x);
IN(1, y);
OUT(2, to);
#endif
#ifdef THREE
layout(push_constant) uniform Push { uint x_at, y_at, z_at, out_at, n; float a; uint size[6], xs[6], ys[6], zs[6]; } p;
IN(0, x);
IN(1, y);
IN(2, z);
OUT(3, to);
#endif

#ifdef V4
float one_of(vec4 v, uint i) { return i < 2 ? (i == 0 ? v.x : v.y) : (i == 2 ? v.z : v.w); }
#define FETCH(name, bit, at, i) \
    ((SPLAT & bit) != 0 ? vec4(one_of(GET(name, ((at) + (i)) >> 2), ((at) + (i)) & 3)) : GET(name, AT(at) + (i)))
#define PICK(c, u, v) mix(v, u, c)
#define LESS(u, v) lessThan(u, v)
#define SAME(u, v) equal(u, v)
#else
#define FETCH(name, bit, at, i) GET(name, (at) + (i))
#define PICK(c, u, v) ((c) ? (u) : (v))
#define LESS(u, v) ((u) < (v))
#define SAME(u, v) ((u) == (v))
#endif

// The numbers are those of enum elementwise in core/op/elementwise.h.
#ifdef ONE
NUM f(NUM u) { return u * p.a; }
#endif
#ifdef TWO
NUM f(NUM u, NUM v)
{
    switch (FUNCTION) {
    case 1: return u + v;
    case 2: return u - v;
    case 3: return u * v;
    case 4: return u / v;
    case 5: return PICK(LESS(u, v), v, u);
    case 6: return PICK(LESS(v, u), v, u);
    case 7: return PICK(LESS(v, u), NUM(1.0), NUM(0.0));
    case 8: return PICK(LESS(v, u), NUM(1.0), PICK(SAME(u, v), NUM(1.0), NUM(0.0)));
    case 9: return PICK(LESS(u, v), NUM(1.0), NUM(0.0));
    case 10: return PICK(LESS(u, v), NUM(1.0), PICK(SAME(u, v), NUM(1.0), NUM(0.0)));
    case 11: return PICK(SAME(u, v), NUM(1.0), NUM(0.0));
    case 12: return PICK(SAME(u, NUM(0.0)), NUM(0.0), v);
    case 13: return PICK(SAME(u, NUM(0.0)), v, NUM(0.0));
    }
    return u;
}
#endif
#ifdef THREE
NUM f(NUM u, NUM v, NUM w)
{
    switch (FUNCTION) {
    case 20: return PICK(SAME(u, NUM(0.0)), w, v);
    case 21: return -u * v / (w * w);
    case 22: return PICK(LESS(v, w), NUM(0.0), u);
    case 23: return PICK(LESS(v, w), u, NUM(0.0));
    }
    return u;
}
#endif

void main()
{
    uint i = flat_index();
    IDLE(i >= p.n);
    uint rest = i, xi = 0;
#ifndef ONE
    uint yi = 0;
#endif
#ifdef THREE
    uint zi = 0;
#endif
    [[unroll]] for (int d = 5; d >= 0; d--) {
        if (uint(d) + DIMS >= 6) {
            uint q = uint(d) + DIMS == 6 ? 0 : rest / p.size[d];
            uint k = rest - q * p.size[d];
            xi += k * p.xs[d];
#ifndef ONE
            yi += k * p.ys[d];
#endif
#ifdef THREE
            zi += k * p.zs[d];
#endif
            rest = q;
        }
    }
    NUM v = f(FETCH(x, 1, p.x_at, xi)
#ifndef ONE
              , FETCH(y, 2, p.y_at, yi)
#endif
#ifdef THREE
              , FETCH(z, 4, p.z_at, zi)
#endif
             );
    if (ADD != 0)
        v += to.at[AT(p.out_at) + i];
    SET(to, AT(p.out_at) + i, i < p.n, v);
}

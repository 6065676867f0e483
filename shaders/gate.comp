// gate: y = silu(gate) * up, and both gradients. The rows of gate and up may lie apart, as the two
// halves of one tensor do; y is dense.
//
//! variants: FORWARD BACKWARD
//! variants: V4 V1
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/io.glsl"
#include "lib/exp.glsl"

layout(constant_id = 2) const uint ROW = 0; // of y, in units of NUM; 0: all in one row

#ifdef FORWARD
layout(push_constant) uniform Push { uint gate_at, up_at, y_at, n, gate_pitch, up_pitch; } p;
IN(0, gate);
IN(1, up);
OUT(2, y);
#else
layout(constant_id = 3) const uint WANT_GATE = 1;
layout(constant_id = 4) const uint WANT_UP = 1;
layout(constant_id = 5) const uint ADD_GATE = 0;
layout(constant_id = 6) const uint ADD_UP = 0;
layout(push_constant) uniform Push {
    uint gate_at, up_at, dy_at, dgate_at, dup_at, n, gate_pitch, up_pitch, dgate_pitch, dup_pitch;
} p;
IN(0, gate);
IN(1, up);
IN(2, dy);
OUT(3, dgate);
OUT(4, dup);
#endif

void main()
{
    uint i = flat_index(), row = ROW == 0 ? 0 : i / max(ROW, 1), at = i - row * ROW;

    IDLE(i >= p.n);
    NUM g = GET(gate, AT(p.gate_at) + row * p.gate_pitch + at), u = GET(up, AT(p.up_at) + row * p.up_pitch + at);
    NUM s = 1.0 / (1.0 + exp_fast(-g));
#ifdef FORWARD
    SET(y, AT(p.y_at) + i, i < p.n, g * s * u);
#else
    NUM d = GET(dy, AT(p.dy_at) + i);
    if (WANT_GATE != 0) {
        uint k = AT(p.dgate_at) + row * p.dgate_pitch + at;
        NUM v = d * u * (s + g * s * (1.0 - s));
        if (ADD_GATE != 0)
            v += dgate.at[k];
        SET(dgate, k, i < p.n, v);
    }
    if (WANT_UP != 0) {
        uint k = AT(p.dup_at) + row * p.dup_pitch + at;
        NUM v = d * g * s;
        if (ADD_UP != 0)
            v += dup.at[k];
        SET(dup, k, i < p.n, v);
    }
#endif
}

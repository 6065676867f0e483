// upsample: every pixel of [B, H, W, C] twice in both directions; backward sums the four.
//
//! variants: FORWARD BACKWARD
//! variants: V4 V1
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/io.glsl"

layout(constant_id = 2) const uint N = 1; // channels, in units of NUM
layout(constant_id = 3) const uint ADD = 0;
layout(push_constant) uniform Push { uint x_at, y_at, n, wide; } p; // wide: of the small image

IN(0, x);
OUT(1, y);

// One invocation for an element of the small image. Its row is known from the pixel alone, since the
// large image has twice as many rows of twice the width.
void main()
{
    uint i = flat_index();
    IDLE(i >= p.n);
    uint pixel = i / N, c = i - pixel * N, line = pixel / p.wide, column = pixel - line * p.wide;
    uint a = (4 * line * p.wide + 2 * column) * N + c, b = a + 2 * p.wide * N;
#ifdef FORWARD
    NUM v = GET(x, AT(p.x_at) + i);
    bool on = i < p.n;
    SET(y, AT(p.y_at) + a, on, v);
    SET(y, AT(p.y_at) + a + N, on, v);
    SET(y, AT(p.y_at) + b, on, v);
    SET(y, AT(p.y_at) + b + N, on, v);
#else
    a += AT(p.x_at);
    b += AT(p.x_at);
    NUM v = (GET(x, a) + GET(x, a + N)) + (GET(x, b) + GET(x, b + N));
    if (ADD != 0)
        v += y.at[AT(p.y_at) + i];
    SET(y, AT(p.y_at) + i, i < p.n, v);
#endif
}

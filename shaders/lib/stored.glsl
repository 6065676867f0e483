// How a matrix B in 32 or 16 bits is read: binding 1, Push's b_at and b_batch.

#if defined(B_F32)
IN(1, B);
#else
#ifdef READ_TEXEL
IN4U(1, B); // a view of single words reaches a quarter as far
#else
IN1U(1, B);
#endif
#include "halves.glsl"
#endif

// Where B, or the one of it that belongs to this batch, starts, in elements.
uint b_start(uint batch)
{
#ifdef B_F32
    return p.b_at + batch * p.b_batch;
#else
    return p.b_at * 2 + batch * p.b_batch;
#endif
}

// B from element i on, which is a multiple of four where four are read: as it is stored, and as numbers.
#ifdef B_F32
#define STORED NUM
STORED b_stored(uint i) { return GET(B, AT(i)); }
NUM b_number(STORED v, uint i) { return v; }
#elif defined(V4)
#define STORED uvec2
#ifdef READ_TEXEL
STORED b_stored(uint i)
{
    uvec4 v = GET4U(B, i >> 3);
    return (i & 4u) != 0u ? v.zw : v.xy;
}
#else
STORED b_stored(uint i) { return uvec2(GET1U(B, i >> 1), GET1U(B, (i >> 1) + 1)); }
#endif
NUM b_number(STORED v, uint i) { return vec4(halves(v.x), halves(v.y)); }
#else
#define STORED uint
#ifdef READ_TEXEL
STORED b_stored(uint i) { return GET4U(B, i >> 3)[i >> 1 & 3u]; }
#else
STORED b_stored(uint i) { return GET1U(B, i >> 1); }
#endif
NUM b_number(STORED v, uint i) { return (i & 1u) != 0u ? halves(v).y : halves(v).x; }
#endif

NUM b_read(uint i)
{
    return b_number(b_stored(i), i);
}

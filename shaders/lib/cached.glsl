// Keys and values as they are stored: FOURS fours of numbers in a texel, one in f32, two in 16 bits
// (B_F16, B_BF16). Of a row that PARTS lanes own between them, each owns every PARTS-th such texel.
// SET_CACHED is SET4 of a texel; AS_CACHED rounds what is at hand as it will be read from there.
#if defined(B_F16) || defined(B_BF16)
#include "lib/halves.glsl"
const uint FOURS = 2;
#define IN_CACHED(slot, name) IN4U(slot, name)
#define GET_CACHED(to, c, name, i) \
    { \
        uvec4 texel = GET4U(name, i); \
        to[c] = vec4(halves(texel.x), halves(texel.y)); \
        to[(c) + 1] = vec4(halves(texel.z), halves(texel.w)); \
    }
#define OUT_CACHED(slot, name) OUT4U(slot, name)
#define SET_CACHED(name, i, on, from) \
    SET4U(name, i, on, uvec4(halve(from[0].xy), halve(from[0].zw), halve(from[1].xy), halve(from[1].zw)));
#define AS_CACHED(r) \
    r[0] = vec4(halves(halve(r[0].xy)), halves(halve(r[0].zw))); \
    r[1] = vec4(halves(halve(r[1].xy)), halves(halve(r[1].zw)));
#else
const uint FOURS = 1;
#define IN_CACHED(slot, name) IN4(slot, name)
#define GET_CACHED(to, c, name, i) { to[c] = GET4(name, i); }
#define OUT_CACHED(slot, name) OUT4(slot, name)
#define SET_CACHED(name, i, on, from) SET4(name, i, on, from[0]);
#define AS_CACHED(r)
#endif

// Where in a row of f32 the c-th four of lane `part` lies.
uint four(uint c, uint part) { return (c / FOURS * PARTS + part) * FOURS + c % FOURS; }

// Two numbers of 16 bits in a word, the first in the low half: bf16 if BF16, else f16. BF16 is a constant
// of the shader, or comes with its variants B_F16 and B_BF16.
#if defined(B_BF16)
#define BF16 1
#elif defined(B_F16)
#define BF16 0
#endif

vec2 halves(uint w)
{
    return BF16 != 0 ? uintBitsToFloat(uvec2(w << 16, w & 0xffff0000u)) : unpackHalf2x16(w);
}

// Rounds to nearest even: bf16 here, f16 by the driver.
uint halve(vec2 v)
{
    if (BF16 == 0)
        return packHalf2x16(v);
    uvec2 u = floatBitsToUint(v);
    uvec2 r = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    r = mix(r, uvec2(0x7fc0u), isnan(v));
    return r.x | r.y << 16;
}

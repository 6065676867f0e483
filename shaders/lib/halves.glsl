// Two numbers of 16 bits in a word, for variants B_F16 and B_BF16.

vec2 halves(uint w)
{
#ifdef B_BF16
    return uintBitsToFloat(uvec2(w << 16, w & 0xffff0000u));
#else
    return unpackHalf2x16(w);
#endif
}

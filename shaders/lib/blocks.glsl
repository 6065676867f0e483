// Matrices in blocks (core/tensor/blocks.c), for variants B_INT8 and B_INT4.

#ifdef B_INT8
const uint WORD = 2; // numbers of a word, as a power of two
#else
const uint WORD = 3;
#endif

// The scales of four rows, in the block that holds column k.
vec4 block_scales(uvec4 t, uint k)
{
    t >>= (k >> 5 & 1u) * 16u;
    return vec4(unpackHalf2x16(t.x).x, unpackHalf2x16(t.y).x, unpackHalf2x16(t.z).x, unpackHalf2x16(t.w).x);
}

// The numbers of columns k to k + 3 of one row; k is a multiple of four.
vec4 block_row(uint w, uint k)
{
#ifdef B_INT8
    return vec4(ivec4(w << 24, w << 16, w << 8, w) >> 24);
#else
    w >>= (k & 4u) * 4u;
    return vec4(ivec4(w << 28, w << 24, w << 20, w << 16) >> 28);
#endif
}

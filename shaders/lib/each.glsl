// Stores that name their place for each lane.
//
// The CPU driver stores in a loop over the lanes, but for addresses that it knows to be the same in all of them: then
// it writes one lane's number, for a sixth of the price of a turn. It knows so only of what is made of constants and
// push constants. So where that pays (the shader has a constant ALIKE) what depends on the workgroup is looked up digit
// by digit in a push constant that is a table of digits: alike(x) is x, which must not depend on the lane.
//
// SET4_EACH(name, j, on_row, row, on_column, column, v) writes what lane j has of v to texel row + column, if both are
// on. All four may depend on j and on whatever is alike, and there is a store for each of the lanes. Where it does not
// pay j is the lane's own number, and the store is SET4. SET2_EACH is of pairs.
//
// Push has DIGITS as its last member. No return before the store and no branch or loop around it: there nothing is
// known to be alike.
//
// Include lib/io.glsl first; the shader enables GL_KHR_shader_subgroup_shuffle.

#ifdef READ_TEXEL
#extension GL_EXT_shader_subgroup_extended_types_int64 : require

#define DIGITS layout(offset = 112) uint digits[4];
#define DIGIT_(x, n) p.digits[(x) >> 2 * (n) & 3u] << 2 * (n)
#define alike(x) \
    (ALIKE ? DIGIT_(x, 0) | DIGIT_(x, 1) | DIGIT_(x, 2) | DIGIT_(x, 3) | DIGIT_(x, 4) | DIGIT_(x, 5) | DIGIT_(x, 6) | \
                 DIGIT_(x, 7) : (x))

// The address, in units of 16 >> n bytes. What a row or a column is that is off is past the end of every buffer, and
// so is the sum of both, which no address wraps. (A function evaluates what is read from push constants; in an arm of
// ?: it would be a branch.)
uint place_(bool on_row, uint row, bool on_column, uint column, uint n)
{
    return (on_row ? row : 0x07fffff0u << n) + (on_column ? column : 0x08000000u << n);
}

#define SET4_EACH(name, j, on_row, row, on_column, column, v) \
    if (ALIKE) { \
        u64vec2 each_ = packed_(v); \
        [[unroll]] for (uint j = 0; j < LANES; j++) \
            wide_##name.at[place_(on_row, row, on_column, column, 0)] = \
                u64vec2(subgroupShuffle(each_.x, j), subgroupShuffle(each_.y, j)); \
    } else { \
        uint j = gl_SubgroupInvocationID; \
        SET4(name, (row) + (column), (on_row) && (on_column), v); \
    }
#define SET2_EACH(name, j, on_row, row, on_column, column, v) \
    if (ALIKE) { \
        uint64_t each_ = packUint2x32(floatBitsToUint(v)); \
        [[unroll]] for (uint j = 0; j < LANES; j++) \
            pair_##name.at[place_(on_row, row, on_column, column, 1)] = subgroupShuffle(each_, j); \
    } else { \
        uint j = gl_SubgroupInvocationID; \
        SET2(name, (row) + (column), (on_row) && (on_column), v); \
    }
#else
#define DIGITS
#define alike(x) (x)
#define SET_EACH_(store, name, j, on_row, row, on_column, column, v) \
    { \
        uint j = gl_SubgroupInvocationID; \
        store(name, (row) + (column), (on_row) && (on_column), v); \
    }
#define SET4_EACH(name, j, on_row, row, on_column, column, v) SET_EACH_(SET4, name, j, on_row, row, on_column, column, v)
#define SET2_EACH(name, j, on_row, row, on_column, column, v) SET_EACH_(SET2, name, j, on_row, row, on_column, column, v)
#endif

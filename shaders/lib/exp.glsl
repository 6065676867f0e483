// exp(x) for x up to 88, within 1e-7 + 2e-8 |x| of it where fma is one; below -87 it stays at exp(-87), which is next to nothing.
// CPUs have no instruction for it, and what their driver makes of exp() takes twice as long, since it asks for infinities and
// for what is no number, and is off by ten times as much.
//
// The two products of x are by different numbers, so that one of them is always part of an fma: every kernel gets the same bits.

#ifdef READ_TEXEL
#define EXP_FAST_(FLOAT, INT) \
    FLOAT exp_fast(FLOAT x) \
    { \
        x = clamp(x, FLOAT(-87.0), FLOAT(88.0)); \
        FLOAT n = roundEven(x * 1.4426951), f = x * 1.44269504 - n; \
        FLOAT p = FLOAT(0.00015345758583862334); \
        p = p * f + 0.0013399930903688073; \
        p = p * f + 0.009618489071726799; \
        p = p * f + 0.05550328642129898; \
        p = p * f + 0.24022646248340607; \
        p = p * f + 0.6931471824645996; \
        p = p * f + 1.0; /* 2^f for f from -0.5 to 0.5 */ \
        return intBitsToFloat(floatBitsToInt(p) + (INT(n) << 23)); \
    }
#else
#define EXP_FAST_(FLOAT, INT) FLOAT exp_fast(FLOAT x) { return exp(x); }
#endif
EXP_FAST_(float, int)
EXP_FAST_(vec2, ivec2)
EXP_FAST_(vec4, ivec4)

// Tiles of sums that a processor has registers for: TM rows by TN vectors of LANES columns.

layout(constant_id = 2) const uint TM = 6;
layout(constant_id = 3) const uint TN = 2;
const uint W = TN * LANES;

// acc[r][q] += A[a_from[r] + k * a_step] * B[b_from + k * b_step + q * LANES] for all k < K. Of A all lanes read the same number,
// of B they read side by side: with the passes of core/lavapipe a turn is TN reads, TM reads into all lanes, the products, and
// three instructions to count (strides.c there). Without them it is a good deal more.
#define MULTIPLY(acc, A, a_from, a_step, B, b_from, b_step, K) \
    for (uint k_ = 0; k_ < (K); k_++) { \
        float b_[TN]; \
        [[unroll]] for (uint c_ = 0; c_ < TN; c_++) \
            b_[c_] = GET1(B, (b_from) + k_ * (b_step) + c_ * LANES); \
        [[unroll]] for (uint r_ = 0; r_ < TM; r_++) { \
            float a_ = GET1(A, a_from[r_] + k_ * (a_step)); \
            [[unroll]] for (uint c_ = 0; c_ < TN; c_++) \
                acc[r_][c_] += a_ * b_[c_]; \
        } \
    }

#define CLEAR(acc) \
    [[unroll]] for (uint r_ = 0; r_ < TM; r_++) \
        [[unroll]] for (uint c_ = 0; c_ < TN; c_++) \
            acc[r_][c_] = 0.0;

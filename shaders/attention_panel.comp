// attention_panel: what attention.comp makes, for CPUs: all of it by tiles whose sums are in registers (lib/tile.glsl).
//
//   FORWARD  a tile's rows are queries: scores against all keys, the exponentials of them, and with those the sums of v.
//   DELTA    dy.y of every query, for DKV.
//   DKV      a tile's rows are keys, its columns queries: p = exp(s - lse), ds = p (dy.v - delta), dv = p dy, dk = ds q.
//   DQ       a tile's rows are queries: dq = ds k, with what DKV has left of ds.
//
// What products are with lies in `work` in panels (panel.comp): of tokens for scores, of a head's numbers for the rest. Behind
// it there lie the scores of a tile's rows, or what is made of them, this workgroup's own: as long as a row is, they are still in
// a cache when they are read. DKV's lie turned round (in_tile()), since lanes write four numbers each at less cost than one four
// times. For DQ it leaves ds in panels of queries, what belongs to a key side by side: number (i / W * p.range + j) * W + i % W
// is query i's and key j's, of the keys that a dispatch is about.
//
// A workgroup is one subgroup and makes p.down tiles of a head, one after the other. The rest is as in attention.comp.
//
//! variants: FORWARD DELTA DKV DQ
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "lib/io.glsl"
#include "lib/tile.glsl"
#include "lib/exp.glsl"
#include "lib/row.glsl"

layout(constant_id = 4) const uint RULES = 0;
layout(constant_id = 5) const uint ADD = 0; // bit 0 to the first output, bit 1 to the second
layout(constant_id = 6) const uint LSE = 0; // FORWARD: keep log sum exp
layout(constant_id = 7) const bool EDGE = true; // a head is no whole number of panels

// Strides in numbers: of a token, of a head, of a batch row. v's are k's, and y's are dy's.
layout(push_constant) uniform Push {
#if defined(FORWARD)
    uint q_at, rule_at, work_at, to_work_at, y_at, lse_at;
    uint q_t, q_h, q_b, y_t, y_h, y_b;
#elif defined(DELTA)
    uint dy_at, y_at, stat_at;
    uint y_t, y_h, y_b;
#elif defined(DKV)
    uint k_at, v_at, rule_at, work_at, to_work_at, stat_at, dk_at, dv_at, to_dk_at, to_dv_at;
    uint k_t, k_h, k_b, d_t, d_h, d_b;
#else
    uint work_at, dq_at, to_dq_at;
    uint d_t, d_h, d_b;
#endif
    uint queries, keys, heads, group; // group: query heads that share a key head, and the batch rows above
    uint past;                        // queries start this far behind the first key
    float scale;
    uint size, down;
    uint row, head, some;   // where this dispatch begins, and how many key heads of a batch row it is about
    uint scores, ds;        // where they begin in work
    uint first, range;      // keys that ds is about
} p;

#ifdef READ_TEXEL
#define OWN1(slot, name) layout(binding = slot, r32f) coherent uniform imageBuffer name
#define TO_OWN4(slot, name) layout(binding = slot, std430) coherent buffer Wide_##name { u64vec2 at[]; } wide_##name
#else
#define TO_OWN4(slot, name) coherent OUT4(slot, name)
#define OWN1(slot, name) layout(binding = slot, std430) coherent buffer In_##name { float at[]; } name
#endif
#if defined(FORWARD)
IN1(0, q);
IN1U(1, rule); // [B, keys] segments, then [B, queries] packed (reach, segment)
OWN1(2, work);
coherent OUT1(3, to_work);
OUT1(4, y);
OUT1(5, lse);
#elif defined(DELTA)
IN1(0, dy);
IN1(1, y);
OUT1(2, stat); // [2][B, H, T]: lse, then delta
#elif defined(DKV)
IN1(0, k);
IN1(1, v);
IN1U(2, rule);
OWN1(3, work);
TO_OWN4(4, to_work);
coherent OUT2(4, to_work);
OUT1(4, to_panels);
IN1(5, stat);
IN1(6, dk);
IN1(7, dv);
OUT1(8, to_dk);
OUT1(9, to_dv);
#else
IN1(0, work);
IN1(1, dq);
OUT1(2, to_dq);
#endif
#if defined(FORWARD) || defined(DKV)
#include "lib/mask.glsl"
#endif

const float HIDDEN = -3.0e38;

uint padded(uint n)
{
    return (n + W - 1) / W * W;
}

// A tile turned round: four numbers of a query side by side, for one query after the other, then the next four, then what is
// left of TM. Row r of query i is number in_tile(r, queries) + i * WIDTH(r).
#define WIDTH(r) ((r) / 4 * 4 + 4 <= TM ? 4 : TM % 4)

uint in_tile(uint r, uint tokens)
{
    return r / 4 * 4 * tokens + r % 4;
}

// s[r_][c_] becomes exp(s[r_][c_] - base), 0 where it is HIDDEN: four at a time, since what one waits for the next is a long row
// of operations.
#define EXP_ALL(s, base) \
    [[unroll]] for (uint n_ = 0; n_ < TM * TN; n_ += 4) { \
        vec4 x_, e_; \
        [[unroll]] for (uint k_ = 0; k_ < 4; k_++) { \
            uint r_ = (n_ + k_) / TN, c_ = (n_ + k_) % TN; \
            x_[k_] = s[r_][c_] - (base); \
        } \
        e_ = exp_fast(x_); \
        [[unroll]] for (uint k_ = 0; k_ < 4; k_++) { \
            uint r_ = (n_ + k_) / TN, c_ = (n_ + k_) % TN; \
            s[r_][c_] = s[r_][c_] > -2.9e38 ? e_[k_] : 0.0; \
        } \
    }

// Work is written by some lanes and read by others.
void exchange()
{
    subgroupMemoryBarrier();
    subgroupBarrier();
}

#if defined(FORWARD)

void main()
{
    uint lane = gl_SubgroupInvocationID, part = gl_WorkGroupID.y, batches = p.group >> 16, group = p.group & 0xffffu;
    uint b = p.row + part / (p.some * group), h = p.head * group + part % (p.some * group);
    uint queries = p.queries, keys = p.keys, size = p.size, tokens = padded(keys);
    uint past = p.past, down = p.down, q_t = p.q_t, y_t = p.y_t;
    float scale = p.scale;
    uint key_panels = p.work_at + part / group * tokens * size + lane;
    uint value_panels = p.work_at + gl_NumWorkGroups.y / group * tokens * size + part / group * keys * padded(size) + lane;
    uint own = p.scores + (part * gl_NumWorkGroups.x + gl_WorkGroupID.x) * TM * (tokens + W);
    uint from_own = p.work_at + own, to_own = p.to_work_at + own + lane;
    uint q_base = p.q_at + b * p.q_b + h * p.q_h, to_y = p.y_at + b * p.y_b + h * p.y_h + lane;
    uint to_lse = p.lse_at + (b * p.heads + h) * queries;
    uint own_from[TM];
    [[unroll]] for (uint r = 0; r < TM; r++)
        own_from[r] = from_own + r * (tokens + W);
    for (uint tile = 0; tile < down; tile++) {
        uint i0 = (gl_WorkGroupID.x * down + tile) * TM;
        if (i0 >= queries)
            break;
        uint end = (RULES & 1u) != 0u ? min(keys, min(i0 + TM, queries) + past) : keys;
        uint q_from[TM];
        Rule rules[TM];
        float most[TM], total[TM];
        [[unroll]] for (uint r = 0; r < TM; r++) {
            uint i = min(i0 + r, queries - 1);
            q_from[r] = q_base + i * q_t;
            rules[r] = rule_of(b, i, batches);
            most[r] = HIDDEN;
            total[r] = 0.0;
        }
        for (uint j0 = 0; j0 < end; j0 += W) {
            float acc[TM][TN];
            CLEAR(acc)
            MULTIPLY(acc, q, q_from, 1, work, key_panels + j0 * size, W, size)
            [[unroll]] for (uint q = 0; q < TN; q++) {
                uint j = j0 + q * LANES + lane;
                int segment = segment_of(b, min(j, keys - 1));
                [[unroll]] for (uint r = 0; r < TM; r++) {
                    bool on = all(bvec2(sees(rules[r], j, segment), j < keys));
                    float s = on ? acc[r][q] * scale : HIDDEN;
                    most[r] = max(most[r], s);
                    to_work.at[to_own + r * (tokens + W) + j0 + q * LANES] = s;
                }
            }
        }
        exchange();
        [[unroll]] for (uint r = 0; r < TM; r++)
            most[r] = row_max(most[r]);
        for (uint j0 = 0; j0 < end; j0 += W) {
            float e[TM][TN];
            [[unroll]] for (uint r = 0; r < TM; r++)
                [[unroll]] for (uint q = 0; q < TN; q++)
                    e[r][q] = GET1(work, own_from[r] + j0 + q * LANES + lane);
            EXP_ALL(e, most[r_])
            [[unroll]] for (uint r = 0; r < TM; r++)
                [[unroll]] for (uint q = 0; q < TN; q++) {
                    total[r] += e[r][q];
                    to_work.at[to_own + r * (tokens + W) + j0 + q * LANES] = e[r][q];
                }
        }
        exchange();
        [[unroll]] for (uint r = 0; r < TM; r++) {
            total[r] = row_sum(total[r]);
            bool row = i0 + r < queries;
            if (LSE != 0 && lane == 0 && row)
                lse.at[to_lse + i0 + r] = most[r] + log(max(total[r], 1e-37));
            total[r] = total[r] > 0.0 ? 1.0 / total[r] : 0.0; // a query that sees nothing gives 0
        }
        for (uint d0 = 0; d0 < size; d0 += W) {
            float acc[TM][TN];
            CLEAR(acc)
            MULTIPLY(acc, work, own_from, 1, work, value_panels + d0 * keys, W, end)
            [[unroll]] for (uint r = 0; r < TM; r++) {
                bool row = i0 + r < queries;
                [[unroll]] for (uint q = 0; q < TN; q++) {
                    bool on = EDGE ? all(bvec2(row, d0 + q * LANES + lane < size)) : row;
                    SET1(y, to_y + (i0 + r) * y_t + d0 + q * LANES, on, acc[r][q] * total[r]);
                }
            }
        }
    }
}

#elif defined(DELTA)

// A query for each lane, of all heads one after the other, as they lie.
void main()
{
    uint lane = gl_SubgroupInvocationID, b = gl_WorkGroupID.y, i0 = gl_WorkGroupID.x * LANES, batches = p.group >> 16;
    uint queries = p.queries, size = p.size, heads = p.heads, y_h = p.y_h;
    uint to = p.stat_at + (batches + b) * heads * queries + i0 + lane;
    uint dy_from[LANES], y_from[LANES];
    [[unroll]] for (uint r = 0; r < LANES; r++) {
        uint from = b * p.y_b + min(i0 + r, queries - 1) * p.y_t + lane;
        dy_from[r] = p.dy_at + from;
        y_from[r] = p.y_at + from;
    }
    for (uint h = 0; h < heads; h++) {
        float t[LANES];
        [[unroll]] for (uint r = 0; r < LANES; r++)
            t[r] = 0.0;
        for (uint d0 = 0; d0 < size; d0 += LANES)
            [[unroll]] for (uint r = 0; r < LANES; r++) {
                float one = GET1(dy, dy_from[r] + h * y_h + d0) * GET1(y, y_from[r] + h * y_h + d0);
                t[r] += !EDGE || d0 + lane < size ? one : 0.0;
            }
        // The lanes' sums, of query i0 + r in lane r: each step adds two halves of two of them.
#define HALVE(m) \
        [[unroll]] for (uint r = 0; r < m; r++) { \
            bool low = (lane & m) == 0; \
            t[r] = (low ? t[r] : t[r + m]) + ROW_OTHER(low ? t[r + m] : t[r], m); \
        }
        ROW_FOLD(HALVE)
        SET1(stat, to + h * queries, i0 + lane < queries, t[0]);
    }
}

#elif defined(DKV)

// The first query that a tile of keys is about: under the causal rule the first that sees any of them is known. DQ's tile with
// it may begin in the panel before.
uint first_of(uint j0)
{
    // As integers: what becomes a saturated difference is not seen to be one for all lanes.
    return (RULES & 1u) != 0u ? uint(max(int(j0) - int(p.past + TM - 1), 0)) / W * W : 0;
}

// acc = a tile turned round, from query `first` on, times what lies at `with`: of `group` query heads, each with a tile of p and
// one of ds.
void sum_up(out float acc[TM][TN], uint group, uint tiles, uint first, uint with, uint with_behind, uint count)
{
    CLEAR(acc)
    for (uint n = 0; n < group; n++) {
        uint from[TM];
        [[unroll]] for (uint r = 0; r < TM; r++)
            from[r] = tiles + n * 2 * TM * padded(p.queries) + in_tile(r, padded(p.queries)) + first * WIDTH(r);
        MULTIPLY(acc, work, from, WIDTH(r_), work, with + n * with_behind, W, count)
    }
}

void main()
{
    uint lane = gl_SubgroupInvocationID, part = gl_WorkGroupID.y, batches = p.group >> 16, group = p.group & 0xffffu;
    uint b = p.row + part / p.some, hk = p.head + part % p.some, parts = gl_NumWorkGroups.y * group;
    uint queries = p.queries, keys = p.keys, size = p.size, range = p.range, tokens = padded(queries), wide = padded(size);
    uint d_t = p.d_t, k_t = p.k_t;
    float scale = p.scale;
    // Behind the keys' rows: queries and dy by tokens, then both by rows.
    uint panels = p.work_at + gl_NumWorkGroups.y * keys * wide + lane, rows = panels + 2 * parts * tokens * size;
    uint dy_panels = parts * tokens * size, dy_rows = parts * queries * wide;
    uint k_base = b * p.k_b + hk * p.k_h, base = b * p.d_b + hk * p.d_h + lane;
    uint its_k = p.k_at + k_base, its_v = p.v_at + k_base;
    uint own = p.scores + (part * gl_NumWorkGroups.x + gl_WorkGroupID.x) * group * 2 * TM * tokens;
    uint start = p.first + gl_WorkGroupID.x * p.down * TM, stop = min(start + p.down * TM, keys);
    for (uint j0 = start; j0 < stop; j0 += TM) {
        uint first = first_of(j0);
        uint k_from[TM], v_from[TM];
        int segments[TM];
        [[unroll]] for (uint r = 0; r < TM; r++) {
            uint j = min(j0 + r, keys - 1);
            k_from[r] = its_k + j * k_t;
            v_from[r] = its_v + j * k_t;
            segments[r] = segment_of(b, j);
        }
        for (uint n = 0; n < group; n++) {
            uint its_panels = panels + (part * group + n) * tokens * size;
            uint its_stat = p.stat_at + (b * p.heads + hk * group + n) * queries, delta_behind = batches * p.heads * queries;
            uint to_p = p.to_work_at + own + n * 2 * TM * tokens, to_ds = to_p + TM * tokens;
            uint panel = p.to_work_at + p.ds + (part * group + n) * tokens * range + (j0 - p.first) * W + lane;
            for (uint i0 = first; i0 < queries; i0 += W) {
                float acc[TM][TN], e[TM][TN], lse[TN], delta[TN];
                CLEAR(acc)
                MULTIPLY(acc, k, k_from, 1, work, its_panels + i0 * size, W, size)
                [[unroll]] for (uint q = 0; q < TN; q++) {
                    uint i = min(i0 + q * LANES + lane, queries - 1);
                    lse[q] = GET1(stat, its_stat + i);
                    bool there = i0 + q * LANES + lane < queries;
                    Rule rule = rule_of(b, i, batches);
                    delta[q] = GET1(stat, its_stat + delta_behind + i);
                    [[unroll]] for (uint r = 0; r < TM; r++) {
                        bool on = all(bvec2(sees(rule, min(j0 + r, keys - 1), segments[r]), there));
                        e[r][q] = on ? acc[r][q] * scale : HIDDEN;
                    }
                }
                EXP_ALL(e, lse[c_])
                CLEAR(acc)
                MULTIPLY(acc, v, v_from, 1, work, its_panels + dy_panels + i0 * size, W, size)
                [[unroll]] for (uint q = 0; q < TN; q++) {
                    uint i = i0 + q * LANES + lane;
                    [[unroll]] for (uint r = 0; r < TM; r++) {
                        acc[r][q] = e[r][q] * (acc[r][q] - delta[q]) * scale;
                        SET1(to_panels, panel + i0 * range + r * W + q * LANES, true, acc[r][q]);
                    }
                    [[unroll]] for (uint r = 0; r < TM; r += 4) {
                        uint at = in_tile(r, tokens) + i * WIDTH(r);
                        if (WIDTH(r) == 4) {
                            SET4(to_work, to_p + at >> 2, true, vec4(e[r][q], e[r + 1][q], e[r + 2][q], e[r + 3][q]));
                            SET4(to_work, to_ds + at >> 2, true,
                                 vec4(acc[r][q], acc[r + 1][q], acc[r + 2][q], acc[r + 3][q]));
                        } else {
                            SET2(to_work, to_p + at >> 1, true, vec2(e[r][q], e[r + 1][q]));
                            SET2(to_work, to_ds + at >> 1, true, vec2(acc[r][q], acc[r + 1][q]));
                        }
                    }
                }
            }
        }
        exchange();
        uint with = rows + part * group * queries * wide + first * W;
        for (uint d0 = 0; d0 < size; d0 += W) {
            float dks[TM][TN], dvs[TM][TN];
            sum_up(dvs, group, p.work_at + own, first, with + dy_rows + d0 * queries, queries * wide, queries - first);
            sum_up(dks, group, p.work_at + own + TM * tokens, first, with + d0 * queries, queries * wide, queries - first);
            [[unroll]] for (uint r = 0; r < TM; r++)
                [[unroll]] for (uint q = 0; q < TN; q++) {
                    bool row = j0 + r < keys, on = EDGE ? all(bvec2(row, d0 + q * LANES + lane < size)) : row;
                    uint at = base + (j0 + r) * d_t + d0 + q * LANES;
                    float dk_ = dks[r][q] + ((ADD & 1u) != 0u ? GET1(dk, p.dk_at + at) : 0.0);
                    float dv_ = dvs[r][q] + ((ADD & 2u) != 0u ? GET1(dv, p.dv_at + at) : 0.0);
                    SET1(to_dk, p.to_dk_at + at, on, dk_);
                    SET1(to_dv, p.to_dv_at + at, on, dv_);
                }
        }
        exchange(); // before these are written again
    }
}

#else

void main()
{
    uint lane = gl_SubgroupInvocationID, part = gl_WorkGroupID.y, group = p.group & 0xffffu;
    uint b = p.row + part / (p.some * group), h = p.head * group + part % (p.some * group);
    uint queries = p.queries, keys = p.keys, size = p.size, first = p.first, range = p.range, down = p.down, d_t = p.d_t;
    uint ds = p.work_at + p.ds + part * padded(queries) * range;
    uint rows = p.work_at + part / group * keys * padded(size) + first * W + lane, base = b * p.d_b + h * p.d_h + lane;
    for (uint tile = 0; tile < down; tile++) {
        uint i0 = (gl_WorkGroupID.x * down + tile) * TM;
        if (i0 >= queries)
            break;
        uint end = min(first + range, (RULES & 1u) != 0u ? min(keys, min(i0 + TM, queries) + p.past) : keys);
        uint from[TM], count = uint(max(int(end) - int(first), 0));
        [[unroll]] for (uint r = 0; r < TM; r++) {
            uint i = min(i0 + r, queries - 1); // without a remainder, which would not be seen to be added
            from[r] = ds + i + i / W * W * (range - 1);
        }
        for (uint d0 = 0; d0 < size; d0 += W) {
            float acc[TM][TN];
            CLEAR(acc)
            MULTIPLY(acc, work, from, W, work, rows + d0 * keys, W, count)
            [[unroll]] for (uint r = 0; r < TM; r++)
                [[unroll]] for (uint q = 0; q < TN; q++) {
                    bool row = i0 + r < queries, on = EDGE ? all(bvec2(row, d0 + q * LANES + lane < size)) : row;
                    uint at = base + (i0 + r) * d_t + d0 + q * LANES;
                    float v = acc[r][q] + (ADD != 0u ? GET1(dq, p.dq_at + at) : 0.0);
                    SET1(to_dq, p.to_dq_at + at, on, v);
                }
        }
    }
}
#endif

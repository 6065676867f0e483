// attention_panel: what attention.comp makes, for CPUs: all of it by tiles whose sums are in registers (lib/tile.glsl).
//
//   FORWARD  a tile's rows are queries: scores against all keys, the exponentials of them, and with those the sums of v.
//   DQ       the same with p = exp(s - lse), ds = p (dy.v - delta), dq = ds k. delta = dy.y is left for DKV.
//   DKV      a tile's rows are keys, its columns queries: p and ds turned round, dv = p dy, dk = ds q.
//
// The scores of a tile's rows, or what is made of them, are in `work` between the products: as long as a row is, they are
// still in a cache when they are read. Before them there lies what scores are products with, in panels (panel.comp): keys
// (and in DQ values) or queries and dy. A workgroup is one subgroup and makes p.down tiles of a head, one after the other.
//
// The rest is as in attention.comp. What is read and written in `work` is this workgroup's own.
//
//! variants: FORWARD DQ DKV
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "lib/io.glsl"
#include "lib/tile.glsl"
#include "lib/exp.glsl"

layout(constant_id = 4) const uint RULES = 0;
layout(constant_id = 5) const uint ADD = 0; // bit 0 to the first output, bit 1 to the second
layout(constant_id = 6) const uint LSE = 0; // FORWARD: keep log sum exp

// Strides in numbers: of a token, of a head, of a batch row. k's are v's, and y's are dy's.
layout(push_constant) uniform Push {
#if defined(FORWARD)
    uint q_at, v_at, rule_at, work_at, to_work_at, y_at, lse_at;
    uint q_t, q_h, q_b, k_t, k_h, k_b, y_t, y_h, y_b;
#elif defined(DQ)
    uint q_at, k_at, rule_at, work_at, to_work_at, dy_at, y_at, dq_at, stat_at;
    uint q_t, q_h, q_b, k_t, k_h, k_b, y_t, y_h, y_b, d_t, d_h, d_b;
#else
    uint k_at, v_at, rule_at, work_at, to_work_at, q_at, dy_at, stat_at, dk_at, dv_at;
    uint q_t, q_h, q_b, k_t, k_h, k_b, y_t, y_h, y_b, d_t, d_h, d_b;
#endif
    uint queries, keys, heads, group; // group: query heads that share a key head, and the batch rows above
    uint past;                        // queries start this far behind the first key
    float scale;
    uint size;         // of a head; W or more
    uint down, scores; // where the scores begin in work
    uint first;        // head of all, of those that this dispatch is for
} p;

IN1U(2, rule); // [B, keys] segments, then [B, queries] packed (reach, segment)
#ifdef READ_TEXEL
layout(binding = 3, r32f) coherent uniform imageBuffer work;
#else
layout(binding = 3, std430) coherent buffer In_work { float at[]; } work;
#endif
layout(binding = 4, std430) coherent buffer To_work { float at[]; } to_work;
#if defined(FORWARD)
IN1(0, q);
IN1(1, v);
OUT1(5, y);
OUT1(6, lse);
#elif defined(DQ)
IN1(0, q);
IN1(1, k);
IN1(5, dy);
IN1(6, y);
OUT1(7, dq);
OUT1(8, stat); // [2][B, H, T]: lse, then delta
#else
IN1(0, k);
IN1(1, v);
IN1(5, q);
IN1(6, dy);
IN1(7, stat);
OUT1(8, dk);
OUT1(9, dv);
#endif
#include "lib/mask.glsl"

const float HIDDEN = -3.0e38;

// Work is written by some lanes and read by others.
void exchange()
{
    subgroupMemoryBarrier();
    subgroupBarrier();
}

#ifndef DKV
void main()
{
    uint lane = gl_SubgroupInvocationID, bh = p.first + gl_WorkGroupID.y;
    uint b = bh / p.heads, h = bh % p.heads, batches = p.group >> 16, group = p.group & 0xffffu;
    uint queries = p.queries, keys = p.keys, panels = (keys + W - 1) / W, kv = b * (p.heads / group) + h / group;
    uint past = p.past, down = p.down, q_t = p.q_t, k_t = p.k_t, y_t = p.y_t;
    float scale = p.scale;
    uint size = p.size, last = size - W; // where the last columns of a tile begin: they overlap with those before
    uint key_panels = p.work_at + kv * panels * size * W + lane;
    uint q_base = p.q_at + b * p.q_b + h * p.q_h, k_base = b * p.k_b + h / group * p.k_h + lane;
    uint y_base = b * p.y_b + h * p.y_h;
    uint own = p.scores + (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * TM * panels * W;
    uint from_own = p.work_at + own, to_own = p.to_work_at + own + lane;
    uint own_from[TM];
#ifdef FORWARD
    uint v_base = p.v_at + k_base, to_y = p.y_at + y_base + lane, to_lse = p.lse_at + bh * queries;
#else
    uint value_panels = key_panels + batches * (p.heads / group) * panels * size * W;
    uint rows = p.k_at + k_base, to_dq = p.dq_at + b * p.d_b + h * p.d_h + lane, d_t = p.d_t;
    uint to_stat = p.stat_at + bh * queries, to_delta = to_stat + batches * p.heads * queries;
    uint dy_base = p.dy_at + y_base, its_y = p.y_at + y_base;
#endif
    [[unroll]] for (uint r = 0; r < TM; r++)
        own_from[r] = from_own + r * panels * W;
    for (uint tile = 0; tile < down; tile++) {
        uint i0 = (gl_WorkGroupID.x * down + tile) * TM;
        if (i0 >= queries)
            break;
        uint end = (RULES & 1u) != 0u ? min(keys, min(i0 + TM, queries) + past) : keys;
        uint q_from[TM];
        Rule rules[TM];
#ifdef FORWARD
        float most[TM], total[TM];
#else
        uint dy_from[TM];
        float delta[TM], base[TM];
#endif
        [[unroll]] for (uint r = 0; r < TM; r++) {
            uint i = min(i0 + r, queries - 1);
            q_from[r] = q_base + i * q_t;
            rules[r] = rule_of(b, i, batches);
#ifdef FORWARD
            most[r] = HIDDEN;
            total[r] = 0.0;
#else
            dy_from[r] = dy_base + i * y_t;
            base[r] = stat.at[to_stat + i];
            delta[r] = 0.0;
#endif
        }
#ifdef DQ
        for (uint d0 = 0; d0 < size; d0 += LANES)
            [[unroll]] for (uint r = 0; r < TM; r++) {
                uint d = min(d0 + lane, size - 1);
                float t = GET1(dy, dy_from[r] + d) * GET1(y, its_y + min(i0 + r, queries - 1) * y_t + d);
                delta[r] += d0 + lane < size ? t : 0.0;
            }
        [[unroll]] for (uint r = 0; r < TM; r++)
            delta[r] = subgroupAdd(delta[r]);
#endif
        for (uint j0 = 0; j0 < end; j0 += W) {
            float acc[TM][TN];
            CLEAR(acc)
            MULTIPLY(acc, q, q_from, 1, work, key_panels + j0 * size, W, size)
            float e[TM][TN];
            [[unroll]] for (uint q = 0; q < TN; q++) {
                uint j = j0 + q * LANES + lane;
                int segment = segment_of(b, min(j, keys - 1));
                [[unroll]] for (uint r = 0; r < TM; r++) {
                    bool on = all(bvec2(sees(rules[r], j, segment), j < keys));
                    e[r][q] = on ? acc[r][q] * scale : HIDDEN;
                }
            }
#ifdef FORWARD
            [[unroll]] for (uint r = 0; r < TM; r++)
                [[unroll]] for (uint q = 0; q < TN; q++)
                    most[r] = max(most[r], e[r][q]);
#else
            CLEAR(acc)
            MULTIPLY(acc, dy, dy_from, 1, work, value_panels + j0 * size, W, size)
            [[unroll]] for (uint r = 0; r < TM; r++)
                [[unroll]] for (uint q = 0; q < TN; q++)
                    e[r][q] = (e[r][q] > -2.9e38 ? exp_fast(e[r][q] - base[r]) : 0.0) * (acc[r][q] - delta[r]) * scale;
#endif
            [[unroll]] for (uint r = 0; r < TM; r++)
                [[unroll]] for (uint q = 0; q < TN; q++)
                    to_work.at[to_own + r * panels * W + j0 + q * LANES] = e[r][q];
        }
        exchange();
#ifdef FORWARD
        [[unroll]] for (uint r = 0; r < TM; r++)
            most[r] = subgroupMax(most[r]);
        for (uint j0 = 0; j0 < end; j0 += W)
            [[unroll]] for (uint r = 0; r < TM; r++)
                [[unroll]] for (uint q = 0; q < TN; q++) {
                    uint at = r * panels * W + j0 + q * LANES;
                    float s = GET1(work, from_own + at + lane);
                    s = s > -2.9e38 ? exp_fast(s - most[r]) : 0.0;
                    total[r] += s;
                    to_work.at[to_own + at] = s;
                }
        exchange();
        [[unroll]] for (uint r = 0; r < TM; r++) {
            total[r] = subgroupAdd(total[r]);
            bool row = i0 + r < queries;
            if (LSE != 0 && lane == 0 && row)
                lse.at[to_lse + i0 + r] = most[r] + log(max(total[r], 1e-37));
            total[r] = total[r] > 0.0 ? 1.0 / total[r] : 0.0; // a query that sees nothing gives 0
        }
#else
        [[unroll]] for (uint r = 0; r < TM; r++)
            if (lane == 0 && i0 + r < queries)
                stat.at[to_delta + i0 + r] = delta[r];
#endif
        for (uint d0 = 0; d0 < size; d0 += W) {
            uint d = min(d0, last);
            float acc[TM][TN];
            CLEAR(acc)
#ifdef FORWARD
            MULTIPLY(acc, work, own_from, 1, v, v_base + d, k_t, end)
#else
            MULTIPLY(acc, work, own_from, 1, k, rows + d, k_t, end)
#endif
            [[unroll]] for (uint r = 0; r < TM; r++) {
                bool row = i0 + r < queries;
                [[unroll]] for (uint q = 0; q < TN; q++) {
#ifdef FORWARD
                    uint at = to_y + (i0 + r) * y_t + d + q * LANES;
                    SET1(y, at, row, acc[r][q] * total[r]);
#else
                    uint at = to_dq + (i0 + r) * d_t + d + q * LANES;
                    bool first = d + q * LANES + lane >= d0; // else it was added to before
                    SET1(dq, at, all(bvec2(row, first)), (ADD & 1u) != 0u ? dq.at[at] + acc[r][q] : acc[r][q]);
#endif
                }
            }
        }
    }
}

#else

void main()
{
    uint lane = gl_SubgroupInvocationID, bh = p.first + gl_WorkGroupID.y;
    uint batches = p.group >> 16, group = p.group & 0xffffu, kv_heads = p.heads / group, b = bh / kv_heads, hk = bh % kv_heads;
    uint queries = p.queries, keys = p.keys, panels = (queries + W - 1) / W;
    uint past = p.past, down = p.down, q_t = p.q_t, y_t = p.y_t, d_t = p.d_t;
    float scale = p.scale;
    uint size = p.size, last = size - W; // where the last columns of a tile begin: they overlap with those before
    uint dy_panels = batches * p.heads * panels * size * W; // behind those of queries
    uint k_base = b * p.k_b + hk * p.k_h, to = b * p.d_b + hk * p.d_h + lane;
    uint its_k = p.k_at + k_base, its_v = p.v_at + k_base, k_t = p.k_t, to_dk = p.dk_at + to, to_dv = p.dv_at + to;
    uint own = p.scores + (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 2 * TM * panels * W;
    uint from_own = p.work_at + own, to_own = p.to_work_at + own + lane;
    uint p_from[TM], ds_from[TM];
    [[unroll]] for (uint r = 0; r < TM; r++) {
        p_from[r] = from_own + r * panels * W;
        ds_from[r] = from_own + (TM + r) * panels * W;
    }
    for (uint tile = 0; tile < down; tile++) {
        uint j0 = (gl_WorkGroupID.x * down + tile) * TM;
        if (j0 >= keys)
            break;
        // Under the causal rule the first query that sees any of these keys is known.
        uint first = (RULES & 1u) != 0u && j0 > past ? (j0 - past) / W * W : 0;
        uint k_from[TM], v_from[TM];
        int segments[TM];
        [[unroll]] for (uint r = 0; r < TM; r++) {
            uint j = min(j0 + r, keys - 1);
            k_from[r] = its_k + j * k_t;
            v_from[r] = its_v + j * k_t;
            segments[r] = segment_of(b, j);
        }
        for (uint n = 0; n < group; n++) {
            uint h = hk * group + n;
            uint q_panels = p.work_at + (b * p.heads + h) * panels * size * W + lane;
            uint q_base = p.q_at + b * p.q_b + h * p.q_h + lane, y_base = p.dy_at + b * p.y_b + h * p.y_h + lane;
            uint its_stat = p.stat_at + (b * p.heads + h) * queries, delta_behind = batches * p.heads * queries;
            for (uint i0 = first; i0 < queries; i0 += W) {
                float acc[TM][TN], e[TM][TN], ds[TM][TN], delta[TN];
                CLEAR(acc)
                MULTIPLY(acc, k, k_from, 1, work, q_panels + i0 * size, W, size)
                [[unroll]] for (uint q = 0; q < TN; q++) {
                    uint i = min(i0 + q * LANES + lane, queries - 1);
                    float base = GET1(stat, its_stat + i);
                    bool there = i0 + q * LANES + lane < queries;
                    Rule rule = rule_of(b, i, batches);
                    delta[q] = GET1(stat, its_stat + delta_behind + i);
                    [[unroll]] for (uint r = 0; r < TM; r++) {
                        bool on = all(bvec2(sees(rule, min(j0 + r, keys - 1), segments[r]), there));
                        float s = on ? acc[r][q] * scale : HIDDEN;
                        e[r][q] = s > -2.9e38 ? exp_fast(s - base) : 0.0;
                    }
                }
                CLEAR(acc)
                MULTIPLY(acc, v, v_from, 1, work, q_panels + dy_panels + i0 * size, W, size)
                [[unroll]] for (uint r = 0; r < TM; r++)
                    [[unroll]] for (uint q = 0; q < TN; q++) {
                        uint at = to_own + r * panels * W + i0 + q * LANES;
                        to_work.at[at] = e[r][q];
                        to_work.at[at + TM * panels * W] = e[r][q] * (acc[r][q] - delta[q]) * scale;
                    }
            }
            exchange();
            [[unroll]] for (uint r = 0; r < TM; r++) {
                k_from[r] = p_from[r] + first;
                v_from[r] = ds_from[r] + first;
            }
            for (uint d0 = 0; d0 < size; d0 += W) {
                uint d = min(d0, last);
                float dks[TM][TN], dvs[TM][TN];
                CLEAR(dvs)
                MULTIPLY(dvs, work, k_from, 1, dy, y_base + first * y_t + d, y_t, queries - first)
                CLEAR(dks)
                MULTIPLY(dks, work, v_from, 1, q, q_base + first * q_t + d, q_t, queries - first)
                [[unroll]] for (uint r = 0; r < TM; r++)
                    [[unroll]] for (uint q = 0; q < TN; q++) {
                        uint at = (j0 + r) * d_t + d + q * LANES, dk_at = to_dk + at, dv_at = to_dv + at;
                        bool first = d + q * LANES + lane >= d0; // else it was added to before
                        bool on = all(bvec2(j0 + r < keys, first));
                        if ((ADD & 1u) != 0u || n > 0)
                            dks[r][q] += on ? dk.at[dk_at] : 0.0;
                        if ((ADD & 2u) != 0u || n > 0)
                            dvs[r][q] += on ? dv.at[dv_at] : 0.0;
                        SET1(dk, dk_at, on, dks[r][q]);
                        SET1(dv, dv_at, on, dvs[r][q]);
                    }
            }
            exchange(); // before these are written again
            [[unroll]] for (uint r = 0; r < TM; r++) {
                uint j = min(j0 + r, keys - 1);
                k_from[r] = its_k + j * k_t;
                v_from[r] = its_v + j * k_t;
            }
        }
    }
}
#endif

// attention: y = softmax(q k^T scale + mask) v without ever storing the scores.
//
//   FORWARD  a lane owns queries: their q, sums of v, running maxima and sums of exponentials.
//   DQ       a lane owns queries: p = exp(s - lse), ds = p (dy.v - delta), dq += ds k.
//            delta = dy.y is left for DKV.
//   DKV      a lane owns keys: dv += p dy, dk += ds q.
//
// The rows that all lanes need (keys and values; in DKV queries and dy) are fetched by the lanes
// together, one texel each, and handed round by shuffles with constant lane numbers. Fetching and handing
// round cost as much as the arithmetic for one row a lane, so where there are rows enough a lane owns OWN
// of them, LANES apart.
//
// That is for CPUs, where registers are memory. On GPUs, PARTS neighbouring lanes own a row between
// them, every PARTS-th texel each; they read what they need themselves and add up their products.
//
// FORWARD_F16 and FORWARD_BF16 read keys and values that are stored so.
//
//! variants: FORWARD FORWARD_F16 FORWARD_BF16 DQ DKV
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "lib/io.glsl"
#if defined(FORWARD_F16)
#define FORWARD
#define B_F16
#elif defined(FORWARD_BF16)
#define FORWARD
#define B_BF16
#endif

layout(constant_id = 2) const uint SIZE = 32; // of a head
layout(constant_id = 3) const uint RULES = 0;
layout(constant_id = 4) const uint ADD = 0;   // bit 0 to the first output, bit 1 to the second
layout(constant_id = 5) const uint LSE = 0;   // FORWARD: keep log sum exp
layout(constant_id = 6) const uint STEP = 4;  // rows handled in one turn of the loop
layout(constant_id = 7) const uint PARTS = 1; // lanes that own a row together
layout(constant_id = 8) const uint OWN = 1;   // rows of a lane
#include "lib/cached.glsl"

// Strides in texels: of a token, of a head, of a batch row.
layout(push_constant) uniform Push {
#if defined(FORWARD)
    uint q_at, k_at, v_at, rule_at, y_at, lse_at;
    uint q_t, q_h, q_b, k_t, k_h, k_b, y_t, y_h, y_b;
#elif defined(DQ)
    uint q_at, k_at, v_at, rule_at, dy_at, y_at, dq_at, stat_at;
    uint q_t, q_h, q_b, k_t, k_h, k_b, y_t, y_h, y_b, d_t, d_h, d_b;
#else
    uint q_at, k_at, v_at, rule_at, dy_at, stat_at, dk_at, dv_at;
    uint q_t, q_h, q_b, k_t, k_h, k_b, y_t, y_h, y_b, d_t, d_h, d_b;
#endif
    uint queries, keys, heads, group; // group: query heads that share a key head
    uint past;                        // queries start this far behind the first key
    float scale;
} p;

IN4(0, q);
IN_CACHED(1, k);
IN_CACHED(2, v);
IN1U(3, rule); // [B, keys] segments, then [B, queries] packed (reach, segment)
#if defined(FORWARD)
OUT4(4, y);
OUT1(5, lse);
#elif defined(DQ)
IN4(4, dy);
IN4(5, y);
OUT4(6, dq);
OUT1(7, stat); // [2][B, H, T]: lse, then delta
#else
IN4(4, dy);
IN1(5, stat);
OUT4(6, dk);
OUT4(7, dv);
#endif

const uint ROWS = LANES / PARTS;                                            // of a workgroup
const uint W = SIZE / 4 / PARTS;                                            // fours of a lane
const uint KW = W / FOURS;                                                  // texels of them
const uint LOADS = PARTS > 1 ? STEP * KW : (STEP * KW + LANES - 1) / LANES; // that bring STEP rows
const uint HELD = LOADS * FOURS;                                            // what they bring
const uint OURS = OWN * W;                                                  // fours of a lane's own rows
const uint SCORES = OWN * STEP;                                             // of those with STEP rows

// Four c of this lane's in row r of those fetched.
#define TEXEL(rows, r, c) \
    (PARTS > 1 ? rows[PARTS > 1 ? (r) * W + (c) : 0] \
               : subgroupShuffle(rows[PARTS > 1 ? 0 : ((r) * W + (c)) / FOURS / LANES * FOURS + (c) % FOURS], \
                                 ((r) * W + (c)) / FOURS % LANES))

// Which of STEP rows load n brings, and which texel of it.
uint load_row(uint n) { return PARTS > 1 ? n / KW : (n * LANES + gl_SubgroupInvocationID) / KW; }
uint load_texel(uint n)
{
    return PARTS > 1 ? n % KW * PARTS + gl_SubgroupInvocationID % PARTS : (n * LANES + gl_SubgroupInvocationID) % KW;
}

// The sum over the lanes that own a row.
float join(vec4 v)
{
    float s = v.x + v.y + v.z + v.w;
#define JOIN(m) \
    if (PARTS > m) \
        s += subgroupShuffle(s, gl_SubgroupInvocationID ^ m);
    JOIN(1u) JOIN(2u) JOIN(4u) JOIN(8u)
    return s;
}

// d[o] = the product of this lane's row o with row r of those fetched. (Macros, since GLSL hands no array on whose
// size is a specialization constant.)
#define DOT_ROW(d, own, rows, r) \
    { \
        vec4 s[OWN]; \
        [[unroll]] for (uint o = 0; o < OWN; o++) \
            s[o] = vec4(0); \
        [[unroll]] for (uint c = 0; c < W; c++) { \
            vec4 t = TEXEL(rows, r, c); \
            [[unroll]] for (uint o = 0; o < OWN; o++) \
                s[o] += own[o * W + c] * t; \
        } \
        [[unroll]] for (uint o = 0; o < OWN; o++) \
            d[o] = join(s[o]); \
    }

// sum += weights (of this lane's row o for row r at [o * STEP + r]) times the rows fetched. Columns outermost: each
// is in a register once for all rows.
#define ADD_ROWS(sum, weights, rows) \
    [[unroll]] for (uint c = 0; c < W; c++) \
        [[unroll]] for (uint r = 0; r < STEP; r++) { \
            vec4 t = TEXEL(rows, r, c); \
            [[unroll]] for (uint o = 0; o < OWN; o++) \
                sum[o * W + c] += weights[o * STEP + r] * t; \
        }

#include "lib/mask.glsl"

#ifndef DKV
void main()
{
    uint lane = gl_SubgroupInvocationID, part = lane % PARTS;
    uint bh = gl_WorkGroupID.y + 32768 * gl_WorkGroupID.z;
    uint b = bh / p.heads, h = bh % p.heads, i0 = gl_WorkGroupID.x * ROWS * OWN;
    uint batches = p.group >> 16, group = p.group & 0xffffu;
    if (b >= batches)
        return;
    uint k_base = (p.k_at >> 2) + b * p.k_b + h / group * p.k_h;
    uint v_base = (p.v_at >> 2) + b * p.k_b + h / group * p.k_h;
    uint end = (RULES & 1u) != 0u ? min(p.keys, min(i0 + ROWS * OWN, p.queries) + p.past) : p.keys;
    Rule rules[OWN];
    vec4 qr[OURS], sum[OURS];
#ifdef FORWARD
    float most[OWN], total[OWN];
#else
    vec4 g[OURS];
    float delta[OWN], base[OWN];
#endif
    [[unroll]] for (uint o = 0; o < OWN; o++) {
        uint i = min(i0 + o * ROWS + lane / PARTS, p.queries - 1);
        uint q_row = (p.q_at >> 2) + b * p.q_b + h * p.q_h + i * p.q_t;
        rules[o] = rule_of(b, i, batches);
        [[unroll]] for (uint c = 0; c < W; c++) {
            qr[o * W + c] = GET4(q, q_row + four(c, part));
            sum[o * W + c] = vec4(0);
        }
#ifdef FORWARD
        most[o] = -3.0e38;
        total[o] = 0.0;
#else
        uint y_row = b * p.y_b + h * p.y_h + i * p.y_t;
        vec4 d4 = vec4(0);
        [[unroll]] for (uint c = 0; c < W; c++) {
            g[o * W + c] = GET4(dy, (p.dy_at >> 2) + y_row + c * PARTS + part);
            d4 += g[o * W + c] * GET4(y, (p.y_at >> 2) + y_row + c * PARTS + part);
        }
        delta[o] = join(d4);
        base[o] = stat.at[p.stat_at + bh * p.queries + i];
#endif
    }
    for (uint j0 = 0; j0 < end; j0 += STEP) {
        vec4 kr[HELD], vr[HELD];
        [[unroll]] for (uint n = 0; n < LOADS; n++) {
            uint row = min(j0 + load_row(n), p.keys - 1) * p.k_t + load_texel(n);
            GET_CACHED(kr, n * FOURS, k, k_base + row)
            GET_CACHED(vr, n * FOURS, v, v_base + row)
        }
        int segments = segment_of(b, min(j0 + lane % STEP, p.keys - 1));
        float e[SCORES]; // scores, then their exponentials; in DQ the scores' gradients
        [[unroll]] for (uint r = 0; r < STEP; r++) {
            float d[OWN];
            DOT_ROW(d, qr, kr, r)
            int segment = RULES < 2 ? 0 : subgroupShuffle(segments, r);
            [[unroll]] for (uint o = 0; o < OWN; o++)
                e[o * STEP + r] = sees(rules[o], j0 + r, segment) && j0 + r < p.keys ? d[o] * p.scale : -3.0e38;
        }
#ifdef FORWARD
        [[unroll]] for (uint o = 0; o < OWN; o++) {
            float top = most[o];
            [[unroll]] for (uint r = 0; r < STEP; r++)
                top = max(top, e[o * STEP + r]);
            float fade = exp(most[o] - top);
            most[o] = top;
            total[o] *= fade;
            [[unroll]] for (uint c = 0; c < W; c++)
                sum[o * W + c] *= fade;
            [[unroll]] for (uint r = 0; r < STEP; r++) {
                float s = e[o * STEP + r];
                e[o * STEP + r] = s > -2.9e38 ? exp(s - top) : 0.0;
                total[o] += e[o * STEP + r];
            }
        }
        ADD_ROWS(sum, e, vr)
#else
        [[unroll]] for (uint r = 0; r < STEP; r++) {
            float d[OWN];
            DOT_ROW(d, g, vr, r)
            [[unroll]] for (uint o = 0; o < OWN; o++) {
                float s = e[o * STEP + r];
                e[o * STEP + r] = (s > -2.9e38 ? exp(s - base[o]) : 0.0) * (d[o] - delta[o]) * p.scale;
            }
        }
        ADD_ROWS(sum, e, kr)
#endif
    }
    IDLE(i0 + lane / PARTS >= p.queries);
    [[unroll]] for (uint o = 0; o < OWN; o++) {
        uint i = i0 + o * ROWS + lane / PARTS;
        bool on = i < p.queries;
#ifdef FORWARD
        float factor = total[o] > 0.0 ? 1.0 / total[o] : 0.0; // a query that sees nothing gives 0
        uint at = (p.y_at >> 2) + b * p.y_b + h * p.y_h + i * p.y_t;
        [[unroll]] for (uint c = 0; c < W; c++)
            SET4(y, at + four(c, part), on, sum[o * W + c] * factor);
        if (LSE != 0 && part == 0 && on)
            lse.at[p.lse_at + bh * p.queries + i] = most[o] + log(max(total[o], 1e-37));
#else
        uint at = (p.dq_at >> 2) + b * p.d_b + h * p.d_h + i * p.d_t + part;
        [[unroll]] for (uint c = 0; c < W; c++) {
            vec4 v = sum[o * W + c];
            if ((ADD & 1u) != 0u && on)
                v += dq.at[at + c * PARTS];
            SET4(dq, at + c * PARTS, on, v);
        }
        if (part == 0 && on)
            stat.at[p.stat_at + (batches * p.heads + bh) * p.queries + i] = delta[o];
#endif
    }
}

#else

void main()
{
    uint lane = gl_SubgroupInvocationID, part = lane % PARTS;
    uint batches = p.group >> 16, group = p.group & 0xffffu, kv_heads = p.heads / group;
    uint bh = gl_WorkGroupID.y + 32768 * gl_WorkGroupID.z;
    uint b = bh / kv_heads, hk = bh % kv_heads, j0 = gl_WorkGroupID.x * ROWS * OWN;
    if (b >= batches)
        return;
    int segments[OWN];
    vec4 kk[OURS], vv[OURS], dks[OURS], dvs[OURS];
    [[unroll]] for (uint o = 0; o < OWN; o++) {
        uint j = min(j0 + o * ROWS + lane / PARTS, p.keys - 1);
        uint k_row = b * p.k_b + hk * p.k_h + j * p.k_t + part;
        segments[o] = segment_of(b, j);
        [[unroll]] for (uint c = 0; c < W; c++) {
            kk[o * W + c] = GET4(k, (p.k_at >> 2) + k_row + c * PARTS);
            vv[o * W + c] = GET4(v, (p.v_at >> 2) + k_row + c * PARTS);
            dks[o * W + c] = vec4(0);
            dvs[o * W + c] = vec4(0);
        }
    }
    // Under the causal rule the first query that sees any of these keys is known.
    uint first = (RULES & 1u) != 0u && j0 > p.past ? (j0 - p.past) / STEP * STEP : 0;
    for (uint n = 0; n < group; n++) {
        uint h = hk * group + n;
        uint q_base = (p.q_at >> 2) + b * p.q_b + h * p.q_h;
        uint y_base = (p.dy_at >> 2) + b * p.y_b + h * p.y_h;
        uint s_base = p.stat_at + (b * p.heads + h) * p.queries, d_base = s_base + batches * p.heads * p.queries;
        for (uint i0 = first; i0 < p.queries; i0 += STEP) {
            vec4 qr[HELD], gr[HELD];
            [[unroll]] for (uint m = 0; m < LOADS; m++) {
                uint i = min(i0 + load_row(m), p.queries - 1), t = load_texel(m);
                qr[m] = GET4(q, q_base + i * p.q_t + t);
                gr[m] = GET4(dy, y_base + i * p.y_t + t);
            }
            // What is known of a query: a lane each.
            uint own = min(i0 + lane % STEP, p.queries - 1);
            float base = GET1(stat, s_base + own), delta = GET1(stat, d_base + own);
            Rule rule = rule_of(b, own, batches);
            float e[SCORES], ds[SCORES];
            [[unroll]] for (uint r = 0; r < STEP; r++) {
                float d[OWN], dv[OWN];
                DOT_ROW(d, kk, qr, r)
                DOT_ROW(dv, vv, gr, r)
                float from = subgroupShuffle(base, r), less = subgroupShuffle(delta, r);
                Rule its = Rule(RULES == 0 ? 0xffffffffu : subgroupShuffle(rule.reach, r),
                                RULES < 2 ? 0 : subgroupShuffle(rule.segment, r));
                [[unroll]] for (uint o = 0; o < OWN; o++) {
                    uint j = min(j0 + o * ROWS + lane / PARTS, p.keys - 1);
                    bool see = sees(its, j, segments[o]) && i0 + r < p.queries;
                    e[o * STEP + r] = see ? exp(d[o] * p.scale - from) : 0.0;
                    ds[o * STEP + r] = e[o * STEP + r] * (dv[o] - less) * p.scale;
                }
            }
            ADD_ROWS(dvs, e, gr)
            ADD_ROWS(dks, ds, qr)
        }
    }
    IDLE(j0 + lane / PARTS >= p.keys);
    [[unroll]] for (uint o = 0; o < OWN; o++) {
        uint j = j0 + o * ROWS + lane / PARTS, at = b * p.d_b + hk * p.d_h + j * p.d_t + part;
        bool on = j < p.keys;
        [[unroll]] for (uint c = 0; c < W; c++) {
            uint ka = (p.dk_at >> 2) + at + c * PARTS, va = (p.dv_at >> 2) + at + c * PARTS;
            vec4 dk4 = dks[o * W + c], dv4 = dvs[o * W + c];
            if ((ADD & 1u) != 0u && on)
                dk4 += dk.at[ka];
            if ((ADD & 2u) != 0u && on)
                dv4 += dv.at[va];
            SET4(dk, ka, on, dk4);
            SET4(dv, va, on, dv4);
        }
    }
}
#endif

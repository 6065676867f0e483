// attention: y = softmax(q k^T scale + mask) v without ever storing the scores.
//
//   FORWARD  a lane owns a query: its q, its sum of v, its running maximum and sum of exponentials.
//   DQ       a lane owns a query: p = exp(s - lse), ds = p (dy.v - delta), dq += ds k.
//            delta = dy.y is left for DKV.
//   DKV      a lane owns a key: dv += p dy, dk += ds q.
//
// The rows that all lanes need (keys and values; in DKV queries and dy) are fetched by the lanes
// together, one texel each, and handed round by shuffles with constant lane numbers.
//
// That is for CPUs, where registers are memory. On GPUs, PARTS neighbouring lanes own a row between
// them, every PARTS-th texel each; they read what they need themselves and add up their products.
//
// The mask is a rule: query i sees key j if j <= reach(i), and segment(j) is 0 or segment(i);
// a negative segment hides a key from all. RULES 0 none, 1 causal (reach(i) = i + past),
// 2 reach and segment are read, 3 the same, and reach(i) is known to be at most i + past.
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

float dot_row(vec4 a[W], vec4 rows[HELD], uint r)
{
    vec4 s = vec4(0);
    [[unroll]] for (uint c = 0; c < W; c++)
        s += a[c] * TEXEL(rows, r, c);
    return join(s);
}

// The mask of a query: how far it sees, and its segment.
struct Rule {
    uint reach;
    int segment;
};

Rule rule_of(uint b, uint i, uint batches)
{
    if (RULES == 1)
        return Rule(i + p.past, 0);
    if (RULES >= 2) {
        uint at = p.rule_at + batches * p.keys + (b * p.queries + i) * 2;
        return Rule(GET1U(rule, at), int(GET1U(rule, at + 1)));
    }
    return Rule(0xffffffffu, 0);
}

bool sees(Rule r, uint j, int segment)
{
    return j <= r.reach && (RULES < 2 || segment == 0 || (segment > 0 && segment == r.segment));
}

int segment_of(uint b, uint j)
{
    return RULES >= 2 ? int(GET1U(rule, p.rule_at + b * p.keys + j)) : 0;
}

#ifndef DKV
void main()
{
    uint own = gl_SubgroupInvocationID / PARTS, part = gl_SubgroupInvocationID % PARTS;
    uint bh = gl_WorkGroupID.y + 32768 * gl_WorkGroupID.z;
    uint b = bh / p.heads, h = bh % p.heads, i0 = gl_WorkGroupID.x * ROWS;
    uint batches = p.group >> 16, group = p.group & 0xffffu;
    if (b >= batches)
        return;
    uint i = min(i0 + own, p.queries - 1);
    uint q_row = (p.q_at >> 2) + b * p.q_b + h * p.q_h + i * p.q_t;
    uint k_base = (p.k_at >> 2) + b * p.k_b + h / group * p.k_h;
    uint v_base = (p.v_at >> 2) + b * p.k_b + h / group * p.k_h;
    Rule mine = rule_of(b, i, batches);
    uint end = (RULES & 1u) != 0u ? min(p.keys, min(i0 + ROWS, p.queries) + p.past) : p.keys;
    vec4 qr[W];
    [[unroll]] for (uint c = 0; c < W; c++)
        qr[c] = GET4(q, q_row + four(c, part));
#ifdef FORWARD
    vec4 sum[W];
    float most = -3.0e38, total = 0.0;
    [[unroll]] for (uint c = 0; c < W; c++)
        sum[c] = vec4(0);
#else
    uint y_row = b * p.y_b + h * p.y_h + i * p.y_t;
    vec4 g[W], sum[W];
    vec4 d4 = vec4(0);
    [[unroll]] for (uint c = 0; c < W; c++) {
        g[c] = GET4(dy, (p.dy_at >> 2) + y_row + c * PARTS + part);
        d4 += g[c] * GET4(y, (p.y_at >> 2) + y_row + c * PARTS + part);
        sum[c] = vec4(0);
    }
    float delta = join(d4);
    float base = stat.at[p.stat_at + bh * p.queries + i];
#endif
    for (uint j0 = 0; j0 < end; j0 += STEP) {
        vec4 kr[HELD], vr[HELD];
        [[unroll]] for (uint n = 0; n < LOADS; n++) {
            uint row = min(j0 + load_row(n), p.keys - 1) * p.k_t + load_texel(n);
            GET_CACHED(kr, n * FOURS, k, k_base + row)
            GET_CACHED(vr, n * FOURS, v, v_base + row)
        }
        float s[STEP];
        [[unroll]] for (uint r = 0; r < STEP; r++) {
            bool see = sees(mine, j0 + r, segment_of(b, min(j0 + r, p.keys - 1))) && j0 + r < p.keys;
            float d = dot_row(qr, kr, r) * p.scale; // by all lanes: it shuffles
            s[r] = see ? d : -3.0e38;
        }
#ifdef FORWARD
        float top = most;
        [[unroll]] for (uint r = 0; r < STEP; r++)
            top = max(top, s[r]);
        float fade = exp(most - top);
        most = top;
        total *= fade;
        [[unroll]] for (uint c = 0; c < W; c++)
            sum[c] *= fade;
        [[unroll]] for (uint r = 0; r < STEP; r++) {
            float e = s[r] > -2.9e38 ? exp(s[r] - top) : 0.0;
            total += e;
            [[unroll]] for (uint c = 0; c < W; c++)
                sum[c] += e * TEXEL(vr, r, c);
        }
#else
        [[unroll]] for (uint r = 0; r < STEP; r++) {
            float e = s[r] > -2.9e38 ? exp(s[r] - base) : 0.0;
            float ds = e * (dot_row(g, vr, r) - delta) * p.scale;
            [[unroll]] for (uint c = 0; c < W; c++)
                sum[c] += ds * TEXEL(kr, r, c);
        }
#endif
    }
    bool on = i0 + own < p.queries;
    IDLE(!on);
#ifdef FORWARD
    float factor = total > 0.0 ? 1.0 / total : 0.0; // a query that sees nothing gives 0
    uint at = (p.y_at >> 2) + b * p.y_b + h * p.y_h + i * p.y_t;
    [[unroll]] for (uint c = 0; c < W; c++)
        SET4(y, at + four(c, part), on, sum[c] * factor);
    if (LSE != 0 && part == 0 && on)
        lse.at[p.lse_at + bh * p.queries + i] = most + log(max(total, 1e-37));
#else
    uint at = (p.dq_at >> 2) + b * p.d_b + h * p.d_h + i * p.d_t + part;
    [[unroll]] for (uint c = 0; c < W; c++)
        SET4(dq, at + c * PARTS, on, (ADD & 1u) != 0u ? dq.at[at + c * PARTS] + sum[c] : sum[c]);
    if (part == 0 && on)
        stat.at[p.stat_at + (batches * p.heads + bh) * p.queries + i] = delta;
#endif
}

#else

void main()
{
    uint own = gl_SubgroupInvocationID / PARTS, part = gl_SubgroupInvocationID % PARTS;
    uint batches = p.group >> 16, group = p.group & 0xffffu, kv_heads = p.heads / group;
    uint bh = gl_WorkGroupID.y + 32768 * gl_WorkGroupID.z;
    uint b = bh / kv_heads, hk = bh % kv_heads, j0 = gl_WorkGroupID.x * ROWS;
    if (b >= batches)
        return;
    uint j = min(j0 + own, p.keys - 1);
    uint k_row = b * p.k_b + hk * p.k_h + j * p.k_t;
    int segment = segment_of(b, j);
    vec4 kk[W], vv[W], dks[W], dvs[W];
    [[unroll]] for (uint c = 0; c < W; c++) {
        kk[c] = GET4(k, (p.k_at >> 2) + k_row + c * PARTS + part);
        vv[c] = GET4(v, (p.v_at >> 2) + k_row + c * PARTS + part);
        dks[c] = vec4(0);
        dvs[c] = vec4(0);
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
            [[unroll]] for (uint r = 0; r < STEP; r++) {
                uint i = min(i0 + r, p.queries - 1);
                bool see = sees(rule_of(b, i, batches), j, segment) && i0 + r < p.queries;
                float d = dot_row(kk, qr, r) * p.scale;
                float e = see ? exp(d - GET1(stat, s_base + i)) : 0.0;
                float ds = e * (dot_row(vv, gr, r) - GET1(stat, d_base + i)) * p.scale;
                [[unroll]] for (uint c = 0; c < W; c++) {
                    dvs[c] += e * TEXEL(gr, r, c);
                    dks[c] += ds * TEXEL(qr, r, c);
                }
            }
        }
    }
    bool on = j0 + own < p.keys;
    IDLE(!on);
    uint at = b * p.d_b + hk * p.d_h + j * p.d_t + part;
    [[unroll]] for (uint c = 0; c < W; c++) {
        uint ka = (p.dk_at >> 2) + at + c * PARTS, va = (p.dv_at >> 2) + at + c * PARTS;
        SET4(dk, ka, on, (ADD & 1u) != 0u ? dk.at[ka] + dks[c] : dks[c]);
        SET4(dv, va, on, (ADD & 2u) != 0u ? dv.at[va] + dvs[c] : dvs[c]);
    }
}
#endif

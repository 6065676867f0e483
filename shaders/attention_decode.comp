// attention_decode: one query a head, as when a token is generated. A lane owns a head of a batch
// row and reads its own keys and values, so all lanes work however few queries there are.
//
// That is for CPUs, where registers are memory. On GPUs a workgroup owns a head: PARTS neighbouring
// lanes own a key between them, every PARTS-th texel each, SIDE keys are seen at a time, and what
// they gave is put together at the end.
//
// With NEW, q is the packed [B, (H + 2 KV) * D] of new tokens: query and key are turned as by rope over the whole
// head, keys and values go into the caches, as tokens `keys` of them, and are seen last. With SHARED, a row's keys
// begin with `words` of row which[b] of other caches: many rows go on from one prompt, which lies there once.
//
//! variants: B_F32 B_F16 B_BF16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "lib/io.glsl"
#include "lib/exp.glsl"

layout(constant_id = 2) const uint SIZE = 32;
layout(constant_id = 3) const uint HIDDEN = 0; // segments are read: a negative one hides a key
layout(constant_id = 4) const uint PARTS = 1;
layout(constant_id = 5) const uint SIDE = 1;   // PARTS * SIDE is 1 or LANES
layout(constant_id = 6) const uint NEW = 0;
layout(constant_id = 7) const uint SHARED = 0;
#include "lib/cached.glsl"

// Strides in texels, of k and v in theirs; of shared ones that of their rows alone, others are those of k.
layout(push_constant) uniform Push {
    uint q_at, k_at, v_at, segment_at, table_at, position_at, shared_k_at, shared_v_at, which_at, y_at, new_k_at, new_v_at;
    uint q_h, q_b, k_t, k_h, k_b, shared_b, y_h, y_b;
    uint words, keys, heads, batches, group, segments; // segments: distance of the rows of segment
    uint position_b;                                   // of positions: 1, or 0 where all rows have one
    float scale;
} p;

IN4(0, q);
IN_CACHED(1, k);
IN_CACHED(2, v);
IN1U(3, segment);
IN4(4, table);
IN1U(5, position);
IN_CACHED(6, shared_k);
IN_CACHED(7, shared_v);
IN1U(8, which);
OUT4(9, y);
OUT_CACHED(10, new_k);
OUT_CACHED(11, new_v);

const uint W = SIZE / 4 / PARTS; // fours of a lane
const uint HALF = SIZE / 8;      // fours of half a head

// A row's texels are taken line by line of the processor's cache, four texels each: first of all lines, second of
// all lines; and the first ones of values before the keys, so that memory is asked for everything early. On CPUs,
// whose lanes all ask for lines of their own, that is a tenth of the time.
#ifdef READ_TEXEL
const uint TEXELS = W / FOURS, LINES = TEXELS % 4 == 0 ? TEXELS / 4 : 1, AHEAD = LINES;
#else
const uint LINES = 1, AHEAD = 0;
#endif
uint in_lines(uint texel) { return texel % LINES * 4 + texel / LINES; }

#define OTHER(v, m) subgroupShuffle(v, gl_SubgroupInvocationID ^ (m))

vec4 qr[W], sum[W];
float most = -3.0e38, total = 0.0;

// Score s of a key joins the others: what they count from now on, and what it counts.
float join(float s, bool see, out float fade)
{
    float top = see ? max(most, s) : most, e = see ? exp_fast(s - top) : 0.0;
    fade = exp_fast(most - top);
    most = top;
    total = total * fade + e;
    return e;
}

// The sum of what the lanes that own a key have of it.
float whole(vec4 d)
{
    float s = d.x + d.y + d.z + d.w;
#define JOIN(m) \
    if (PARTS > m) \
        s += OTHER(s, m);
    JOIN(1u) JOIN(2u) JOIN(4u) JOIN(8u)
    return s;
}

bool seen(uint b, uint key)
{
    return HIDDEN == 0 || int(GET1U(segment, p.segment_at + b * p.segments + key)) >= 0;
}

// Four c of a head at `at`, turned by the angles at `angle`.
vec4 turned(uint at, uint angle, uint c)
{
    uint half_c = c < HALF ? c : c - HALF;
    vec4 own = GET4(q, at + c), other = GET4(q, at + (c < HALF ? c + HALF : c - HALF));
    vec4 sines = GET4(table, angle + HALF + half_c);
    return own * GET4(table, angle + half_c) + other * (c < HALF ? -sines : sines);
}

// `count` keys of a cache from texel `start` on, which are keys `first` and following of the row.
#define SEE(k, v, start, first, count) \
    for (uint j = 0, row = start + side * p.k_t + part; j < (count); j += SIDE, row += SIDE * p.k_t) { \
        vec4 d = vec4(0), r[FOURS], ahead[(AHEAD + 1) * FOURS]; \
        float fade, e; \
        bool see = j + side < (count); /* on the CPU driver the last turn is followed by an empty one, which reads too */ \
        uint from = see ? row : start; \
        [[unroll]] for (uint t = 0; t < AHEAD; t++) \
            GET_CACHED(ahead, t * FOURS, v, (p.v##_at >> 2) + from + in_lines(t)) \
        [[unroll]] for (uint t = 0; t < W / FOURS; t++) { \
            GET_CACHED(r, 0, k, (p.k##_at >> 2) + from + in_lines(t) * PARTS) \
            [[unroll]] for (uint i = 0; i < FOURS; i++) \
                d += qr[in_lines(t) * FOURS + i] * r[i]; \
        } \
        e = join(whole(d), see && seen(b, (first) + min(j + side, (count) - 1)), fade); \
        [[unroll]] for (uint t = 0; t < W / FOURS; t++) { \
            if (t >= AHEAD) \
                GET_CACHED(r, 0, v, (p.v##_at >> 2) + from + in_lines(t) * PARTS) \
            [[unroll]] for (uint i = 0; i < FOURS; i++) { \
                uint c = in_lines(t) * FOURS + i; \
                sum[c] = sum[c] * fade + e * (t < AHEAD ? ahead[t * FOURS + i] : r[i]); \
            } \
        } \
    }

void main()
{
    uint n = flat_index() / (PARTS * SIDE);
    uint part = gl_SubgroupInvocationID % PARTS, side = gl_SubgroupInvocationID / PARTS % SIDE;
    bool mine = n < p.heads * p.batches;
    n = min(n, p.heads * p.batches - 1);
    uint b = n / p.heads, h = n % p.heads, kv = h / p.group;
    uint q_row = (p.q_at >> 2) + b * p.q_b + h * p.q_h;
    uint k_row = b * p.k_b + kv * p.k_h, new_row = k_row + p.keys * p.k_t + part;
    uint v_new = q_row + (p.heads + p.heads / p.group - h + kv) * p.q_h;
    bool adds = mine && side == 0 && h % p.group == 0;
    vec4 at_hand[FOURS];
    float newest;

    if (NEW != 0) {
        uint angle = (p.table_at >> 2) + GET1U(position, p.position_at + b * p.position_b) * 2 * HALF;
        uint k_new = q_row + (p.heads - h + kv) * p.q_h;
        vec4 d = vec4(0);
        [[unroll]] for (uint c = 0; c < W; c += FOURS) {
            [[unroll]] for (uint i = 0; i < FOURS; i++) {
                qr[c + i] = turned(q_row, angle, four(c + i, part)) * p.scale;
                at_hand[i] = turned(k_new, angle, four(c + i, part));
            }
            SET_CACHED(new_k, (p.new_k_at >> 2) + new_row + c / FOURS * PARTS, adds, at_hand)
            AS_CACHED(at_hand)
            [[unroll]] for (uint i = 0; i < FOURS; i++)
                d += qr[c + i] * at_hand[i];
        }
        newest = whole(d);
    } else {
        [[unroll]] for (uint c = 0; c < W; c++)
            qr[c] = GET4(q, q_row + four(c, part)) * p.scale;
    }
    [[unroll]] for (uint c = 0; c < W; c++)
        sum[c] = vec4(0);
    if (SHARED != 0) {
        uint shared_row = GET1U(which, p.which_at + b) * p.shared_b + kv * p.k_h;
        SEE(shared_k, shared_v, shared_row, 0, p.words)
    }
    SEE(k, v, k_row, p.words, p.keys)
    if (NEW != 0) {
        float fade, e = join(newest, side == 0 && seen(b, p.words + p.keys), fade);
        [[unroll]] for (uint c = 0; c < W; c += FOURS) {
            [[unroll]] for (uint i = 0; i < FOURS; i++)
                at_hand[i] = GET4(q, v_new + four(c + i, part));
            SET_CACHED(new_v, (p.new_v_at >> 2) + new_row + c / FOURS * PARTS, adds, at_hand)
            AS_CACHED(at_hand)
            [[unroll]] for (uint i = 0; i < FOURS; i++)
                sum[c + i] = sum[c + i] * fade + e * at_hand[i];
        }
    }
#define MERGE(m) \
    if (PARTS <= m && PARTS * SIDE > m) { \
        float there = OTHER(most, m), top = max(most, there), fade = exp(most - top), gain = exp(there - top); \
        most = top; \
        total = total * fade + OTHER(total, m) * gain; \
        [[unroll]] for (uint c = 0; c < W; c++) \
            sum[c] = sum[c] * fade + OTHER(sum[c], m) * gain; \
    }
    MERGE(1u) MERGE(2u) MERGE(4u) MERGE(8u) MERGE(16u) MERGE(32u) MERGE(64u)
    bool on = mine && side == 0;
    IDLE(!on);
    float factor = total > 0.0 ? 1.0 / total : 0.0;
    uint at = (p.y_at >> 2) + b * p.y_b + h * p.y_h;
    [[unroll]] for (uint c = 0; c < W; c++)
        SET4(y, at + four(c, part), on, sum[c] * factor);
}

// attention_decode: one query a head, as when a token is generated. A lane owns a head of a batch
// row and reads its own keys and values, so all lanes work however few queries there are.
//
// That is for CPUs, where registers are memory. On GPUs a workgroup owns a head: PARTS neighbouring
// lanes own a key between them, every PARTS-th texel each, SIDE keys are seen at a time, and what
// they gave is put together at the end.
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
#include "lib/cached.glsl"

// Strides in texels, of k and v in theirs.
layout(push_constant) uniform Push {
    uint q_at, k_at, v_at, segment_at, y_at;
    uint q_h, q_b, k_t, k_h, k_b, y_h, y_b;
    uint keys, heads, batches, group, segments; // segments: distance of the rows of segment
    float scale;
} p;

IN4(0, q);
IN_CACHED(1, k);
IN_CACHED(2, v);
IN1U(3, segment);
OUT4(4, y);

const uint W = SIZE / 4 / PARTS; // fours of a lane

#define OTHER(v, m) subgroupShuffle(v, gl_SubgroupInvocationID ^ (m))

void main()
{
    uint n = flat_index() / (PARTS * SIDE);
    uint part = gl_SubgroupInvocationID % PARTS, side = gl_SubgroupInvocationID / PARTS % SIDE;
    bool mine = n < p.heads * p.batches;
    n = min(n, p.heads * p.batches - 1);
    uint b = n / p.heads, h = n % p.heads;
    uint q_row = (p.q_at >> 2) + b * p.q_b + h * p.q_h;
    uint row = b * p.k_b + h / p.group * p.k_h + side * p.k_t + part;
    vec4 qr[W], sum[W];
    float most = -3.0e38, total = 0.0;

    [[unroll]] for (uint c = 0; c < W; c++) {
        qr[c] = GET4(q, q_row + four(c, part)) * p.scale;
        sum[c] = vec4(0);
    }
    for (uint j = 0; j < p.keys; j += SIDE) {
        vec4 d = vec4(0);
        bool see = j + side < p.keys; // on the CPU driver the last turn is followed by an empty one, which reads too
        uint from = see ? row : b * p.k_b;
        vec4 r[FOURS];
        [[unroll]] for (uint c = 0; c < W; c += FOURS) {
            GET_CACHED(r, 0, k, (p.k_at >> 2) + from + c / FOURS * PARTS)
            [[unroll]] for (uint i = 0; i < FOURS; i++)
                d += qr[c + i] * r[i];
        }
        float s = d.x + d.y + d.z + d.w;
#define JOIN(m) \
        if (PARTS > m) \
            s += OTHER(s, m);
        JOIN(1u) JOIN(2u) JOIN(4u) JOIN(8u)
        if (HIDDEN != 0)
            see = see && int(GET1U(segment, p.segment_at + b * p.segments + min(j + side, p.keys - 1))) >= 0;
        float top = see ? max(most, s) : most;
        float fade = exp_fast(most - top), e = see ? exp_fast(s - top) : 0.0;
        most = top;
        total = total * fade + e;
        [[unroll]] for (uint c = 0; c < W; c += FOURS) {
            GET_CACHED(r, 0, v, (p.v_at >> 2) + from + c / FOURS * PARTS)
            [[unroll]] for (uint i = 0; i < FOURS; i++)
                sum[c + i] = sum[c + i] * fade + e * r[i];
        }
        row += SIDE * p.k_t;
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

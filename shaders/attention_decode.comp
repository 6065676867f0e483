// attention_decode: one query a head, as when a token is generated. A lane owns a head of a batch
// row and reads its own keys and values, so all lanes work however few queries there are.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "lib/io.glsl"

layout(constant_id = 2) const uint SIZE = 32;
layout(constant_id = 3) const uint HIDDEN = 0; // segments are read: a negative one hides a key

// Strides in texels.
layout(push_constant) uniform Push {
    uint q_at, k_at, v_at, segment_at, y_at;
    uint q_h, q_b, k_t, k_h, k_b, y_h, y_b;
    uint keys, heads, batches, group, segments; // segments: distance of the rows of segment
    float scale;
} p;

IN4(0, q);
IN4(1, k);
IN4(2, v);
IN1U(3, segment);
OUT4(4, y);

const uint W = SIZE / 4;

void main()
{
    uint n = flat_index();
    bool mine = n < p.heads * p.batches;
    n = min(n, p.heads * p.batches - 1);
    uint b = n / p.heads, h = n % p.heads;
    uint q_row = (p.q_at >> 2) + b * p.q_b + h * p.q_h;
    uint row = b * p.k_b + h / p.group * p.k_h;
    vec4 qr[W], sum[W];
    float most = -3.0e38, total = 0.0;

    [[unroll]] for (uint c = 0; c < W; c++) {
        qr[c] = GET4(q, q_row + c) * p.scale;
        sum[c] = vec4(0);
    }
    for (uint j = 0; j < p.keys; j++) {
        vec4 d = vec4(0);
        [[unroll]] for (uint c = 0; c < W; c++)
            d += qr[c] * GET4(k, (p.k_at >> 2) + row + c);
        float s = d.x + d.y + d.z + d.w;
        bool see = HIDDEN == 0 || int(GET1U(segment, p.segment_at + b * p.segments + j)) >= 0;
        float top = see ? max(most, s) : most;
        float fade = exp(most - top), e = see ? exp(s - top) : 0.0;
        most = top;
        total = total * fade + e;
        [[unroll]] for (uint c = 0; c < W; c++)
            sum[c] = sum[c] * fade + e * GET4(v, (p.v_at >> 2) + row + c);
        row += p.k_t;
    }
    if (!mine)
        return;
    float factor = total > 0.0 ? 1.0 / total : 0.0;
    uint at = (p.y_at >> 2) + b * p.y_b + h * p.y_h;
    [[unroll]] for (uint c = 0; c < W; c++)
        y.at[at + c] = sum[c] * factor;
}

// rope: turns pairs of channels by an angle that grows with the position. Channel j of the first
// half of the rotary width goes with channel j of the second half; what lies behind the width, and
// heads from ROTATED on, pass through. Gradients are the turn back.
//
// One invocation does a pair of NUM in one head of one token; the grid's y is the batch. `table` is
// [positions, 2, width / 2]: the cosines, then the sines.
//
// ROWS is for CPUs, in place: a workgroup is one subgroup and goes along p.down tokens, whose angles serve all heads.
// Lanes are neighbouring pairs, so that nothing is transposed.
//
//! variants: V4 V1 ROWS
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#ifdef ROWS
#extension GL_KHR_shader_subgroup_basic : require
#define V1
#endif
#include "lib/io.glsl"

layout(constant_id = 2) const uint ADD = 0;
layout(constant_id = 3) const uint PAIRS = 1; // of a head, in units of NUM
layout(constant_id = 4) const uint TURNED = 1; // of which so many are turned
layout(constant_id = 5) const uint HEADS = 1;
layout(constant_id = 6) const uint ROTATED = 1;
layout(constant_id = 7) const uint BACK = 0;

layout(push_constant) uniform Push {
    uint x_at, table_at, positions_at, y_at;
    uint n; // pairs of a batch item
    uint positions_step, x_batch, x_token, x_head, y_batch, y_token, y_head;
    uint tokens, down; // of a batch item; of a workgroup
} p;

IN(0, x);
IN(1, table);
IN1U(2, positions);
OUT(3, y);

#ifdef ROWS
void main()
{
    uint lane = gl_SubgroupInvocationID, batch = gl_WorkGroupID.y, x_head = p.x_head, y_head = p.y_head;
    uint first = gl_WorkGroupID.x * p.down, last = min(first + p.down, p.tokens), x_token = p.x_token, y_token = p.y_token;
    uint x_at = p.x_at + batch * p.x_batch + lane, y_at = p.y_at + batch * p.y_batch + lane, table_at = p.table_at + lane;
    uint positions_at = p.positions_at + batch * p.positions_step;

    for (uint t = first; t < last; t++) {
        uint row = table_at + GET1U(positions, positions_at + t) * 2 * TURNED;
        for (uint j = 0; j < TURNED; j += LANES) {
            float c = GET1(table, row + j), s = GET1(table, row + TURNED + j);
            if (BACK != 0)
                s = -s;
            [[unroll]] for (uint h = 0; h < ROTATED; h++) {
                uint from = x_at + t * x_token + h * x_head + j, to = y_at + t * y_token + h * y_head + j;
                float a = GET1(x, from), b = GET1(x, from + TURNED);
                SET1(y, to, true, a * c - b * s);
                SET1(y, to + TURNED, true, b * c + a * s);
            }
        }
    }
}
#else
void put(uint at, bool on, NUM v)
{
    if (ADD != 0 && on)
        v += y.at[at];
    SET(y, at, on, v);
}

void main()
{
    uint i = (gl_WorkGroupID.z * gl_NumWorkGroups.x + gl_WorkGroupID.x) * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    uint batch = gl_WorkGroupID.y, rest = i / PAIRS, j = i - rest * PAIRS, t = rest / HEADS, h = rest - t * HEADS;

    IDLE(i >= p.n);
    bool turn = h < ROTATED && j < TURNED;
    uint low = j < TURNED ? j : j + TURNED, high = j < TURNED ? j + TURNED : j + PAIRS;
    uint from = AT(p.x_at) + batch * p.x_batch + t * p.x_token + h * p.x_head;
    uint to = AT(p.y_at) + batch * p.y_batch + t * p.y_token + h * p.y_head;
    uint row = AT(p.table_at) + GET1U(positions, p.positions_at + batch * p.positions_step + t) * 2 * TURNED;
    NUM a = GET(x, from + low), b = GET(x, from + high);
    NUM c = turn ? GET(table, row + j) : NUM(1.0), s = turn ? GET(table, row + TURNED + j) : NUM(0.0);

    if (BACK != 0)
        s = -s;
    put(to + low, i < p.n, a * c - b * s);
    put(to + high, i < p.n, b * c + a * s);
}
#endif

// rope_cached: the queries, keys and values of new tokens, from a packed [B, T, (H + 2 KV) * D]. Turned as by
// rope over the whole head, keys go into a cache, and queries into a tensor of their own; values go into the
// other cache as they are.
//
// One invocation makes a texel of a cache for a head of a token, and as much of the query. V1 is for heads
// that are no multiple of eight: what fills their room in the caches up is zero.
//
//! variants: V4 V1
//! variants: B_F32 B_F16 B_BF16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "lib/io.glsl"

layout(constant_id = 2) const uint PARTS = 1; // invocations of a head
layout(constant_id = 3) const uint HEADS = 1;
layout(constant_id = 4) const uint KV = 1;
layout(constant_id = 5) const uint HEAD = 2; // its size, in units of NUM
#include "lib/cached.glsl"

// The grid's y is the batch; or, with one token a row, all rows are tokens of one. `tokens` it has, `n` of
// their parts. How far it is from one to the next, in rows of the caches and in positions:
layout(push_constant) uniform Push {
    uint x_at, table_at, positions_at, q_at, k_at, v_at;
    uint n, tokens, used, batch_row, token_row, batch_position, token_position;
} p;

IN(0, x);
IN(1, table);
IN1U(2, positions);
OUT4(3, q);
OUT_CACHED(4, k);
OUT_CACHED(5, v);

const uint HALF = HEAD / 2;

// Of a head or its row of the table, number (or four) j: itself, the one it is turned with, cosine and sine.
NUM own(uint at, uint j) { return GET(x, at + j); }
NUM other(uint at, uint j) { return GET(x, at + (j < HALF ? j + HALF : j - HALF)); }
NUM cosine(uint at, uint j) { return GET(table, at + (j < HALF ? j : j - HALF)); }
NUM sine(uint at, uint j)
{
    NUM s = GET(table, at + (j < HALF ? j + HALF : j));
    return j < HALF ? -s : s;
}
#ifdef V4
#define FOUR(what, at, c) what(at, c)
#else
#define ONE(what, at, j) ((j) < HEAD ? what(at, j) : 0.0)
#define FOUR(what, at, c) \
    vec4(ONE(what, at, 4 * (c)), ONE(what, at, 4 * (c) + 1), ONE(what, at, 4 * (c) + 2), ONE(what, at, 4 * (c) + 3))
#endif

void main()
{
    uint i = (gl_WorkGroupID.z * gl_NumWorkGroups.x + gl_WorkGroupID.x) * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    uint batch = gl_WorkGroupID.y, rest = i / PARTS, part = i - rest * PARTS, t = rest / HEADS, h = rest - t * HEADS;
    bool on = i < p.n, shared_on = on && h < KV; // the first heads bring the keys and values along
    IDLE(!on);
    uint row = batch * p.tokens + t, kv = min(h, KV - 1);
    uint q_from = AT(p.x_at) + (row * (HEADS + 2 * KV) + h) * HEAD;
    uint k_from = q_from + (HEADS - h + kv) * HEAD, v_from = k_from + KV * HEAD;
    uint position = GET1U(positions, p.positions_at + batch * p.batch_position + t * p.token_position);
    uint angle = AT(p.table_at) + position * HEAD;
    uint q_to = (p.q_at >> 2) + (row * HEADS + h) * PARTS * FOURS;
    uint kv_to = ((batch * p.batch_row + t * p.token_row + p.used) * KV + kv) * PARTS + part;
    vec4 keys[FOURS], values[FOURS];

    [[unroll]] for (uint f = 0; f < FOURS; f++) {
        uint c = four(f, part);
        vec4 cosines = FOUR(cosine, angle, c), sines = FOUR(sine, angle, c);
        SET4(q, q_to + c, on, FOUR(own, q_from, c) * cosines + FOUR(other, q_from, c) * sines);
        keys[f] = FOUR(own, k_from, c) * cosines + FOUR(other, k_from, c) * sines;
        values[f] = FOUR(own, v_from, c);
    }
    SET_CACHED(k, (p.k_at >> 2) + kv_to, shared_on, keys)
    SET_CACHED(v, (p.v_at >> 2) + kv_to, shared_on, values)
}

// norm: y = (x - mean) / sqrt(variance + eps) * weight + bias over the last dimension, one subgroup
// a row; without CENTRE the mean is taken to be 0 (RMS norm). `stat` keeps mean and 1 / sqrt(...).
//
// The first HELD elements of a lane stay in registers from pass to pass, the rest is read again.
//
// COLUMNS sums the weight's and the bias's gradients over `chunk` rows: part is [chunks, kinds, N].
//
//! variants: FORWARD BACKWARD COLUMNS
//! variants: V4 V1
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "lib/io.glsl"
#include "lib/row.glsl"

layout(constant_id = 2) const uint N = 1; // of a row, in units of NUM
layout(constant_id = 3) const uint CENTRE = 0;
layout(constant_id = 4) const uint FLAG = 0; // forward: there is a bias; backward: add

#ifdef V4
#define COUNT float(N * 4)
#else
#define COUNT float(N)
#endif
const uint TRIPS = (N + LANES - 1) / LANES;
const uint HELD = TRIPS < 8 ? TRIPS : 8;

#ifdef FORWARD
layout(push_constant) uniform Push { uint x_at, w_at, b_at, y_at, stat_at, rows; float eps; } p;
IN(0, x);
IN(1, w);
IN(2, b);
OUT(3, y);
OUT1(4, stat);

NUM load(uint row, uint i) { return i < N ? GET(x, AT(p.x_at) + row * N + i) : NUM(0.0); }
NUM apart(NUM v, float mean, uint i) { return i < N ? v - mean : NUM(0.0); }

void store(uint row, uint i, NUM v)
{
    IDLE(i >= N);
    v *= GET(w, AT(p.w_at) + i);
    if (FLAG != 0)
        v += GET(b, AT(p.b_at) + i);
    SET(y, AT(p.y_at) + row * N + i, i < N && row < p.rows, v);
}

void main()
{
    uint row = row_index(), lane = gl_SubgroupInvocationID;
    NUM v[HELD], sum = NUM(0.0);
    float mean = 0.0;

    IDLE(row >= p.rows);
    [[unroll]] for (uint t = 0; t < HELD; t++)
        v[t] = load(row, t * LANES + lane);
    if (CENTRE != 0) {
        [[unroll]] for (uint t = 0; t < HELD; t++)
            sum += v[t];
        [[dont_unroll]] for (uint t = HELD; t < TRIPS; t++)
            sum += load(row, t * LANES + lane);
        mean = row_sum(inside(sum)) / COUNT;
        sum = NUM(0.0);
    }
    [[unroll]] for (uint t = 0; t < HELD; t++) {
        v[t] = apart(v[t], mean, t * LANES + lane);
        sum += v[t] * v[t];
    }
    [[dont_unroll]] for (uint t = HELD; t < TRIPS; t++) {
        NUM d = apart(load(row, t * LANES + lane), mean, t * LANES + lane);
        sum += d * d;
    }
    float r = 1.0 / sqrt(row_sum(inside(sum)) / COUNT + p.eps);
    [[unroll]] for (uint t = 0; t < HELD; t++)
        store(row, t * LANES + lane, v[t] * r);
    [[dont_unroll]] for (uint t = HELD; t < TRIPS; t++)
        store(row, t * LANES + lane, (load(row, t * LANES + lane) - mean) * r);
    if (lane == 0 && row < p.rows) {
        stat.at[p.stat_at + 2 * row] = mean;
        stat.at[p.stat_at + 2 * row + 1] = r;
    }
}
#endif

#ifdef BACKWARD
layout(push_constant) uniform Push { uint x_at, w_at, stat_at, dy_at, dx_at, before_at, rows; } p;
IN(0, x);
IN(1, w);
IN1(2, stat);
IN(3, dy);
OUT(4, dx);
IN(5, before); // dx, to which is added: read so since a storage buffer is read lane by lane on the CPU driver

NUM slope(uint row, uint i)
{
    return i < N ? GET(dy, AT(p.dy_at) + row * N + i) * GET(w, AT(p.w_at) + i) : NUM(0.0);
}

NUM unit(uint row, uint i, float mean, float r)
{
    return i < N ? (GET(x, AT(p.x_at) + row * N + i) - mean) * r : NUM(0.0);
}

void store(uint row, uint i, NUM v)
{
    bool on = i < N && row < p.rows;

    IDLE(!on);
    if (FLAG != 0 && on)
        v += GET(before, AT(p.before_at) + row * N + i);
    SET(dx, AT(p.dx_at) + row * N + i, on, v);
}

void main()
{
    uint row = row_index(), lane = gl_SubgroupInvocationID;
    NUM g[HELD], u[HELD], along = NUM(0.0), all = NUM(0.0);

    IDLE(row >= p.rows);
    float mean = GET1(stat, p.stat_at + 2 * row), r = GET1(stat, p.stat_at + 2 * row + 1), a, m = 0.0;
    [[unroll]] for (uint t = 0; t < HELD; t++) {
        g[t] = slope(row, t * LANES + lane);
        u[t] = unit(row, t * LANES + lane, mean, r);
        along += g[t] * u[t];
        all += g[t];
    }
    [[dont_unroll]] for (uint t = HELD; t < TRIPS; t++) {
        NUM d = slope(row, t * LANES + lane);
        along += d * unit(row, t * LANES + lane, mean, r);
        all += d;
    }
    a = row_sum(inside(along)) / COUNT;
    if (CENTRE != 0)
        m = row_sum(inside(all)) / COUNT;
    [[unroll]] for (uint t = 0; t < HELD; t++)
        store(row, t * LANES + lane, (g[t] - m - u[t] * a) * r);
    [[dont_unroll]] for (uint t = HELD; t < TRIPS; t++) {
        uint i = t * LANES + lane;
        store(row, i, (slope(row, i) - m - unit(row, i, mean, r) * a) * r);
    }
}
#endif

#ifdef COLUMNS
layout(push_constant) uniform Push { uint x_at, stat_at, dy_at, part_at, rows, chunk; } p;
IN(0, x);
IN1(1, stat);
IN(2, dy);
OUT(3, part);

void main()
{
    uint i = gl_GlobalInvocationID.x, chunk = gl_WorkGroupID.y;
    uint first = chunk * p.chunk, last = min(first + p.chunk, p.rows), at = AT(p.part_at) + chunk * (1 + CENTRE) * N;
    NUM dw = NUM(0.0), db = NUM(0.0);

    if (i >= N)
        return;
    for (uint row = first; row < last; row += 4) {
        [[unroll]] for (uint k = 0; k < 4; k++) {
            uint here = min(row + k, last - 1);
            NUM g = GET(dy, AT(p.dy_at) + here * N + i) * (row + k < last ? 1.0 : 0.0);
            float mean = GET1(stat, p.stat_at + 2 * here), r = GET1(stat, p.stat_at + 2 * here + 1);
            dw += g * ((GET(x, AT(p.x_at) + here * N + i) - mean) * r);
            db += g;
        }
    }
    part.at[at + i] = dw;
    if (CENTRE != 0)
        part.at[at + N + i] = db;
}
#endif

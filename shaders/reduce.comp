// reduce: sums, or takes the greatest and its index, along the middle of [outer, count, inner].
//
// Each result is made of `chunks` parts of at most `chunk` elements; the output is [outer, chunks,
// inner], and the caller reduces it again if chunks > 1. ROWS is for inner = 1: one subgroup a part,
// lanes over neighbours. COLS: one invocation a part, neighbours over `inner`.
//
//! variants: SUM MAX
//! variants: ROWS COLS
//! variants: V4 V1
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "lib/io.glsl"
#include "lib/row.glsl"

// In units of NUM along the dimension that lies dense: count and chunk (ROWS), inner (COLS).
#ifdef SUM
layout(push_constant) uniform Push { uint x_at, y_at, parts, chunks, count, chunk, inner; float scale; } p;
#else
layout(push_constant) uniform Push { uint x_at, y_at, where_at, parts, chunks, count, chunk, inner; float scale; } p;
#endif

IN(0, x);
#ifdef ROWS
OUT1(1, y);
#ifdef MAX
OUT1U(2, where);
#endif
#else
OUT(1, y);
#ifdef MAX
#ifdef V4
OUT4U(2, where);
#else
OUT1U(2, where);
#endif
#endif
#endif

#ifdef V4
#define UNUM uvec4
#else
#define UNUM uint
#endif

// (best, at) = the greater of (best, at) and (v, i); of equals what was there.
void keep(inout vec4 best, inout uvec4 at, vec4 v, uvec4 i)
{
    bvec4 more = greaterThan(v, best);
    best = mix(best, v, more);
    at = mix(at, i, more);
}
void keep(inout float best, inout uint at, float v, uint i)
{
    bool more = v > best;
    best = more ? v : best;
    at = more ? i : at;
}
// The same; of equals the one with the smaller index.
void keep_first(inout float best, inout uint at, float v, uint i)
{
    bool more = v > best || (v == best && i < at);
    best = more ? v : best;
    at = more ? i : at;
}

#ifdef ROWS
void main()
{
    uint g = row_index();
    if (g >= p.parts)
        return;
    uint lane = gl_SubgroupInvocationID;
    uint o = g / p.chunks, s = g - o * p.chunks;
    uint begin = s * p.chunk, end = min(begin + p.chunk, p.count), base = AT(p.x_at) + o * p.count;
#ifdef SUM
    NUM a = NUM(0.0), b = NUM(0.0), c = NUM(0.0), d = NUM(0.0);
    uint t = begin + lane;
    for (uint n = (end - begin) / (4 * LANES); n > 0; n--) {
        a += GET(x, base + t);
        b += GET(x, base + t + LANES);
        c += GET(x, base + t + 2 * LANES);
        d += GET(x, base + t + 3 * LANES);
        t += 4 * LANES;
    }
    for (uint n = ((end - begin) % (4 * LANES) + LANES - 1) / LANES; n > 0; n--) {
        NUM v = GET(x, base + min(t, end - 1));
        a += t < end ? v : NUM(0.0);
        t += LANES;
    }
    float total = row_sum(inside((a + b) + (c + d))) * p.scale;
    if (lane == 0)
        y.at[p.y_at + g] = total;
#else
    uint t = min(begin + lane, end - 1);
    NUM best = GET(x, base + t);
    UNUM at = UNUM(t);
    for (uint n = (end - begin + LANES - 1) / LANES; n > 1; n--) {
        t = min(t + LANES, end - 1);
        keep(best, at, GET(x, base + t), UNUM(t));
    }
#ifdef V4
    at = at * 4 + uvec4(0, 1, 2, 3);
    float most = best.x;
    uint place = at.x;
    keep_first(most, place, best.y, at.y);
    keep_first(most, place, best.z, at.z);
    keep_first(most, place, best.w, at.w);
#else
    float most = best;
    uint place = at;
#endif
#define STEP(m) keep_first(most, place, ROW_OTHER(most, m), ROW_OTHER(place, m));
    ROW_FOLD(STEP)
    if (lane == 0) {
        y.at[p.y_at + g] = most;
        where.at[p.where_at + g] = place;
    }
#endif
}
#else
void main()
{
    uint g = flat_index();
    if (g >= p.parts)
        return;
    uint os = g / p.inner, i = g - os * p.inner;
    uint o = os / p.chunks, s = os - o * p.chunks;
    uint begin = s * p.chunk, end = min(begin + p.chunk, p.count);
    uint t = AT(p.x_at) + (o * p.count + begin) * p.inner + i;
#ifdef SUM
    NUM a = NUM(0.0), b = NUM(0.0), c = NUM(0.0), d = NUM(0.0);
    for (uint n = (end - begin) / 4; n > 0; n--) {
        a += GET(x, t);
        b += GET(x, t + p.inner);
        c += GET(x, t + 2 * p.inner);
        d += GET(x, t + 3 * p.inner);
        t += 4 * p.inner;
    }
    for (uint n = (end - begin) % 4; n > 0; n--) {
        a += GET(x, t);
        t += p.inner;
    }
    y.at[AT(p.y_at) + g] = ((a + b) + (c + d)) * p.scale;
#else
    NUM best = GET(x, t);
    UNUM at = UNUM(begin);
    for (uint k = begin + 1; k < end; k++) {
        t += p.inner;
        keep(best, at, GET(x, t), UNUM(k));
    }
    y.at[AT(p.y_at) + g] = best;
    where.at[AT(p.where_at) + g] = at;
#endif
}
#endif

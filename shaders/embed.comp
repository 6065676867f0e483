// embed: rows of a table. FROM_F32 and FROM_16 copy a row for each index; BACKWARD sums, for each
// distinct index, the gradients of its places, which `lists` holds: `rows` indices, where the list
// of each starts (one more than rows), and the lists, in which order the sum goes. START is a round:
// no invocation goes through more than `most` places, the rest comes in the next dispatch.
//
//! variants: FROM_F32 FROM_16 BACKWARD
//! variants: V4 V1
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/io.glsl"

layout(constant_id = 2) const uint N = 1; // of a row, in units of NUM

#ifndef BACKWARD
layout(constant_id = 3) const uint BF16 = 0;
layout(push_constant) uniform Push { uint table_at, index_at, y_at, n, rows; } p;
#ifdef FROM_F32
IN(0, table);
#else
IN4U(0, table); // four words at a time: a view of single words reaches a quarter as far
#include "lib/halves.glsl"
#endif
IN1U(1, index);
OUT(2, y);

void main()
{
    uint i = flat_index();
    IDLE(i >= p.n);
    uint place = i / N, row = GET1U(index, p.index_at + place), at = row * N + (i - place * N);
#ifdef FROM_F32
    NUM v = GET(table, AT(p.table_at) + at);
#elif defined(V4)
    uint word = p.table_at + 2 * at; // even
    uvec4 four = GET4U(table, word >> 2);
    vec4 v = vec4(halves((word & 2u) != 0u ? four.z : four.x), halves((word & 2u) != 0u ? four.w : four.y));
#else
    uint word = p.table_at + at / 2;
    vec2 both = halves(GET4U(table, word >> 2)[word & 3u]);
    float v = (at & 1) != 0 ? both.y : both.x;
#endif
    // What the host could not check becomes visible: no number.
    SET(y, AT(p.y_at) + i, i < p.n, row < p.rows ? v : NUM(uintBitsToFloat(0x7fc00000u)));
}
#else

layout(constant_id = 3) const uint ADD = 0;
layout(push_constant) uniform Push { uint dy_at, lists_at, dtable_at, n, rows, start, most; } p;
IN(0, dy);
IN1U(1, lists);
OUT(2, dtable);

void main()
{
    uint i = flat_index();
    if (i >= p.n)
        return;
    uint r = i / N, c = i - r * N, starts = p.lists_at + p.rows, places = starts + p.rows + 1;
    uint first = GET1U(lists, starts + r) + p.start, last = min(GET1U(lists, starts + r + 1), first + p.most);
    NUM sum = NUM(0.0);
    if (first >= last)
        return;
    for (uint k = first; k < last; k++)
        sum += GET(dy, AT(p.dy_at) + GET1U(lists, places + k) * N + c);
    uint to = AT(p.dtable_at) + GET1U(lists, p.lists_at + r) * N + c;
    if (ADD != 0)
        sum += dtable.at[to];
    dtable.at[to] = sum;
}
#endif

// Row kernels: one subgroup a row, lanes over neighbouring elements. A workgroup may hold several
// subgroups, each with a row of its own; nothing passes between them.
//
// Include lib/io.glsl first; the shader enables GL_KHR_shader_subgroup_basic and _shuffle.

// The row of this subgroup, in a grid that op_rows() laid out.
uint row_index()
{
    return (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * (gl_WorkGroupSize.x / LANES) + gl_SubgroupID;
}

// Lane i and lane i ^ m exchange. Distances are written out: a loop that halves m is not unrolled by
// the CPU driver, which then shuffles lane by lane, and counts each turn against its limit of 65,535.
#define ROW_FOLD(step) \
    if (LANES > 64) { step(64u) } \
    if (LANES > 32) { step(32u) } \
    if (LANES > 16) { step(16u) } \
    if (LANES > 8) { step(8u) } \
    if (LANES > 4) { step(4u) } \
    if (LANES > 2) { step(2u) } \
    if (LANES > 1) { step(1u) }
#define ROW_OTHER(v, m) subgroupShuffle(v, gl_SubgroupInvocationID ^ (m))

// The sum over the lanes, in every lane the same bits. Shuffles by a constant are free on the CPU
// driver, where subgroupAdd is a loop.
float row_sum(float v)
{
#define STEP(m) v += ROW_OTHER(v, m);
    ROW_FOLD(STEP)
#undef STEP
    return v;
}

float row_max(float v)
{
#define STEP(m) v = max(v, ROW_OTHER(v, m));
    ROW_FOLD(STEP)
#undef STEP
    return v;
}

// The sum of what one lane holds.
#ifdef V4
float inside(vec4 v) { return (v.x + v.y) + (v.z + v.w); }
#endif
#ifdef V1
float inside(float v) { return v; }
#endif

// Row kernels: one subgroup a row, lanes over neighbouring elements. A workgroup may hold several
// subgroups, each with a row of its own; nothing passes between them.
//
// Include lib/io.glsl first; the shader enables GL_KHR_shader_subgroup_basic and _shuffle.

// The row of this subgroup, in a grid that op_rows() laid out.
uint row_index()
{
    return (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * (gl_WorkGroupSize.x / LANES) + gl_SubgroupID;
}

// The sum over the lanes, in every lane. Shuffles by a constant are free on the CPU driver, where
// subgroupAdd is a loop.
float row_sum(float v)
{
    [[unroll]] for (uint m = LANES / 2; m > 0; m >>= 1)
        v += subgroupShuffle(v, gl_SubgroupInvocationID ^ m);
    return v;
}

float row_max(float v)
{
    [[unroll]] for (uint m = LANES / 2; m > 0; m >>= 1)
        v = max(v, subgroupShuffle(v, gl_SubgroupInvocationID ^ m));
    return v;
}

#ifdef V4
float inside(vec4 v) { return (v.x + v.y) + (v.z + v.w); }
#else
float inside(float v) { return v; }
#endif

// How shaders read and write tensors.
//
// An input is read through a texel buffer (READ_TEXEL: straight-line vector code on the CPU driver)
// or a storage buffer (READ_BUFFER). A binding is a whole memory block; where the tensor lies in it
// is a push constant, in units of 4 bytes. IN4 and GET4 move four floats at a time, so their index
// is that offset divided by four plus the texel; IN1 and GET1 move single floats.
//
// An output is a storage buffer. OUT4/OUT1 declare it; write SET4/SET1(name, i, on, v), which give texel or
// number i the value v where `on`, or name.at[i] = v. OUT4U and SET4U do the same for words of any type, and OUT2
// adds SET2, of pairs, to an output. On the CPU driver, which stores in a loop over the lanes, SET4 takes a
// quarter less time: it moves eight bytes a turn, and needs no branch where `on` is false and outside of control
// flow, because what is stored past the end of a buffer is dropped (robustBufferAccess). So there
// IDLE(condition) lets invocations that have nothing to write go on; what they read may be anything.

#ifdef READ_TEXEL
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#define IN4(slot, name) layout(binding = slot, rgba32f) readonly uniform imageBuffer name
#define IN1(slot, name) layout(binding = slot, r32f) readonly uniform imageBuffer name
#define IN4U(slot, name) layout(binding = slot, rgba32ui) readonly uniform uimageBuffer name
#define IN1U(slot, name) layout(binding = slot, r32ui) readonly uniform uimageBuffer name
#define GET4(name, i) imageLoad(name, int(i))
#define GET1(name, i) imageLoad(name, int(i)).x
#define GET4U(name, i) imageLoad(name, int(i))
#define GET1U(name, i) imageLoad(name, int(i)).x
#define OUT4(slot, name) \
    layout(binding = slot, std430) buffer Out_##name { vec4 at[]; } name; \
    layout(binding = slot, std430) buffer Wide_##name { u64vec2 at[]; } wide_##name
#define SET4(name, i, on, v) wide_##name.at[(on) ? (i) : 0x0fffffffu] = packed_(v)
#define OUT2(slot, name) layout(binding = slot, std430) buffer Pair_##name { uint64_t at[]; } pair_##name
#define SET2(name, i, on, v) pair_##name.at[(on) ? (i) : 0x1fffffffu] = packUint2x32(floatBitsToUint(v))
#define SET1(name, i, on, v) name.at[(on) ? (i) : 0x3fffffffu] = v
#define OUT4U(slot, name) \
    layout(binding = slot, std430) buffer Out_##name { uvec4 at[]; } name; \
    layout(binding = slot, std430) buffer Wide_##name { u64vec2 at[]; } wide_##name
#define SET4U(name, i, on, v) SET4(name, i, on, v)
#define IDLE(condition)
u64vec2 packed_(uvec4 v) { return u64vec2(packUint2x32(v.xy), packUint2x32(v.zw)); }
u64vec2 packed_(vec4 v) { return packed_(floatBitsToUint(v)); }
#else
#define IN4(slot, name) layout(binding = slot, std430) readonly buffer In_##name { vec4 at[]; } name
#define IN1(slot, name) layout(binding = slot, std430) readonly buffer In_##name { float at[]; } name
#define IN4U(slot, name) layout(binding = slot, std430) readonly buffer In_##name { uvec4 at[]; } name
#define IN1U(slot, name) layout(binding = slot, std430) readonly buffer In_##name { uint at[]; } name
#define GET4(name, i) name.at[i]
#define GET1(name, i) name.at[i]
#define GET4U(name, i) name.at[i]
#define GET1U(name, i) name.at[i]
#define OUT4(slot, name) layout(binding = slot, std430) buffer Out_##name { vec4 at[]; } name
#define OUT2(slot, name) layout(binding = slot, std430) buffer Pair_##name { vec2 at[]; } pair_##name
#define SET4(name, i, on, v) if (on) name.at[i] = v
#define SET2(name, i, on, v) if (on) pair_##name.at[i] = v
#define SET1(name, i, on, v) if (on) name.at[i] = v
#define OUT4U(slot, name) layout(binding = slot, std430) buffer Out_##name { uvec4 at[]; } name
#define SET4U(name, i, on, v) if (on) name.at[i] = v
#define IDLE(condition) if (condition) return
#endif

#define OUT1(slot, name) layout(binding = slot, std430) buffer Out_##name { float at[]; } name
#define OUT1U(slot, name) layout(binding = slot, std430) buffer Out_##name { uint at[]; } name

// Elementwise shaders are written once for NUM, which is four floats (V4) or one (V1). AT(offset)
// is where a tensor starts, in units of NUM.
#ifdef V4
#define NUM vec4
#define IN(slot, name) IN4(slot, name)
#define OUT(slot, name) OUT4(slot, name)
#define SET(name, i, on, v) SET4(name, i, on, v)
#define GET(name, i) GET4(name, i)
#define AT(offset) ((offset) >> 2)
#endif
#ifdef V1
#define NUM float
#define IN(slot, name) IN1(slot, name)
#define OUT(slot, name) OUT1(slot, name)
#define SET(name, i, on, v) SET1(name, i, on, v)
#define GET(name, i) GET1(name, i)
#define AT(offset) (offset)
#endif

// Number 0 is the workgroup's width, number 1 the lanes of a subgroup.
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint LANES = 8;

// The element of this invocation, in a grid that op_grid() laid out: at most 32768 groups in x.
uint flat_index()
{
    return (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
}

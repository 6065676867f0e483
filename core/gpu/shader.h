/* shader.h - the SPIR-V that the build embeds, sorted by name. */
#ifndef TAIN_GPU_SHADER_H
#define TAIN_GPU_SHADER_H

#include <stddef.h>
#include <stdint.h>

struct gpu_shader {
    const char *name; /* "matmul.b_f32.texel" */
    const uint32_t *code;
    size_t bytes;
};

extern const struct gpu_shader gpu_shaders[];
extern const size_t gpu_shader_count;

#endif

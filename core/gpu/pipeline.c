/* pipeline.c - pipelines by name, descriptor sets by the blocks they bind.
 *
 * Every binding of a shader is a storage buffer, or (on the CPU driver) a texel buffer for what is
 * only read. Which is which stands in the SPIR-V itself; a few lines below read it, so no table of
 * layouts exists. A descriptor set binds whole blocks and is kept; where in the block a tensor
 * lies goes through push constants. So a step of thousands of dispatches needs a handful of sets.
 */
#include "gpu/vk.h"

#include "gpu/shader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What a shader binds ---- */

enum { OP_CAPABILITY = 17, CAPABILITY_COOPERATIVE_MATRIX = 6022 };
enum { OP_TYPE_IMAGE = 25, OP_TYPE_STRUCT = 30, OP_TYPE_POINTER = 32, OP_VARIABLE = 59, OP_DECORATE = 71 };
enum { DECORATION_BINDING = 33, STORAGE_UNIFORM_CONSTANT = 0, STORAGE_STORAGE_BUFFER = 12 };
enum { FORMAT_RGBA32F = 1, FORMAT_R32F = 3, FORMAT_RGBA32UI = 30, FORMAT_R32UI = 33 };

/* Fills in kind[binding]; returns the number of bindings or a negative status. */
static int reflect(const struct gpu_shader *s, uint8_t kind[GPU_BINDINGS])
{
    const uint32_t *code = s->code;
    size_t words = s->bytes / 4;
    uint32_t bound = code[3];
    uint32_t *binding = base_alloc(bound, sizeof(*binding)); /* by id, plus one */
    uint32_t *image = base_alloc(bound, sizeof(*image));     /* by type id: format plus one */
    uint32_t *points = base_alloc(bound, sizeof(*points));   /* by pointer type id */
    int count = 0;

    if (!binding || !image || !points) {
        count = TAIN_ENOMEM;
        goto done;
    }
    memset(kind, 0, GPU_BINDINGS);
    for (size_t i = 5; i < words; i += code[i] >> 16) {
        const uint32_t *op = code + i;
        switch (op[0] & 0xffff) {
        case OP_DECORATE:
            if (op[2] == DECORATION_BINDING)
                binding[op[1]] = op[3] + 1;
            break;
        case OP_TYPE_IMAGE:
            image[op[1]] = op[8] + 1;
            break;
        case OP_TYPE_POINTER:
            points[op[1]] = op[3];
            break;
        case OP_VARIABLE: {
            uint32_t slot = binding[op[2]], format = image[points[op[1]]];
            if (!slot)
                break;
            if (slot > GPU_BINDINGS) {
                count = fail(TAIN_EUNSUPPORTED, "shader %s: more than %d bindings", s->name, GPU_BINDINGS);
                goto done;
            }
            if (op[3] == STORAGE_UNIFORM_CONSTANT)
                kind[slot - 1] = 1 + (format == FORMAT_RGBA32F + 1    ? VIEW_F4
                                      : format == FORMAT_RGBA32UI + 1 ? VIEW_U4
                                      : format == FORMAT_R32F + 1     ? VIEW_F1
                                                                      : VIEW_U1);
            if ((int)slot > count)
                count = (int)slot;
            break;
        }
        }
    }
done:
    free(binding);
    free(image);
    free(points);
    return count;
}

/* Whether it works on cooperative matrices, which are spread over whole subgroups. */
static bool cooperates(const struct gpu_shader *s)
{
    for (size_t i = 5; i < s->bytes / 4 && (s->code[i] & 0xffff) == OP_CAPABILITY; i += s->code[i] >> 16)
        if (s->code[i + 1] == CAPABILITY_COOPERATIVE_MATRIX)
            return true;
    return false;
}

static struct set_layout *layout_for(struct gpu *g, const uint8_t *kind, int count)
{
    VkDescriptorSetLayoutBinding bindings[GPU_BINDINGS] = { 0 };
    VkDescriptorSetLayoutCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = (uint32_t)count,
        .pBindings = bindings,
    };
    VkPushConstantRange push = { VK_SHADER_STAGE_COMPUTE_BIT, 0, GPU_PUSH };
    VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &push,
    };
    struct set_layout *l;

    for (int i = 0; i < g->layout_count; i++)
        if (g->layouts[i]->count == count && !memcmp(g->layouts[i]->kind, kind, (size_t)count))
            return g->layouts[i];
    if (g->layout_count == COUNT_OF(g->layouts)) {
        fail(TAIN_EUNSUPPORTED, "too many kinds of descriptor sets");
        return NULL;
    }
    l = base_alloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->count = count;
    memcpy(l->kind, kind, (size_t)count);
    for (int i = 0; i < count; i++) {
        bindings[i] = (VkDescriptorSetLayoutBinding){
            .binding = (uint32_t)i,
            .descriptorType = kind[i] ? VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        };
    }
    if (vkCreateDescriptorSetLayout(g->device, &info, NULL, &l->layout)) {
        free(l);
        fail(TAIN_EDEVICE, "the driver refused a descriptor set layout");
        return NULL;
    }
    layout.pSetLayouts = &l->layout;
    if (vkCreatePipelineLayout(g->device, &layout, NULL, &l->pipeline)) {
        vkDestroyDescriptorSetLayout(g->device, l->layout, NULL);
        free(l);
        fail(TAIN_EDEVICE, "the driver refused a pipeline layout");
        return NULL;
    }
    g->layouts[g->layout_count++] = l;
    return l;
}

/* ---- Pipelines ---- */

static int by_name(const void *key, const void *item)
{
    return strcmp(key, ((const struct gpu_shader *)item)->name);
}

static const struct gpu_shader *find_shader(const struct gpu *g, const char *name)
{
    char full[128];

    snprintf(full, sizeof(full), "%s%s", name, g->info.texel ? ".texel" : "");
    return bsearch(full, gpu_shaders, gpu_shader_count, sizeof(*gpu_shaders), by_name);
}

static uint32_t hash_bytes(const void *data, size_t n)
{
    const uint8_t *p = data;
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 16777619u;
    return h ^ h >> 15;
}

uint64_t gpu_build(void)
{
    uint64_t h = 0;

    for (size_t i = 0; i < gpu_shader_count; i++)
        h = h * 31 + hash_bytes(gpu_shaders[i].code, gpu_shaders[i].bytes);
    return h;
}

struct gpu_pipeline *gpu_pipeline(struct gpu *g, const char *name, uint32_t width,
                                  const uint32_t *constants, int count)
{
    enum { MOST = 14 };
    uint32_t values[2 + MOST] = { width ? width : g->info.lanes, g->info.lanes };
    VkSpecializationMapEntry entries[2 + MOST];
    VkSpecializationInfo special = { .mapEntryCount = 2u + (uint32_t)count, .pMapEntries = entries,
                                     .dataSize = (2u + (size_t)count) * 4, .pData = values };
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = g->info.lanes,
    };
    VkShaderModuleCreateInfo module_info = { .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO };
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
            .pNext = g->size_control ? &size : NULL,
            .stage = VK_SHADER_STAGE_COMPUTE_BIT,
            .pName = "main",
            .pSpecializationInfo = &special,
        },
    };
    const struct gpu_shader *shader;
    struct gpu_pipeline *p;
    uint8_t kind[GPU_BINDINGS];
    VkShaderModule module;
    char key[256];
    uint32_t bucket;
    int n, bindings;
    VkResult result;

    if (count < 0 || count > MOST) {
        fail(TAIN_EINVAL, "pipeline %s: %d constants", name, count);
        return NULL;
    }
    if (values[0] > g->info.invocations) {
        fail(TAIN_EUNSUPPORTED, "pipeline %s: a workgroup of %u invocations; the device allows %u", name, values[0],
             g->info.invocations);
        return NULL;
    }
    n = snprintf(key, sizeof(key), "%s/%u", name, values[0]);
    for (int i = 0; i < count && n < (int)sizeof(key); i++) {
        values[2 + i] = constants[i];
        n += snprintf(key + n, sizeof(key) - (size_t)n, ",%u", constants[i]);
    }
    if (n >= (int)sizeof(key)) {
        fail(TAIN_EINVAL, "pipeline %s: its name and constants are too long", name);
        return NULL;
    }
    bucket = hash_bytes(key, (size_t)n) % PIPELINE_BUCKETS;
    for (p = g->pipelines[bucket]; p; p = p->next)
        if (!strcmp(p->key, key))
            return p;

    shader = find_shader(g, name);
    if (!shader) {
        fail(TAIN_EUNSUPPORTED, "there is no shader named %s", name);
        return NULL;
    }
    if (cooperates(shader)) {
        if (!g->info.coop[0]) {
            fail(TAIN_EUNSUPPORTED, "pipeline %s: the device has no cooperative matrices", name);
            return NULL;
        }
        if (g->full_subgroups)
            info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT_EXT;
    }
    bindings = reflect(shader, kind);
    if (bindings < 0)
        return NULL;
    for (uint32_t i = 0; i < special.mapEntryCount; i++)
        entries[i] = (VkSpecializationMapEntry){ .constantID = i, .offset = i * 4, .size = 4 };
    module_info.codeSize = shader->bytes;
    module_info.pCode = shader->code;
    p = base_alloc(1, sizeof(*p));
    if (!p || !(p->key = base_strdup(key)) || !(p->set = layout_for(g, kind, bindings)))
        goto failed;
    result = vkCreateShaderModule(g->device, &module_info, NULL, &module);
    if (result) {
        vk_fail(g, result, "vkCreateShaderModule");
        goto failed;
    }
    info.stage.module = module;
    info.layout = p->set->pipeline;
    result = vkCreateComputePipelines(g->device, VK_NULL_HANDLE, 1, &info, NULL, &p->pipeline);
    vkDestroyShaderModule(g->device, module, NULL);
    if (result) {
        vk_fail(g, result, "vkCreateComputePipelines");
        fail_in("shader %s", name);
        goto failed;
    }
    p->next = g->pipelines[bucket];
    g->pipelines[bucket] = p;
    return p;
failed:
    if (p)
        free(p->key);
    free(p);
    return NULL;
}

/* ---- Descriptor sets ---- */

static int pool_grow(struct gpu *g)
{
    enum { SETS = 256 };
    VkDescriptorPoolSize sizes[2] = {
        { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, SETS * GPU_BINDINGS },
        { VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER, SETS * GPU_BINDINGS },
    };
    VkDescriptorPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .flags = VK_DESCRIPTOR_POOL_CREATE_FREE_DESCRIPTOR_SET_BIT,
        .maxSets = SETS,
        .poolSizeCount = 2,
        .pPoolSizes = sizes,
    };
    VkDescriptorPool *more = base_grow(g->pools, (size_t)g->pool_count, (size_t)g->pool_count + 1, sizeof(*more));

    if (!more)
        return TAIN_ENOMEM;
    g->pools = more;
    VK(g, vkCreateDescriptorPool(g->device, &info, NULL, &g->pool));
    g->pools[g->pool_count++] = g->pool;
    g->pool_left = SETS;
    return 0;
}

int vk_set(struct gpu *g, struct set_layout *layout, struct gpu_block *const *blocks, VkDescriptorSet *set)
{
    VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorSetCount = 1,
        .pSetLayouts = &layout->layout,
    };
    VkWriteDescriptorSet writes[GPU_BINDINGS] = { 0 };
    VkDescriptorBufferInfo buffers[GPU_BINDINGS];
    VkBufferView views[GPU_BINDINGS];
    uint32_t ids[GPU_BINDINGS] = { 0 }, bucket;
    struct set_entry *e;
    int status;

    for (int i = 0; i < layout->count; i++)
        ids[i] = blocks[i]->id;
    bucket = (hash_bytes(ids, sizeof(ids)) ^ (uint32_t)(uintptr_t)layout >> 4) % SET_BUCKETS;
    for (e = g->sets[bucket]; e; e = e->next)
        if (e->layout == layout && !memcmp(e->ids, ids, sizeof(ids))) {
            *set = e->set;
            return 0;
        }
    if (!g->pool_left && (status = pool_grow(g)))
        return status;
    e = base_alloc(1, sizeof(*e));
    if (!e)
        return TAIN_ENOMEM;
    info.descriptorPool = g->pool;
    if (vkAllocateDescriptorSets(g->device, &info, &e->set)) {
        free(e);
        return fail(TAIN_EDEVICE, "the driver refused a descriptor set");
    }
    g->pool_left--;
    for (int i = 0; i < layout->count; i++) {
        struct gpu_block *b = blocks[i];
        writes[i] = (VkWriteDescriptorSet){
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
            .dstSet = e->set,
            .dstBinding = (uint32_t)i,
            .descriptorCount = 1,
            .descriptorType = layout->kind[i] ? VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER
                                              : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .pBufferInfo = &buffers[i],
            .pTexelBufferView = &views[i],
        };
        buffers[i] = (VkDescriptorBufferInfo){ b->buffer, 0, b->bytes > g->info.range ? g->info.range : VK_WHOLE_SIZE };
        if (layout->kind[i] && (status = vk_view(g, b, (enum vk_view)(layout->kind[i] - 1), &views[i]))) {
            free(e);
            return status;
        }
    }
    vkUpdateDescriptorSets(g->device, (uint32_t)layout->count, writes, 0, NULL);
    e->layout = layout;
    memcpy(e->ids, ids, sizeof(ids));
    e->pool = g->pool;
    e->next = g->sets[bucket];
    g->sets[bucket] = e;
    *set = e->set;
    return 0;
}

void vk_forget_block(struct gpu *g, struct gpu_block *b)
{
    for (int i = 0; i < SET_BUCKETS; i++)
        for (struct set_entry **at = &g->sets[i]; *at;) {
            struct set_entry *e = *at;
            bool names = false;
            for (int k = 0; k < e->layout->count; k++)
                names |= e->ids[k] == b->id;
            if (!names) {
                at = &e->next;
                continue;
            }
            *at = e->next;
            vkFreeDescriptorSets(g->device, e->pool, 1, &e->set);
            free(e);
        }
}

/* One line a pipeline: milliseconds in all, runs, GFLOP/s by estimate, name and constants. */
void vk_profile_write(struct gpu *g)
{
    FILE *f = fopen(g->profile, "w");

    for (int i = 0; f && i < PIPELINE_BUCKETS; i++)
        for (struct gpu_pipeline *p = g->pipelines[i]; p; p = p->next)
            if (p->runs)
                fprintf(f, "%10.2f ms %6llu runs %8.2f GF/s  %s\n", p->seconds * 1e3, (unsigned long long)p->runs,
                        p->work / p->seconds / 1e9, p->key);
    if (f)
        fclose(f);
}

void vk_pipelines_close(struct gpu *g)
{
    for (int i = 0; i < PIPELINE_BUCKETS; i++)
        for (struct gpu_pipeline *p = g->pipelines[i], *next; p; p = next) {
            next = p->next;
            vkDestroyPipeline(g->device, p->pipeline, NULL);
            free(p->key);
            free(p);
        }
    for (int i = 0; i < SET_BUCKETS; i++)
        for (struct set_entry *e = g->sets[i], *next; e; e = next) {
            next = e->next;
            free(e);
        }
    for (int i = 0; i < g->pool_count; i++)
        vkDestroyDescriptorPool(g->device, g->pools[i], NULL);
    free(g->pools);
    for (int i = 0; i < g->layout_count; i++) {
        vkDestroyPipelineLayout(g->device, g->layouts[i]->pipeline, NULL);
        vkDestroyDescriptorSetLayout(g->device, g->layouts[i]->layout, NULL);
        free(g->layouts[i]);
    }
}

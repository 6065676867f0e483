/* vk.h - the inside of core/gpu, shared by its files. */
#ifndef TAIN_GPU_VK_H
#define TAIN_GPU_VK_H

#include "gpu/gpu.h"

#include <vulkan/vulkan.h>

/* Returns EDEVICE with the call's name, or ENOMEM, unless the call succeeds. */
#define VK(g, call)                                                                                \
    do {                                                                                           \
        VkResult result_ = (call);                                                                 \
        if (result_ < 0)                                                                           \
            return vk_fail((g), result_, #call);                                                   \
    } while (0)

enum vk_view { VIEW_F4, VIEW_U4, VIEW_F1, VIEW_U1, VIEW_KINDS };

/* One allocation of the driver with one buffer over it, and the allocator's lists for it. */
struct gpu_block {
    uint32_t id;
    uint64_t bytes;
    VkBuffer buffer;
    VkDeviceMemory memory;
    VkBufferView view[VIEW_KINDS]; /* made on first use */
    char *mapped;                  /* NULL where the host cannot read it fast */
    struct node *nodes;            /* all pieces in order of address */
    struct gpu_block *next;
};

struct set_layout {
    uint32_t signature; /* two bits a binding and more, see pipeline.c */
    int count;
    uint8_t kind[GPU_BINDINGS]; /* 0 storage buffer, 1 + enum vk_view texel buffer */
    VkDescriptorSetLayout layout;
    VkPipelineLayout pipeline;
};

struct gpu_pipeline {
    char *key;
    VkPipeline pipeline;
    struct set_layout *set;
    struct gpu_pipeline *next; /* in its bucket */
    double seconds, work;      /* under TAIN_PROFILE */
    uint64_t runs;
};

struct touched {
    struct gpu_block *block;
    uint64_t begin, end;
    bool write;
};

/* A command buffer and what must live until it has run. */
struct slot {
    VkCommandBuffer cmd;
    uint64_t value; /* of the timeline when it has run */
    double work;
    uint64_t staged; /* bytes that it writes to the device */
    struct staging {
        VkBuffer buffer;
        VkDeviceMemory memory;
    } *staging;
    int staging_count, staging_room;
};

enum { SLOTS = 4, SET_BUCKETS = 1024, PIPELINE_BUCKETS = 256, BINS = 160 };

struct set_entry {
    struct set_layout *layout;
    uint32_t ids[GPU_BINDINGS];
    VkDescriptorSet set;
    VkDescriptorPool pool;
    struct set_entry *next;
};

struct gpu {
    struct gpu_info info;
    const char *lost; /* the call that lost the device; NULL: it lives */
    bool plan; /* memory is counted and not taken, work is checked and not done */
    const char *profile; /* a file: every dispatch is waited for, and its time written there at the end */
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    uint32_t family;
    VkQueue queue;
    VkPhysicalDeviceMemoryProperties memory;
    bool size_control, full_subgroups;

    /* memory */
    struct gpu_block *blocks;
    struct node *bins[BINS];
    uint32_t next_block;
    struct gpu_usage usage;
    uint64_t versions; /* of ranges, so far */
    uint64_t limit;

    /* pipelines */
    struct set_layout *layouts[64];
    int layout_count;
    struct gpu_pipeline *pipelines[PIPELINE_BUCKETS];
    VkDescriptorPool pool;
    int pool_left;
    VkDescriptorPool *pools;
    int pool_count;
    struct set_entry *sets[SET_BUCKETS];

    /* commands */
    VkCommandPool commands;
    VkQueryPool queries;
    double tick; /* seconds a timestamp; 0: there are none */
    uint64_t tick_mask;
    VkSemaphore timeline;
    uint64_t submitted, finished;
    struct slot slots[SLOTS];
    int current; /* slot that is being recorded */
    bool recording;
    struct touched *touched;
    int touched_count, touched_room;
    bool whole; /* under the validation layer: parts of one block conflict as if they were all of it */
    VkPipeline bound;
    double rate; /* work a second, learnt */
    struct gpu_counts counts;
};

/* The feature, in the chain that a device is opened with. */
struct vk_coop {
    VkStructureType type;
    void *next;
    VkBool32 matrices, robust;
};

#define VK_COOP "VK_KHR_cooperative_matrix"

/* Where the device has what matmul_coop.comp needs of it, of a size that fits: asks for it in *want, and tells in
 * g->info. The extension is there, and so are g->physical and g->info. (coop.c) */
bool vk_coop(struct gpu *g, VkPhysicalDeviceVulkan12Features *want, struct vk_coop *coop);
int vk_fail(struct gpu *g, VkResult result, const char *call);
int vk_memory_type(struct gpu *g, uint32_t allowed, VkMemoryPropertyFlags want);
uint64_t vk_view_bytes(const struct gpu *g, enum vk_view kind);
int vk_view(struct gpu *g, struct gpu_block *b, enum vk_view kind, VkBufferView *view);
int vk_set(struct gpu *g, struct set_layout *layout, struct gpu_block *const *blocks, VkDescriptorSet *set);
void vk_forget_block(struct gpu *g, struct gpu_block *b); /* drops the sets that name it */
void vk_written(struct gpu *g, const struct gpu_range *range); /* it has another version (memory.c) */
int vk_commands_open(struct gpu *g);
void vk_commands_close(struct gpu *g);
void vk_memory_close(struct gpu *g);
void vk_pipelines_close(struct gpu *g);
void vk_profile_write(struct gpu *g);

#endif

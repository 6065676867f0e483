/* command.c - recording, barriers, submission, transfer.
 *
 * The one thing to understand: commands run in the order of the calls as far as anyone can see.
 * A list of what the commands since the last barrier read and wrote decides whether the next one
 * needs a barrier first. Independent dispatches get none between them.
 *
 * A submission is never long, because drivers reset a device after about two seconds: each
 * dispatch comes with an estimate of its work, the device's timestamps tell how long a submission
 * really took, and recording stops where the next submission should take TARGET seconds.
 */
#include "gpu/vk.h"

#include <stdlib.h>
#include <string.h>

#define TARGET 0.1        /* seconds a submission */
#define SLICE 250000000ull /* nanoseconds a wait lasts before it looks whether the user wants to stop */

static int fail_lost(const char *call)
{
    return fail(TAIN_EDEVICE, "the device was lost in %.*s; nothing on it can be used again", (int)strcspn(call, "("), call);
}

int vk_fail(struct gpu *g, VkResult result, const char *call)
{
    int name = (int)strcspn(call, "(");

    switch (result) {
    case VK_ERROR_DEVICE_LOST:
        if (g && !g->lost)
            g->lost = call;
        return fail_lost(call);
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return fail(TAIN_ENOMEM, "out of host memory in %.*s", name, call);
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return fail(TAIN_ENOMEM, "out of device memory in %.*s", name, call);
    default:
        return fail(TAIN_EDEVICE, "%.*s failed with VkResult %d", name, call, result);
    }
}

static int lost(struct gpu *g)
{
    return g->lost ? fail_lost(g->lost) : 0;
}

/* ---- Opening and closing ---- */

int vk_commands_open(struct gpu *g)
{
    VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
        .queueFamilyIndex = g->family,
    };
    VkSemaphoreTypeCreateInfo kind = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
        .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
    };
    VkSemaphoreCreateInfo semaphore = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &kind };
    VkQueryPoolCreateInfo queries = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
        .queryType = VK_QUERY_TYPE_TIMESTAMP,
        .queryCount = 2 * SLOTS,
    };

    /* The layer sees bindings, which are whole blocks, and would take the dispatches of an optimizer
     * on neighbouring parameters, say, for a race. */
    g->whole = getenv("TAIN_UNPOOLED") != NULL;

    VK(g, vkCreateCommandPool(g->device, &pool, NULL, &g->commands));
    VK(g, vkCreateSemaphore(g->device, &semaphore, NULL, &g->timeline));
    if (g->tick > 0)
        VK(g, vkCreateQueryPool(g->device, &queries, NULL, &g->queries));
    for (int i = 0; i < SLOTS; i++) {
        VkCommandBufferAllocateInfo info = {
            .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
            .commandPool = g->commands,
            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
            .commandBufferCount = 1,
        };
        VK(g, vkAllocateCommandBuffers(g->device, &info, &g->slots[i].cmd));
    }
    g->rate = 2e10; /* until measured: slow enough for the slowest device */
    return 0;
}

static void drop_staging(struct gpu *g, struct slot *s)
{
    for (int i = 0; i < s->staging_count; i++) {
        vkDestroyBuffer(g->device, s->staging[i].buffer, NULL);
        vkFreeMemory(g->device, s->staging[i].memory, NULL);
    }
    s->staging_count = 0;
}

void vk_commands_close(struct gpu *g)
{
    for (int i = 0; i < SLOTS; i++) {
        drop_staging(g, &g->slots[i]);
        free(g->slots[i].staging);
    }
    vkDestroyQueryPool(g->device, g->queries, NULL);
    vkDestroySemaphore(g->device, g->timeline, NULL);
    vkDestroyCommandPool(g->device, g->commands, NULL);
    free(g->touched);
}

/* ---- Waiting ---- */

/* Waits until the timeline has reached `value`, in slices. */
static int wait_for(struct gpu *g, uint64_t value)
{
    VkSemaphoreWaitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
        .semaphoreCount = 1,
        .pSemaphores = &g->timeline,
        .pValues = &value,
    };
    VkResult result;

    if (g->finished >= value)
        return 0;
    do {
        result = vkWaitSemaphores(g->device, &info, SLICE);
        if (result == VK_TIMEOUT && base_interrupted > 1)
            return fail(TAIN_EINTERRUPTED, "stopped by the user while the device was at work");
    } while (result == VK_TIMEOUT);
    if (result < 0)
        return vk_fail(g, result, "vkWaitSemaphores");
    g->finished = value;
    return 0;
}

/* Takes back a slot that has run: learns from its time, frees its staging. */
static int reclaim(struct gpu *g, struct slot *s)
{
    uint64_t times[2];
    int status;

    if (!s->value)
        return 0;
    if ((status = wait_for(g, s->value)))
        return status;
    if (g->tick > 0 && s->work > 0 &&
        !vkGetQueryPoolResults(g->device, g->queries, (uint32_t)(s - g->slots) * 2, 2, sizeof(times), times, 8,
                               VK_QUERY_RESULT_64_BIT)) {
        double seconds = (double)((times[1] - times[0]) & g->tick_mask) * g->tick;
        if (seconds > g->counts.longest)
            g->counts.longest = seconds;
        /* Only submissions that were long enough to say something. Shorter estimates at once,
         * longer ones slowly. */
        if (seconds > 1e-3) {
            double rate = s->work / seconds;
            g->rate = rate < g->rate ? rate : g->rate * 0.8 + rate * 0.2;
        }
    }
    drop_staging(g, s);
    s->value = 0;
    s->work = 0;
    s->staged = 0;
    return 0;
}

/* ---- Recording ---- */

static int begin(struct gpu *g)
{
    struct slot *s = &g->slots[g->current];
    VkCommandBufferBeginInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
    };
    int status;

    if (g->recording)
        return lost(g);
    if ((status = lost(g)) || (status = reclaim(g, s)))
        return status;
    VK(g, vkBeginCommandBuffer(s->cmd, &info));
    if (g->tick > 0) {
        vkCmdResetQueryPool(s->cmd, g->queries, (uint32_t)g->current * 2, 2);
        vkCmdWriteTimestamp(s->cmd, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, g->queries, (uint32_t)g->current * 2);
    }
    g->recording = true;
    g->bound = VK_NULL_HANDLE;
    return 0;
}

int gpu_submit(struct gpu *g)
{
    struct slot *s = &g->slots[g->current];
    uint64_t value = g->submitted + 1;
    VkTimelineSemaphoreSubmitInfo timeline = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .signalSemaphoreValueCount = 1,
        .pSignalSemaphoreValues = &value,
    };
    VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .pNext = &timeline,
        .commandBufferCount = 1,
        .pCommandBuffers = &s->cmd,
        .signalSemaphoreCount = 1,
        .pSignalSemaphores = &g->timeline,
    };
    VkMemoryBarrier all = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT |
                         VK_ACCESS_TRANSFER_WRITE_BIT | VK_ACCESS_HOST_READ_BIT,
    };

    if (!g->recording)
        return lost(g);
    /* What follows in the next submission, or on the host, sees all of this one. */
    vkCmdPipelineBarrier(s->cmd, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                         VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT |
                             VK_PIPELINE_STAGE_HOST_BIT,
                         0, 1, &all, 0, NULL, 0, NULL);
    if (g->tick > 0)
        vkCmdWriteTimestamp(s->cmd, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, g->queries, (uint32_t)g->current * 2 + 1);
    g->recording = false;
    g->touched_count = 0;
    VK(g, vkEndCommandBuffer(s->cmd));
    if (base_fault(FAULT_DEVICE))
        return vk_fail(g, VK_ERROR_DEVICE_LOST, "vkQueueSubmit");
    VK(g, vkQueueSubmit(g->queue, 1, &info, VK_NULL_HANDLE));
    g->submitted = value;
    s->value = value;
    g->counts.submits++;
    g->current = (g->current + 1) % SLOTS;
    return 0;
}

int gpu_wait(struct gpu *g)
{
    int status = gpu_submit(g);

    if (status || (status = wait_for(g, g->submitted)))
        return status;
    for (int i = 0; i < SLOTS; i++)
        if ((status = reclaim(g, &g->slots[i])))
            return status;
    return 0;
}

/* Puts a barrier where this access needs one, and remembers the access. */
static int touch(struct gpu *g, const struct touched *list, int count)
{
    VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT |
                         VK_ACCESS_TRANSFER_WRITE_BIT,
    };
    bool conflict = false;

    for (int i = 0; i < count && !conflict; i++)
        for (int k = 0; k < g->touched_count && !conflict; k++) {
            const struct touched *a = &list[i], *b = &g->touched[k];
            conflict = a->block == b->block && (a->write || b->write) &&
                       (g->whole || (a->begin < b->end && b->begin < a->end));
        }
    if (conflict || g->touched_count > 256) {
        vkCmdPipelineBarrier(g->slots[g->current].cmd,
                             VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                             VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &barrier, 0,
                             NULL, 0, NULL);
        g->touched_count = 0;
        g->counts.barriers++;
    }
    if (g->touched_count + count > g->touched_room) {
        int room = (g->touched_count + count) * 2;
        struct touched *more = base_grow(g->touched, (size_t)g->touched_count, (size_t)room, sizeof(*more));
        if (!more)
            return TAIN_ENOMEM;
        g->touched = more;
        g->touched_room = room;
    }
    for (int i = 0; i < count; i++)
        g->touched[g->touched_count++] = list[i];
    return 0;
}

int gpu_dispatch(struct gpu *g, struct gpu_pipeline *p, const struct gpu_bind *binds, int count,
                 const void *params, size_t params_bytes, uint32_t x, uint32_t y, uint32_t z, double work)
{
    struct gpu_block *blocks[GPU_BINDINGS];
    struct touched touched[GPU_BINDINGS];
    struct slot *s;
    static const uint32_t digits[] = { 0, 1, 2, 3 };
    uint32_t push[GPU_PUSH / 4];
    size_t pushed;
    VkDescriptorSet set;
    int status;

    if (!p)
        return tain_error_status();
    if (!x || !y || !z)
        return 0;
    if (count != p->set->count || (size_t)count * 4 + params_bytes > sizeof(push))
        return fail(TAIN_EINVAL, "%s: %d bindings and %zu bytes of parameters; it has %d bindings", p->key, count,
                    params_bytes, p->set->count);
    if (x > 65535 || y > 65535 || z > 65535)
        return fail(TAIN_EUNSUPPORTED, "%s: %u x %u x %u workgroups are more than a dispatch may have", p->key, x, y, z);
    for (int i = 0; i < count; i++) {
        const struct gpu_bind *b = &binds[i];
        uint64_t at, bytes, most = p->set->kind[i] ? vk_view_bytes(g, (enum vk_view)(p->set->kind[i] - 1)) : g->info.range;
        if (!b->range || !b->range->block)
            return fail(TAIN_EINVAL, "%s: binding %d has no memory", p->key, i);
        at = b->range->offset + b->offset;
        bytes = b->bytes ? b->bytes : b->range->bytes - b->offset;
        if (b->offset > b->range->bytes || bytes > b->range->bytes - b->offset)
            return fail(TAIN_EINVAL, "%s: binding %d leaves its memory", p->key, i);
        if (at + bytes > most)
            return fail(TAIN_EUNSUPPORTED, "%s: binding %d needs %llu KiB; the device binds at most %llu KiB", p->key, i,
                        (unsigned long long)(at + bytes + 1023) >> 10, (unsigned long long)most >> 10);
        blocks[i] = b->range->block;
        touched[i] = (struct touched){ b->range->block, at, at + bytes, b->access & GPU_WRITE };
        push[i] = (uint32_t)(at / 4);
    }
    if (g->plan)
        return 0;
    memcpy(push + count, params, params_bytes);
    pushed = (size_t)count * 4 + params_bytes;
    if (g->info.alike && pushed <= sizeof(push) - sizeof(digits)) { /* DIGITS of shaders/lib/each.glsl */
        memset((char *)push + pushed, 0, sizeof(push) - pushed);
        memcpy(push + COUNT_OF(push) - COUNT_OF(digits), digits, sizeof(digits));
        pushed = sizeof(push);
    }
    if ((status = begin(g)) || (status = vk_set(g, p->set, blocks, &set)) || (status = touch(g, touched, count)))
        return status;
    for (int i = 0; i < count; i++)
        if (binds[i].access & GPU_WRITE)
            vk_written(g, binds[i].range);
    s = &g->slots[g->current];
    if (g->bound != p->pipeline) {
        vkCmdBindPipeline(s->cmd, VK_PIPELINE_BIND_POINT_COMPUTE, p->pipeline);
        g->bound = p->pipeline;
    }
    vkCmdBindDescriptorSets(s->cmd, VK_PIPELINE_BIND_POINT_COMPUTE, p->set->pipeline, 0, 1, &set, 0, NULL);
    vkCmdPushConstants(s->cmd, p->set->pipeline, VK_SHADER_STAGE_COMPUTE_BIT, 0, (uint32_t)pushed, push);
    vkCmdDispatch(s->cmd, x, y, z);
    g->counts.dispatches++;
    s->work += work + 1e5; /* a dispatch is never free */
    if (g->profile) {
        /* A CPU driver shares its processors with others: what it used is what it costs. */
        double (*now)(void) = strcmp(g->info.kind, "cpu") ? base_seconds : base_cpu_seconds, start = now();
        if ((status = gpu_wait(g)))
            return status;
        p->seconds += now() - start;
        p->runs++;
        p->work += work;
        return 0;
    }
    return s->work > g->rate * TARGET ? gpu_submit(g) : 0;
}

/* ---- Transfer ---- */

/* Of a transfer, and of what one slot stages: what is written before anything is computed, a model's
 * weights for one, would otherwise all lie in staging memory once more until the first submission. */
enum { CHUNK = 16 << 20 };

/* Host-visible memory for one transfer, which lives until the current slot has run. */
static int stage(struct gpu *g, uint64_t bytes, struct staging *out, void **mapped)
{
    struct slot *s = &g->slots[g->current];
    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = bytes,
        .usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
    };
    VkMemoryRequirements need;
    VkMemoryAllocateInfo alloc = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO };
    int type;

    if (s->staging_count == s->staging_room) {
        int room = s->staging_room * 2 + 8;
        struct staging *more = base_grow(s->staging, (size_t)s->staging_room, (size_t)room, sizeof(*more));
        if (!more)
            return TAIN_ENOMEM;
        s->staging = more;
        s->staging_room = room;
    }
    *out = (struct staging){ 0 };
    VK(g, vkCreateBuffer(g->device, &info, NULL, &out->buffer));
    vkGetBufferMemoryRequirements(g->device, out->buffer, &need);
    type = vk_memory_type(g, need.memoryTypeBits,
                          VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT |
                              VK_MEMORY_PROPERTY_HOST_CACHED_BIT);
    if (type < 0)
        type = vk_memory_type(g, need.memoryTypeBits,
                              VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT);
    alloc.allocationSize = need.size;
    alloc.memoryTypeIndex = (uint32_t)(type < 0 ? 0 : type);
    if (vkAllocateMemory(g->device, &alloc, NULL, &out->memory)) {
        vkDestroyBuffer(g->device, out->buffer, NULL);
        return fail(TAIN_ENOMEM, "transfer: the driver refused %llu MiB of staging memory", (unsigned long long)bytes >> 20);
    }
    s->staging[s->staging_count++] = *out;
    VK(g, vkBindBufferMemory(g->device, out->buffer, out->memory, 0));
    VK(g, vkMapMemory(g->device, out->memory, 0, VK_WHOLE_SIZE, 0, mapped));
    return 0;
}

static bool idle(const struct gpu *g)
{
    return !g->recording && g->finished == g->submitted;
}

/* Whether a wait would be for more than copies. */
static bool computing(const struct gpu *g)
{
    for (int i = 0; i < SLOTS; i++)
        if (g->slots[i].work > 0 && (i == (int)g->current ? g->recording : g->slots[i].value > g->finished))
            return true;
    return false;
}

static int touch_one(struct gpu *g, const struct gpu_range *r, uint64_t offset, uint64_t bytes, bool write)
{
    struct touched t = { r->block, r->offset + offset, r->offset + offset + bytes, write };

    return touch(g, &t, 1);
}

int gpu_write(struct gpu *g, const struct gpu_range *to, uint64_t offset, const void *from, uint64_t bytes)
{
    enum { WORTH_A_WAIT = 1 << 20 };
    int status;

    if (!bytes || g->plan)
        return lost(g);
    vk_written(g, to);
    /* Where the host reaches it, much is written in place, once the copies before it have run; but a step
     * that computes is not waited for. */
    if (to->block->mapped && bytes >= WORTH_A_WAIT && !computing(g) && (status = gpu_wait(g)))
        return status;
    if (to->block->mapped && idle(g)) {
        memcpy(to->block->mapped + to->offset + offset, from, bytes);
        return lost(g);
    }
    for (uint64_t done = 0; done < bytes;) {
        uint64_t n = bytes - done < CHUNK ? bytes - done : CHUNK;
        VkBufferCopy copy = { .dstOffset = to->offset + offset + done, .size = n };
        struct staging staging;
        void *mapped;

        if (g->slots[g->current].staged + n > CHUNK && (status = gpu_submit(g)))
            return status;
        if ((status = begin(g)) || (status = touch_one(g, to, offset + done, n, true)))
            return status;
        g->slots[g->current].staged += n;
        if (n <= 65536 && n % 4 == 0 && copy.dstOffset % 4 == 0) {
            vkCmdUpdateBuffer(g->slots[g->current].cmd, to->block->buffer, copy.dstOffset, n, (const char *)from + done);
        } else {
            if ((status = stage(g, n, &staging, &mapped)))
                return status;
            memcpy(mapped, (const char *)from + done, n);
            vkCmdCopyBuffer(g->slots[g->current].cmd, staging.buffer, to->block->buffer, 1, &copy);
        }
        done += n;
    }
    return 0;
}

int gpu_read(struct gpu *g, const struct gpu_range *from, uint64_t offset, void *to, uint64_t bytes)
{
    int status;

    if (g->plan) {
        memset(to, 0, bytes);
        return 0;
    }
    if (from->block->mapped) {
        if ((status = gpu_wait(g)))
            return status;
        memcpy(to, from->block->mapped + from->offset + offset, bytes);
        return 0;
    }
    for (uint64_t done = 0; done < bytes;) {
        uint64_t n = bytes - done < CHUNK ? bytes - done : CHUNK;
        VkBufferCopy copy = { .srcOffset = from->offset + offset + done, .size = n };
        struct staging staging;
        struct slot *s;
        void *mapped;

        if ((status = begin(g)) || (status = touch_one(g, from, offset + done, n, false)) ||
            (status = stage(g, n, &staging, &mapped)))
            return status;
        s = &g->slots[g->current];
        vkCmdCopyBuffer(s->cmd, from->block->buffer, staging.buffer, 1, &copy);
        if ((status = gpu_submit(g)) || (status = wait_for(g, g->submitted)))
            return status;
        memcpy((char *)to + done, mapped, n);
        if ((status = reclaim(g, s)))
            return status;
        done += n;
    }
    return 0;
}

int gpu_copy_rows(struct gpu *g, const struct gpu_range *from, uint64_t from_offset, uint64_t from_pitch,
                  const struct gpu_range *to, uint64_t to_offset, uint64_t to_pitch, uint64_t bytes, uint64_t rows)
{
    VkBufferCopy copies[256];
    uint64_t read = from->offset + from_offset, write = to->offset + to_offset;
    struct touched t[2];
    int status;

    if (!bytes || !rows || g->plan)
        return lost(g);
    t[0] = (struct touched){ from->block, read, read + (rows - 1) * from_pitch + bytes, false };
    t[1] = (struct touched){ to->block, write, write + (rows - 1) * to_pitch + bytes, true };
    if ((status = begin(g)) || (status = touch(g, t, 2)))
        return status;
    vk_written(g, to);
    for (uint64_t i = 0; i < rows;) {
        uint32_t n = 0;

        for (; n < sizeof(copies) / sizeof(*copies) && i < rows; n++, i++)
            copies[n] = (VkBufferCopy){ read + i * from_pitch, write + i * to_pitch, bytes };
        vkCmdCopyBuffer(g->slots[g->current].cmd, from->block->buffer, to->block->buffer, n, copies);
    }
    g->slots[g->current].work += (double)(bytes * rows);
    return 0;
}

int gpu_copy(struct gpu *g, const struct gpu_range *from, uint64_t from_offset, const struct gpu_range *to,
             uint64_t to_offset, uint64_t bytes)
{
    return gpu_copy_rows(g, from, from_offset, 0, to, to_offset, 0, bytes, 1);
}

int gpu_fill(struct gpu *g, const struct gpu_range *to, uint64_t offset, uint64_t bytes, uint32_t word)
{
    int status;

    if (!bytes || g->plan)
        return lost(g);
    if ((status = begin(g)) || (status = touch_one(g, to, offset, bytes, true)))
        return status;
    vk_written(g, to);
    vkCmdFillBuffer(g->slots[g->current].cmd, to->block->buffer, to->offset + offset, (bytes + 3) / 4 * 4, word);
    g->slots[g->current].work += (double)bytes / 2;
    return 0;
}

void gpu_counts(const struct gpu *g, struct gpu_counts *counts)
{
    *counts = g->counts;
}

/* memory.c - device memory in blocks, given out in pieces.
 *
 * A two-level segregated fit: free pieces hang in bins by size (four bins a power of two), and know
 * their neighbours in address order, so that giving out and taking back cost the same however many
 * pieces live. Pieces are multiples of 256 bytes. Requests above half a block get a block of their
 * own, which is kept for the next request of about that size. Blocks that are wholly free go back
 * to the driver when it, or the limit that the user set, refuses a new one.
 */
#include "gpu/vk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGN = 256 };
#define BLOCK_BYTES (128ull << 20) /* the smallest range that a driver in use lets us bind */

/* Of a block that is shared: every piece of it can be bound, and seen. */
static uint64_t block_bytes(const struct gpu *g)
{
    uint64_t n = g->info.range < g->info.allocation ? g->info.range : g->info.allocation;

    if (g->info.texel && vk_view_bytes(g, VIEW_F1) < n)
        n = vk_view_bytes(g, VIEW_F1);
    return n < BLOCK_BYTES ? n / ALIGN * ALIGN : BLOCK_BYTES;
}

struct node {
    struct gpu_block *block;
    uint64_t offset, bytes;
    bool free, own; /* own: the block was made for this piece alone */
    uint64_t version;
    struct node *before, *after;     /* neighbours in the block */
    struct node *bin_next, *bin_prev;
};

static int bin_of(uint64_t bytes)
{
    uint64_t units = bytes / ALIGN;
    int log = 63 - __builtin_clzll(units);
    int quarter = log >= 2 ? (int)(units >> (log - 2)) & 3 : (int)(units << (2 - log)) & 3;
    int bin = log * 4 + quarter;

    return bin < BINS ? bin : BINS - 1;
}

static void bin_add(struct gpu *g, struct node *n)
{
    int b = bin_of(n->bytes);

    n->bin_prev = NULL;
    n->bin_next = g->bins[b];
    if (n->bin_next)
        n->bin_next->bin_prev = n;
    g->bins[b] = n;
}

static void bin_remove(struct gpu *g, struct node *n)
{
    if (n->bin_prev)
        n->bin_prev->bin_next = n->bin_next;
    else
        g->bins[bin_of(n->bytes)] = n->bin_next;
    if (n->bin_next)
        n->bin_next->bin_prev = n->bin_prev;
}

int vk_memory_type(struct gpu *g, uint32_t allowed, VkMemoryPropertyFlags want)
{
    for (uint32_t i = 0; i < g->memory.memoryTypeCount; i++)
        if ((allowed >> i & 1) && (g->memory.memoryTypes[i].propertyFlags & want) == want)
            return (int)i;
    return -1;
}

/* How far a view reaches; one of single words a quarter as far. What lies behind it is out of its sight, and
 * gpu_dispatch refuses to look there. */
uint64_t vk_view_bytes(const struct gpu *g, enum vk_view kind)
{
    return (kind >= VIEW_F1 ? 4 : 16) * g->info.texels - 16;
}

bool gpu_by_words(const struct gpu *g, uint64_t bytes)
{
    return bytes <= (g->info.texel ? vk_view_bytes(g, VIEW_F1) : g->info.range);
}

int vk_view(struct gpu *g, struct gpu_block *b, enum vk_view kind, VkBufferView *view)
{
    static const VkFormat formats[VIEW_KINDS] = {
        VK_FORMAT_R32G32B32A32_SFLOAT, VK_FORMAT_R32G32B32A32_UINT, VK_FORMAT_R32_SFLOAT, VK_FORMAT_R32_UINT,
    };

    if (!b->view[kind]) {
        VkBufferViewCreateInfo info = {
            .sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
            .buffer = b->buffer,
            .format = formats[kind],
            .range = VK_WHOLE_SIZE,
        };
        if (b->bytes > vk_view_bytes(g, kind))
            info.range = vk_view_bytes(g, kind);
        VK(g, vkCreateBufferView(g->device, &info, NULL, &b->view[kind]));
    }
    *view = b->view[kind];
    return 0;
}

static void block_free(struct gpu *g, struct gpu_block *b)
{
    struct gpu_block **at = &g->blocks;

    while (*at && *at != b)
        at = &(*at)->next;
    if (*at)
        *at = b->next;
    vk_forget_block(g, b);
    for (int k = 0; k < VIEW_KINDS; k++)
        vkDestroyBufferView(g->device, b->view[k], NULL);
    vkDestroyBuffer(g->device, b->buffer, NULL);
    vkFreeMemory(g->device, b->memory, NULL);
    for (struct node *n = b->nodes; n;) {
        struct node *after = n->after;
        free(n);
        n = after;
    }
    g->usage.reserved -= b->bytes;
    free(b);
}

/* Gives blocks without a live piece back to the driver. Returns how many. */
static int trim(struct gpu *g)
{
    int count = 0;

    for (struct gpu_block *b = g->blocks, *next; b; b = next) {
        struct node *n = b->nodes;
        next = b->next;
        if (!n->free || n->after)
            continue;
        if (!count && !g->lost && gpu_wait(g)) /* recorded commands may still use it */
            return 0;
        if (!n->own)
            bin_remove(g, n);
        block_free(g, b);
        count++;
    }
    return count;
}

/* The rows that a kernel of the CPU driver reads in turn lie on hundreds of pages, more than a processor remembers
 * the addresses of: larger pages are asked for. If the system has none, nothing is lost. */
static void large_pages(void *at, uint64_t bytes)
{
    const uintptr_t size = 2u << 20;
    uintptr_t from = ((uintptr_t)at + size - 1) / size * size, to = ((uintptr_t)at + bytes) / size * size;

    if (to > from)
        madvise((void *)from, to - from, MADV_HUGEPAGE);
}

static struct gpu_block *block_try(struct gpu *g, uint64_t bytes)
{
    struct gpu_block *b;
    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = bytes,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT |
                 (g->info.texel ? VK_BUFFER_USAGE_STORAGE_TEXEL_BUFFER_BIT : 0),
    };
    VkMemoryRequirements need;
    VkMemoryAllocateInfo alloc = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO };
    const VkMemoryPropertyFlags host =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    VkResult result;
    int type;

    if (bytes > g->info.allocation) {
        fail(TAIN_EUNSUPPORTED, "device memory: one piece of %llu MiB is more than the %llu MiB that the device allows",
             (unsigned long long)bytes >> 20, (unsigned long long)g->info.allocation >> 20);
        return NULL;
    }
    if (g->limit && g->usage.reserved + bytes > g->limit) {
        fail(TAIN_ENOMEM, "device memory: %llu MiB more would pass the limit of %llu MiB (%llu MiB are taken)",
             (unsigned long long)bytes >> 20, (unsigned long long)g->limit >> 20,
             (unsigned long long)g->usage.reserved >> 20);
        return NULL;
    }
    b = base_alloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->bytes = bytes;
    b->id = ++g->next_block;
    if (g->plan)
        goto counted;
    result = vkCreateBuffer(g->device, &info, NULL, &b->buffer);
    if (result)
        goto refused;
    vkGetBufferMemoryRequirements(g->device, b->buffer, &need);
    type = vk_memory_type(g, need.memoryTypeBits, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | (g->info.unified ? host : 0));
    if (type < 0)
        type = vk_memory_type(g, need.memoryTypeBits, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
    if (type < 0)
        type = vk_memory_type(g, need.memoryTypeBits, 0);
    alloc.allocationSize = need.size;
    alloc.memoryTypeIndex = (uint32_t)(type < 0 ? 0 : type);
    result = base_fault(FAULT_MEMORY) ? VK_ERROR_OUT_OF_DEVICE_MEMORY
                                      : vkAllocateMemory(g->device, &alloc, NULL, &b->memory);
    if (result)
        goto refused;
    result = vkBindBufferMemory(g->device, b->buffer, b->memory, 0);
    if (result)
        goto refused;
    if ((g->memory.memoryTypes[alloc.memoryTypeIndex].propertyFlags & host) == host) {
        void *mapped;
        result = vkMapMemory(g->device, b->memory, 0, VK_WHOLE_SIZE, 0, &mapped);
        if (result)
            goto refused;
        b->mapped = mapped;
        if (g->info.texel)
            large_pages(mapped, bytes);
    }
counted:
    b->nodes = base_alloc(1, sizeof(struct node));
    if (!b->nodes)
        goto failed;
    *b->nodes = (struct node){ .block = b, .bytes = bytes, .free = true };
    b->next = g->blocks;
    g->blocks = b;
    g->usage.reserved += bytes;
    return b;
refused:
    if (result == VK_ERROR_DEVICE_LOST)
        vk_fail(g, result, "making a block of memory");
    else
        fail(TAIN_ENOMEM, "device memory: the driver refused %llu %s more; %llu MiB are taken already",
             (unsigned long long)bytes >> (bytes >> 20 ? 20 : 10), bytes >> 20 ? "MiB" : "KiB",
             (unsigned long long)g->usage.reserved >> 20);
failed:
    vkDestroyBuffer(g->device, b->buffer, NULL);
    vkFreeMemory(g->device, b->memory, NULL);
    free(b);
    return NULL;
}

static struct gpu_block *block_make(struct gpu *g, uint64_t bytes)
{
    struct gpu_block *b = block_try(g, bytes);

    if (!b && tain_error_status() == TAIN_ENOMEM && trim(g))
        b = block_try(g, bytes);
    return b;
}

/* A block of its own that was given back and is not much too large. */
static struct node *find_own(struct gpu *g, uint64_t bytes)
{
    struct node *best = NULL;

    for (struct gpu_block *b = g->blocks; b; b = b->next) {
        struct node *n = b->nodes;
        if (n->own && n->free && n->bytes >= bytes && n->bytes <= bytes + bytes / 4 &&
            (!best || n->bytes < best->bytes))
            best = n;
    }
    return best;
}

static struct node *find_fit(struct gpu *g, uint64_t bytes)
{
    int b = bin_of(bytes);

    for (struct node *n = g->bins[b]; n; n = n->bin_next)
        if (n->bytes >= bytes)
            return n;
    while (++b < BINS)
        if (g->bins[b])
            return g->bins[b];
    return NULL;
}

int gpu_plan(struct gpu *g)
{
    if (g->blocks)
        return fail(TAIN_EINVAL, "plan: there are tensors on the device already");
    g->plan = true;
    return 0;
}

bool gpu_plans(const struct gpu *g)
{
    return g->plan;
}

uint64_t gpu_version(const struct gpu *g, const struct gpu_range *range)
{
    const struct node *n = range->node;

    return g->plan || !n ? 0 : n->version;
}

void vk_written(struct gpu *g, const struct gpu_range *range)
{
    struct node *n = range->node;

    if (n)
        n->version = ++g->versions;
}

int gpu_alloc(struct gpu *g, uint64_t bytes, struct gpu_range *range)
{
    struct node *n;

    /* 16 bytes more, so that a read of whole texels never leaves the piece. */
    if (bytes > UINT64_MAX - 2 * ALIGN)
        return fail(TAIN_ENOMEM, "device memory: %llu bytes are too many", (unsigned long long)bytes);
    bytes = (bytes + 15 + ALIGN) / ALIGN * ALIGN;
    /* TAIN_UNPOOLED: everything in a block of its own, so that the validation layer, which knows
     * bindings and not ranges, sees which tensors a dispatch touches. */
    if (bytes > block_bytes(g) / 2 || g->whole) {
        n = find_own(g, bytes);
        if (!n) {
            struct gpu_block *b = block_make(g, bytes);
            if (!b)
                return tain_error_status();
            n = b->nodes;
            n->own = true;
        }
    } else {
        n = find_fit(g, bytes);
        if (n) {
            bin_remove(g, n);
        } else {
            struct gpu_block *b = block_make(g, block_bytes(g));
            if (!b)
                return tain_error_status();
            n = b->nodes;
        }
        if (n->bytes > bytes) {
            struct node *rest = base_alloc(1, sizeof(*rest));
            if (!rest) {
                bin_add(g, n);
                return TAIN_ENOMEM;
            }
            *rest = (struct node){ .block = n->block, .offset = n->offset + bytes, .bytes = n->bytes - bytes,
                                   .free = true, .before = n, .after = n->after };
            if (rest->after)
                rest->after->before = rest;
            n->after = rest;
            n->bytes = bytes;
            bin_add(g, rest);
        }
    }
    n->free = false;
    n->version = ++g->versions;
    g->usage.used += n->bytes;
    g->usage.ranges++;
    if (g->usage.used > g->usage.peak)
        g->usage.peak = g->usage.used;
    *range = (struct gpu_range){ .block = n->block, .offset = n->offset, .bytes = n->bytes, .node = n };
    return 0;
}

/* Joins n with the free piece after it. */
static void join(struct gpu *g, struct node *n)
{
    struct node *after = n->after;

    bin_remove(g, after);
    n->bytes += after->bytes;
    n->after = after->after;
    if (n->after)
        n->after->before = n;
    free(after);
}

void gpu_free(struct gpu *g, struct gpu_range *range)
{
    struct node *n = range->node;

    if (!n)
        return;
    range->node = NULL;
    range->block = NULL;
    g->usage.used -= n->bytes;
    g->usage.ranges--;
    n->free = true;
    if (n->own)
        return;
    if (n->after && n->after->free)
        join(g, n);
    if (n->before && n->before->free) {
        struct node *before = n->before;
        bin_remove(g, before);
        before->bytes += n->bytes;
        before->after = n->after;
        if (before->after)
            before->after->before = before;
        free(n);
        n = before;
    }
    bin_add(g, n);
}

void gpu_usage(const struct gpu *g, struct gpu_usage *usage)
{
    *usage = g->usage;
}

void gpu_reset_peak(struct gpu *g)
{
    g->usage.peak = g->usage.used;
}

void gpu_limit_memory(struct gpu *g, uint64_t bytes)
{
    g->limit = bytes;
}

void vk_memory_close(struct gpu *g)
{
    while (g->blocks)
        block_free(g, g->blocks);
}

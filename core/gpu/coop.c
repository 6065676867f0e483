/* coop.c - cooperative matrices: whether a device multiplies matrices of f16 in units of its own, and of which size.
 *
 * VK_KHR_cooperative_matrix is younger than the vulkan.h of some systems, so the little that is needed of it stands
 * here.
 */
#include "gpu/vk.h"

#include <string.h>

enum { FEATURES = 1000506000, ENTRY = 1000506001, FLOAT16 = 0, FLOAT32 = 1, SCOPE_SUBGROUP = 3, MOST_ENTRIES = 64 };

struct entry {
    VkStructureType type;
    void *next;
    uint32_t size[3]; /* rows, columns, k */
    uint32_t a, b, c, result;
    VkBool32 saturating;
    uint32_t scope;
};

typedef VkResult (VKAPI_PTR *list_entries)(VkPhysicalDevice physical, uint32_t *count, struct entry *entries);

/* Sizes that a tile of matmul_coop.comp is made of: see coop_cut() of op/matmul.c. */
static bool fits(const struct entry *e)
{
    return e->a == FLOAT16 && e->b == FLOAT16 && e->c == FLOAT32 && e->result == FLOAT32 && e->scope == SCOPE_SUBGROUP &&
           (e->size[0] == 8 || e->size[0] == 16) && (e->size[1] == 8 || e->size[1] == 16) &&
           (e->size[2] == 8 || e->size[2] == 16 || e->size[2] == 32);
}

/* The largest is what the units are made for. */
static bool find_size(const struct gpu *g, uint32_t size[3])
{
    list_entries list = (list_entries)(void (*)(void))vkGetInstanceProcAddr(
        g->instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    struct entry entries[MOST_ENTRIES];
    uint32_t n = MOST_ENTRIES, most = 0;

    for (int i = 0; i < MOST_ENTRIES; i++)
        entries[i] = (struct entry){ .type = (VkStructureType)ENTRY };
    if (!list || list(g->physical, &n, entries) < 0)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t *s = entries[i].size;
        if (!fits(&entries[i]) || s[0] * s[1] * s[2] <= most)
            continue;
        most = s[0] * s[1] * s[2];
        memcpy(size, s, sizeof(entries[i].size));
    }
    return most > 0;
}

bool vk_coop(struct gpu *g, VkPhysicalDeviceVulkan12Features *want, struct vk_coop *coop)
{
    VkPhysicalDeviceVulkan12Features newer = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES };
    VkPhysicalDeviceFeatures2 have = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &newer };

    *coop = (struct vk_coop){ .type = (VkStructureType)FEATURES };
    newer.pNext = coop;
    vkGetPhysicalDeviceFeatures2(g->physical, &have);
    if (!coop->matrices || !newer.vulkanMemoryModel || !newer.shaderFloat16 || !find_size(g, g->info.coop))
        return false;
    *coop = (struct vk_coop){ .type = coop->type, .next = want->pNext, .matrices = VK_TRUE };
    want->pNext = coop;
    want->vulkanMemoryModel = want->shaderFloat16 = VK_TRUE;
    return true;
}

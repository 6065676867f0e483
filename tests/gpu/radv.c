/* Every shader through AMD's compiler, without AMD's hardware.
 *
 * Mesa's driver for AMD has a device that is not there (RADV_FORCE_FAMILY): it compiles and runs
 * nothing. So pipelines are made for four generations and the compiler is asked what they cost. A
 * hot kernel whose values do not fit into the registers fails the test. -v prints the table.
 */
#include "check.h"

#include "gpu/shader.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vulkan/vulkan.h>

enum { CONSTANTS = 14, BINDINGS = 12, PUSH = 128 };

/* How a shader is used: number 0 is the width (0: one subgroup), the lanes follow by themselves,
 * then the constants from number 2 on. Every shader whose name starts with `name` is made so. */
struct use {
    const char *name;
    bool hot;
    uint32_t width;
    int count;
    uint32_t constants[CONSTANTS - 2];
};

static const struct use uses[] = {
    { "matmul.v4", true, 0, 7, { 16, 0, 1, 8, 0, 1, 2 } },  /* x W^T + b, gelu */
    { "matmul.v4", true, 0, 7, { 16, 0, 0, 8, 1, 0, 0 } },  /* dy W */
    { "matmul.v4", true, 0, 7, { 16, 1, 0, 8, 1, 0, 0 } },  /* dy^T x */
    { "matmul.v4", true, 0, 7, { 8, 0, 1, 8, 0, 1, 0 } },   /* few rows */
    { "matmul.v4", true, 0, 7, { 16, 0, 1, 8, 0, 0, 4 } },  /* silu(gate) * up */
    { "matmul.v1", false, 0, 7, { 16, 0, 1, 1, 0, 1, 2 } },
    { "matmul.v1", false, 0, 7, { 16, 1, 0, 1, 1, 0, 0 } },
    { "matmul_tile.v4", true, 256, 8, { 64, 0, 1, 4, 0, 1, 2, 64 } },
    { "matmul_tile.v4", true, 256, 8, { 64, 0, 0, 4, 1, 0, 0, 64 } },
    { "matmul_tile.v4", true, 256, 8, { 64, 1, 0, 4, 1, 0, 0, 64 } },
    { "matmul_tile.v4", true, 256, 8, { 64, 0, 1, 4, 0, 0, 4, 64 } },
    { "matmul_tile.v4", true, 256, 8, { 128, 0, 1, 4, 0, 1, 2, 64 } },
    { "matmul_tile.v4", true, 256, 8, { 128, 0, 0, 4, 1, 0, 0, 64 } },
    { "matmul_tile.v4", true, 256, 8, { 128, 1, 0, 4, 1, 0, 0, 64 } },
    { "matmul_tile.v4", true, 128, 8, { 64, 0, 1, 4, 0, 1, 2, 64 } }, /* where a workgroup may be no larger */
    { "matmul_tile.v1", true, 256, 8, { 64, 0, 1, 4, 0, 1, 2, 64 } },
    { "matmul_tile.v1", true, 256, 8, { 128, 1, 0, 4, 1, 0, 0, 64 } },
    { "matmul_tile.v1", true, 128, 8, { 64, 0, 1, 4, 0, 1, 2, 64 } },
    { "matmul_coop", true, 256, 12, { 64, 0, 1, 8, 0, 1, 2, 64, 16, 16, 16, 2 } },
    { "matmul_coop", true, 256, 12, { 64, 0, 0, 8, 1, 0, 0, 64, 16, 16, 16, 2 } },
    { "matmul_coop", true, 256, 12, { 128, 0, 1, 8, 0, 1, 2, 128, 16, 16, 16, 2 } },
    { "matmul_coop", true, 256, 12, { 128, 0, 0, 8, 1, 0, 0, 128, 16, 16, 16, 2 } },
    { "matmul_coop", true, 256, 12, { 128, 0, 1, 8, 0, 0, 4, 128, 16, 16, 16, 2 } },
    { "gemv.b_int", true, 0, 5, { 2, 4, 0, 1, 0 } },
    { "gemv_dot", true, 0, 5, { 2, 4, 0, 1, 0 } },
    { "gemv_dot", true, 0, 5, { 8, 4, 0, 1, 0 } },
    { "gemv", true, 0, 5, { 4, 8, 0, 1, 0 } },
    { "attention_decode", true, 0, 6, { 64, 0, 4, 8, 0, 0 } },
    { "attention_decode", true, 0, 6, { 128, 1, 8, 4, 0, 0 } },
    { "attention_decode", true, 0, 6, { 64, 1, 4, 8, 1, 1 } },
    { "attention_decode", true, 0, 6, { 128, 1, 8, 4, 1, 1 } },
    { "attention.dkv", true, 0, 6, { 16, 1, 3, 1, 1, 1 } }, /* the embedded model's */
    { "attention.dkv", true, 0, 6, { 64, 1, 3, 1, 1, 4 } },
    { "attention.dkv", true, 0, 6, { 128, 2, 3, 1, 1, 8 } },
    { "attention.dq", true, 0, 6, { 16, 1, 3, 1, 1, 1 } },
    { "attention.dq", true, 0, 6, { 64, 1, 3, 1, 1, 4 } },
    { "attention.dq", true, 0, 6, { 128, 2, 3, 1, 1, 8 } },
    { "attention.", true, 0, 6, { 16, 1, 3, 1, 2, 1 } },
    { "attention.", true, 0, 6, { 64, 1, 3, 1, 2, 4 } },
    { "attention.", true, 0, 6, { 128, 2, 3, 1, 2, 8 } },
    { "conv.weight", true, 0, 3, { 16, 1, 4 } },
    { "conv.weight", true, 0, 3, { 8, 2, 4 } },
    { "conv", true, 0, 4, { 16, 1, 16, 1 } },
    { "conv", true, 0, 4, { 8, 2, 16, 1 } },
    { "norm.columns", true, 64, 2, { 512, 1 } },
    { "norm", true, 64, 3, { 512, 1, 1 } },
    { "group_share", true, 0, 1, { 16 } },
    { "group.stats", true, 64, 3, { 128, 1, 1 } },
    { "group.sums", true, 64, 3, { 128, 1, 1 } },
    { "group", true, 256, 3, { 128, 1, 1 } },
    { "adamw", true, 256, 0, { 0 } },
    { "sumsq.parts", true, 64, 1, { 4096 } },
    { "sumsq.finish", true, 0, 0, { 0 } },
    { "softmax", true, 0, 2, { 0, 1 } },
    { "loss", true, 0, 1, { 1 } },
    { "sample", false, 0, 0, { 0 } },
    { "reduce.sum.rows", false, 0, 0, { 0 } },
    { "reduce.max.rows", false, 0, 0, { 0 } },
    { "embed", false, 64, 2, { 128, 1 } },
    { "rope_cached.v4", true, 256, 4, { 16, 16, 16, 16 } },
    { "rope_cached", true, 256, 4, { 4, 4, 2, 14 } },
    { "rope", true, 256, 6, { 0, 16, 16, 16, 16, 0 } },
    { "gate", true, 256, 5, { 512, 1, 1, 1, 1 } },
    { "patch", false, 256, 2, { 4, 3 } },
    { "", false, 64, 0, { 0 } }, /* all the others, with their own defaults */
};

static const struct {
    const char *family, *cards;
    uint32_t lanes;
} devices[] = {
    { "polaris10", "RX 480, 580", 64 }, { "vega10", "Vega 56, 64", 64 },      { "navi21", "RX 6800, 6900", 64 },
    { "navi21", "RX 6800, 6900", 32 },  { "gfx1100", "RX 7900", 64 },         { "gfx1100", "RX 7900", 32 },
    { "navi31", "RX 7900", 64 },        { "navi31", "RX 7900", 32 }, /* to newer drivers, which have cooperative matrices */
};

struct driver {
    VkInstance instance;
    VkDevice device;
    VkPipelineLayout layout;
    PFN_vkGetPipelineExecutableStatisticsKHR statistics;
    uint32_t lanes;
    bool coop;  /* there are cooperative matrices */
    bool sized; /* lanes may be asked for; if not, they are what the device has */
};

/* 77 if there is no such device. */
static int open_driver(struct driver *r)
{
    VkApplicationInfo app = { .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_2 };
    VkInstanceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &app };
    VkPhysicalDevice physical;
    VkPhysicalDeviceSubgroupSizeControlProperties range = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES,
    };
    VkPhysicalDeviceProperties2 all = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &range };
    uint32_t n = 1, extensions_n = 512;
    static VkExtensionProperties extensions[512];
    float priority = 1;
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority,
    };
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR tell = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pipelineExecutableInfo = VK_TRUE,
    };
    VkPhysicalDeviceShaderIntegerDotProductFeaturesKHR dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES_KHR,
        .pNext = &tell, .shaderIntegerDotProduct = VK_TRUE,
    };
    VkPhysicalDeviceSubgroupSizeControlFeatures sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
        .pNext = &dot, .subgroupSizeControl = VK_TRUE,
    };
    /* Of an extension that vulkan.h may not know yet. */
    struct { VkStructureType type; void *next; VkBool32 matrices, robust; } coop = { (VkStructureType)1000506000, &sizes, VK_TRUE, VK_FALSE };
    VkPhysicalDeviceVulkan12Features newer = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
        .pNext = &coop, .vulkanMemoryModel = VK_TRUE, .shaderFloat16 = VK_TRUE,
    };
    const char *const enable[] = { VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME,
                                   VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME,
                                   VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME, "VK_KHR_cooperative_matrix" };
    VkDeviceCreateInfo device = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = &sizes, .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue, .enabledExtensionCount = 3, .ppEnabledExtensionNames = enable,
    };
    VkDescriptorSetLayoutBinding bindings[BINDINGS];
    VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = BINDINGS, .pBindings = bindings,
    };
    VkPushConstantRange push = { VK_SHADER_STAGE_COMPUTE_BIT, 0, PUSH };
    VkDescriptorSetLayout set_layout;
    VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1, .pSetLayouts = &set_layout,
        .pushConstantRangeCount = 1, .pPushConstantRanges = &push,
    };
    int found = 0;

    if (vkCreateInstance(&info, NULL, &r->instance))
        return 77;
    if (vkEnumeratePhysicalDevices(r->instance, &n, &physical) < 0 || !n)
        return 77;
    vkGetPhysicalDeviceProperties2(physical, &all);
    r->sized = range.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT;
    if (vkEnumerateDeviceExtensionProperties(physical, NULL, &extensions_n, extensions) < 0)
        return 77;
    for (uint32_t i = 0; i < extensions_n; i++) {
        for (int k = 0; k < 3; k++)
            found += !strcmp(extensions[i].extensionName, enable[k]);
        r->coop |= !strcmp(extensions[i].extensionName, enable[3]);
    }
    if (r->coop) {
        device.pNext = &newer;
        device.enabledExtensionCount = 4;
    }
    if (all.properties.vendorID != 0x1002 || found != 3 || vkCreateDevice(physical, &device, NULL, &r->device))
        return 77;
    for (uint32_t i = 0; i < BINDINGS; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){ i, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL };
    if (vkCreateDescriptorSetLayout(r->device, &set, NULL, &set_layout) ||
        vkCreatePipelineLayout(r->device, &layout, NULL, &r->layout))
        return 77;
    r->statistics = (PFN_vkGetPipelineExecutableStatisticsKHR)vkGetDeviceProcAddr(r->device, "vkGetPipelineExecutableStatisticsKHR");
    return r->statistics ? 0 : 77;
}

/* Makes one pipeline and reports it; returns how many registers of it were spilled, negative if the
 * driver refused it. */
static int compile(const struct driver *r, const char *family, const struct gpu_shader *s, const struct use *use, bool print)
{
    uint32_t values[CONSTANTS] = { use->width ? use->width : r->lanes, r->lanes }, n = 32;
    VkSpecializationMapEntry entries[CONSTANTS];
    VkSpecializationInfo special = {
        .mapEntryCount = 2 + (uint32_t)use->count, .pMapEntries = entries, .dataSize = sizeof(values), .pData = values,
    };
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = r->lanes,
    };
    VkShaderModuleCreateInfo module = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = s->bytes, .pCode = s->code,
    };
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR,
        .layout = r->layout,
        .stage = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .pNext = r->sized ? &size : NULL,
            .stage = VK_SHADER_STAGE_COMPUTE_BIT, .pName = "main", .pSpecializationInfo = &special,
        },
    };
    VkPipelineExecutableStatisticKHR stats[32];
    VkPipelineExecutableInfoKHR which = { .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR };
    char what[128];
    int vgprs = 0, sgprs = 0, spilled_v = 0, spilled_s = 0, scratch = 0, waves = 0, code = 0;

    memcpy(values + 2, use->constants, (size_t)use->count * 4);
    for (uint32_t i = 0; i < special.mapEntryCount; i++)
        entries[i] = (VkSpecializationMapEntry){ .constantID = i, .offset = i * 4, .size = 4 };
    snprintf(what, sizeof(what), "%s/%u", s->name, values[0]);
    for (int i = 0; i < use->count; i++)
        snprintf(what + strlen(what), sizeof(what) - strlen(what), ",%u", use->constants[i]);
    if (vkCreateShaderModule(r->device, &module, NULL, &info.stage.module) ||
        vkCreateComputePipelines(r->device, VK_NULL_HANDLE, 1, &info, NULL, &which.pipeline)) {
        fprintf(stderr, "%s, %u lanes: the compiler refuses %s\n", family, r->lanes, what);
        return -1;
    }
    for (int i = 0; i < 32; i++)
        stats[i] = (VkPipelineExecutableStatisticKHR){ .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR };
    if (r->statistics(r->device, &which, &n, stats) < 0)
        n = 0;
    for (uint32_t i = 0; i < n; i++) {
        int v = (int)stats[i].value.u64;
        static const char *const names[] = { "VGPRs", "SGPRs", "Spilled VGPRs", "Spilled SGPRs", "Scratch size",
                                             "Subgroups per SIMD", "Code size" };
        int *const to[] = { &vgprs, &sgprs, &spilled_v, &spilled_s, &scratch, &waves, &code };
        for (int k = 0; k < 7; k++)
            if (!strcmp(stats[i].name, names[k]))
                *to[k] = v;
    }
    vkDestroyPipeline(r->device, which.pipeline, NULL);
    vkDestroyShaderModule(r->device, info.stage.module, NULL);
    if (print)
        printf("%-10s %2u %5d %5d %7d %7d %7d %5d %7d  %s\n", family, r->lanes, vgprs, sgprs, spilled_v, spilled_s, scratch,
               waves, code, what);
    if (use->hot && spilled_v + spilled_s + scratch)
        fprintf(stderr, "%s, %u lanes: %s spills %d vector and %d scalar registers, %d bytes\n", family, r->lanes, what,
                spilled_v, spilled_s, scratch);
    return n ? spilled_v + spilled_s + scratch : -1;
}

/* How a driver ends that does not know the family. */
static void unknown(int number)
{
    (void)number;
    _exit(77);
}

/* In a process of its own: the driver reads its environment once, and may well crash. */
static int all(const char *family, uint32_t lanes, bool print, const char *only)
{
    struct driver r = { .lanes = lanes };
    int bad = 0, status;

    setenv("RADV_FORCE_FAMILY", family, 1);
    signal(SIGABRT, unknown);
    status = open_driver(&r);
    signal(SIGABRT, SIG_DFL);
    if (status)
        return status;
    for (size_t i = 0; i < gpu_shader_count; i++) {
        const struct gpu_shader *s = &gpu_shaders[i];
        const char *prefix = NULL;

        if (strstr(s->name, ".texel") || (strstr(s->name, "matmul_coop") && !r.coop) || (only && !strstr(s->name, only)))
            continue;
        for (size_t k = 0; k < sizeof(uses) / sizeof(*uses); k++) {
            const struct use *u = &uses[k];
            if (prefix ? strcmp(prefix, u->name) : strncmp(s->name, u->name, strlen(u->name)))
                continue;
            prefix = u->name;
            status = compile(&r, family, s, u, print);
            bad += status < 0 || (status > 0 && u->hot);
        }
    }
    return bad ? 1 : 0;
}

int main(int argc, char **argv)
{
    static const char *const files[] = { "/usr/share/vulkan/icd.d/radeon_icd.x86_64.json",
                                         "/usr/share/vulkan/icd.d/radeon_icd.json",
                                         "/usr/local/share/vulkan/icd.d/radeon_icd.x86_64.json" };
    bool print = argc > 1 && !strcmp(argv[1], "-v");
    const char *file = NULL;
    int bad = 0, made = 0;

    for (int i = 0; i < 3 && !file; i++)
        file = access(files[i], R_OK) ? NULL : files[i];
    if (!file)
        SKIP("there is no Vulkan driver for AMD");
    setenv("VK_ICD_FILENAMES", file, 1);
    setenv("VK_DRIVER_FILES", file, 1);
    setenv("MESA_SHADER_CACHE_DISABLE", "1", 1);
    if (print)
        printf("%-10s %2s %5s %5s %7s %7s %7s %5s %7s  %s\n", "family", "", "VGPRs", "SGPRs", "spilled", "spilled",
               "scratch", "waves", "code", "shader/width,constants");
    fflush(stdout);
    for (size_t i = 0; i < sizeof(devices) / sizeof(*devices); i++) {
        pid_t child = fork();
        int status;
        if (child == 0) {
            int answer = all(devices[i].family, devices[i].lanes, print, argc > 2 ? argv[2] : NULL);
            fflush(stdout);
            _exit(answer);
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        if (WIFSIGNALED(status))
            fprintf(stderr, "%s (%s), %u lanes: the compiler ended by signal %d\n", devices[i].family, devices[i].cards,
                    devices[i].lanes, WTERMSIG(status));
        made += !(WIFEXITED(status) && WEXITSTATUS(status) == 77);
        bad += WIFSIGNALED(status) || (WEXITSTATUS(status) && WEXITSTATUS(status) != 77);
    }
    if (!made)
        SKIP("the driver for AMD has no device that is not there");
    return bad ? 1 : 0;
}

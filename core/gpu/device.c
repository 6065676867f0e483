/* device.c - finding, choosing and opening a device.
 *
 * The CPU driver (lavapipe) reads its settings from the environment when the instance is made, and
 * one of them, the vector width, is worth a factor of 1.5 with Mesa 22 and costs a factor of 5 with
 * Mesa 25. So the version is asked first, in a child process, and only on CPUs that have the wide
 * vectors. A variable that the user has set is never changed.
 */
#include "gpu/vk.h"
#include "lavapipe/lavapipe.h"

#include <ctype.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_DEVICES = 16 };

static const char *const no_driver =
    "no Vulkan driver was found; on Debian or Ubuntu install the package mesa-vulkan-drivers";

static int make_instance(VkInstance *instance)
{
    VkApplicationInfo app = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pApplicationName = "tain",
        .apiVersion = VK_API_VERSION_1_2,
    };
    VkInstanceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &app };
    VkResult result = vkCreateInstance(&info, NULL, instance);

    if (result == VK_ERROR_INCOMPATIBLE_DRIVER)
        return fail(TAIN_EDEVICE, "%s", no_driver);
    return result ? vk_fail(NULL, result, "vkCreateInstance") : 0;
}

static int list_devices(VkInstance instance, VkPhysicalDevice *out)
{
    uint32_t n = MOST_DEVICES;
    VkResult result = vkEnumeratePhysicalDevices(instance, &n, out);

    if (result < 0)
        return vk_fail(NULL, result, "vkEnumeratePhysicalDevices");
    return n ? (int)n : fail(TAIN_EDEVICE, "%s", no_driver);
}

/* ---- The CPU driver's settings ---- */

/* True if the installed lavapipe is one on which 512-bit vectors pay. Asks in a child, because the
 * driver keeps what it has read from the environment. */
static bool wide_vectors_pay(void)
{
#if defined(__x86_64__)
    char answer = 0;
    int ends[2];
    pid_t child;

    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return false;
    if (pipe(ends))
        return false;
    child = fork();
    if (child == 0) {
        VkPhysicalDevice devices[MOST_DEVICES];
        VkInstance instance;
        int n = make_instance(&instance) ? 0 : list_devices(instance, devices);
        for (int i = 0; i < n; i++) {
            VkPhysicalDeviceDriverProperties driver = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES };
            VkPhysicalDeviceProperties2 p = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &driver };
            vkGetPhysicalDeviceProperties2(devices[i], &p);
            if (driver.driverID == VK_DRIVER_ID_MESA_LLVMPIPE && strstr(driver.driverInfo, "Mesa 22."))
                answer = 1;
        }
        if (write(ends[1], &answer, 1) != 1)
            _exit(1);
        _exit(0);
    }
    close(ends[1]);
    if (child > 0) {
        if (read(ends[0], &answer, 1) != 1)
            answer = 0;
        waitpid(child, NULL, 0);
    }
    close(ends[0]);
    return answer;
#else
    return false;
#endif
}

const char *gpu_cache(void)
{
    static char path[512];
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

    if (*path)
        return path;
    if (cache && *cache)
        snprintf(path, sizeof(path) - 8, "%s", cache);
    else if (home)
        snprintf(path, sizeof(path) - 8, "%s/.cache", home);
    else
        return NULL;
    mkdir(path, 0700);
    strcat(path, "/tain");
    mkdir(path, 0700);
    return path;
}

static void set_environment(void)
{
    static bool done;
    const char *cache = gpu_cache(), *width;
    char path[600];

    if (done)
        return;
    done = true;
    if (!getenv("LP_NATIVE_VECTOR_WIDTH") && wide_vectors_pay())
        setenv("LP_NATIVE_VECTOR_WIDTH", "512", 0);
    /* Mesa's cache of compiled shaders does not tell the vector widths apart, nor our passes; a folder for each. */
    if (cache && !getenv("MESA_SHADER_CACHE_DIR")) {
        width = getenv("LP_NATIVE_VECTOR_WIDTH");
        snprintf(path, sizeof(path), "%s/shaders-%.16s%s", cache, width ? width : "default", lavapipe_key());
        mkdir(path, 0700);
        setenv("MESA_SHADER_CACHE_DIR", path, 0);
    }
}

/* ---- Describing ---- */

/* Whether packed dot products of 8 bits are to be tried: on GPUs whose driver says that they are fast; on others and on
 * CPUs, where results would change for little, if TAIN_DOT asks for them. Any other value of it leaves them out. */
static bool dots(VkPhysicalDevice physical, bool cpu)
{
    VkPhysicalDeviceShaderIntegerDotProductFeaturesKHR have = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES_KHR,
    };
    VkPhysicalDeviceShaderIntegerDotProductPropertiesKHR how = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES_KHR,
    };
    VkPhysicalDeviceFeatures2 features = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &have };
    VkPhysicalDeviceProperties2 p = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &how };
    const char *ask = getenv("TAIN_DOT");

    if (ask ? strcmp(ask, "yes") : cpu)
        return false;
    vkGetPhysicalDeviceFeatures2(physical, &features);
    vkGetPhysicalDeviceProperties2(physical, &p);
    return have.shaderIntegerDotProduct && (ask || how.integerDotProduct4x8BitPackedSignedAccelerated);
}

static void describe(VkPhysicalDevice physical, struct gpu_info *info)
{
    VkPhysicalDeviceMaintenance3Properties most = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES };
    VkPhysicalDeviceSubgroupProperties subgroup = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES, .pNext = &most };
    VkPhysicalDeviceIDProperties id = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES, .pNext = &subgroup };
    VkPhysicalDeviceDriverProperties driver = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES, .pNext = &id };
    VkPhysicalDeviceProperties2 p = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &driver };
    VkPhysicalDeviceMemoryProperties memory;
    VkPhysicalDeviceVulkan12Features newer = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES };
    VkPhysicalDeviceFeatures2 features = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &newer };
    const char *read = getenv("TAIN_READ");

    vkGetPhysicalDeviceProperties2(physical, &p);
    vkGetPhysicalDeviceMemoryProperties(physical, &memory);
    vkGetPhysicalDeviceFeatures2(physical, &features);
    memset(info, 0, sizeof(*info));
    snprintf(info->name, sizeof(info->name), "%s", p.properties.deviceName);
    snprintf(info->driver, sizeof(info->driver), "%.120s %.120s", driver.driverName, driver.driverInfo);
    for (int i = 0, n = 0; i < 16; i++)
        n += snprintf(info->uuid + n, sizeof(info->uuid) - (size_t)n, "%s%02x",
                      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id.deviceUUID[i]);
    switch (p.properties.deviceType) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: info->kind = "discrete"; break;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: info->kind = "integrated"; break;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: info->kind = "virtual"; break;
    case VK_PHYSICAL_DEVICE_TYPE_CPU: info->kind = "cpu"; break;
    default: info->kind = "other";
    }
    info->api[0] = VK_API_VERSION_MAJOR(p.properties.apiVersion);
    info->api[1] = VK_API_VERSION_MINOR(p.properties.apiVersion);
    info->api[2] = VK_API_VERSION_PATCH(p.properties.apiVersion);
    info->lanes = subgroup.subgroupSize;
    info->texel = p.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    if (read)
        info->texel = !strcmp(read, "texel") || !strcmp(read, "alike");
    info->texel &= features.features.shaderInt64 && features.features.robustBufferAccess && /* SET4 of shaders/lib/io.glsl */
                   newer.shaderSubgroupExtendedTypes;                                        /* SET4_EACH of lib/each.glsl */
    info->alike = info->texel && read && !strcmp(read, "alike");
    info->dot = dots(physical, p.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU);
    info->unified = p.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU ||
                    p.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
    for (uint32_t i = 0; i < memory.memoryHeapCount; i++)
        if (memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT && memory.memoryHeaps[i].size > info->memory)
            info->memory = memory.memoryHeaps[i].size;
    info->range = p.properties.limits.maxStorageBufferRange;
    info->allocation = most.maxMemoryAllocationSize;
    info->texels = p.properties.limits.maxTexelBufferElements;
    info->shared = p.properties.limits.maxComputeSharedMemorySize;
    info->invocations = p.properties.limits.maxComputeWorkGroupInvocations;
    if (info->invocations > p.properties.limits.maxComputeWorkGroupSize[0])
        info->invocations = p.properties.limits.maxComputeWorkGroupSize[0]; /* all workgroups are lines */
}

/* Takes the device for a smaller one, as TAIN_LIMITS says: what real devices of that kind would break is
 * then seen on this one. Bytes may end in K, M or G. */
static int lower(struct gpu_info *info)
{
    static const struct {
        const char *name;
        size_t at;
        uint64_t least; /* below it nothing runs, and Vulkan promises far more */
        bool wide;
    } limits[] = {
        { "range", offsetof(struct gpu_info, range), 1 << 16, true },
        { "allocation", offsetof(struct gpu_info, allocation), 1 << 16, true },
        { "texels", offsetof(struct gpu_info, texels), 1 << 16, true },
        { "invocations", offsetof(struct gpu_info, invocations), 128, false },
        { "shared", offsetof(struct gpu_info, shared), 1 << 14, false },
    };
    const char *text = getenv("TAIN_LIMITS"), *at = text;

    while (at && *at) {
        size_t i = 0, n = strcspn(at, ":");
        char *end = (char *)at;
        uint64_t v = 0;

        while (i < COUNT_OF(limits) && (strlen(limits[i].name) != n || strncmp(at, limits[i].name, n)))
            i++;
        if (i < COUNT_OF(limits) && at[n] && at[n + 1] >= '0' && at[n + 1] <= '9')
            v = strtoull(at + n + 1, &end, 10);
        for (const char *unit = "KMG"; v && *unit; unit++)
            if (*end == *unit) {
                v <<= 10 * (unit - "KMG" + 1);
                end++;
                break;
            }
        if (i == COUNT_OF(limits) || v < limits[i].least || v > 1ull << 50 || (*end && *end != ','))
            return fail(TAIN_EINVAL, "TAIN_LIMITS is range:N, allocation:N, texels:N, invocations:N or shared:N, of 64K, 64K, "
                        "64K, 128 and 16K at least, with commas between; it is %.80s", text);
        char *field = (char *)info + limits[i].at;
        if (limits[i].wide && v < *(uint64_t *)field)
            *(uint64_t *)field = v;
        else if (!limits[i].wide && v < *(uint32_t *)field)
            *(uint32_t *)field = (uint32_t)v;
        at = *end ? end + 1 : end;
    }
    return 0;
}

int gpu_count(void)
{
    VkPhysicalDevice devices[MOST_DEVICES];
    VkInstance instance;
    int status;

    set_environment();
    if ((status = make_instance(&instance)))
        return status;
    status = list_devices(instance, devices);
    vkDestroyInstance(instance, NULL);
    return status;
}

int gpu_describe(int index, struct gpu_info *info)
{
    VkPhysicalDevice devices[MOST_DEVICES];
    VkInstance instance;
    int n;

    set_environment();
    if ((n = make_instance(&instance)))
        return n;
    n = list_devices(instance, devices);
    if (n > 0 && index >= 0 && index < n)
        describe(devices[index], info);
    vkDestroyInstance(instance, NULL);
    if (n < 0)
        return n;
    return index >= 0 && index < n ? 0 : fail(TAIN_EINVAL, "device: number %d of %d does not exist", index, n);
}

/* ---- Choosing ---- */

static bool holds(const char *text, const char *part)
{
    size_t n = strlen(part);

    for (; *text; text++)
        if (!strncasecmp(text, part, n))
            return true;
    return !n;
}

static int choose(const VkPhysicalDevice *devices, int n, const char *which)
{
    static const char *const order[] = { "discrete", "integrated", "virtual", "other", "cpu" };
    struct gpu_info info[MOST_DEVICES];
    char names[768] = "";

    for (int i = 0; i < n; i++)
        describe(devices[i], &info[i]);
    if (!which || !*which || !strcmp(which, "auto")) {
        for (size_t k = 0; k < COUNT_OF(order); k++)
            for (int i = 0; i < n; i++)
                if (!strcmp(info[i].kind, order[k]))
                    return i;
        return 0;
    }
    const char *digits = strncasecmp(which, "vulkan", 6) ? which : which + 6;
    if (*digits && strspn(digits, "0123456789") == strlen(digits)) {
        long index = strtol(digits, NULL, 10);
        return index < n ? (int)index
                         : fail(TAIN_EINVAL, "device: there is no number %ld; the last is %d", index, n - 1);
    }
    for (int i = 0; i < n; i++)
        if (!strcasecmp(info[i].uuid, which) || !strcasecmp(info[i].kind, which) || holds(info[i].name, which))
            return i;
    for (int i = 0; i < n; i++)
        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%.80s", i ? ", " : "", info[i].name);
    return fail(TAIN_EINVAL, "device: none is named \"%.80s\"; there are: %s", which, names);
}

/* ---- Opening ---- */

/* Whether a workgroup of as many invocations as a product wants is made of subgroups of a size that is known, and
 * has room for a tile (core/op/matmul.c). */
static bool coop_fits(const struct gpu *g, uint32_t subgroups)
{
    return g->size_control && g->info.lanes >= 8 && g->info.lanes <= 64 && g->info.lanes * subgroups >= 256 &&
           g->info.shared >= 32 << 10 && !g->info.coop[0];
}

static int open_device(struct gpu *g, VkPhysicalDevice physical)
{
    float priority = 1;
    VkQueueFamilyProperties families[16];
    uint32_t n = 16;
    VkPhysicalDeviceFeatures features = { 0 };
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    VkPhysicalDeviceVulkan12Features want = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
        .timelineSemaphore = VK_TRUE,
    };
    VkPhysicalDeviceSubgroupSizeControlFeatures sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
    };
    VkPhysicalDeviceFeatures2 have = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &sizes };
    VkPhysicalDeviceSubgroupSizeControlProperties range = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES,
    };
    VkPhysicalDeviceProperties2 p = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &range };
    VkPhysicalDeviceShaderIntegerDotProductFeaturesKHR dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES_KHR,
        .shaderIntegerDotProduct = VK_TRUE,
    };
    bool dot_offered = false;
    VkExtensionProperties extensions[512];
    uint32_t extension_count = 512;
    struct vk_coop coop;
    const char *enable[3];
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &want,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .pEnabledFeatures = &features,
        .ppEnabledExtensionNames = enable,
    };
    uint32_t bits = 0; /* of a timestamp */
    int status;

    g->physical = physical;
    describe(physical, &g->info);
    if ((status = lower(&g->info)))
        return status;
    if (!strcmp(g->info.kind, "cpu"))
        g->info.passes = lavapipe_begin(g->info.driver);
    if (g->info.api[0] == 1 && g->info.api[1] < 2)
        return fail(TAIN_EUNSUPPORTED, "device: %s offers Vulkan 1.%u; tain needs 1.2", g->info.name, g->info.api[1]);
    vkGetPhysicalDeviceMemoryProperties(physical, &g->memory);
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &n, families);
    g->family = UINT32_MAX;
    for (uint32_t i = 0; i < n; i++)
        if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT && g->family == UINT32_MAX) {
            g->family = i;
            bits = families[i].timestampValidBits;
        }
    if (g->family == UINT32_MAX)
        return fail(TAIN_EUNSUPPORTED, "device: %s has no compute queue", g->info.name);
    queue.queueFamilyIndex = g->family;

    /* One subgroup a workgroup needs a subgroup size that is known. */
    if (!vkEnumerateDeviceExtensionProperties(physical, NULL, &extension_count, extensions))
        for (uint32_t i = 0; i < extension_count; i++) {
            dot_offered |= !strcmp(extensions[i].extensionName, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
            if (!strcmp(extensions[i].extensionName, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME)) {
                vkGetPhysicalDeviceFeatures2(physical, &have);
                vkGetPhysicalDeviceProperties2(physical, &p);
                if (sizes.subgroupSizeControl && (range.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT)) {
                    enable[info.enabledExtensionCount++] = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
                    g->full_subgroups = sizes.computeFullSubgroups;
                    sizes = (VkPhysicalDeviceSubgroupSizeControlFeatures){ .sType = sizes.sType, .subgroupSizeControl = VK_TRUE,
                                                                           .computeFullSubgroups = sizes.computeFullSubgroups };
                    want.pNext = &sizes;
                    g->size_control = true;
                }
            }
        }
    /* Drivers of Vulkan 1.3 offer it as an extension too, and tain asks for 1.2. */
    g->info.dot &= dot_offered;
    if (g->info.dot) {
        enable[info.enabledExtensionCount++] = VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME;
        dot.pNext = want.pNext;
        want.pNext = &dot;
    }
    for (uint32_t i = 0; i < extension_count && coop_fits(g, range.maxComputeWorkgroupSubgroups); i++)
        if (!strcmp(extensions[i].extensionName, VK_COOP) && vk_coop(g, &want, &coop))
            enable[info.enabledExtensionCount++] = VK_COOP;
    features.shaderInt64 = features.robustBufferAccess = want.shaderSubgroupExtendedTypes = g->info.texel;
    VK(g, vkCreateDevice(physical, &info, NULL, &g->device));
    vkGetDeviceQueue(g->device, g->family, 0, &g->queue);
    VkPhysicalDeviceProperties plain;
    vkGetPhysicalDeviceProperties(physical, &plain);
    g->tick = bits ? plain.limits.timestampPeriod * 1e-9 : 0;
    g->tick_mask = bits < 64 ? (1ull << bits) - 1 : UINT64_MAX;
    if ((status = vk_commands_open(g)))
        return status;
    return 0;
}

static struct gpu *open_any(const char *which)
{
    VkPhysicalDevice devices[MOST_DEVICES];
    struct gpu *g;
    int n;

    set_environment();
    if (!which || !*which)
        which = getenv("TAIN_DEVICE");
    g = base_alloc(1, sizeof(*g));
    if (!g)
        return NULL;
    if (make_instance(&g->instance)) {
        free(g);
        return NULL;
    }
    n = list_devices(g->instance, devices);
    if (n > 0)
        n = choose(devices, n, which);
    if (n < 0 || open_device(g, devices[n])) {
        gpu_close(g);
        return NULL;
    }
    g->profile = getenv("TAIN_PROFILE");
    return g;
}

/* A driver's threads inherit which signals are blocked. They shall get none: Ctrl-C is for the thread
 * that runs Lua, and glibc before 2.42 may lose the wakeup of a thread whose wait a signal interrupts
 * (its bug 25847), after which the CPU driver waits for itself without end. */
struct gpu *gpu_open(const char *which)
{
    sigset_t all, before;
    struct gpu *g;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    g = open_any(which);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return g;
}

void gpu_close(struct gpu *g)
{
    if (!g)
        return;
    if (g->device) {
        if (!g->lost)
            gpu_wait(g);
        if (g->profile)
            vk_profile_write(g);
        vkDeviceWaitIdle(g->device);
        vk_memory_close(g);
        vk_pipelines_close(g);
        vk_commands_close(g);
        vkDestroyDevice(g->device, NULL);
    }
    vkDestroyInstance(g->instance, NULL);
    free(g);
}

const struct gpu_info *gpu_info(const struct gpu *g)
{
    return &g->info;
}

void gpu_read_buffers(struct gpu *g)
{
    g->info.texel = g->info.alike = false;
}

void gpu_alike(struct gpu *g, bool alike)
{
    g->info.alike = alike && g->info.texel;
}

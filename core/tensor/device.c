/* device.c - the public face of a device. */
#include "tensor/tensor.h"

#include <stdio.h>
#include <stdlib.h>

int32_t tain_device_count(void)
{
    return gpu_count();
}

const char *tain_device_describe(int32_t index)
{
    static _Thread_local char text[1024];
    struct gpu_info info;

    if (gpu_describe(index, &info))
        return NULL;
    for (char *p = info.name; *p; p++)
        if (*p == '"' || *p == '\\' || (unsigned char)*p < 32)
            *p = ' ';
    snprintf(text, sizeof(text),
             "{\"index\":%d,\"name\":\"%s\",\"driver\":\"%.120s\",\"kind\":\"%s\",\"uuid\":\"%s\",\"api\":\"%u.%u.%u\","
             "\"lanes\":%u,\"memory\":%llu,\"range\":%llu,\"allocation\":%llu,\"shared\":%u}",
             index, info.name, info.driver, info.kind, info.uuid, info.api[0], info.api[1], info.api[2], info.lanes,
             (unsigned long long)info.memory, (unsigned long long)info.range, (unsigned long long)info.allocation,
             info.shared);
    return text;
}

tain_device *device_open(const char *which)
{
    tain_device *d = base_alloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->gpu = gpu_open(which);
    if (!d->gpu) {
        free(d);
        return NULL;
    }
    d->refs = 1;
    d->grad = true;
    return d;
}

void tain_device_free(tain_device *device)
{
    if (!device || --device->refs)
        return;
    tape_end(device);
    gpu_close(device->gpu);
    free(device);
}

const char *tain_device_banner(tain_device *device)
{
    static _Thread_local char text[896];
    const struct gpu_info *i;

    REQUIRE_OR_NULL(device, "banner: device is missing");
    i = gpu_info(device->gpu);
    snprintf(text, sizeof(text), "%s | %s | %s | Vulkan %u.%u | %u lanes | %s reads%s%s | %u KiB shared%s%s%s%s%s", i->name, i->kind,
             i->driver, i->api[0], i->api[1], i->lanes, i->texel ? "texel" : "buffer",
             i->alike ? " | alike stores" : "", i->passes ? " | own passes" : "", i->shared >> 10,
             device->tiles ? " | tiled matmul" : "", device->coop ? " | cooperative matmul" : "",
             device->dot ? " | int8 activations" : "",
             *device->wrong ? " | wrong here and not used: " : "", device->wrong);
    return text;
}

tain_status tain_device_wait(tain_device *device)
{
    REQUIRE(device, "wait: device is missing");
    return gpu_wait(device->gpu);
}

int64_t tain_device_memory(tain_device *device, bool peak)
{
    struct gpu_usage u;

    REQUIRE(device, "memory: device is missing");
    gpu_usage(device->gpu, &u);
    return (int64_t)(peak ? u.peak : u.used);
}

void tain_device_reset_peak(tain_device *device)
{
    if (device)
        gpu_reset_peak(device->gpu);
}

tain_status tain_device_plan(tain_device *device)
{
    REQUIRE(device, "plan: device is missing");
    return gpu_plan(device->gpu);
}

tain_status tain_device_limit(tain_device *device, int64_t bytes)
{
    REQUIRE(device, "limit: device is missing");
    REQUIRE(bytes >= 0, "limit: %lld bytes; it must not be negative", (long long)bytes);
    gpu_limit_memory(device->gpu, (uint64_t)bytes);
    return 0;
}

/* roof.c - what the device can do at most: arithmetic without memory, and memory without arithmetic.
 *
 * Each call only starts the work and says how much it is; whoever wants to know how fast it went
 * waits and looks at the clock.
 */
#include "op/op.h"

/* CHUNK texels a subgroup; UNROLLED as in the shader. */
enum { CHUNK = 4096, UNROLLED = 64, CHAINS = 12, WIDTH = 128 };

double tain_roof_arithmetic(tain_device *device, int32_t turns)
{
    const struct gpu_info *info;
    uint32_t width, groups;
    int64_t n;
    tain_tensor *y;
    int status;

    REQUIRE(device, "roof: device is missing");
    REQUIRE(turns >= 1 && turns <= OP_TURNS, "roof: %d turns; there may be 1 to %d", turns, OP_TURNS);
    info = gpu_info(device->gpu);
    /* A CPU's threads share workgroups evenly; a GPU is full when each of its units has many. */
    width = info->texel || info->lanes > WIDTH ? info->lanes : WIDTH;
    groups = info->texel ? 64 : 8192;
    n = (int64_t)width * groups;
    if (!(y = tensor_new(device, TAIN_F32, 1, &n)))
        return tain_error_status();
    struct { uint32_t turns; float add; } p = { (uint32_t)turns, 0.001f };
    double work = 2.0 * UNROLLED * CHAINS * (double)turns * (double)n;
    status = op_dispatch(device, op_pipeline(device, width, NULL, 0, "roof.arithmetic"), &y, 1, 1, &p, sizeof(p), groups,
                         1, 1, work);
    tensor_unref(y);
    return status ? status : work;
}

double tain_roof_reading(tain_tensor *x)
{
    uint32_t lanes, width, chunk = CHUNK;
    int64_t chunks, gx, gy;
    tain_tensor *part;
    int status;

    REQUIRE(x, "roof: x is missing");
    REQUIRE(x->type == TAIN_F32 && tensor_contiguous(x) && x->offset % 4 == 0,
            "roof: x must be f32 and without gaps; it is %s %s", type_name(x->type), tensor_text(x));
    chunks = tensor_count(x) / (4 * CHUNK);
    REQUIRE(chunks >= 1, "roof: x has %lld elements; it must have %d or more", (long long)tensor_count(x), 4 * CHUNK);
    lanes = gpu_info(x->device->gpu)->lanes;
    width = lanes < WIDTH ? WIDTH : lanes;
    if (!(part = tensor_new(x->device, TAIN_F32, 1, &chunks)))
        return tain_error_status();
    struct { uint32_t chunks; } p = { (uint32_t)chunks };
    op_rows(chunks, width, lanes, &gx, &gy);
    status = op_dispatch(x->device, op_pipeline(x->device, width, &chunk, 1, "roof.reading"),
                         (tain_tensor *[]){ x, part }, 2, 2, &p, sizeof(p), gx, gy, 1, 4.0 * CHUNK * (double)chunks);
    tensor_unref(part);
    return status ? status : 16.0 * CHUNK * (double)chunks;
}

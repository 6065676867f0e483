/* random.c - numbers by counting: an element depends on (seed, stream, position) and on nothing
 * else, neither on the device nor on how many are drawn at a time. lua/tain/random.lua counts the
 * same way.
 */
#include "op/op.h"

static tain_tensor *draw(const char *kind, tain_device *device, int32_t dims, const int64_t *shape, int64_t seed,
                         int64_t stream, int64_t position)
{
    tain_tensor *out;
    int64_t n, x, y;
    struct { uint32_t n, skip, block[2], stream[2], seed[2]; } p;

    REQUIRE_OR_NULL(device, "%s: device is missing", kind);
    REQUIRE_OR_NULL(!dims || shape, "%s: shape is missing", kind);
    REQUIRE_OR_NULL(position >= 0, "%s: position %lld is negative", kind, (long long)position);
    out = tensor_new(device, TAIN_F32, dims, shape);
    if (!out)
        return NULL;
    n = tensor_count(out);
    if (n > UINT32_MAX - 4) {
        fail(TAIN_EUNSUPPORTED, "%s: %lld numbers are too many for one tensor", kind, (long long)n);
        tensor_unref(out);
        return NULL;
    }
    p.n = (uint32_t)n;
    p.skip = (uint32_t)(position % 4);
    p.block[0] = (uint32_t)(position / 4);
    p.block[1] = (uint32_t)(position / 4 >> 32);
    p.stream[0] = (uint32_t)stream;
    p.stream[1] = (uint32_t)((uint64_t)stream >> 32);
    p.seed[0] = (uint32_t)seed;
    p.seed[1] = (uint32_t)((uint64_t)seed >> 32);
    op_grid(n ? (n + p.skip + 3) / 4 : 0, 64, &x, &y);
    if (op_dispatch(device, op_pipeline(device, 64, NULL, 0, "random.%s", kind), &out, 1, 1, &p, sizeof(p), x, y, 1,
                    30.0 * (double)n)) {
        tensor_unref(out);
        return NULL;
    }
    return out;
}

tain_tensor *tain_uniform(tain_device *device, int32_t dims, const int64_t *shape, int64_t seed, int64_t stream,
                          int64_t position)
{
    return draw("uniform", device, dims, shape, seed, stream, position);
}

tain_tensor *tain_normal(tain_device *device, int32_t dims, const int64_t *shape, int64_t seed, int64_t stream,
                         int64_t position)
{
    return draw("normal", device, dims, shape, seed, stream, position);
}

/* matmul.c - products of matrices: the kernel's choice, and matmul.
 *
 * All three orientations that training needs (x W^T, dy W, dy^T x) are one shader with two
 * specialization constants. What cannot be read four at a time goes through its V1 variant. A few rows
 * times a weight, as in decoding, have a kernel of their own, and so have large products: one on GPUs, and one on CPUs
 * (matmul_panel.c). Where GPUs have matrix units, products by a matrix in 16 bits have another.
 */
#include "op/matmul.h"

#include <string.h>

/* ---- The kernel ---- */

/* Four k a turn. */
enum { K_MOST = 4 * OP_TURNS, ROWS_MOST = 32 * 65535, BATCH_MOST = 65535 };

static bool by_four(const struct gemm *g)
{
    int64_t all = g->a->offset | g->c->offset | g->a_pitch | g->c_pitch | g->N;

    if (!type_blocks(g->b->type))
        all |= g->b->offset | g->b_pitch;
    if (g->bias)
        all |= g->bias->offset;
    if (g->add)
        all |= g->add->offset;
    if (g->norm)
        all |= g->norm->offset;
    if (g->batch > 1)
        all |= g->a_batch | g->b_batch | g->c_batch;
    if (g->ta)
        all |= g->M;
    return all % 4 == 0;
}

/* Where matrices in blocks are read from: k is a multiple of four rows, or of two blocks along them. */
static void bind_blocks(const struct gemm *g, int64_t k, struct gpu_bind *numbers, struct gpu_bind *scales)
{
    int64_t row = g->tb ? 0 : k, along = g->tb ? k : 0;
    uint64_t skip = (uint64_t)(along * blocks_pitch(g->b) / g->b->shape[1]) * 16;

    *numbers = blocks_bind(g->b, false, row);
    *scales = blocks_bind(g->b, true, row);
    numbers->offset += skip;
    numbers->bytes -= skip;
    skip = (uint64_t)along / (2 * BLOCK_NUMBERS) * 16;
    scales->offset += skip;
    scales->bytes -= skip;
}

/* ---- Very few rows ---- */

/* With more rows than these, what is read of a matrix serves enough of them in the kernel for many; and
 * of blocks a lane holds so much that more rows would not fit into a GPU's registers; on CPUs they are memory anyway. */
enum { GEMV_MOST = 4, GEMV_MOST_BLOCKS = 2 };

/* Columns of the matrix that gemv.comp takes at a time. */
static int64_t chunk(tain_type type)
{
    return type == TAIN_F32 ? 4 : type == TAIN_INT8 ? 16 : type == TAIN_INT4 ? 32 : 8;
}

static bool few_rows(const struct gemm *g)
{
    tain_type type = g->b->type;
    const struct gpu_info *info = gpu_info(g->c->device->gpu);
    int64_t lanes = info->lanes, wide = g->K / chunk(type);

    if (g->M > (type_blocks(type) && !info->texel ? GEMV_MOST_BLOCKS : GEMV_MOST) || g->batch > 1 || g->ta || !g->tb)
        return false;
    if (g->K % chunk(type) || (g->a->offset | g->a_pitch) % 4)
        return false;
    if (!type_blocks(type) && (g->b->offset | g->b_pitch) % chunk(type))
        return false;
    return g->K <= K_MOST && wide >= lanes / 2; /* below, most lanes would have nothing to do */
}

static int dispatch_few(const struct gemm *g)
{
    tain_device *d = g->c->device;
    const struct gpu_info *info = gpu_info(d->gpu);
    bool blocks = type_blocks(g->b->type);
    /* What is read of x serves them all; a lane each writes them at the end. GPUs have no room for many sums. */
    uint32_t outputs = info->lanes < 8 ? info->lanes : !info->texel ? (blocks ? 4 : 8) : info->lanes >= 16 && g->N >= 512 ? 16 : 8;
    int64_t x, y;
    uint32_t constants[5] = { (uint32_t)g->M, outputs, g->add != NULL, g->bias != NULL, g->activation };
    struct { uint32_t N, K, x_pitch, w_pitch, y_pitch; } p = {
        (uint32_t)g->N, (uint32_t)g->K, (uint32_t)g->a_pitch, (uint32_t)(blocks ? blocks_pitch(g->b) : g->b_pitch),
        (uint32_t)g->c_pitch,
    };
    struct gpu_bind binds[6] = { tensor_bind(g->a, GPU_READ), tensor_bind(g->b, GPU_READ),
                                 tensor_bind(g->bias ? g->bias : g->a, GPU_READ),
                                 tensor_bind(g->add ? g->add : g->a, GPU_READ), tensor_bind(g->c, GPU_WRITE) };

    if (blocks)
        bind_blocks(g, 0, &binds[1], &binds[5]);
    op_grid(g->N, outputs, &x, &y);
    return gpu_dispatch(d->gpu, op_pipeline(d, 0, constants, 5, "gemv.b_%s", type_name(g->b->type)), binds, blocks ? 6 : 5, &p,
                        sizeof(p), (uint32_t)x, (uint32_t)y, 1, 2.0 * (double)g->M * (double)g->N * (double)g->K);
}

/* ---- Many rows ---- */

/* Into how many bands of columns a product is cut, one done after the other: what all rows of tiles read of B
 * again and again then stays in a processor's second cache. A tile reads `bytes` of B. */
static int64_t bands_of(int64_t columns, int64_t bytes)
{
    enum { SECOND_CACHE = 1 << 20 };
    int64_t across = columns;

    while (across > 2 && (across * bytes > SECOND_CACHE || columns % across))
        across--;
    return columns % across ? 1 : columns / across;
}

/* How a product is cut, and by which kernel: tiles of `rows` by `columns`, made by workgroups of `width` (0: one subgroup). */
struct cut {
    const char *shader;
    uint32_t width, rows, columns, unroll;
    uint32_t coop[4]; /* rows, columns and k of a cooperative matrix, and subgroups one below the other; 0: none */
};

/* Whether matmul_tile.comp makes it: the product fills a tile, and the kernel is the faster one here. */
static bool tiled(const struct gemm *g)
{
    const tain_device *d = g->c->device;
    int64_t least = d->tiles == TILES_ALL ? 1 : 64;

    return d->tiles && !gpu_info(d->gpu)->texel && !type_blocks(g->b->type) && g->M >= least && g->N >= least;
}

/* With twice the rows a column of B is read half as often, where that leaves tiles enough for all of a GPU. */
static struct cut tiled_cut(const struct gemm *g, int64_t M, int64_t batch)
{
    enum { ROWS = 64, COLUMNS = 64, UNROLL = 4, ENOUGH = 512 };
    const tain_device *d = g->c->device;
    bool large = gpu_info(d->gpu)->invocations >= 256;
    int64_t tiles = (M + ROWS - 1) / ROWS * ((g->N + COLUMNS - 1) / COLUMNS) * batch;
    bool twice = large && M > ROWS && (tiles >= ENOUGH || d->tiles == TILES_ALL);

    return (struct cut){ "matmul_tile", large ? 256 : 128, twice ? 2 * ROWS : ROWS, COLUMNS, UNROLL, { 0 } };
}

/* Whether matmul_coop.comp makes it. */
static bool cooperates(const struct gemm *g, bool v4)
{
    const tain_device *d = g->c->device;
    int64_t least = d->coop == TILES_ALL ? 1 : 64;

    return d->coop && v4 && (g->b->type == TAIN_F16 || g->b->type == TAIN_BF16) && !g->norm && g->M >= least && g->N >= least;
}

/* Tiles whose both sides are twice as long read half as much, where they leave enough for all of a GPU. The subgroups
 * lie in a tile so that their parts of it are nearly square, and read least of shared memory. */
static struct cut coop_cut(const struct gemm *g, int64_t M, int64_t batch)
{
    enum { ROWS = 64, COLUMNS = 64, UNROLL = 8, ENOUGH = 512 };
    const tain_device *d = g->c->device;
    const struct gpu_info *info = gpu_info(d->gpu);
    const uint32_t *size = info->coop;
    int64_t tiles = (M + ROWS - 1) / ROWS * ((g->N + COLUMNS - 1) / COLUMNS) * batch;
    uint32_t width = info->invocations >= 256 ? 256 : 128, shared, times;
    struct cut cut = { .shader = "matmul_coop", .unroll = UNROLL, .coop = { size[0], size[1], size[2], 1 } };

    while (width / info->lanes >= 4 * cut.coop[3] * cut.coop[3])
        cut.coop[3] *= 2;
    /* Small subgroups would be too many for large matrices. */
    while (width / info->lanes / cut.coop[3] * size[1] > COLUMNS)
        width /= 2;
    shared = 2 * (ROWS + COLUMNS) * (4 * UNROLL + 8) * 2 + width / info->lanes * size[0] * size[1] * 4 + 4;
    times = width == 256 && shared <= info->shared && M > ROWS && g->N > COLUMNS && (tiles >= ENOUGH || d->coop == TILES_ALL) ? 2 : 1;
    cut.width = width;
    cut.rows = times * ROWS;
    cut.columns = times * COLUMNS;
    return cut;
}

static struct cut cut_of(const struct gemm *g, bool v4, int64_t M, int64_t K, int64_t batch)
{
    const struct gpu_info *info = gpu_info(g->c->device->gpu);
    uint32_t lanes = info->lanes;
    int64_t columns = (g->N + 4 * lanes - 1) / (4 * lanes);
    /* 64 lanes wide, 32 rows leave AMD's compiler registers for a single subgroup at a time. */
    bool texel = info->texel, low = !texel && lanes >= 64, blocks = type_blocks(g->b->type);
    uint32_t tm = M <= 8 ? 8 : M <= 16 || low || columns * ((M + 31) / 32) * batch < 16 ? 16 : 32;

    if (cooperates(g, v4))
        return coop_cut(g, M, batch);
    if (tiled(g))
        return tiled_cut(g, M, batch);
    /* More rows a column of B pay where little is stored for much that is added, and the code is not longer for it. */
    if (texel && lanes >= 16 && K >= 512 && columns * (M / 64) * batch >= 4)
        tm = 64;
    uint32_t steps = (uint32_t)((K + 3) / 4);
    /* On CPUs 32 rows times four k are as much code as the instruction cache holds. */
    uint32_t most = texel ? (tm < 32 ? 32 / tm : 1) : tm <= 16 ? 8 : 4, unroll = v4 ? most : 1;
    /* What a load brings of blocks is enough for more steps than one. */
    if (v4 && blocks && texel)
        unroll *= 2;
    while (steps % unroll)
        unroll /= 2;
    return (struct cut){ "matmul", 0, tm, 4 * lanes, unroll, { 0 } };
}

/* Whether the tile is written by a store for each of its texels (shaders/lib/each.glsl). LLVM takes time with the square of
 * their number: six seconds for 1,024. So not where tiles are the largest, which are for large K. */
static bool stores_each(const tain_device *d, const struct cut *cut)
{
    enum { TEXELS_MOST = 512 };
    const struct gpu_info *i = gpu_info(d->gpu);

    return i->alike && cut->rows * i->lanes <= TEXELS_MOST;
}

static int dispatch(const struct gemm *g, bool v4, int64_t m, int64_t M, int64_t k, int64_t K, int64_t z, int64_t batch,
                    bool first, bool last)
{
    tain_device *d = g->c->device;
    struct cut cut = cut_of(g, v4, M, K, batch);
    int64_t columns = (g->N + cut.columns - 1) / cut.columns;
    bool blocks = type_blocks(g->b->type);
    tain_tensor *add = first ? g->add : g->c;
    /* A kernel's own from the ninth on. */
    uint32_t constants[12] = { cut.rows, g->ta, g->tb, cut.unroll, add != NULL, last && g->bias, last ? g->activation : 0,
                               cut.columns, cut.coop[0], cut.coop[1], cut.coop[2], cut.coop[3] };
    tain_tensor *bias = g->norm ? g->norm : g->bias;
    uint32_t bands = batch > 1 ? 1 : (uint32_t)bands_of(columns, cut.columns * K * (blocks ? 1 : (int64_t)type_bytes(g->b->type)));
    struct { uint32_t M, N, K, a_pitch, b_pitch, c_pitch, a_batch, b_batch, c_batch, bands; } p = {
        (uint32_t)M, (uint32_t)g->N, (uint32_t)K, (uint32_t)g->a_pitch,
        (uint32_t)(blocks ? blocks_pitch(g->b) : g->b_pitch), (uint32_t)g->c_pitch, (uint32_t)g->a_batch,
        (uint32_t)g->b_batch, (uint32_t)g->c_batch, bands,
    };
    struct gpu_bind binds[6] = { tensor_bind(g->a, GPU_READ), tensor_bind(g->b, GPU_READ),
                                 tensor_bind(bias ? bias : g->a, GPU_READ), tensor_bind(add ? add : g->a, GPU_READ),
                                 tensor_bind(g->c, GPU_WRITE) };
    int64_t a_at = z * g->a_batch + (g->ta ? k * g->a_pitch + m : m * g->a_pitch + k);
    int64_t b_at = z * g->b_batch + (g->tb ? k : k * g->b_pitch);
    int64_t c_at = z * g->c_batch + m * g->c_pitch;

    /* The activation is of the whole sum; a split of K adds first and activates at the end, which
     * only the caller of gemm() can do. */
    if (!last || !first)
        constants[6] = 0;
    if (g->norm)
        memcpy(&constants[8], &g->eps, sizeof(g->eps));
    if (!cut.coop[0])
        constants[9] = v4 && stores_each(d, &cut);
    binds[0].offset += (uint64_t)a_at * 4;
    binds[0].bytes -= (uint64_t)a_at * 4;
    for (int i = add ? 3 : 4; i < 5; i++) {
        binds[i].offset += (uint64_t)c_at * 4;
        binds[i].bytes -= (uint64_t)c_at * 4;
    }
    if (blocks) {
        bind_blocks(g, k, &binds[1], &binds[5]);
    } else {
        binds[1].offset += (uint64_t)b_at * type_bytes(g->b->type);
        binds[1].bytes -= (uint64_t)b_at * type_bytes(g->b->type);
    }
    return gpu_dispatch(d->gpu,
                        op_pipeline(d, cut.width, constants, cut.coop[0] ? 12 : 10, "%s.%s.b_%s", cut.shader, v4 ? "v4" : "v1",
                                    type_name(g->b->type)),
                        binds, blocks ? 6 : 5, &p, sizeof(p), (uint32_t)columns / bands,
                        (uint32_t)((M + cut.rows - 1) / cut.rows), (uint32_t)batch * bands,
                        2.0 * (double)M * (double)g->N * (double)K * (double)batch);
}

/* ---- Rows that lie too evenly ---- */

/* A copy costs a hundredth of a large product, which then takes three quarters of the time. Where a tile
 * reads across rows (ta, or not tb) nothing is gained. */
enum { WORTH_COPYING = 256 };

/* Such a copy in *t and *pitch, which is the caller's: in *copy, or NULL if none is called for. */
static int spread(tain_tensor **t, int64_t *pitch, int64_t rows, int64_t columns, int64_t uses, tain_tensor **copy)
{
    *copy = NULL;
    if (!op_even((*t)->type, *pitch) || rows < WORTH_COPYING / 4 || uses < WORTH_COPYING || rows * columns > OP_SPREAD_MOST)
        return 0;
    *copy = op_spread(*t, (*t)->offset, *pitch, rows, columns);
    if (!*copy)
        return tain_error_status();
    *t = *copy;
    *pitch = (*copy)->stride[0];
    return 0;
}

static int run(const struct gemm *g, bool fours)
{
    int status = 0;

    for (int64_t z = 0; z < g->batch && !status; z += BATCH_MOST) {
        int64_t batch = g->batch - z < BATCH_MOST ? g->batch - z : BATCH_MOST;
        for (int64_t m = 0; m < g->M && !status; m += ROWS_MOST / 4) {
            int64_t M = g->M - m < ROWS_MOST / 4 ? g->M - m : ROWS_MOST / 4;
            for (int64_t k = 0, n; k < g->K && !status; k += n) {
                /* A remainder of one to three k goes through the slow variant by itself. */
                n = g->K - k < K_MOST ? g->K - k : K_MOST;
                if (fours && n >= 4)
                    n = n / 4 * 4;
                status = dispatch(g, fours && n % 4 == 0, m, M, k, n, z, batch, k == 0, k + n == g->K);
            }
        }
    }
    return status;
}

int gemm(const struct gemm *g)
{
    bool fast = !(g->c->device->portable & KERNEL_MATMUL), fours = fast && by_four(g);
    struct gemm apart = *g;
    tain_tensor *a = NULL, *b = NULL;
    int status = 0;

    if (!g->M || !g->N || !g->batch)
        return 0;
    if (!g->K)
        return g->add == g->c ? 0 : g->add ? tensor_accumulate(g->c, g->add, false) : tensor_zero(g->c);
    if (fast && gemv_dot_makes(g))
        return gemv_dot(g);
    if (fast && few_rows(g))
        return dispatch_few(g);
    if (fast && gemm_by_panels(g))
        return gemm_panels(g);
    if (fours && g->batch == 1 && gpu_info(g->c->device->gpu)->texel) {
        if (!g->ta)
            status = spread(&apart.a, &apart.a_pitch, g->M, g->K, g->N, &a);
        if (!status && g->tb)
            status = spread(&apart.b, &apart.b_pitch, g->N, g->K, g->M, &b);
    }
    if (!status)
        status = run(&apart, fours);
    tensor_unref(a);
    tensor_unref(b);
    return status;
}

/* Whether x W^T is one dispatch that reads and writes four at a time, `columns` of them in a row. */
static bool at_once(const tain_tensor *x, const tain_tensor *w, int64_t columns)
{
    int64_t k = w->shape[1], all = k | tensor_pitch(x) | x->offset | w->offset | columns;

    return !(x->device->portable & KERNEL_MATMUL) && !type_blocks(w->type) && tensor_rows(x) > GEMV_MOST && k && k <= K_MOST &&
           all % 4 == 0;
}

bool gemm_gates(const tain_tensor *x, const tain_tensor *w)
{
    return at_once(x, w, w->shape[0] / 2) && w->shape[0] % 2 == 0;
}

bool gemm_keeps(const struct gemm *g)
{
    return g->activation == GEMM_GATE && !(g->c->device->portable & KERNEL_MATMUL) && gemm_by_panels(g);
}

bool gemm_norms(const tain_tensor *x, const tain_tensor *w)
{
    enum { COLUMNS_MOST = 1024 }; /* with more, all tiles together do more for the norm than a pass over x does */

    return at_once(x, w, w->shape[0]) && w->shape[0] <= COLUMNS_MOST && (!x->device->tiles || gpu_info(x->device->gpu)->texel) &&
           !(x->device->coop && w->type != TAIN_F32);
}

int gemm_column_sum(tain_tensor *x, int64_t rows, tain_tensor *out, bool add)
{
    int64_t n = tensor_last(x), shape[1] = { rows };
    tain_tensor *ones = tensor_new(x->device, TAIN_F32, 1, shape);
    struct gemm g = { .a = ones, .b = x, .c = out, .add = add ? out : NULL, .M = 1, .N = n, .K = rows, .batch = 1,
                      .a_pitch = (rows + 3) / 4 * 4, .b_pitch = tensor_pitch(x), .c_pitch = (n + 3) / 4 * 4 };
    int status;

    if (!ones)
        return tain_error_status();
    status = gpu_fill(x->device->gpu, &ones->storage->range, 0, (uint64_t)rows * 4, 0x3f800000);
    if (!status)
        status = gemm(&g);
    tensor_unref(ones);
    return status;
}

/* ---- General products ---- */

/* A matrix operand: how its last two dimensions are stored, and how far its batches lie apart. */
struct operand {
    bool transposed;
    int64_t pitch, batch_stride, batch;
};

/* False if the storage fits no such description. */
static bool describe(const tain_tensor *t, struct operand *o)
{
    int64_t rows = t->shape[t->dims - 2], columns = t->shape[t->dims - 1];
    int64_t rs = t->stride[t->dims - 2], cs = t->stride[t->dims - 1];
    int64_t step = 0;

    o->batch = 1;
    o->batch_stride = 0;
    for (int i = t->dims - 3; i >= 0; i--) {
        if (t->shape[i] == 1)
            continue;
        if (o->batch == 1)
            o->batch_stride = step = t->stride[i];
        else if (t->stride[i] != step)
            return false;
        step *= t->shape[i];
        o->batch *= t->shape[i];
    }
    if (cs == 1 || columns == 1) {
        o->transposed = false;
        o->pitch = rows == 1 ? columns : rs;
        return rows == 1 || rs >= columns;
    }
    o->transposed = true;
    o->pitch = cs;
    return rs == 1 || rows == 1;
}

static int matmul_infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const tain_tensor *a = c->in[0], *b = c->in[1];

    REQUIRE(a->dims >= 2 && b->dims >= 2, "matmul: a is %s, b is %s; both must have two dimensions or more", tensor_text(a),
            tensor_text(b));
    REQUIRE(a->shape[a->dims - 1] == b->shape[b->dims - 2], "matmul: inner sizes differ: a is %s, b is %s", tensor_text(a),
            tensor_text(b));
    REQUIRE(b->dims == a->dims && !memcmp(a->shape, b->shape, (size_t)(a->dims - 2) * sizeof(int64_t)),
            "matmul: leading sizes differ: a is %s, b is %s", tensor_text(a), tensor_text(b));
    *type = TAIN_F32;
    *dims = a->dims;
    memcpy(shape, a->shape, sizeof(a->shape));
    shape[a->dims - 1] = b->shape[b->dims - 1];
    return 0;
}

/* c (=|+=) a * b, each seen as it is or transposed once more. */
static int product(tain_tensor *a, bool flip_a, tain_tensor *b, bool flip_b, tain_tensor *c, bool add)
{
    struct operand oa, ob, oc;
    tain_tensor *da = NULL, *db = NULL;
    int64_t M = c->shape[c->dims - 2], N = c->shape[c->dims - 1];
    int64_t K = a->shape[flip_a ? a->dims - 2 : a->dims - 1];
    int status;

    if (!describe(a, &oa)) {
        if (!(a = da = op_contiguous(a)))
            return tain_error_status();
        describe(a, &oa);
    }
    if (!describe(b, &ob)) {
        if (!(b = db = op_contiguous(b))) {
            tensor_unref(da);
            return tain_error_status();
        }
        describe(b, &ob);
    }
    describe(c, &oc);
    status = gemm(&(struct gemm){
        .a = a, .b = b, .c = c, .ta = oa.transposed != flip_a, .tb = ob.transposed != flip_b, .add = add ? c : NULL,
        .M = M, .N = N, .K = K, .batch = oc.batch, .a_pitch = oa.pitch, .b_pitch = ob.pitch, .c_pitch = oc.pitch,
        .a_batch = oa.batch_stride, .b_batch = ob.batch_stride, .c_batch = oc.batch_stride,
    });
    tensor_unref(da);
    tensor_unref(db);
    return status;
}

static int matmul_forward(struct op_call *c)
{
    return product(c->in[0], false, c->in[1], false, c->out, false);
}

static int matmul_backward(struct op_call *c)
{
    tain_tensor *a = c->in[0], *b = c->in[1], *g;
    bool add, grad = c->device->grad;
    int status = 0;

    c->device->grad = false;
    if (op_wants(c, 0)) {
        g = grad_target(a, &add);
        status = g ? product(c->dout, false, b, true, g, add) : tain_error_status();
    }
    if (!status && op_wants(c, 1)) {
        g = grad_target(b, &add);
        status = g ? product(a, true, c->dout, false, g, add) : tain_error_status();
    }
    c->device->grad = grad;
    return status;
}

static const struct op op_matmul = {
    .name = "matmul", .inputs = 2, .any_stride = 3, .infer = matmul_infer, .forward = matmul_forward, .backward = matmul_backward,
};

tain_tensor *tain_matmul(tain_tensor *a, tain_tensor *b)
{
    tain_tensor *flat, *y, *out;
    int64_t shape[TENSOR_DIMS];

    REQUIRE_OR_NULL(a, "matmul: a is missing");
    REQUIRE_OR_NULL(b, "matmul: b is missing");
    if (a->dims <= 2 || b->dims != 2)
        return OP_RUN0(&op_matmul, a, b);
    /* One matrix b for all of a's batches: a is one tall matrix. */
    flat = tain_reshape(a, 2, (int64_t[]){ -1, tensor_last(a) });
    y = flat ? OP_RUN0(&op_matmul, flat, b) : NULL;
    memcpy(shape, a->shape, sizeof(shape));
    shape[a->dims - 1] = b->shape[1];
    out = y ? tain_reshape(y, a->dims, shape) : NULL;
    tensor_unref(flat);
    tensor_unref(y);
    return out;
}

/* matmul_panel.c - large products on CPUs.
 *
 * A processor adds products at its full speed while the sums are in registers and what it reads lies one after the other. So
 * B is copied into panels first, as wide as a tile; a copy costs what a few rows of the product cost, and turns numbers
 * of 16 bits into floats on the way. What lies well as it is, is read as it is.
 */
#include "op/matmul.h"

/* What is read again and again stays in a second cache: a panel of so many rows of B, beside what is read of A; as many panels
 * side by side as CACHE bytes. Where A is stored transposed, a tile's columns are in another line for each k, which it shares
 * with the tiles beside it: so many rows of both as that cache holds (CACHE_ALL), but not so few that sums are read and written
 * more often than that is worth. */
enum { K_AT_ONCE = 4096, K_LEAST = 256, K_TRANSPOSED = 512, CACHE = 1 << 18, CACHE_ALL = 1 << 19, DOWN = 16 };

/* Fewer rows cost less than the copy, and fewer columns leave most of a panel empty; a larger copy, of numbers, costs memory. */
enum { ROWS_LEAST = 24, COLUMNS_LEAST = 16, COPY_MOST = 1 << 24 };

/* Of k. An activation is of the whole sum, and a norm of a whole row. */
static int64_t at_once(const struct gemm *g)
{
    int64_t most = g->activation != GEMM_NONE || g->norm ? g->K : K_AT_ONCE;

    if (g->ta && g->activation == GEMM_NONE) {
        most = CACHE_ALL / 4 / (g->M + g->N) / 64 * 64;
        most = most < K_LEAST ? K_LEAST : most > K_TRANSPOSED ? K_TRANSPOSED : most;
    }
    return g->K < most ? g->K : most;
}

/* B's of a batch that are different ones. */
static int64_t matrices(const struct gemm *g)
{
    return g->b_batch ? g->batch : 1;
}

bool gemm_by_panels(const struct gemm *g)
{
    const tain_device *d = g->c->device;
    bool all = d->tiles == TILES_ALL;
    int64_t copied = matrices(g) * gemm_panels_count(d, g->N, at_once(g));

    if (!d->tiles || !gpu_info(d->gpu)->texel || type_blocks(g->b->type))
        return false;
    if ((!all && (g->M < ROWS_LEAST || g->N < COLUMNS_LEAST)) || g->batch > 65535 || at_once(g) > OP_TURNS)
        return false;
    return op_by_words(g->a) && op_by_words(g->b) && op_by_words(g->bias) && op_by_words(g->norm) && op_by_words(g->keep) &&
           op_by_words(g->add) && op_by_words(g->c) && copied <= COPY_MOST && gpu_by_words(d->gpu, (uint64_t)copied * 4);
}

struct gemm_tile gemm_tile(const tain_device *d)
{
    uint32_t lanes = gpu_info(d->gpu)->lanes;

    return (struct gemm_tile){ lanes >= 16 ? 12 : 6, 2, 2 * lanes };
}

/* Where B is read. */
struct panels {
    tain_tensor *copy; /* NULL: as it is */
    int64_t pitch, panel, batch; /* from a row to the next, a panel, a matrix */
};

/* Whether rows of a tile's columns can be read where they are, and are not all in the same few sets of a cache. */
static bool lies_well(const struct gemm *g, const struct gemm_tile *t)
{
    return !g->tb && !g->norm && g->b->type == TAIN_F32 && g->N % t->columns == 0 && !op_even(TAIN_F32, g->b_pitch);
}

int64_t gemm_panels_count(const tain_device *d, int64_t N, int64_t K)
{
    int64_t columns = gemm_tile(d).columns;

    return op_steps(N, columns) * columns * K;
}

int gemm_lay_panels(const struct gemm_panels *s, tain_tensor *to, int64_t at)
{
    enum { ROWS = 256 };
    tain_device *d = to->device;
    struct gemm_tile t = gemm_tile(d);
    int64_t across = op_steps(s->N, t.columns), matrices = s->batch * s->heads;
    int64_t all = s->at | s->pitch | (s->tb ? s->K : s->N);
    bool v4;
    uint32_t constants[4] = { t.vectors, s->tb, s->gated, s->norm != NULL };
    struct { uint32_t N, K, b_pitch, b_batch, to_batch, rows, heads, b_head; } p = {
        (uint32_t)s->N, (uint32_t)s->K, (uint32_t)s->pitch, (uint32_t)s->batch_stride, (uint32_t)(across * t.columns * s->K),
        ROWS, (uint32_t)s->heads, (uint32_t)s->head_stride,
    };
    struct gpu_bind from = tensor_bind(s->from, GPU_READ), written = tensor_bind(to, GPU_WRITE), norm;
    uint64_t skip = (uint64_t)(s->at - s->from->offset) * type_bytes(s->from->type);

    all |= (s->batch > 1 ? s->batch_stride : 0) | (s->heads > 1 ? s->head_stride : 0) | at;
    v4 = all % 4 == 0;
    from.offset += skip;
    from.bytes -= skip;
    written.offset += (uint64_t)at * 4;
    written.bytes -= (uint64_t)at * 4;
    norm = s->norm ? tensor_bind(s->norm, GPU_READ) : from;
    return gpu_dispatch(d->gpu, op_pipeline(d, 0, constants, 4, "panel.%s.b_%s", v4 ? "v4" : "v1", type_name(s->from->type)),
                        (struct gpu_bind[]){ written, from, norm, written }, v4 ? 4 : 3, &p, sizeof(p), (uint32_t)across,
                        (uint32_t)op_steps(s->K, ROWS), (uint32_t)matrices, (double)(matrices * s->K * s->N));
}

/* B from row k on, `K` of them. What is read again as it was, such as a weight while a picture is drawn, is copied once. */
static int copy(const struct gemm *g, const struct gemm_tile *t, int64_t k, int64_t K, struct panels *p)
{
    tain_device *d = g->c->device;
    int64_t one = gemm_panels_count(d, g->N, K);
    struct gemm_panels from = {
        .from = g->b, .at = g->b->offset + (g->tb ? k : k * g->b_pitch), .tb = g->tb, .gated = g->activation == GEMM_GATE,
        .N = g->N, .K = K, .pitch = g->b_pitch, .heads = 1, .batch = matrices(g), .batch_stride = g->b_batch, .norm = g->norm,
    };
    struct copied of = { {
        gpu_version(d->gpu, &g->b->storage->range), (uint64_t)from.at, from.tb | from.gated << 1 | (unsigned)g->b->type << 2,
        (uint64_t)from.N, (uint64_t)K, (uint64_t)from.pitch, (uint64_t)from.batch, (uint64_t)from.batch_stride,
        g->norm ? gpu_version(d->gpu, &g->norm->storage->range) : 0, g->norm ? (uint64_t)g->norm->offset : 0,
    } };
    bool keep;
    int status;

    *p = (struct panels){ copy_find(d, &of, &keep), t->columns, t->columns * K, g->b_batch ? one : 0 };
    if (p->copy) {
        tensor_ref(p->copy);
        return 0;
    }
    if (!(p->copy = tensor_new(d, TAIN_F32, 2, (int64_t[]){ matrices(g), one })))
        return tain_error_status();
    if (!(status = gemm_lay_panels(&from, p->copy, 0)) && keep)
        copy_keep(d, &of, p->copy);
    return status;
}

/* Tiles of a workgroup: so many panels wide, so many one below the other. */
static void share_out(const struct gemm *g, const struct gemm_tile *t, int64_t K, int64_t *wide, int64_t *down)
{
    enum { GROUPS_LEAST = 16 };
    int64_t panels = op_steps(g->N, t->columns), tiles = op_steps(g->M, t->rows), most;

    *wide = CACHE / (K * t->columns * 4);
    *wide = *wide < 1 ? 1 : *wide > panels ? panels : *wide;
    most = OP_TURNS / (*wide * (K + 1) + 1); /* each loop counts its own turns */
    *down = most < 1 ? 1 : most < DOWN ? most : DOWN;
    while (*down > 1 && op_steps(panels, *wide) * op_steps(tiles, *down) * g->batch < GROUPS_LEAST)
        *down /= 2;
}

static int multiply(const struct gemm *g, const struct gemm_tile *t, int64_t k, int64_t K, const struct panels *b)
{
    tain_device *d = g->c->device;
    bool first = k == 0, last = k + K == g->K;
    int64_t panels = op_steps(g->N, t->columns), tiles = op_steps(g->M, t->rows), wide, down;
    tain_tensor *add = first ? g->add : g->c;
    uint32_t constants[9] = { t->rows, t->vectors, g->ta, add != NULL, last && g->bias, first && last ? g->activation : 0,
                              g->N % t->columns != 0, g->norm != NULL, g->keep != NULL };
    struct gpu_bind binds[6] = { tensor_bind(g->a, GPU_READ), tensor_bind(b->copy ? b->copy : g->b, GPU_READ),
                                 tensor_bind(g->bias ? g->bias : g->a, GPU_READ), tensor_bind(add ? add : g->a, GPU_READ),
                                 tensor_bind(g->c, GPU_WRITE), tensor_bind(g->keep ? g->keep : g->c, GPU_WRITE) };
    uint64_t a_skip = (uint64_t)(g->ta ? k * g->a_pitch : k) * 4, b_skip = b->copy ? 0 : (uint64_t)(k * g->b_pitch) * 4;
    struct { uint32_t M, N, K, a_pitch, b_pitch, c_pitch, a_batch, b_batch, c_batch, b_panel, down, across; float eps; } p;

    share_out(g, t, K, &wide, &down);
    binds[0].offset += a_skip;
    binds[0].bytes -= a_skip;
    binds[1].offset += b_skip;
    binds[1].bytes -= b_skip;
    p.M = (uint32_t)g->M;
    p.N = (uint32_t)g->N;
    p.K = (uint32_t)K;
    p.a_pitch = (uint32_t)g->a_pitch;
    p.b_pitch = (uint32_t)b->pitch;
    p.c_pitch = (uint32_t)g->c_pitch;
    p.a_batch = (uint32_t)g->a_batch;
    p.b_batch = (uint32_t)b->batch;
    p.c_batch = (uint32_t)g->c_batch;
    p.b_panel = (uint32_t)b->panel;
    p.down = (uint32_t)down;
    p.across = (uint32_t)wide;
    p.eps = g->eps;
    return gpu_dispatch(d->gpu, op_pipeline(d, 0, constants, 9, "matmul_panel"), binds, 6, &p, sizeof(p),
                        (uint32_t)op_steps(panels, wide), (uint32_t)op_steps(tiles, down), (uint32_t)g->batch,
                        2.0 * (double)g->M * (double)g->N * (double)K * (double)g->batch);
}

int gemm_panels(const struct gemm *g)
{
    struct gemm_tile t = gemm_tile(g->c->device);
    struct panels as_it_is = { NULL, g->b_pitch, t.columns, g->b_batch };
    bool well = lies_well(g, &t);
    int64_t most = at_once(g);
    int status = 0;

    for (int64_t k = 0, n; k < g->K && !status; k += n) {
        struct panels p = as_it_is;
        n = g->K - k < most ? g->K - k : most;
        if (!well)
            status = copy(g, &t, k, n, &p);
        if (!status)
            status = multiply(g, &t, k, n, &p);
        tensor_unref(p.copy);
    }
    return status;
}

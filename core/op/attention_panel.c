/* attention_panel.c - attention on CPUs, by tiles whose sums are in registers (shaders/attention_panel.comp). */
#include "op/attention_part.h"
#include "op/matmul.h"

/* A workgroup does 65,535 turns of loops at most on the CPU driver. Scores are kept for as long as a row is, by every
 * workgroup of a dispatch its own: so many numbers of them, which a third cache has room for. */
enum { TURNS_MOST = 60000, DOWN_MOST = 16, SCORES_MOST = 1 << 22 };

/* Below, what is done before and behind the products costs more than they do, and the other kernel is the faster one. */
enum { ROWS_LEAST = 128, SIZE_LEAST = 48 };

/* One kernel's tiles: `rows` of them against `others`, in `heads` heads of a batch row. */
struct plan {
    int64_t rows, others, heads, batch, planes; /* planes: of scores, for each row */
    int64_t down, across;                       /* tiles of a workgroup; workgroups of a head */
    int64_t at_once;                            /* heads of a dispatch */
    int64_t panels, work;                       /* where the scores begin, and numbers in all */
};

static int64_t up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

/* How tiles are handed to workgroups, and where scores lie behind what is laid out before them; false if they need too much.
 * shared: heads of queries for each of the tile's. Of DQ and DKV a tile multiplies twice for its scores. */
static bool plan(const tain_device *d, struct plan *p, int64_t size, int64_t shared, bool forward, int64_t before)
{
    struct gemm_tile t = gemm_tile(d);
    int64_t panels = up(p->others, t.columns), blocks = up(size, t.columns), tiles = up(p->rows, t.rows), turns, one;

    turns = forward ? panels * (size + 2) + blocks * (p->others + 1)
                    : shared * (panels * (2 * size + 1) + blocks * (p->planes * p->others + 1)) + size * t.rows;
    p->down = turns >= TURNS_MOST ? 0 : TURNS_MOST / (turns + 1);
    if (p->down > DOWN_MOST)
        p->down = DOWN_MOST;
    while (p->down > 1 && p->heads * p->batch * up(tiles, p->down) < 16)
        p->down /= 2;
    if (!p->down)
        return false;
    p->across = up(tiles, p->down);
    p->panels = before;
    one = p->across * p->planes * t.rows * panels * t.columns;
    p->at_once = one > SCORES_MOST ? 1 : SCORES_MOST / one;
    if (p->at_once > p->heads * p->batch)
        p->at_once = p->heads * p->batch;
    p->work = before + p->at_once * one;
    return gpu_by_words(d->gpu, (uint64_t)p->work * 4) && p->across <= 65535 && p->at_once <= 65535;
}

/* Numbers of so many tensors' panels. */
static int64_t laid(const tain_device *d, const tain_tensor *t, int64_t times)
{
    return times * t->shape[0] * t->shape[2] * gemm_panels_count(d, t->shape[1], t->shape[3]);
}

static bool plans(const struct op_call *c, const struct attn *a, struct plan *forward, struct plan *dq, struct plan *dkv)
{
    const tain_device *d = c->device;
    int64_t B = a->q->shape[0], T = a->q->shape[1], H = a->q->shape[2], D = a->q->shape[3];
    int64_t S = a->k->shape[1], KV = a->k->shape[2];

    *forward = (struct plan){ .rows = T, .others = S, .heads = H, .batch = B, .planes = 1 };
    *dq = *forward;
    *dkv = (struct plan){ .rows = S, .others = T, .heads = KV, .batch = B, .planes = 2 };
    return plan(d, forward, D, 1, true, laid(d, a->k, 1)) && plan(d, dq, D, 1, false, laid(d, a->k, 2)) &&
           plan(d, dkv, D, H / KV, false, laid(d, a->q, 2));
}

bool attn_by_panels(const struct op_call *c, const struct attn *a)
{
    const tain_device *d = c->device;
    struct plan p[3];
    bool all = d->tiles == TILES_ALL;

    return d->tiles && gpu_info(d->gpu)->texel && a->k->type == TAIN_F32 && a->q->shape[3] >= gemm_tile(d).columns &&
           (all || (a->q->shape[1] >= ROWS_LEAST && a->k->shape[1] >= ROWS_LEAST && a->q->shape[3] >= SIZE_LEAST)) &&
           a->q->shape[0] * a->q->shape[2] <= 65535 && op_by_words(a->q) && op_by_words(a->k) && op_by_words(a->v) &&
           op_by_words(c->out) && plans(c, a, &p[0], &p[1], &p[2]);
}

/* A tensor's heads [tokens, D] as panels of columns that are tokens. */
static int lay(const tain_tensor *t, tain_tensor *work, int64_t at)
{
    return gemm_lay_panels(&(struct gemm_panels){
        .from = (tain_tensor *)t, .at = t->offset, .tb = true, .N = t->shape[1], .K = t->shape[3], .pitch = t->stride[1],
        .heads = t->shape[2], .head_stride = t->stride[2], .batch = t->shape[0], .batch_stride = t->stride[0],
    }, work, at);
}

/* Of a kernel's parameters. */
struct end {
    struct rest rest;
    uint32_t size, down, scores, first;
};

struct numbers {
    uint32_t t, h, b;
};

static struct numbers numbers_of(const tain_tensor *t)
{
    return (struct numbers){ (uint32_t)t->stride[1], (uint32_t)t->stride[2], (uint32_t)t->stride[0] };
}

static int dispatch(struct op_call *c, const struct attn *a, const struct plan *p, const char *name, uint32_t add, uint32_t lse,
                    tain_tensor *const *t, int count, unsigned writes, const void *all, size_t bytes, struct end *params)
{
    struct gemm_tile tile = gemm_tile(c->device);
    uint32_t constants[5] = { tile.rows, tile.vectors, attn_rules(c), add, lse };
    int64_t heads = p->batch * p->heads;
    int status = 0;

    for (int64_t first = 0, n; first < heads && !status; first += n) {
        n = heads - first < p->at_once ? heads - first : p->at_once;
        params->first = (uint32_t)first;
        status = op_dispatch(c->device, op_pipeline(c->device, 0, constants, 5, "attention_panel.%s", name), t, count, writes,
                             all, bytes, p->across, n, 1, attn_work(a) * (double)n / (double)heads);
    }
    return status;
}

int attn_panels_forward(struct op_call *c, const struct attn *a, tain_tensor *stat)
{
    tain_tensor *rule = attn_rule(c), *work;
    struct plan p, dq, dkv;
    int64_t T = a->q->shape[1], H = a->q->shape[2], D = a->q->shape[3];
    int status;

    plans(c, a, &p, &dq, &dkv);
    if (!(work = tensor_new(c->device, TAIN_F32, 1, &p.work)))
        return tain_error_status();
    status = lay(a->k, work, 0);
    if (!status) {
        struct { struct numbers q, k, y; struct end end; } params = {
            numbers_of(a->q), numbers_of(a->v), { (uint32_t)(H * D), (uint32_t)D, (uint32_t)(T * H * D) },
            { attn_rest(c, a), (uint32_t)D, (uint32_t)p.down, (uint32_t)p.panels, 0 },
        };
        status = dispatch(c, a, &p, "forward", 0, stat != NULL,
                          (tain_tensor *[]){ a->q, a->v, rule ? rule : a->q, work, work, c->out, stat ? stat : c->out }, 7,
                          16 | 32 | 64, &params, sizeof(params), &params.end);
    }
    tensor_unref(work);
    return status;
}

int attn_panels_backward(struct op_call *c, struct attn *a, const struct attn *d, tain_tensor **dy, tain_tensor *y,
                         tain_tensor *stat, unsigned add)
{
    tain_tensor *rule = attn_rule(c), *work = NULL;
    struct plan forward, dq, dkv;
    int64_t D = a->q->shape[3];
    struct { struct numbers q, k, y, d; struct end end; } p = {
        numbers_of(a->q), numbers_of(a->k), numbers_of(*dy), numbers_of(d->q), { attn_rest(c, a), (uint32_t)D, 0, 0, 0 },
    };
    int status = 0;

    plans(c, a, &forward, &dq, &dkv);
    work = tensor_new(c->device, TAIN_F32, 1, (int64_t[]){ dq.work > dkv.work ? dq.work : dkv.work });
    if (!work)
        return tain_error_status();
    status = lay(a->k, work, 0);
    if (!status)
        status = lay(a->v, work, laid(c->device, a->k, 1));
    p.end.down = (uint32_t)dq.down;
    p.end.scores = (uint32_t)dq.panels;
    if (!status)
        status = dispatch(c, a, &dq, "dq", add & 1, 0,
                          (tain_tensor *[]){ a->q, a->k, rule ? rule : a->q, work, work, *dy, y, d->q, stat }, 9,
                          16 | 128 | 256, &p, sizeof(p), &p.end);
    if (!status && (attn_lay_apart(c, &a->q, a->k->shape[1]) || attn_lay_apart(c, dy, a->k->shape[1])))
        status = tain_error_status();
    if (!status)
        status = lay(a->q, work, 0);
    if (!status)
        status = lay(*dy, work, laid(c->device, a->q, 1));
    p.q = numbers_of(a->q);
    p.y = numbers_of(*dy);
    p.d = numbers_of(d->k);
    p.end.down = (uint32_t)dkv.down;
    p.end.scores = (uint32_t)dkv.panels;
    if (!status)
        status = dispatch(c, a, &dkv, "dkv", add >> 1, 0,
                          (tain_tensor *[]){ a->k, a->v, rule ? rule : a->q, work, work, a->q, *dy, stat, d->k, d->v }, 10,
                          16 | 256 | 512, &p, sizeof(p), &p.end);
    tensor_unref(work);
    return status;
}

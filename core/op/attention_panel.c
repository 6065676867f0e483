/* attention_panel.c - attention on CPUs, by tiles whose sums are in registers (shaders/attention_panel.comp). */
#include "op/attention_part.h"
#include "op/matmul.h"

#include <string.h>

/* What products are with and what is made of scores is kept for as many heads as there is room for in so many numbers, most of
 * which a third cache has room for. */
enum { DOWN_MOST = 16, WORK_MOST = 1 << 23 };

/* Below, what is done before and behind the products costs more than they do, and the other kernel is the faster one. */
enum { ROWS_LEAST = 64, SIZE_LEAST = 32 };

/* What is done at once: heads of keys and the queries' that share them, in backward for a range of the keys; and tiles of a
 * workgroup, of FORWARD or DKV, and of DQ. */
struct plan {
    int64_t rows, heads; /* batch rows, more than one only of all their heads; key heads */
    int64_t keys;
    int64_t down, dq_down;
    int64_t ds, scores, work; /* where they begin in work, and how many numbers it has */
};

/* 0 if a tile takes too many turns; few enough that all processors have something to do. */
static int64_t down_of(int64_t turns, int64_t tiles)
{
    int64_t down = turns >= OP_TURNS ? 0 : OP_TURNS / (turns + 1);

    if (down > DOWN_MOST)
        down = DOWN_MOST;
    while (down > 1 && tiles / down < 16)
        down /= 2;
    return down;
}

static bool plan(const tain_device *d, struct plan *p, const struct attn *a, bool backward)
{
    struct gemm_tile t = gemm_tile(d);
    int64_t B = a->q->shape[0], T = a->q->shape[1], H = a->q->shape[2], D = a->q->shape[3];
    int64_t S = a->k->shape[1], KV = a->k->shape[2], group = H / KV, blocks = op_steps(D, t.columns);
    int64_t queries = op_steps(T, t.columns) * t.columns, keys = op_steps(S, t.columns) * t.columns, wide = blocks * t.columns;
    int64_t most = WORK_MOST, laid, own, ds, tiles, chunks, heads;

    while (!gpu_by_words(d->gpu, (uint64_t)most * 4))
        most /= 2;
    if (backward) { /* for each key head; own and ds of as many keys as a workgroup has */
        p->down = down_of(group * (queries / t.columns * (2 * D + 1) + blocks * 2 * (T + 1)), B * KV * op_steps(S, t.rows));
        p->dq_down = down_of(blocks * (S + 1), B * H * op_steps(T, t.rows));
        laid = S * wide + 2 * group * (queries * D + T * wide);
        own = group * 2 * t.rows * queries;
        ds = group * queries * p->down * t.rows;
        tiles = S;
    } else {
        p->down = p->dq_down = down_of(keys / t.columns * (D + 2) + blocks * (S + 1), B * H * op_steps(T, t.rows));
        laid = keys * D + S * wide;
        own = group * t.rows * (keys + t.columns);
        ds = 0;
        tiles = T;
    }
    if (!p->down || !p->dq_down || (backward && H * (D + t.columns) >= OP_TURNS)) /* the last: of delta */
        return false;
    chunks = op_steps(tiles, p->down * t.rows);
    if (backward && laid + chunks * (own + ds) > most) {
        int64_t fit = (most - laid) / (own + ds);
        chunks = fit < 1 ? 1 : fit;
    }
    p->keys = chunks * p->down * t.rows;
    heads = most / (laid + chunks * (own + ds));
    heads = heads < 1 ? 1 : heads > B * KV ? B * KV : heads;
    p->rows = heads < KV ? 1 : heads / KV;
    p->heads = heads < KV ? heads : KV;
    heads = p->rows * p->heads;
    p->ds = heads * laid;
    p->scores = p->ds + heads * chunks * ds;
    p->work = p->scores + heads * chunks * own;
    return gpu_by_words(d->gpu, (uint64_t)p->work * 4) && chunks <= 65535 && op_steps(T, t.rows * p->dq_down) <= 65535;
}

bool attn_by_panels(const struct op_call *c, const struct attn *a)
{
    const tain_device *d = c->device;
    struct plan p;
    bool all = d->tiles == TILES_ALL;

    return d->tiles && gpu_info(d->gpu)->texel && a->k->type == TAIN_F32 && a->q->shape[3] >= gemm_tile(d).columns &&
           (all || (a->q->shape[1] >= ROWS_LEAST && a->k->shape[1] >= ROWS_LEAST && a->q->shape[3] >= SIZE_LEAST)) &&
           a->q->shape[0] * a->q->shape[2] <= 65535 && op_by_words(a->q) && op_by_words(a->k) && op_by_words(a->v) &&
           op_by_words(c->out) && plan(d, &p, a, false) && plan(d, &p, a, true);
}

/* ---- What is done at once ---- */

struct numbers {
    uint32_t t, h, b;
};

static struct numbers numbers_of(const tain_tensor *t)
{
    return (struct numbers){ (uint32_t)t->stride[1], (uint32_t)t->stride[2], (uint32_t)t->stride[0] };
}

/* The end of a kernel's parameters. */
struct end {
    struct rest rest;
    uint32_t size, down, row, head, some, scores, ds, first, range;
};

struct part {
    struct op_call *c;
    const struct attn *a;
    struct plan plan;
    tain_tensor *work;
    int64_t row, rows, head, heads; /* batch rows, key heads */
    double share;                   /* of all */
    int64_t laid;                   /* so many numbers of work */
    struct end end;
};

/* Numbers of the part's heads, `times` as many as key heads, in panels of columns that are tokens or their numbers. */
static int lay(struct part *p, tain_tensor *t, int64_t times, bool tokens)
{
    int64_t at = p->laid, T = t->shape[1], D = t->shape[3], heads = p->heads * times;

    p->laid += p->rows * heads * gemm_panels_count(p->c->device, tokens ? T : D, tokens ? D : T);
    return gemm_lay_panels(&(struct gemm_panels){
        .from = t, .at = t->offset + p->row * t->stride[0] + p->head * times * t->stride[2], .tb = tokens,
        .N = tokens ? T : D, .K = tokens ? D : T, .pitch = t->stride[1], .heads = heads, .head_stride = t->stride[2],
        .batch = p->rows, .batch_stride = t->stride[0],
    }, p->work, at);
}

/* `across` workgroups for each of `heads`. n: `strides` sets of them. */
static int dispatch(struct part *p, const char *name, uint32_t add, uint32_t lse, tain_tensor *const *t, int count,
                    unsigned writes, const struct numbers *n, int strides, int64_t across, int64_t heads)
{
    tain_device *d = p->c->device;
    struct gemm_tile tile = gemm_tile(d);
    uint32_t constants[6] = { tile.rows, tile.vectors, attn_rules(p->c), add, lse, p->a->q->shape[3] % tile.columns != 0 };
    struct { struct numbers n[2]; struct end end; } all;
    void *params = &all.n[2 - strides];

    memcpy(params, n, (size_t)strides * sizeof(*n));
    all.end = p->end;
    return op_dispatch(d, op_pipeline(d, 0, constants, 6, "attention_panel.%s", name), t, count, writes, params,
                       (size_t)strides * sizeof(*n) + sizeof(all.end), across, heads, 1, p->share * attn_work(p->a));
}

/* What all parts have in common. */
static int begin(struct part *p, struct op_call *c, const struct attn *a, bool backward)
{
    *p = (struct part){ .c = c, .a = a, .end = { .rest = attn_rest(c, a), .size = (uint32_t)a->q->shape[3] } };
    plan(c->device, &p->plan, a, backward);
    return (p->work = tensor_new(c->device, TAIN_F32, 1, &p->plan.work)) ? 0 : tain_error_status();
}

/* The next part, or false: heads of the same batch row, then the next rows. */
static bool next(struct part *p)
{
    int64_t B = p->a->k->shape[0], KV = p->a->k->shape[2];

    if (!p->heads || (p->head += p->heads) >= KV) {
        p->head = 0;
        p->row += p->rows;
    }
    p->rows = p->plan.rows < B - p->row ? p->plan.rows : B - p->row;
    p->heads = p->plan.heads < KV - p->head ? p->plan.heads : KV - p->head;
    p->share = (double)(p->rows * p->heads) / (double)(B * KV);
    p->laid = 0;
    p->end.row = (uint32_t)p->row;
    p->end.head = (uint32_t)p->head;
    p->end.some = (uint32_t)p->heads;
    p->end.ds = (uint32_t)p->plan.ds;
    p->end.scores = (uint32_t)p->plan.scores;
    return p->row < B;
}

int attn_panels_forward(struct op_call *c, const struct attn *a, tain_tensor *stat)
{
    tain_tensor *rule = attn_rule(c);
    int64_t T = a->q->shape[1], H = a->q->shape[2], D = a->q->shape[3], group = H / a->k->shape[2];
    struct numbers n[2] = { numbers_of(a->q), { (uint32_t)(H * D), (uint32_t)D, (uint32_t)(T * H * D) } };
    struct part p;
    int status = begin(&p, c, a, false);

    while (!status && next(&p)) {
        p.end.down = (uint32_t)p.plan.down;
        if ((status = lay(&p, a->k, 1, true)) || (status = lay(&p, a->v, 1, false)))
            break;
        status = dispatch(&p, "forward", 0, stat != NULL,
                          (tain_tensor *[]){ a->q, rule ? rule : a->q, p.work, p.work, c->out, stat ? stat : c->out }, 6,
                          8 | 16 | 32, n, 2, op_steps(T, gemm_tile(c->device).rows * p.plan.down), p.rows * p.heads * group);
    }
    tensor_unref(p.work);
    return status;
}

/* ds of a part's heads for a range of keys, from `first` on, and what is made of it. */
static int range(struct part *p, const struct attn *d, tain_tensor *stat, unsigned add, int64_t first)
{
    const struct attn *a = p->a;
    tain_tensor *rule = attn_rule(p->c);
    int64_t T = a->q->shape[1], S = a->k->shape[1], rows = gemm_tile(p->c->device).rows, heads = p->rows * p->heads;
    int64_t keys = p->plan.keys < S - first ? p->plan.keys : S - first;
    struct numbers n[2] = { numbers_of(a->k), numbers_of(d->k) }, dq = numbers_of(d->q);
    int status;

    p->end.first = (uint32_t)first;
    p->end.range = (uint32_t)p->plan.keys;
    p->end.down = (uint32_t)p->plan.down;
    status = dispatch(p, "dkv", add >> 1, 0,
                      (tain_tensor *[]){ a->k, a->v, rule ? rule : a->q, p->work, p->work, stat, d->k, d->v, d->k, d->v }, 10,
                      16 | 256 | 512, n, 2, op_steps(keys, rows * p->plan.down), heads);
    p->end.down = (uint32_t)p->plan.dq_down;
    if (!status)
        status = dispatch(p, "dq", (add & 1) | (first > 0), 0, (tain_tensor *[]){ p->work, d->q, d->q }, 3, 4, &dq, 1,
                          op_steps(T, rows * p->plan.dq_down), heads * (a->q->shape[2] / a->k->shape[2]));
    return status;
}

int attn_panels_backward(struct op_call *c, const struct attn *a, const struct attn *d, tain_tensor *dy, tain_tensor *y,
                         tain_tensor *stat, unsigned add)
{
    int64_t B = a->q->shape[0], T = a->q->shape[1], group = a->q->shape[2] / a->k->shape[2];
    struct numbers n = numbers_of(dy);
    struct part p;
    int status = begin(&p, c, a, true);

    if (!status)
        status = dispatch(&p, "delta", 0, 0, (tain_tensor *[]){ dy, y, stat }, 3, 4, &n, 1,
                          op_steps(T, gpu_info(c->device->gpu)->lanes), B);
    while (!status && next(&p)) {
        if ((status = lay(&p, a->k, 1, false)) || (status = lay(&p, a->q, group, true)) || (status = lay(&p, dy, group, true)) ||
            (status = lay(&p, a->q, group, false)) || (status = lay(&p, dy, group, false)))
            break;
        for (int64_t first = 0; first < a->k->shape[1] && !status; first += p.plan.keys)
            status = range(&p, d, stat, add, first);
    }
    tensor_unref(p.work);
    return status;
}

/* janus_draw.c - drawing many images at once, code by code.
 *
 * Rows of prompts of different lengths are filled up on the left with tokens that nobody sees; their
 * positions start after the filling, so a row is drawn as if it were alone. With guidance, row 2i is
 * the prompt and row 2i + 1 its unconditional companion. Candidates of one prompt have rows that are the
 * same until the first code: such rows are run once, and share their keys and values.
 * The codes stay on the device until the end.
 */
#include "model/janus.h"

#include <stdlib.h>
#include <string.h>

struct janus_drawing {
    struct janus *m;
    int64_t rows, each, N, done, words; /* each: 2 with guidance, else 1 */
    float guidance, temperature;
    float *uniforms;
    int32_t *lead;                 /* [rows * each] filling of each row */
    bool filled;
    struct llama_cache *cache;
    tain_tensor *hidden;           /* of the last token [rows * each, C] */
    tain_tensor *hide;             /* segments [rows * each, room] of the cache, if filled */
    tain_tensor *twice;            /* 0 0 1 1 ..: which code each row reads */
    tain_tensor *inputs;           /* [codes, C]: what is read for each code, or NULL: more codes than will be drawn */
    tain_tensor **codes;           /* N of [rows] */
};

void janus_draw_free(struct janus_drawing *g)
{
    if (!g)
        return;
    for (int64_t i = 0; g->codes && i < g->N; i++)
        tensor_unref(g->codes[i]);
    free(g->codes);
    free(g->uniforms);
    free(g->lead);
    llama_cache_free(g->cache);
    tensor_unref(g->hidden);
    tensor_unref(g->hide);
    tensor_unref(g->twice);
    tensor_unref(g->inputs);
    free(g);
}

static const struct janus_row *row_of(const struct janus_drawing *g, const struct janus_row *prompts,
                                      const struct janus_row *unconditional, int64_t r)
{
    return g->each == 2 && (r & 1) ? &unconditional[r / 2] : &prompts[r / g->each];
}

/* Which of the different rows each row is, and the first row of each of those. Returns how many there are. */
static int64_t find_different(const struct janus_drawing *g, const struct janus_row *prompts,
                              const struct janus_row *unconditional, int32_t *which, int32_t *first)
{
    int64_t U = 0, u;

    for (int64_t r = 0; r < g->rows * g->each; r++) {
        const struct janus_row *row = row_of(g, prompts, unconditional, r);
        for (u = 0; u < U; u++) {
            const struct janus_row *other = row_of(g, prompts, unconditional, first[u]);
            if (other->count == row->count && !memcmp(other->ids, row->ids, (size_t)row->count * sizeof(*row->ids)))
                break;
        }
        if (u == U)
            first[U++] = (int32_t)r;
        which[r] = (int32_t)u;
    }
    return U;
}

/* What is read for a code depends on nothing else. Where fewer there are than will be drawn it is made once for each. */
static int make_inputs(struct janus_drawing *g)
{
    enum { MOST = 1 << 24 }; /* numbers */
    const struct janus *m = g->m;
    int64_t codes = m->config.codec.codes;

    if (codes > g->rows * (g->N - 1) || codes * m->config.language.width > MOST)
        return 0;
    g->inputs = projector_run(&m->weights, &m->image_aligner, m->image_embed);
    return g->inputs ? 0 : tain_error_status();
}

/* Runs the prompts. */
static int start(struct janus_drawing *g, const struct janus_row *prompts, const struct janus_row *unconditional)
{
    struct janus *m = g->m;
    tain_device *d = m->weights.device;
    int64_t R = g->rows * g->each, T = g->words, room = T + g->N, U;
    int32_t *ids = base_alloc((size_t)(R * T), 4), *at = base_alloc((size_t)(R * T), 4), *segment = base_alloc((size_t)(R * T), 4);
    int32_t *reach = base_alloc((size_t)(R * T), 4), *hide = base_alloc((size_t)(R * room), 4), *twice = base_alloc((size_t)R, 4);
    int32_t *ends = base_alloc((size_t)R, 4), *which = base_alloc((size_t)R, 4), *first = base_alloc((size_t)R, 4);
    tain_tensor *t = NULL, *p = NULL, *x = NULL, *rule = NULL, *end = NULL, *each = NULL;
    struct llama_cache *cache = NULL; /* of the different rows, if fewer */
    int status = TAIN_ENOMEM;

    if (!ids || !at || !segment || !reach || !hide || !twice || !ends || !which || !first)
        goto done;
    U = find_different(g, prompts, unconditional, which, first);
    for (int64_t r = 0; r < R; r++) {
        int64_t lead = T - row_of(g, prompts, unconditional, r)->count;
        g->lead[r] = (int32_t)lead;
        g->filled |= lead > 0;
        twice[r] = (int32_t)(r / g->each);
        for (int64_t i = 0; i < room; i++)
            hide[r * room + i] = i < lead ? -1 : 0;
    }
    for (int64_t u = 0; u < U; u++) {
        const struct janus_row *row = row_of(g, prompts, unconditional, first[u]);
        int64_t lead = T - row->count;
        ends[u] = (int32_t)(u * T + T - 1); /* all end together */
        for (int64_t i = 0; i < T; i++) {
            int64_t k = u * T + i;
            ids[k] = i < lead ? row->ids[0] : row->ids[i - lead];
            at[k] = (int32_t)(i < lead ? 0 : i - lead);
            segment[k] = i < lead ? -1 : 0;
            reach[k] = (int32_t)i;
            if (ids[k] < 0 || ids[k] >= m->config.language.vocabulary) {
                status = fail(TAIN_EINVAL, "draw: token %d; the vocabulary has %lld", ids[k], (long long)m->config.language.vocabulary);
                goto done;
            }
        }
    }
    g->cache = llama_cache_new(&m->language, R, U < R ? g->N : room);
    if (U < R)
        cache = llama_cache_new(&m->language, U, T);
    t = tensor_from(d, TAIN_I32, 2, (int64_t[]){ U, T }, ids);
    p = tensor_from(d, TAIN_I32, 2, (int64_t[]){ U, T }, at);
    g->twice = tensor_from(d, TAIN_I32, 1, &R, twice);
    each = tensor_from(d, TAIN_I32, 1, &R, which);
    end = tensor_from(d, TAIN_I32, 1, &U, ends);
    if (g->filled) {
        rule = attention_rule(d, U, T, T, segment, reach, segment);
        g->hide = tensor_from(d, TAIN_I32, 2, (int64_t[]){ R, room }, hide);
    }
    if (g->cache && (cache || U == R) && t && p && end && each && g->twice && (!g->filled || (rule && g->hide)))
        x = tain_embed(m->language.embed, t);
    g->hidden = x ? llama_run(&m->weights, &m->language, x, p, rule, cache ? cache : g->cache, end) : NULL;
    status = g->hidden ? 0 : tain_error_status();
    if (!status && cache) {
        status = llama_cache_share(g->cache, cache, each);
        cache = NULL;
        if (!status && !(g->hidden = then(g->hidden, tain_rows(g->hidden, each))))
            status = tain_error_status();
    }
done:
    free(ids);
    free(at);
    free(segment);
    free(reach);
    free(hide);
    free(twice);
    free(ends);
    free(which);
    free(first);
    llama_cache_free(cache);
    tensor_unref(each);
    tensor_unref(end);
    tensor_unref(t);
    tensor_unref(p);
    tensor_unref(x);
    tensor_unref(rule);
    return status;
}

struct janus_drawing *janus_draw(struct janus *m, const struct janus_row *prompts, const struct janus_row *unconditional,
                                 int64_t rows, const float *uniforms, float guidance, float temperature)
{
    struct janus_drawing *g = base_alloc(1, sizeof(*g));
    int64_t grid = codec_grid(&m->config.codec);
    bool grad = m->weights.device->grad;
    int status;

    if (!g)
        return NULL;
    *g = (struct janus_drawing){ .m = m, .rows = rows, .each = guidance == 1 ? 1 : 2, .N = grid * grid, .guidance = guidance,
                                 .temperature = temperature };
    for (int64_t r = 0; r < rows; r++) {
        if (prompts[r].count > g->words)
            g->words = prompts[r].count;
        if (g->each == 2 && unconditional[r].count > g->words)
            g->words = unconditional[r].count;
    }
    g->uniforms = base_alloc((size_t)(g->N * rows), sizeof(float));
    g->lead = base_alloc((size_t)(rows * g->each), 4);
    g->codes = base_alloc((size_t)g->N, sizeof(*g->codes));
    m->weights.device->grad = false;
    status = g->uniforms && g->lead && g->codes ? 0 : TAIN_ENOMEM;
    if (!status) {
        memcpy(g->uniforms, uniforms, (size_t)(g->N * rows) * sizeof(float));
        status = start(g, prompts, unconditional);
        if (!status)
            status = make_inputs(g);
    }
    m->weights.device->grad = grad;
    if (status) {
        janus_draw_free(g);
        return NULL;
    }
    return g;
}

tain_tensor *janus_draw_logits(struct janus_drawing *g)
{
    bool grad = g->m->weights.device->grad;
    tain_tensor *logits;

    g->m->weights.device->grad = false;
    logits = projector_run(&g->m->weights, &g->m->image_head, g->hidden);
    g->m->weights.device->grad = grad;
    return logits;
}

static int step(struct janus_drawing *g)
{
    struct janus *m = g->m;
    tain_device *d = m->weights.device;
    int64_t R = g->rows * g->each, D = m->config.language.width;
    tain_tensor *logits = janus_draw_logits(g), *u = NULL, *x = NULL, *at = NULL;
    int32_t *positions;

    u = tensor_from(d, TAIN_F32, 1, &g->rows, g->uniforms + g->done * g->rows);
    if (logits && u)
        g->codes[g->done] = g->each == 2 ? tain_sample_guided(logits, u, g->guidance, g->temperature)
                                         : tain_sample(logits, u, g->temperature);
    tensor_unref(logits);
    tensor_unref(u);
    if (!g->codes[g->done])
        return tain_error_status();
    if (++g->done == g->N)
        return 0;
    tensor_unref(g->hidden);
    g->hidden = NULL;
    x = g->inputs ? tain_embed(g->inputs, g->codes[g->done - 1]) : janus_embed_codes(m, g->codes[g->done - 1]);
    if (g->each == 2)
        x = x ? then(x, tain_rows(x, g->twice)) : NULL;
    x = x ? then(x, tain_reshape(x, 3, (int64_t[]){ R, 1, D })) : NULL;
    positions = base_alloc((size_t)R, 4);
    for (int64_t r = 0; positions && r < R; r++)
        positions[r] = (int32_t)(g->words + g->done - 1) - g->lead[r];
    at = positions ? tensor_from(d, TAIN_I32, 2, (int64_t[]){ R, 1 }, positions) : NULL;
    free(positions);
    x = x && at ? then(x, llama_run(&m->weights, &m->language, x, at, g->hide, g->cache, NULL)) : NULL;
    tensor_unref(at);
    g->hidden = x ? tain_reshape(x, 2, (int64_t[]){ R, D }) : NULL;
    tensor_unref(x);
    return g->hidden ? 0 : tain_error_status();
}

int64_t janus_draw_next(struct janus_drawing *g)
{
    bool grad = g->m->weights.device->grad;
    int status = 0;

    if (g->done < g->N) {
        g->m->weights.device->grad = false;
        status = step(g);
        g->m->weights.device->grad = grad;
    }
    return status ? status : g->N - g->done;
}

int janus_draw_codes(struct janus_drawing *g, int32_t *codes)
{
    int32_t *one;
    int status = 0;

    if (g->done < g->N)
        return fail(TAIN_EINVAL, "draw: %lld of %lld codes are still to be drawn", (long long)(g->N - g->done), (long long)g->N);
    if (!(one = base_alloc((size_t)g->rows, 4)))
        return TAIN_ENOMEM;
    for (int64_t i = 0; i < g->N && !status; i++) {
        status = tain_tensor_read_ints(g->codes[i], one, g->rows);
        for (int64_t r = 0; r < g->rows && !status; r++)
            codes[r * g->N + i] = one[r];
    }
    free(one);
    return status;
}

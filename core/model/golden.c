/* golden.c - a model against a recorded run of the reference implementation.
 *
 * A golden folder holds NAME.json (sizes, ids), NAME.weights.safetensors (with the names of real
 * checkpoints) and NAME.io.safetensors (inputs and what the reference made of them). Whatever the
 * io file holds is computed and compared; errors are relative to 1 + the greatest expected value,
 * whole numbers must be equal.
 */
#include "model/janus.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct golden {
    struct janus m;
    const struct st_file *io;
    struct text *report;
    double worst;
    double guidance, temperature;
};

/* ---- Reading what was recorded ---- */

static float *floats(struct golden *g, const char *name, int64_t *count)
{
    const struct st_entry *e = st_find(g->io, name);
    float *v;

    if (!e)
        return NULL;
    v = base_alloc((size_t)e->count + 1, sizeof(float));
    if (v && st_read_float(g->io, e, v, (size_t)e->count)) {
        free(v);
        v = NULL;
    }
    if (count)
        *count = e->count;
    return v;
}

static int32_t *whole(struct golden *g, const char *name, int64_t *count)
{
    const struct st_entry *e = st_find(g->io, name);
    int32_t *v;

    if (!e || e->type != ST_I32)
        return NULL;
    v = base_alloc((size_t)e->count + 1, 4);
    if (v && st_read(g->io, e, v, e->bytes)) {
        free(v);
        v = NULL;
    }
    if (count)
        *count = e->count;
    return v;
}

static int64_t size_of(struct golden *g, const char *name, int dim)
{
    const struct st_entry *e = st_find(g->io, name);

    return e && dim < e->rank ? e->shape[dim] : 0;
}

/* ---- Comparing ---- */

static void report(struct golden *g, const char *name, double error)
{
    if (!(error <= g->worst)) /* a NaN is the worst of all */
        g->worst = error;
    text_format(g->report, "%-64s %.2e\n", name, error);
}

static void compare(struct golden *g, const char *name, const float *got, const float *want, int64_t n)
{
    double difference = 0, most = 0;

    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - want[i]);
        if (!(d <= difference))
            difference = d;
        if (fabs(want[i]) > most)
            most = fabs(want[i]);
    }
    report(g, name, difference / (1 + most));
}

/* Against the recorded tensor of that name. Takes t over. */
static int compare_tensor(struct golden *g, const char *name, tain_tensor *t)
{
    int64_t n = 0, count = t ? tensor_count(t) : 0;
    float *want = floats(g, name, &n), *got = base_alloc((size_t)count + 1, sizeof(float));
    int status = t ? 0 : tain_error_status();

    if (!status && !want)
        status = tain_error_status();
    if (!status && n != count)
        status = fail(TAIN_EFORMAT, "%s: %lld numbers were recorded, the model makes %lld", name, (long long)n, (long long)count);
    if (!status && !(status = tain_tensor_read(t, got, n)))
        compare(g, name, got, want, n);
    free(want);
    free(got);
    tensor_unref(t);
    return status;
}

static void compare_whole(struct golden *g, const char *name, const int32_t *got, const int32_t *want, int64_t n)
{
    int64_t wrong = 0;

    for (int64_t i = 0; i < n; i++)
        wrong += got[i] != want[i];
    report(g, name, (double)wrong / (double)(n ? n : 1));
}

/* ---- Understanding ---- */

static int understanding(struct golden *g)
{
    struct janus *m = &g->m;
    int64_t n, ids_n, images = size_of(g, "und.pixels", 0), steps = 0;
    float *pixels = floats(g, "und.pixels", &n);
    int32_t *ids = whole(g, "und.input_ids", &ids_n), *greedy = whole(g, "und.greedy", &steps);
    tain_tensor *patches = NULL, *seen = NULL, *x = NULL, *logits = NULL;
    struct llama_cache *cache = NULL;
    int status = 0;

    if (!pixels || !ids)
        goto done;
    if (n != images * 3 * m->config.vision.image * m->config.vision.image) {
        status = fail(TAIN_EFORMAT, "und.pixels: its size is not that of the configuration");
        goto done;
    }
    patches = vit_patches(m->weights.device, &m->config.vision, images, pixels);
    if (!patches) {
        status = tain_error_status();
        goto done;
    }
    if (st_find(g->io, "und.vit"))
        status = compare_tensor(g, "und.vit", vit_run(&m->weights, &m->vision, patches));
    seen = janus_see(m, patches);
    if (!seen)
        status = tain_error_status();
    if (!status && st_find(g->io, "und.aligned"))
        status = compare_tensor(g, "und.aligned", tensor_ref(seen));
    if (status)
        goto done;
    cache = llama_cache_new(m->weights.device, &m->config.language, 1, ids_n + steps + 1);
    x = cache ? janus_read(m, ids, ids_n, seen, cache) : NULL;
    logits = x ? dense_run(&m->weights, &m->language.head, x, GEMM_NONE) : NULL;
    if (!logits) {
        status = tain_error_status();
        goto done;
    }
    status = compare_tensor(g, "und.logits", tensor_ref(logits));
    if (greedy && !status) {
        int32_t *made = base_alloc((size_t)steps, 4), *all;
        int64_t V = m->config.language.vocabulary, rows = ids_n;
        tain_tensor *best;

        for (int64_t i = 0; i < steps && made && !status; i++) {
            best = tain_argmax(logits, -1);
            all = base_alloc((size_t)rows, 4);
            status = best && all ? tain_tensor_read_ints(best, all, rows) : tain_error_status();
            if (!status)
                made[i] = all[rows - 1];
            free(all);
            tensor_unref(best);
            if (status || i + 1 == steps)
                break;
            tensor_unref(x);
            tensor_unref(logits);
            logits = NULL;
            rows = 1;
            x = janus_read(m, &made[i], 1, NULL, cache);
            logits = x ? dense_run(&m->weights, &m->language.head, x, GEMM_NONE) : NULL;
            if (!logits)
                status = tain_error_status();
        }
        (void)V;
        if (!status && made)
            compare_whole(g, "und.greedy", made, greedy, steps);
        free(made);
    }
done:
    free(pixels);
    free(ids);
    free(greedy);
    tensor_unref(patches);
    tensor_unref(seen);
    tensor_unref(x);
    tensor_unref(logits);
    llama_cache_free(cache);
    return status;
}

/* ---- Drawing ---- */

static int drawing(struct golden *g)
{
    struct janus *m = &g->m;
    int64_t N = size_of(g, "gen.u", 0), rows = size_of(g, "gen.u", 1), words = size_of(g, "gen.tokens", 1), codes_n = 0;
    int64_t V = m->config.codec.codes;
    float *u = floats(g, "gen.u", NULL), *cond = floats(g, "gen.logit_cond", NULL), *uncond = floats(g, "gen.logit_uncond", NULL);
    int32_t *tokens = whole(g, "gen.tokens", NULL), *codes = whole(g, "gen.codes", &codes_n);
    struct janus_row *c = base_alloc((size_t)rows + 1, sizeof(*c)), *un = base_alloc((size_t)rows + 1, sizeof(*un));
    float *logits = base_alloc((size_t)(2 * rows * V) + 1, sizeof(float)), *got[2] = { NULL, NULL };
    int32_t *made = base_alloc((size_t)(rows * N) + 1, 4);
    struct janus_drawing *d = NULL;
    int status = 0;

    got[0] = base_alloc((size_t)(N * rows * V) + 1, sizeof(float));
    got[1] = base_alloc((size_t)(N * rows * V) + 1, sizeof(float));
    if (!u || !tokens || !codes || !c || !un || !logits || !made || !got[0] || !got[1])
        goto done;
    if (codes_n != rows * N || size_of(g, "gen.tokens", 0) != 2 * rows) {
        status = fail(TAIN_EFORMAT, "gen.codes and gen.tokens do not fit gen.u");
        goto done;
    }
    for (int64_t r = 0; r < rows; r++) {
        c[r] = (struct janus_row){ tokens + 2 * r * words, words };
        un[r] = (struct janus_row){ tokens + (2 * r + 1) * words, words };
    }
    d = janus_draw(m, c, un, rows, u, (float)g->guidance, (float)g->temperature);
    if (!d)
        status = tain_error_status();
    for (int64_t i = 0; i < N && !status; i++) {
        tain_tensor *t = janus_draw_logits(d);
        int64_t left;
        status = t ? tain_tensor_read(t, logits, 2 * rows * V) : tain_error_status();
        tensor_unref(t);
        for (int64_t r = 0; r < 2 * rows && !status; r++)
            memcpy(got[r & 1] + (i * rows + r / 2) * V, logits + r * V, (size_t)V * sizeof(float));
        left = status ? status : janus_draw_next(d);
        if (left < 0)
            status = (int)left;
    }
    if (!status)
        status = janus_draw_codes(d, made);
    if (status)
        goto done;
    if (cond)
        compare(g, "gen.logit_cond", got[0], cond, N * rows * V);
    if (uncond)
        compare(g, "gen.logit_uncond", got[1], uncond, N * rows * V);
    compare_whole(g, "gen.codes", made, codes, rows * N);

    if (st_find(g->io, "gen.image")) {
        tain_tensor *image = janus_decode(m, codes, rows), *turned = NULL, *swapped = NULL;
        int64_t S = m->config.codec.image, n = rows * S * S * 3, k = 0;
        float *hwc = base_alloc((size_t)n, sizeof(float)), *chw = base_alloc((size_t)n, sizeof(float)), *want = floats(g, "gen.image", &k);
        const struct st_entry *bytes = st_find(g->io, "gen.uint8");

        status = image && hwc && chw && want ? tain_tensor_read(image, hwc, n) : tain_error_status();
        if (!status && k != n)
            status = fail(TAIN_EFORMAT, "gen.image: its size is not that of the configuration");
        for (int64_t i = 0; i < n && !status; i++)
            chw[((i / (S * S * 3)) * 3 + i % 3) * S * S + i / 3 % (S * S)] = hwc[i];
        if (!status)
            compare(g, "gen.image", chw, want, n);
        if (!status && bytes && (int64_t)bytes->count == n) {
            uint8_t *b = base_alloc((size_t)n, 1);
            double off = 0;
            status = b ? st_read(g->io, bytes, b, bytes->bytes) : TAIN_ENOMEM;
            for (int64_t i = 0; i < n && !status; i++) {
                float v = (hwc[i] + 1) / 2 * 255;
                int byte = (int)(v < 0 ? 0 : v > 255 ? 255 : v), away = abs(byte - b[i]);
                /* A byte off by one is right if the exact number lies on the edge between the two. */
                if (away > 1 || (away == 1 && fabsf(v - roundf(v)) > 1e-3f))
                    off++;
            }
            if (!status)
                report(g, "gen.uint8", off / (double)n);
            free(b);
        }
        free(hwc);
        free(chw);
        free(want);
        tensor_unref(image);
        tensor_unref(turned);
        tensor_unref(swapped);
    }
done:
    janus_draw_free(d);
    free(u);
    free(cond);
    free(uncond);
    free(tokens);
    free(codes);
    free(c);
    free(un);
    free(logits);
    free(made);
    free(got[0]);
    free(got[1]);
    return status;
}

/* ---- Likelihood and gradients ---- */

static int compare_gradients(struct golden *g)
{
    int status = 0;

    for (int i = 0; i < st_count(g->io) && !status; i++) {
        const struct st_entry *e = st_at(g->io, i);
        float *want, *got;
        struct weight *w;
        int part;

        if (strncmp(e->name, "grad.", 5))
            continue;
        w = weights_find(&g->m.weights, e->name + 5, &part);
        if (!w)
            return tain_error_status();
        if (!w->tensor->grad)
            return fail(TAIN_EINVAL, "%s: the loss did not reach this weight", e->name);
        if (weight_part_count(w, part) != (int64_t)e->count)
            return fail(TAIN_EFORMAT, "%s: its size is not that of the weight", e->name);
        want = floats(g, e->name, NULL);
        got = base_alloc((size_t)e->count, sizeof(float));
        status = want && got ? weights_read(&g->m.weights, w, part, w->tensor->grad, got) : TAIN_ENOMEM;
        if (!status)
            compare(g, e->name, got, want, e->count);
        free(want);
        free(got);
    }
    return status;
}

static int likelihood(struct golden *g)
{
    struct janus *m = &g->m;
    int64_t rows = size_of(g, "sft.token_logp", 0), words = size_of(g, "gen.tokens", 1), n = 0;
    int32_t *tokens = whole(g, "gen.tokens", NULL), *codes = whole(g, "gen.codes", &n);
    struct janus_row *c = base_alloc((size_t)rows + 1, sizeof(*c));
    tain_device *d = m->weights.device;
    tain_tensor *logp = NULL, *mean = NULL, *loss = NULL;
    int status = 0;

    if (!rows || !tokens || !codes || !c)
        goto done;
    if (size_of(g, "gen.tokens", 0) != 2 * rows || n != rows * size_of(g, "sft.token_logp", 1)) {
        status = fail(TAIN_EFORMAT, "sft.token_logp does not fit gen.tokens and gen.codes");
        goto done;
    }
    for (int64_t r = 0; r < rows; r++)
        c[r] = (struct janus_row){ tokens + 2 * r * words, words };
    for (int i = 0; i < m->weights.count && !status; i++)
        status = tain_tensor_want_grad(m->weights.list[i]->tensor, true);
    if (!status)
        status = tape_begin(d);
    if (status)
        goto done;
    logp = janus_image_logprob(m, c, rows, codes);
    mean = logp ? tain_mean(logp) : NULL;
    loss = mean ? tain_neg(mean) : NULL;
    status = loss ? compare_tensor(g, "sft.token_logp", tensor_ref(logp)) : tain_error_status();
    if (!status && st_find(g->io, "sft.loss"))
        status = compare_tensor(g, "sft.loss", tensor_ref(loss));
    if (!status)
        status = tape_backward(loss);
    tape_end(d);
    if (!status)
        status = compare_gradients(g);
done:
    free(tokens);
    free(codes);
    free(c);
    tensor_unref(logp);
    tensor_unref(mean);
    tensor_unref(loss);
    return status;
}

/* ---- The codec ---- */

/* [B, H, W, C] on the device to [B, C, H, W]. Takes t over. */
static tain_tensor *channels_first(tain_tensor *t)
{
    int64_t B, H, W, C;
    tain_tensor *flat, *swapped, *dense, *out;

    if (!t)
        return NULL;
    B = t->shape[0], H = t->shape[1], W = t->shape[2], C = t->shape[3];
    flat = tain_reshape(t, 3, (int64_t[]){ B, H * W, C });
    swapped = flat ? tain_transpose(flat, 1, 2) : NULL;
    dense = swapped ? tain_contiguous(swapped) : NULL;
    out = dense ? tain_reshape(dense, 4, (int64_t[]){ B, C, H, W }) : NULL;
    tensor_unref(t);
    tensor_unref(flat);
    tensor_unref(swapped);
    tensor_unref(dense);
    return out;
}

static int codec(struct golden *g)
{
    struct janus *m = &g->m;
    int64_t B = size_of(g, "vq.image", 0), S = m->config.codec.image, n = 0, codes_n = 0;
    float *chw = floats(g, "vq.image", &n), *hwc = base_alloc((size_t)(B * S * S * 3) + 1, sizeof(float));
    int32_t *codes = whole(g, "vq.codes", &codes_n), *got = base_alloc((size_t)codes_n + 1, 4);
    tain_tensor *x = NULL, *z = NULL, *best = NULL;
    int status = 0;

    if (!chw || !hwc || !got)
        goto done;
    if (n != B * S * S * 3) {
        status = fail(TAIN_EFORMAT, "vq.image: its size is not that of the configuration");
        goto done;
    }
    for (int64_t i = 0; i < n; i++)
        hwc[i] = chw[((i / (S * S * 3)) * 3 + i % 3) * S * S + i / 3 % (S * S)];
    x = tensor_from(m->weights.device, TAIN_F32, 4, (int64_t[]){ B, S, S, 3 }, hwc);
    z = x ? codec_encode(&m->weights, m->codec, x) : NULL;
    if (!z) {
        status = tain_error_status();
        goto done;
    }
    if (st_find(g->io, "vq.z"))
        status = compare_tensor(g, "vq.z", channels_first(tensor_ref(z)));
    if (codes && !status) {
        best = codec_nearest(m->codec, z);
        status = best ? tain_tensor_read_ints(best, got, codes_n) : tain_error_status();
        if (!status)
            compare_whole(g, "vq.codes", got, codes, codes_n);
        if (!status && st_find(g->io, "vq.recon"))
            status = compare_tensor(g, "vq.recon", channels_first(janus_decode(m, codes, B)));
    }
done:
    free(chw);
    free(hwc);
    free(codes);
    free(got);
    tensor_unref(x);
    tensor_unref(z);
    tensor_unref(best);
    return status;
}

/* ---- The folder ---- */

double tain_check_golden(tain_device *device, const char *path, const char **lines)
{
    static _Thread_local struct text text;
    struct golden g = { .report = &text, .guidance = 5, .temperature = 1 };
    struct janus_config c;
    struct json *root = NULL;
    struct st_file *weights = NULL, *io = NULL;
    char name[3][4096];
    int status;

    free(text.at);
    memset(&text, 0, sizeof(text));
    if (lines)
        *lines = "";
    if (!device || !path) {
        fail(TAIN_EINVAL, "check: device or path is missing");
        return -1;
    }
    snprintf(name[0], sizeof(name[0]), "%s.json", path);
    snprintf(name[1], sizeof(name[1]), "%s.weights.safetensors", path);
    snprintf(name[2], sizeof(name[2]), "%s.io.safetensors", path);
    root = json_read(name[0], 1 << 20);
    if (!root || (status = janus_config_read(&c, root)) || !(weights = st_open(name[1])) || !(io = st_open(name[2]))) {
        status = tain_error_status();
        goto done;
    }
    json_opt_number(root, "cfg", 0, 1000, &g.guidance);
    json_opt_number(root, "temperature", 0, 1000, &g.temperature);
    g.io = io;
    status = janus_open(&g.m, device, &c);
    if (!status)
        status = weights_load(&g.m.weights, weights, TAIN_F32);
    if (!status)
        status = understanding(&g);
    if (!status)
        status = drawing(&g);
    if (!status)
        status = codec(&g);
    if (!status)
        status = likelihood(&g);
    janus_close(&g.m);
done:
    json_free(root);
    st_close(weights);
    st_close(io);
    if (lines && text.at)
        *lines = text.at;
    return status ? -1 : g.worst;
}

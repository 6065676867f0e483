/* janus.c - a Janus against a recorded run of the reference implementation.
 *
 * A golden is NAME.json (sizes, ids), NAME.weights.safetensors (with the names of real checkpoints)
 * and NAME.io.safetensors (inputs and what the reference made of them). Whatever the io file holds is
 * computed and compared.
 *
 * Rows of a batch may have different lengths: then "gen.mask" and "und.mask" are 0 where a token is
 * only filling. Without a mask, padding before the first token of a text counts as such.
 */
#define _GNU_SOURCE /* memfd_create */
#include "check/janus.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- What was recorded ---- */

static int64_t size_of(const struct golden *g, const char *name, int dim)
{
    const struct st_entry *e = st_find(g->io, name);

    return e && dim < e->rank ? e->shape[dim] : 0;
}

static int against(struct golden *g, const char *name, tain_tensor *t)
{
    return check_tensor(g->report, name, t, g->io, name);
}

/* The rows of ids [count, words], without what only fills them. Each row's ids lie in `ids`, which is
 * changed; `places` receives where they were, [count, words], or is NULL. */
static int unfill(const struct golden *g, const char *mask_name, int32_t *ids, int64_t count, int64_t words,
                  struct janus_row *rows, int64_t *places)
{
    const struct template_janus *known = &g->m.config.ids;
    int64_t n = 0;
    int32_t *mask = check_read_ints(g->io, mask_name, &n);
    int status = 0;

    if (st_find(g->io, mask_name) && (!mask || n != count * words))
        status = fail(TAIN_EFORMAT, "%s: it does not have a whole number for each token", mask_name);
    for (int64_t r = 0; r < count && !status; r++) {
        int32_t *row = ids + r * words;
        int64_t kept = 0, first = 0;

        if (!mask && known->pad >= 0 && known->pad != known->bos) {
            while (first < words && row[first] == known->pad)
                first++;
            if (first == words || row[first] != known->bos)
                first = 0;
        }
        for (int64_t i = 0; i < words; i++)
            if (mask ? mask[r * words + i] != 0 : i >= first) {
                if (places)
                    places[r * words + kept] = i;
                row[kept++] = row[i];
            }
        if (!kept)
            status = fail(TAIN_EFORMAT, "%s: row %lld has no token", mask_name, (long long)r + 1);
        rows[r] = (struct janus_row){ row, kept };
    }
    free(mask);
    return status;
}

/* ---- Understanding ---- */

/* One row: its logits go to their places in `logits` [words, V], and `steps` words are added, each the
 * likeliest. */
static int understand_row(struct golden *g, const struct janus_row *row, const int64_t *places, tain_tensor *seen,
                          float *logits, int32_t *made, int64_t steps)
{
    struct janus *m = &g->m;
    int64_t V = m->config.language.vocabulary, n = row->count;
    float *all = base_alloc((size_t)(n * V), sizeof(float));
    struct llama_cache *cache = llama_cache_new(&m->language, 1, n + steps + 1);
    int status = all && cache ? 0 : tain_error_status();

    for (int64_t i = -1; i < steps && !status; i++) {
        tain_tensor *x = i < 0 ? janus_read(m, row->ids, n, seen, cache) : janus_read(m, &made[i], 1, NULL, cache);
        tain_tensor *y = x ? dense_run(&m->weights, &m->language.head, x, GEMM_NONE) : NULL;

        status = y ? tain_tensor_read(y, all, i < 0 ? n * V : V) : tain_error_status();
        for (int64_t k = 0; i < 0 && k < n && !status; k++)
            memcpy(logits + places[k] * V, all + k * V, (size_t)V * sizeof(float));
        if (!status && i + 1 < steps) {
            const float *last = all + (i < 0 ? n - 1 : 0) * V;
            made[i + 1] = 0;
            for (int32_t k = 1; k < V; k++)
                if (last[k] > last[made[i + 1]])
                    made[i + 1] = k;
        }
        tensor_unref(x);
        tensor_unref(y);
        if (i + 2 >= steps) /* what the last word is followed by is not asked */
            break;
    }
    free(all);
    llama_cache_free(cache);
    return status;
}

int golden_understanding(struct golden *g)
{
    struct janus *m = &g->m;
    const struct vit_config *v = &m->config.vision;
    int64_t n, images = size_of(g, "und.pixels", 0), rows = size_of(g, "und.input_ids", 0), words = size_of(g, "und.input_ids", 1);
    int64_t steps = 0, V = m->config.language.vocabulary, tokens = v->image / v->patch, image = 0, logits_n = 0;
    float *pixels = check_read_floats(g->io, "und.pixels", &n), *want = check_read_floats(g->io, "und.logits", &logits_n);
    int32_t *ids = check_read_ints(g->io, "und.input_ids", NULL), *greedy = check_read_ints(g->io, "und.greedy", &steps);
    struct janus_row *list = base_alloc((size_t)rows + 1, sizeof(*list));
    int64_t *places = base_alloc((size_t)(rows * words) + 1, sizeof(*places));
    float *logits = base_alloc((size_t)(rows * words * V) + 1, sizeof(float));
    int32_t *made = base_alloc((size_t)steps + 1, 4);
    tain_tensor *patches = NULL, *seen = NULL;
    int status = 0;

    tokens *= tokens;
    if (!pixels || !ids || !list || !places || !logits || !made)
        goto done;
    if (n != images * 3 * v->image * v->image) {
        status = fail(TAIN_EFORMAT, "und.pixels: its size is not that of the configuration");
        goto done;
    }
    if ((want && logits_n != rows * words * V) || (rows && steps % rows)) {
        status = fail(TAIN_EFORMAT, "und.logits or und.greedy do not fit und.input_ids");
        goto done;
    }
    steps /= rows ? rows : 1;
    patches = vit_patches(m->weights.device, v, images, pixels);
    seen = patches ? janus_see(m, patches) : NULL;
    status = seen ? 0 : tain_error_status();
    if (!status && st_find(g->io, "und.vit"))
        status = against(g, "und.vit", vit_run(&m->weights, &m->vision, patches));
    if (!status && st_find(g->io, "und.aligned"))
        status = against(g, "und.aligned", tensor_ref(seen));
    if (!status)
        status = unfill(g, "und.mask", ids, rows, words, list, places);
    if (want && !status) /* filling has no logits: nothing is compared there */
        memcpy(logits, want, (size_t)logits_n * sizeof(float));
    for (int64_t r = 0; r < rows && !status; r++) {
        tain_tensor *part = NULL;
        int64_t count = 0;

        for (int64_t i = 0; i < list[r].count; i++)
            count += list[r].ids[i] == m->config.ids.image;
        count /= tokens;
        if (image + count > images)
            status = fail(TAIN_EFORMAT, "und.input_ids: places for more images than the %lld of und.pixels", (long long)images);
        else if (count && !(part = view_part(seen, 0, image, count)))
            status = tain_error_status();
        image += count;
        if (!status)
            status = understand_row(g, &list[r], places + r * words, part, logits + r * words * V, made + r * steps, steps);
        tensor_unref(part);
    }
    if (want && !status)
        check_floats(g->report, "und.logits", logits, want, logits_n);
    if (greedy && !status)
        check_ints(g->report, "und.greedy", made, greedy, rows * steps);
done:
    free(pixels);
    free(want);
    free(ids);
    free(greedy);
    free(list);
    free(places);
    free(logits);
    free(made);
    tensor_unref(patches);
    tensor_unref(seen);
    return status;
}

/* ---- Drawing ---- */

/* Rows of gen.tokens: row 2r is a prompt, row 2r + 1 what it is guided away from. */
static int prompts_of(const struct golden *g, int32_t *tokens, int64_t rows, struct janus_row *c, struct janus_row *un)
{
    struct janus_row *both = base_alloc((size_t)(2 * rows) + 1, sizeof(*both));
    int status = both ? unfill(g, "gen.mask", tokens, 2 * rows, size_of(g, "gen.tokens", 1), both, NULL) : TAIN_ENOMEM;

    for (int64_t r = 0; r < rows && !status; r++) {
        c[r] = both[2 * r];
        un[r] = both[2 * r + 1];
    }
    free(both);
    return status;
}

static int picture(struct golden *g, const int32_t *codes, int64_t rows)
{
    struct janus *m = &g->m;
    const struct st_entry *bytes = st_find(g->io, "gen.uint8");
    int64_t S = m->config.codec.image, n = rows * S * S * 3, k = 0;
    float *hwc = base_alloc((size_t)n + 1, sizeof(float)), *chw = base_alloc((size_t)n + 1, sizeof(float));
    float *want = check_read_floats(g->io, "gen.image", &k);
    uint8_t *b = base_alloc((size_t)n + 1, 1);
    tain_tensor *image = janus_decode(m, codes, rows);
    int status = image && hwc && chw && want && b ? tain_tensor_read(image, hwc, n) : tain_error_status();

    if (!status && k != n)
        status = fail(TAIN_EFORMAT, "gen.image: its size is not that of the configuration");
    for (int64_t i = 0; i < n && !status; i++)
        chw[((i / (S * S * 3)) * 3 + i % 3) * S * S + i / 3 % (S * S)] = hwc[i];
    if (!status)
        check_floats(g->report, "gen.image", chw, want, n);
    if (!status && bytes && bytes->type == ST_U8 && bytes->count == n && !(status = st_read(g->io, bytes, b, bytes->bytes))) {
        int64_t off = 0;
        for (int64_t i = 0; i < n; i++) {
            float v = (hwc[i] + 1) / 2 * 255;
            int byte = (int)(v < 0 ? 0 : v > 255 ? 255 : v), away = abs(byte - b[i]);
            /* A byte off by one is right if the exact number lies on the edge between the two. */
            if (away > 1 || (away == 1 && fabsf(v - roundf(v)) > 1e-3f))
                off++;
        }
        check_share(g->report, "gen.uint8", off, n);
    }
    free(hwc);
    free(chw);
    free(want);
    free(b);
    tensor_unref(image);
    return status;
}

/* Token by token: the logits that each is chosen from, and the choice. Every code is chosen by the
 * model itself, so one that differs makes what follows differ too. */
static int drawing(struct golden *g)
{
    struct janus *m = &g->m;
    int64_t N = size_of(g, "gen.u", 0), rows = size_of(g, "gen.u", 1), codes_n = 0, V = m->config.codec.codes;
    int64_t each = g->guidance == 1 ? 1 : 2; /* without guidance only the prompts themselves are drawn */
    float *u = check_read_floats(g->io, "gen.u", NULL), *want[2];
    int32_t *tokens = check_read_ints(g->io, "gen.tokens", NULL), *codes = check_read_ints(g->io, "gen.codes", &codes_n);
    struct janus_row *c = base_alloc((size_t)rows + 1, sizeof(*c)), *un = base_alloc((size_t)rows + 1, sizeof(*un));
    float *logits = base_alloc((size_t)(2 * rows * V) + 1, sizeof(float)), *got[2] = { NULL, NULL };
    int32_t *made = base_alloc((size_t)(rows * N) + 1, 4);
    struct janus_drawing *d = NULL;
    int64_t all = N * rows * V, sizes[2] = { 0, 0 };
    int status = 0;

    want[0] = check_read_floats(g->io, "gen.logit_cond", &sizes[0]);
    want[1] = check_read_floats(g->io, "gen.logit_uncond", &sizes[1]);
    got[0] = base_alloc((size_t)all + 1, sizeof(float));
    got[1] = base_alloc((size_t)all + 1, sizeof(float));
    if (!u || !tokens || !codes || !c || !un || !logits || !made || !got[0] || !got[1])
        goto done;
    if (codes_n != rows * N || size_of(g, "gen.tokens", 0) != 2 * rows || (want[0] && sizes[0] != all) || (want[1] && sizes[1] != all)) {
        status = fail(TAIN_EFORMAT, "gen.codes, gen.tokens or gen.logit_… do not fit gen.u");
        goto done;
    }
    if (!(status = prompts_of(g, tokens, rows, c, un)) &&
        !(d = janus_draw(m, c, un, rows, u, (float)g->guidance, (float)g->temperature)))
        status = tain_error_status();
    for (int64_t i = 0; i < N && !status; i++) {
        tain_tensor *t = janus_draw_logits(d);
        int64_t left;

        status = t ? tain_tensor_read(t, logits, each * rows * V) : tain_error_status();
        tensor_unref(t);
        for (int64_t r = 0; r < each * rows && !status; r++)
            memcpy(got[r % each] + (i * rows + r / each) * V, logits + r * V, (size_t)V * sizeof(float));
        left = status ? status : janus_draw_next(d);
        if (left < 0)
            status = (int)left;
    }
    if (!status)
        status = janus_draw_codes(d, made);
    if (status)
        goto done;
    if (want[0])
        check_floats(g->report, "gen.logit_cond", got[0], want[0], all);
    if (want[1] && each == 2)
        check_floats(g->report, "gen.logit_uncond", got[1], want[1], all);
    check_ints(g->report, "gen.codes", made, codes, rows * N);
    if (st_find(g->io, "gen.image"))
        status = picture(g, codes, rows);
done:
    janus_draw_free(d);
    free(u);
    free(want[0]);
    free(want[1]);
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
        want = check_read_floats(g->io, e->name, NULL);
        got = base_alloc((size_t)e->count, sizeof(float));
        status = want && got ? weights_read(&g->m.weights, w, part, w->tensor->grad, got) : TAIN_ENOMEM;
        if (!status)
            check_floats(g->report, e->name, got, want, e->count);
        free(want);
        free(got);
    }
    return status;
}

static int likelihood(struct golden *g)
{
    struct janus *m = &g->m;
    int64_t rows = size_of(g, "sft.token_logp", 0), n = 0;
    int32_t *tokens = check_read_ints(g->io, "gen.tokens", NULL), *codes = check_read_ints(g->io, "gen.codes", &n);
    struct janus_row *c = base_alloc((size_t)rows + 1, sizeof(*c)), *un = base_alloc((size_t)rows + 1, sizeof(*un));
    tain_device *d = m->weights.device;
    tain_tensor *logp = NULL, *mean = NULL, *loss = NULL;
    int status = 0;

    if (!rows || !tokens || !codes || !c || !un)
        goto done;
    if (size_of(g, "gen.tokens", 0) != 2 * rows || n != rows * size_of(g, "sft.token_logp", 1)) {
        status = fail(TAIN_EFORMAT, "sft.token_logp does not fit gen.tokens and gen.codes");
        goto done;
    }
    status = prompts_of(g, tokens, rows, c, un);
    for (int i = 0; i < m->weights.count && !status; i++)
        status = tain_tensor_want_grad(m->weights.list[i]->tensor, true);
    if (!status)
        status = tape_begin(d);
    if (status)
        goto done;
    logp = janus_image_logprob(m, c, rows, codes);
    mean = logp ? tain_mean(logp) : NULL;
    loss = mean ? tain_neg(mean) : NULL;
    status = loss ? against(g, "sft.token_logp", tensor_ref(logp)) : tain_error_status();
    if (!status && st_find(g->io, "sft.loss"))
        status = against(g, "sft.loss", tensor_ref(loss));
    if (!status)
        status = tape_backward(loss);
    tape_end(d);
    if (!status)
        status = compare_gradients(g);
done:
    free(tokens);
    free(codes);
    free(c);
    free(un);
    tensor_unref(logp);
    tensor_unref(mean);
    tensor_unref(loss);
    return status;
}

/* ---- The codec ---- */

tain_tensor *golden_channels_first(tain_tensor *t)
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
    float *chw = check_read_floats(g->io, "vq.image", &n), *hwc = base_alloc((size_t)(B * S * S * 3) + 1, sizeof(float));
    int32_t *codes = check_read_ints(g->io, "vq.codes", &codes_n), *got = base_alloc((size_t)codes_n + 1, 4);
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
        status = against(g, "vq.z", golden_channels_first(tensor_ref(z)));
    if (codes && !status) {
        best = codec_nearest(m->codec, z);
        status = best ? tain_tensor_read_ints(best, got, codes_n) : tain_error_status();
        if (!status)
            check_ints(g->report, "vq.codes", got, codes, codes_n);
        if (!status && st_find(g->io, "vq.recon"))
            status = against(g, "vq.recon", golden_channels_first(janus_decode(m, codes, B)));
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

/* ---- All of it ---- */

static bool fits(const char *known, const char *name)
{
    for (; *known; known++) {
        if (*known == '*')
            name += strcspn(name, ".");
        else if (*name++ != *known)
            return false;
        if (*known == '.' && !known[1])
            return true;
    }
    return !*name;
}

void golden_tell_unknown(struct golden *g, const char *const *known, size_t count)
{
    for (int i = 0; i < st_count(g->io); i++) {
        const char *name = st_at(g->io, i)->name;
        bool is = false;

        for (size_t k = 0; k < count && !is; k++)
            is = fits(known[k], name);
        if (!is)
            text_format(g->report->text, "%-72s not compared\n", name);
    }
}

int check_janus(struct check_report *r, tain_device *d, const struct json *root, const struct st_file *weights,
                const struct st_file *io)
{
    static const char *const known[] = {
        "und.pixels", "und.input_ids", "und.mask", "und.vit", "und.aligned", "und.logits", "und.greedy",
        "gen.u", "gen.tokens", "gen.mask", "gen.codes", "gen.logit_cond", "gen.logit_uncond", "gen.image", "gen.uint8",
        "sft.token_logp", "sft.loss", "vq.image", "vq.z", "vq.codes", "vq.recon", "grad.",
    };
    struct golden g = { .io = io, .report = r, .guidance = 5, .temperature = 1 };
    struct janus_config c;
    int status;

    if ((status = janus_config_read(&c, root)) || (status = json_opt_number(root, "cfg", 0, 1000, &g.guidance)) ||
        (status = json_opt_number(root, "temperature", 0, 1000, &g.temperature)))
        return status;
    status = janus_open(&g.m, d, &c);
    if (!status)
        status = weights_load(&g.m.weights, weights, TAIN_F32);
    if (!status)
        status = golden_understanding(&g);
    if (!status)
        status = drawing(&g);
    if (!status)
        status = codec(&g);
    if (!status)
        status = likelihood(&g);
    if (!status && !r->text->count)
        status = fail(TAIN_EFORMAT, "nothing that was recorded has a name that is known");
    if (!status)
        golden_tell_unknown(&g, known, COUNT_OF(known));
    janus_close(&g.m);
    return status;
}

double tain_check_golden(tain_device *device, const char *path, const char **lines)
{
    struct check_report r = check_begin();
    char *name[3] = { NULL, NULL, NULL };
    struct json *root = NULL;
    struct st_file *weights = NULL, *io = NULL;
    int status;

    if (!device || !path) {
        status = fail(TAIN_EINVAL, "check: device or path is missing");
        return check_end(&r, status, lines);
    }
    name[0] = base_format("%s.json", path);
    name[1] = base_format("%s.weights.safetensors", path);
    name[2] = base_format("%s.io.safetensors", path);
    if (name[0] && name[1] && name[2] && (root = json_read(name[0], 1 << 20)) && (weights = st_open(name[1])) &&
        (io = st_open(name[2])))
        status = check_janus(&r, device, root, weights, io);
    else
        status = tain_error_status();
    json_free(root);
    st_close(weights);
    st_close(io);
    for (int i = 0; i < 3; i++)
        free(name[i]);
    return check_end(&r, status, lines);
}

/* ---- The goldens inside the program ---- */

/* Bytes in memory as a file that can be opened by its path while the descriptor is open. */
static struct st_file *open_bytes(const struct check_bytes *b, int *fd)
{
    char path[32];

    *fd = memfd_create("golden", MFD_CLOEXEC);
    if (*fd < 0 || write(*fd, b->at, b->count) != (ssize_t)b->count) {
        fail(TAIN_EIO, "check: there is no memory for a file");
        return NULL;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", *fd);
    return st_open(path);
}

double tain_check_builtin(tain_device *device, const char **lines)
{
    struct check_report r = check_begin();
    int status = device ? 0 : fail(TAIN_EINVAL, "check: device is missing");

    for (const struct check_golden *g = check_goldens; g->name && !status; g++) {
        int fd[2] = { -1, -1 };
        struct json *root = json_parse(g->name, g->json.at, g->json.count);
        struct st_file *weights = root ? open_bytes(&g->weights, &fd[0]) : NULL, *io = weights ? open_bytes(&g->io, &fd[1]) : NULL;

        text_format(r.text, "%s\n", g->name);
        status = io ? check_janus(&r, device, root, weights, io) : tain_error_status();
        st_close(weights);
        st_close(io);
        json_free(root);
        for (int i = 0; i < 2; i++)
            if (fd[i] >= 0)
                close(fd[i]);
    }
    return check_end(&r, status, lines);
}

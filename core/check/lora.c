/* lora.c - adapters and training against recorded runs of PyTorch and PEFT.
 *
 * The folder holds info.json (sizes, the optimizer), base.weights.safetensors (the language model and
 * what draws, of a Janus), forward.safetensors (prompts, images as codes, what comes out with each
 * adapter on, off and merged), PEFT's folders adapter_…, and a file for each run of several steps:
 * sft_… or dpo_…; with `lora` in its name it trains adapter_qv, with `init` from B = 0, and else all
 * weights.
 */
#include "check/check.h"
#include "model/adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS = 8, TRAINED = 4096 };

struct lora {
    tain_device *d;
    struct check_report *r;
    const char *folder;
    const struct json *info;
    struct st_file *base, *forward;
    struct janus m;
    struct janus_row rows[2 * PAIRS]; /* the prompts, twice */
    int32_t *ids[PAIRS], *codes;      /* codes [2 * pairs, N]: chosen, then rejected */
    int64_t pairs, N;
    double lr, betas[2], eps, decay, clip, beta, nll;
};

/* ---- Opening ---- */

/* A Janus of the sizes that matter here; eye and codec are as small as they can be, and random. */
static int open_model(struct lora *l)
{
    const struct json *base = json_find(l->info, "base");
    int64_t codes = 0, size = 0, hidden = 0, side = 1;
    struct text t = { 0 };
    struct json *root = NULL;
    struct janus_config c;
    int status = json_get_int(l->info, "tokens_per_image", 1, 1 << 20, &l->N);

    if (status || (status = json_get_int(l->info, "image_codes", 1, 1 << 20, &codes)) ||
        (status = json_get_int(l->info, "code_dim", 1, 1 << 20, &size)) ||
        (status = json_get_int(l->info, "gen_head_hidden", 1, 1 << 20, &hidden)))
        return status;
    while (side * side < l->N)
        side++;
    if (!base || side * side != l->N)
        return json_fail(l->info, "states no sizes that a model can have");
    text_format(&t, "{\"vision\":{\"image_size\":4,\"patch\":4,\"width\":4,\"layers\":1,\"heads\":1},\"vq\":{\"ch\":32,"
                    "\"ch_mult\":[1],\"num_res_blocks\":0,\"z_channels\":4,\"code_dim\":%lld,\"codes\":%lld,\"grid\":%lld},"
                    "\"gen_head\":{\"hidden\":%lld},\"language\":{", (long long)size, (long long)codes, (long long)side, (long long)hidden);
    for (const struct json *v = json_first(base); v; v = json_next(v)) {
        double number;
        if (json_type(v) == JSON_NUMBER && !json_number(v, -1e300, 1e300, &number)) {
            text_format(&t, "\"%s\":", json_key(v, NULL));
            text_json_number(&t, number);
            text_put(&t, ",", 1);
        }
    }
    text_format(&t, "\"mlp_bias\":false}}");
    if (t.failed || !(root = json_parse("info.json", t.at, t.count)) || (status = janus_config_read(&c, root)))
        status = tain_error_status();
    json_free(root);
    free(t.at);
    memset(&l->m, 0, sizeof(l->m));
    if (!status && !(status = janus_open(&l->m, l->d, &c)))
        status = weights_random(&l->m.weights, 1);
    for (int i = 0; i < st_count(l->base) && !status; i++) {
        const struct st_entry *e = st_at(l->base, i);
        int part;
        struct weight *w = weights_find(&l->m.weights, e->name, &part);
        float *values = check_read_floats(l->base, e->name, NULL);

        if (!w || !values)
            status = tain_error_status();
        else if (weight_part_count(w, part) != e->count)
            status = fail(TAIN_EFORMAT, "%s: its size is not that of info.json", e->name);
        else
            status = weights_write(&l->m.weights, w, part, values);
        free(values);
    }
    return status;
}

static int read_inputs(struct lora *l)
{
    char name[32];
    int64_t n;

    for (l->pairs = 0; l->pairs < PAIRS; l->pairs++) {
        snprintf(name, sizeof(name), "prompt%d", (int)l->pairs);
        if (!(l->ids[l->pairs] = check_read_ints(l->forward, name, &n)))
            break;
        l->rows[l->pairs] = (struct janus_row){ l->ids[l->pairs], n };
    }
    if (!l->pairs)
        return fail(TAIN_EFORMAT, "forward.safetensors holds no prompt0");
    if (!(l->codes = base_alloc((size_t)(2 * l->pairs * l->N), 4)))
        return TAIN_ENOMEM;
    for (int64_t i = 0; i < 2 * l->pairs; i++) {
        int32_t *codes;
        snprintf(name, sizeof(name), "%s%d", i < l->pairs ? "chosen" : "rejected", (int)(i % l->pairs));
        codes = check_read_ints(l->forward, name, &n);
        if (codes && n == l->N)
            memcpy(l->codes + i * l->N, codes, (size_t)n * 4);
        free(codes);
        if (!codes || n != l->N)
            return fail(TAIN_EFORMAT, "forward.safetensors: %s is not one image of %lld codes", name, (long long)l->N);
        l->rows[i] = l->rows[i % l->pairs];
    }
    return 0;
}

/* ---- Once forward ---- */

/* A tensor against what forward.safetensors has under this name, if it has it. Takes t over. */
static int recorded(struct lora *l, const char *state, const char *what, tain_tensor *t)
{
    char name[128];

    snprintf(name, sizeof(name), "%s.%s", state, what);
    if (t && !st_find(l->forward, name)) {
        tensor_unref(t);
        return 0;
    }
    return check_tensor(l->r, name, t, l->forward, name);
}

static int forward(struct lora *l, const char *state)
{
    tain_tensor *x = janus_image_logprob(&l->m, l->rows, 2 * l->pairs, l->codes), *y;
    int64_t words = 0;
    int32_t *text = check_read_ints(l->forward, "text_ids", &words);
    int status = x ? 0 : tain_error_status();
    char what[64];

    for (int64_t i = 0; i < 2 * l->pairs && !status; i++) {
        tain_tensor *row = tain_slice(x, 0, i, 1), *sum = row ? tain_sum(row) : NULL;
        snprintf(what, sizeof(what), "logp_%s%d", i < l->pairs ? "chosen" : "rejected", (int)(i % l->pairs));
        status = recorded(l, state, what, sum);
        snprintf(what, sizeof(what), "token_logp%d", (int)i);
        if (!status && i < l->pairs)
            status = recorded(l, state, what, tensor_ref(row));
        tensor_unref(row);
    }
    tensor_unref(x);
    if (text && !status) {
        x = janus_read(&l->m, text, words, NULL, NULL);
        y = x ? dense_run(&l->m.weights, &l->m.language.head, x, GEMM_NONE) : NULL;
        tensor_unref(x);
        status = recorded(l, state, "txt_logits", y);
    }
    free(text);
    return status;
}

/* What merging makes of a weight. */
static int merged_weights(struct lora *l, const char *adapter)
{
    char prefix[128];
    size_t n = (size_t)snprintf(prefix, sizeof(prefix), "%s.merged_weight.", adapter);
    int status = 0;

    for (int i = 0; i < st_count(l->forward) && !status; i++) {
        const struct st_entry *e = st_at(l->forward, i);
        float *got, *want;
        struct weight *w;
        int part;

        if (strncmp(e->name, prefix, n))
            continue;
        w = weights_find(&l->m.weights, e->name + n, &part);
        if (!w || weight_part_count(w, part) != e->count)
            return fail(TAIN_EFORMAT, "%s: there is no weight of this size", e->name);
        got = base_alloc((size_t)e->count, sizeof(float));
        want = check_read_floats(l->forward, e->name, NULL);
        status = got && want ? weights_read(&l->m.weights, w, part, w->tensor, got) : tain_error_status();
        if (!status)
            check_floats(l->r, e->name, got, want, e->count);
        free(got);
        free(want);
    }
    return status;
}

static int adapter(struct lora *l, const char *name)
{
    char *folder = path_join(l->folder, name), state[128];
    int status = folder ? open_model(l) : TAIN_ENOMEM;

    if (!status && !(status = adapter_load(&l->m.weights, folder))) {
        snprintf(state, sizeof(state), "%s.on", name);
        status = forward(l, state);
        l->m.weights.adapted = false;
        if (!status)
            status = forward(l, "off");
        l->m.weights.adapted = true;
    }
    if (!status && !(status = adapter_merge(&l->m.weights)) && !(status = merged_weights(l, name))) {
        snprintf(state, sizeof(state), "%s.merged", name);
        status = forward(l, state);
    }
    janus_close(&l->m);
    free(folder);
    return status;
}

/* ---- Several steps ---- */

/* The tensor that a recorded name is about, or its gradient, in the file's layout. */
static int read_one(struct lora *l, const char *name, bool grad, float *got, int64_t n)
{
    const char *prefix = "base_model.model.", *end = strstr(name, ".lora_");
    struct weight *w;
    tain_tensor *t;
    char plain[256];
    int part;

    if (end && !strncmp(name, prefix, strlen(prefix)))
        snprintf(plain, sizeof(plain), "%.*s.weight", (int)(end - name - (long)strlen(prefix)), name + strlen(prefix));
    else
        snprintf(plain, sizeof(plain), "%s", name);
    if (!(w = weights_find(&l->m.weights, plain, &part)))
        return tain_error_status();
    t = end ? end[6] == 'A' ? w->parts[part].a : w->parts[part].b : w->tensor;
    if (grad && t)
        t = t->grad;
    if (!t || (end ? tensor_count(t) : weight_part_count(w, part)) != n)
        return fail(TAIN_EFORMAT, "%s: there is no tensor of this size", name);
    return end ? tain_tensor_read(t, got, n) : weights_read(&l->m.weights, w, part, t, got);
}

/* All recorded tensors whose names begin like this, as one line: their worst error. */
static int tensors(struct lora *l, const struct st_file *f, const char *run, const char *prefix)
{
    struct text spare = { 0 };
    struct check_report one = { .text = &spare };
    char line[128];
    int status = 0, n = 0;

    for (int i = 0; i < st_count(f) && !status; i++) {
        const struct st_entry *e = st_at(f, i);
        float *want, *got;

        if (strncmp(e->name, prefix, strlen(prefix)))
            continue;
        want = check_read_floats(f, e->name, NULL);
        got = base_alloc((size_t)e->count + 1, sizeof(float));
        status = want && got ? read_one(l, e->name + strlen(prefix), !strcmp(prefix, "grad."), got, e->count) : tain_error_status();
        if (!status)
            check_floats(&one, e->name, got, want, e->count);
        n++;
        free(want);
        free(got);
    }
    free(spare.at);
    snprintf(line, sizeof(line), "%s: %s* (%d tensors)", run, prefix, n);
    if (!status && n)
        check_line(l->r, line, one.worst);
    return status;
}

static tain_tensor *sums(struct lora *l, tain_tensor *each, int64_t first)
{
    tain_tensor *rows = tain_slice(each, 0, first, l->pairs), *y = rows ? tain_sum_dim(rows, 1, false) : NULL;

    tensor_unref(rows);
    return y;
}

/* The log-probability of chosen images less that of rejected ones. */
static tain_tensor *margins(struct lora *l, tain_tensor *each)
{
    tain_tensor *chosen = sums(l, each, 0), *rejected = sums(l, each, l->pairs);
    tain_tensor *y = chosen && rejected ? tain_sub(chosen, rejected) : NULL;

    tensor_unref(chosen);
    tensor_unref(rejected);
    return y;
}

static tain_tensor *sft_loss(struct lora *l, tain_tensor *each)
{
    tain_tensor *rows = tain_slice(each, 0, 0, l->pairs), *mean = rows ? tain_mean(rows) : NULL, *y = mean ? tain_neg(mean) : NULL;

    tensor_unref(rows);
    tensor_unref(mean);
    return y;
}

/* mean of -log sigmoid(beta (margin - reference)) + nll sft */
static tain_tensor *dpo_loss(struct lora *l, tain_tensor *each, tain_tensor *reference)
{
    tain_tensor *y = margins(l, each), *sft = sft_loss(l, each), *sum = NULL;

    y = y ? then(y, tain_sub(y, reference)) : NULL;
    y = y ? then(y, tain_scale(y, (float)l->beta)) : NULL;
    y = y ? then(y, tain_logsigmoid(y)) : NULL;
    y = y ? then(y, tain_mean(y)) : NULL;
    y = y ? then(y, tain_neg(y)) : NULL;
    sft = sft ? then(sft, tain_scale(sft, (float)l->nll)) : NULL;
    sum = y && sft ? tain_add(y, sft) : NULL;
    tensor_unref(y);
    tensor_unref(sft);
    return sum;
}

/* What the optimizer gets: the adapter, or every weight that an image's likelihood depends on. */
static int trained(struct lora *l, tain_tensor **list)
{
    static const char *const parts[] = { "language_model.model.", "gen_head", "gen_aligner", "gen_embed" };
    struct weights *w = &l->m.weights;
    int n = 0;

    for (int i = 0; i < 2 * adapter_count(w) && n < TRAINED; i++)
        list[n++] = adapter_tensor(w, i);
    for (int i = 0; i < w->count && !adapter_count(w) && n < TRAINED; i++)
        for (size_t k = 0; k < COUNT_OF(parts); k++)
            if (!strncmp(w->list[i]->parts[0].name, parts[k], strlen(parts[k]))) {
                list[n++] = w->list[i]->tensor;
                break;
            }
    return n;
}

static int step(struct lora *l, tain_optimizer *o, const struct st_file *f, const char *run, bool first, bool dpo, tain_tensor *reference)
{
    tain_tensor *each = NULL, *loss = NULL;
    int status = tain_optimizer_zero(o);

    if (status || (status = tape_begin(l->d)))
        return status;
    each = janus_image_logprob(&l->m, l->rows, dpo ? 2 * l->pairs : l->pairs, l->codes);
    loss = each ? dpo ? dpo_loss(l, each, reference) : sft_loss(l, each) : NULL;
    status = loss ? tape_backward(loss) : tain_error_status();
    tape_end(l->d);
    if (!status)
        status = tain_optimizer_watch(o, loss);
    if (!status && first)
        status = tensors(l, f, run, "grad.");
    if (!status)
        status = tain_optimizer_step(o, l->lr, l->betas[0], l->betas[1], l->eps, l->decay, l->clip);
    tensor_unref(each);
    tensor_unref(loss);
    return status;
}

static int train(struct lora *l, const char *run, const struct st_file *f)
{
    bool dpo = !strncmp(run, "dpo", 3), lora = strstr(run, "lora"), fresh = strstr(run, "init");
    tain_tensor **list = base_alloc(TRAINED, sizeof(*list)), *reference = NULL;
    int64_t steps = 0, n = 0;
    float *losses = check_read_floats(f, "loss", &steps), *norms = check_read_floats(f, "grad_norm", &n);
    float *got = base_alloc((size_t)(2 * steps) + 1, sizeof(float));
    char *folder = path_join(l->folder, "adapter_qv"), line[128];
    tain_optimizer *o = NULL;
    int status = list && losses && got && folder ? open_model(l) : tain_error_status();

    if (!status && dpo) {
        tain_tensor *each = janus_image_logprob(&l->m, l->rows, 2 * l->pairs, l->codes);
        reference = each ? margins(l, each) : NULL;
        tensor_unref(each);
        status = reference ? 0 : tain_error_status();
    }
    if (!status && lora)
        status = adapter_load(&l->m.weights, folder);
    for (int i = 1; lora && fresh && i < 2 * adapter_count(&l->m.weights) && !status; i += 2)
        status = tensor_zero(adapter_tensor(&l->m.weights, i));
    if (!status && !(o = tain_adamw_create(list, trained(l, list))))
        status = tain_error_status();
    for (int64_t i = 0; i < steps && !status; i++) {
        if ((status = step(l, o, f, run, i == 0, dpo, reference)))
            break;
        got[i] = (float)tain_optimizer_loss(o);
        got[steps + i] = (float)tain_optimizer_norm(o);
        if (i == 0)
            status = tensors(l, f, run, "step1.");
        if (i == 9 && !status)
            status = tensors(l, f, run, "step10.");
    }
    snprintf(line, sizeof(line), "%s: loss of %d steps", run, (int)steps);
    if (!status)
        check_floats(l->r, line, got, losses, steps);
    snprintf(line, sizeof(line), "%s: norm of the gradients", run);
    if (!status && norms && n == steps)
        check_floats(l->r, line, got + steps, norms, steps);
    tain_optimizer_free(o);
    tensor_unref(reference);
    janus_close(&l->m);
    free(list);
    free(losses);
    free(norms);
    free(got);
    free(folder);
    return status;
}

/* ---- The folder ---- */

static int read_training(struct lora *l)
{
    const struct json *o = json_find(l->info, "optimizer"), *losses = json_find(l->info, "losses"), *betas = NULL;
    int status;

    *l = (struct lora){ .d = l->d, .r = l->r, .folder = l->folder, .info = l->info, .base = l->base, .forward = l->forward,
                        .lr = 1e-3, .betas = { 0.9, 0.95 }, .eps = 1e-8, .decay = 0.1, .clip = 1, .beta = 0.1, .nll = 0.01 };
    if (o && ((status = json_opt_number(o, "lr", 0, 1, &l->lr)) || (status = json_opt_number(o, "eps", 0, 1, &l->eps)) ||
              (status = json_opt_number(o, "weight_decay", 0, 1, &l->decay)) ||
              (status = json_opt_number(o, "clip_grad_norm", 0, 1e9, &l->clip))))
        return status;
    if (o && (betas = json_find(o, "betas")))
        for (size_t i = 0; i < 2; i++)
            if (!json_at(betas, i) || (status = json_number(json_at(betas, i), 0, 1, &l->betas[i])))
                return json_fail(betas, "must be two numbers from 0 to 1");
    if (losses && ((status = json_opt_number(losses, "beta", 0, 100, &l->beta)) ||
                   (status = json_opt_number(losses, "nll_weight", 0, 100, &l->nll))))
        return status;
    return 0;
}

static int each_name(struct lora *l)
{
    char **names = NULL;
    size_t count = 0;
    int status = folder_list(l->folder, &names, &count);

    for (size_t i = 0; i < count && !status; i++) {
        const char *name = names[i], *end = strstr(name, ".safetensors");
        char *path = path_join(l->folder, name), run[64];

        if (!path)
            status = TAIN_ENOMEM;
        else if (!strncmp(name, "adapter_", 8) && folder_exists(path)) {
            status = adapter(l, name);
        } else if (end && (!strncmp(name, "sft_", 4) || !strncmp(name, "dpo_", 4))) {
            struct st_file *f = st_open(path);
            snprintf(run, sizeof(run), "%.*s", (int)(end - name), name);
            status = f ? train(l, run, f) : tain_error_status();
            st_close(f);
        }
        free(path);
    }
    folder_list_free(names, count);
    return status;
}

double tain_check_adapters(tain_device *device, const char *folder, const char **lines)
{
    struct check_report r = check_begin();
    struct lora l = { .d = device, .r = &r, .folder = folder };
    struct json *info = NULL;
    char *path[3] = { NULL, NULL, NULL };
    int status;

    if (!device || !folder) {
        status = fail(TAIN_EINVAL, "check: device or folder is missing");
        return check_end(&r, status, lines);
    }
    path[0] = path_join(folder, "info.json");
    path[1] = path_join(folder, "base.weights.safetensors");
    path[2] = path_join(folder, "forward.safetensors");
    if (path[0] && path[1] && path[2] && (info = json_read(path[0], 1 << 20)) && (l.base = st_open(path[1])) &&
        (l.forward = st_open(path[2]))) {
        l.info = info;
        if (!(status = read_training(&l)) && !(status = json_get_int(info, "tokens_per_image", 1, 1 << 20, &l.N)) &&
            !(status = read_inputs(&l)))
            status = each_name(&l);
    } else {
        status = tain_error_status();
    }
    for (int i = 0; i < PAIRS; i++)
        free(l.ids[i]);
    free(l.codes);
    json_free(info);
    st_close(l.base);
    st_close(l.forward);
    for (int i = 0; i < 3; i++)
        free(path[i]);
    return check_end(&r, status, lines);
}

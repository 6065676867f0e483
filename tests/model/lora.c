/* Training against recorded runs of PyTorch and PEFT: adapters on, off and merged, and ten steps each
 * of full and adapted fine-tuning and of DPO. Adapter folders: written, read, refused. */
#define _GNU_SOURCE /* memmem */
#include "check_model.h"

#include "model/adapter.h"

#include <unistd.h>

#define GOLDEN "tests/golden/lora/"
enum { PAIRS = 2, CODES = 16, STEPS = 10 };

static tain_device *d;
static struct janus m;
static struct st_file *inputs;
static struct janus_row prompts[2 * PAIRS];
static int32_t codes[2 * PAIRS * CODES]; /* chosen, chosen, rejected, rejected */

/* ---- What was recorded ---- */

static float *recorded(const struct st_file *f, const char *name, int64_t *count)
{
    const struct st_entry *e = st_need(f, name);
    float *v;

    CHECK(e);
    CHECK((v = malloc((size_t)e->count * sizeof(float) + 4)));
    CHECK_INT(st_read_float(f, e, v, (size_t)e->count), 0);
    *count = e->count;
    return v;
}

static void whole(const char *name, int32_t *to, int64_t count)
{
    const struct st_entry *e = st_need(inputs, name);

    CHECK(e && e->count == count);
    CHECK_INT(st_read(inputs, e, to, e->bytes), 0);
}

static void compare(const char *run, const char *name, const float *got, const float *want, int64_t n, double tolerance)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= tolerance)) {
            fprintf(stderr, "%s: %s[%lld] is %.9g and not %.9g\n", run, name, (long long)i, got[i], want[i]);
            exit(1);
        }
}

static void read_inputs(void)
{
    static int32_t prompt0[7], prompt1[5];

    CHECK((inputs = st_open(GOLDEN "forward.safetensors")));
    whole("prompt0", prompt0, 7);
    whole("prompt1", prompt1, 5);
    for (int i = 0; i < 2 * PAIRS; i++) {
        char name[16];
        prompts[i] = i % 2 ? (struct janus_row){ prompt1, 5 } : (struct janus_row){ prompt0, 7 };
        snprintf(name, sizeof(name), "%s%d", i < PAIRS ? "chosen" : "rejected", i % 2);
        whole(name, codes + i * CODES, CODES);
    }
}

/* ---- Forward ---- */

static void forward(const char *state)
{
    float got[2 * PAIRS * CODES], *want;
    tain_tensor *x = janus_image_logprob(&m, prompts, 2 * PAIRS, codes), *y;
    int32_t text[8];
    char name[64];
    int64_t n;

    CHECK(x);
    CHECK_INT(tain_tensor_read(x, got, 2 * PAIRS * CODES), 0);
    tain_tensor_free(x);
    for (int i = 0; i < 2 * PAIRS; i++) {
        float sum = 0;
        for (int k = 0; k < CODES; k++)
            sum += got[i * CODES + k];
        snprintf(name, sizeof(name), "%s.logp_%s%d", state, i < PAIRS ? "chosen" : "rejected", i % 2);
        want = recorded(inputs, name, &n);
        CHECK_INT(n, 1);
        compare(state, name, &sum, want, 1, 5e-5);
        free(want);
        if (i >= PAIRS)
            continue;
        snprintf(name, sizeof(name), "%s.token_logp%d", state, i);
        want = recorded(inputs, name, &n);
        CHECK_INT(n, CODES);
        compare(state, name, got + i * CODES, want, CODES, 2e-5);
        free(want);
    }
    whole("text_ids", text, 8);
    x = janus_read(&m, text, 8, NULL, NULL);
    y = dense_run(&m.weights, &m.language.head, x, GEMM_NONE);
    CHECK(y);
    snprintf(name, sizeof(name), "%s.txt_logits", state);
    want = recorded(inputs, name, &n);
    CHECK_INT(n, tain_tensor_count(y));
    float *logits = malloc((size_t)n * sizeof(float));
    CHECK_INT(tain_tensor_read(y, logits, n), 0);
    compare(state, name, logits, want, n, 2e-5);
    free(logits);
    free(want);
    tain_tensor_free(x);
    tain_tensor_free(y);
}

static void merged_weight(const char *adapter)
{
    const char *name = "language_model.model.layers.0.self_attn.q_proj.weight";
    float got[64 * 64], *want;
    char full[128];
    int64_t n;
    int part;
    struct weight *w = weights_find(&m.weights, name, &part);

    snprintf(full, sizeof(full), "%s.merged_weight.%s", adapter, name);
    want = recorded(inputs, full, &n);
    CHECK_INT(n, 64 * 64);
    CHECK_INT(weights_read(&m.weights, w, part, w->tensor, got), 0);
    compare(adapter, full, got, want, n, 1e-6);
    free(want);
}

static void forwards(const char *adapter, int matrices)
{
    char folder[64], state[64];

    open_golden(d, &m, "janus_tiny", NULL, TAIN_F32);
    snprintf(folder, sizeof(folder), GOLDEN "%s", adapter);
    CHECK_INT(adapter_load(&m.weights, folder), 0);
    CHECK_INT(adapter_count(&m.weights), matrices);
    snprintf(state, sizeof(state), "%s.on", adapter);
    forward(state);
    m.weights.adapted = false;
    forward("off");
    m.weights.adapted = true;
    forward(state);
    CHECK_INT(adapter_merge(&m.weights), 0);
    CHECK_INT(adapter_count(&m.weights), 0);
    merged_weight(adapter);
    snprintf(state, sizeof(state), "%s.merged", adapter);
    forward(state);
    janus_close(&m);
}

/* The names of transformers' port of the model, as PEFT writes them there, are those of the same matrices; a
 * name of neither layout is refused. */
static void other_names(void)
{
    static const char from[] = "language_model.model.layers", to[] = "model.language_model.layers";
    char folder[] = "/tmp/tain-test-XXXXXX", config[64], path[64];
    uint8_t *bytes, *json, *at;
    size_t n, json_n;

    CHECK(mkdtemp(folder));
    snprintf(config, sizeof(config), "%s/adapter_config.json", folder);
    snprintf(path, sizeof(path), "%s/adapter_model.safetensors", folder);
    CHECK_INT(file_read(GOLDEN "adapter_qv/adapter_config.json", 1 << 20, &json, &json_n), 0);
    CHECK_INT(file_write(config, json, json_n), 0);
    CHECK_INT(file_read(GOLDEN "adapter_qv/adapter_model.safetensors", 1 << 20, &bytes, &n), 0);
    while ((at = memmem(bytes, n, from, sizeof(from) - 1)))
        memcpy(at, to, sizeof(to) - 1);
    CHECK_INT(file_write(path, bytes, n), 0);
    open_golden(d, &m, "janus_tiny", NULL, TAIN_F32);
    CHECK_INT(adapter_load(&m.weights, folder), 0);
    CHECK_INT(adapter_count(&m.weights), 4);
    forward("adapter_qv.on");
    at = memmem(bytes, n, to, sizeof(to) - 1);
    at[1] = 'x';
    CHECK_INT(file_write(path, bytes, n), 0);
    CHECK_FAILS(adapter_load(&m.weights, folder), TAIN_EFORMAT, "belongs to a module that the model does not have");
    janus_close(&m);
    remove(config);
    remove(path);
    remove(folder);
    free(bytes);
    free(json);
}

/* ---- Ten steps ---- */

/* The tensor that a recorded name is about, or its gradient, in the file's layout. */
static void one_tensor(const char *name, bool grad, float *got, int64_t n)
{
    const char *prefix = "base_model.model.", *end = strstr(name, ".lora_");
    char plain[256];
    struct weight *w;
    tain_tensor *t;
    int part;

    if (!end) {
        CHECK((w = weights_find(&m.weights, name, &part)));
        CHECK_INT(weight_part_count(w, part), n);
        CHECK((t = grad ? w->tensor->grad : w->tensor));
        CHECK_INT(weights_read(&m.weights, w, part, t, got), 0);
        return;
    }
    snprintf(plain, sizeof(plain), "%.*s.weight", (int)(end - name - (long)strlen(prefix)), name + strlen(prefix));
    CHECK((w = weights_find(&m.weights, plain, &part)));
    t = end[6] == 'A' ? w->parts[part].a : w->parts[part].b;
    CHECK_INT(tain_tensor_read(grad ? t->grad : t, got, n), 0);
}

/* All recorded tensors whose names begin like this. */
static void tensors(const char *run, const struct st_file *f, const char *prefix, double tolerance)
{
    int compared = 0;

    for (int i = 0; i < st_count(f); i++) {
        const struct st_entry *e = st_at(f, i);
        float *want, *got;
        int64_t n;
        if (strncmp(e->name, prefix, strlen(prefix)))
            continue;
        want = recorded(f, e->name, &n);
        CHECK((got = malloc((size_t)n * sizeof(float))));
        one_tensor(e->name + strlen(prefix), !strcmp(prefix, "grad."), got, n);
        compare(run, e->name, got, want, n, tolerance);
        free(want);
        free(got);
        compared++;
    }
    CHECK(compared >= 8);
}

static tain_tensor *likelihood(tain_tensor *each, int64_t first)
{
    tain_tensor *rows = tain_slice(each, 0, first, PAIRS), *sums = tain_sum_dim(rows, 1, false);

    tain_tensor_free(rows);
    return sums;
}

/* Of both: the log-probability of the chosen image less that of the rejected. */
static tain_tensor *margins(tain_tensor *each)
{
    tain_tensor *chosen = likelihood(each, 0), *rejected = likelihood(each, PAIRS), *y = tain_sub(chosen, rejected);

    tain_tensor_free(chosen);
    tain_tensor_free(rejected);
    return y;
}

static tain_tensor *sft_loss(tain_tensor *each)
{
    tain_tensor *rows = tain_slice(each, 0, 0, PAIRS), *mean = tain_mean(rows), *loss = tain_neg(mean);

    tain_tensor_free(rows);
    tain_tensor_free(mean);
    return loss;
}

/* mean of -log sigmoid(0.1 (margin - reference)) + 0.01 sft */
static tain_tensor *dpo_loss(tain_tensor *each, tain_tensor *reference)
{
    tain_tensor *t[8];

    t[0] = margins(each);
    t[1] = tain_sub(t[0], reference);
    t[2] = tain_scale(t[1], 0.1f);
    t[3] = tain_logsigmoid(t[2]);
    t[4] = tain_mean(t[3]);
    t[5] = tain_neg(t[4]);
    t[6] = sft_loss(each);
    t[7] = tain_scale(t[6], 0.01f);
    tain_tensor *loss = tain_add(t[5], t[7]);
    CHECK(loss);
    for (int i = 0; i < 8; i++)
        tain_tensor_free(t[i]);
    return loss;
}

static int trained(tain_tensor **list)
{
    int n = 0;

    for (int i = 0; i < 2 * adapter_count(&m.weights); i++)
        list[n++] = adapter_tensor(&m.weights, i);
    for (int i = 0; i < m.weights.count && !adapter_count(&m.weights); i++) {
        const struct weight *w = m.weights.list[i];
        const char *name = w->parts[0].name;
        if (!strncmp(name, "language_model.model.", 21) || !strncmp(name, "gen_head", 8) || !strncmp(name, "gen_aligner", 11) ||
            !strncmp(name, "gen_embed", 9))
            list[n++] = w->tensor;
    }
    return n;
}

static void train(const char *run, const char *adapter, bool dpo, bool fresh)
{
    char path[128];
    struct st_file *f;
    tain_tensor *list[64], *reference = NULL;
    tain_optimizer *o;
    float *losses, *norms;
    int64_t n;
    int count;

    open_golden(d, &m, "janus_tiny", NULL, TAIN_F32);
    snprintf(path, sizeof(path), GOLDEN "%s.safetensors", run);
    CHECK((f = st_open(path)));
    losses = recorded(f, "loss", &n);
    norms = recorded(f, "grad_norm", &n);
    CHECK_INT(n, STEPS);
    if (dpo) {
        tain_tensor *each = janus_image_logprob(&m, prompts, 2 * PAIRS, codes);
        CHECK((reference = margins(each)));
        tain_tensor_free(each);
    }
    if (adapter) {
        snprintf(path, sizeof(path), GOLDEN "%s", adapter);
        CHECK_INT(adapter_load(&m.weights, path), 0);
    }
    for (int i = 1; fresh && i < 2 * adapter_count(&m.weights); i += 2)
        CHECK_INT(tensor_zero(adapter_tensor(&m.weights, i)), 0);
    count = trained(list);
    CHECK((o = tain_adamw_create(list, count)));
    for (int step = 0; step < STEPS; step++) {
        tain_tensor *each, *loss;
        CHECK_INT(tain_optimizer_zero(o), 0);
        CHECK_INT(tain_tape_begin(d), 0);
        each = janus_image_logprob(&m, prompts, dpo ? 2 * PAIRS : PAIRS, codes);
        CHECK(each);
        loss = dpo ? dpo_loss(each, reference) : sft_loss(each);
        CHECK_INT(tain_backward(loss), 0);
        tain_tape_end(d);
        CHECK_INT(tain_optimizer_watch(o, loss), 0);
        if (!step)
            tensors(run, f, "grad.", 2e-6);
        CHECK_INT(tain_optimizer_step(o, 1e-3, 0.9, 0.95, 1e-8, 0.1, 1), 0);
        CHECK_CLOSE(tain_optimizer_loss(o), losses[step], 2e-6);
        CHECK_CLOSE(tain_optimizer_norm(o), norms[step], 1e-5);
        if (!step)
            tensors(run, f, "step1.", 5e-6);
        tain_tensor_free(each);
        tain_tensor_free(loss);
    }
    tensors(run, f, "step10.", 1e-5);
    tain_optimizer_free(o);
    tain_tensor_free(reference);
    free(losses);
    free(norms);
    st_close(f);
    janus_close(&m);
}

/* ---- Folders ---- */

static void put(const char *folder, const char *text)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/adapter_config.json", folder);
    CHECK_INT(file_write(path, text, strlen(text)), 0);
}

static void folders(void)
{
    char folder[64], path[128];
    float a[256], b[256];
    struct weights *w = &m.weights;
    int part;
    struct weight *q;
    static const struct { const char *config, *text; } refused[] = {
        { "{}", "has no peft_type" },
        { "[]", "must be an object" },
        { "{\"peft_type\":\"IA3\"}", "peft_type is \"IA3\"" },
        { "{\"peft_type\":\"LORA\",\"bias\":\"all\",\"r\":4}", "bias is \"all\"" },
        { "{\"peft_type\":\"LORA\",\"r\":0}", "r must be" },
        { "{\"peft_type\":\"LORA\",\"r\":8}", "rank 4" },
        { "{\"peft_type\":\"LORA\",\"use_dora\":true,\"r\":4}", "use_dora is a variant" },
        { "{\"peft_type\":\"LORA\",\"modules_to_save\":[\"lm_head\"],\"r\":4}", "modules_to_save is a variant" },
        { "{\"peft_type\":\"LORA\",\"of_tomorrow\":{\"x\":1},\"r\":4}", "of_tomorrow is a variant" },
        { "{\"peft_type\":\"LORA\",\"init_lora_weights\":\"pissa\",\"r\":4}", "init_lora_weights is \"pissa\"" },
        { "{\"peft_type\":\"LORA\",\"alpha_pattern\":{\"q.*\":1},\"r\":4}", "is a regular expression" },
    };

    open_golden(d, &m, "janus_tiny", NULL, TAIN_F32);
    CHECK_FAILS(adapter_new(w, "nothing", 4, 8, false, 1), TAIN_EINVAL, "no matrix of the model fits \"nothing\"");
    CHECK_FAILS(adapter_new(w, "q_proj", 0, 8, false, 1), TAIN_EINVAL, "rank is 0");
    CHECK_INT(adapter_new(w, "all-linear", 4, 8, false, 1), 0);
    CHECK(adapter_count(w) > 18);
    CHECK_INT(adapter_new(w, "language_model.*_proj, vision_head", 3, 8, true, 1), 0);
    CHECK_INT(adapter_count(w), 15);
    CHECK_INT(adapter_new(w, "q_proj,v_proj", 4, 8, true, 1), 0);
    CHECK_INT(adapter_count(w), 4);
    forward("off"); /* B is 0 */
    CHECK((q = weights_find(w, "language_model.model.layers.1.self_attn.v_proj.weight", &part)));
    CHECK(q->parts[part].a && part == 2);
    CHECK_CLOSE(q->parts[part].scale, 4, 0);
    CHECK_INT(tain_tensor_read(q->parts[part].a, a, 256), 0);
    double sum = 0, most = 0;
    for (int i = 0; i < 256; i++)
        sum += a[i], most = fabs((double)a[i]) > most ? fabs((double)a[i]) : most;
    CHECK(most <= 0.125 && most > 0.115 && fabs(sum) < 16 * 0.125);
    for (int i = 0; i < 256; i++)
        b[i] = a[255 - i];
    CHECK_INT(tain_tensor_write(q->parts[part].b, b, 256), 0);
    q->parts[part].alpha = 6;

    /* written and read */
    snprintf(folder, sizeof(folder), "/tmp/tain-lora-%d/adapter", (int)getpid());
    CHECK_INT(adapter_save(w, folder, "janus \"tiny\"", false), 0);
    adapter_drop(w);
    CHECK_FAILS(adapter_save(w, folder, "x", false), TAIN_EINVAL, "no adapter");
    CHECK_INT(adapter_load(w, folder), 0);
    CHECK_INT(adapter_count(w), 4);
    CHECK_CLOSE(q->parts[part].scale, 3, 0);
    CHECK_CLOSE(q->parts[1].a ? 1 : 0, 0, 0);
    float again[256];
    CHECK_INT(tain_tensor_read(q->parts[part].b, again, 256), 0);
    CHECK(!memcmp(again, b, sizeof(b)));

    /* refused, and what was there stays */
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        put(folder, refused[i].config);
        CHECK(adapter_load(w, folder) < 0);
        if (!strstr(tain_error(), refused[i].text)) {
            fprintf(stderr, "%s: the sentence \"%s\" lacks \"%s\"\n", refused[i].config, tain_error(), refused[i].text);
            exit(1);
        }
    }
    CHECK_INT(adapter_count(w), 4);
    put(folder, "{\"peft_type\":\"LORA\",\"r\":4}");
    CHECK_INT(adapter_load(w, folder), 0);
    CHECK_CLOSE(q->parts[part].scale, 2, 0); /* alpha is 8 where nothing is said */

    snprintf(path, sizeof(path), "%s/adapter_model.safetensors", folder);
    struct st_tensor odd = { "base_model.model.lm_head.lora_embedding_A", ST_F32, 1, { 1 }, (float[]){ 1 } };
    CHECK_INT(st_write(path, &odd, 1), 0);
    CHECK_FAILS(adapter_load(w, folder), TAIN_EUNSUPPORTED, "lora_embedding_A is no part");
    odd.name = "base_model.model.there.is.none.lora_A.weight";
    CHECK_INT(st_write(path, &odd, 1), 0);
    CHECK_FAILS(adapter_load(w, folder), TAIN_EFORMAT, "does not have");
    odd.name = "base_model.model.language_model.lm_head.lora_A.weight";
    CHECK_INT(st_write(path, &odd, 1), 0);
    CHECK_FAILS(adapter_load(w, folder), TAIN_EFORMAT, "lora_B");
    CHECK_FAILS(adapter_load(w, "/tmp/tain-there-is-none"), TAIN_EIO, "adapter_config.json");
    unlink(path);
    snprintf(path, sizeof(path), "%s/adapter_config.json", folder);
    unlink(path);
    rmdir(folder);
    *strrchr(folder, '/') = 0;
    rmdir(folder);
    janus_close(&m);
}

int main(void)
{
    CHECK((d = tain_device_open(NULL)));
    read_inputs();
    forwards("adapter_qv", 4);
    forwards("adapter_all", 18);
    other_names();
    train("sft_full", NULL, false, false);
    train("sft_lora", "adapter_qv", false, false);
    train("dpo_lora", "adapter_qv", true, false);
    train("dpo_lora_init", "adapter_qv", true, true);
    folders();
    st_close(inputs);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

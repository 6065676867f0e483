/* Models with their language matrices in blocks: what that does to the logits, adapters on top (they train,
 * the base stays), what is refused, and files: written, read back bit for bit, and read as floats. */
#include "check_model.h"

#include "model/adapter.h"

#include <unistd.h>

enum { TEXT = 8, CODES = 16, STEPS = 8, ROWS = 2 };

static tain_device *d;
static bool loud; /* -v prints the figures */
static int32_t text[TEXT] = { 100, 20, 21, 22, 23, 24, 7, 103 }, codes[ROWS * CODES];
static struct janus_row rows[ROWS] = { { text, 7 }, { text + 2, 6 } };

static int in_blocks(const struct janus *m, tain_type type)
{
    int n = 0;

    for (int i = 0; i < m->weights.count; i++)
        n += m->weights.list[i]->tensor->type == type;
    return n;
}

/* Logits of the next word and of the next code, after each token of a text. */
static float *logits(struct janus *m, int64_t *count)
{
    int32_t ids[TEXT];
    tain_tensor *x, *y[2];
    float *all;

    for (int i = 0; i < TEXT; i++)
        ids[i] = text[i] % (int32_t)m->config.language.vocabulary;
    CHECK((x = janus_read(m, ids, TEXT, NULL, NULL)));
    y[0] = dense_run(&m->weights, &m->language.head, x, GEMM_NONE);
    y[1] = projector_run(&m->weights, &m->image_head, x);
    CHECK(y[0] && y[1]);
    *count = tain_tensor_count(y[0]) + tain_tensor_count(y[1]);
    CHECK((all = malloc((size_t)*count * sizeof(float))));
    CHECK_INT(tain_tensor_read(y[0], all, tain_tensor_count(y[0])), 0);
    CHECK_INT(tain_tensor_read(y[1], all + tain_tensor_count(y[0]), tain_tensor_count(y[1])), 0);
    tain_tensor_free(x);
    tain_tensor_free(y[0]);
    tain_tensor_free(y[1]);
    return all;
}

/* How far the logits are from those of f32, relative to their norm. */
static void quality(const char *name, int blocks, double most8, double most4)
{
    static const tain_type types[] = { TAIN_F32, TAIN_F16, TAIN_BF16, TAIN_INT8, TAIN_INT4 };
    const double most[] = { 0, 1e-3, 1e-2, most8, most4 };
    float *want = NULL;
    int64_t n;

    for (size_t i = 0; i < COUNT_OF(types); i++) {
        struct janus m;
        double apart = 0, norm = 0;
        float *got;
        open_golden(d, &m, name, NULL, types[i]);
        if (type_blocks(types[i]))
            CHECK_INT(in_blocks(&m, types[i]), blocks);
        got = logits(&m, &n);
        want = want ? want : got;
        for (int64_t k = 0; k < n; k++) {
            apart += ((double)got[k] - want[k]) * ((double)got[k] - want[k]);
            norm += (double)want[k] * want[k];
        }
        if (loud)
            printf("%s as %s: the logits are apart by %.2g of their norm\n", name, type_name(types[i]), sqrt(apart / norm));
        CHECK_CLOSE(sqrt(apart / norm), 0, most[i]);
        if (got != want)
            free(got);
        janus_close(&m);
    }
    free(want);
}

/* ---- Adapters ---- */

static float loss_of(struct janus *m, tain_optimizer *o)
{
    tain_tensor *each, *mean, *loss;
    float value;

    if (o) {
        CHECK_INT(tain_optimizer_zero(o), 0);
        CHECK_INT(tain_tape_begin(d), 0);
    }
    CHECK((each = janus_image_logprob(m, rows, ROWS, codes)) && (mean = tain_mean(each)) && (loss = tain_neg(mean)));
    CHECK_INT(tain_tensor_read(loss, &value, 1), 0);
    if (o) {
        CHECK_INT(tain_backward(loss), 0);
        tain_tape_end(d);
        CHECK_INT(tain_optimizer_step(o, 1e-2, 0.9, 0.95, 1e-8, 0, 1), 0);
    }
    tain_tensor_free(each);
    tain_tensor_free(mean);
    tain_tensor_free(loss);
    return value;
}

static void train(tain_type type, bool recompute)
{
    struct janus m;
    tain_tensor *list[64], *base;
    tain_optimizer *o;
    float before, first = 0, last = 0, *kept, *again;
    int64_t n;
    int count;

    open_golden(d, &m, "janus_tiny", NULL, type);
    m.language.recompute = recompute;
    base = m.language.layers[0].qkv.weight;
    n = tensor_count(base);
    CHECK((kept = malloc((size_t)n * sizeof(float))) && (again = malloc((size_t)n * sizeof(float))));
    CHECK_INT(tain_tensor_read(base, kept, n), 0);
    before = loss_of(&m, NULL);
    CHECK_INT(adapter_new(&m.weights, "language_model.*_proj", 4, 8, false, 1), 0);
    CHECK_INT((count = 2 * adapter_count(&m.weights)), 28);
    for (int i = 0; i < count; i++)
        list[i] = adapter_tensor(&m.weights, i);
    CHECK((o = tain_adamw_create(list, count)));
    for (int step = 0; step < STEPS; step++) {
        last = loss_of(&m, o);
        first = step ? first : last;
    }
    CHECK_CLOSE(first, before, 1e-6); /* B is 0 */
    if (loud)
        printf("%s: with adapters the loss went from %.4f to %.4f in %d steps\n", type_name(type), first, last, STEPS);
    CHECK(last < first - 0.2f);
    CHECK_INT(tain_tensor_read(base, again, n), 0);
    CHECK(!memcmp(kept, again, (size_t)n * sizeof(float)));
    m.weights.adapted = false;
    CHECK_CLOSE(loss_of(&m, NULL), before, 0);
    m.weights.adapted = true;

    CHECK_FAILS(adapter_merge(&m.weights), TAIN_EINVAL, "load the model as f32, merge there, and quantise what comes out");
    CHECK(m.weights.adapted && loss_of(&m, NULL) < first - 0.2f);
    CHECK_FAILS(tain_tensor_want_grad(base, true), TAIN_EINVAL, "only f32 can be trained");
    CHECK(!tain_adamw_create(&base, 1) && strstr(tain_error(), "adamw: parameter 1 is stored as int"));
    tain_optimizer_free(o);
    free(kept);
    free(again);
    janus_close(&m);
}

/* ---- Files ---- */

static void compare(struct janus *a, struct janus *b)
{
    for (int i = 0; i < a->weights.count; i++) {
        tain_tensor *x = a->weights.list[i]->tensor, *y = b->weights.list[i]->tensor;
        int64_t n = tensor_count(x);
        float *u = malloc((size_t)n * 4), *v = malloc((size_t)n * 4);
        CHECK_INT(tensor_count(y), n);
        CHECK_INT(tain_tensor_read(x, u, n), 0);
        CHECK_INT(tain_tensor_read(y, v, n), 0);
        CHECK(!memcmp(u, v, (size_t)n * 4));
        free(u);
        free(v);
    }
}

static void files(tain_type type)
{
    char folder[64], path[128];
    struct janus m, again;
    struct st_file *f;
    const struct st_entry *e;

    snprintf(folder, sizeof(folder), "/tmp/tain-blocks-%d", (int)getpid());
    CHECK_INT(folder_make(folder), 0);
    open_golden(d, &m, "janus_tiny", NULL, type);
    CHECK_INT(weights_save(&m.weights, folder, ST_OTHER, false, 1 << 30), 0);
    CHECK((f = st_open(folder)));
    snprintf(path, sizeof(path), "language_model.model.layers.1.mlp.down_proj.weight.%s", type_name(type));
    CHECK((e = st_need(f, path)) && e->type == (type == TAIN_INT8 ? ST_I8 : ST_U8));
    CHECK_INT(e->shape[0], 64);
    CHECK_INT(e->shape[1], type == TAIN_INT8 ? 96 : 48);
    CHECK((e = st_need(f, "language_model.model.layers.1.mlp.down_proj.weight.scales")) && e->type == ST_F16);
    CHECK_INT(e->shape[1], 3);
    CHECK((e = st_need(f, "language_model.model.embed_tokens.weight")) && e->type == ST_F16);
    CHECK((e = st_need(f, "language_model.model.norm.weight")) && e->type == ST_F16); /* f32 here, but f16 where it came from */
    st_close(f);

    open_golden(d, &again, "janus_tiny", folder, type);
    CHECK_INT(in_blocks(&again, type), in_blocks(&m, type));
    compare(&m, &again);
    janus_close(&again);
    open_golden(d, &again, "janus_tiny", folder, TAIN_F32);
    CHECK_INT(in_blocks(&again, type), 0);
    compare(&m, &again);
    janus_close(&again);
    {
        float norm[64]; /* trained: no longer what 16 bits can hold */
        tain_tensor *t = m.language.norm;
        CHECK_INT(tain_tensor_read(t, norm, 64), 0);
        norm[3] += 1e-6f;
        CHECK_INT(tain_tensor_write(t, norm, 64), 0);
        CHECK_INT(weights_save(&m.weights, folder, ST_OTHER, false, 1 << 30), 0);
        CHECK((f = st_open(folder)));
        CHECK((e = st_need(f, "language_model.model.norm.weight")) && e->type == ST_F32);
        st_close(f);
        open_golden(d, &again, "janus_tiny", folder, type);
        compare(&m, &again);
        janus_close(&again);
    }
    open_golden(d, &again, "janus_tiny", folder, type == TAIN_INT8 ? TAIN_INT4 : TAIN_INT8); /* rounded once more */
    CHECK_INT(in_blocks(&again, type), 0);
    janus_close(&again);

    janus_close(&m);
    snprintf(path, sizeof(path), "%s/model.safetensors", folder);
    unlink(path);
    rmdir(folder);
}

/* Scales that are missing, numbers of another shape, a scale that is not finite. */
static void broken(void)
{
    static const char *const name = "language_model.model.layers.0.self_attn.";
    static const char *const texts[] = { ".scales", "is I8 [64, 32]; the configuration asks for I8 [64, 64]", "not finite" };
    static int8_t q[64 * 64];
    static uint16_t s[64 * 2] = { [5] = 0x7c00 };
    char names[6][128], path[64];
    struct janus m;

    open_golden(d, &m, "janus_tiny", NULL, TAIN_INT8);
    for (int i = 0; i < 6; i++)
        snprintf(names[i], sizeof(names[i]), "%s%c_proj.weight.%s", name, "qkv"[i / 2], i % 2 ? "scales" : "int8");
    snprintf(path, sizeof(path), "/tmp/tain-blocks-%d.safetensors", (int)getpid());
    for (int i = 0; i < 3; i++) {
        struct st_tensor list[6];
        struct weight *alone = m.language.layers[0].qkv.w;
        struct weights one = { .device = d, .list = &alone, .count = 1 };
        struct st_file *f;
        for (int k = 0; k < 6; k++)
            list[k] = k % 2 ? (struct st_tensor){ names[k], ST_F16, 2, { 64, 2 }, s }
                            : (struct st_tensor){ names[k], ST_I8, 2, { 64, i == 1 ? 32 : 64 }, q };
        CHECK_INT(st_write(path, list, i ? 6 : 1), 0);
        CHECK((f = st_open(path)));
        CHECK_FAILS(weights_reload(&one, f), TAIN_EFORMAT, texts[i]);
        st_close(f);
    }
    unlink(path);
    janus_close(&m);
}

/* ---- Memory of the host ---- */

#ifdef __SANITIZE_ADDRESS__ /* it keeps what is freed */
static void bounded(void)
{
}
#else
/* A line of /proc/self/status, in bytes; 0 if there is none. */
static int64_t status_of(const char *key)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long long kib = 0;

    while (f && fgets(line, sizeof(line), f))
        if (!strncmp(line, key, strlen(key)))
            sscanf(line + strlen(key), ": %lld", &kib);
    if (f)
        fclose(f);
    return kib * 1024;
}

/* A matrix of 134 MB as floats goes to the device in pieces: no copy of it is ever made. */
static void bounded(void)
{
    static const char header[] = "{\"m.weight\":{\"dtype\":\"F16\",\"shape\":[8192,4096],\"data_offsets\":[0,67108864]}}";
    uint64_t length = sizeof(header) - 1;
    struct weights w = { .device = d };
    struct weight *n;
    struct st_file *f;
    tain_tensor *slot;
    char path[64];
    FILE *out;
    int64_t before, peak;

    snprintf(path, sizeof(path), "/tmp/tain-blocks-%d.safetensors", (int)getpid());
    CHECK((out = fopen(path, "wb")));
    CHECK(fwrite(&length, 8, 1, out) == 1 && fwrite(header, length, 1, out) == 1 && !fflush(out));
    CHECK(!ftruncate(fileno(out), 8 + (off_t)length + 67108864)); /* zeros that take no room */
    fclose(out);
    CHECK((f = st_open(path)));
    CHECK((n = weight_declare(&w, &slot, WEIGHT_MATRIX, 0, 8192, 4096, "m.weight")));
    n->blocks = true;
    out = fopen("/proc/self/clear_refs", "w"); /* 5: the peak starts anew */
    if (out && fputs("5", out) >= 0 && !fclose(out) && (before = status_of("VmRSS"))) {
        CHECK_INT(weights_load(&w, f, TAIN_INT4), 0);
        CHECK_INT(slot->type, TAIN_INT4);
        peak = status_of("VmHWM") - before;
        if (loud)
            printf("quantising a matrix of 134 MB took %.1f MB of the host, %.1f of them the matrix's own\n", 1e-6 * (double)peak,
                   1e-6 * (double)tensor_bytes(slot));
        CHECK(peak < (int64_t)tensor_bytes(slot) + 64000000);
    }
    weights_close(&w);
    st_close(f);
    unlink(path);
}
#endif

int main(int argc, char **argv)
{
    loud = argc > 1 && !strcmp(argv[1], "-v");
    CHECK((d = tain_device_open(NULL)));
    bounded();
    for (int i = 0; i < ROWS * CODES; i++)
        codes[i] = i * 7 % 32;
    /* Of normally distributed numbers int8 loses half a percent, int4 a good eight. */
    quality("janus_tiny", 8, 0.015, 0.2);
    quality("head64", 2, 0.01, 0.1);
    quality("gqa", 0, 1e-2, 1e-2); /* its rows are no multiple of 32: 16-bit */
    train(TAIN_INT8, false);
    train(TAIN_INT4, false);
    train(TAIN_INT4, true);
    files(TAIN_INT8);
    files(TAIN_INT4);
    broken();
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

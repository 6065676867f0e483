/* Adapters in the names of transformers' port, where the vision tower's q, k and v are three modules and not one:
 * they do what the weights do that they would be merged into, are written as they were read, become one adapter
 * in DeepSeek's names and three again, and train each by itself. Two that change the same matrix are refused.
 *
 *     build/tests/model/port_adapter [FOLDER]
 *
 * leaves there what it writes, for PEFT to read. */
#include "check_model.h"

#include "model/adapter.h"

#include <unistd.h>

#define GOLDEN "tests/golden/janus_hf/"
#define VISION "model.vision_model.encoder.layers."

enum { MODULES = 64, IMAGES = 2 };

static tain_device *d;
static char root[256];

/* ---- An adapter in the port's names, and the weights with it merged in by plain loops ---- */

struct module {
    char name[128];
    int64_t out, in, rank;
    double alpha;
    float *a, *b;
};

static struct module modules[MODULES];
static int count;

static float number(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(*state >> 40) / (1 << 24) - 0.5);
}

static void module(const struct st_file *f, const char *name, int64_t rank, double alpha)
{
    struct module *m = &modules[count++];
    char weight[256];
    const struct st_entry *e;
    uint64_t state = (uint64_t)count;

    CHECK(count <= MODULES);
    snprintf(weight, sizeof(weight), "%s.weight", name);
    CHECK((e = st_need(f, weight)) && e->rank == 2);
    snprintf(m->name, sizeof(m->name), "%s", name);
    m->out = e->shape[0];
    m->in = e->shape[1];
    m->rank = rank;
    m->alpha = alpha;
    m->a = malloc((size_t)(m->in * rank) * sizeof(float));
    m->b = malloc((size_t)(m->out * rank) * sizeof(float));
    CHECK(m->a && m->b);
    for (int64_t i = 0; i < m->in * rank; i++)
        m->a[i] = number(&state);
    for (int64_t i = 0; i < m->out * rank; i++)
        m->b[i] = 0.2f * number(&state);
}

/* All that there is in the vision tower, but for one k; the aligners, the image head, some of the language model. */
static void make_modules(const struct st_file *f)
{
    static const char *const tower[] = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.projection_layer",
                                         "mlp.fc1", "mlp.fc2" };
    static const char *const others[] = {
        "model.aligner.fc1", "model.aligner.hidden_layers.0", "model.generation_aligner.fc1", "model.generation_aligner.hidden_layers.0",
        "model.generation_head.proj_out", "model.generation_head.vision_head", "lm_head",
        "model.language_model.layers.0.self_attn.q_proj", "model.language_model.layers.0.self_attn.k_proj",
        "model.language_model.layers.1.self_attn.o_proj", "model.language_model.layers.1.mlp.up_proj",
    };
    char name[128];

    for (int layer = 0; layer < 2; layer++)
        for (int i = 0; i < 6; i++) {
            if (layer == 1 && i == 1)
                continue;
            snprintf(name, sizeof(name), VISION "%d.%s", layer, tower[i]);
            module(f, name, layer == 0 && i == 2 ? 2 : 3, i == 0 ? 5 : 6);
        }
    for (size_t i = 0; i < COUNT_OF(others); i++)
        module(f, others[i], 3, 6);
}

/* A folder as PEFT writes it: patterns say what differs. */
static const char *in_root(const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", root, name);
    return path;
}

static void write_adapter(const char *folder, const struct module *m, int n)
{
    struct st_tensor list[2 * MODULES];
    static char names[2 * MODULES][256];
    struct text t = { 0 };
    char path[600];

    CHECK_INT(folder_make(folder), 0);
    text_format(&t, "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 6, \"target_modules\": [");
    for (int i = 0; i < n; i++)
        text_format(&t, "%s\"%s\"", i ? ", " : "", m[i].name);
    text_format(&t, "], \"rank_pattern\": {\"" VISION "0.self_attn.v_proj\": 2}, \"alpha_pattern\": {\"" VISION
                    "0.self_attn.q_proj\": 5, \"" VISION "1.self_attn.q_proj\": 5}}");
    snprintf(path, sizeof(path), "%s/adapter_config.json", folder);
    CHECK_INT(file_write(path, t.at, t.count), 0);
    free(t.at);
    for (int i = 0; i < 2 * n; i++) {
        const struct module *o = &m[i / 2];
        snprintf(names[i], sizeof(names[i]), "base_model.model.%s.lora_%c.weight", o->name, i % 2 ? 'B' : 'A');
        list[i] = (struct st_tensor){ names[i], ST_F32, 2, { i % 2 ? o->out : o->rank, i % 2 ? o->rank : o->in }, i % 2 ? o->b : o->a };
    }
    snprintf(path, sizeof(path), "%s/adapter_model.safetensors", folder);
    CHECK_INT(st_write(path, list, 2 * n), 0);
}

static void merge(const struct module *m, float *w)
{
    for (int64_t o = 0; o < m->out; o++)
        for (int64_t i = 0; i < m->in; i++) {
            double sum = 0;
            for (int64_t r = 0; r < m->rank; r++)
                sum += (double)m->b[o * m->rank + r] * m->a[r * m->in + i];
            w[o * m->in + i] = (float)(w[o * m->in + i] + m->alpha / (double)m->rank * sum);
        }
}

static void write_merged(const struct st_file *f, const char *path)
{
    int n = st_count(f), merged = 0;
    struct st_tensor *list = calloc((size_t)n, sizeof(*list));

    CHECK(list);
    for (int i = 0; i < n; i++) {
        const struct st_entry *e = st_at(f, i);
        float *values = malloc((size_t)e->count * sizeof(float));
        CHECK(values);
        CHECK_INT(st_read_float(f, e, values, (size_t)e->count), 0);
        for (int k = 0; k < count; k++) {
            size_t length = strlen(modules[k].name);
            if (!strncmp(e->name, modules[k].name, length) && !strcmp(e->name + length, ".weight")) {
                merge(&modules[k], values);
                merged++;
            }
        }
        list[i] = (struct st_tensor){ .name = e->name, .type = ST_F32, .rank = e->rank, .data = values };
        memcpy(list[i].shape, e->shape, sizeof(e->shape));
    }
    CHECK_INT(merged, count);
    CHECK_INT(st_write(path, list, n), 0);
    for (int i = 0; i < n; i++)
        free((void *)(uintptr_t)list[i].data);
    free(list);
}

/* ---- What the model makes of pictures and texts ---- */

static tain_tensor *patches(const struct janus *m)
{
    int64_t size = m->config.vision.image, n = IMAGES * 3 * size * size;
    float *pixels = malloc((size_t)n * sizeof(float));
    uint64_t state = 7;
    tain_tensor *t;

    CHECK(pixels);
    for (int64_t i = 0; i < n; i++)
        pixels[i] = 2 * number(&state);
    CHECK((t = vit_patches(d, &m->config.vision, IMAGES, pixels)));
    free(pixels);
    return t;
}

struct result {
    int64_t count;
    float *at;
};

static void append(struct result *r, tain_tensor *t)
{
    int64_t n;

    CHECK(t);
    n = tain_tensor_count(t);
    CHECK((r->at = realloc(r->at, (size_t)(r->count + n) * sizeof(float))));
    CHECK_INT(tain_tensor_read(t, r->at + r->count, n), 0);
    r->count += n;
    tain_tensor_free(t);
}

/* What it sees, the next words after it, and likelihoods of codes. */
static struct result run(struct janus *m)
{
    int32_t ids[6] = { 5, 17, 101, 33, 9, 250 }, codes[16];
    struct janus_row row = { ids, 6 };
    struct result r = { 0 };
    tain_tensor *p = patches(m), *x;

    append(&r, janus_see(m, p));
    tain_tensor_free(p);
    x = janus_read(m, ids, 6, NULL, NULL);
    append(&r, dense_run(&m->weights, &m->language.head, x, GEMM_NONE));
    tain_tensor_free(x);
    for (int i = 0; i < 16; i++)
        codes[i] = (i * 5) % 32;
    append(&r, janus_image_logprob(m, &row, 1, codes));
    return r;
}

static double apart(const struct result *a, const struct result *b)
{
    double most = 0;

    CHECK_INT(a->count, b->count);
    for (int64_t i = 0; i < a->count; i++)
        most = fmax(most, fabs((double)a->at[i] - b->at[i]) / (1 + fabs((double)b->at[i])));
    return most;
}

static void same(struct janus *m, const struct result *want, const char *what)
{
    struct result got = run(m);
    double off = apart(&got, want);

    if (!(off <= 1e-5)) {
        fprintf(stderr, "%s: a number is off by %g\n", what, off);
        exit(1);
    }
    free(got.at);
}

/* ---- There and back ---- */

/* The same tensors, bit for bit, under the same names. */
static void same_files(const char *a, const char *b)
{
    char path[2][600];
    struct st_file *f[2];

    for (int i = 0; i < 2; i++) {
        snprintf(path[i], sizeof(path[i]), "%s/adapter_model.safetensors", i ? b : a);
        CHECK((f[i] = st_open(path[i])));
    }
    CHECK_INT(st_count(f[0]), st_count(f[1]));
    for (int i = 0; i < st_count(f[0]); i++) {
        const struct st_entry *e = st_at(f[0], i), *other = st_need(f[1], e->name);
        char *x = malloc(e->bytes), *y = malloc(e->bytes);
        CHECK(other && x && y && other->bytes == e->bytes && other->rank == e->rank);
        CHECK(!memcmp(e->shape, other->shape, (size_t)e->rank * sizeof(*e->shape)));
        CHECK_INT(st_read(f[0], e, x, e->bytes), 0);
        CHECK_INT(st_read(f[1], other, y, e->bytes), 0);
        CHECK(!memcmp(x, y, e->bytes));
        free(x);
        free(y);
    }
    st_close(f[0]);
    st_close(f[1]);
}

static const struct st_entry *entry(const struct st_file *f, const char *module, char which)
{
    char name[256];
    const struct st_entry *e;

    snprintf(name, sizeof(name), "base_model.model.%s.lora_%c.weight", module, which);
    CHECK((e = st_need(f, name)));
    return e;
}

static void there_and_back(struct janus *m, const struct result *want)
{
    struct st_file *f;

    CHECK_INT(adapter_load(&m->weights, in_root("port")), 0);
    CHECK_INT(adapter_count(&m->weights), count);
    m->weights.adapted = true;
    same(m, want, "the port's names");

    CHECK_INT(adapter_save(&m->weights, in_root("again"), "tiny", true), 0);
    same_files(in_root("port"), in_root("again"));
    CHECK_INT(adapter_load(&m->weights, in_root("again")), 0);
    same(m, want, "the port's names again");

    CHECK_INT(adapter_save(&m->weights, in_root("joined"), "tiny", false), 0);
    CHECK((f = st_open(in_root("joined/adapter_model.safetensors"))));
    CHECK_INT(st_count(f), 2 * (count - 3)); /* of three modules one, of two modules one */
    CHECK_INT(entry(f, "vision_model.vision_tower.blocks.0.attn.qkv", 'A')->shape[0], 8);
    CHECK_INT(entry(f, "vision_model.vision_tower.blocks.1.attn.qkv", 'B')->shape[1], 6);
    CHECK_INT(entry(f, "vision_model.vision_tower.blocks.1.attn.qkv", 'B')->shape[0], 96);
    st_close(f);
    CHECK_INT(adapter_load(&m->weights, in_root("joined")), 0);
    same(m, want, "DeepSeek's names");

    CHECK_INT(adapter_save(&m->weights, in_root("split"), "tiny", true), 0);
    CHECK((f = st_open(in_root("split/adapter_model.safetensors"))));
    CHECK_INT(st_count(f), 2 * (count + 1)); /* every q, k and v */
    CHECK_INT(entry(f, VISION "1.self_attn.k_proj", 'B')->shape[0], 32);
    st_close(f);
    CHECK_INT(adapter_load(&m->weights, in_root("split")), 0);
    same(m, want, "and the port's");

    CHECK_INT(adapter_load(&m->weights, in_root("port")), 0);
    CHECK_INT(adapter_merge(&m->weights), 0);
    CHECK_INT(adapter_count(&m->weights), 0);
    same(m, want, "merged");
}

/* The same matrix under two names. */
static void refused(struct janus *m)
{
    struct module two[2] = { modules[0], modules[0] };

    snprintf(two[1].name, sizeof(two[1].name), "vision_model.vision_tower.blocks.0.attn.qkv");
    two[1].out *= 3;
    CHECK((two[1].b = calloc((size_t)(two[1].out * two[1].rank), sizeof(float))));
    write_adapter(in_root("two"), two, 2);
    CHECK_FAILS(adapter_load(&m->weights, in_root("two")), TAIN_EFORMAT, "change the same matrix");
    free(two[1].b);
    two[0] = two[1] = modules[3];
    snprintf(two[1].name, sizeof(two[1].name), "vision_model.vision_tower.blocks.0.attn.proj");
    write_adapter(in_root("two"), two, 2);
    CHECK_FAILS(adapter_load(&m->weights, in_root("two")), TAIN_EFORMAT, "change the same matrix");
}

/* ---- Training ---- */

static double loss_of(struct janus *m, bool backward)
{
    tain_tensor *p = patches(m), *x, *square, *loss;
    float value;

    if (backward)
        CHECK_INT(tain_tape_begin(d), 0);
    CHECK((x = janus_see(m, p)));
    square = tain_mul(x, x);
    CHECK((loss = tain_mean(square)));
    if (backward) {
        CHECK_INT(tain_backward(loss), 0);
        tain_tape_end(d);
    }
    CHECK_INT(tain_tensor_read(loss, &value, 1), 0);
    tain_tensor_free(p);
    tain_tensor_free(x);
    tain_tensor_free(square);
    tain_tensor_free(loss);
    return value;
}

/* The slope along the gradient of every A and B of the tower's q, k and v is the gradient's square. */
static void slopes(struct janus *m)
{
    int checked = 0;

    CHECK_INT(adapter_load(&m->weights, in_root("port")), 0);
    m->weights.adapted = true;
    for (int i = 0; i < 2 * adapter_count(&m->weights); i++)
        CHECK_INT(tain_tensor_want_grad(adapter_tensor(&m->weights, i), true), 0);
    loss_of(m, true);
    for (int i = 0; i < m->weights.count; i++)
        for (int k = 0; k < 2 * m->weights.list[i]->cut_count; k++) {
            const struct weight_part *p = &m->weights.list[i]->cuts[k / 2];
            tain_tensor *t = k % 2 ? p->b : p->a;
            int64_t n = t ? tain_tensor_count(t) : 0;
            float *is = malloc((size_t)n * sizeof(float) + 1), *g = malloc((size_t)n * sizeof(float) + 1);
            double square = 0, step, slope[2];
            CHECK(is && g);
            if (t) {
                CHECK(t->grad);
                CHECK_INT(tain_tensor_read(t, is, n), 0);
                CHECK_INT(tain_tensor_read(t->grad, g, n), 0);
                for (int64_t j = 0; j < n; j++)
                    square += (double)g[j] * g[j];
                CHECK(square > 0);
                step = 0.01 / sqrt(square);
                for (int s = 0; s < 2; s++) {
                    float *there = malloc((size_t)n * sizeof(float));
                    CHECK(there);
                    for (int64_t j = 0; j < n; j++)
                        there[j] = (float)(is[j] + (s ? step : -step) * g[j]);
                    CHECK_INT(tain_tensor_write(t, there, n), 0);
                    slope[s] = loss_of(m, false);
                    free(there);
                }
                CHECK_INT(tain_tensor_write(t, is, n), 0);
                CHECK_CLOSE((slope[1] - slope[0]) / (2 * step) / square, 1, 0.02);
                checked++;
            }
            free(is);
            free(g);
        }
    CHECK_INT(checked, 10);
}

int main(int argc, char **argv)
{
    struct st_file *f = st_open(GOLDEN "model.safetensors");
    struct result plain, want;
    struct janus m, merged;

    snprintf(root, sizeof(root), "/tmp/tain-test-XXXXXX");
    if (argc > 1)
        snprintf(root, sizeof(root), "%s", argv[1]);
    else
        CHECK(mkdtemp(root));
    CHECK_INT(folder_make(root), 0);
    CHECK(f && (d = tain_device_open(NULL)));
    make_modules(f);
    write_adapter(in_root("port"), modules, count);
    write_merged(f, in_root("merged.safetensors"));
    open_model(d, &m, GOLDEN "config.json", GOLDEN "model.safetensors", TAIN_F32);
    open_model(d, &merged, GOLDEN "config.json", in_root("merged.safetensors"), TAIN_F32);
    plain = run(&m);
    want = run(&merged);
    CHECK(apart(&plain, &want) > 0.05);
    refused(&m);
    slopes(&m);
    there_and_back(&m, &want);
    free(plain.at);
    free(want.at);
    for (int i = 0; i < count; i++) {
        free(modules[i].a);
        free(modules[i].b);
    }
    st_close(f);
    janus_close(&m);
    janus_close(&merged);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    if (argc == 1)
        CHECK_INT(folder_remove(root), 0);
    return 0;
}

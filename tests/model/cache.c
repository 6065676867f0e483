/* Keys and values of earlier tokens in 16 bits: half the memory, rounded to nearest even as they are written,
 * by one token and by many, with heads that must be filled up; shared by other rows; and what it does to the
 * states that follow. */
#include "check_model.h"

enum { B = 2, WORDS = 5, MORE = 3, ROOM = 9 };

static tain_device *d;
static bool loud; /* -v prints the figures */

/* All that a cache holds of k (or v) of a layer, [B, used, KV, D of the model]. */
static float *held(const struct llama_cache *cache, tain_tensor *t, int64_t head, int64_t *count)
{
    int64_t room = t->shape[3], rows = cache->batch * cache->room * t->shape[2], at = 0;
    float *all = malloc((size_t)(rows * room) * 4), *out = malloc((size_t)(rows * room) * 4);

    CHECK_INT(tain_tensor_read(t, all, rows * room), 0);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < room && r / t->shape[2] % cache->room < cache->used; i++) {
            if (i < head)
                out[at++] = all[r * room + i];
            else
                CHECK(all[r * room + i] == 0); /* what fills a head up */
        }
    free(all);
    *count = at;
    return out;
}

/* The numbers as the type keeps them: through the cast that tests/op/shape.c holds to nearest even. */
static void rounded(float *values, int64_t n, tain_type type)
{
    tain_tensor *f = tensor_from(d, TAIN_F32, 1, &n, values), *t = f ? tain_cast(f, type) : NULL;

    CHECK(t);
    CHECK_INT(tain_tensor_read(t, values, n), 0);
    tensor_unref(f);
    tensor_unref(t);
}

/* Hidden states [rows, T, C] of tokens `from` and following of some rows. */
static void read_some(struct janus *m, struct llama_cache *cache, int64_t rows, const int32_t *row, int64_t from, int64_t T, float *out)
{
    int64_t V = m->config.language.vocabulary, C = m->config.language.width;
    int32_t ids[(B + 1) * WORDS], places[(B + 1) * WORDS];
    tain_tensor *i, *p, *x, *y;

    for (int64_t k = 0; k < rows * T; k++) {
        places[k] = (int32_t)(from + k % T);
        ids[k] = (int32_t)((7 + 11 * places[k] + 31 * row[k / T]) % V);
    }
    i = tensor_from(d, TAIN_I32, 2, (int64_t[]){ rows, T }, ids);
    p = tensor_from(d, TAIN_I32, 2, (int64_t[]){ rows, T }, places);
    CHECK(i && p && (x = tain_embed(m->language.embed, i)));
    CHECK((y = llama_run(&m->weights, &m->language, x, p, NULL, cache, NULL)));
    CHECK_INT(tain_tensor_read(y, out, rows * T * C), 0);
    tensor_unref(i);
    tensor_unref(p);
    tensor_unref(x);
    tensor_unref(y);
}

/* Hidden states of tokens that are read some at once and the rest one by one. */
static float *read_tokens(struct janus *m, struct llama_cache *cache, int64_t *count)
{
    static const int32_t rows[B] = { 0, 1 };
    int64_t C = m->config.language.width;
    float *out = malloc((size_t)(B * (WORDS + MORE) * C) * 4);

    read_some(m, cache, B, rows, 0, WORDS, out);
    for (int64_t k = 0; k < MORE; k++)
        read_some(m, cache, B, rows, WORDS + k, 1, out + B * (WORDS + k) * C);
    *count = B * (WORDS + MORE) * C;
    return out;
}

static double apart(const float *a, const float *b, int64_t n)
{
    double sum = 0, norm = 0;

    for (int64_t i = 0; i < n; i++) {
        sum += (a[i] - b[i]) * (double)(a[i] - b[i]);
        norm += a[i] * (double)a[i];
    }
    return sqrt(sum / norm);
}

/* Rows that go on from rows of another cache, in another order and twice, have the states of those that go on alone. */
static void check_share(struct janus *m, const float *alone)
{
    static const int32_t rows[B] = { 0, 1 }, which[B + 1] = { 1, 0, 1 };
    struct llama_cache *to = llama_cache_new(&m->language, B + 1, MORE), *from = llama_cache_new(&m->language, B, WORDS);
    tain_tensor *t = tensor_from(d, TAIN_I32, 1, (int64_t[]){ B + 1 }, which);
    int64_t C = m->config.language.width;
    float *out = malloc((size_t)((B + 1) * WORDS * C) * 4);

    CHECK(to && from && t);
    read_some(m, from, B, rows, 0, WORDS, out);
    CHECK_INT(llama_cache_share(to, from, t), 0);
    CHECK_INT(to->used, WORDS);
    for (int64_t k = 0; k < MORE; k++) {
        read_some(m, to, B + 1, which, WORDS + k, 1, out);
        for (int64_t r = 0; r < B + 1; r++)
            for (int64_t i = 0; i < C; i++)
                CHECK_CLOSE(out[r * C + i], alone[(B * (WORDS + k) + which[r]) * C + i], 1e-5);
    }
    CHECK((from = llama_cache_new(&m->language, B, WORDS)));
    CHECK_FAILS(llama_cache_share(to, from, t), TAIN_EINVAL, "cache: 8 tokens, to go on from 0 of 5");
    tensor_unref(t);
    llama_cache_free(to);
    free(out);
}

static void check_model(const char *name)
{
    static const tain_type types[] = { TAIN_F32, TAIN_F16, TAIN_BF16 };
    static const double most[] = { 0, 1e-3, 8e-3 }; /* of the states, relative to their norm */
    struct janus m;
    float *want = NULL, *keys[2] = { NULL, NULL };
    int64_t n, count;

    open_golden(d, &m, name, NULL, TAIN_F32);
    const struct llama_config *c = &m.config.language;
    for (int k = 0; k < 3; k++) {
        int64_t head = (c->head + (types[k] ? 7 : 3)) / (types[k] ? 8 : 4) * (types[k] ? 8 : 4);
        uint64_t bytes = (uint64_t)(2 * c->layers * B * ROOM * c->kv_heads * head) * (types[k] ? 2 : 4);
        uint64_t taken = 0;
        struct llama_cache *cache;
        float *got;
        m.language.cache = types[k];
        CHECK((cache = llama_cache_new(&m.language, B, ROOM)));
        for (int i = 0; i < cache->layers; i++)
            taken += tensor_bytes(cache->k[i]) + tensor_bytes(cache->v[i]);
        CHECK_INT(taken, bytes);
        got = read_tokens(&m, cache, &n);
        CHECK_INT(cache->used, WORDS + MORE);
        /* What the first layer keeps depends on no other key: it is exactly that of f32, rounded. */
        for (int v = 0; v < 2; v++) {
            float *kept = held(cache, v ? cache->v[0] : cache->k[0], c->head, &count);
            if (!k) {
                keys[v] = kept;
                continue;
            }
            float *ought = malloc((size_t)count * 4);
            memcpy(ought, keys[v], (size_t)count * 4);
            rounded(ought, count, types[k]);
            CHECK(!memcmp(kept, ought, (size_t)count * 4));
            free(ought);
            free(kept);
        }
        if (!k)
            want = got;
        if (loud)
            printf("%s %s: %llu bytes, states apart by %.2g\n", name, type_name(types[k]), (unsigned long long)taken,
                   apart(want, got, n));
        CHECK(apart(want, got, n) <= most[k] && (!k || apart(want, got, n) > 0));
        check_share(&m, got);
        if (k)
            free(got);
        llama_cache_free(cache);
    }
    free(want);
    free(keys[0]);
    free(keys[1]);
    janus_close(&m);
}

int main(int argc, char **argv)
{
    loud = argc > 1 && !strcmp(argv[1], "-v");
    CHECK((d = tain_device_open(NULL)));
    d->grad = false;
    check_model("janus_tiny"); /* four heads of 16 */
    check_model("gqa");        /* a head of 12 for two: in 16 bits it is filled up */
    check_model("head64");
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

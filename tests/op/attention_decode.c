/* Tokens of all rows against caches, in one dispatch or two: against sums in double precision, with keys that rows
 * share, with hidden ones, grouped heads, all types of caches and heads that are filled up; what is in the caches
 * behind, before and beside the new tokens stays as it was. */
#include "check_op.h"

#include "op/attention.h"

struct one {
    int64_t B, T, heads, kv, head, words, own, room, shared; /* shared: rows of the caches with the first `words` */
    bool each, hidden;
};

static tain_device *d;

static float *numbers(tain_tensor *t)
{
    float *out = malloc((size_t)tensor_count(t) * sizeof(*out) + 4);

    CHECK(t);
    CHECK_INT(tain_tensor_read(t, out, tensor_count(t)), 0);
    return out;
}

/* A cache of random numbers, zeros where heads are filled up. */
static tain_tensor *filled(const struct one *c, tain_type type, int64_t rows, int64_t room)
{
    int64_t shape[4] = { rows, room, c->kv, attention_room(c->head, type) }, n = rows * room * shape[2] * shape[3];
    tain_tensor *t = tain_tensor_create(d, type, 4, shape);
    float *x = malloc((size_t)n * sizeof(*x) + 4);

    for (int64_t i = 0; i < n; i++)
        x[i] = i % shape[3] < c->head ? check_uniform(-2, 2) : 0;
    CHECK(t);
    CHECK_INT(tain_tensor_write(t, x, n), 0);
    free(x);
    return t;
}

/* Row r, token t, head h of a cache. */
static const float *entry(const struct one *c, const float *cache, tain_type type, int64_t room, int64_t r, int64_t t, int64_t h)
{
    return cache + ((r * room + t) * c->kv + h) * attention_room(c->head, type);
}

static void check_cached(const struct one *c, tain_type type)
{
    int64_t all = c->heads + 2 * c->kv, wide = all * c->head, n = c->B * c->T * wide, words = c->shared ? c->words : 0;
    int64_t span = words + c->room, D = c->head;
    double rounding = type == TAIN_F32 ? 3e-6 : type == TAIN_F16 ? 2e-3 : 1.6e-2, *score = malloc((size_t)span * sizeof(*score));
    float *x = malloc((size_t)n * sizeof(*x)), *was[2], *is[2], *shared[2] = { NULL, NULL }, *y;
    int32_t *places = malloc((size_t)(c->B * c->T) * 4), *hide = malloc((size_t)(c->B * span) * 4), *which = malloc((size_t)c->B * 4);
    struct attention_cache cache = { .used = words + c->own };
    tain_tensor *qkv = tain_tensor_create(d, TAIN_F32, 3, (int64_t[]){ c->B, c->T, wide }), *at, *rule = NULL, *out;

    for (int64_t i = 0; i < n; i++)
        x[i] = check_uniform(-2, 2);
    for (int64_t i = 0; i < c->B * c->T; i++)
        places[i] = (int32_t)(cache.used + (c->each ? 3 * (i / c->T) : 0) + i % c->T);
    for (int64_t i = 0; i < c->B * span; i++)
        hide[i] = i % span != words + c->own && check_random() % 3 == 0 ? -1 : 0;
    for (int64_t b = 0; b < c->B; b++)
        which[b] = c->shared ? (int32_t)(check_random() % (uint32_t)c->shared) : 0;
    CHECK_INT(tain_tensor_write(qkv, x, n), 0);
    at = c->each ? tensor_from(d, TAIN_I32, 2, (int64_t[]){ c->B, c->T }, places) : tensor_from(d, TAIN_I32, 1, &c->T, places);
    if (c->hidden)
        rule = tensor_from(d, TAIN_I32, 2, (int64_t[]){ c->B, span }, hide);
    cache.k = filled(c, type, c->B, c->room);
    cache.v = filled(c, type, c->B, c->room);
    if (c->shared) {
        cache.shared_k = filled(c, type, c->shared, words);
        cache.shared_v = filled(c, type, c->shared, words);
        cache.which = tensor_from(d, TAIN_I32, 1, &c->B, which);
        shared[0] = numbers(cache.shared_k);
        shared[1] = numbers(cache.shared_v);
    }
    was[0] = numbers(cache.k);
    was[1] = numbers(cache.v);
    CHECK((out = op_attention_cached(qkv, at, rule, &cache, c->heads, 10000)));
    CHECK(out->dims == 3 && out->shape[0] == c->B && out->shape[1] == c->T && out->shape[2] == c->heads * D);
    y = numbers(out);
    is[0] = numbers(cache.k);
    is[1] = numbers(cache.v);
    for (int64_t b = 0; b < c->B; b++)
        for (int64_t t = 0; t < c->room; t++) {
            for (int i = 0; i < 2; i++)
                if (t < c->own || t >= c->own + c->T)
                    CHECK(!memcmp(entry(c, is[i], type, c->room, b, t, 0), entry(c, was[i], type, c->room, b, t, 0),
                                  (size_t)(c->kv * attention_room(D, type)) * 4));
            if (t < c->own || t >= c->own + c->T)
                continue;
            const float *from = x + (b * c->T + t - c->own) * wide + c->heads * D;
            double place = places[c->each ? b * c->T + t - c->own : t - c->own];
            for (int64_t h = 0; h < c->kv; h++) {
                const float *k = entry(c, is[0], type, c->room, b, t, h), *v = entry(c, is[1], type, c->room, b, t, h);
                for (int64_t i = D; i < attention_room(D, type); i++)
                    CHECK(k[i] == 0 && v[i] == 0);
                for (int64_t i = 0; i < D; i++) {
                    double angle = place * pow(10000, -2.0 * (double)(i % (D / 2)) / (double)D), other = from[h * D + (i + D / 2) % D];
                    CHECK_CLOSE(k[i], from[h * D + i] * cos(angle) + (i < D / 2 ? -other : other) * sin(angle), rounding);
                    CHECK_CLOSE(v[i], from[(c->kv + h) * D + i], rounding);
                }
            }
        }
    for (int64_t r = 0; r < c->B * c->T * c->heads; r++) { /* with keys and values as they are in the caches */
        int64_t h = r % c->heads, t = r / c->heads % c->T, b = r / c->heads / c->T, keys = words + c->own + t + 1;
        const float *q = x + (b * c->T + t) * wide + h * D, *row;
        double most = -1e30, total = 0, place = places[c->each ? b * c->T + t : t];
        for (int64_t j = 0; j < keys; j++) {
            row = j < words ? entry(c, shared[0], type, words, which[b], j, h / (c->heads / c->kv))
                            : entry(c, is[0], type, c->room, b, j - words, h / (c->heads / c->kv));
            score[j] = 0;
            for (int64_t i = 0; i < D; i++) {
                double angle = place * pow(10000, -2.0 * (double)(i % (D / 2)) / (double)D), other = q[(i + D / 2) % D];
                score[j] += (q[i] * cos(angle) + (i < D / 2 ? -other : other) * sin(angle)) * row[i] / sqrt((double)D);
            }
            if (c->hidden && hide[b * span + j] < 0)
                score[j] = -1e30;
            most = score[j] > most ? score[j] : most;
        }
        for (int64_t j = 0; j < keys; j++)
            total += score[j] = score[j] > -1e29 ? exp(score[j] - most) : 0;
        for (int64_t i = 0; i < D; i++) {
            double sum = 0;
            for (int64_t j = 0; j < keys; j++) {
                row = j < words ? entry(c, shared[1], type, words, which[b], j, h / (c->heads / c->kv))
                                : entry(c, is[1], type, c->room, b, j - words, h / (c->heads / c->kv));
                sum += score[j] * row[i];
            }
            CHECK_CLOSE(y[r * D + i], sum / total, 2e-5);
        }
    }
    tain_tensor *const tensors[] = { qkv, at, rule, out, cache.k, cache.v, cache.shared_k, cache.shared_v, cache.which };
    void *const memory[] = { x, places, hide, which, score, y, was[0], was[1], is[0], is[1], shared[0], shared[1] };
    for (size_t i = 0; i < sizeof(tensors) / sizeof(*tensors); i++)
        tensor_unref(tensors[i]);
    for (size_t i = 0; i < sizeof(memory) / sizeof(*memory); i++)
        free(memory[i]);
}

static const struct one cases[] = {
    { 1, 1, 1, 1, 8, 0, 0, 1, 0, false, false },   /* the first token of all */
    { 70, 1, 4, 4, 32, 12, 31, 64, 2, true, true }, /* the embedded model's, more than one workgroup */
    { 70, 1, 4, 4, 32, 0, 31, 33, 0, true, true },
    { 3, 1, 8, 2, 64, 5, 0, 4, 3, true, false }, /* nothing but shared keys and the new one */
    { 3, 1, 6, 2, 128, 7, 9, 10, 1, false, true }, /* no room behind it */
    { 5, 1, 6, 3, 48, 1, 20, 40, 4, true, true },
    { 2, 1, 3, 3, 24, 40, 3, 5, 2, false, false },
    { 3, 1, 4, 2, 12, 6, 4, 8, 2, true, true }, /* filled up in 16 bits, and in two in any */
    { 3, 1, 2, 1, 6, 3, 5, 9, 2, true, false },
    { 2, 4, 4, 2, 32, 0, 3, 9, 0, true, false }, /* several tokens */
    { 2, 3, 2, 1, 12, 0, 0, 3, 0, false, false },
};

static void check_refusals(void)
{
    const struct one c = { 2, 1, 2, 1, 8, 3, 4, 4, 2, true, true };
    tain_tensor *x = tain_tensor_create(d, TAIN_F32, 3, (int64_t[]){ 2, 1, 4 * 8 }), *wrong;
    tain_tensor *two = tain_tensor_create(d, TAIN_F32, 3, (int64_t[]){ 2, 2, 4 * 8 });
    tain_tensor *at = tensor_from(d, TAIN_I32, 1, (int64_t[]){ 1 }, (int32_t[]){ 7 });
    tain_tensor *ats = tensor_from(d, TAIN_I32, 1, (int64_t[]){ 2 }, (int32_t[]){ 5, 6 });
    tain_tensor *minus = tensor_from(d, TAIN_I32, 1, (int64_t[]){ 1 }, (int32_t[]){ -1 });
    tain_tensor *which = tensor_from(d, TAIN_I32, 1, (int64_t[]){ 2 }, (int32_t[]){ 0, 1 });
    tain_tensor *hide = tensor_from(d, TAIN_I32, 2, (int64_t[]){ 2, 6 }, (int32_t[12]){ 0 });
    struct attention_cache cache = { filled(&c, TAIN_F32, 2, 4), filled(&c, TAIN_F32, 2, 4), filled(&c, TAIN_F32, 2, 3),
                                     filled(&c, TAIN_F32, 2, 3), which, 7 };

    CHECK(!op_attention_cached(x, at, NULL, &cache, 2, 10000));
    CHECK_STRING(tain_error(), "cache: 2 rows and 1 token more; it has 2 rows, and room for 0 tokens");
    cache.used = 6;
    CHECK(!op_attention_cached(x, at, hide, &cache, 2, 10000));
    CHECK_STRING(tain_error(), "attention: hidden keys are [2, 6]; 2 rows and 7 keys need [2, 7 or more]");
    CHECK(!op_attention_cached(x, minus, NULL, &cache, 2, 10000));
    CHECK_STRING(tain_error(), "rope: position -1 is negative");
    CHECK(!op_attention_cached(x, x, NULL, &cache, 2, 10000));
    CHECK(!op_attention_cached(x, ats, NULL, &cache, 3, 10000));
    cache.used = 5;
    CHECK(!op_attention_cached(two, ats, NULL, &cache, 2, 10000));
    CHECK_STRING(tain_error(), "attention: 2 tokens a row beside shared keys; there may be 1");
    cache.which = at;
    CHECK(!op_attention_cached(x, at, NULL, &cache, 2, 10000));
    cache.which = which;
    wrong = cache.shared_v;
    cache.shared_v = cache.v;
    CHECK(!op_attention_cached(x, at, NULL, &cache, 2, 10000));
    cache.shared_v = wrong;
    wrong = cache.v;
    cache.v = x;
    CHECK(!op_attention_cached(x, at, NULL, &cache, 2, 10000));
    cache.v = wrong;
    wrong = op_attention_cached(x, at, NULL, &cache, 2, 10000);
    CHECK(wrong);
    tain_tensor *const tensors[] = { x, two, at, ats, minus, which, hide, wrong, cache.k, cache.v, cache.shared_k, cache.shared_v };
    for (size_t i = 0; i < sizeof(tensors) / sizeof(*tensors); i++)
        tensor_unref(tensors[i]);
}

/* As GPUs do it, whose lanes share a head, on a device that reads texels otherwise. */
static void as_on_gpus(void)
{
    static const int some[] = { 1, 4, 6 };

    setenv("TAIN_READ", "buffer", 1);
    CHECK((d = device_open(NULL)));
    CHECK(!gpu_info(d->gpu)->texel);
    for (size_t i = 0; i < sizeof(some) / sizeof(*some); i++)
        for (int half = 0; half < 2; half++)
            check_cached(&cases[some[i]], half ? TAIN_F16 : TAIN_F32);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    unsetenv("TAIN_READ");
}

int main(void)
{
    static const tain_type types[] = { TAIN_F32, TAIN_F16, TAIN_BF16 };
    bool texel;

    CHECK((d = tain_device_open(NULL)));
    for (int k = 0; k < (gpu_info(d->gpu)->texel ? 1 : 2); k++) { /* the device's own form, and that of CPUs */
        d->portable = k ? d->portable | KERNEL_ATTENTION : d->portable;
        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
            for (int t = 0; t < 3; t++)
                check_cached(&cases[i], types[t]);
    }
    check_refusals();
    CHECK_INT(tain_device_memory(d, false), 0);
    texel = gpu_info(d->gpu)->texel;
    tain_device_free(d);
    if (texel)
        as_on_gpus();
    return 0;
}

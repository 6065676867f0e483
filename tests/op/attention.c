/* Attention: causal, full and by rule; grouped heads; packed; one query, and several, against a cache in each of
 * its types. */
#include "op/check_op.h"
#include "op/attention.h"

#include <math.h>

enum { FULL, CAUSAL, RULED, BOTH };

/* The rule of the tests: keys 0 and 1 are for all, the rest in segments of three; key 4 is hidden;
 * queries see up to two places ahead, or none in BOTH. */
static int segment(int64_t j)
{
    return j == 4 ? -1 : j < 2 ? 0 : (int)(j / 3 + 1);
}

static bool sees(int mode, int64_t i, int64_t j, int64_t past)
{
    if (mode == FULL)
        return true;
    if (mode == CAUSAL)
        return j <= i + past;
    return j <= i + past + (mode == RULED ? 2 : 0) && (segment(j) == 0 || (segment(j) > 0 && segment(j) == segment(i + past)));
}

static tain_tensor *make_rule(tain_device *d, int64_t B, int64_t S, int64_t T, int mode)
{
    int32_t *keys = malloc((size_t)(B * S) * 4), *reach = malloc((size_t)(B * T) * 4), *own = malloc((size_t)(B * T) * 4);
    tain_tensor *rule;

    for (int64_t b = 0; b < B; b++) {
        for (int64_t j = 0; j < S; j++)
            keys[b * S + j] = segment(j);
        for (int64_t i = 0; i < T; i++) {
            reach[b * T + i] = (int32_t)(i + S - T + (mode == RULED ? 2 : 0));
            own[b * T + i] = segment(i + S - T);
        }
    }
    rule = attention_rule(d, B, S, T, keys, reach, own);
    free(keys);
    free(reach);
    free(own);
    return rule;
}

static tain_tensor *run(tain_tensor *const *in, const double *with)
{
    int mode = (int)with[0];
    int64_t T = in[0]->shape[1], S = in[1]->shape[1];
    tain_tensor *y, *rule = mode >= RULED ? make_rule(in[0]->device, in[0]->shape[0], S, T, mode) : NULL;

    y = op_attention(in[0], in[1], in[2], rule, mode & 1, S - T, 0);
    tensor_unref(rule);
    return y;
}

static void attend(const double *q, const double *k, const double *v, double *y, int64_t T, int64_t S, int64_t D,
                   int64_t q_step, int64_t k_step, int64_t y_step, int mode, double *p)
{
    for (int64_t i = 0; i < T; i++) {
        double most = -1e300, total = 0;
        for (int64_t j = 0; j < S; j++) {
            p[j] = 0;
            for (int64_t c = 0; c < D; c++)
                p[j] += q[i * q_step + c] * k[j * k_step + c];
            p[j] /= sqrt((double)D);
            if (sees(mode, i, j, S - T) && p[j] > most)
                most = p[j];
        }
        for (int64_t j = 0; j < S; j++)
            total += p[j] = sees(mode, i, j, S - T) ? exp(p[j] - most) : 0;
        for (int64_t j = 0; j < S; j++)
            for (int64_t c = 0; c < D; c++)
                y[i * y_step + c] += total > 0 ? p[j] / total * v[j * k_step + c] : 0;
    }
}

static void reference(const struct check_value *in, struct check_value *out, const double *with)
{
    const struct check_value *q = &in[0], *k = &in[1], *v = &in[2];
    int64_t B = q->shape[0], T = q->shape[1], H = q->shape[2], D = q->shape[3], S = k->shape[1], KV = k->shape[2];
    double *p = malloc((size_t)(S + 1) * sizeof(double));

    check_shape(out, 4, q->shape);
    for (int64_t b = 0; b < B; b++)
        for (int64_t h = 0; h < H; h++) {
            int64_t qo = b * T * H * D + h * D, ko = b * S * KV * D + h / (H / KV) * D;
            attend(q->at + qo, k->at + ko, v->at + ko, out->at + qo, T, S, D, H * D, KV * D, H * D, (int)with[0], p);
        }
    free(p);
}

/* with: mode, heads, key heads */
static tain_tensor *packed_run(tain_tensor *const *in, const double *with)
{
    int64_t B = in[0]->shape[0], T = in[0]->shape[1];
    tain_tensor *rule = with[0] >= RULED ? make_rule(in[0]->device, B, T, T, (int)with[0]) : NULL;
    tain_tensor *y = op_attention_packed(in[0], (int)with[1], (int)with[2], rule, (int)with[0] & 1);

    tensor_unref(rule);
    return y;
}

static void packed_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    int64_t B = in->shape[0], T = in->shape[1], H = (int64_t)with[1], KV = (int64_t)with[2], W = in->shape[2], D = W / (H + 2 * KV);
    double *p = malloc((size_t)(T + 1) * sizeof(double));

    check_shape(out, 3, (int64_t[]){ B, T, H * D });
    for (int64_t b = 0; b < B; b++)
        for (int64_t h = 0; h < H; h++) {
            const double *x = in->at + b * T * W;
            attend(x + h * D, x + (H + h / (H / KV)) * D, x + (H + KV + h / (H / KV)) * D, out->at + b * T * H * D + h * D, T, T,
                   D, W, W, H * D, (int)with[0], p);
        }
    free(p);
}

/* A cache with room for ROOM tokens and holding USED, of which some rows hide the first: what lies behind is no
 * number, and nothing may be seen of it or of what is hidden. */
static void against_cache(tain_device *d, tain_type type, int64_t D)
{
    enum { B = 3, ROOM = 11, USED = 7, H = 4, KV = 2 };
    int64_t row = KV * D, hidden[B] = { 0, 2, 5 };
    float *values = malloc((size_t)(B * ROOM * row) * 4), *q = malloc((size_t)(B * H * D) * 4), *got = malloc((size_t)(B * H * D) * 4);
    double *keys = malloc((size_t)(B * ROOM * row) * 8), *ask = malloc((size_t)(B * H * D) * 8), p[USED];
    int32_t segments[B * ROOM];
    tain_tensor *floats, *cache, *filled, *one, *hide, *y;

    for (int64_t i = 0; i < B * ROOM * row; i++)
        values[i] = i / row % ROOM < USED ? check_uniform(-2, 2) : NAN;
    for (int64_t i = 0; i < B * H * D; i++)
        ask[i] = q[i] = check_uniform(-2, 2);
    for (int i = 0; i < B * ROOM; i++)
        segments[i] = i % ROOM < hidden[i / ROOM] ? -1 : 0;
    CHECK((floats = tensor_from(d, TAIN_F32, 4, (int64_t[]){ B, ROOM, KV, D }, values)));
    CHECK((cache = tain_cast(floats, type)));
    CHECK_INT(tain_tensor_read(cache, values, B * ROOM * row), 0);
    for (int64_t i = 0; i < B * ROOM * row; i++)
        keys[i] = values[i];
    CHECK((filled = view_part(cache, 1, 0, USED)));
    CHECK((one = tensor_from(d, TAIN_F32, 4, (int64_t[]){ B, 1, H, D }, q)));
    CHECK((hide = tensor_from(d, TAIN_I32, 2, (int64_t[]){ B, ROOM }, segments)));
    CHECK((y = op_attention(one, filled, filled, hide, true, USED - 1, 0)));
    CHECK_INT(tain_tensor_read(y, got, B * H * D), 0);
    for (int64_t b = 0; b < B; b++)
        for (int64_t h = 0; h < H; h++) {
            const double *own = keys + (b * ROOM + hidden[b]) * row + h / (H / KV) * D;
            double *want = calloc((size_t)D, sizeof(*want));
            attend(ask + (b * H + h) * D, own, own, want, 1, USED - hidden[b], D, 0, row, 0, FULL, p);
            for (int64_t c = 0; c < D; c++)
                CHECK_CLOSE(got[(b * H + h) * D + c], want[c], 1e-5);
            free(want);
        }
    tain_tensor *const all[] = { floats, cache, filled, one, hide, y };
    for (size_t i = 0; i < COUNT_OF(all); i++)
        tensor_unref(all[i]);
    free(values);
    free(q);
    free(got);
    free(keys);
    free(ask);
}

/* A view of x [1, T, H, D] in a tensor that has one head more. */
static tain_tensor *beside(tain_tensor *x)
{
    tain_tensor *more = tain_slice(x, 2, 0, 1), *wide = tain_concat((tain_tensor *[]){ x, more }, 2, 2);
    tain_tensor *y = tain_slice(wide, 2, 0, x->shape[2]);

    tensor_unref(more);
    tensor_unref(wide);
    return y;
}

/* Tokens that lie so evenly that they are laid apart give what the same tokens do that lie otherwise. */
static void laid_apart(tain_device *d)
{
    enum { T = 133, H = 2, D = 128, N = T * H * D };
    float *values = malloc(N * 4), *got[2][4];

    for (int even = 0; even < 2; even++) {
        tain_tensor *all[3], *in[3], *y, *square, *loss;
        for (int i = 0; i < 3; i++) {
            for (int k = 0; k < N; k++)
                values[k] = sinf((float)(k % 9973 + 31 * i));
            CHECK((all[i] = tensor_from(d, TAIN_F32, 4, (int64_t[]){ 1, T, H, D }, values)));
            CHECK_INT(tain_tensor_want_grad(all[i], true), 0);
        }
        CHECK_INT(tain_tape_begin(d), 0);
        for (int i = 0; i < 3; i++) /* with a third head beside them, which nobody looks at */
            CHECK((in[i] = even ? tensor_ref(all[i]) : beside(all[i])));
        CHECK((y = tain_attention(in[0], in[1], in[2], true)) && (square = tain_mul(y, y)) && (loss = tain_sum(square)));
        CHECK_INT(tain_backward(loss), 0);
        for (int i = 0; i < 4; i++) {
            tain_tensor *x = i < 3 ? tain_tensor_grad(all[i]) : tensor_ref(y);
            CHECK(x && (got[even][i] = malloc(N * 4)));
            CHECK_INT(tain_tensor_read(x, got[even][i], N), 0);
            tensor_unref(x);
        }
        tain_tape_end(d);
        for (int i = 0; i < 3; i++) {
            tensor_unref(in[i]);
            tensor_unref(all[i]);
        }
        tensor_unref(y);
        tensor_unref(square);
        tensor_unref(loss);
    }
    for (int i = 0; i < 4; i++) {
        CHECK(!memcmp(got[0][i], got[1][i], N * 4));
        free(got[0][i]);
        free(got[1][i]);
    }
    free(values);
}

/* A gradient that is added to what is there is there twice, for heads whose last columns are made together with others. */
static void added(tain_device *d, int64_t T, int64_t size)
{
    enum { B = 2, H = 4, KV = 2 };
    int64_t count[3] = { B * T * H * size, B * T * KV * size, B * T * KV * size };
    tain_tensor *in[3];
    float *values = malloc((size_t)count[0] * 4), *grad[2][3];

    for (int i = 0; i < 3; i++) {
        for (int64_t k = 0; k < count[i]; k++)
            values[k] = check_uniform(-1, 1);
        CHECK((in[i] = tensor_from(d, TAIN_F32, 4, (int64_t[]){ B, T, i ? KV : H, size }, values)));
        CHECK_INT(tain_tensor_want_grad(in[i], true), 0);
    }
    for (int pass = 0; pass < 2; pass++) {
        tain_tensor *y, *square, *loss;
        CHECK_INT(tain_tape_begin(d), 0);
        CHECK((y = tain_attention(in[0], in[1], in[2], true)) && (square = tain_mul(y, y)) && (loss = tain_sum(square)));
        CHECK_INT(tain_backward(loss), 0);
        for (int i = 0; i < 3; i++) {
            tain_tensor *g = tain_tensor_grad(in[i]);
            CHECK(g && (grad[pass][i] = malloc((size_t)count[i] * 4)));
            CHECK_INT(tain_tensor_read(g, grad[pass][i], count[i]), 0);
            tensor_unref(g);
        }
        tain_tape_end(d);
        tensor_unref(y);
        tensor_unref(square);
        tensor_unref(loss);
    }
    for (int i = 0; i < 3; i++) {
        for (int64_t k = 0; k < count[i]; k++)
            CHECK_CLOSE(grad[1][i][k], 2 * grad[0][i][k], 1e-5 * (1 + fabsf(grad[0][i][k]))); /* shared keys add up apart */
        free(grad[0][i]);
        free(grad[1][i]);
        tensor_unref(in[i]);
    }
    free(values);
}

#define QKV(b, t, h, s, kv, d) { { 4, { b, t, h, d } }, { 4, { b, s, kv, d } }, { 4, { b, s, kv, d } } }
#define KEPT(type_, b, t, h, s, kv, d) \
    { { 4, { b, t, h, d }, .fixed = true }, { 4, { b, s, kv, d }, .type = type_, .fixed = true }, \
      { 4, { b, s, kv, d }, .type = type_, .fixed = true } }

/* By tiles where memory has room for a few heads at once, or for some keys of one: on a device of which so little can be seen. */
static void in_parts(void)
{
    static const struct check_case cases[] = {
        { .in = QKV(8, 30, 1, 33, 1, 32), .with = { BOTH } },
        { .in = QKV(1, 70, 3, 73, 3, 16), .with = { CAUSAL } },
        { .in = QKV(1, 70, 2, 75, 1, 16), .with = { CAUSAL } },
        { .in = QKV(1, 64, 2, 96, 1, 32), .with = { CAUSAL } },
        { .in = QKV(1, 90, 1, 93, 1, 40), .with = { RULED } },
        { .in = QKV(1, 100, 1, 100, 1, 36), .with = { FULL } },
    };
    tain_device *d;

    setenv("TAIN_LIMITS", "texels:64K", 1);
    CHECK((d = device_open(NULL)));
    if (gpu_info(d->gpu)->texel) {
        d->tiles = TILES_ALL;
        CHECK_CASES(d, (&(struct check_op){ "attention, in parts", 3, run, reference, 1e-5, 2e-4 }), cases);
        added(d, 100, 32);
    }
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    unsetenv("TAIN_LIMITS");
}

/* What 16-bit keys and values cannot be. */
static void refused(tain_device *d)
{
    tain_tensor *q = tensor_new(d, TAIN_F32, 4, (int64_t[]){ 1, 1, 1, 20 }), *k = tensor_new(d, TAIN_BF16, 4, q->shape);
    tain_tensor *f = tensor_new(d, TAIN_F16, 4, q->shape);

    CHECK(!op_attention(q, k, k, NULL, true, 0, 0) && strstr(tain_error(), "a head of 20 numbers; it must be a multiple of 8"));
    CHECK(!op_attention(q, k, f, NULL, true, 0, 0) && strstr(tain_error(), "k is stored as bf16, v as f16"));
    tensor_unref(q);
    tensor_unref(k);
    tensor_unref(f);
}

int main(void)
{
    static const struct check_case cases[] = {
        { .in = QKV(1, 1, 1, 1, 1, 8), .with = { CAUSAL } },
        { .in = QKV(2, 19, 4, 19, 2, 8), .with = { CAUSAL } },
        { .in = QKV(2, 7, 2, 7, 2, 8), .with = { FULL } },
        { .in = QKV(1, 5, 2, 21, 1, 8), .with = { CAUSAL } },
        { .in = QKV(2, 11, 2, 11, 2, 8), .with = { RULED } },
        { .in = QKV(2, 33, 1, 40, 1, 8), .with = { BOTH } },
        { .in = QKV(3, 1, 4, 9, 2, 8), .with = { FULL } },
        { .in = QKV(1, 3, 1, 5, 1, 64), .with = { CAUSAL } },
        { .in = QKV(1, 3, 1, 5, 1, 20), .with = { CAUSAL } },
        /* so many that a lane owns several */
        { .in = QKV(1, 64, 1, 64, 1, 4), .with = { CAUSAL } },
        { .in = QKV(1, 58, 2, 61, 1, 4), .with = { BOTH } },
        { .in = QKV(1, 45, 2, 50, 1, 4), .with = { RULED } },
    };
    static const struct check_case packed[] = {
        { .in = { { 3, { 2, 9, 48 } } }, .with = { CAUSAL, 2, 2 } },
        { .in = { { 3, { 2, 18, 64 } } }, .with = { BOTH, 4, 2 } },
        { .in = { { 3, { 2, 13, 48 } } }, .with = { RULED, 2, 2 } },
        { .in = { { 3, { 1, 20, 24 } } }, .with = { FULL, 1, 1 } },
        { .in = { { 3, { 2, 7, 40 } } }, .with = { CAUSAL, 2, 1 } }, /* heads of 10, 3 and 1 */
        { .in = { { 3, { 1, 9, 12 } } }, .with = { BOTH, 2, 1 } },
        { .in = { { 3, { 2, 3, 3 } } }, .with = { FULL, 1, 1 } },
    };
    static const struct check_case kept[] = { /* one query, then several: one form each, but for the rule */
        { .in = KEPT(TAIN_BF16, 1, 1, 1, 1, 1, 8), .with = { CAUSAL } },
        { .in = KEPT(TAIN_BF16, 3, 1, 4, 9, 2, 24), .with = { FULL } },
        { .in = KEPT(TAIN_F16, 5, 1, 7, 33, 1, 40), .with = { CAUSAL } },
        { .in = KEPT(TAIN_BF16, 2, 1, 2, 130, 2, 128), .with = { CAUSAL } },
        { .in = KEPT(TAIN_BF16, 2, 19, 4, 19, 2, 8), .with = { CAUSAL } },
        { .in = KEPT(TAIN_F16, 1, 5, 2, 21, 1, 24), .with = { CAUSAL } },
        { .in = KEPT(TAIN_BF16, 2, 11, 2, 11, 2, 40), .with = { RULED } },
        { .in = KEPT(TAIN_BF16, 2, 33, 1, 40, 1, 64), .with = { BOTH } },
        { .in = KEPT(TAIN_BF16, 2, 129, 4, 133, 4, 128), .with = { CAUSAL } },
    };
    /* By tiles, on CPUs: less than one; heads whose last columns overlap with others; shared keys; several workgroups. */
    static const struct check_case tiles[] = {
        { .in = QKV(1, 2, 1, 2, 1, 16), .with = { CAUSAL } },
        { .in = QKV(2, 19, 4, 19, 2, 16), .with = { CAUSAL } },
        { .in = QKV(2, 7, 2, 7, 2, 32), .with = { FULL } },
        { .in = QKV(1, 5, 2, 21, 1, 20), .with = { CAUSAL } },
        { .in = QKV(2, 11, 2, 11, 2, 40), .with = { RULED } },
        { .in = QKV(2, 33, 1, 40, 1, 24), .with = { BOTH } },
        { .in = QKV(1, 70, 2, 73, 2, 16), .with = { CAUSAL } },
    };
    static const struct check_case packed_tiles[] = {
        { .in = { { 3, { 2, 18, 160 } } }, .with = { BOTH, 4, 2 } },
        { .in = { { 3, { 2, 13, 108 } } }, .with = { RULED, 2, 2 } },
    };
    static const tain_type types[] = { TAIN_F32, TAIN_F16, TAIN_BF16 };
    tain_device *d = tain_device_open(NULL);
    enum tiles own;

    CHECK(d);
    own = d->tiles;
    if (gpu_info(d->gpu)->texel) { /* without our passes it is only slow */
        d->tiles = TILES_ALL;
        CHECK_CASES(d, (&(struct check_op){ "attention, tiles", 3, run, reference, 1e-5, 2e-4 }), tiles);
        CHECK_CASES(d, (&(struct check_op){ "attention, tiles", 1, packed_run, packed_reference, 1e-5, 2e-4 }), packed_tiles);
        added(d, 27, 20);
        added(d, 27, 32);
        laid_apart(d);
    }
    d->tiles = own;
    added(d, 27, 20);
    CHECK_CASES(d, (&(struct check_op){ "attention", 3, run, reference, 1e-5, 2e-4 }), cases);
    CHECK_CASES(d, (&(struct check_op){ "attention", 1, packed_run, packed_reference, 1e-5, 2e-4 }), packed);
    CHECK_CASES(d, (&(struct check_op){ "attention, cached", 3, run, reference, 1e-5, .no_grad = true }), kept);
    for (int i = 0; i < 3; i++) {
        against_cache(d, types[i], 16);
        against_cache(d, types[i], 40);
    }
    refused(d);
    laid_apart(d);

    /* One query against a cache that is longer than what is filled: views. */
    float values[2 * 10 * 2 * 8], got[2][2 * 2 * 8], q[2 * 2 * 8];
    for (int i = 0; i < 320; i++)
        values[i] = check_uniform(-1, 1);
    for (int i = 0; i < 32; i++)
        q[i] = check_uniform(-1, 1);
    tain_tensor *cache = tensor_from(d, TAIN_F32, 4, (int64_t[]){ 2, 10, 2, 8 }, values);
    tain_tensor *one = tensor_from(d, TAIN_F32, 4, (int64_t[]){ 2, 1, 2, 8 }, q);
    tain_tensor *filled = view_part(cache, 1, 0, 6), *dense = op_contiguous(filled);
    tain_tensor *a = op_attention(one, filled, filled, NULL, true, 5, 0), *pair = tensor_new(d, TAIN_F32, 4, (int64_t[]){ 2, 2, 2, 8 });
    float twice[64];
    for (int i = 0; i < 64; i++)
        twice[i] = q[i / 32 * 16 + i % 16];
    CHECK_INT(tain_tensor_write(pair, twice, 64), 0);
    tain_tensor *b = op_attention(pair, dense, dense, NULL, false, 0, 0);
    CHECK(a && b);
    float both[64];
    CHECK_INT(tain_tensor_read(a, got[0], 32), 0);
    CHECK_INT(tain_tensor_read(b, both, 64), 0);
    for (int r = 0; r < 2; r++)
        for (int i = 0; i < 16; i++)
            CHECK_CLOSE(got[0][r * 16 + i], both[r * 32 + i], 1e-6);
    tensor_unref(cache);
    tensor_unref(one);
    tensor_unref(filled);
    tensor_unref(dense);
    tensor_unref(a);
    tensor_unref(b);
    tensor_unref(pair);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    in_parts();
    return 0;
}

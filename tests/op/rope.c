/* Rotary positions: whole and partial widths, positions shared by the batch or not, the packed form,
 * angles so large that a device's own sine would be wrong, and the form that fills caches.
 */
#include "check_op.h"

#include "op/attention.h"

/* [B, T, heads, head]: with[0] width, with[1] theta, with[2] rotated heads (0: all). */
static void turn(const struct check_value *in, struct check_value *out, const double *with, int64_t heads)
{
    int64_t batch = in[0].shape[0], tokens = in[0].shape[1], width = (int64_t)with[0];
    int64_t head = batch * tokens > 0 ? in[0].count / (batch * tokens * heads) : 0;
    int64_t rotated = with[2] > 0 ? (int64_t)with[2] : heads;

    check_like(out, &in[0]);
    memcpy(out->at, in[0].at, (size_t)in[0].count * sizeof(double));
    for (int64_t i = 0; i < batch * tokens * heads && head; i++) {
        int64_t t = i / heads;
        double position = in[1].at[in[1].dims == 2 ? t : t % tokens];
        for (int64_t j = 0; j < width / 2 && i % heads < rotated; j++) {
            double angle = position * pow(with[1], -2.0 * (double)j / (double)width);
            double a = in[0].at[i * head + j], b = in[0].at[i * head + j + width / 2];
            out->at[i * head + j] = a * cos(angle) - b * sin(angle);
            out->at[i * head + j + width / 2] = b * cos(angle) + a * sin(angle);
        }
    }
}

static void reference(const struct check_value *in, struct check_value *out, const double *with)
{
    turn(in, out, with, in[0].shape[2]);
}

static void reference_qkv(const struct check_value *in, struct check_value *out, const double *with)
{
    turn(in, out, with, (int64_t)(with[2] + with[3]));
}

static tain_tensor *rope(tain_tensor *const *in, const double *with)
{
    return tain_rope(in[0], in[1], (int32_t)with[0], (float)with[1]);
}

/* with[2]: heads + kv_heads, with[3]: kv_heads */
static tain_tensor *rope_qkv(tain_tensor *const *in, const double *with)
{
    return tain_rope_qkv(in[0], in[1], (int32_t)(with[2] - with[3]), (int32_t)with[3], (int32_t)with[0], (float)with[1]);
}

#define AT(most, ...) { __VA_ARGS__, .low = 0, .high = most, .type = TAIN_I32, .fixed = true }

static const struct check_case cases[] = {
    { { { 4, { 2, 5, 3, 16 } }, AT(9, 1, { 5 }) }, { 16, 10000 } },
    { { { 4, { 2, 5, 3, 32 } }, AT(900, 2, { 2, 5 }) }, { 16, 10000 } },
    { { { 4, { 1, 3, 2, 6 } }, AT(4000, 1, { 3 }) }, { 4, 10000 } },
    { { { 4, { 3, 1, 1, 10 } }, AT(30000, 2, { 3, 1 }) }, { 10, 1000000 } },
    { { { 4, { 2, 40, 4, 64 } }, AT(40, 1, { 40 }) }, { 32, 10000 } },
    { { { 4, { 2, 0, 4, 8 } }, AT(40, 1, { 0 }) }, { 8, 10000 } },
};

static const struct check_case packed[] = {
    { { { 3, { 2, 5, 9 * 16 } }, AT(9, 1, { 5 }) }, { 16, 10000, 6, 3 } },
    { { { 3, { 2, 4, 8 * 16 } }, AT(900, 2, { 2, 4 }) }, { 8, 10000, 6, 2 } },
    { { { 3, { 1, 3, 3 * 6 } }, AT(50, 1, { 3 }) }, { 6, 10000, 2, 1 } },
};

/* The queries of a packed tensor, as [B, T, H, D] with gaps, turned without a copy. */
static void check_slice(tain_device *d)
{
    enum { T = 3, H = 2, D = 8 };
    float all[T * 3 * H * D], whole[T * 3 * H * D], part[T * H * D];
    tain_tensor *x = tain_tensor_create(d, TAIN_F32, 3, (int64_t[]){ 1, T, 3 * H * D });
    tain_tensor *at = tensor_from(d, TAIN_I32, 1, (int64_t[]){ T }, (int32_t[]){ 3, 1, 7 });

    for (int i = 0; i < T * 3 * H * D; i++)
        all[i] = check_uniform(-1, 1);
    CHECK_INT(tain_tensor_write(x, all, T * 3 * H * D), 0);
    tain_tensor *heads = tain_reshape(x, 4, (int64_t[]){ 1, T, 3 * H, D }), *q = tain_slice(heads, 2, 0, H);
    tain_tensor *a = tain_rope(q, at, D, 10000), *b = tain_rope_qkv(x, at, H, H, D, 10000);
    CHECK(a && b);
    CHECK_INT(tain_tensor_read(a, part, T * H * D), 0);
    CHECK_INT(tain_tensor_read(b, whole, T * 3 * H * D), 0);
    for (int t = 0; t < T; t++) {
        CHECK(!memcmp(part + t * H * D, whole + t * 3 * H * D, sizeof(float) * H * D));
        CHECK(!memcmp(all + t * 3 * H * D + 2 * H * D, whole + t * 3 * H * D + 2 * H * D, sizeof(float) * H * D));
    }
    tain_tensor_free(a);
    tain_tensor_free(b);
    tain_tensor_free(q);
    tain_tensor_free(heads);
    tain_tensor_free(x);
    tain_tensor_free(at);
}

/* In place against the other, there and back; a gradient that something else has as well is not written over. */
static void check_over(tain_device *d, int64_t B, int64_t T, int64_t heads, int64_t kv, int64_t D, bool each, bool apart)
{
    int64_t all = heads + 2 * kv, n = B * T * all * D, shape[3] = { B, T, all * D };
    float *numbers[2] = { malloc((size_t)n * 4), malloc((size_t)n * 4) }, *got[2][3];
    int32_t *places = malloc((size_t)(B * T) * 4);
    tain_tensor *x, *r, *more, *at;

    for (int64_t i = 0; i < n; i++)
        numbers[0][i] = check_uniform(-1, 1), numbers[1][i] = check_uniform(-1, 1);
    for (int64_t i = 0; i < B * T; i++)
        places[i] = (int32_t)(check_random() % 300);
    at = each ? tensor_from(d, TAIN_I32, 2, shape, places) : tensor_from(d, TAIN_I32, 1, &T, places);
    CHECK((x = tensor_from(d, TAIN_F32, 3, shape, numbers[0])) && (r = tensor_from(d, TAIN_F32, 3, shape, numbers[1])));
    for (int over = 0; over < 2; over++) {
        tain_tensor *two, *y, *sum, *product, *loss;
        CHECK((more = tensor_from(d, TAIN_F32, 3, shape, numbers[1])));
        CHECK_INT(tain_tensor_want_grad(x, true), 0);
        CHECK_INT(tain_tensor_want_grad(more, true), 0);
        CHECK_INT(tain_tape_begin(d), 0);
        CHECK((two = tain_scale(x, 2)));
        CHECK((y = over ? op_rope_over(tensor_ref(two), at, heads, kv, 10000)
                        : tain_rope_qkv(two, at, (int32_t)heads, (int32_t)kv, (int32_t)D, 10000)));
        CHECK((sum = apart ? tensor_ref(y) : tain_add(y, more)) && (product = tain_mul(sum, r)) && (loss = tain_sum(product)));
        CHECK_INT(tain_backward(loss), 0);
        tain_tensor *const of[3] = { tensor_ref(y), tain_tensor_grad(x), apart ? tensor_ref(more) : tain_tensor_grad(more) };
        for (int i = 0; i < 3; i++) {
            CHECK(of[i] && (got[over][i] = malloc((size_t)n * 4)));
            CHECK_INT(tain_tensor_read(of[i], got[over][i], n), 0);
            tensor_unref(of[i]);
        }
        tain_tape_end(d);
        CHECK_INT(tain_tensor_want_grad(x, false), 0);
        for (size_t i = 0; i < 6; i++)
            tensor_unref((tain_tensor *[]){ two, y, sum, product, loss, more }[i]);
    }
    for (int i = 0; i < 3; i++) {
        for (int64_t k = 0; k < n; k++)
            CHECK_CLOSE(got[0][i][k], got[1][i][k], 1e-6);
        free(got[0][i]);
        free(got[1][i]);
    }
    for (size_t i = 0; i < 3; i++)
        tensor_unref((tain_tensor *[]){ x, r, at }[i]);
    free(numbers[0]);
    free(numbers[1]);
    free(places);
}

/* ---- Into caches ---- */

struct cached {
    int64_t B, T, heads, kv, head, used;
    bool each; /* rows have positions of their own */
};

static float *numbers(tain_tensor *t)
{
    int64_t n = tensor_count(t);
    float *all = malloc((size_t)n * sizeof(float));

    CHECK_INT(tain_tensor_read(t, all, n), 0);
    return all;
}

/* What lies at [b, t, h, i] is what the packed form has there, rounded to `type`, and zero behind a head. A compiler may round
 * a product before it is added in one kernel and not in the other, and what is then rounded to 16 bits may be the next. */
static void check_heads(const float *got, int64_t rows, int64_t first, int64_t room, const struct cached *c, int64_t heads,
                        const float *want, int64_t from, tain_type type)
{
    int64_t size = attention_room(c->head, type), all = c->heads + 2 * c->kv;
    double apart = type == TAIN_F32 ? 1e-6 : type == TAIN_F16 ? 0x1p-9 : 0x1p-6; /* the numbers are below 4 */

    for (int64_t b = 0; b < c->B; b++)
        for (int64_t t = 0; t < rows; t++)
            for (int64_t k = 0; k < heads * size; k++) {
                int64_t h = k / size, i = k % size, at = t - first;
                float there = got[((b * room + t) * heads + h) * size + i];
                if (at < 0 || at >= c->T)
                    CHECK(there == 3); /* as it was */
                else
                    CHECK_CLOSE(there, i < c->head ? want[((b * c->T + at) * all + from + h) * c->head + i] : 0,
                                i < c->head ? apart : 0);
            }
}

static void check_cached(tain_device *d, const struct cached *c, tain_type type)
{
    enum { MORE = 2 };
    int64_t wide = (c->heads + 2 * c->kv) * c->head, n = c->B * c->T * wide, room = c->used + c->T + MORE;
    int64_t shape[4] = { c->B, room, c->kv, attention_room(c->head, type) }, size = c->B * room * c->kv * shape[3];
    float *x = malloc((size_t)n * sizeof(float)), *threes = malloc((size_t)size * sizeof(float)), *parts[5];
    int32_t *places = malloc((size_t)(c->B * c->T) * sizeof(int32_t));
    tain_tensor *qkv = tain_tensor_create(d, TAIN_F32, 3, (int64_t[]){ c->B, c->T, wide }), *at;
    tain_tensor *k = tain_tensor_create(d, type, 4, shape), *v = tain_tensor_create(d, type, 4, shape), *q, *plain, *rounded;

    for (int64_t i = 0; i < n; i++)
        x[i] = check_uniform(-2, 2);
    for (int64_t i = 0; i < size; i++)
        threes[i] = 3;
    for (int64_t i = 0; i < c->B * c->T; i++)
        places[i] = (int32_t)(c->used + 5 * i);
    at = c->each ? tensor_from(d, TAIN_I32, 2, (int64_t[]){ c->B, c->T }, places) : tensor_from(d, TAIN_I32, 1, &c->T, places);
    CHECK_INT(tain_tensor_write(qkv, x, n), 0);
    CHECK_INT(tain_tensor_write(k, threes, size), 0);
    CHECK_INT(tain_tensor_write(v, threes, size), 0);
    CHECK((q = op_rope_cached(qkv, at, k, v, c->heads, c->kv, c->used, 10000)));
    CHECK((plain = tain_rope_qkv(qkv, at, (int32_t)c->heads, (int32_t)c->kv, (int32_t)c->head, 10000)));
    CHECK((rounded = tain_cast(plain, type)));
    tain_tensor *const of[5] = { q, k, v, plain, rounded };
    for (int i = 0; i < 5; i++)
        parts[i] = numbers(of[i]);
    CHECK_INT(q->shape[3], shape[3]);
    check_heads(parts[0], c->T, 0, c->T, c, c->heads, parts[3], 0, type);
    check_heads(parts[1], room, c->used, room, c, c->kv, parts[4], c->heads, type);
    check_heads(parts[2], room, c->used, room, c, c->kv, parts[4], c->heads + c->kv, type);
    for (int i = 0; i < 5; i++) {
        free(parts[i]);
        tain_tensor_free(of[i]);
    }
    tain_tensor_free(qkv);
    tain_tensor_free(at);
    free(x);
    free(threes);
    free(places);
}

static void check_caches(tain_device *d)
{
    static const struct cached cases[] = {
        { 70, 1, 4, 4, 32, 3, true }, /* more than one workgroup */
        { 3, 1, 6, 2, 16, 0, false },
        { 2, 5, 4, 2, 64, 1, true },
        { 2, 5, 3, 3, 8, 2, false },
        { 2, 3, 4, 2, 12, 4, true }, /* filled up in 16 bits */
        { 3, 1, 2, 1, 6, 1, true },  /* and in f32 */
        { 2, 0, 2, 1, 8, 1, true },
    };
    tain_tensor *x = tain_tensor_create(d, TAIN_F32, 3, (int64_t[]){ 2, 3, 4 * 8 }), *k, *v;
    tain_tensor *at = tensor_from(d, TAIN_I32, 1, (int64_t[]){ 3 }, (int32_t[]){ 0, 1, 2 });

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        for (tain_type type = TAIN_F32; type <= TAIN_BF16; type++)
            if (type != TAIN_I32)
                check_cached(d, &cases[i], type);
    k = tain_tensor_create(d, TAIN_F32, 4, (int64_t[]){ 2, 4, 1, 8 });
    v = tain_tensor_create(d, TAIN_F32, 4, (int64_t[]){ 2, 4, 1, 8 });
    CHECK(!op_rope_cached(x, at, k, v, 2, 1, 2, 10000));
    CHECK_STRING(tain_error(), "cache: 2 rows and 3 tokens more; it has 2 rows, and room for 2 tokens");
    CHECK(!op_rope_cached(x, at, k, v, 1, 1, 0, 10000));
    CHECK(!op_rope_cached(x, at, k, x, 2, 1, 0, 10000));
    tain_tensor_free(x);
    tain_tensor_free(at);
    tain_tensor_free(k);
    tain_tensor_free(v);
}

static void check_refusals(tain_device *d)
{
    tain_tensor *x = tain_tensor_create(d, TAIN_F32, 4, (int64_t[]){ 2, 3, 2, 8 });
    tain_tensor *at = tensor_from(d, TAIN_I32, 1, (int64_t[]){ 2 }, (int32_t[]){ 0, 1 });
    tain_tensor *minus = tensor_from(d, TAIN_I32, 1, (int64_t[]){ 3 }, (int32_t[]){ 0, -4, 1 });

    CHECK(!tain_rope(x, at, 8, 10000));
    CHECK_STRING(tain_error(), "rope: positions are [2]; x is [2, 3, 2, 8], so they must be [3] or [2, 3]");
    CHECK(!tain_rope(x, minus, 8, 10000));
    CHECK_STRING(tain_error(), "rope: position -4 is negative");
    CHECK(!tain_rope(x, minus, 12, 10000));
    CHECK(!tain_rope(x, x, 8, 10000));
    CHECK(!tain_rope(x, NULL, 8, 10000));
    CHECK(!tain_rope_qkv(x, minus, 1, 1, 8, 10000));
    tain_tensor_free(x);
    tain_tensor_free(at);
    tain_tensor_free(minus);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "rope", 2, rope, reference }), cases);
    CHECK_CASES(d, (&(struct check_op){ "rope_qkv", 2, rope_qkv, reference_qkv }), packed);
    check_slice(d);
    for (int apart = 0; apart < 2; apart++) {
        check_over(d, 3, 75, 4, 4, 32, false, apart); /* lanes go along rows on CPUs */
        check_over(d, 2, 9, 6, 2, 64, true, apart);
        check_over(d, 2, 7, 2, 1, 24, true, apart);
        check_over(d, 1, 3, 3, 3, 6, false, apart);
    }
    check_caches(d);
    check_refusals(d);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

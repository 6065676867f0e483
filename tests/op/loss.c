/* token_logprob: values, gradients, ignored targets, and that the logits' memory is used again. */
#include "check_op.h"

static void reference(const struct check_value *in, struct check_value *out, const double *with)
{
    int64_t shape[TENSOR_DIMS], last = in->shape[in->dims - 1];

    (void)with;
    memcpy(shape, in->shape, sizeof(shape));
    check_shape(out, in->dims - 1, shape);
    for (int64_t r = 0; r < out->count; r++) {
        const double *x = in->at + r * last;
        double most = -INFINITY, sum = 0;
        for (int64_t i = 0; i < last; i++)
            most = fmax(most, x[i]);
        for (int64_t i = 0; i < last; i++)
            sum += exp(x[i] - most);
        out->at[r] = x[(int64_t)in[1].at[r]] - most - log(sum);
    }
}

static tain_tensor *run(tain_tensor *const *in, const double *with)
{
    (void)with;
    return tain_token_logprob(in[0], in[1]);
}

#define TARGET(high) 0, high, TAIN_I32, true

static const struct check_case cases[] = {
    { { { 1, { 1 } }, { 0, { 0 }, TARGET(1) } } },
    { { { 2, { 3, 5 } }, { 1, { 3 }, TARGET(5) } } },
    { { { 2, { 9, 64 }, -10, 10 }, { 1, { 9 }, TARGET(64) } } },
    { { { 2, { 2, 63 } }, { 1, { 2 }, TARGET(63) } } },
    { { { 3, { 2, 3, 132 } }, { 2, { 2, 3 }, TARGET(132) } } },
    { { { 3, { 2, 3, 1023 } }, { 1, { 6 }, TARGET(1023) } } },
    { { { 2, { 0, 8 } }, { 1, { 0 }, TARGET(8) } } },
    { { { 2, { 4, 40 }, -20, 20, TAIN_BF16 }, { 1, { 4 }, TARGET(40) } } },
};

/* The gradient is written over the logits if nobody holds them, and into memory of its own if
 * somebody does; with the same bits. */
static void check_memory(tain_device *d)
{
    enum { R = 64, V = 8192 };
    int64_t shape[2] = { R, V };
    float *x = malloc(sizeof(float) * R * V), *grads[2];
    int32_t target[R];
    int64_t peak[2];

    for (int i = 0; i < R * V; i++)
        x[i] = check_uniform(-4, 4);
    for (int i = 0; i < R; i++)
        target[i] = i % 5 == 0 ? -100 : (int32_t)(check_random() % V);
    for (int held = 0; held < 2; held++) {
        tain_tensor *leaf = tensor_from(d, TAIN_F32, 2, shape, x), *logits, *t, *p, *loss, *g;
        float logprob[R];
        CHECK_INT(tain_tensor_want_grad(leaf, true), 0);
        t = tensor_from(d, TAIN_I32, 1, (int64_t[]){ R }, target);
        CHECK_INT(tain_tape_begin(d), 0);
        logits = tain_scale(leaf, 2);
        p = tain_token_logprob(logits, t);
        loss = tain_sum(p);
        CHECK(loss);
        CHECK_INT(tain_tensor_read(p, logprob, R), 0);
        for (int i = 0; i < R; i++)
            CHECK(i % 5 == 0 ? logprob[i] == 0 : logprob[i] < 0);
        if (!held) {
            tain_tensor_free(logits);
            logits = NULL;
        }
        tain_device_reset_peak(d);
        CHECK_INT(tain_backward(loss), 0);
        peak[held] = tain_device_memory(d, true);
        g = tain_tensor_grad(leaf);
        CHECK(g);
        grads[held] = malloc(sizeof(float) * R * V);
        CHECK_INT(tain_tensor_read(g, grads[held], R * V), 0);
        if (logits) {
            float *again = malloc(sizeof(float) * R * V);
            CHECK_INT(tain_tensor_read(logits, again, R * V), 0);
            for (int i = 0; i < R * V; i++)
                CHECK(again[i] == 2 * x[i]);
            free(again);
        }
        tain_tape_end(d);
        tain_tensor_free(leaf);
        tain_tensor_free(logits);
        tain_tensor_free(t);
        tain_tensor_free(p);
        tain_tensor_free(loss);
        tain_tensor_free(g);
    }
    CHECK(!memcmp(grads[0], grads[1], sizeof(float) * R * V));
    for (int i = 0; i < R; i += 5)
        for (int k = 0; k < V; k++)
            CHECK(grads[0][i * V + k] == 0);
    CHECK_INT((peak[1] - peak[0]) / (R * V * 4), 1);
    free(grads[0]);
    free(grads[1]);
    free(x);
}

/* log_softmax needs its result to go backward, so the gradient must not be written over it. */
static void check_kept(tain_device *d)
{
    const float x[3] = { 1, 2, 4 };
    const int32_t one = 1;
    tain_tensor *leaf = tensor_from(d, TAIN_F32, 2, (int64_t[]){ 1, 3 }, x), *t = tensor_from(d, TAIN_I32, 1, (int64_t[]){ 1 }, &one);
    tain_tensor *y, *p, *g;
    double sum = exp(1) + exp(2) + exp(4);
    float got[3];

    CHECK_INT(tain_tensor_want_grad(leaf, true), 0);
    CHECK_INT(tain_tape_begin(d), 0);
    y = tain_log_softmax(leaf, -1);
    p = tain_token_logprob(y, t);
    tain_tensor_free(y);
    CHECK_INT(tain_backward(p), 0);
    g = tain_tensor_grad(leaf);
    CHECK(g);
    CHECK_INT(tain_tensor_read(g, got, 3), 0);
    for (int i = 0; i < 3; i++)
        CHECK_CLOSE(got[i], (i == 1) - exp(x[i]) / sum, 1e-6);
    tain_tape_end(d);
    tain_tensor_free(leaf);
    tain_tensor_free(t);
    tain_tensor_free(p);
    tain_tensor_free(g);
}

static void check_refusals(tain_device *d)
{
    const int32_t wrong[2] = { 0, 8 };
    tain_tensor *x = tain_tensor_create(d, TAIN_F32, 2, (int64_t[]){ 2, 8 });
    tain_tensor *t = tensor_from(d, TAIN_I32, 1, (int64_t[]){ 2 }, wrong), *three = tain_tensor_create(d, TAIN_I32, 1, (int64_t[]){ 3 });

    CHECK(!tain_token_logprob(x, t));
    CHECK(strstr(tain_error(), "token_logprob: target 8 of row 1 is not in 0..7"));
    CHECK(!tain_token_logprob(x, three));
    CHECK(strstr(tain_error(), "token_logprob: logits are [2, 8], but target is [3]"));
    CHECK(!tain_token_logprob(x, x));
    CHECK(strstr(tain_error(), "token_logprob: target is stored as f32, not i32"));
    tain_tensor_free(x);
    tain_tensor_free(t);
    tain_tensor_free(three);
}

/* More rows than a grid has columns, and rows as long as a vocabulary. */
static void check_large(tain_device *d, int64_t rows, int64_t last)
{
    float *x = malloc((size_t)(rows * last) * 4), *got = malloc((size_t)rows * 4);
    int32_t *target = malloc((size_t)rows * 4);
    tain_tensor *t, *i, *p;

    for (int64_t k = 0; k < rows * last; k++)
        x[k] = check_uniform(-4, 4);
    for (int64_t r = 0; r < rows; r++)
        target[r] = (int32_t)(check_random() % last);
    t = tensor_from(d, TAIN_F32, 2, (int64_t[]){ rows, last }, x);
    i = tensor_from(d, TAIN_I32, 1, &rows, target);
    p = tain_token_logprob(t, i);
    CHECK(p);
    CHECK_INT(tain_tensor_read(p, got, rows), 0);
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int64_t k = 0; k < last; k++)
            sum += exp(x[r * last + k]);
        CHECK_CLOSE(got[r], x[r * last + target[r]] - log(sum), 5e-6);
    }
    tain_tensor_free(t);
    tain_tensor_free(i);
    tain_tensor_free(p);
    free(x);
    free(got);
    free(target);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "token_logprob", 2, run, reference }), cases);
    check_memory(d);
    check_kept(d);
    check_refusals(d);
    check_large(d, 40001, 8);
    check_large(d, 2, 131072);
    check_large(d, 1, 131071);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

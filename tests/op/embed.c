/* Rows of a table in every storage type, and their gradient: indices that come once, often, never,
 * and so often that their sum takes several rounds.
 */
#include "check_op.h"

static void reference(const struct check_value *in, struct check_value *out, const double *with)
{
    int64_t shape[TENSOR_DIMS], channels = in[0].shape[1];

    (void)with;
    memcpy(shape, in[1].shape, sizeof(shape));
    shape[in[1].dims] = channels;
    check_shape(out, in[1].dims + 1, shape);
    for (int64_t i = 0; i < in[1].count; i++)
        memcpy(out->at + i * channels, in[0].at + (int64_t)in[1].at[i] * channels, (size_t)channels * sizeof(double));
}

static tain_tensor *embed(tain_tensor *const *in, const double *with)
{
    (void)with;
    return tain_embed(in[0], in[1]);
}

#define INDEX(below, ...) { __VA_ARGS__, .low = 0, .high = below, .type = TAIN_I32, .fixed = true }

static const struct check_case cases[] = {
    { { { 2, { 10, 8 } }, INDEX(10, 2, { 3, 5 }) } },
    { { { 2, { 7, 5 } }, INDEX(7, 1, { 40 }) } },
    { { { 2, { 500, 36 } }, INDEX(500, 3, { 2, 3, 4 }) } },
    { { { 2, { 3, 4 } }, INDEX(3, 2, { 30, 30 }) } },
    { { { 2, { 1, 4 } }, INDEX(1, 0, { 0 }) } },
    { { { 2, { 9, 4 } }, INDEX(9, 2, { 0, 3 }) } },
    { { { 2, { 10, 12 }, .type = TAIN_BF16, .fixed = true }, INDEX(10, 2, { 3, 5 }) } },
    { { { 2, { 10, 5 }, .type = TAIN_BF16, .fixed = true }, INDEX(10, 1, { 9 }) } },
    { { { 2, { 10, 12 }, .type = TAIN_F16, .fixed = true }, INDEX(10, 1, { 9 }) } },
    { { { 2, { 10, 7 }, .type = TAIN_F16, .fixed = true }, INDEX(10, 1, { 9 }) } },
};

static void check_rounds(tain_device *d)
{
    enum { N = 70000 };
    int32_t *k = malloc(N * sizeof(*k));
    float *ones = malloc(N * sizeof(float)), got[3];
    tain_tensor *table = tain_tensor_create(d, TAIN_F32, 2, (int64_t[]){ 3, 1 }), *index, *y, *w, *p, *loss, *g;

    for (int i = 0; i < N; i++)
        k[i] = i % 1000 ? 2 : 0, ones[i] = i % 2 ? 1 : 2;
    index = tensor_from(d, TAIN_I32, 1, (int64_t[]){ N }, k);
    w = tensor_from(d, TAIN_F32, 2, (int64_t[]){ N, 1 }, ones);
    CHECK_INT(tain_tensor_want_grad(table, true), 0);
    CHECK_INT(tain_tape_begin(d), 0);
    y = tain_embed(table, index);
    p = tain_mul(y, w);
    loss = tain_sum(p);
    CHECK_INT(tain_backward(loss), 0);
    tain_tape_end(d);
    g = tain_tensor_grad(table);
    CHECK_INT(tain_tensor_read(g, got, 3), 0);
    CHECK_CLOSE(got[0], 140, 0);
    CHECK_CLOSE(got[1], 0, 0);
    CHECK_CLOSE(got[2], 105000 - 140, 0);
    tain_tensor_free(g);
    tain_tensor_free(loss);
    tain_tensor_free(p);
    tain_tensor_free(w);
    tain_tensor_free(y);
    tain_tensor_free(index);
    tain_tensor_free(table);
    free(ones);
    free(k);
}

/* Indices that the host has never seen, here because they were cast, are checked by the shader. */
static void check_unseen(tain_device *d)
{
    tain_tensor *table = tensor_from(d, TAIN_F32, 2, (int64_t[]){ 2, 4 }, (float[]){ 1, 2, 3, 4, 5, 6, 7, 8 });
    tain_tensor *f = tensor_from(d, TAIN_F32, 1, (int64_t[]){ 4 }, (float[]){ 1, 2, -1, 0 });
    tain_tensor *index = tain_cast(f, TAIN_I32), *y = tain_embed(table, index);
    tain_tensor *seen = tensor_from(d, TAIN_I32, 1, (int64_t[]){ 2 }, (int32_t[]){ 1, 2 });
    float got[16];

    CHECK(y);
    CHECK_INT(tain_tensor_read(y, got, 16), 0);
    CHECK(got[0] == 5 && got[3] == 8 && got[12] == 1 && isnan(got[4]) && isnan(got[11]));
    CHECK(!tain_embed(table, seen));
    CHECK_STRING(tain_error(), "embed: index[1] is 2; the table has 2 rows");
    CHECK(!tain_embed(table, f));
    CHECK(!tain_embed(index, index));
    tain_tensor_free(seen);
    tain_tensor_free(y);
    tain_tensor_free(index);
    tain_tensor_free(f);
    tain_tensor_free(table);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "embed", 2, embed, reference }), cases);
    check_rounds(d);
    check_unseen(d);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

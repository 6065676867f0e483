/* Matrices in blocks: what is read is near what was written, as near as the numbers allow; it rounds to
 * itself; rows of a matrix are written by themselves; tiny, great and zero blocks. */
#include "check.h"
#include "tensor/tensor.h"

static uint64_t state = 1;

static float normal(void)
{
    double sum = 0;

    for (int i = 0; i < 12; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        sum += (double)(state >> 40) * 0x1p-24;
    }
    return (float)(sum - 6);
}

/* Root of the mean square of the error, relative to that of the values. */
static double apart(const float *a, const float *b, int64_t count)
{
    double error = 0, all = 0;

    for (int64_t i = 0; i < count; i++) {
        error += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        all += (double)a[i] * a[i];
    }
    return sqrt(error / all);
}

static void there_and_back(tain_device *d, tain_type type, int64_t rows, int64_t columns)
{
    int64_t count = rows * columns, shape[2] = { rows, columns };
    float *in = malloc((size_t)count * 4), *out = malloc((size_t)count * 4), *again = malloc((size_t)count * 4);
    tain_tensor *t = tain_tensor_create(d, type, 2, shape), *some;
    int64_t part = rows > 8 ? 8 : rows;

    CHECK(t);
    CHECK_INT(tain_tensor_read(t, out, count), 0);
    for (int64_t i = 0; i < count; i++) {
        CHECK(out[i] == 0);
        in[i] = normal() * (float)(1 + i / 32 % 5);
    }
    CHECK_INT(tain_tensor_write(t, in, count), 0);
    CHECK_INT(tain_tensor_read(t, out, count), 0);
    for (int64_t b = 0; b < count; b += 32) {
        double most = 0;
        for (int i = 0; i < 32; i++)
            most = fmax(most, fabs((double)in[b + i]));
        for (int i = 0; i < 32; i++) /* half a step of 127, or of a little less than 8; its end may be cut off */
            CHECK_CLOSE(in[b + i], out[b + i], most * (type == TAIN_INT8 ? 0.501 / 126.9 : 1.0 / 7.2));
    }
    if (count > 4096)
        CHECK(apart(in, out, count) < (type == TAIN_INT8 ? 0.006 : 0.09));
    CHECK_INT(tain_tensor_write(t, out, count), 0);
    CHECK_INT(tain_tensor_read(t, again, count), 0);
    for (int64_t i = 0; i < count; i++)
        CHECK(again[i] == out[i]);

    CHECK((some = view_part(t, 0, rows - part, part)));
    if ((rows - part) % 4 == 0) { /* the last rows, twice as great; those before them stay */
        for (int64_t i = 0; i < part * columns; i++)
            again[i] = 2 * out[(rows - part) * columns + i];
        CHECK_INT(tain_tensor_write(some, again, part * columns), 0);
        CHECK_INT(tain_tensor_read(t, again, count), 0);
        for (int64_t i = 0; i < count; i++)
            CHECK_CLOSE(again[i], out[i] * (i / columns < rows - part ? 1 : 2), 0);
    } else {
        CHECK(tain_tensor_write(some, again, part * columns) < 0 && strstr(tain_error(), "fours of whole rows"));
    }
    tensor_unref(some);
    tensor_unref(t);
    free(in);
    free(out);
    free(again);
}

/* Blocks of one number each, over all that f16 scales can do. */
static void ends(tain_device *d, tain_type type)
{
    static const float sizes[] = { 0, 1e-9f, 1e-6f, 1e-5f, 1e-3f, 1, 1e3f, 4e5f };
    enum { ROWS = sizeof(sizes) / sizeof(sizes[0]) };
    float in[ROWS * 32], out[ROWS * 32];
    tain_tensor *t = tain_tensor_create(d, type, 2, (int64_t[]){ ROWS, 32 });

    for (int i = 0; i < ROWS * 32; i++)
        in[i] = sizes[i / 32] * (i % 2 ? -1 : 1);
    CHECK_INT(tain_tensor_write(t, in, ROWS * 32), 0);
    CHECK_INT(tain_tensor_read(t, out, ROWS * 32), 0);
    for (int i = 0; i < ROWS * 32; i++) /* the least scale is 6e-8 */
        CHECK_CLOSE(in[i], out[i], type == TAIN_INT8 ? 1e-8 + fabs((double)in[i]) * 0.04 : 2.5e-7 + fabs((double)in[i]) * 0.13);
    in[0] = 1e6f;
    CHECK_FAILS(tain_tensor_write(t, in, ROWS * 32), TAIN_EINVAL, "too great to be stored as int");
    tensor_unref(t);
}

int main(void)
{
    static const int64_t shapes[][2] = { { 1, 32 }, { 4, 64 }, { 7, 96 }, { 30, 160 }, { 64, 256 }, { 0, 32 }, { 4, 0 } };
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    for (tain_type type = TAIN_INT8; type <= TAIN_INT4; type++) {
        tain_tensor *t = tensor_new(d, type, 2, (int64_t[]){ 64, 256 });
        CHECK(t);
        CHECK_INT(tensor_bytes(t) * 16, 64 * 256 * (type == TAIN_INT8 ? 17 : 9));
        tensor_unref(t);
        for (size_t i = 0; i < COUNT_OF(shapes); i++)
            if (shapes[i][0] && shapes[i][1])
                there_and_back(d, type, shapes[i][0], shapes[i][1]);
            else
                tensor_unref(tain_tensor_create(d, type, 2, shapes[i]));
        ends(d, type);
    }
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

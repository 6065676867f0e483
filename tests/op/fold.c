/* Sums in two stages: the second one, from parts that lie apart, in fours and one by one, over what is
 * there and added to it; and nothing beside the result is touched. */
#include "op/check_op.h"
#include "op/op.h"

#include <math.h>

enum { GUARD = 8 };

static void check_fold(tain_device *d, int64_t n, int64_t count, int64_t pitch, int64_t start, int64_t at, bool add)
{
    int64_t from = start + count * pitch + n, all = at + n + GUARD;
    float *part = malloc((size_t)from * 4), *before = malloc((size_t)all * 4), *after = malloc((size_t)all * 4);
    tain_tensor *p, *whole, *to;

    CHECK(part && before && after);
    for (int64_t i = 0; i < from; i++)
        part[i] = check_uniform(-1, 1);
    for (int64_t i = 0; i < all; i++)
        before[i] = check_uniform(-1, 1);
    p = tensor_from(d, TAIN_F32, 1, &from, part);
    whole = tensor_from(d, TAIN_F32, 1, &all, before);
    CHECK(p && whole && (to = view_make(whole, 1, &n, (int64_t[]){ 1 }, whole->offset + at)));
    CHECK_INT(op_fold(p, start, count, pitch, to, add), 0);
    CHECK_INT(tain_tensor_read(whole, after, all), 0);
    for (int64_t i = 0; i < all; i++) {
        double want = before[i];
        if (i >= at && i < at + n) {
            want = add ? want : 0;
            for (int64_t k = 0; k < count; k++)
                want += part[start + k * pitch + i - at];
            CHECK_CLOSE(after[i], want, 1e-6 * (double)(count + 1));
        } else {
            CHECK(after[i] == before[i]);
        }
    }
    tensor_unref(to);
    tensor_unref(whole);
    tensor_unref(p);
    free(after);
    free(before);
    free(part);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    for (int add = 0; add < 2; add++) {
        check_fold(d, 64, 5, 64, 0, 0, add);
        check_fold(d, 260, 3, 1000, 260, 4, add); /* the second of two kinds of parts */
        check_fold(d, 7, 9, 7, 0, 0, add);        /* no fours */
        check_fold(d, 8, 4, 9, 0, 0, add);        /* a pitch, a beginning, a place that are none */
        check_fold(d, 8, 4, 8, 3, 0, add);
        check_fold(d, 8, 4, 8, 0, 2, add);
        check_fold(d, 1, 1, 1, 0, 0, add);
        check_fold(d, 4, 700, 4, 0, 0, add);
    }
    check_fold(d, 0, 3, 4, 0, 0, false);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

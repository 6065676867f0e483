/* Copies that ops keep of what is not written to: when they are kept, and that every kind of write is noticed. */
#include "op/check_gemm.h"

enum { ROWS = 48, IN = 32, OUT = 64 };

static tain_device *d;

static struct copied of(const tain_tensor *t)
{
    return (struct copied){ { gpu_version(d->gpu, &t->storage->range), 7 } };
}

static int64_t size = 1; /* of copies */

/* Whether a copy is found; if not, one is kept where that is worth it. */
static bool kept(const tain_tensor *t)
{
    struct copied key = of(t);
    bool keep;
    tain_tensor *copy, *found = copy_find(d, &key, &keep);

    CHECK(!found || !keep);
    if (keep) {
        CHECK((copy = tensor_new(d, TAIN_F32, 1, &size)));
        copy_keep(d, &key, copy);
        tensor_unref(copy);
    }
    return found;
}

/* Looks three times: not known, worth it, there. */
static void check_kept(const tain_tensor *t)
{
    CHECK(!kept(t));
    CHECK(!kept(t));
    CHECK(kept(t));
}

static void check_versions(void)
{
    static float numbers[OUT * IN];
    int64_t shape[2] = { OUT, IN };
    tain_tensor *t = tensor_new(d, TAIN_F32, 2, shape), *other = tensor_new(d, TAIN_F32, 2, shape);
    tain_tensor *sum;
    struct copied before = of(t), again;

    again = of(t);
    CHECK(!memcmp(&before, &again, sizeof(before)));
    check_kept(t);
    CHECK(!kept(other));
    CHECK_INT(tain_tensor_write(t, numbers, OUT * IN), 0); /* by the host */
    check_kept(t);
    CHECK_INT(gpu_fill(d->gpu, &t->storage->range, 0, 4, 0), 0); /* by a fill */
    check_kept(t);
    CHECK_INT(gpu_copy(d->gpu, &other->storage->range, 0, &t->storage->range, 0, 4), 0); /* by a copy */
    check_kept(t);
    CHECK(kept(t));
    CHECK((sum = tain_add(t, other))); /* t is read by a dispatch, the sum written */
    CHECK(kept(t));
    check_kept(sum);
    tensor_unref(sum);
    CHECK((sum = tain_add(t, other))); /* most likely where the last one was */
    CHECK(!kept(sum));
    tensor_unref(sum);
    /* Not in a step of training; what was kept before is used there too. */
    CHECK_INT(tain_tape_begin(d), 0);
    CHECK(kept(t));
    CHECK(!kept(other));
    CHECK(!kept(other));
    tain_tape_end(d);
    CHECK(!kept(other));
    CHECK(kept(other));
    tensor_unref(t);
    tensor_unref(other);
    CHECK_INT(tain_device_memory(d, false), 0);
}

/* There is room for 64 MiB; what has not been wanted for long makes room. */
static void check_room(void)
{
    enum { COUNT = 5 };
    int64_t one[1] = { 1 };
    tain_tensor *t[COUNT], *other;
    struct gpu_usage usage;
    int n = 0;

    size = 5 << 20;
    for (int i = 0; i < COUNT; i++) {
        CHECK((t[i] = tensor_new(d, TAIN_F32, 1, one)));
        kept(t[i]);
        kept(t[i]);
        n += kept(t[i]);
    }
    CHECK_INT(n, 3);
    for (int i = 0; i < 5000; i++)
        CHECK(kept(t[0]));
    CHECK(!kept(t[4]));
    CHECK(kept(t[4]));
    CHECK(kept(t[0]));
    CHECK(!kept(t[1]));
    /* Memory that somebody else wants is theirs. */
    gpu_usage(d->gpu, &usage);
    gpu_limit_memory(d->gpu, usage.reserved);
    CHECK((other = tensor_new(d, TAIN_F32, 1, (int64_t[]){ 3 * size })));
    CHECK(!tensor_new(d, TAIN_F32, 1, (int64_t[]){ 3 * size }));
    gpu_limit_memory(d->gpu, 0);
    tensor_unref(other);
    CHECK(!kept(t[0]));
    for (int i = 0; i < COUNT; i++)
        tensor_unref(t[i]);
    CHECK_INT(tain_device_memory(d, false), 0);
}

/* More than there are places: some are forgotten, none is mistaken for another. */
static void check_many(void)
{
    enum { COUNT = 6000 };
    int64_t one[1] = { 1 };
    tain_tensor *t = tensor_new(d, TAIN_F32, 1, one), *copy;
    int found = 0;
    bool keep;

    for (int round = 0; round < 3; round++)
        for (int n = 0; n < COUNT; n++) {
            int i = n / 30 * 10 + n % 10; /* ten, the same ten twice more, the next ten */
            struct copied key = of(t);
            key.word[1] = (uint64_t)i;
            if ((copy = copy_find(d, &key, &keep))) {
                CHECK_INT(copy->shape[0], i + 1);
                found++;
            } else if (keep) {
                CHECK((copy = tensor_new(d, TAIN_F32, 1, (int64_t[]){ i + 1 })));
                copy_keep(d, &key, copy);
                tensor_unref(copy);
            }
        }
    CHECK(found >= COUNT / 3);
    tensor_unref(t);
    CHECK_INT(tain_device_memory(d, false), 0);
}

/* A weight that changes between products. */
static void check_products(void)
{
    float *a, *b, *before, *got, *want;
    struct gemm g = {
        .a = matrix(d, TAIN_F32, ROWS * IN, &a), .b = matrix(d, TAIN_F32, OUT * IN, &b),
        .c = matrix(d, TAIN_F32, ROWS * OUT, &before), .tb = true, .M = ROWS, .N = OUT, .K = IN, .batch = 1,
        .a_pitch = IN, .b_pitch = IN, .c_pitch = OUT,
    };

    for (int run = 0; run < 12; run++) {
        if (run % 4 == 3) {
            b[run] += 1;
            CHECK_INT(tain_tensor_write(g.b, b, OUT * IN), 0);
        }
        got = made(&g, &d->tiles, TILES_ALL, before, ROWS * OUT);
        want = made(&g, &d->tiles, TILES_NEVER, before, ROWS * OUT);
        CHECK(!memcmp(got, want, ROWS * OUT * sizeof(float)));
        free(got);
        free(want);
    }
    tensor_unref(g.a);
    tensor_unref(g.b);
    tensor_unref(g.c);
    free(a);
    free(b);
    free(before);
    CHECK_INT(tain_device_memory(d, false), 0);
}

int main(void)
{
    CHECK((d = device_open(NULL)));
    check_versions();
    check_room();
    check_many();
    check_products();
    tain_device_free(d);
    return 0;
}

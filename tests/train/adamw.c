/* AdamW against the same in double precision: odd sizes, neighbours in one arena with a stranger
 * between them, clipping, a gradient that is no number, and going on from a file. */
#include "check.h"

#include "train/train.h"

#include <unistd.h>

enum { PARAMS = 6, STEPS = 7 };
static const int64_t sizes[PARAMS] = { 1, 129, 64, 70000, 6, 17 };

struct reference {
    double *p, *m, *v;
};

static tain_device *d;
static uint64_t state = 1;

static double noise(void)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (double)(state >> 33) / 2147483648.0 - 0.5;
}

/* Parameters 1 to 3 and a stranger lie in one arena; the others have memory of their own. */
static void make(tain_tensor **arena, tain_tensor *t[PARAMS], struct reference r[PARAMS])
{
    int64_t n = 80000, at = 8;

    *arena = tain_tensor_create(d, TAIN_F32, 1, &n);
    CHECK(*arena);
    CHECK_INT(gpu_fill(d->gpu, &(*arena)->storage->range, 0, 80000 * 4, 0x40e00000), 0); /* 7 */
    for (int i = 0; i < PARAMS; i++) {
        float *values = malloc((size_t)sizes[i] * sizeof(float));
        if (i >= 1 && i <= 3) {
            t[i] = tain_slice(*arena, 0, at, sizes[i]);
            at += sizes[i] + 5;
        } else {
            t[i] = tain_tensor_create(d, TAIN_F32, 1, &sizes[i]);
        }
        CHECK(t[i]);
        r[i].p = calloc((size_t)sizes[i], sizeof(double));
        r[i].m = calloc((size_t)sizes[i], sizeof(double));
        r[i].v = calloc((size_t)sizes[i], sizeof(double));
        for (int64_t k = 0; k < sizes[i]; k++)
            r[i].p[k] = values[k] = (float)noise();
        CHECK_INT(tain_tensor_write(t[i], values, sizes[i]), 0);
        free(values);
    }
}

static void drop(tain_tensor *arena, tain_tensor *t[PARAMS], struct reference r[PARAMS])
{
    for (int i = 0; i < PARAMS; i++) {
        free(r[i].p);
        free(r[i].m);
        free(r[i].v);
        tain_tensor_free(t[i]);
    }
    tain_tensor_free(arena);
}

/* The gradients of sum of c * p * p / 2 + b * p, by the tape, in two passes that add up. */
static void backward(tain_tensor *t[PARAMS], struct reference r[PARAMS], double *g[PARAMS], bool broken)
{
    for (int pass = 0; pass < 2; pass++) {
        tain_tensor *loss = NULL;
        CHECK_INT(tain_tape_begin(d), 0);
        for (int i = 0; i < PARAMS; i++) {
            float *values = malloc((size_t)sizes[i] * sizeof(float));
            for (int64_t k = 0; k < sizes[i]; k++) {
                values[k] = (float)noise();
                g[i][k] = (pass ? g[i][k] : 0) + values[k] * 2 * r[i].p[k];
            }
            if (broken && i == 3)
                values[4711] = NAN;
            tain_tensor *c = tain_tensor_create(d, TAIN_F32, 1, &sizes[i]);
            CHECK_INT(tain_tensor_write(c, values, sizes[i]), 0);
            tain_tensor *square = tain_square(t[i]), *product = tain_mul(square, c), *sum = tain_sum(product);
            CHECK(sum);
            tain_tensor *next = loss ? tain_add(loss, sum) : tain_scale(sum, 1);
            CHECK(next);
            tain_tensor_free(loss);
            loss = next;
            tain_tensor_free(c);
            tain_tensor_free(square);
            tain_tensor_free(product);
            tain_tensor_free(sum);
            free(values);
        }
        CHECK_INT(tain_backward(loss), 0);
        tain_tape_end(d);
        tain_tensor_free(loss);
    }
}

static double reference_step(struct reference r[PARAMS], double *g[PARAMS], int step, double clip, bool update)
{
    const double lr = 0.01, b1 = 0.9, b2 = 0.99, eps = 1e-6, decay = 0.1;
    double norm = 0, factor;

    for (int i = 0; i < PARAMS; i++)
        for (int64_t k = 0; k < sizes[i]; k++)
            norm += g[i][k] * g[i][k];
    norm = sqrt(norm);
    factor = clip > 0 && clip / (norm + 1e-6) < 1 ? clip / (norm + 1e-6) : 1;
    for (int i = 0; i < PARAMS && update; i++)
        for (int64_t k = 0; k < sizes[i]; k++) {
            struct reference *q = &r[i];
            double f = g[i][k] * factor;
            q->p[k] *= 1 - lr * decay;
            q->m[k] = b1 * q->m[k] + (1 - b1) * f;
            q->v[k] = b2 * q->v[k] + (1 - b2) * f * f;
            q->p[k] -= lr / (1 - pow(b1, step)) * q->m[k] / (sqrt(q->v[k]) / sqrt(1 - pow(b2, step)) + eps);
        }
    return norm;
}

static void compare(tain_tensor *t[PARAMS], struct reference r[PARAMS], double tolerance)
{
    for (int i = 0; i < PARAMS; i++) {
        float *values = malloc((size_t)sizes[i] * sizeof(float));
        CHECK_INT(tain_tensor_read(t[i], values, sizes[i]), 0);
        for (int64_t k = 0; k < sizes[i]; k++)
            CHECK_CLOSE(values[k], r[i].p[k], tolerance);
        free(values);
    }
}

/* Between the parameters of the arena, and around them, everything is as it was. */
static void check_strangers(tain_tensor *arena)
{
    static float values[80000];
    int64_t at = 8, low = 0;

    CHECK_INT(tain_tensor_read(arena, values, 80000), 0);
    for (int i = 1; i <= 3; i++) {
        for (; low < at; low++)
            CHECK_CLOSE(values[low], 7, 0);
        low = at + sizes[i];
        at = low + 5;
    }
    for (; low < 80000; low++)
        CHECK_CLOSE(values[low], 7, 0);
}

static void bits(tain_tensor *t[PARAMS], float *out)
{
    for (int i = 0; i < PARAMS; i++) {
        CHECK_INT(tain_tensor_read(t[i], out, sizes[i]), 0);
        out += sizes[i];
    }
}

static void run(double clip)
{
    tain_tensor *arena, *t[PARAMS];
    struct reference r[PARAMS];
    double *g[PARAMS];
    tain_optimizer *o;
    int taken = 0;

    make(&arena, t, r);
    for (int i = 0; i < PARAMS; i++)
        g[i] = calloc((size_t)sizes[i], sizeof(double));
    CHECK((o = tain_adamw_create(t, PARAMS)));
    CHECK_INT(o->run_count, 4);
    CHECK_INT(o->arena_count, 1);
    CHECK_INT(tain_optimizer_state_count(o), 2 * (1 + 129 + 64 + 70000 + 6 + 17));
    CHECK(!tain_adamw_create(t, PARAMS) && strstr(tain_error(), "parameter 1"));
    for (int step = 1; step <= STEPS; step++) {
        bool broken = step == STEPS;
        CHECK_INT(tain_optimizer_zero(o), 0);
        backward(t, r, g, broken);
        double norm = reference_step(r, g, step, clip, !broken);
        CHECK_INT(tain_optimizer_step(o, 0.01, 0.9, 0.99, 1e-6, 0.1, clip), 0);
        if (broken)
            CHECK(isnan(tain_optimizer_norm(o)));
        else
            CHECK_CLOSE(tain_optimizer_norm(o), norm, 1e-5 * norm);
        taken++;
        compare(t, r, 2e-5); /* of steps of about 1e-2 */
    }
    /* a watched loss skips a step too, but only the next one */
    tain_tensor *loss = tain_tensor_create(d, TAIN_F32, 0, NULL);
    CHECK_INT(tain_tensor_write(loss, &(float){ INFINITY }, 1), 0);
    CHECK_INT(tain_optimizer_zero(o), 0);
    CHECK_INT(tain_optimizer_watch(o, loss), 0);
    CHECK_FAILS(tain_optimizer_watch(o, arena), TAIN_EINVAL, "[80000]");
    CHECK(isinf(tain_optimizer_loss(o)));
    CHECK_INT(tain_optimizer_step(o, 0.01, 0.9, 0.99, 1e-6, 0.1, clip), 0);
    compare(t, r, 2e-5);
    CHECK_INT(tain_optimizer_skipped(o), 2);
    CHECK_INT(tain_optimizer_step(o, 0, 0.9, 0.99, 1e-6, 0.1, clip), 0);
    CHECK_INT(tain_optimizer_skipped(o), 2);
    tain_tensor_free(loss);
    check_strangers(arena);
    CHECK_INT(tain_optimizer_steps(o), taken + 2);
    CHECK_FAILS(tain_optimizer_step(o, NAN, 0.9, 0.99, 1e-6, 0, 0), TAIN_EINVAL, "lr");
    CHECK_FAILS(tain_optimizer_step(o, 0.1, 1, 0.99, 1e-6, 0, 0), TAIN_EINVAL, "beta1");
    tain_optimizer_free(o);

    /* parameters go on without it */
    CHECK(!tain_tensor_grad(t[0]));
    backward(t, r, g, false);
    tain_tensor *left = tain_tensor_grad(t[4]);
    CHECK(left);
    float values[6];
    CHECK_INT(tain_tensor_read(left, values, 6), 0);
    for (int k = 0; k < 6; k++)
        CHECK_CLOSE(values[k], g[4][k], 1e-5);
    tain_tensor_free(left);
    drop(arena, t, r);
    for (int i = 0; i < PARAMS; i++)
        free(g[i]);
}

/* Five steps, and two, save, load into a fresh one, three: the same bits. */
static void resume(void)
{
    enum { ALL = 1 + 129 + 64 + 70000 + 6 + 17 };
    static float once[ALL], twice[ALL];
    char path[64];

    snprintf(path, sizeof(path), "/tmp/tain-adamw-%d.safetensors", (int)getpid());
    for (int half = 0; half < 2; half++) {
        tain_tensor *arena, *t[PARAMS];
        struct reference r[PARAMS];
        double *g[PARAMS];
        tain_optimizer *o;

        state = 77;
        make(&arena, t, r);
        for (int i = 0; i < PARAMS; i++)
            g[i] = calloc((size_t)sizes[i], sizeof(double));
        CHECK((o = tain_adamw_create(t, PARAMS)));
        for (int step = 0; step < 5; step++) {
            if (half && step == 2) {
                CHECK_INT(tain_optimizer_save(o, path), 0);
                tain_optimizer_free(o);
                CHECK((o = tain_adamw_create(t, PARAMS)));
                CHECK_INT(tain_optimizer_load(o, path), 0);
                CHECK_INT(tain_optimizer_steps(o), 2);
                tain_optimizer *other = NULL;
                tain_tensor *alone = tain_tensor_create(d, TAIN_F32, 1, &sizes[1]);
                CHECK((other = tain_adamw_create(&alone, 1)));
                CHECK_FAILS(tain_optimizer_load(other, path), TAIN_EFORMAT, "14 tensors");
                tain_optimizer_free(other);
                tain_tensor_free(alone);
            }
            CHECK_INT(tain_optimizer_zero(o), 0);
            backward(t, r, g, false);
            CHECK_INT(tain_optimizer_step(o, 0.01, 0.9, 0.99, 1e-6, 0.1, 1), 0);
        }
        bits(t, half ? twice : once);
        tain_optimizer_free(o);
        drop(arena, t, r);
        for (int i = 0; i < PARAMS; i++)
            free(g[i]);
    }
    CHECK(!memcmp(once, twice, sizeof(once)));
    unlink(path);
}

int main(void)
{
    CHECK((d = tain_device_open(NULL)));
    run(0);
    run(0.5);
    resume();
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

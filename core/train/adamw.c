/* adamw.c - AdamW, with the clipping of the gradient's norm, all on the device.
 *
 * The optimizer owns the memory of the gradients: backward passes add straight into its arenas
 * (tensor.h, grad_home). Whether a step is taken at all is decided on the device too, so that no step
 * waits for a number.
 */
#include "train/train.h"
#include "io/io.h"
#include "op/op.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 4096, GAP = 256, WIDTH = 64, ARENA = 1 << 28 }; /* fours; elements; invocations; elements */

/* ---- Layout ---- */

/* Storages in the order of the parameters' list, never by address: the order of the sums, and with
 * it the bits of the norm, must be the same in every run. */
static int by_place(const void *a, const void *b)
{
    const struct train_param *x = *(struct train_param *const *)a, *y = *(struct train_param *const *)b;

    if (x->storage != y->storage)
        return x->storage - y->storage;
    if (x->tensor->offset != y->tensor->offset)
        return x->tensor->offset < y->tensor->offset ? -1 : 1;
    return x < y ? -1 : x > y;
}

static int number_storages(struct tain_optimizer *o)
{
    const struct storage **seen = base_alloc((size_t)o->count, sizeof(const struct storage *));
    int count = 0;

    if (!seen)
        return TAIN_ENOMEM;
    for (int i = 0; i < o->count; i++) {
        int k = count; /* neighbours in the list mostly lie together: look at the latest first */
        while (k && seen[k - 1] != o->params[i].tensor->storage)
            k--;
        if (!k)
            seen[k = count++] = o->params[i].tensor->storage, k++;
        o->params[i].storage = k;
    }
    free(seen);
    return 0;
}

/* Elements of an arena at most. */
static int64_t most(const tain_device *d)
{
    int64_t n = tensor_most(d);

    return n < ARENA ? n / 4 * 4 : ARENA;
}

static int check_params(tain_tensor *const *params, int count)
{
    int64_t limit;

    for (int i = 0; i < count; i++) {
        const tain_tensor *t = params[i];
        REQUIRE(t, "adamw: parameter %d is missing", i + 1);
        REQUIRE(t->device == params[0]->device, "adamw: parameter %d lies on another device than the first", i + 1);
        REQUIRE(t->type == TAIN_F32, "adamw: parameter %d is stored as %s; only f32 can be trained", i + 1, type_name(t->type));
        REQUIRE(tensor_contiguous(t), "adamw: parameter %d, of shape %s, is a view with gaps", i + 1, tensor_text(t));
        REQUIRE(t->leaf || !t->wants_grad, "adamw: parameter %d is the result of a recorded call", i + 1);
        REQUIRE(!t->grad_home, "adamw: parameter %d is in the hands of an optimizer already", i + 1);
        limit = most(t->device);
        if (tensor_count(t) > limit - 4)
            return fail(TAIN_EUNSUPPORTED, "adamw: parameter %d, of shape %s, has %lld elements; the device can update %lld at a time",
                        i + 1, tensor_text(t), (long long)tensor_count(t), (long long)limit - 4);
    }
    return 0;
}

/* Makes the runs, and gives every parameter and run its place in an arena. */
static int plan(struct tain_optimizer *o)
{
    struct train_param **order = base_alloc((size_t)o->count, sizeof(*order));
    int64_t limit = most(o->device), end = 0;
    const struct storage *storage = NULL;
    struct train_run *run = NULL;
    struct train_arena *arena = NULL;
    int status = 0;

    o->runs = base_alloc((size_t)o->count, sizeof(*o->runs));
    o->arenas = base_alloc((size_t)o->count, sizeof(*o->arenas));
    if (!order || !o->runs || !o->arenas) {
        free(order);
        return TAIN_ENOMEM;
    }
    for (int i = 0; i < o->count; i++)
        order[i] = &o->params[i];
    status = number_storages(o);
    qsort(order, (size_t)o->count, sizeof(*order), by_place);
    for (int i = 0; i < o->count && !status; i++) {
        struct train_param *p = order[i];
        tain_tensor *t = p->tensor;
        int64_t start = t->offset, low = start / 4 * 4, high = (start + p->count + 3) / 4 * 4;

        if (!p->count)
            continue;
        if (t->storage == storage && start < end) {
            status = fail(TAIN_EINVAL, "adamw: parameter %d, of shape %s, shares memory with another one",
                          (int)(p - o->params) + 1, tensor_text(t));
            break;
        }
        if (t->storage != storage || low > end + GAP || !run || arena->n + high - (run->base->offset + run->n) > limit) {
            /* Runs are whole fours. Two may meet inside one four: each then writes the other's part
             * back as it was, which is right because dispatches that share memory take turns. */
            if (!arena || arena->n + high - low > limit)
                arena = &o->arenas[o->arena_count++];
            run = &o->runs[o->run_count++];
            run->base = view_make(t, 1, (int64_t[]){ 0 }, (int64_t[]){ 1 }, low);
            if (!run->base) {
                o->run_count--;
                status = tain_error_status();
                break;
            }
            run->arena = (int)(arena - o->arenas);
            run->at = arena->n;
        }
        arena->n += high - (run->base->offset + run->n);
        run->n = run->base->shape[0] = high - run->base->offset;
        p->arena = run->arena;
        p->at = run->at + start - run->base->offset;
        storage = t->storage;
        end = start + p->count;
    }
    free(order);
    return status;
}

/* The part of an arena that belongs to a parameter, shaped like it. */
static tain_tensor *part_of(const struct train_param *p, tain_tensor *arena)
{
    int64_t stride[TENSOR_DIMS] = { 0 }, step = 1;

    for (int i = p->tensor->dims - 1; i >= 0; i--) {
        stride[i] = step;
        step *= p->tensor->shape[i];
    }
    return view_make(arena, p->tensor->dims, p->tensor->shape, stride, p->at);
}

static int make_arenas(struct tain_optimizer *o)
{
    struct gpu *g = o->device->gpu;
    int64_t parts = 0;
    int status = 0;

    for (int i = 0; i < o->arena_count; i++) {
        struct train_arena *a = &o->arenas[i];
        a->part = parts;
        parts += (a->n / 4 + CHUNK - 1) / CHUNK;
        a->grad = tensor_new(o->device, TAIN_F32, 1, &a->n);
        a->m = a->grad ? tensor_new(o->device, TAIN_F32, 1, &a->n) : NULL;
        a->v = a->m ? tensor_new(o->device, TAIN_F32, 1, &a->n) : NULL;
        if (!a->v)
            return tain_error_status();
        if ((status = tensor_zero(a->grad)) || (status = tensor_zero(a->m)) ||
            (status = gpu_fill(g, &a->v->storage->range, 0, tensor_bytes(a->v), 0xbf800000u)))
            return status;
    }
    for (int i = 0; i < o->count && !status; i++) {
        const struct train_param *p = &o->params[i];
        if (p->count)
            status = gpu_fill(g, &o->arenas[p->arena].v->storage->range, (uint64_t)p->at * 4, (uint64_t)p->count * 4, 0);
    }
    parts = (parts + 3) / 4 * 4;
    if (!status && !(o->part = tain_tensor_create(o->device, TAIN_F32, 1, &parts)))
        status = tain_error_status();
    if (!status && !(o->control = tain_tensor_create(o->device, TAIN_F32, 1, (int64_t[]){ 8 })))
        status = tain_error_status();
    return status;
}

/* Gives the parameters their gradients' homes. */
static int settle(struct tain_optimizer *o)
{
    for (int i = 0; i < o->count; i++) {
        struct train_param *p = &o->params[i];
        tain_tensor *t = p->tensor;

        if (p->count && !(t->grad_home = part_of(p, o->arenas[p->arena].grad)))
            return tain_error_status();
        tensor_unref(t->grad);
        t->grad = t->grad_home ? tensor_ref(t->grad_home) : NULL;
        t->grad_started = t->grad_home != NULL;
        t->leaf = t->wants_grad = true;
    }
    return 0;
}

/* ---- A step ---- */

static int measure(struct tain_optimizer *o, double clip)
{
    uint32_t lanes = gpu_info(o->device->gpu)->lanes, width = lanes < WIDTH ? WIDTH : lanes, chunk = CHUNK;
    struct gpu_pipeline *parts = op_pipeline(o->device, width, &chunk, 1, "sumsq.parts");
    struct { uint32_t n, watch; float clip; } last = { (uint32_t)tensor_count(o->part) / 4, o->watch, (float)clip };
    int status = 0;

    for (int i = 0; i < o->arena_count && !status; i++) {
        const struct train_arena *a = &o->arenas[i];
        int64_t chunks = (a->n / 4 + CHUNK - 1) / CHUNK, x, y;
        struct gpu_bind binds[2] = { tensor_bind(a->grad, GPU_READ), tensor_bind(o->part, GPU_WRITE) };
        struct { uint32_t n, chunks; } p = { (uint32_t)(a->n / 4), (uint32_t)chunks };

        binds[1].offset = (uint64_t)a->part * 4;
        binds[1].bytes = (uint64_t)chunks * 4;
        op_rows(chunks, width, lanes, &x, &y);
        status = gpu_dispatch(o->device->gpu, parts, binds, 2, &p, sizeof(p), (uint32_t)x, (uint32_t)y, 1, 4.0 * (double)a->n);
    }
    return status ? status
                  : op_dispatch(o->device, op_pipeline(o->device, 0, NULL, 0, "sumsq.finish"),
                                (tain_tensor *[]){ o->part, o->control }, 2, 2, &last, sizeof(last), 1, 1, 1, 1e4);
}

static int update(struct tain_optimizer *o, double lr, double beta1, double beta2, double eps, double decay)
{
    double t = (double)o->steps;
    struct { uint32_t n; float beta1c, beta2, beta2c, keep, step, root, eps; } p = {
        .beta1c = (float)(1 - beta1), .beta2 = (float)beta2, .beta2c = (float)(1 - beta2),
        .keep = (float)(1 - lr * decay), .step = (float)(lr / (1 - pow(beta1, t))),
        .root = (float)(1 / sqrt(1 - pow(beta2, t))), .eps = (float)eps,
    };
    struct gpu_pipeline *pipeline = op_pipeline(o->device, 256, NULL, 0, "adamw");
    int status = 0;

    for (int i = 0; i < o->run_count && !status; i++) {
        const struct train_run *r = &o->runs[i];
        const struct train_arena *a = &o->arenas[r->arena];
        tain_tensor *of[8] = { a->grad, r->base, a->m, a->v, o->control, r->base, a->m, a->v };
        struct gpu_bind binds[8];
        int64_t x, y;

        for (int k = 0; k < 8; k++) {
            binds[k] = tensor_bind(of[k], k < 5 ? GPU_READ : GPU_READ_WRITE);
            if (of[k] != r->base && of[k] != o->control) {
                binds[k].offset = (uint64_t)r->at * 4;
                binds[k].bytes = (uint64_t)r->n * 4;
            }
        }
        p.n = (uint32_t)(r->n / 4);
        op_grid(p.n, 256, &x, &y);
        status = gpu_dispatch(o->device->gpu, pipeline, binds, 8, &p, sizeof(p), (uint32_t)x, (uint32_t)y, 1, 40.0 * (double)r->n);
    }
    return status;
}

/* ---- The public part ---- */

tain_optimizer *tain_adamw_create(tain_tensor *const *params, int32_t count)
{
    struct tain_optimizer *o;
    int status;

    REQUIRE_OR_NULL(params && count > 0, "adamw: there are no parameters");
    if (check_params(params, count) || !(o = base_alloc(1, sizeof(*o))))
        return NULL;
    o->device = params[0]->device;
    o->params = base_alloc((size_t)count, sizeof(*o->params));
    if (!o->params) {
        free(o);
        return NULL;
    }
    for (o->count = 0; o->count < count; o->count++) {
        tain_tensor *t = params[o->count];
        o->params[o->count] = (struct train_param){ .tensor = tensor_ref(t), .count = tensor_count(t) };
    }
    status = plan(o);
    if (!status)
        status = make_arenas(o);
    if (!status)
        status = settle(o);
    if (status) {
        tain_optimizer_free(o);
        return NULL;
    }
    return o;
}

void tain_optimizer_free(tain_optimizer *optimizer)
{
    struct tain_optimizer *o = optimizer;

    if (!o)
        return;
    tensor_unref(o->part);
    tensor_unref(o->control);
    for (int i = 0; i < o->run_count; i++)
        tensor_unref(o->runs[i].base);
    /* An arena's gradients may be the home of these parameters, and of nobody else's. */
    for (int i = 0; i < o->count; i++) {
        tain_tensor *t = o->params[i].tensor;
        const struct train_arena *a = o->arenas ? &o->arenas[o->params[i].arena] : NULL;
        if (t->grad_home && a && a->grad && t->grad_home->storage == a->grad->storage) {
            tensor_unref(t->grad);
            tensor_unref(t->grad_home);
            t->grad = t->grad_home = NULL;
            t->grad_started = false;
        }
    }
    for (int i = 0; i < o->arena_count; i++) {
        tensor_unref(o->arenas[i].grad);
        tensor_unref(o->arenas[i].m);
        tensor_unref(o->arenas[i].v);
    }
    for (int i = 0; i < o->count; i++)
        tensor_unref(o->params[i].tensor);
    free(o->runs);
    free(o->arenas);
    free(o->params);
    free(o);
}

tain_status tain_optimizer_zero(tain_optimizer *optimizer)
{
    int status = 0;

    REQUIRE(optimizer, "zero: optimizer is missing");
    for (int i = 0; i < optimizer->arena_count && !status; i++)
        status = tensor_zero(optimizer->arenas[i].grad);
    return status;
}

tain_status tain_optimizer_step(tain_optimizer *optimizer, double lr, double beta1, double beta2, double eps, double decay,
                                double clip)
{
    int status;

    REQUIRE(optimizer, "step: optimizer is missing");
    REQUIRE(lr >= 0 && isfinite(lr), "step: lr is %g; it must be a number from 0", lr);
    REQUIRE(beta1 >= 0 && beta1 < 1, "step: beta1 is %g; it must be from 0 to less than 1", beta1);
    REQUIRE(beta2 >= 0 && beta2 < 1, "step: beta2 is %g; it must be from 0 to less than 1", beta2);
    REQUIRE(eps >= 0 && isfinite(eps), "step: eps is %g; it must be a number from 0", eps);
    REQUIRE(decay >= 0 && isfinite(decay), "step: decay is %g; it must be a number from 0", decay);
    REQUIRE(!isnan(clip), "step: clip is no number");
    if ((status = measure(optimizer, clip)))
        return status;
    optimizer->steps++;
    optimizer->stale = true;
    optimizer->watch = false;
    return update(optimizer, lr, beta1, beta2, eps, decay);
}

tain_status tain_optimizer_watch(tain_optimizer *optimizer, tain_tensor *loss)
{
    struct tain_optimizer *o = optimizer;

    REQUIRE(o, "watch: optimizer is missing");
    REQUIRE(loss, "watch: loss is missing");
    REQUIRE(loss->device == o->device, "watch: the loss lies on another device than the parameters");
    REQUIRE(loss->type == TAIN_F32 && tensor_count(loss) == 1, "watch: the loss must be one number stored as f32; it is %s %s",
            type_name(loss->type), tensor_text(loss));
    o->watch = o->stale = true;
    return gpu_copy(o->device->gpu, &loss->storage->range, (uint64_t)loss->offset * 4, &o->control->storage->range,
                    offsetof(struct train_control, loss), 4);
}

/* One read serves all questions about a step. */
static int look(struct tain_optimizer *o)
{
    int status = o->stale ? gpu_read(o->device->gpu, &o->control->storage->range, 0, &o->seen, sizeof(o->seen)) : 0;

    o->stale = status;
    return status;
}

double tain_optimizer_norm(tain_optimizer *optimizer)
{
    REQUIRE(optimizer, "norm: optimizer is missing");
    return look(optimizer) ? (double)tain_error_status() : optimizer->seen.norm;
}

double tain_optimizer_loss(tain_optimizer *optimizer)
{
    REQUIRE(optimizer, "loss: optimizer is missing");
    return look(optimizer) ? NAN : optimizer->seen.loss;
}

int64_t tain_optimizer_steps(const tain_optimizer *optimizer)
{
    REQUIRE(optimizer, "steps: optimizer is missing");
    return optimizer->steps;
}

int64_t tain_optimizer_skipped(tain_optimizer *optimizer)
{
    int status;

    REQUIRE(optimizer, "skipped: optimizer is missing");
    status = look(optimizer);
    return status ? status : (int64_t)optimizer->seen.skipped;
}

int64_t tain_optimizer_state_count(const tain_optimizer *optimizer)
{
    int64_t n = 0;

    REQUIRE(optimizer, "state_count: optimizer is missing");
    for (int i = 0; i < optimizer->count; i++)
        n += 2 * optimizer->params[i].count;
    return n;
}

/* ---- Checkpoints: "m.0", "v.0", "m.1", …, in the order of the parameters ---- */

static int64_t largest(const struct tain_optimizer *o)
{
    int64_t n = 1;

    for (int i = 0; i < o->count; i++)
        if (o->params[i].count > n)
            n = o->params[i].count;
    return n;
}

/* Which moment entry k is: its place in the arena. */
static struct gpu_range *moment(const struct tain_optimizer *o, int k, uint64_t *offset, uint64_t *bytes)
{
    const struct train_param *p = &o->params[k / 2];
    const struct train_arena *a = &o->arenas[p->arena];

    *offset = (uint64_t)p->at * 4;
    *bytes = (uint64_t)p->count * 4;
    return &(k % 2 ? a->v : a->m)->storage->range;
}

static void moment_name(char name[32], int k)
{
    snprintf(name, 32, "%c.%d", k % 2 ? 'v' : 'm', k / 2);
}

tain_status tain_optimizer_save(tain_optimizer *optimizer, const char *path)
{
    struct tain_optimizer *o = optimizer;
    struct st_tensor *list;
    char (*names)[32];
    float *values;
    struct st_out *out = NULL;
    int64_t numbers[2];
    int status = 0;

    REQUIRE(o, "save: optimizer is missing");
    REQUIRE(path, "save: path is missing");
    numbers[0] = o->steps;
    if ((numbers[1] = tain_optimizer_skipped(o)) < 0)
        return (tain_status)numbers[1];
    list = base_alloc((size_t)o->count * 2 + 2, sizeof(*list));
    names = base_alloc((size_t)o->count * 2, sizeof(*names));
    values = base_alloc((size_t)largest(o), sizeof(*values));
    if (!list || !names || !values)
        status = TAIN_ENOMEM;
    if (!status) {
        list[0] = (struct st_tensor){ .name = "steps", .type = ST_I64, .rank = 1, .shape = { 1 } };
        list[1] = (struct st_tensor){ .name = "skipped", .type = ST_I64, .rank = 1, .shape = { 1 } };
        for (int k = 0; k < 2 * o->count; k++) {
            const tain_tensor *t = o->params[k / 2].tensor;
            moment_name(names[k], k);
            list[k + 2] = (struct st_tensor){ .name = names[k], .type = ST_F32, .rank = t->dims };
            memcpy(list[k + 2].shape, t->shape, (size_t)t->dims * sizeof(int64_t));
        }
        out = st_begin(path, list, 2 * o->count + 2, 0);
        status = out ? st_put(out, numbers, sizeof(numbers)) : tain_error_status();
    }
    for (int k = 0; k < 2 * o->count && !status; k++) {
        uint64_t offset, bytes;
        struct gpu_range *range;

        if (!o->params[k / 2].count)
            continue;
        range = moment(o, k, &offset, &bytes);
        status = gpu_read(o->device->gpu, range, offset, values, bytes);
        if (!status)
            status = st_put(out, values, bytes);
    }
    if (out && !status)
        status = st_end(out);
    else
        st_drop(out);
    free(list);
    free(names);
    free(values);
    return status;
}

static int check_state(const struct tain_optimizer *o, const struct st_file *f, const char *path)
{
    if (st_count(f) != 2 * o->count + 2)
        return fail(TAIN_EFORMAT, "%s: it holds %d tensors; an optimizer of %d parameters has %d", path, st_count(f), o->count,
                    2 * o->count + 2);
    for (int k = -2; k < 2 * o->count; k++) {
        char name[32];
        const struct st_entry *e;
        int64_t count = k < 0 ? 1 : o->params[k / 2].count;

        if (k < 0)
            snprintf(name, sizeof(name), k == -2 ? "steps" : "skipped");
        else
            moment_name(name, k);
        if (!(e = st_need(f, name)))
            return tain_error_status();
        if (e->type != (k < 0 ? ST_I64 : ST_F32) || e->count != count)
            return fail(TAIN_EFORMAT, "%s: %s holds %lld elements of type %s; this optimizer's has %lld of type %s", path, name,
                        (long long)e->count, e->type_name, (long long)count, k < 0 ? "I64" : "F32");
    }
    return 0;
}

tain_status tain_optimizer_load(tain_optimizer *optimizer, const char *path)
{
    struct tain_optimizer *o = optimizer;
    struct st_file *f;
    float *values;
    int64_t steps = 0, skipped = 0;
    int status;

    REQUIRE(o, "load: optimizer is missing");
    REQUIRE(path, "load: path is missing");
    if (!(f = st_open(path)))
        return tain_error_status();
    values = base_alloc((size_t)largest(o), sizeof(*values));
    status = values ? check_state(o, f, path) : TAIN_ENOMEM;
    if (!status && !(status = st_read(f, st_find(f, "steps"), &steps, 8)))
        status = st_read(f, st_find(f, "skipped"), &skipped, 8);
    if (!status && (steps < 0 || skipped < 0 || skipped > steps || skipped > UINT32_MAX))
        status = fail(TAIN_EFORMAT, "%s: %lld steps with %lld skipped", path, (long long)steps, (long long)skipped);
    for (int k = 0; k < 2 * o->count && !status; k++) {
        uint64_t offset, bytes;
        struct gpu_range *range;
        char name[32];

        if (!o->params[k / 2].count)
            continue;
        moment_name(name, k);
        range = moment(o, k, &offset, &bytes);
        status = st_read(f, st_find(f, name), values, bytes);
        for (uint64_t i = 0; i < bytes / 4 && !status; i++)
            if (!isfinite(values[i]) || (k % 2 && values[i] < 0))
                status = fail(TAIN_EFORMAT, "%s: %s[%llu] is %g", path, name, (unsigned long long)i, values[i]);
        if (!status)
            status = gpu_write(o->device->gpu, range, offset, values, bytes);
    }
    if (!status) {
        o->seen = (struct train_control){ .skipped = (uint32_t)skipped };
        o->steps = steps;
        o->stale = o->watch = false;
        status = gpu_write(o->device->gpu, &o->control->storage->range, 0, &o->seen, sizeof(o->seen));
    }
    st_close(f);
    free(values);
    return status;
}

/* tape.c - which calls led to a number, and how to go back.
 *
 * Gradients are summed in the order of the walk, so they are the same bits in every run. A result's
 * gradient is freed as soon as its call has gone backward; only leaves keep theirs.
 *
 * A gradient may be shared: the sum x + f(x) hands one tensor to both sides. Whoever must add to a
 * shared one makes a copy first (grad_target).
 */
#include "tensor/tensor.h"

#include <stdlib.h>
#include <string.h>

struct tape {
    struct op_call *calls;
    int count, room;
};

static void drop(struct op_call *c)
{
    for (int i = 0; i < c->inputs; i++)
        tensor_unref(c->in[i]);
    for (int i = 0; i < OP_SAVED; i++)
        tensor_unref(c->saved[i]);
    if (c->out && !c->out->leaf)
        c->out->wants_grad = false; /* whoever still holds it holds a plain number now */
    tensor_unref(c->out);
    memset(c, 0, sizeof(*c));
}

int tape_begin(tain_device *d)
{
    if (d->tape)
        return fail(TAIN_EINVAL, "tape: one is running already; steps cannot be nested");
    d->tape = base_alloc(1, sizeof(*d->tape));
    return d->tape ? 0 : TAIN_ENOMEM;
}

void tape_end(tain_device *d)
{
    if (!d->tape)
        return;
    /* From the end, so that results go before what they were made of. */
    while (d->tape->count)
        drop(&d->tape->calls[--d->tape->count]);
    free(d->tape->calls);
    free(d->tape);
    d->tape = NULL;
}

int tape_record(struct op_call *call)
{
    struct tape *tape = call->device->tape;
    struct op_call *c;

    if (tape->count == tape->room) {
        int room = tape->room * 2 + 64;
        struct op_call *more = base_grow(tape->calls, (size_t)tape->room, (size_t)room, sizeof(*more));
        if (!more)
            return TAIN_ENOMEM;
        tape->calls = more;
        tape->room = room;
    }
    c = &tape->calls[tape->count++];
    *c = *call;
    for (int i = 0; i < c->inputs; i++)
        if (c->in[i])
            tensor_ref(c->in[i]);
    for (int i = 0; i < OP_SAVED; i++)
        if (c->saved[i])
            tensor_ref(c->saved[i]);
    tensor_ref(c->out);
    c->out->wants_grad = true;
    return 0;
}

tain_tensor *grad_target(tain_tensor *t, bool *add)
{
    if (t->grad_home) {
        if (!t->grad)
            t->grad = tensor_ref(t->grad_home);
        *add = t->grad_started;
        t->grad_started = true;
        return t->grad;
    }
    *add = t->grad != NULL;
    if (!t->grad)
        return t->grad = tensor_like(t);
    if (t->grad->refs > 1 || t->grad->storage->refs > 1) {
        tain_tensor *own = tensor_like(t);
        if (!own || tensor_copy_bytes(own, t->grad)) {
            tensor_unref(own);
            return NULL;
        }
        tensor_unref(t->grad);
        t->grad = own;
    }
    return t->grad;
}

int grad_give(tain_tensor *t, tain_tensor *g)
{
    tain_tensor *target;
    bool add;
    int status;

    if (!g)
        return tain_error_status();
    if (!t->grad_home && !t->grad) {
        t->grad = g;
        return 0;
    }
    target = grad_target(t, &add);
    status = target ? tensor_accumulate(target, g, add) : tain_error_status();
    tensor_unref(g);
    return status;
}

/* Goes backward over the device's tape, from results whose gradients are there. It is empty then. */
static int walk(tain_device *d)
{
    struct tape *tape = d->tape;
    bool grad = d->grad;
    int status = 0;

    d->grad = false;
    d->tape = NULL;
    while (tape->count) {
        struct op_call *c = &tape->calls[tape->count - 1];
        if (!status && c->out->grad) {
            c->dout = c->out->grad;
            status = c->backward(c);
        }
        tensor_unref(c->out->grad);
        c->out->grad = NULL;
        drop(c);
        tape->count--;
    }
    d->tape = tape;
    d->grad = grad;
    return status;
}

int tape_backward(tain_tensor *loss)
{
    tain_device *d = loss->device;
    const float one = 1;

    if (!d->tape)
        return fail(TAIN_EINVAL, "backward: no tape is running; use it inside a step");
    if (tensor_count(loss) != 1)
        return fail(TAIN_EINVAL, "backward: the loss must be one number; it has the shape %s", tensor_text(loss));
    if (!loss->wants_grad)
        return fail(TAIN_EINVAL, "backward: the loss does not depend on any tensor that wants a gradient");
    tensor_unref(loss->grad);
    loss->grad = tensor_from(d, TAIN_F32, loss->dims, loss->shape, &one);
    return loss->grad ? walk(d) : tain_error_status();
}

int tape_again(tain_tensor *x, tain_tensor *dy, tain_tensor *(*run)(void *with, tain_tensor *x), void *with)
{
    tain_device *d = x->device;
    struct tape *outer = d->tape;
    bool grad = d->grad;
    tain_tensor *own, *y = NULL;
    int status;

    /* A leaf on the same storage: the gradient stops here and is handed on. */
    own = view_make(x, x->dims, x->shape, x->stride, x->offset);
    if (!own)
        return tain_error_status();
    own->leaf = own->wants_grad = x->wants_grad;
    d->tape = NULL;
    d->grad = true;
    status = tape_begin(d);
    if (!status && !(y = run(with, own)))
        status = tain_error_status();
    if (!status && y->wants_grad) {
        y->grad = tensor_ref(dy);
        status = walk(d);
    }
    tape_end(d);
    d->tape = outer;
    d->grad = grad;
    if (!status && own->grad)
        status = grad_give(x, tensor_ref(own->grad));
    tensor_unref(y);
    tensor_unref(own);
    return status;
}

/* ---- The public part ---- */

tain_status tain_tape_begin(tain_device *device)
{
    REQUIRE(device, "tape: device is missing");
    return tape_begin(device);
}

void tain_tape_end(tain_device *device)
{
    if (device)
        tape_end(device);
}

tain_status tain_backward(tain_tensor *loss)
{
    REQUIRE(loss, "backward: loss is missing");
    return tape_backward(loss);
}

bool tain_grad_enable(tain_device *device, bool on)
{
    bool before = device && device->grad;

    if (device)
        device->grad = on;
    return before;
}

tain_status tain_tensor_want_grad(tain_tensor *tensor, bool wanted)
{
    REQUIRE(tensor, "want_grad: tensor is missing");
    REQUIRE(tensor->type == TAIN_F32, "want_grad: the tensor is stored as %s; only f32 can be trained", type_name(tensor->type));
    REQUIRE(tensor->leaf || !tensor->wants_grad, "want_grad: the tensor is the result of a recorded call");
    tensor->leaf = tensor->wants_grad = wanted;
    if (!wanted && !tensor->grad_home) {
        tensor_unref(tensor->grad);
        tensor->grad = NULL;
    }
    return 0;
}

tain_tensor *tain_tensor_grad(tain_tensor *tensor)
{
    REQUIRE_OR_NULL(tensor, "grad: tensor is missing");
    REQUIRE_OR_NULL(tensor->grad, "grad: the tensor has none; does the loss depend on it, and was it a leaf?");
    return tensor_ref(tensor->grad);
}

/* Recomputation changes neither the loss nor one bit of a gradient, and takes less memory. */
#include "check.h"
#include "model/janus.h"

static float *gradients(struct janus *m, bool recompute, const struct janus_row *rows, const int32_t *codes, float *loss,
                        int64_t *peak, int64_t *count)
{
    tain_device *d = m->weights.device;
    tain_tensor *logp, *mean;
    float *all = NULL;

    m->language.recompute = recompute;
    tain_device_wait(d);
    tain_device_reset_peak(d);
    CHECK_INT(tain_tape_begin(d), 0);
    logp = janus_image_logprob(m, rows, 2, codes);
    CHECK(logp);
    mean = tain_mean(logp);
    CHECK_INT(tain_tensor_read(mean, loss, 1), 0);
    CHECK_INT(tain_backward(mean), 0);
    tain_tape_end(d);
    *peak = tain_device_memory(d, true);
    *count = 0;
    for (int i = 0; i < m->weights.count; i++) {
        tain_tensor *t = m->weights.list[i]->tensor;
        if (!t->grad)
            continue;
        all = realloc(all, (size_t)(*count + tensor_count(t)) * sizeof(float));
        CHECK_INT(tain_tensor_read(t->grad, all + *count, tensor_count(t)), 0);
        *count += tensor_count(t);
        tensor_unref(t->grad);
        t->grad = NULL;
    }
    tensor_unref(logp);
    tensor_unref(mean);
    return all;
}

int main(void)
{
    struct janus m = { 0 };
    struct janus_config c;
    struct json *root = json_read("tests/golden/janus/janus_tiny.json", 1 << 20);
    int32_t ids[7] = { 100, 20, 21, 22, 23, 24, 103 }, codes[2 * 16];
    struct janus_row rows[2] = { { ids, 7 }, { ids, 7 } };
    tain_device *d = tain_device_open(NULL);
    int64_t peak[2], count[2];
    float loss[2], *g[2];

    CHECK(d && root);
    for (int i = 0; i < 32; i++)
        codes[i] = i * 7 % 32;
    CHECK_INT(janus_config_read(&c, root), 0);
    c.language.layers = 4;
    CHECK_INT(janus_open(&m, d, &c), 0);
    CHECK_INT(weights_random(&m.weights, 3), 0);
    for (int i = 0; i < m.weights.count; i++)
        CHECK_INT(tain_tensor_want_grad(m.weights.list[i]->tensor, true), 0);
    for (int i = 0; i < 2; i++)
        g[i] = gradients(&m, i, rows, codes, &loss[i], &peak[i], &count[i]);
    CHECK_INT(count[0], count[1]);
    CHECK(count[0] > 0 && loss[0] == loss[1]);
    CHECK(!memcmp(g[0], g[1], (size_t)count[0] * sizeof(float)));
    CHECK(peak[1] < peak[0]);
    free(g[0]);
    free(g[1]);
    json_free(root);
    janus_close(&m);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}

/* Tensors go to the device and back in every storage type; views; the tape on a small sum. */
#include "check.h"

int main(void)
{
    tain_device *d = tain_device_open(NULL);
    float in[37], out[37];
    int64_t shape[1] = { 37 }, two[2] = { 5, 7 };

    CHECK(d);
    for (int i = 0; i < 37; i++)
        in[i] = (float)(i - 18) * 0.37f;
    for (int type = TAIN_F32; type <= TAIN_BF16; type++) {
        double tolerance = type == TAIN_F32 ? 0 : type == TAIN_F16 ? 4e-3 : 3e-2;
        tain_tensor *t = tain_tensor_create(d, (tain_type)type, 1, shape);
        CHECK(t);
        CHECK_INT(tain_tensor_write(t, in, 37), 0);
        CHECK_INT(tain_tensor_read(t, out, 37), 0);
        for (int i = 0; i < 37; i++)
            CHECK_CLOSE(in[i], out[i], tolerance);
        tain_tensor *f = tain_cast(t, TAIN_F32);
        float again[37];
        CHECK(f);
        CHECK_INT(tain_tensor_read(f, again, 37), 0);
        CHECK(!memcmp(again, out, sizeof(out)));
        tain_tensor *back = tain_cast(f, (tain_type)type);
        CHECK(back);
        CHECK_INT(tain_tensor_read(back, again, 37), 0);
        CHECK(!memcmp(again, out, sizeof(out)));
        tain_tensor_free(back);
        tain_tensor_free(f);
        tain_tensor_free(t);
    }

    /* transpose, then slice, then a dense copy, and the gradient all the way back */
    tain_tensor *x = tain_tensor_create(d, TAIN_F32, 2, two);
    CHECK_INT(tain_tensor_write(x, in, 35), 0);
    CHECK_INT(tain_tensor_want_grad(x, true), 0);
    CHECK_INT(tain_tape_begin(d), 0);
    tain_tensor *t = tain_transpose(x, 0, 1), *s = tain_slice(t, 0, 2, 1), *one = tain_slice(s, 1, 3, 1);
    tain_tensor *y = tain_square(one), *loss = tain_reshape(y, 0, NULL);
    CHECK(loss);
    CHECK_INT(tain_tensor_read(loss, out, 1), 0);
    CHECK_CLOSE(out[0], in[3 * 7 + 2] * in[3 * 7 + 2], 1e-6);
    CHECK_INT(tain_backward(loss), 0);
    tain_tensor *g = tain_tensor_grad(x);
    CHECK(g);
    CHECK_INT(tain_tensor_read(g, out, 35), 0);
    for (int i = 0; i < 35; i++)
        CHECK_CLOSE(out[i], i == 3 * 7 + 2 ? 2 * in[i] : 0, 1e-6);
    tain_tape_end(d);
    tain_tensor_free(g);
    tain_tensor_free(loss);
    tain_tensor_free(y);
    tain_tensor_free(one);
    tain_tensor_free(s);
    tain_tensor_free(t);
    tain_tensor_free(x);
    CHECK_INT(tain_device_memory(d, false), 0);
    CHECK(!tain_tensor_create(d, TAIN_F32, 1, (int64_t[]){ -1 }));
    CHECK(!tain_tensor_create(d, TAIN_F32, 2, (int64_t[]){ 1ll << 40, 1ll << 40 }));
    tain_device_free(d);
    return 0;
}

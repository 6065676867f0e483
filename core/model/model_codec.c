/* model_codec.c - codes to pixels and back, and the codec by itself. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

/* ---- Codes and pixels ---- */

/* Room on the host for the pixels of as many images as go through the codec together, *some of `images`: large
 * ones one by one, since the codec holds hundreds of numbers for each pixel. The caller's; NULL on failure. */
static float *room(const tain_model *m, int32_t images, int32_t *some)
{
    enum { PIXELS = 1 << 18, MOST = 64 };
    int64_t area = m->j.config.codec.image * m->j.config.codec.image, n = PIXELS / area;

    n = n < 1 ? 1 : n > MOST ? MOST : n;
    *some = n < images ? (int32_t)n : images;
    return base_alloc((size_t)(*some * area * 3), sizeof(float));
}

tain_status tain_model_decode(tain_model *model, const int32_t *codes, int32_t images, uint8_t *rgb)
{
    int64_t S, N;
    int32_t some;
    float *pixels;
    int status = 0;

    REQUIRE(model, "decode: model is missing");
    REQUIRE(codes && rgb, "decode: codes or pixels are missing");
    REQUIRE(images >= 0, "decode: %d images", images);
    S = model->j.config.codec.image;
    N = tain_model_image_codes(model);
    if (!(pixels = room(model, images, &some)))
        return TAIN_ENOMEM;
    for (int32_t i = 0; i < images && !status; i += some) {
        int64_t n = images - i < some ? images - i : some, count = n * S * S * 3;
        tain_device *d = model->j.weights.device;
        bool grad = d->grad;
        tain_tensor *t;

        d->grad = false;
        t = janus_decode(&model->j, codes + i * N, n);
        d->grad = grad;
        status = t ? tain_tensor_read(t, pixels, count) : tain_error_status();
        tensor_unref(t);
        for (int64_t k = 0; k < count && !status; k++) { /* cut off, not rounded, as the reference does */
            float v = (pixels[k] + 1) / 2 * 255;
            rgb[i * S * S * 3 + k] = (uint8_t)(v > 0 ? v < 255 ? v : 255 : 0);
        }
    }
    free(pixels);
    return status;
}

tain_status tain_model_encode(tain_model *model, const uint8_t *rgb, int32_t images, int32_t width, int32_t height,
                              int32_t *codes)
{
    int64_t S, N;
    int32_t some;
    float *pixels;
    int status;

    REQUIRE(model, "encode: model is missing");
    REQUIRE(codes, "encode: codes are missing");
    if ((status = pixels_check("encode", rgb, images, width, height)))
        return status;
    S = model->j.config.codec.image;
    N = tain_model_image_codes(model);
    if (!(pixels = room(model, images, &some)))
        return TAIN_ENOMEM;
    for (int32_t i = 0; i < images && !status; i += some) {
        int64_t n = images - i < some ? images - i : some;
        tain_device *d = model->j.weights.device;
        tain_tensor *x = NULL, *z = NULL, *best = NULL;
        bool grad = d->grad;

        for (int64_t k = 0; k < n && !status; k++) {
            const uint8_t *from = rgb + (size_t)(i + k) * (size_t)width * (size_t)height * 3;
            struct image *one = image_new(width, height), *fit = NULL, *cut = NULL;
            if (one) {
                memcpy(one->rgb, from, (size_t)width * (size_t)height * 3);
                fit = width == S && height == S ? one : image_short_side(one, (int)S, IMAGE_BICUBIC);
                cut = fit ? image_crop(fit, (fit->width - (int)S) / 2, (fit->height - (int)S) / 2, (int)S, (int)S) : NULL;
            }
            if (!cut)
                status = tain_error_status();
            for (int64_t p = 0; p < S * S * 3 && !status; p++)
                pixels[k * S * S * 3 + p] = (float)cut->rgb[p] / 127.5f - 1;
            image_free(cut);
            if (fit != one)
                image_free(fit);
            image_free(one);
        }
        d->grad = false;
        x = status ? NULL : tensor_from(d, TAIN_F32, 4, (int64_t[]){ n, S, S, 3 }, pixels);
        z = x ? codec_encode(&model->j.weights, model->j.codec, x) : NULL;
        best = z ? codec_nearest(model->j.codec, z) : NULL;
        d->grad = grad;
        if (!status)
            status = best ? tain_tensor_read_ints(best, codes + i * N, n * N) : tain_error_status();
        tensor_unref(x);
        tensor_unref(z);
        tensor_unref(best);
    }
    free(pixels);
    return status;
}

/* ---- The codec by itself ---- */

tain_tensor *tain_codec_encode(tain_model *model, tain_tensor *pixels)
{
    int64_t S;

    REQUIRE_OR_NULL(model && pixels, "codec_encode: model or pixels are missing");
    S = model->j.config.codec.image;
    REQUIRE_OR_NULL(pixels->dims == 4 && pixels->shape[1] == S && pixels->shape[2] == S && pixels->shape[3] == 3,
                    "codec_encode: pixels are %s; they must be [B, %lld, %lld, 3]", tensor_text(pixels), (long long)S, (long long)S);
    return codec_encode(&model->j.weights, model->j.codec, pixels);
}

tain_tensor *tain_codec_decode(tain_model *model, tain_tensor *z)
{
    REQUIRE_OR_NULL(model && z, "codec_decode: model or z is missing");
    REQUIRE_OR_NULL(z->dims == 3 && z->shape[1] == tain_model_image_codes(model) && z->shape[2] == model->j.config.codec.code_size,
                    "codec_decode: z is %s; it must be [B, %d, %lld]", tensor_text(z), tain_model_image_codes(model),
                    (long long)model->j.config.codec.code_size);
    return codec_decode(&model->j.weights, model->j.codec, z);
}

tain_tensor *tain_codec_book(tain_model *model)
{
    REQUIRE_OR_NULL(model, "codec_book: model is missing");
    return codec_book(model->j.codec);
}

tain_tensor *tain_codec_nearest(tain_model *model, tain_tensor *z)
{
    REQUIRE_OR_NULL(model && z, "codec_nearest: model or z is missing");
    REQUIRE_OR_NULL(tensor_last(z) == model->j.config.codec.code_size, "codec_nearest: z is %s; its rows must have %lld numbers",
                    tensor_text(z), (long long)model->j.config.codec.code_size);
    return codec_nearest(model->j.codec, z);
}

tain_tensor *tain_codec_unit(tain_tensor *z)
{
    REQUIRE_OR_NULL(z, "codec_unit: z is missing");
    return codec_unit(z);
}

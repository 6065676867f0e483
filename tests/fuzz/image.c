/* PNG, JPEG and PPM; what is read can be made smaller and written. */
#define _GNU_SOURCE
#include "fuzz.h"

static void try_bytes(const uint8_t *bytes, size_t count)
{
    struct image *image = image_decode("x", bytes, count), *small;
    uint8_t *png;
    size_t n;

    if (!image) {
        refused();
        return;
    }
    if (image->width <= 4096 && image->height <= 4096) {
        CHECK(small = image_resize(image, 5, 3, IMAGE_BICUBIC));
        CHECK_INT(image_encode_png(small, &png, &n), 0);
        free(png);
        image_free(small);
    }
    image_free(image);
}

/* public.c - what Lua may do with files, folders, pictures and logs: sections of tain.h, on top of
 * this folder's other files.
 *
 * What comes back with a length is a tain_bytes, so no caller has to know how it was allocated.
 */
#include "io/io.h"

#include <stdlib.h>
#include <string.h>

/* ---- Bytes ---- */

struct tain_bytes {
    char *at;
    size_t count;
};

/* Takes over `at`; NULL passes a failure on. */
static tain_bytes *bytes_of(void *at, size_t count)
{
    tain_bytes *b = at ? base_alloc(1, sizeof(*b)) : NULL;

    if (!b) {
        free(at);
        return NULL;
    }
    b->at = at;
    b->count = count;
    return b;
}

int64_t tain_bytes_count(const tain_bytes *bytes)
{
    return bytes ? (int64_t)bytes->count : 0;
}

const char *tain_bytes_at(const tain_bytes *bytes)
{
    return bytes ? bytes->at : NULL;
}

void tain_bytes_free(tain_bytes *bytes)
{
    if (bytes)
        free(bytes->at);
    free(bytes);
}

/* ---- Files ---- */

tain_bytes *tain_file_read(const char *path, int64_t limit)
{
    uint8_t *at;
    size_t count;

    REQUIRE_OR_NULL(path, "file_read: path is NULL");
    REQUIRE_OR_NULL(limit >= 0, "file_read: limit is %lld", (long long)limit);
    return file_read(path, (size_t)limit, &at, &count) ? NULL : bytes_of(at, count);
}

tain_status tain_file_write(const char *path, const char *bytes, int64_t count)
{
    REQUIRE(path && bytes, "file_write: path or bytes is NULL");
    REQUIRE(count >= 0, "file_write: count is %lld", (long long)count);
    return file_write(path, bytes, (size_t)count);
}

tain_status tain_file_copy(const char *from, const char *to)
{
    REQUIRE(from && to, "file_copy: a path is NULL");
    return file_copy(from, to);
}

tain_status tain_file_rename(const char *from, const char *to)
{
    REQUIRE(from && to, "file_rename: a path is NULL");
    return file_rename(from, to);
}

tain_status tain_file_remove(const char *path)
{
    REQUIRE(path, "file_remove: path is NULL");
    return file_remove(path);
}

bool tain_file_exists(const char *path)
{
    return path && file_exists(path);
}

int64_t tain_file_size(const char *path)
{
    int64_t size;
    int fd;

    REQUIRE(path, "file_size: path is NULL");
    if ((fd = file_open(path, &size)) < 0)
        return fd;
    io_calls.close(fd);
    return size;
}

tain_bytes *tain_file_sha256(const char *path)
{
    char digits[65];

    REQUIRE_OR_NULL(path, "file_sha256: path is NULL");
    return sha256_file(path, digits) ? NULL : bytes_of(base_strdup(digits), 64);
}

tain_bytes *tain_sha256(const char *bytes, int64_t count)
{
    char digits[65];

    REQUIRE_OR_NULL(bytes && count >= 0, "sha256: bytes is NULL or count negative");
    sha256(bytes, (size_t)count, digits);
    return bytes_of(base_strdup(digits), 64);
}

tain_bytes *tain_weights_list(const char *path)
{
    struct text t = { 0 };
    struct st_file *f;

    REQUIRE_OR_NULL(path, "weights_list: path is NULL");
    if (!(f = st_open(path)))
        return NULL;
    text_put(&t, "", 0);
    for (int i = 0; i < st_count(f); i++)
        text_put(&t, st_at(f, i)->name, strlen(st_at(f, i)->name) + 1);
    st_close(f);
    if (t.failed) {
        free(t.at);
        return NULL;
    }
    return bytes_of(t.at ? t.at : base_alloc(1, 1), t.count);
}

bool tain_folder_exists(const char *path)
{
    return path && folder_exists(path);
}

tain_status tain_folder_make(const char *path)
{
    REQUIRE(path, "folder_make: path is NULL");
    return folder_make(path);
}

tain_bytes *tain_folder_list(const char *path)
{
    struct text t = { 0 };
    char **names;
    size_t n;

    REQUIRE_OR_NULL(path, "folder_list: path is NULL");
    if (folder_list(path, &names, &n))
        return NULL;
    text_put(&t, "", 0);
    for (size_t i = 0; i < n; i++)
        text_put(&t, names[i], strlen(names[i]) + 1);
    folder_list_free(names, n);
    if (t.failed) {
        free(t.at);
        return NULL;
    }
    return bytes_of(t.at ? t.at : base_alloc(1, 1), t.count);
}

tain_status tain_folder_settle(const char *path)
{
    REQUIRE(path, "folder_settle: path is NULL");
    return folder_settle(path);
}

tain_status tain_folder_remove(const char *path)
{
    REQUIRE(path, "folder_remove: path is NULL");
    return folder_remove(path);
}

/* ---- Images ---- */

static struct image *inside(const tain_image *image)
{
    return (struct image *)image;
}

static tain_image *outside(struct image *image)
{
    return (tain_image *)image;
}

tain_image *tain_image_create(int32_t width, int32_t height)
{
    return outside(image_new(width, height));
}

void tain_image_free(tain_image *image)
{
    image_free(inside(image));
}

int32_t tain_image_width(const tain_image *image)
{
    return image ? inside(image)->width : 0;
}

int32_t tain_image_height(const tain_image *image)
{
    return image ? inside(image)->height : 0;
}

uint8_t *tain_image_pixels(tain_image *image)
{
    return image ? inside(image)->rgb : NULL;
}

tain_status tain_image_fill(tain_image *image, const float *values, int64_t count, float low,
                            float high)
{
    struct image *i = inside(image);

    REQUIRE(image && values, "image_fill: image or values is NULL");
    REQUIRE(count == (int64_t)i->width * i->height * 3,
            "image_fill: %lld values for %d x %d pixels", (long long)count, i->width, i->height);
    REQUIRE(low < high, "image_fill: low is %g and high is %g", (double)low, (double)high);
    for (int64_t k = 0; k < count; k++) {
        float v = (values[k] - low) / (high - low) * 255.0f + 0.5f;

        i->rgb[k] = v >= 255.0f ? 255 : v >= 0.0f ? (uint8_t)v : 0; /* what is no number is black */
    }
    return TAIN_OK;
}

tain_image *tain_image_read(const char *path)
{
    REQUIRE_OR_NULL(path, "image_read: path is NULL");
    return outside(image_read(path));
}

tain_image *tain_image_decode(const char *name, const char *bytes, int64_t count)
{
    REQUIRE_OR_NULL(name && bytes && count >= 0, "image_decode: an argument is NULL or negative");
    return outside(image_decode(name, bytes, (size_t)count));
}

tain_status tain_image_write(tain_image *image, const char *path)
{
    REQUIRE(image && path, "image_write: image or path is NULL");
    return image_write(inside(image), path);
}

tain_bytes *tain_image_png(tain_image *image)
{
    uint8_t *at;
    size_t count;

    REQUIRE_OR_NULL(image, "image_png: image is NULL");
    return image_encode_png(inside(image), &at, &count) ? NULL : bytes_of(at, count);
}

tain_image *tain_image_resize(tain_image *image, int32_t width, int32_t height, tain_filter filter)
{
    REQUIRE_OR_NULL(image, "image_resize: image is NULL");
    REQUIRE_OR_NULL(filter >= TAIN_BILINEAR && filter <= TAIN_LANCZOS,
                    "image_resize: there is no filter %d", (int)filter);
    return outside(image_resize(inside(image), width, height, (enum image_filter)filter));
}

tain_image *tain_image_tile(tain_image *const *images, int32_t count, int32_t columns,
                            int32_t border, int32_t colour)
{
    const uint8_t rgb[3] = { (uint8_t)(colour >> 16), (uint8_t)(colour >> 8), (uint8_t)colour };
    const struct image **list;
    struct image *made;

    REQUIRE_OR_NULL(images && count > 0, "image_tile: there must be at least one image");
    for (int32_t i = 0; i < count; i++)
        REQUIRE_OR_NULL(images[i], "image_tile: image %d is NULL", (int)i + 1);
    if (!(list = base_alloc((size_t)count, sizeof(*list))))
        return NULL;
    for (int32_t i = 0; i < count; i++)
        list[i] = inside(images[i]);
    made = image_tile(list, count, columns, border, rgb);
    free(list);
    return outside(made);
}

/* ---- Runs ---- */

static struct runlog *inner(const tain_events *events)
{
    return (struct runlog *)events;
}

tain_events *tain_events_open(const char *path, bool write)
{
    REQUIRE_OR_NULL(path, "events_open: path is NULL");
    return (tain_events *)runlog_open(path, write);
}

void tain_events_free(tain_events *events)
{
    runlog_close(inner(events));
}

int64_t tain_events_count(const tain_events *events)
{
    return events ? runlog_count(inner(events)) : 0;
}

int64_t tain_events_trimmed(const tain_events *events)
{
    return events ? runlog_trimmed(inner(events)) : 0;
}

tain_status tain_events_add(tain_events *events, const char *object, int64_t count)
{
    REQUIRE(events && object && count >= 0, "events_add: an argument is NULL or negative");
    return runlog_add(inner(events), object, (size_t)count);
}

tain_status tain_events_sync(tain_events *events)
{
    REQUIRE(events, "events_sync: events is NULL");
    return runlog_sync(inner(events));
}

int32_t tain_events_next(tain_events *events, int64_t *at, const char **line, int64_t *count)
{
    size_t n = 0;
    int found;

    REQUIRE(events && at && line && count, "events_next: an argument is NULL");
    found = runlog_next(inner(events), at, line, &n);
    *count = (int64_t)n;
    return found;
}

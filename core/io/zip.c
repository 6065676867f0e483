/* zip.c - the archive around a pickle: members that are stored as they are, so that tensors can be
 * read from where they lie.
 *
 * The directory at the end is the truth about names and sizes; a member's own header is only asked
 * where its bytes begin, and whether it is the same member. Members may not lie in each other or in
 * the directory: then two readers cannot see two files.
 */
#include "io/tensors.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { TAIL = 22, TAIL64 = 56, LOCATOR = 20, CENTRAL = 46, LOCAL = 30, COMMENT = 65535, CHECKED = 1 << 20 };

static uint32_t u16(const uint8_t *p) { return (uint32_t)(p[0] | p[1] << 8); }
static uint32_t u32(const uint8_t *p) { return u16(p) | u16(p + 2) << 16; }
static uint64_t u64(const uint8_t *p) { return u32(p) | (uint64_t)u32(p + 4) << 32; }

/* What the end of the file says of the directory. */
struct tail {
    uint64_t count, bytes, at;
    int64_t end; /* where the directory must end */
};

/* The record that ends the file: its comment, which may be empty, reaches exactly to the end. */
static int find_tail(const struct zip *z, int64_t size, struct tail *t)
{
    size_t n = size < TAIL + COMMENT ? (size_t)size : TAIL + COMMENT, i = n < TAIL ? 0 : n - TAIL + 1;
    uint8_t *end = base_alloc(n, 1), *p, wide[TAIL64] = { 0 };
    int status = end ? file_read_at(z->fd, z->path, size - (int64_t)n, end, n) : TAIN_ENOMEM;

    while (!status && i > 0 && (memcmp(end + i - 1, "PK\5\6", 4) || u16(end + i - 1 + 20) != n - (i - 1) - TAIL))
        i--;
    if (!status && !i)
        status = fail(TAIN_EFORMAT, "%s: is no archive, or the end of it is missing", z->path);
    if (status)
        goto done;
    p = end + i - 1;
    t->count = u16(p + 10);
    t->bytes = u32(p + 12);
    t->at = u32(p + 16);
    t->end = size - (int64_t)(n - (i - 1));
    if (u16(p + 4) != u16(p + 6) || u16(p + 8) != u16(p + 10) || (u16(p + 4) && u16(p + 4) != 0xffff))
        status = fail(TAIN_EFORMAT, "%s: is one disk of several", z->path);
    else if (i - 1 >= LOCATOR && !memcmp(p - LOCATOR, "PK\6\7", 4)) {
        uint64_t at = u64(p - LOCATOR + 8);

        t->end -= LOCATOR;
        if (t->end < TAIL64 || at != (uint64_t)t->end - TAIL64)
            status = fail(TAIN_EFORMAT, "%s: its directory's end is said to lie at byte %llu and not before byte %lld",
                          z->path, (unsigned long long)at, (long long)t->end);
        else if (!(status = file_read_at(z->fd, z->path, (int64_t)at, wide, TAIL64)) &&
                 (memcmp(wide, "PK\6\6", 4) || u64(wide + 4) != TAIL64 - 12 || u32(wide + 16) || u32(wide + 20) ||
                  u64(wide + 24) != u64(wide + 32)))
            status = fail(TAIN_EFORMAT, "%s: byte %llu: no end of a directory", z->path, (unsigned long long)at);
        t->count = u64(wide + 32);
        t->bytes = u64(wide + 40);
        t->at = u64(wide + 48);
        t->end = (int64_t)at;
    }
    if (!status && (t->at > (uint64_t)t->end || t->bytes != (uint64_t)t->end - t->at))
        status = fail(TAIN_EFORMAT, "%s: its directory has %llu bytes from byte %llu on, but ends at byte %lld", z->path,
                      (unsigned long long)t->bytes, (unsigned long long)t->at, (long long)t->end);
    if (!status && (t->bytes > ZIP_DIRECTORY || t->count > ZIP_MEMBERS || t->count > t->bytes / CENTRAL))
        status = fail(TAIN_EFORMAT, "%s: a directory of %llu members in %llu bytes; the limits are %d and %d", z->path,
                      (unsigned long long)t->count, (unsigned long long)t->bytes, ZIP_MEMBERS, ZIP_DIRECTORY);
done:
    free(end);
    return status;
}

/* Sizes of 4 GiB and more stand in an extra field, in a fixed order, those that do not fit alone. */
static bool read_wide(const uint8_t *extra, size_t n, uint64_t *size, uint64_t *packed, uint64_t *at)
{
    uint64_t *const want[] = { size, packed, at };

    while (n >= 4) {
        size_t bytes = u16(extra + 2), used = 0;

        if (bytes > n - 4)
            return false;
        if (u16(extra) == 1) {
            for (int i = 0; i < 3; i++)
                if (*want[i] == 0xffffffff) {
                    if (bytes - used < 8)
                        return false;
                    *want[i] = u64(extra + 4 + used);
                    used += 8;
                }
            return true;
        }
        extra += 4 + bytes;
        n -= 4 + bytes;
    }
    return *size != 0xffffffff && *packed != 0xffffffff && *at != 0xffffffff;
}

static int read_member(struct zip *z, const struct tail *t, const uint8_t *p, size_t left, size_t *used)
{
    struct zip_member *m = &z->members[z->count];
    size_t where = (size_t)(p - z->directory), name, extra, whole;
    uint64_t size, packed, at;

    if (left < CENTRAL || memcmp(p, "PK\1\2", 4))
        return fail(TAIN_EFORMAT, "%s: directory, byte %zu: no member, where one was expected", z->path, where);
    name = u16(p + 28);
    extra = u16(p + 30);
    whole = CENTRAL + name + extra + u16(p + 32);
    if (whole > left)
        return fail(TAIN_EFORMAT, "%s: directory, byte %zu: a member of %zu bytes, where %zu are left", z->path, where, whole,
                    left);
    if (!name || name > ST_NAME || !st_good_name((const char *)p + CENTRAL, name))
        return fail(TAIN_EFORMAT, "%s: directory, byte %zu: a name that is empty, too long or has control characters", z->path,
                    where);
    size = u32(p + 24);
    packed = u32(p + 20);
    at = u32(p + 42);
    if (!read_wide(p + CENTRAL + name, extra, &size, &packed, &at))
        return fail(TAIN_EFORMAT, "%s: directory, byte %zu: a size is missing", z->path, where);
    m->name = (const char *)p + CENTRAL;
    m->length = name;
    if (u16(p + 8) & 1)
        return fail(TAIN_EFORMAT, "%s: %.*s is encrypted", z->path, (int)name, m->name);
    if (u16(p + 10) || size != packed)
        return fail(TAIN_EFORMAT, "%s: %.*s is compressed (method %u); tensors are read from archives that are not", z->path,
                    (int)name, m->name, u16(p + 10));
    if (u16(p + 34))
        return fail(TAIN_EFORMAT, "%s: %.*s lies on another disk", z->path, (int)name, m->name);
    if (at > t->at || LOCAL + name > t->at - at || size > t->at - at - LOCAL - name)
        return fail(TAIN_EFORMAT, "%s: %.*s has %llu bytes at byte %llu, but the directory begins at byte %llu", z->path,
                    (int)name, m->name, (unsigned long long)size, (unsigned long long)at, (unsigned long long)t->at);
    m->at = (int64_t)at;
    m->size = (int64_t)size;
    m->crc = u32(p + 16);
    z->count++;
    *used = whole;
    return TAIN_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct zip_member *x = a, *y = b;

    return x->at < y->at ? -1 : x->at > y->at;
}

static int by_name(const void *a, const void *b)
{
    const struct zip_member *x = a, *y = b;
    int c = memcmp(x->name, y->name, x->length < y->length ? x->length : y->length);

    return c ? c : x->length < y->length ? -1 : x->length > y->length;
}

/* No member begins in another, and no name comes twice. */
static int check_members(struct zip *z, const struct tail *t)
{
    if (!z->count)
        return TAIN_OK;
    qsort(z->members, z->count, sizeof(*z->members), by_place);
    for (size_t i = 0; i < z->count; i++) {
        struct zip_member *m = &z->members[i];

        m->end = i + 1 < z->count ? m[1].at : (int64_t)t->at;
        if (m->size > m->end - m->at - LOCAL - (int64_t)m->length)
            return fail(TAIN_EFORMAT, "%s: %.*s reaches into what follows it at byte %lld", z->path, (int)m->length, m->name,
                        (long long)m->end);
    }
    qsort(z->members, z->count, sizeof(*z->members), by_name);
    for (size_t i = 1; i < z->count; i++)
        if (!by_name(&z->members[i - 1], &z->members[i]))
            return fail(TAIN_EFORMAT, "%s: %.*s comes twice", z->path, (int)z->members[i].length, z->members[i].name);
    return TAIN_OK;
}

int zip_open(struct zip *z, const char *path, int fd, int64_t size)
{
    struct tail t = { 0 };
    size_t at = 0, used = 0;
    int status;

    *z = (struct zip){ .path = path, .fd = fd };
    if ((status = find_tail(z, size, &t)))
        return status;
    z->directory = base_alloc((size_t)t.bytes, 1);
    z->members = base_alloc((size_t)t.count, sizeof(*z->members));
    status = z->directory && z->members ? file_read_at(fd, path, (int64_t)t.at, z->directory, (size_t)t.bytes) : TAIN_ENOMEM;
    while (!status && z->count < t.count) {
        status = read_member(z, &t, z->directory + at, (size_t)t.bytes - at, &used);
        at += used;
    }
    if (!status && at != t.bytes)
        status = fail(TAIN_EFORMAT, "%s: directory, byte %zu: more follows the %llu members", path, at,
                      (unsigned long long)t.count);
    return status ? status : check_members(z, &t);
}

void zip_close(struct zip *z)
{
    free(z->directory);
    free(z->members);
}

const struct zip_member *zip_find(const struct zip *z, const char *name, size_t length)
{
    const struct zip_member key = { .name = name, .length = length };

    return z->count ? bsearch(&key, z->members, z->count, sizeof(key), by_name) : NULL;
}

int zip_data(const struct zip *z, const struct zip_member *m, int64_t *at)
{
    uint8_t head[LOCAL + ST_NAME];
    int status = file_read_at(z->fd, z->path, m->at, head, LOCAL + m->length);

    if (status)
        return status;
    if (memcmp(head, "PK\3\4", 4) || u16(head + 26) != m->length || memcmp(head + LOCAL, m->name, m->length) ||
        u16(head + 8) || (u16(head + 6) & 1))
        return fail(TAIN_EFORMAT, "%s: byte %lld: not the %.*s that the directory says is there", z->path, (long long)m->at,
                    (int)m->length, m->name);
    *at = m->at + LOCAL + (int64_t)m->length + u16(head + 28);
    if (*at > m->end || m->size > m->end - *at)
        return fail(TAIN_EFORMAT, "%s: %.*s reaches into what follows it at byte %lld", z->path, (int)m->length, m->name,
                    (long long)m->end);
    return TAIN_OK;
}

/* Once for all the tensors in it. A checksum of 0 is what PyTorch writes where it was told to make none. */
int zip_check(const char *path, int fd, const char *name, struct st_sum *sum)
{
    int64_t most = sum->size < CHECKED ? sum->size : CHECKED;
    uint8_t *piece = sum->good || !sum->crc ? NULL : base_alloc((size_t)most, 1);
    uLong crc = crc32(0, NULL, 0);
    int status = 0;

    if (sum->good || !sum->crc)
        return TAIN_OK;
    if (!piece)
        return TAIN_ENOMEM;
    for (int64_t at = 0; at < sum->size && !status;) {
        size_t n = sum->size - at < CHECKED ? (size_t)(sum->size - at) : CHECKED;

        if (!(status = file_read_at(fd, path, sum->at + at, piece, n)))
            crc = crc32(crc, piece, (uInt)n);
        at += (int64_t)n;
    }
    free(piece);
    if (!status && crc != sum->crc)
        status = fail(TAIN_EFORMAT, "%s: %s is damaged: its data has another checksum", path, name);
    sum->good = !status;
    return status;
}

int zip_read(const struct zip *z, const struct zip_member *m, size_t limit, uint8_t **bytes)
{
    uint8_t *p;
    int64_t at;
    int status;

    if ((uint64_t)m->size > limit)
        return fail(TAIN_EFORMAT, "%s: %.*s has %lld bytes, more than the limit of %zu", z->path, (int)m->length, m->name,
                    (long long)m->size, limit);
    if ((status = zip_data(z, m, &at)))
        return status;
    if (!(p = base_alloc((size_t)m->size + 1, 1)))
        return TAIN_ENOMEM;
    status = file_read_at(z->fd, z->path, at, p, (size_t)m->size);
    if (!status && crc32(0, p, (uInt)m->size) != m->crc)
        status = fail(TAIN_EFORMAT, "%s: %.*s is damaged: its checksum is another", z->path, (int)m->length, m->name);
    if (status) {
        free(p);
        return status;
    }
    *bytes = p;
    return TAIN_OK;
}

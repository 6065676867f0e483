/* zip.h - archives for tests of the readers of archives: right ones, and wrong ones. */
#ifndef TAIN_TEST_ZIP_H
#define TAIN_TEST_ZIP_H

#include "io/temp.h"

#include <sys/mman.h>
#include <zlib.h>

struct bytes {
    uint8_t at[1 << 16];
    size_t count;
};

static void put(struct bytes *b, const void *p, size_t n)
{
    CHECK(n <= sizeof(b->at) - b->count);
    if (n)
        memcpy(b->at + b->count, p, n);
    b->count += n;
}

static void put_number(struct bytes *b, uint64_t v, size_t n)
{
    put(b, &v, n);
}

/* A member and, where a test wants them, the lies about it. */
struct member {
    const char *name;
    const void *data;
    size_t size;
    const char *name_there; /* in its own header, if it is another */
    int method, flags, disk;
    int64_t at, said_size, said_packed; /* in the directory, if not 0 */
    bool bad_crc, no_crc;
};

/* How the archive is put together. */
struct layout {
    bool wide;            /* with the records for large files, and all sizes in them */
    int padding;          /* bytes of an extra field before each member's data */
    const char *comment;
    int disk, more;       /* number of the disk; members that are said to be there and are not */
    int64_t directory_at, directory_bytes, wide_at; /* if not 0 */
};

static inline void make_zip(struct bytes *z, const struct member *m, size_t count, const struct layout *l)
{
    static uint64_t at[64];
    static uint32_t crc[64];
    size_t directory, end, wide;

    z->count = 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = m[i].name_there ? m[i].name_there : m[i].name;

        at[i] = z->count;
        crc[i] = (uint32_t)crc32(0, m[i].data, (uInt)m[i].size) ^ m[i].bad_crc;
        crc[i] = m[i].no_crc ? 0 : crc[i];
        put(z, "PK\3\4\0\0", 6);
        put_number(z, (uint64_t)m[i].flags, 2);
        put_number(z, (uint64_t)m[i].method, 2);
        put_number(z, 0, 4);
        put_number(z, crc[i], 4);
        put_number(z, m[i].size, 4);
        put_number(z, m[i].size, 4);
        put_number(z, strlen(name), 2);
        put_number(z, (uint64_t)l->padding, 2);
        put(z, name, strlen(name));
        for (int k = 0; k < l->padding; k++)
            put(z, "Z", 1);
        put(z, m[i].data, m[i].size);
    }
    directory = z->count;
    for (size_t i = 0; i < count; i++) {
        uint64_t where = m[i].at ? (uint64_t)m[i].at : at[i];
        uint64_t size = m[i].said_size ? (uint64_t)m[i].said_size : m[i].size;
        uint64_t packed = m[i].said_packed ? (uint64_t)m[i].said_packed : size;

        put(z, "PK\1\2\0\0\0\0", 8);
        put_number(z, (uint64_t)m[i].flags, 2);
        put_number(z, (uint64_t)m[i].method, 2);
        put_number(z, 0, 4);
        put_number(z, crc[i], 4);
        put_number(z, l->wide ? 0xffffffff : packed, 4);
        put_number(z, l->wide ? 0xffffffff : size, 4);
        put_number(z, strlen(m[i].name), 2);
        put_number(z, l->wide ? 6 + 28 : 0, 2);
        put_number(z, 0, 2);
        put_number(z, (uint64_t)m[i].disk, 2);
        put_number(z, 0, 6);
        put_number(z, l->wide ? 0xffffffff : where, 4);
        put(z, m[i].name, strlen(m[i].name));
        if (l->wide) { /* another field first, as some writers have */
            put(z, "UT\2\0zz\1\0\x18\0", 10);
            put_number(z, size, 8);
            put_number(z, packed, 8);
            put_number(z, where, 8);
        }
    }
    end = z->count;
    wide = end;
    if (l->wide) {
        put(z, "PK\6\6", 4);
        put_number(z, 44, 8);
        put_number(z, 0, 4);
        put_number(z, 0, 8);
        put_number(z, count + (size_t)l->more, 8);
        put_number(z, count + (size_t)l->more, 8);
        put_number(z, l->directory_bytes ? (uint64_t)l->directory_bytes : end - directory, 8);
        put_number(z, l->directory_at ? (uint64_t)l->directory_at : directory, 8);
        put(z, "PK\6\7\0\0\0\0", 8);
        put_number(z, l->wide_at ? (uint64_t)l->wide_at : wide, 8);
        put_number(z, 1, 4);
    }
    put(z, "PK\5\6", 4);
    put_number(z, (uint64_t)l->disk, 2);
    put_number(z, 0, 2);
    put_number(z, l->wide ? 0xffff : count + (size_t)l->more, 2);
    put_number(z, l->wide ? 0xffff : count + (size_t)l->more, 2);
    put_number(z, l->wide ? 0xffffffff : l->directory_bytes ? (uint64_t)l->directory_bytes : end - directory, 4);
    put_number(z, l->wide ? 0xffffffff : l->directory_at ? (uint64_t)l->directory_at : directory, 4);
    put_number(z, l->comment ? strlen(l->comment) : 0, 2);
    if (l->comment)
        put(z, l->comment, strlen(l->comment));
}

/* Opens bytes as a file of that name, which lies in memory, since thousands are made. */
static inline struct st_file *open_as(const char *name, const void *bytes, size_t n)
{
    static int fd = -1;
    static char path[64];

    if (fd < 0)
        fd = memfd_create("test", 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK(fd >= 0 && (!access(in_temp(name), F_OK) || !symlink(path, in_temp(name))));
    CHECK(!ftruncate(fd, 0) && pwrite(fd, bytes, n, 0) == (ssize_t)n);
    return st_open(in_temp(name));
}

/* Reads all there is. */
static inline void read_all(const struct st_file *f)
{
    for (int i = 0; i < st_count(f); i++) {
        const struct st_entry *e = st_at(f, i);
        void *p = malloc(e->bytes + 1);

        CHECK(p);
        if (st_read(f, e, p, e->bytes))
            CHECK(*tain_error());
        free(p);
    }
}

/* The file is read or refused; a refusal is one sentence that names the file. */
static inline void survives(const char *name, const void *bytes, size_t n)
{
    struct st_file *f = open_as(name, bytes, n);

    if (f)
        read_all(f);
    else if (!strstr(tain_error(), name) || strchr(tain_error(), '\n') || strlen(tain_error()) > 900) {
        fprintf(stderr, "%s: not one sentence about the file: %s\n", name, tain_error());
        exit(1);
    }
    st_close(f);
}

/* Cut off after every `step` bytes; and with every single bit of bytes `from` to `to` turned over. */
static inline void survives_damage(const char *name, const uint8_t *bytes, size_t n, size_t step, size_t from, size_t to)
{
    uint8_t *copy = malloc(n);

    for (size_t i = 0; i < n; i += step)
        survives(name, bytes, i);
    CHECK(copy);
    memcpy(copy, bytes, n);
    for (size_t i = from; i < to && i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            copy[i] ^= (uint8_t)(1 << bit);
            survives(name, copy, n);
            copy[i] = bytes[i];
        }
    free(copy);
}

#endif

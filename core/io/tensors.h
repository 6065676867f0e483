/* tensors.h - what the readers of files of named tensors share. For this folder only; what others
 * see of them is in io.h.
 */
#ifndef TAIN_IO_TENSORS_H
#define TAIN_IO_TENSORS_H

#include "io/io.h"

/* Bytes of a file with a checksum, which is looked at before any of them is used. */
struct st_sum {
    int64_t at, size;
    uint32_t crc;
    bool good; /* was looked at */
};

/* One open file. */
struct st_shard {
    char *path;
    int fd;
    int64_t size;
    int64_t changed;  /* when, as the system tells; its latest change before it was read */
    char *text;       /* names and metadata, each with a zero byte */
    int64_t *strides; /* of its entries that need some */
    struct st_sum *sums; /* where the file has them; in the order of their places */
    size_t sum_count;
};

struct st_pair {
    const char *key, *value;
};

struct st_file {
    struct st_shard *shards;
    int shard_count;
    struct st_entry *entries;
    size_t count, room;
    const struct st_entry **by_name;
    struct st_pair *metadata;
    size_t metadata_count;
    struct st_dense *dense;
};

/* Adds an entry, which is copied; its name stays the caller's. */
int tensors_add(struct st_file *f, const struct st_entry *e);

/* Each reads what an open file says it holds and adds an entry for every tensor. */
int safetensors_open(struct st_file *f, struct st_shard *shard);
int pickle_open(struct st_file *f, struct st_shard *shard);

/* The value of a key, or NULL. */
const char *safetensors_metadata(const struct st_pair *pairs, size_t count, const char *key);

/* ---- The archive around a pickle (zip.c) ---- */

enum {
    ZIP_DIRECTORY = 256 << 20, /* bytes of a table of contents */
    ZIP_MEMBERS   = 1000000,
};

struct zip_member {
    const char *name; /* not ended by a zero byte */
    size_t length;
    int64_t at, size; /* its header in the file; its bytes */
    int64_t end;      /* where what follows it begins */
    uint32_t crc;
};

/* Members are stored as they are and lie in one file. In the order of their names. */
struct zip {
    const char *path;
    int fd;
    uint8_t *directory;
    struct zip_member *members;
    size_t count;
};

int zip_open(struct zip *z, const char *path, int fd, int64_t size);
void zip_close(struct zip *z);
const struct zip_member *zip_find(const struct zip *z, const char *name, size_t length);
int zip_check(const char *path, int fd, const char *name, struct st_sum *sum); /* for the tensor of that name */
int zip_data(const struct zip *z, const struct zip_member *m, int64_t *at); /* where its bytes begin */
/* All of a member, with its checksum, in new memory for free(); a zero byte follows. */
int zip_read(const struct zip *z, const struct zip_member *m, size_t limit, uint8_t **bytes);

#endif

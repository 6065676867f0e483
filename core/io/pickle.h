/* pickle.h - the machine that a pickle is a program for (pickle_machine.c), and what it leaves, which are
 * the tensors of an archive of PyTorch (pickle.c). For these two files.
 */
#ifndef TAIN_IO_PICKLE_H
#define TAIN_IO_PICKLE_H

#include "io/tensors.h"

enum kind { NONE, BOOL, INT, FLOAT, STRING, NAME, TUPLE, LIST, DICT, ORDERED, STORAGE, TENSOR };

/* Strings lie in the pickle, tuples in `items`, pairs of a dictionary, storages and tensors in their
 * lists: `at` says where. */
struct value {
    uint32_t kind, count; /* of a string's bytes or a tuple's items */
    int64_t at;           /* or the value of BOOL and INT */
};

struct link {
    struct value key, value;
    int64_t before; /* the dictionary's previous pair, or -1 */
};

struct storage {
    struct value key;
    enum st_type type;
    int64_t count;
};

struct tensor {
    int64_t storage, offset;
    struct value size, stride;
};

/* An array that grows. */
struct list {
    void *at;
    size_t count, room, size, limit;
    const char *what;
};

struct machine {
    const char *path;
    const uint8_t *code;
    size_t count, start, at, steps; /* `start` is the first byte of the instruction */
    struct list stack, marks, memo, items, dicts, links, storages, tensors;
};

/* Both are borrowed: the path, and the pickle, of as many bytes. */
void machine_open(struct machine *m, const char *path, const uint8_t *code, size_t count);
void machine_close(struct machine *m);
/* Fails unless all that is left is a dictionary, of which every value has been made. */
int machine_run(struct machine *m);
/* After that: the dictionary's last pair among `links`, or -1. */
int64_t machine_last(const struct machine *m);

static inline const struct value *item(const struct machine *m, const struct value *tuple, size_t i)
{
    return (const struct value *)m->items.at + tuple->at + i;
}

#endif

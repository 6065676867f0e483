/* tensors.h - a whole file of tensors, whichever of the formats its name says: the target of two. */
#ifndef TAIN_FUZZ_TENSORS_H
#define TAIN_FUZZ_TENSORS_H

#include "fuzz.h"

static inline void try_tensors(const char *name, const uint8_t *bytes, size_t count)
{
    struct st_file *f = st_open(as_file(name, bytes, count));

    if (!f)
        refused();
    for (int i = 0; f && i < st_count(f); i++) {
        const struct st_entry *e = st_at(f, i);
        void *p = malloc(e->bytes + 1);

        CHECK(p && st_find(f, e->name));
        if (st_read(f, e, p, e->bytes))
            refused();
        free(p);
    }
    st_close(f);
}

#endif

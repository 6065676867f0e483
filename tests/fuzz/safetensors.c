/* A whole safetensors file. */
#define _GNU_SOURCE
#include "fuzz.h"

static void try_bytes(const uint8_t *bytes, size_t count)
{
    struct st_file *f = st_open(as_file("m.safetensors", bytes, count));

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

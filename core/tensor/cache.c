/* cache.c - what ops make once and keep on the device: tables, such as the sines of rope, and copies, such as a weight laid
 * out for a product.
 *
 * Tables are found by a text, copies by what they are of, as long as that has not been written to since. Both are dropped
 * with the last tensor that someone else holds: so a device without tensors holds no memory, and none of them keeps its
 * device alive.
 */
#include "tensor/tensor.h"

#include <stdlib.h>
#include <string.h>

struct cached {
    struct cached *next;
    tain_tensor *table;
    char key[];
};

/* A copy is kept when it is wanted for the second time: most are of what is written anew before. Not in a step of training,
 * which has other use for the memory, and many rows for one copy. COPIES in sets of WAYS,
 * COPIES_MOST bytes in all; those that were not wanted for so long make room. */
enum { COPIES = 1024, WAYS = 4, COPIES_MOST = 64 << 20, LONG = 4096 };

struct copies {
    struct copy {
        struct copied of;
        tain_tensor *copy; /* NULL: it was wanted once */
        uint64_t wanted;   /* when */
    } at[COPIES];
    uint64_t now, bytes;
};

static void forget(tain_device *d, struct copies *all, struct copy *c)
{
    tain_tensor *copy = c->copy;

    *c = (struct copy){ .copy = NULL };
    if (copy) {
        all->bytes -= copy->storage->range.bytes;
        d->live++;
        tensor_unref(copy);
    }
}

/* Where it is, or would be. */
static struct copy *place(struct copies *all, const struct copied *of)
{
    uint64_t hash = 0xcbf29ce484222325;
    struct copy *set, *oldest;

    for (size_t i = 0; i < COPIED_WORDS; i++)
        hash = (hash ^ of->word[i]) * 0x9e3779b97f4a7c15, hash ^= hash >> 29;
    oldest = set = &all->at[hash % (COPIES / WAYS) * WAYS];
    for (int i = 0; i < WAYS; i++) {
        if (!memcmp(&set[i].of, of, sizeof(*of)))
            return &set[i];
        if (set[i].wanted < oldest->wanted)
            oldest = &set[i];
    }
    return oldest;
}

tain_tensor *copy_find(tain_device *d, const struct copied *of, bool *keep)
{
    struct copy *c;

    *keep = false;
    if (!of->word[0] || (!d->copies && !(d->copies = base_alloc(1, sizeof(*d->copies)))))
        return NULL;
    c = place(d->copies, of);
    *keep = !d->tape && !c->copy && !memcmp(&c->of, of, sizeof(*of));
    if (memcmp(&c->of, of, sizeof(*of))) {
        forget(d, d->copies, c);
        c->of = *of;
    }
    c->wanted = ++d->copies->now;
    return c->copy;
}

void copy_keep(tain_device *d, const struct copied *of, tain_tensor *copy)
{
    struct copies *all = d->copies;
    struct copy *c = place(all, of);
    uint64_t bytes = copy->storage->range.bytes;

    if (c->copy || memcmp(&c->of, of, sizeof(*of)))
        return;
    for (int i = 0; i < COPIES && all->bytes + bytes > COPIES_MOST; i++)
        if (all->at[i].copy && all->at[i].wanted + LONG < all->now)
            forget(d, all, &all->at[i]);
    if (all->bytes + bytes > COPIES_MOST)
        return;
    c->copy = tensor_ref(copy);
    all->bytes += bytes;
    d->live--;
}

bool copy_drop(tain_device *d)
{
    struct copies *all = d->copies;
    bool any = all && all->bytes;

    for (int i = 0; any && i < COPIES; i++)
        forget(d, all, &all->at[i]);
    return any;
}

tain_tensor *cache_find(tain_device *d, const char *key)
{
    for (struct cached *c = d->cached; c; c = c->next)
        if (!strcmp(c->key, key))
            return c->table;
    return NULL;
}

int cache_put(tain_device *d, const char *key, tain_tensor *table)
{
    struct cached *c;

    for (c = d->cached; c && strcmp(c->key, key); c = c->next)
        ;
    if (!c) {
        c = base_alloc(1, sizeof(*c) + strlen(key) + 1);
        if (!c) {
            tensor_unref(table);
            return TAIN_ENOMEM;
        }
        strcpy(c->key, key);
        c->next = d->cached;
        d->cached = c;
    } else {
        d->live++;
        tensor_unref(c->table);
    }
    c->table = table;
    d->live--; /* a table does not count */
    return 0;
}

void cache_drop(tain_device *d)
{
    struct cached *c = d->cached, *next;
    struct copies *copies = d->copies;

    d->cached = NULL;
    d->copies = NULL;
    for (; c; c = next) {
        next = c->next;
        d->live++;
        tensor_unref(c->table);
        free(c);
    }
    for (int i = 0; i < COPIES && copies; i++)
        forget(d, copies, &copies->at[i]);
    free(copies);
}

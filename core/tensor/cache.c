/* cache.c - tables that ops make once and keep on the device, such as the sines of rope.
 *
 * They are found by a text, and dropped with the last tensor that someone else holds: so a device
 * without tensors holds no memory, and a table never keeps its device alive.
 */
#include "tensor/tensor.h"

#include <stdlib.h>
#include <string.h>

struct cached {
    struct cached *next;
    tain_tensor *table;
    char key[];
};

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

    d->cached = NULL;
    for (; c; c = next) {
        next = c->next;
        d->live++;
        tensor_unref(c->table);
        free(c);
    }
}

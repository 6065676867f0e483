/* vocabulary.c - names by id and ids by name.
 *
 * A file decides what is stored here, so the hash is seeded per table: names chosen to collide
 * would otherwise turn loading into a quadratic walk.
 */
#include "io/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    return x;
}

uint64_t vocabulary_hash(const char *text, size_t length, uint64_t seed)
{
    uint64_t h = seed ^ length * 0x9e3779b97f4a7c15u, part;

    for (; length >= 8; text += 8, length -= 8) {
        memcpy(&part, text, 8);
        h = mix(h ^ part);
    }
    part = 0;
    memcpy(&part, text, length);
    return mix(h ^ part);
}

uint64_t vocabulary_seed(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return mix((uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 32 ^ (uintptr_t)&now);
}

/* The slot that holds the name, or the free one where it belongs. */
static size_t slot_of(const struct vocabulary *v, const char *text, size_t length)
{
    size_t i = vocabulary_hash(text, length, v->seed) & (v->slot_count - 1);
    uint32_t s;

    while ((s = v->slots[i])) {
        const struct token *t = &v->tokens[s - 1];

        if (t->length == length && !memcmp(v->bytes + t->at, text, length))
            break;
        i = (i + 1) & (v->slot_count - 1);
    }
    return i;
}

int32_t vocabulary_find(const struct vocabulary *v, const char *text, size_t length)
{
    return v->slot_count ? (int32_t)v->slots[slot_of(v, text, length)] - 1 : -1;
}

static int grow_slots(struct vocabulary *v)
{
    size_t count = v->slot_count ? 2 * v->slot_count : 1024;
    uint32_t *old = v->slots, *slots = base_alloc(count, sizeof(*slots));
    size_t old_count = v->slot_count;

    if (!slots)
        return TAIN_ENOMEM;
    if (!v->seed)
        v->seed = vocabulary_seed() | 1;
    v->slots = slots;
    v->slot_count = count;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i]) {
            const struct token *t = &v->tokens[old[i] - 1];

            v->slots[slot_of(v, v->bytes + t->at, t->length)] = old[i];
        }
    }
    free(old);
    return 0;
}

/* Doubles the room of an array until it holds `need`. */
static int reserve(void **array, size_t *room, size_t need, size_t size)
{
    size_t more = *room ? *room : 256;
    void *p;

    if (need <= *room)
        return 0;
    while (more < need)
        more *= 2;
    p = base_grow(*array, *room, more, size);
    if (!p)
        return TAIN_ENOMEM;
    *array = p;
    *room = more;
    return 0;
}

int vocabulary_put(struct vocabulary *v, int64_t id, const char *text, size_t length,
                   uint32_t flags, const char *where)
{
    size_t limit = v->limit < TOKENIZER_MAX_IDS ? v->limit : TOKENIZER_MAX_IDS;
    int shown = length < 80 ? (int)length : 80, status;
    int32_t old;

    if (id < 0 || (uint64_t)id >= limit)
        return fail(TAIN_EFORMAT, "%s: the id %lld of token \"%.*s\" is not between 0 and %zu",
                    where, (long long)id, shown, text, limit - 1);
    old = vocabulary_find(v, text, length);
    if (old >= 0) {
        if (old != id)
            return fail(TAIN_EFORMAT, "%s: token \"%.*s\" has two ids, %d and %lld", where, shown,
                        text, old, (long long)id);
        v->tokens[id].flags |= flags;
        return 0;
    }
    if ((size_t)id < v->count && v->tokens[id].flags)
        return fail(TAIN_EFORMAT, "%s: id %lld names both \"%.*s\" and \"%.*s\"", where,
                    (long long)id,
                    (int)(v->tokens[id].length < 80 ? v->tokens[id].length : 80),
                    vocabulary_text(v, (int32_t)id), shown, text);
    if (length > UINT32_MAX / 2 - v->used)
        return fail(TAIN_EFORMAT, "%s: the vocabulary has more than 2^31 bytes", where);
    if ((status = reserve((void **)&v->bytes, &v->room, v->used + length + 1, 1)) ||
        (status = reserve((void **)&v->tokens, &v->token_room, (size_t)id + 1,
                          sizeof(*v->tokens))))
        return status;
    if (2 * (v->filled + 1) > v->slot_count && (status = grow_slots(v)))
        return status;
    memcpy(v->bytes + v->used, text, length);
    v->slots[slot_of(v, text, length)] = (uint32_t)id + 1;
    v->tokens[id] = (struct token){(uint32_t)v->used, (uint32_t)length, flags | TOKEN_PRESENT};
    v->used += length;
    v->filled++;
    if ((size_t)id >= v->count)
        v->count = (size_t)id + 1;
    return 0;
}

void vocabulary_clear(struct vocabulary *v)
{
    free(v->bytes);
    free(v->tokens);
    free(v->slots);
    memset(v, 0, sizeof(*v));
}

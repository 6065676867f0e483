/* trie.c - finds added tokens in a text: the leftmost, and of those the longest. */
#include "io/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

static int new_node(struct trie *t, unsigned char byte, uint32_t *index)
{
    if (t->count == t->room) {
        size_t room = t->room ? 2 * t->room : 256;
        struct trie_node *nodes = base_grow(t->nodes, t->room, room, sizeof(*nodes));

        if (!nodes)
            return TAIN_ENOMEM;
        t->nodes = nodes;
        t->room = room;
        if (!t->count)
            t->count = 1;
    }
    *index = (uint32_t)t->count++;
    t->nodes[*index] = (struct trie_node){.id = -1, .byte = byte};
    return 0;
}

static uint32_t among(const struct trie *t, uint32_t node, unsigned char byte)
{
    while (node && t->nodes[node].byte != byte)
        node = t->nodes[node].sibling;
    return node;
}

int trie_add(struct trie *t, const char *text, size_t length, int32_t id)
{
    const unsigned char *b = (const unsigned char *)text;
    uint32_t node = 0, next;

    if (!length)
        return 0;
    for (size_t i = 0; i < length; i++) {
        next = i ? among(t, t->nodes[node].child, b[i]) : t->first[b[0]];
        if (!next) {
            int status = new_node(t, b[i], &next);

            if (status)
                return status;
            if (i) {
                t->nodes[next].sibling = t->nodes[node].child;
                t->nodes[node].child = next;
            } else {
                t->first[b[0]] = next;
            }
        }
        node = next;
    }
    if (t->nodes[node].id < 0) /* the first of two that are equal in normal form */
        t->nodes[node].id = id;
    return 0;
}

int32_t trie_find(const struct trie *t, const char *text, size_t length, size_t from,
                  size_t *start, size_t *end)
{
    const unsigned char *b = (const unsigned char *)text;

    for (size_t i = from; i < length; i++) {
        uint32_t node = t->first[b[i]];
        int32_t id = -1;

        for (size_t j = i; node; node = ++j < length ? among(t, t->nodes[node].child, b[j]) : 0) {
            if (t->nodes[node].id >= 0) {
                id = t->nodes[node].id;
                *end = j + 1;
            }
        }
        if (id >= 0) {
            *start = i;
            return id;
        }
    }
    return -1;
}

void trie_clear(struct trie *t)
{
    free(t->nodes);
    memset(t, 0, sizeof(*t));
}

/* merge.c - byte-pair merging in n log n: a linked list of symbols and a heap of pairs.
 *
 * The best pair goes first, the leftmost of equals. A pair in the heap goes stale when one of its
 * symbols grows; then its length differs from that of the two symbols that stand there now, as
 * symbols only ever grow.
 */
#include "io/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->position < b->position;
}

static int heap_push(struct merger *m, struct candidate c)
{
    size_t i;

    if (m->heap_count == m->heap_room) {
        size_t room = m->heap_room ? 2 * m->heap_room : 256;
        struct candidate *heap = base_grow(m->heap, m->heap_room, room, sizeof(*heap));

        if (!heap)
            return TAIN_ENOMEM;
        m->heap = heap;
        m->heap_room = room;
    }
    for (i = m->heap_count++; i && before(&c, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = c;
    return 0;
}

static struct candidate heap_pop(struct merger *m)
{
    struct candidate top = m->heap[0], last = m->heap[--m->heap_count];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < m->heap_count) {
        if (child + 1 < m->heap_count && before(&m->heap[child + 1], &m->heap[child]))
            child++;
        if (!before(&m->heap[child], &last))
            break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    if (m->heap_count)
        m->heap[i] = last;
    return top;
}

static int consider(struct merger *m, int32_t left, merge_rule *rule, const void *context)
{
    const struct symbol *a, *b;
    struct candidate c;

    if (left < 0 || m->symbols[left].next < 0)
        return 0;
    a = &m->symbols[left];
    b = &m->symbols[a->next];
    if (!rule(context, a, b, &c.rank, &c.id))
        return 0;
    c.position = (uint32_t)left;
    c.length = a->length + b->length;
    return heap_push(m, c);
}

/* Adds a symbol behind the others; m->count = 0 begins a new word. */
int merge_push(struct merger *m, int32_t id, size_t at, size_t length)
{
    if (m->count == m->room) {
        size_t room = m->room ? 2 * m->room : 256;
        struct symbol *symbols = base_grow(m->symbols, m->room, room, sizeof(*symbols));

        if (!symbols)
            return TAIN_ENOMEM;
        m->symbols = symbols;
        m->room = room;
    }
    m->symbols[m->count] = (struct symbol){
        .id = id,
        .at = (uint32_t)at,
        .length = (uint32_t)length,
        .previous = (int32_t)m->count - 1,
        .next = -1,
    };
    if (m->count)
        m->symbols[m->count - 1].next = (int32_t)m->count;
    m->count++;
    return 0;
}

/* Merges until nothing can be. What is left is linked from symbol 0 on. */
int merge_run(struct merger *m, merge_rule *rule, const void *context)
{
    int status;

    m->heap_count = 0;
    for (size_t i = 0; i + 1 < m->count; i++) {
        if ((status = consider(m, (int32_t)i, rule, context)))
            return status;
    }
    while (m->heap_count) {
        struct candidate c = heap_pop(m);
        struct symbol *a = &m->symbols[c.position], *b;

        if (!a->length || a->next < 0)
            continue;
        b = &m->symbols[a->next];
        if (a->length + b->length != c.length)
            continue;
        a->id = c.id;
        a->length = c.length;
        a->next = b->next;
        b->length = 0;
        if (a->next >= 0)
            m->symbols[a->next].previous = (int32_t)c.position;
        if ((status = consider(m, a->previous, rule, context)) ||
            (status = consider(m, (int32_t)c.position, rule, context)))
            return status;
    }
    return 0;
}

void merge_clear(struct merger *m)
{
    free(m->symbols);
    free(m->heap);
    memset(m, 0, sizeof(*m));
}

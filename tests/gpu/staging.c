/* Much that is written between two dispatches is not kept a second time until the next one, and arrives in order. */
#include "check.h"

#include "tensor/tensor.h"

enum { PIECE = 512 << 10, ROOM = 16, ROUNDS = 8, LONG = 40 << 20 };

int main(void)
{
    tain_device *d = tain_device_open(NULL);
    char *from = malloc(LONG), *back = malloc(LONG);
    struct gpu_counts before, after;
    struct gpu_range range, other;
    uint64_t staged = (uint64_t)PIECE * ROOM * ROUNDS;

    CHECK(d && from && back);
    for (int i = 0; i < LONG; i++)
        from[i] = (char)(i * 2654435761u >> 24);
    CHECK_INT(gpu_alloc(d->gpu, LONG + 4, &range), 0);
    CHECK_INT(gpu_alloc(d->gpu, 64, &other), 0);

    /* In pieces, over and over, after something was recorded: the last ones stay, and what was staged for the
     * first ones is freed long before. */
    CHECK_INT(gpu_fill(d->gpu, &other, 0, 64, 7), 0);
    gpu_counts(d->gpu, &before);
    for (int i = 0; i < ROOM * ROUNDS; i++)
        CHECK_INT(gpu_write(d->gpu, &range, (uint64_t)(i % ROOM) * PIECE, from + i * 1000, PIECE), 0);
    gpu_counts(d->gpu, &after);
    CHECK(after.submits - before.submits >= staged / (16 << 20) - 1);
    CHECK_INT(gpu_read(d->gpu, &range, 0, back, PIECE * ROOM), 0);
    for (int i = 0; i < ROOM; i++)
        CHECK(!memcmp(back + i * PIECE, from + (i + ROOM * (ROUNDS - 1)) * 1000, PIECE));

    /* At once, and not where a chunk would begin; what was recorded before it comes before it. */
    CHECK_INT(gpu_fill(d->gpu, &range, 0, LONG + 4, 0x01010101), 0);
    CHECK_INT(gpu_write(d->gpu, &range, 4, from, LONG - 4), 0);
    CHECK_INT(gpu_read(d->gpu, &range, 0, back, LONG), 0);
    CHECK(back[0] == 1 && back[3] == 1 && !memcmp(back + 4, from, LONG - 4));

    gpu_free(d->gpu, &other);
    gpu_free(d->gpu, &range);
    tain_device_free(d);
    free(from);
    free(back);
    return 0;
}

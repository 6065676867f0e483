/* tokenizer.json; then a text there and back. The first bytes, up to a line's end, are the text. */
#define _GNU_SOURCE
#include "fuzz.h"

#include "io/tokenizer.h"

static void try_bytes(const uint8_t *bytes, size_t count)
{
    const uint8_t *end = memchr(bytes, '\n', count);
    size_t n = end ? (size_t)(end - bytes) : 0, length;
    struct tokens ids = { 0 };
    struct tokenizer *t;
    char *text;

    if (!end)
        return;
    as_file("tokenizer.json", end + 1, count - n - 1);
    if (!(t = tokenizer_open(temp))) {
        refused();
        return;
    }
    if (tokenizer_encode(t, (const char *)bytes, n, true, &ids)) {
        refused();
    } else {
        CHECK(text = tokenizer_decode(t, ids.at, ids.count, false, &length));
        free(text);
    }
    tokens_clear(&ids);
    tokenizer_free(t);
}

/* JSON: the tree, and the same text piece by piece, which takes what the tree takes. */
#define _GNU_SOURCE
#include "fuzz.h"

static void try_bytes(const uint8_t *bytes, size_t count)
{
    struct json *root = json_parse("x", bytes, count);
    struct json_scan scan = { .what = "x", .text = bytes, .count = count };
    int event;

    if (!root)
        refused();
    do
        event = json_next_event(&scan);
    while (event >= 0 && event != JSON_END);
    if (event < 0)
        refused();
    CHECK(!root || event == JSON_END);
    free(scan.string);
    json_free(root);
}

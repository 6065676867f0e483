/* config.json of a Janus, in any layout. */
#define _GNU_SOURCE
#include "fuzz.h"

#include "model/janus.h"

static void try_bytes(const uint8_t *bytes, size_t count)
{
    struct json *root = json_parse("config.json", bytes, count);
    struct janus_config c;

    if (!root || janus_config_read(&c, root))
        refused();
    else
        CHECK(c.language.head > 0 && c.language.heads % c.language.kv_heads == 0 && c.vision.image % c.vision.patch == 0 &&
              c.codec.levels >= 1 && c.codec.levels <= CODEC_LEVELS && c.codec.image > 0 && c.codec.image <= 4096);
    json_free(root);
}

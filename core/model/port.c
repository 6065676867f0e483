/* port.c - what the weights of a Janus are called in transformers, whose port renamed them.
 *
 * Numbers and their order are the same, but that the fused q, k and v of the vision tower are three
 * tensors there, one below the other here, and that the positions lack a first size of 1.
 */
#include "model/janus.h"

#include <string.h>

/* The beginning of a name, and what stands there instead; * is a number, ? each of q, k and v. The
 * first that fits counts. */
static const char *const table[][2] = {
    { "language_model.lm_head.", "lm_head." },
    { "language_model.model.", "model.language_model." },
    { "vision_model.vision_tower.pos_embed", "model.vision_model.embeddings.position_embedding.weight" },
    { "vision_model.vision_tower.patch_embed.proj.", "model.vision_model.embeddings.patch_embedding." },
    { "vision_model.vision_tower.norm.", "model.vision_model.post_layernorm." },
    { "vision_model.vision_tower.blocks.*.norm", "model.vision_model.encoder.layers.*.layer_norm" },
    { "vision_model.vision_tower.blocks.*.attn.qkv.", "model.vision_model.encoder.layers.*.self_attn.?_proj." },
    { "vision_model.vision_tower.blocks.*.attn.proj.", "model.vision_model.encoder.layers.*.self_attn.projection_layer." },
    { "vision_model.vision_tower.blocks.", "model.vision_model.encoder.layers." },
    { "aligner.layers.0.", "model.aligner.fc1." },
    { "aligner.layers.2.", "model.aligner.hidden_layers.0." },
    { "gen_aligner.layers.0.", "model.generation_aligner.fc1." },
    { "gen_aligner.layers.2.", "model.generation_aligner.hidden_layers.0." },
    { "gen_embed.", "model.generation_embeddings." },
    { "gen_head.output_mlp_projector.", "model.generation_head.proj_out." },
    { "gen_head.", "model.generation_head." },
    { "gen_vision_model.encoder.conv_blocks.*.res.", "model.vqmodel.encoder.down.*.block." },
    { "gen_vision_model.encoder.conv_blocks.", "model.vqmodel.encoder.down." },
    { "gen_vision_model.decoder.conv_blocks.*.res.", "model.vqmodel.decoder.up.*.block." },
    { "gen_vision_model.decoder.conv_blocks.", "model.vqmodel.decoder.up." },
    { "gen_vision_model.encoder.mid.0.", "model.vqmodel.encoder.mid.block_1." },
    { "gen_vision_model.encoder.mid.1.", "model.vqmodel.encoder.mid.attn_1." },
    { "gen_vision_model.encoder.mid.2.", "model.vqmodel.encoder.mid.block_2." },
    { "gen_vision_model.decoder.mid.0.", "model.vqmodel.decoder.mid.block_1." },
    { "gen_vision_model.decoder.mid.1.", "model.vqmodel.decoder.mid.attn_1." },
    { "gen_vision_model.decoder.mid.2.", "model.vqmodel.decoder.mid.block_2." },
    { "gen_vision_model.", "model.vqmodel." },
};

/* What follows the beginning in the name, or NULL if it does not begin so; the number is kept. */
static const char *begins(const char *name, const char *beginning, const char **number, size_t *digits)
{
    for (; *beginning; beginning++) {
        if (*beginning == '*') {
            *number = name;
            *digits = strspn(name, "0123456789");
            if (!*digits)
                return NULL;
            name += *digits;
        } else if (*name++ != *beginning) {
            return NULL;
        }
    }
    return name;
}

/* Writes the new name, with the letter where the table has a question mark. */
static void write(struct weight_alias *a, int i, const char *to, char letter, const char *number, size_t digits, const char *rest)
{
    char *out = a->names[i], *end = out + sizeof(a->names[i]) - 1;

    for (; *to && out < end; to++) {
        if (*to == '*')
            for (size_t k = 0; k < digits && out < end; k++)
                *out++ = number[k];
        else
            *out++ = *to == '?' ? letter : *to;
    }
    while (*rest && out < end)
        *out++ = *rest++;
    *out = 0;
}

void janus_port_name(const char *name, struct weight_alias *alias)
{
    memset(alias, 0, sizeof(*alias));
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        const char *number = NULL, *rest;
        size_t digits = 0;

        if (!(rest = begins(name, table[i][0], &number, &digits)))
            continue;
        alias->count = strchr(table[i][1], '?') ? 3 : 1;
        alias->flat = i == 2;
        for (int k = 0; k < alias->count; k++)
            write(alias, k, table[i][1], "qkv"[k], number, digits, rest);
        return;
    }
    alias->count = 1;
    write(alias, 0, "", 0, NULL, 0, name);
}

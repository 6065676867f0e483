/* config.json: what the published files leave out, the port's places for the same sizes, and what
 * would make another model. */
#include "check.h"
#include "model/janus.h"

static void read_text(struct janus_config *c, const char *text)
{
    struct json *root = json_parse("config.json", text, strlen(text));

    CHECK(root);
    CHECK_INT(janus_config_read(c, root), 0);
    json_free(root);
}

static void refuses(const char *text, const char *sentence)
{
    struct json *root = json_parse("config.json", text, strlen(text));
    struct janus_config c;

    CHECK(root);
    CHECK_FAILS(janus_config_read(&c, root), TAIN_EFORMAT, sentence);
    json_free(root);
}

static void sizes(const struct janus_config *c, int64_t width, int64_t hidden, int64_t layers, int64_t heads)
{
    const struct llama_config *l = &c->language;
    const struct vit_config *v = &c->vision;
    const struct codec_config *k = &c->codec;

    CHECK(l->vocabulary == 102400 && l->width == width && l->hidden == hidden && l->layers == layers);
    CHECK(l->heads == heads && l->kv_heads == heads && l->head == 128 && l->eps == 1e-6f && l->theta == 10000);
    CHECK(v->image == 384 && v->patch == 16 && v->width == 1024 && v->layers == 24 && v->heads == 16);
    CHECK(v->hidden == 4096 && v->eps == 1e-6f && !v->tanh);
    CHECK(k->channels == 128 && k->z == 256 && k->code_size == 8 && k->codes == 16384 && k->blocks == 2 && k->levels == 5);
    CHECK(k->image == 384 && codec_grid(k) == 24 && k->encoder_mult[4] == 4 && k->decoder_mult[2] == 2);
    CHECK_INT(c->head_hidden, width);
}

/* The parts that all published files have in common. */
#define VISION "\"vision_config\":{\"cls\":\"CLIPVisionTower\",\"model_type\":\"vision\",\"params\":{\"image_size\":384," \
               "\"model_name\":\"siglip_large_patch16_384\",\"select_feature\":\"same\",\"select_layer\":-1}}"
#define CODEC  "\"gen_vision_config\":{\"cls\":\"VQ-16\",\"params\":{\"image_token_size\":16384,\"n_embed\":8}}"
#define HEAD(n) "\"gen_head_config\":{\"params\":{\"image_token_embed\":" n ",\"image_token_size\":16384,\"n_embed\":" n "}}"

int main(void)
{
    struct janus_config c;

    /* The 7B leaves all but the number of layers to LlamaConfig. */
    read_text(&c, "{\"model_type\":\"multi_modality\"," VISION "," CODEC "," HEAD("4096") ",\"language_config\":{"
                  "\"max_position_embeddings\":16384,\"model_type\":\"llama\",\"num_hidden_layers\":30,"
                  "\"torch_dtype\":\"bfloat16\",\"vocab_size\":102400}}");
    sizes(&c, 4096, 11008, 30, 32);
    CHECK(!c.port);
    read_text(&c, "{\"model_type\":\"multi_modality\"," VISION "," CODEC "," HEAD("2048") ",\"language_config\":{"
                  "\"hidden_size\":2048,\"intermediate_size\":5632,\"num_attention_heads\":16,\"num_key_value_heads\":16,"
                  "\"num_hidden_layers\":24,\"vocab_size\":102400}}");
    sizes(&c, 2048, 5632, 24, 16);

    /* The port with everything left out that its classes have defaults for. */
    read_text(&c, "{\"model_type\":\"janus\",\"text_config\":{\"vocab_size\":102400,\"hidden_size\":2048,"
                  "\"intermediate_size\":5632,\"num_attention_heads\":16,\"num_hidden_layers\":24},"
                  "\"vision_config\":{},\"vq_config\":{\"num_patches\":24}}");
    sizes(&c, 2048, 5632, 24, 16);
    CHECK(c.port);
    read_text(&c, "{\"text_config\":{\"vocab_size\":102400,\"num_hidden_layers\":30,"
                  "\"rope_parameters\":{\"rope_theta\":10000.0,\"rope_type\":\"default\"}},"
                  "\"vision_config\":{\"projection_dim\":4096},\"vq_config\":{\"image_token_embed_dim\":4096}}");
    sizes(&c, 4096, 11008, 30, 32);

    refuses("{\"text_config\":{\"hidden_size\":64},\"vision_config\":{\"projection_dim\":2048}}",
            "the projections have 2048, 64 and 64 numbers; the language model has 64");
    refuses("{\"text_config\":{},\"vision_config\":{\"use_qk_norm\":true}}", "vision_config.use_qk_norm must be false");
    refuses("{\"text_config\":{},\"vision_config\":{\"attention_bias\":false}}", "vision_config.attention_bias must be true");
    refuses("{\"text_config\":{},\"vision_config\":{\"hidden_act\":\"relu\"}}", "vision_config.hidden_act is \"relu\"");
    refuses("{\"text_config\":{},\"vision_config\":{\"depth\":3}}", "vision_config.depth must be");
    refuses("{\"text_config\":{},\"vq_config\":{\"double_latent\":true}}", "vq_config.double_latent must be false");
    refuses("{\"text_config\":{},\"vq_config\":{\"channel_multiplier\":[]}}", "must be a list of 1 to");
    refuses("{\"text_config\":{},\"vq_config\":{\"num_patches\":1000000}}", "do not fit together");
    refuses("{\"text_config\":{\"rope_parameters\":{\"rope_type\":\"yarn\"}}}", "rope_type is \"yarn\"");
    return 0;
}

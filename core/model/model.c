/* model.c - the public face of models: what a model says of itself, and its adapters. The rest of that face is in
 * model_folder.c, model_draw.c, model_answer.c and model_codec.c.
 */
#include "model/adapter.h"
#include "model/model.h"

/* ---- What it is ---- */

int32_t tain_model_matrices(tain_model *model, tain_type type)
{
    const struct weights *w;
    int32_t n = 0;

    REQUIRE(model, "matrices: model is missing");
    w = &model->j.weights;
    for (int i = 0; i < w->count; i++)
        if (w->list[i]->tensor->type == type && w->list[i]->kind == WEIGHT_MATRIX)
            n += w->list[i]->part_count;
    return n;
}

bool tain_model_is_port(tain_model *model)
{
    return model && model->j.config.port;
}

int32_t tain_model_token(tain_model *model, const char *name)
{
    return model && name ? tokenizer_id(model->tokenizer, name) : -1;
}

int32_t tain_model_weight_count(tain_model *model)
{
    return model ? model->name_count : 0;
}

const char *tain_model_weight_name(tain_model *model, int32_t index)
{
    REQUIRE_OR_NULL(model, "weight: model is missing");
    REQUIRE_OR_NULL(index >= 0 && index < model->name_count, "weight: number %d of %d does not exist", index, model->name_count);
    return model->j.weights.list[model->names[index].weight]->parts[model->names[index].part].name;
}

tain_tensor *tain_model_weight(tain_model *model, int32_t index)
{
    REQUIRE_OR_NULL(model, "weight: model is missing");
    REQUIRE_OR_NULL(index >= 0 && index < model->name_count, "weight: number %d of %d does not exist", index, model->name_count);
    return tensor_ref(model->j.weights.list[model->names[index].weight]->tensor);
}

tain_status tain_model_recompute(tain_model *model, bool on)
{
    REQUIRE(model, "recompute: model is missing");
    model->j.language.recompute = on;
    return 0;
}

tain_status tain_model_cache(tain_model *model, tain_type type)
{
    REQUIRE(model, "cache: model is missing");
    REQUIRE(type >= TAIN_F32 && type <= TAIN_BF16, "cache: type must be f32, f16 or bf16");
    model->j.language.cache = type;
    return 0;
}

int32_t tain_model_image_codes(tain_model *model)
{
    int64_t g = model ? codec_grid(&model->j.config.codec) : 0;

    return (int32_t)(g * g);
}

int32_t tain_model_codebook(tain_model *model)
{
    return model ? (int32_t)model->j.config.codec.codes : 0;
}

int32_t tain_model_image_size(tain_model *model)
{
    return model ? (int32_t)model->j.config.codec.image : 0;
}

/* ---- Adapters ---- */

tain_status tain_model_adapt(tain_model *model, const char *targets, int32_t rank, float alpha, bool root, int64_t seed)
{
    int status;

    REQUIRE(model, "adapt: model is missing");
    REQUIRE(targets, "adapt: targets are missing");
    status = adapter_new(&model->j.weights, targets, rank, alpha, root, (uint64_t)seed);
    if (!status)
        model->j.weights.adapted = true;
    return status;
}

tain_status tain_model_adapter_load(tain_model *model, const char *folder)
{
    int status;

    REQUIRE(model, "adapter: model is missing");
    REQUIRE(folder, "adapter: folder is missing");
    status = adapter_load(&model->j.weights, folder);
    if (!status)
        model->j.weights.adapted = true;
    return status;
}

tain_status tain_model_adapter_save(tain_model *model, const char *folder, const char *base, bool port)
{
    REQUIRE(model, "adapter: model is missing");
    REQUIRE(folder && base, "adapter: folder or base is missing");
    REQUIRE(adapter_count(&model->j.weights) > 0, "adapter: the model has none");
    return adapter_save(&model->j.weights, folder, base, port);
}

bool tain_model_adapter_enable(tain_model *model, bool on)
{
    bool before = model && model->j.weights.adapted;

    if (model)
        model->j.weights.adapted = on;
    return before;
}

tain_status tain_model_adapter_merge(tain_model *model)
{
    REQUIRE(model, "adapter: model is missing");
    REQUIRE(adapter_count(&model->j.weights) > 0, "adapter: the model has none");
    return adapter_merge(&model->j.weights);
}

void tain_model_adapter_drop(tain_model *model)
{
    if (model)
        adapter_drop(&model->j.weights);
}

tain_tensor *tain_model_adapter(tain_model *model, int32_t index)
{
    tain_tensor *t = model && index >= 0 ? adapter_tensor(&model->j.weights, index) : NULL;

    return t ? tensor_ref(t) : NULL;
}

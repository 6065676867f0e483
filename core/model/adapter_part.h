/* adapter_part.h - what the files of adapters share: adapter.c, adapter_load.c, adapter_save.c. */
#ifndef TAIN_MODEL_ADAPTER_PART_H
#define TAIN_MODEL_ADAPTER_PART_H

#include "model/adapter.h"

enum { ADAPTER_RANK = 1 << 16 };

#define ADAPTER_PREFIX "base_model.model."
#define ADAPTER_CONFIG "adapter_config.json"
#define ADAPTER_TENSORS "adapter_model.safetensors"

/* An adapter that is being made. */
struct adapter_made {
    struct weight *weight;
    int place, part; /* the weight's place in the model, and the adapter's in it (weight_place) */
    int64_t rank;
    float alpha;
    bool root;
    const struct st_entry *from_a, *from_b;
    tain_tensor *a, *b;
};

struct adapter_list {
    struct adapter_made *at; /* as many as a model can have */
    int count;
};

/* Room for them; adapter_list_close, even when this fails. */
int adapter_list_open(struct adapter_list *l, const struct weights *w);
void adapter_list_close(struct adapter_list *l);
/* Gives them their tensors, neighbours on the device, so that an optimizer updates them together. */
int adapter_place(struct adapter_list *l, tain_device *d);
/* The model's adapter is this one from now on. */
void adapter_install(struct weights *w, struct adapter_list *l);

/* Whether a weight can be adapted. */
bool adapter_fits(const struct weight *n);
/* How much of the part's name is without ".weight". */
int adapter_module(const struct weight_part *p);

/* Whether a name of targets or patterns stands for a module: all of it, or what follows a dot. */
bool adapter_names(const char *name, size_t length, const char *module, size_t n);
/* Adapted part number `index`, or NULL; *of is its weight. */
const struct weight_part *adapter_at(const struct weights *w, int index, const struct weight **of);

static inline const struct weight_part *made_part(const struct adapter_made *m)
{
    return weight_place(m->weight, m->part);
}

static inline int64_t made_columns(const struct adapter_made *m)
{
    return m->weight->shape[1];
}

static inline int64_t made_rows(const struct adapter_made *m)
{
    return made_part(m)->rows;
}

#endif

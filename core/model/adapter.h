/* adapter.h - low-rank adapters (LoRA) of a model's matrices: W x becomes W x + scale B A x.
 *
 * The model keeps one adapter. weights.adapted switches it: off is the model before training, and
 * the reference of preference losses. Folders are those of PEFT: adapter_config.json and
 * adapter_model.safetensors.
 */
#ifndef TAIN_MODEL_ADAPTER_H
#define TAIN_MODEL_ADAPTER_H

#include "model/weights.h"

/* Folders may name the modules as either layout of the model does. All of these replace the adapter that was there, or fail and leave it. */
int adapter_load(struct weights *w, const char *folder);
/* `targets`: "all-linear", or names between commas. A name stands for every matrix whose module it
 * is or ends with after a dot ("q_proj", "layers.0.mlp.up_proj"); * stands for any text
 * ("language_model.*_proj"). B starts at 0, so nothing changes at first. */
int adapter_new(struct weights *w, const char *targets, int rank, float alpha, bool root, uint64_t seed);
void adapter_drop(struct weights *w);

/* Adds the adapter to the weights, which must be stored as f32, and drops it. */
int adapter_merge(struct weights *w);

/* Writes PEFT's folder, with the modules' names in the other layout if asked; `base` names the model it belongs
 * to. Adapters of what is one matrix in one layout and three in the other become three or one, which do the same. */
int adapter_save(struct weights *w, const char *folder, const char *base, bool other);

/* How many matrices are adapted; and its tensors in the order of the weights: A, B, A, B, …, borrowed.
 * Past the last one NULL. */
int adapter_count(const struct weights *w);
tain_tensor *adapter_tensor(const struct weights *w, int index);

#endif

/* A whole safetensors file. */
#define _GNU_SOURCE
#include "tensors.h"

static void try_bytes(const uint8_t *bytes, size_t count)
{
    try_tensors("m.safetensors", bytes, count);
}

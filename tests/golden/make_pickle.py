"""Writes pickle/torch.bin with PyTorch's own torch.save, and what it holds as safetensors.

    python3 tests/golden/make_pickle.py        needs torch

pickle/tiny.bin and its safetensors are of an older PyTorch's layout and are not made here.
"""
import collections
import json
import os
import struct

import torch

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pickle")
names = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
         torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, t in tensors.items():
        t = t.detach().contiguous()
        # bytes by way of integers: numpy has no bfloat16
        raw = t.reshape(-1).view(torch.uint8).numpy().tobytes() if t.numel() else b""
        header[name] = {"dtype": names[t.dtype], "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


torch.manual_seed(1)
base = torch.randn(5, 7)
tensors = collections.OrderedDict()
tensors["linear.weight"] = torch.nn.Parameter(base)
tensors["linear.bias"] = torch.nn.Parameter(torch.randn(7, dtype=torch.bfloat16), requires_grad=False)
tensors["tied"] = tensors["linear.weight"]
tensors["rows"] = base[1:3]
tensors["columns"] = base[:, 2:5]
tensors["turned"] = base.t()
tensors["turned.deep"] = torch.randn(2, 3, 4, 5).permute(3, 1, 0, 2)[1:, :, :, ::2]
tensors["scalar"] = torch.tensor(2.5, dtype=torch.float64)
tensors["none"] = torch.zeros(0, 3)
for dtype in names:
    tensors["all." + names[dtype]] = torch.randint(0, 2, (3, 2)).to(dtype)
for i in range(300):  # more than a byte can number
    tensors[f"layers.{i}"] = torch.tensor([i], dtype=torch.int16)

torch.save(tensors, os.path.join(here, "torch.bin"))
write_safetensors(os.path.join(here, "torch.expected.safetensors"), tensors)

"""What llama.cpp takes for a guided token, and for reading a verdict's tokens, with a language model of
Janus-Pro-1B's size (a Llama of random weights whose words are the 16,384 codes of images).

    python3 tests/bench/full_size_llama.py llama-batched-bench [FOLDER]

The argument is llama.cpp's program of that name; the package gguf must be installed. FOLDER is for the models,
6 GB that are left there. A line of JSON each.
"""

import json
import os
import subprocess
import sys
import tempfile

import gguf
import numpy as np

WIDTH, LAYERS, HEADS, HIDDEN, CODES = 2048, 24, 16, 5632, 16384
READ, DRAWN = 640, 64 # tokens; both rows of a guided drawing read them, and then draw
TYPES = {"bf16": gguf.GGMLQuantizationType.BF16, "q8_0": gguf.GGMLQuantizationType.Q8_0,
         "q4_0": gguf.GGMLQuantizationType.Q4_0}


def write(path, type):
    random = np.random.default_rng(1)
    stored = {} # every matrix of a shape is the same one: what it holds costs nothing

    def add(name, *shape):
        if shape not in stored:
            values = random.standard_normal(shape, dtype=np.float32) * 0.02
            stored[shape] = values if len(shape) == 1 else gguf.quants.quantize(values, type)
        out.add_tensor(name, stored[shape], raw_dtype=None if len(shape) == 1 else type)

    out = gguf.GGUFWriter(path, "llama")
    out.add_context_length(4096)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(HIDDEN)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_layer_norm_rms_eps(1e-6)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_vocab_size(CODES)
    out.add_tokenizer_model("none")
    add("token_embd.weight", CODES, WIDTH)
    add("output.weight", CODES, WIDTH)
    add("output_norm.weight", WIDTH)
    for i in range(LAYERS):
        for name in "attn_norm", "ffn_norm":
            add(f"blk.{i}.{name}.weight", WIDTH)
        for name in "attn_q", "attn_k", "attn_v", "attn_output":
            add(f"blk.{i}.{name}.weight", WIDTH, WIDTH)
        for name in "ffn_gate", "ffn_up":
            add(f"blk.{i}.{name}.weight", HIDDEN, WIDTH)
        add(f"blk.{i}.ffn_down.weight", WIDTH, HIDDEN)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def main():
    bench = sys.argv[1]
    folder = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()
    for name, type in TYPES.items():
        path = os.path.join(folder, name + ".gguf")
        if not os.path.exists(path):
            write(path, type)
        said = subprocess.run([bench, "-m", path, "-c", "2048", "-npp", str(READ), "-ntg", str(DRAWN), "-npl", "2", "-pps",
                               "-t", "2", "-tb", "2", "--output-format", "jsonl"], check=True, capture_output=True, text=True).stdout
        row = json.loads([line for line in said.splitlines() if line.startswith("{")][-1])
        for work, seconds in ("guided token", row["t_tg"] / DRAWN), (f"{READ} tokens read", row["t_pp"]):
            print(json.dumps({"work": work, "peer": "llama.cpp " + name, "s": round(seconds, 4)}), flush=True)


main()

"""Makes golden folders of small random Janus models: what a plain PyTorch program in double
precision makes of them, for `tain check`.

    python3 tests/golden/make_janus.py FOLDER [NAME ...]      all settings below, or those named

needs torch and numpy. NAME.json holds the sizes and ids, NAME.weights.safetensors the weights under
the names of the published checkpoints (rounded to f16), NAME.io.safetensors inputs and results.
Equal names give equal files: all randomness comes from the setting's seed.
"""
import json
import math
import os
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

# What a setting leaves out is as here.
DEFAULT = dict(
    seed=1, vocab=96, hidden=32, inner=48, layers=2, heads=4, kv=4, theta=10000.0, eps=1e-6, head_dim=0,
    image=16, patch=4, vwidth=32, vlayers=2, vheads=4, vratio=2, select=-1, vact="gelu_erf", veps=1e-6,
    ch=32, mult=[1, 1], dec_mult=None, blocks=1, z=16, code_dim=8, codes=32, grid=4,
    gen_hidden=48, cfg=5.0, temperature=1.0, prompts=[5, 5], images=1, questions=1, words=7,
    grads="some", codec=True)

SETTINGS = {
    # Kept in the repository: as small as a codec with 32 groups can be.
    "gqa": dict(seed=11, vocab=73, hidden=24, inner=37, heads=2, kv=1, mult=[1], blocks=0, grid=3, z=5,
                code_dim=6, codes=30, image=15, patch=5, vwidth=16, vheads=2, vlayers=2, vratio=1, select=-2,
                gen_hidden=21, prompts=[4, 7, 3], theta=5000.0, grads="few"),
    "head64": dict(seed=12, vocab=66, hidden=32, inner=10, heads=1, kv=1, head_dim=64, layers=1, mult=[1], blocks=0, grid=2,
                   z=8, code_dim=5, codes=17, image=8, patch=4, vwidth=12, vheads=1, vlayers=1, vratio=1,
                   gen_hidden=19, prompts=[2, 6], temperature=0.7, cfg=2.5, images=2, grads="tiny"),
    # Made when something is to be tried.
    "gqa64": dict(seed=21, hidden=128, inner=200, heads=2, kv=1, vwidth=128, vheads=2, prompts=[9, 4, 6, 2]),
    "head12": dict(seed=22, hidden=60, inner=90, heads=5, kv=1, vocab=101, vwidth=60, vheads=3, codes=50),
    "head40": dict(seed=23, hidden=120, inner=130, heads=3, kv=3, vwidth=80, vheads=2, vratio=3, eps=1e-5),
    "levels4": dict(seed=24, mult=[1, 2, 1, 3], grid=3, blocks=2, z=24, code_dim=4, codes=77, prompts=[5]),
    "decoder": dict(seed=25, mult=[1, 2], dec_mult=[3, 1], ch=32, blocks=1, grid=5, codes=19, code_dim=3),
    "wide64": dict(seed=26, ch=64, mult=[1, 2], blocks=1, grid=4, image=28, patch=7, images=2),
    "large": dict(seed=27, hidden=256, inner=344, heads=4, kv=2, layers=4, vocab=515, grid=12, mult=[1, 1],
                  codes=1026, gen_hidden=256, image=48, patch=8, vwidth=96, vheads=3, prompts=[3, 17]),
    "odd": dict(seed=28, vocab=99, hidden=36, inner=37, heads=3, kv=3, vwidth=36, vheads=3, image=20, patch=5,
                vratio=1.5, gen_hidden=35, z=7, code_dim=10, codes=13, grid=3, vact="gelu_tanh"),
    "one": dict(seed=29, heads=1, kv=1, hidden=8, inner=1, layers=1, vwidth=4, vheads=1, image=4, patch=4,
                grid=2, mult=[1], codes=2, code_dim=2, z=1, gen_hidden=1, vocab=8, prompts=[2]),
    "plain": dict(seed=30, cfg=1.0, temperature=1.3, prompts=[6, 3]),
    "rows": dict(seed=31, questions=3, kv=2, prompts=[5] * 9, words=5),
    "head10": dict(seed=33, hidden=60, heads=6, kv=3, inner=50, vwidth=35, vheads=5, prompts=[4, 9]),
    "head6": dict(seed=34, hidden=18, heads=3, kv=1, inner=20, vwidth=6, vheads=6, prompts=[4, 4], words=3),
    "broad": dict(seed=32, hidden=64, heads=2, kv=2, head_dim=20, inner=70),
}


# ---- Weights ----

class Weights:
    """Random weights by name, made when first asked for, as f16 can hold them."""

    def __init__(self, seed):
        self.random = np.random.Generator(np.random.PCG64(seed))
        self.tensors = {}

    def get(self, name, shape, spread, centre=0.0):
        if name not in self.tensors:
            values = (self.random.standard_normal(shape) * spread + centre).astype(np.float16)
            self.tensors[name] = torch.tensor(values.astype(np.float64), requires_grad=True)
        assert list(self.tensors[name].shape) == list(shape), name
        return self.tensors[name]

    def linear(self, name, x, out, bias=True, gain=1.0):
        weight = self.get(name + ".weight", (out, x.shape[-1]), gain / math.sqrt(x.shape[-1]))
        return x @ weight.T + (self.get(name + ".bias", (out,), 0.1) if bias else 0)

    def scale(self, name, n):
        return self.get(name + ".weight", (n,), 0.1, 1.0)

    def layer_norm(self, name, x, eps):
        n = x.shape[-1]
        return F.layer_norm(x, (n,), self.scale(name, n), self.get(name + ".bias", (n,), 0.1), eps)

    def rms_norm(self, name, x, eps):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * self.scale(name, x.shape[-1])

    def conv(self, name, x, out, size=3, stride=1):
        weight = self.get(name + ".weight", (out, x.shape[1], size, size), 1 / math.sqrt(x.shape[1] * size * size))
        if stride == 2:   # a halving has its zeros on the right and below only
            x = F.pad(x, (0, 1, 0, 1))
        return F.conv2d(x, weight, self.get(name + ".bias", (out,), 0.1), stride, size // 2 if stride == 1 else 0)

    def group_norm(self, name, x):
        n = x.shape[1]
        return F.group_norm(x, 32, self.scale(name, n), self.get(name + ".bias", (n,), 0.1), 1e-6)


def attention(q, k, v, causal):
    """q [H, T, D], k and v [KV, T, D]: every key head serves H / KV neighbouring heads."""
    share = q.shape[0] // k.shape[0]
    k, v = k.repeat_interleave(share, 0), v.repeat_interleave(share, 0)
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[1:]).triu(1).bool(), -math.inf)
    return (scores.softmax(-1) @ v).transpose(0, 1).reshape(q.shape[1], -1)


def split(x, heads):
    return x.reshape(x.shape[0], heads, -1).transpose(0, 1)


def rotate(x, theta):
    """The halves of every head are the two coordinates that a position turns."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[1], dtype=x.dtype)[:, None] * theta ** (-torch.arange(half, dtype=x.dtype) / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


class Janus:
    def __init__(self, s):
        self.s, self.w = s, Weights(s["seed"])
        self.embed = self.w.get("language_model.model.embed_tokens.weight", (s["vocab"], s["hidden"]), 1.0)
        self.image_embed = self.w.get("gen_embed.weight", (s["codes"], s["code_dim"]), 1.0)

    # ---- The language model ----

    def language(self, x):
        s, w = self.s, self.w
        size = s["head_dim"] or s["hidden"] // s["heads"]
        for i in range(s["layers"]):
            p = f"language_model.model.layers.{i}."
            h = w.rms_norm(p + "input_layernorm", x, s["eps"])
            q = split(w.linear(p + "self_attn.q_proj", h, s["heads"] * size, False), s["heads"])
            k = split(w.linear(p + "self_attn.k_proj", h, s["kv"] * size, False), s["kv"])
            v = split(w.linear(p + "self_attn.v_proj", h, s["kv"] * size, False), s["kv"])
            h = attention(rotate(q, s["theta"]), rotate(k, s["theta"]), v, True)
            x = x + w.linear(p + "self_attn.o_proj", h, s["hidden"], False)
            h = w.rms_norm(p + "post_attention_layernorm", x, s["eps"])
            gate = w.linear(p + "mlp.gate_proj", h, s["inner"], False)
            up = w.linear(p + "mlp.up_proj", h, s["inner"], False)
            x = x + w.linear(p + "mlp.down_proj", F.silu(gate) * up, s["hidden"], False)
        return w.rms_norm("language_model.model.norm", x, s["eps"])

    def word_logits(self, h):
        return self.w.linear("language_model.lm_head", h, self.s["vocab"], False)

    def code_logits(self, h):
        h = F.gelu(self.w.linear("gen_head.output_mlp_projector", h, self.s["gen_hidden"]))
        return self.w.linear("gen_head.vision_head", h, self.s["codes"], gain=2.0)

    def two_layers(self, name, x):
        h = F.gelu(self.w.linear(name + ".layers.0", x, self.s["hidden"]))
        return self.w.linear(name + ".layers.2", h, self.s["hidden"])

    def read_codes(self, codes):
        return self.two_layers("gen_aligner", self.image_embed[codes])

    # ---- The eye ----

    def vision(self, pixels):
        s, w, p = self.s, self.w, "vision_model.vision_tower."
        n, P, C = s["image"] // s["patch"], s["patch"], s["vwidth"]
        weight = w.get(p + "patch_embed.proj.weight", (C, 3, P, P), 1 / math.sqrt(3 * P * P))
        x = F.conv2d(pixels[None], weight, w.get(p + "patch_embed.proj.bias", (C,), 0.1), P)[0].flatten(1).T
        x = x + w.get(p + "pos_embed", (1, n * n, C), 0.2)[0]
        act = F.gelu if s["vact"] == "gelu_erf" else lambda t: F.gelu(t, approximate="tanh")
        layers = s["vlayers"] + s["select"] + 1   # a selection of -2 leaves the last one out
        for i in range(layers):
            b = f"{p}blocks.{i}."
            h = w.linear(b + "attn.qkv", w.layer_norm(b + "norm1", x, s["veps"]), 3 * C)
            q, k, v = (split(t, s["vheads"]) for t in h.chunk(3, -1))
            x = x + w.linear(b + "attn.proj", attention(q, k, v, False), C)
            h = act(w.linear(b + "mlp.fc1", w.layer_norm(b + "norm2", x, s["veps"]), int(s["vratio"] * C)))
            x = x + w.linear(b + "mlp.fc2", h, C)
        return w.layer_norm(p + "norm", x, s["veps"])

    # ---- The codec ----

    def res(self, p, x, out):
        w = self.w
        h = w.conv(p + ".conv1", F.silu(w.group_norm(p + ".norm1", x)), out)
        h = w.conv(p + ".conv2", F.silu(w.group_norm(p + ".norm2", h)), out)
        return h + (x if x.shape[1] == out else w.conv(p + ".nin_shortcut", x, out, 1))

    def look_around(self, p, x):
        w, (B, C, H, W) = self.w, x.shape
        y = w.group_norm(p + ".norm", x)
        q, k, v = (w.conv(f"{p}.{n}", y, C, 1).reshape(B, C, H * W).transpose(1, 2) for n in "qkv")
        y = (q @ k.transpose(1, 2) / math.sqrt(C)).softmax(-1) @ v
        return x + w.conv(p + ".proj_out", y.transpose(1, 2).reshape(B, C, H, W), C, 1)

    def mid(self, p, x):
        C = x.shape[1]
        return self.res(p + "mid.2", self.look_around(p + "mid.1", self.res(p + "mid.0", x, C)), C)

    def half(self, p, x, mult, blocks, decoder, out):
        s, w = self.s, self.w
        mult = mult[::-1] if decoder else mult
        x = w.conv(p + "conv_in", x, s["ch"] * (mult[0] if decoder else 1))
        x = self.mid(p, x) if decoder else x
        for i, m in enumerate(mult):
            lowest = i == (0 if decoder else len(mult) - 1)
            for b in range(blocks):
                x = self.res(f"{p}conv_blocks.{i}.res.{b}", x, s["ch"] * m)
                x = self.look_around(f"{p}conv_blocks.{i}.attn.{b}", x) if lowest else x
            if i < len(mult) - 1:
                name = f"{p}conv_blocks.{i}.{'upsample' if decoder else 'downsample'}.conv"
                if decoder:
                    x = w.conv(name, F.interpolate(x, scale_factor=2, mode="nearest"), x.shape[1])
                else:
                    x = w.conv(name, x, x.shape[1], 3, 2)
        x = x if decoder else self.mid(p, x)
        return w.conv(p + "conv_out", F.silu(w.group_norm(p + "norm_out", x)), out)

    def book(self):
        w = self.w.get("gen_vision_model.quantize.embedding.weight", (self.s["codes"], self.s["code_dim"]), 1.0)
        return F.normalize(w, dim=-1)

    def encode(self, x):
        s, p = self.s, "gen_vision_model."
        z = self.half(p + "encoder.", x, s["mult"], s["blocks"], False, s["z"])
        z = self.w.conv(p + "quant_conv", z, s["code_dim"], 1)
        unit = F.normalize(z.permute(0, 2, 3, 1).reshape(-1, s["code_dim"]), dim=-1)
        return z, (unit @ self.book().T).argmax(-1).reshape(len(x), -1)

    def decode(self, codes):
        s, p = self.s, "gen_vision_model."
        z = self.book()[codes].transpose(1, 2).reshape(len(codes), s["code_dim"], s["grid"], s["grid"])
        z = self.w.conv(p + "post_quant_conv", z, s["z"], 1)
        return self.half(p + "decoder.", z, s["dec_mult"] or s["mult"], s["blocks"] + 1, True, 3)


# ---- A golden ----

GRADS = {
    "tiny": ["language_model.model.layers.0.input_layernorm.weight", "gen_embed.weight", "gen_head.vision_head.weight"],
    "few": ["language_model.model.layers.0.self_attn.k_proj.weight", "gen_head.vision_head.bias",
            "language_model.model.norm.weight", "gen_aligner.layers.0.weight"],
    "some": ["language_model.model.embed_tokens.weight", "gen_embed.weight", "gen_head.output_mlp_projector.weight",
             "gen_head.vision_head.weight", "gen_aligner.layers.2.bias"]
            + ["language_model.model.layers.0." + n for n in (
                "self_attn.q_proj.weight", "self_attn.v_proj.weight", "self_attn.o_proj.weight", "mlp.gate_proj.weight",
                "mlp.up_proj.weight", "mlp.down_proj.weight", "input_layernorm.weight")],
}


def ids_of(s):
    return {n: s["vocab"] - 1 - i for i, n in enumerate(("bos", "eos", "pad", "boi", "eoi", "img"))}


def understand(m, s, random, io):
    ids, tokens = ids_of(s), (s["image"] // s["patch"]) ** 2
    words = lambda n: list(random.integers(0, s["vocab"] - 6, n))
    pixels = torch.tensor(random.uniform(-1, 1, (s["questions"] * s["images"], 3, s["image"], s["image"])).astype(np.float32)
                          .astype(np.float64))
    seen = torch.stack([m.vision(p) for p in pixels])
    aligned = m.two_layers("aligner", seen)
    rows, logits, greedy = [], [], []
    for q in range(s["questions"]):
        row = [ids["bos"]] + words(2)
        for _ in range(s["images"]):
            row += [ids["boi"]] + [ids["img"]] * tokens + [ids["eoi"]]
        row += words(s["words"])
        x = m.embed[torch.tensor(row)].clone()
        x[torch.tensor(row) == ids["img"]] = aligned[q * s["images"]:(q + 1) * s["images"]].reshape(-1, s["hidden"])
        logits.append(m.word_logits(m.language(x)))
        made = [int(logits[-1][-1].argmax())]
        while len(made) < 5:
            x = torch.cat([x, m.embed[made[-1]][None]])
            made.append(int(m.word_logits(m.language(x))[-1].argmax()))
        rows.append(row)
        greedy.append(made)
    io.update({"und.pixels": pixels, "und.vit": seen, "und.aligned": aligned, "und.input_ids": np.array(rows, np.int32),
               "und.logits": torch.stack(logits), "und.greedy": np.array(greedy, np.int32)})


def draw(m, s, random, io):
    ids, R, N, V = ids_of(s), len(s["prompts"]), s["grid"] ** 2, s["codes"]
    wide = max(s["prompts"])
    tokens, mask = np.full((2 * R, wide), ids["pad"], np.int32), np.zeros((2 * R, wide), np.int32)
    for r, n in enumerate(s["prompts"]):   # rows of unequal length are filled up on the left
        prompt = [ids["bos"]] + list(random.integers(0, s["vocab"] - 6, n - 2)) + [ids["boi"]]
        tokens[2 * r, wide - n:] = prompt
        tokens[2 * r + 1, wide - n:] = [ids["bos"]] + [ids["pad"]] * (n - 2) + [ids["boi"]]
        mask[2 * r:2 * r + 2, wide - n:] = 1
    u = random.uniform(0, 1, (N, R)).astype(np.float32)
    codes = np.zeros((R, N), np.int32)
    cond, uncond = np.zeros((N, R, V)), np.zeros((N, R, V))
    with torch.no_grad():
        for r, n in enumerate(s["prompts"]):
            rows = [m.embed[torch.tensor(tokens[2 * r + k, wide - n:].astype(np.int64))] for k in (0, 1)]
            for i in range(N):
                c, un = (m.code_logits(m.language(x)[-1]) for x in rows)
                cond[i, r], uncond[i, r] = c, un
                sums = ((un + s["cfg"] * (c - un)) / s["temperature"]).softmax(-1).cumsum(-1).numpy()
                at = u[i, r] * sums[-1]
                codes[r, i] = min(np.searchsorted(sums, at), V - 1)
                # f32 must choose the same: not so near the edge of a code's share
                if min(abs(sums - at)) < 2e-5 * sums[-1] and V > 1:
                    u[i, r] = np.float32((sums[codes[r, i]] + (sums[codes[r, i] - 1] if codes[r, i] else 0)) / 2 / sums[-1])
                rows = [torch.cat([x, m.read_codes(torch.tensor([codes[r, i]]))]) for x in rows]
    io.update({"gen.tokens": tokens, "gen.u": u, "gen.codes": codes, "gen.logit_cond": cond, "gen.logit_uncond": uncond})
    if len(set(s["prompts"])) > 1:
        io["gen.mask"] = mask
    with torch.no_grad():
        image = m.decode(torch.tensor(codes.astype(np.int64)))
    io["gen.image"] = image
    io["gen.uint8"] = ((image.clamp(-1, 1) + 1) / 2 * 255).numpy().astype(np.uint8).transpose(0, 2, 3, 1)

    logp = []
    for r, n in enumerate(s["prompts"]):
        code = torch.tensor(codes[r].astype(np.int64))
        x = torch.cat([m.embed[torch.tensor(tokens[2 * r, wide - n:].astype(np.int64))], m.read_codes(code)])
        h = m.language(x)[n - 1:n - 1 + N]
        logp.append(m.code_logits(h).log_softmax(-1)[torch.arange(N), code])
    logp = torch.stack(logp)
    loss = -logp.mean()
    for t in m.w.tensors.values():
        t.grad = None
    loss.backward()
    io.update({"sft.token_logp": logp, "sft.loss": loss})
    for name in GRADS[s["grads"]]:
        io["grad." + name] = m.w.tensors[name].grad


def see(m, s, random, io):
    side = s["grid"] << (len(s["mult"]) - 1)
    x = torch.tensor(random.uniform(-1, 1, (1, 3, side, side)).astype(np.float32).astype(np.float64))
    with torch.no_grad():
        z, codes = m.encode(x)
        recon = m.decode(codes)
    io.update({"vq.image": x, "vq.z": z, "vq.codes": codes.numpy().astype(np.int32), "vq.recon": recon})


def write(path, tensors):
    """A safetensors file; tensors in order of their names."""
    kinds = {"float16": "F16", "float32": "F32", "int32": "I32", "uint8": "U8"}
    header, data = {}, b""
    for name in sorted(tensors, key=lambda n: (-tensors[n].dtype.itemsize, n)):
        a = np.ascontiguousarray(tensors[name])
        header[name] = {"dtype": kinds[a.dtype.name], "shape": list(tensors[name].shape),
                        "data_offsets": [len(data), len(data) + a.nbytes]}
        data += a.tobytes()
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head + data)


def plain(value):
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    return value.astype(np.float32) if value.dtype == np.float64 else value


def make(folder, name):
    s = {**DEFAULT, **SETTINGS[name]}
    m, random, io = Janus(s), np.random.Generator(np.random.PCG64(s["seed"] + 1000)), {}
    with torch.no_grad():
        understand(m, s, random, io)
        see(m, s, random, io)
    draw(m, s, random, io)
    os.makedirs(folder, exist_ok=True)
    base = os.path.join(folder, name)
    language = {
        "vocab_size": s["vocab"], "hidden_size": s["hidden"], "intermediate_size": s["inner"],
        "num_hidden_layers": s["layers"], "num_attention_heads": s["heads"], "num_key_value_heads": s["kv"],
        "hidden_act": "silu", "max_position_embeddings": 256, "rms_norm_eps": s["eps"], "rope_theta": s["theta"],
        "rope_scaling": None, "attention_bias": False, "mlp_bias": False}
    if s["head_dim"]:
        language["head_dim"] = s["head_dim"]
    vq = {"ch": s["ch"], "ch_mult": s["mult"], "num_res_blocks": s["blocks"], "z_channels": s["z"],
          "code_dim": s["code_dim"], "codes": s["codes"], "grid": s["grid"]}
    if s["dec_mult"]:
        vq = {**vq, "encoder_ch_mult": s["mult"], "decoder_ch_mult": s["dec_mult"]}
        del vq["ch_mult"]
    with open(base + ".json", "w") as file:
        json.dump({
            "model": "janus " + name, "language": language,
            "vision": {"image_size": s["image"], "patch": s["patch"], "width": s["vwidth"], "layers": s["vlayers"],
                       "heads": s["vheads"], "mlp_ratio": s["vratio"], "ln_eps": s["veps"], "act": s["vact"],
                       "select_layer": s["select"]},
            "vq": vq, "gen_head": {"hidden": s["gen_hidden"]}, "ids": ids_of(s), "cfg": s["cfg"],
            "temperature": s["temperature"], "seed": s["seed"],
        }, file, indent=1)
        file.write("\n")
    write(base + ".weights.safetensors", {n: t.detach().numpy().astype(np.float16) for n, t in m.w.tensors.items()})
    write(base + ".io.safetensors", {n: plain(v) for n, v in io.items()})
    sizes = [os.path.getsize(base + e) for e in (".json", ".weights.safetensors", ".io.safetensors")]
    print(f"{name:10} {sum(sizes):9} bytes")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    for setting in sys.argv[2:] or SETTINGS:
        make(sys.argv[1], setting)

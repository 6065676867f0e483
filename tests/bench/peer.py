"""The works of `make bench` in PyTorch, as a user of it would write them.

A line on stdin is one work, {"work": name, sizes …}, which is prepared and then run each time a line
{} follows. Each line is answered by one on stdout: {"peer": what this is}, {"ms": how long it took},
or {"error": what went wrong}. compare.lua alternates between this and tain.
"""

import json
import math
import os
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

WORDS, CODES, WIDTH, LAYERS, HEADS, HIDDEN = 512, 512, 128, 5, 4, 384


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, 1e-6)


def turn(x, cos, sin):
    """Rotary positions; x [B, H, T, D]."""
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.before_attention, self.before_mlp = Norm(WIDTH), Norm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.gate_up = nn.Linear(WIDTH, 2 * HIDDEN, bias=False)
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x, cos, sin, cache=None, at=0):
        rows, tokens, _ = x.shape
        qkv = self.qkv(self.before_attention(x)).view(rows, tokens, 3, HEADS, WIDTH // HEADS)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q, k = turn(q, cos, sin), turn(k, cos, sin)
        if cache is not None:
            cache[0][:, :, at:at + tokens] = k
            cache[1][:, :, at:at + tokens] = v
            k, v = cache[0][:, :, :at + tokens], cache[1][:, :, :at + tokens]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=tokens > 1)
        x = x + self.out(y.transpose(1, 2).reshape(rows, tokens, WIDTH))
        gate, up = self.gate_up(self.before_mlp(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Decoder(nn.Module):
    """A language model that reads words and codes; the sizes are those of the embedded model."""

    def __init__(self, longest=512):
        super().__init__()
        self.words, self.codes = nn.Embedding(WORDS, WIDTH), nn.Embedding(CODES, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = Norm(WIDTH)
        self.to_words, self.to_codes = nn.Linear(WIDTH, WORDS, bias=False), nn.Linear(WIDTH, CODES)
        size = WIDTH // HEADS
        angle = torch.arange(longest)[:, None] / 10000 ** (torch.arange(0, size, 2) / size)
        angle = torch.cat((angle, angle), -1)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, x, caches=None, at=0):
        cos, sin = self.cos[at:at + x.shape[1]], self.sin[at:at + x.shape[1]]
        for i, layer in enumerate(self.layers):
            x = layer(x, cos, sin, caches and caches[i], at)
        return self.norm(x)


class Eye(nn.Module):
    """A vision transformer with an aligner, as the embedded model has."""

    def __init__(self, patches, layers=2):
        super().__init__()
        self.patch = nn.Conv2d(3, WIDTH, 4, 4)
        self.place = nn.Parameter(torch.zeros(patches, WIDTH))
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(
            WIDTH, HEADS, 2 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True) for _ in range(layers))
        self.norm = nn.LayerNorm(WIDTH)
        self.aligner = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))

    def forward(self, pixels):
        x = self.patch(pixels).flatten(2).transpose(1, 2) + self.place
        for layer in self.layers:
            x = layer(x)
        return self.aligner(self.norm(x))


# ---- Each takes the sizes and gives what is timed ----


def train(batch, prompt, codes):
    model = Decoder()
    try:
        optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.01, fused=True)
    except RuntimeError:
        optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.01)
    words, image = torch.randint(WORDS, (batch, prompt)), torch.randint(CODES, (batch, codes))

    def run():
        optimizer.zero_grad(set_to_none=True)
        x = model(torch.cat((model.words(words), model.codes(image[:, :-1])), 1))
        logits = model.to_codes(x[:, -codes:])
        loss = F.cross_entropy(logits.reshape(-1, CODES), image.reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return run


def draw(images, prompt, codes, guidance):
    model = Decoder().eval()
    rows = 2 * images
    words = torch.randint(WORDS, (rows, prompt))
    room = (rows, HEADS, prompt + codes, WIDTH // HEADS)

    @torch.inference_mode()
    def run():
        caches = [(torch.empty(room), torch.empty(room)) for _ in range(LAYERS)]
        x, at, made = model(model.words(words), caches, 0)[:, -1], prompt, []
        while True:
            given, free = model.to_codes(x).view(images, 2, CODES).unbind(1)
            chosen = torch.multinomial(F.softmax(free + guidance * (given - free), -1), 1)
            made.append(chosen)
            if len(made) == codes:
                return torch.cat(made, 1).tolist()
            x = model(model.codes(chosen.repeat_interleave(2, 0)), caches, at)[:, -1]
            at += 1

    return run


def score(images, patches, question, batch=128):
    model, eye = Decoder().eval(), Eye(patches).eval()
    side = 4 * math.isqrt(patches)
    pixels = torch.randint(256, (images, 3, side, side), dtype=torch.uint8)
    words = torch.randint(WORDS, (images, question - patches))

    @torch.inference_mode()
    def run():
        said = []
        for i in range(0, images, batch):
            seen = eye(pixels[i:i + batch].float() / 127.5 - 1)
            x = model(torch.cat((seen, model.words(words[i:i + batch])), 1))
            said.append(F.softmax(model.to_words(x[:, -1]), -1))
        return torch.cat(said).tolist()

    return run


def attention(heads, tokens, size):
    q, k, v = (torch.randn(1, heads, tokens, size) for _ in range(3))

    @torch.inference_mode()
    def run():
        F.scaled_dot_product_attention(q, k, v, is_causal=True)

    return run


def attention_backward(heads, tokens, size):
    leaves = [torch.randn(1, heads, tokens, size, requires_grad=True) for _ in range(3)]

    def run():
        for one in leaves:
            one.grad = None
        F.scaled_dot_product_attention(*leaves, is_causal=True).sum().backward()

    return run


def linear(m, n, k, dtype):
    x, weight = torch.randn(m, k, dtype=dtype), torch.randn(n, k, dtype=dtype)

    @torch.inference_mode()
    def run():
        F.linear(x, weight)

    return run


def matmul(m, n, k):
    return linear(m, n, k, torch.float32)


def decode(m, k, rows, storage):
    return linear(rows, m, k, torch.bfloat16 if storage == "bf16" else torch.float32)


def conv(size, kernel, **channels):
    into, out = channels["from"], channels["to"]
    x, weight = torch.randn(1, into, size, size), torch.randn(out, into, kernel, kernel)

    @torch.inference_mode()
    def run():
        F.conv2d(x, weight, padding=kernel // 2)

    return run


WORKS = {"train": train, "draw": draw, "score": score, "attention": attention, "attention_backward": attention_backward,
         "matmul": matmul, "matmul_tiny": matmul, "decode_bf16": decode, "decode_f32": decode, "conv": conv}


def main():
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(1)
    name = "torch " + ".".join(torch.__version__.split("+")[0].split(".")[:2])
    run = None
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if asked:
                work = asked.pop("work")
                run = WORKS[work](**asked)
                answer = {"peer": name + " " + asked.get("storage", "f32")}
            else:
                start = time.perf_counter()
                run()
                answer = {"ms": 1e3 * (time.perf_counter() - start)}
                time.sleep(0.02)  # its threads spin a while before they sleep; tain is timed next
        except Exception as problem:  # one work that fails is no reason to lose the others
            answer = {"error": " ".join(f"{type(problem).__name__}: {problem}".split())}
        print(json.dumps(answer), flush=True)


main()

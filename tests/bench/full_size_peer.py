"""What PyTorch takes for what full_size.lua measures of the language model: a token of a guided image, and a
step of LoRA on one drawing. Sizes of Janus-Pro-1B, bf16, random weights; layers are run again backward.

    python3 tests/bench/full_size_peer.py

A line of JSON each, with the seconds and the most memory of the process.
"""

import json
import resource
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

WIDTH, LAYERS, HEADS, HIDDEN, CODES = 2048, 24, 16, 5632, 16384
PROMPT, IMAGE, STEP_PROMPT, RANK = 20, 576, 64, 8


class Linear(nn.Module):
    """A frozen matrix; with an adapter once train() is called."""

    def __init__(self, wide, out):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, wide, dtype=torch.bfloat16) * 0.02, requires_grad=False)
        self.a = self.b = None

    def adapt(self):
        self.a = nn.Parameter(torch.randn(RANK, self.weight.shape[1], dtype=torch.bfloat16) * 0.02)
        self.b = nn.Parameter(torch.zeros(self.weight.shape[0], RANK, dtype=torch.bfloat16))

    def forward(self, x):
        y = F.linear(x, self.weight)
        return y if self.a is None else y + F.linear(F.linear(x, self.a), self.b)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (Linear(WIDTH, WIDTH) for _ in range(4))
        self.gate, self.up, self.down = Linear(WIDTH, HIDDEN), Linear(WIDTH, HIDDEN), Linear(HIDDEN, WIDTH)
        self.norm = torch.ones(WIDTH, dtype=torch.bfloat16)

    def forward(self, x, cos, sin, cache=None, at=0):
        rows, tokens, _ = x.shape
        h = F.rms_norm(x, (WIDTH,), self.norm, 1e-6)
        q, k, v = (f(h).view(rows, tokens, HEADS, WIDTH // HEADS).transpose(1, 2) for f in (self.q, self.k, self.v))

        def turn(t):
            a, b = t.chunk(2, -1)
            return t * cos + torch.cat((-b, a), -1) * sin

        q, k = turn(q), turn(k)
        if cache is not None:
            cache[0][:, :, at:at + tokens], cache[1][:, :, at:at + tokens] = k, v
            k, v = cache[0][:, :, :at + tokens], cache[1][:, :, :at + tokens]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=tokens > 1)
        x = x + self.o(y.transpose(1, 2).reshape(rows, tokens, WIDTH))
        h = F.rms_norm(x, (WIDTH,), self.norm, 1e-6)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


def angles(start, tokens):
    half = WIDTH // HEADS // 2
    at = torch.outer(torch.arange(start, start + tokens, dtype=torch.float32), 10000 ** -(torch.arange(half) / half))
    at = torch.cat((at, at), -1)
    return at.cos().bfloat16(), at.sin().bfloat16()


def tell(work, seconds):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"work": work, "peer": f"torch {torch.__version__.split('+')[0]} bf16", "s": round(seconds, 3),
                      "process_gib": round(peak, 2)}), flush=True)


def main():
    torch.manual_seed(1)
    layers = nn.ModuleList(Layer() for _ in range(LAYERS))
    head = Linear(WIDTH, CODES)

    with torch.no_grad():
        caches = [[torch.zeros(2, HEADS, PROMPT + IMAGE, WIDTH // HEADS, dtype=torch.bfloat16) for _ in range(2)] for _ in layers]
        times = []
        for at in (0, *range(PROMPT + 280, PROMPT + 296)):  # in the middle of the image
            tokens = PROMPT if at == 0 else 1
            x = torch.randn(2, tokens, WIDTH).bfloat16()
            start = time.perf_counter()
            for layer, cache in zip(layers, caches):
                x = layer(x, *angles(at, tokens), cache, at)
            head(x[:, -1:]).float().softmax(-1)
            times.append(time.perf_counter() - start)
        tell("token", sorted(times[1:])[len(times) // 2])

    adapted = [m for m in layers.modules() if isinstance(m, Linear)]
    for m in adapted:
        m.adapt()
    parameters = [p for m in adapted for p in (m.a, m.b)]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    for _ in range(2):
        start = time.perf_counter()
        tokens = STEP_PROMPT + IMAGE
        x = torch.randn(1, tokens, WIDTH).bfloat16().requires_grad_()
        for layer in layers:
            x = checkpoint(layer, x, *angles(0, tokens), use_reentrant=False)
        logits = head(x[0, STEP_PROMPT - 1:-1])
        F.cross_entropy(logits.float(), torch.randint(CODES, (IMAGE,))).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1)
        optimizer.step()
        optimizer.zero_grad()
        seconds = time.perf_counter() - start
    tell("step", seconds)


if __name__ == "__main__":
    main()

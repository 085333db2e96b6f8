"""The PyTorch peer: one training step of the benchmark's decoder on the CPU, as fast as PyTorch makes it here.

4 layers, width 256, 4 heads, SwiGLU 704, vocabulary 512, sequence 256, batch 16; untied, RMSNorm, RoPE, causal;
float32; global-norm clipping at 1 and AdamW. `--mode eager` or `compile` (torch.compile, the inductor backend).

Alone it runs --warmup and then --steps steps and prints one JSON line. With --interactive it warms up, prints one JSON
line `{"ready": true, ...}`, then answers each line of standard input with one JSON line:
  step N    runs N steps              -> {"ms_per_step": [...], "loss": ...}
  matmul    [4096, 256] x [256, 704]  -> {"gflops": best, "gflops_median": ...}
  quit
"""

import argparse
import ctypes
import json
import math
import os
import sys
import time

LAYERS, WIDTH, HEADS, FFN, VOCAB, SEQ, BATCH = 4, 256, 4, 704, 512, 256, 16
HEAD_DIM = WIDTH // HEADS
CLIP = 1.0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=["eager", "compile"], default="eager")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--attention", choices=["sdpa", "manual"], default="sdpa")
    parser.add_argument("--optimizer", choices=["fused", "foreach"], default="fused")
    parser.add_argument("--scope", choices=["model", "step"], default="step", help="compiled: the model and its loss, or clipping and AdamW too")
    parser.add_argument("--malloc", choices=["keep", "system"], default="keep", help="keep: freed memory stays in the process, as with jemalloc or tcmalloc")
    parser.add_argument("--interactive", action="store_true")
    return parser.parse_args()


args = arguments()
os.environ.setdefault("OMP_NUM_THREADS", str(args.threads))
os.environ.setdefault("MKL_NUM_THREADS", str(args.threads))

if args.malloc == "keep":
    # glibc returns every large block to the kernel and takes it back, zeroed page by page: M_MMAP_MAX 0, M_TRIM_THRESHOLD.
    libc = ctypes.CDLL(None)
    libc.mallopt(-4, 0)
    libc.mallopt(-1, 2**31 - 1)

import torch  # noqa: E402  (after the thread count is set)
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

torch.set_num_threads(args.threads)


def rotate(x, cos, sin):
    """x [batch, heads, seq, headDim] turned by position, in two halves."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(WIDTH, eps=1e-6)
        self.post_attention_layernorm = nn.RMSNorm(WIDTH, eps=1e-6)
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(self, name, nn.Linear(WIDTH, WIDTH, bias=False))
        self.gate_proj = nn.Linear(WIDTH, FFN, bias=False)
        self.up_proj = nn.Linear(WIDTH, FFN, bias=False)
        self.down_proj = nn.Linear(FFN, WIDTH, bias=False)

    def forward(self, x, cos, sin, mask):
        normed = self.input_layernorm(x)
        q, k, v = (p(normed).view(BATCH, SEQ, HEADS, HEAD_DIM).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if args.attention == "sdpa":
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            mixed = torch.softmax(q @ k.transpose(-1, -2) * HEAD_DIM**-0.5 + mask, dim=-1) @ v
        x = x + self.o_proj(mixed.transpose(1, 2).reshape(BATCH, SEQ, WIDTH))
        normed = self.post_attention_layernorm(x)
        return x + self.down_proj(F.silu(self.gate_proj(normed)) * self.up_proj(normed))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCAB, WIDTH)
        self.layers = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.RMSNorm(WIDTH, eps=1e-6)
        self.lm_head = nn.Linear(WIDTH, VOCAB, bias=False)
        frequencies = 10000.0 ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)
        angles = torch.outer(torch.arange(SEQ), frequencies)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        self.register_buffer("mask", torch.full((SEQ, SEQ), -math.inf).triu(1))
        for p in self.parameters():
            if p.ndim == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids, targets):
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin, self.mask)
        return F.cross_entropy(self.lm_head(self.norm(x)).view(-1, VOCAB), targets.view(-1))


def make_step():
    torch.manual_seed(1)
    model = Decoder()
    ids = torch.randint(VOCAB, (BATCH, SEQ + 1))
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    kind = {args.optimizer: True}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, **kind)
    forward = model

    def update():
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP, foreach=True)
        optimizer.step()

    if args.mode == "compile":
        import torch._inductor.config as inductor

        inductor.cpp.threads = args.threads
        forward = torch.compile(model, dynamic=False)
        if args.scope == "step":
            update = torch.compile(update, dynamic=False)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = forward(inputs, targets)
        loss.backward()
        update()
        return loss.item()

    return step


def timed(step, count: int):
    times, loss = [], math.nan
    for _ in range(count):
        start = time.perf_counter()
        loss = step()
        times.append((time.perf_counter() - start) * 1000)
    return [round(t, 2) for t in times], loss


def matmul_rate():
    """GFLOP/s of [4096, 256] x [256, 704], the SwiGLU product of this model: the best and the median of 30."""
    a, b, out = torch.randn(4096, 256), torch.randn(256, 704), torch.empty(4096, 704)
    rates = []
    for i in range(35):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        if i >= 5:
            rates.append(2 * 4096 * 256 * 704 / (time.perf_counter() - start) / 1e9)
    rates.sort()
    return {"gflops": round(rates[-1], 1), "gflops_median": round(rates[len(rates) // 2], 1)}


def say(value):
    print(json.dumps(value), flush=True)


def main():
    step = make_step()
    start = time.perf_counter()
    step()
    first = time.perf_counter() - start
    timed(step, max(0, args.warmup - 1))
    # The first step also compiles; it is no part of any step's time.
    about = {
        "peer": "pytorch",
        "mode": args.mode,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "attention": args.attention,
        "optimizer": args.optimizer,
        "compile_seconds": round(first, 2) if args.mode == "compile" else 0,
    }
    if not args.interactive:
        times, loss = timed(step, args.steps)
        median = sorted(times)[len(times) // 2]
        say({**about, "ms_per_step": times, "tokens_per_second": round(BATCH * SEQ / median * 1000), "loss": loss, **matmul_rate()})
        return
    say({"ready": True, **about})
    for line in sys.stdin:
        command, *rest = line.split() or [""]
        if command == "quit":
            return
        if command == "step":
            times, loss = timed(step, int(rest[0]) if rest else 1)
            say({"ms_per_step": times, "loss": loss})
        elif command == "matmul":
            say(matmul_rate())
        else:
            say({"error": f"unknown command {line.strip()!r}; expected: step N, matmul, quit"})


main()

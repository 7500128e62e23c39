"""A GPT and a plain loop with the settings that nanoGPT publishes for a CPU.

    python language_plain.py STEPS SEED OPTIONS...

runs in a rendered project, whose options give the data, and prints the seconds of the CPU and the
validation loss. Karpathy 2022, https://github.com/karpathy/nanoGPT: 4 layers, 4 heads, 128
features, no dropout, learning rate 0.001 after 100 steps of warm-up, falling to a tenth as a
cosine, AdamW with betas 0.9 and 0.99 and weight decay 0.1, gradients clipped at 1.
"""

import json
import math
import sys
import time

import torch
from my_project.datasets import DATASETS  # type: ignore[import-not-found]
from my_project.utils import parse_arguments  # type: ignore[import-not-found]
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, HEADS, LAYERS = 128, 4, 4
LEARNING_RATE, WARMUP = 1e-3, 100


class Block(nn.Module):
    """Causal attention and an MLP with residual connections, norms without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH, bias=False)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out1 = nn.Linear(WIDTH, WIDTH, bias=False)
        self.norm2 = nn.LayerNorm(WIDTH, bias=False)
        self.hidden = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.out2 = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        parts = self.qkv(self.norm1(x)).split(WIDTH, dim=2)
        query, key, value = (
            part.view(batch, length, HEADS, WIDTH // HEADS).transpose(1, 2) for part in parts
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out1(mixed.transpose(1, 2).reshape(batch, length, WIDTH))
        return x + self.out2(F.gelu(self.hidden(self.norm2(x))))


class GPT(nn.Module):
    """A transformer with learned positions; the embedding is also the last layer."""

    def __init__(self, vocabulary: int, context: int):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, WIDTH)
        self.positions = nn.Embedding(context, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                is_residual = "out" in name
                std = 0.02 / math.sqrt(2 * LAYERS) if is_residual else 0.02
                nn.init.normal_(parameter, std=std)

    def forward(self, tokens: Tensor) -> Tensor:
        positions = torch.arange(tokens.shape[1])
        x = self.blocks(self.tokens(tokens) + self.positions(positions))
        return F.linear(self.norm(x), self.tokens.weight)


def get_learning_rate(step: int, steps: int) -> float:
    """Return the learning rate of a step: linear warm-up, then a cosine to a tenth."""
    if step < WARMUP:
        return LEARNING_RATE * (step + 1) / (WARMUP + 1)
    progress = (step - WARMUP) / (steps - WARMUP)
    return LEARNING_RATE * (0.1 + 0.9 * (1 + math.cos(math.pi * progress)) / 2)


def get_groups(model: nn.Module) -> list[dict]:
    """Return the parameters with and without weight decay."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    return [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]


def compute_loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy of the next tokens."""
    logits = model(inputs.long())  # tokens of a small vocabulary are bytes
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten().long())


def main(steps: int, seed: int, options: list[str]) -> None:
    args = parse_arguments([*options, "--no-augment"])
    train, val, _ = DATASETS[args.dataset](args)
    tokens = train.tensors[0].flatten()  # windows that follow each other
    torch.manual_seed(seed)
    model = GPT(len(train.info["vocabulary"]), args.context)
    optimizer = torch.optim.AdamW(get_groups(model), LEARNING_RATE, (0.9, 0.99), fused=True)
    window = torch.arange(args.context)
    begin = time.process_time()
    for step in range(steps):
        starts = torch.randint(len(tokens) - args.context - 1, (args.batch_size, 1))
        inputs, targets = tokens[starts + window], tokens[starts + window + 1]
        for group in optimizer.param_groups:
            group["lr"] = get_learning_rate(step, steps)
        loss = compute_loss(model, inputs, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    seconds = time.process_time() - begin
    with torch.no_grad():
        inputs, targets = val.tensors
        losses = []
        for part in torch.arange(len(inputs)).split(256):
            losses.append(compute_loss(model, inputs[part], targets[part]) * len(part))
        loss = sum(losses) / len(inputs)
    print(json.dumps({"seconds": seconds, "loss": float(loss)}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])

"""The architectures that --model chooses from: tokens in, at each place the logits of the token after it out.

FSDP divides a model block by block, where the project uses it: by its lists that are named for blocks or layers.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def rotate(x: Tensor) -> Tensor:
    """Turn pairs of features by angles that grow with the position: rotary embeddings, by which attention knows how far
    apart two tokens are (Su et al. 2021, https://arxiv.org/abs/2104.09864)."""
    length, half = x.shape[-2], x.shape[-1] // 2  # x: (..., tokens, features of a head)
    frequencies = 10_000 ** (-torch.arange(half, device=x.device) / half)
    angles = torch.arange(length, device=x.device)[:, None] * frequencies  # (tokens, half)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)


class Block(nn.Module):
    """Causal self-attention and an MLP, each on normalised inputs (pre-norm) and beside a shortcut."""

    def __init__(self, width: int, dropout: float, head_size: int = 32):
        super().__init__()
        self.head_size, self.dropout = head_size, dropout
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 4 * width, bias=False)
        self.mlp_out = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # (batch, tokens, width)
        heads = self.qkv(self.attention_norm(x)).unflatten(2, (3, -1, self.head_size))
        heads = heads.permute(2, 0, 3, 1, 4)  # (query, key and value, batch, heads, tokens, head_size)
        (query, key), value = rotate(heads[:2]), heads[2]
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        x = x + F.dropout(self.attention_out(mixed.transpose(1, 2).flatten(2)), self.dropout, self.training)
        hidden = F.gelu(self.mlp_in(self.mlp_norm(x)))
        return x + F.dropout(self.mlp_out(hidden), self.dropout, self.training)


class GPT(nn.Module):
    """A decoder-only Transformer, initialised as GPT-2 (Radford et al. 2019, "Language Models are Unsupervised
    Multitask Learners"), its embedding also the last layer (Press and Wolf 2017, https://arxiv.org/abs/1608.05859)."""

    def __init__(self, *, vocabulary: int, width: int = 64, layers: int = 2, dropout: float = 0.0):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.Sequential(*(Block(width, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:  # what ends in a sum over the layers starts smaller, the more of them there are
                shrink = math.sqrt(2 * layers) if name.endswith("out.weight") else 1.0
                nn.init.normal_(parameter, std=0.02 / shrink)

    def forward(self, tokens: Tensor) -> Tensor:  # (batch, tokens)
        x = self.norm(self.blocks(self.embedding(tokens)))  # (batch, tokens, width)
        return F.linear(x, self.embedding.weight)  # (batch, tokens, vocabulary)


class LSTM(nn.Module):
    """A long short-term memory (Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735), with
    dropout between its layers and tied weights like those of GPT."""

    def __init__(self, *, vocabulary: int, width: int = 64, layers: int = 2, dropout: float = 0.0):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        nn.init.normal_(self.embedding.weight, std=width**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:  # (batch, tokens)
        x, _ = self.lstm(self.embedding(tokens))  # (batch, tokens, width)
        return F.linear(x, self.embedding.weight, self.bias)  # (batch, tokens, vocabulary)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "gpt": GPT,
    "lstm": LSTM,
}

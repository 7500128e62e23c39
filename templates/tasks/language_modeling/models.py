"""The models: tokens in, the logits of the next token at each position out."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def rotate(x: Tensor) -> Tensor:
    """Rotate pairs of features by angles that grow with the position (rotary embeddings).

    Attention then depends on the distance of two tokens (Su et al. 2021,
    https://arxiv.org/abs/2104.09864). `x` has the shape (..., tokens, features of a head).
    """
    length = x.shape[-2]
    half = x.shape[-1] // 2
    frequencies = 10_000 ** (-torch.arange(half, device=x.device) / half)
    angles = torch.arange(length, device=x.device)[:, None] * frequencies  # (tokens, half)
    cos = torch.cat((angles, angles), dim=-1).cos().to(x.dtype)
    sin = torch.cat((-angles, angles), dim=-1).sin().to(x.dtype)
    return x * cos + x.roll(half, dims=-1) * sin


class Block(nn.Module):
    """Causal self-attention and an MLP, each after a norm and with a residual connection.

    `width` must be a multiple of `head_size`.
    """

    def __init__(self, width: int, dropout: float, head_size: int = 32):
        super().__init__()
        self.head_size = head_size
        self.dropout = dropout
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 4 * width, bias=False)
        self.mlp_out = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # (batch, tokens, width)
        heads = self.qkv(self.attention_norm(x)).unflatten(2, (3, -1, self.head_size))
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # (batch, heads, tokens, head_size) each
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(
            rotate(query), rotate(key), value, dropout_p=dropout, is_causal=True
        )
        mixed = self.attention_out(mixed.transpose(1, 2).flatten(2))  # (batch, tokens, width)
        x = x + F.dropout(mixed, self.dropout, self.training)
        hidden = F.gelu(self.mlp_in(self.mlp_norm(x)))
        return x + F.dropout(self.mlp_out(hidden), self.dropout, self.training)


class GPT(nn.Module):
    """A decoder-only transformer, initialized like GPT-2.

    Radford et al. 2019, "Language Models are Unsupervised Multitask Learners". The embedding is
    also the last layer (Press and Wolf 2017, https://arxiv.org/abs/1608.05859).
    """

    def __init__(
        self, *, vocabulary_size: int, width: int = 64, layers: int = 2, dropout: float = 0.0
    ):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.blocks = nn.Sequential(*(Block(width, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                std = 0.02
                if name.endswith("out.weight"):  # these outputs are summed over the layers
                    std /= math.sqrt(2 * layers)
                nn.init.normal_(parameter, std=std)

    def forward(self, tokens: Tensor) -> Tensor:  # (batch, tokens)
        x = self.norm(self.blocks(self.embedding(tokens)))  # (batch, tokens, width)
        return F.linear(x, self.embedding.weight)  # (batch, tokens, vocabulary_size)


class LSTM(nn.Module):
    """Long short-term memory with dropout between its layers, and tied weights like GPT's.

    Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735.
    """

    def __init__(
        self, *, vocabulary_size: int, width: int = 64, layers: int = 2, dropout: float = 0.0
    ):
        super().__init__()
        if layers == 1:
            dropout = 0.0  # there is nothing between layers
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, dropout=dropout)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        nn.init.normal_(self.embedding.weight, std=width**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:  # (batch, tokens)
        x, _ = self.lstm(self.embedding(tokens))  # (batch, tokens, width)
        return F.linear(x, self.embedding.weight, self.bias)  # (batch, tokens, vocabulary_size)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "gpt": GPT,
    "lstm": LSTM,
}
BLOCKS = (Block,)  # that the models repeat

"""The architectures that --model chooses from: numbers and categories in, one standardised value out.

FSDP divides a model block by block, where the project uses it: by its lists that are named for blocks or layers.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Categories(nn.Module):
    """A learned vector for each category of each column; zero for index 0, a category that training has not met."""

    offsets: Tensor

    def __init__(self, *, sizes: Sequence[int], width: int):
        super().__init__()
        self.register_buffer("offsets", torch.tensor([0, *sizes])[:-1].cumsum(dim=0), persistent=False)
        self.table = nn.Embedding(max(sum(sizes), 1), width)
        nn.init.uniform_(self.table.weight, -(width**-0.5), width**-0.5)

    def forward(self, indices: Tensor) -> Tensor:  # (batch, columns)
        vectors = self.table(indices + self.offsets)  # (batch, columns, width)
        return vectors * (indices > 0).unsqueeze(-1)


class FirstLayer(nn.Module):
    """A linear layer on numbers and one-hot categories; for the latter it is a sum of learned vectors."""

    def __init__(self, *, numbers: int, categories: Sequence[int], width: int):
        super().__init__()
        self.numbers = nn.Linear(max(numbers, 1), width)
        self.categories = Categories(sizes=categories, width=width)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:  # (batch, numbers), (batch, categories)
        numbers = numbers if numbers.shape[1] else numbers.new_zeros(len(numbers), 1)
        return self.numbers(numbers) + self.categories(categories).sum(dim=1)  # (batch, width)


class MLP(nn.Module):
    """Hidden layers with dropout on normalised inputs, as in Gorishniy et al. 2021, https://arxiv.org/abs/2106.11959."""

    def __init__(
        self, *, numbers: int, categories: Sequence[int], width: int = 128, layers: int = 2, dropout: float = 0.1
    ):
        super().__init__()
        self.first = FirstLayer(numbers=numbers, categories=categories, width=width)
        hidden: list[nn.Module] = []
        for _ in range(layers - 1):
            hidden += [nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width)]
        self.layers = nn.Sequential(*hidden, nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 1))

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:  # (batch, numbers), (batch, categories)
        return self.layers(self.first(numbers, categories)).squeeze(1)  # (batch,)


class ResidualBlock(nn.Module):
    """Batch norm and two linear layers beside a shortcut."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm1d(width),
            nn.Linear(width, 2 * width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:  # (batch, width)
        return x + self.body(x)


class ResNet(nn.Module):
    """The residual network for tables of Gorishniy et al. 2021, https://arxiv.org/abs/2106.11959."""

    def __init__(
        self, *, numbers: int, categories: Sequence[int], width: int = 128, blocks: int = 2, dropout: float = 0.1
    ):
        super().__init__()
        self.first = FirstLayer(numbers=numbers, categories=categories, width=width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, dropout) for _ in range(blocks)))
        self.head = nn.Sequential(nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:  # (batch, numbers), (batch, categories)
        return self.head(self.blocks(self.first(numbers, categories))).squeeze(1)  # (batch,)


class TransformerBlock(nn.Module):
    """Self-attention over the columns of a row and a ReGLU layer (Shazeer 2020, https://arxiv.org/abs/2002.05202)."""

    def __init__(self, width: int, heads: int, dropout: float, first: bool):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm1 = nn.Identity() if first else nn.LayerNorm(width)  # the paper's first block goes without
        self.norm2 = nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.shrink = nn.Linear(width, 8 * width // 3), nn.Linear(4 * width // 3, width)

    def forward(self, x: Tensor) -> Tensor:  # (batch, tokens, width)
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (batch, heads, tokens, width / heads) each
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        x = x + self.project(attended.transpose(1, 2).reshape(batch, tokens, width))
        values, gates = self.expand(self.norm2(x)).chunk(2, dim=-1)  # (batch, tokens, 4 / 3 width) each
        return x + self.shrink(F.dropout(values * gates.relu(), self.dropout, self.training))


class FTTransformer(nn.Module):
    """Each column becomes a token; a pre-norm transformer sums up in a further one (Gorishniy et al. 2021).

    Source: https://arxiv.org/abs/2106.11959. `width` must be a multiple of 3 and of `heads`.
    """

    def __init__(
        self, *, numbers: int, categories: Sequence[int], width: int = 96, blocks: int = 3, heads: int = 8,
        dropout: float = 0.1,
    ):  # fmt: skip
        super().__init__()
        self.scales = nn.Parameter(torch.empty(1 + numbers, width))  # the summary's token, and a scale for each number
        self.shifts = nn.Parameter(torch.empty(numbers + len(categories), width))
        for parameter in (self.scales, self.shifts):
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)
        self.categories = Categories(sizes=categories, width=width)
        self.blocks = nn.Sequential(
            *(TransformerBlock(width, heads, dropout, first=number == 0) for number in range(blocks))
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:  # (batch, numbers), (batch, categories)
        scaled = numbers.unsqueeze(2) * self.scales[1:]  # (batch, numbers, width)
        columns = torch.cat((scaled, self.categories(categories)), dim=1) + self.shifts
        summary = self.scales[0].expand(len(numbers), 1, -1)
        tokens = self.blocks(torch.cat((summary, columns), dim=1))  # (batch, 1 + columns, width)
        return self.head(tokens[:, 0]).squeeze(1)  # (batch,)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    "resnet": ResNet,
    "ft_transformer": FTTransformer,
}

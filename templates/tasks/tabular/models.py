"""The models: numbers and categories in; a standardized number or logits out."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = 8  # of the attention of the FT-Transformer


class Categories(nn.Module):
    """A learned vector for each category of each column, zero for index 0, an unknown one."""

    offsets: Tensor

    def __init__(self, *, sizes: Sequence[int], width: int):
        super().__init__()
        offsets = torch.tensor([0, *sizes])[:-1].cumsum(dim=0)
        self.register_buffer("offsets", offsets, persistent=False)
        self.table = nn.Embedding(max(sum(sizes), 1), width)
        nn.init.uniform_(self.table.weight, -(width**-0.5), width**-0.5)

    def forward(self, indices: Tensor) -> Tensor:  # (batch, columns)
        vectors = self.table(indices + self.offsets)  # (batch, columns, width)
        return vectors * (indices > 0).unsqueeze(-1)


class FirstLayer(nn.Module):
    """A linear layer on numbers and one-hot categories, for which it is a sum of vectors."""

    def __init__(self, *, numbers: int, categories: Sequence[int], width: int):
        super().__init__()
        self.numbers = nn.Linear(max(numbers, 1), width)
        self.categories = Categories(sizes=categories, width=width)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        """Return features (batch, width); the inputs are (batch, numbers), (batch, categories)."""
        if numbers.shape[1] == 0:
            numbers = numbers.new_zeros(numbers.shape[0], 1)
        return self.numbers(numbers) + self.categories(categories).sum(dim=1)


class MLP(nn.Module):
    """Hidden layers with dropout (Gorishniy et al. 2021, https://arxiv.org/abs/2106.11959)."""

    def __init__(
        self,
        *,
        numbers: int,
        categories: Sequence[int],
        outputs: int,
        width: int = 128,
        layers: int = 2,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.first = FirstLayer(numbers=numbers, categories=categories, width=width)
        hidden: list[nn.Module] = []
        for _ in range(layers - 1):
            hidden += [nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width)]
        hidden += [nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, outputs)]
        self.layers = nn.Sequential(*hidden)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        return self.layers(self.first(numbers, categories))  # (batch, outputs)


class ResidualBlock(nn.Module):
    """Batch norm and two linear layers with a residual connection."""

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
    """The residual network for tables of Gorishniy et al. 2021.

    https://arxiv.org/abs/2106.11959.
    """

    def __init__(
        self,
        *,
        numbers: int,
        categories: Sequence[int],
        outputs: int,
        width: int = 128,
        blocks: int = 2,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.first = FirstLayer(numbers=numbers, categories=categories, width=width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, dropout) for _ in range(blocks)))
        self.head = nn.Sequential(nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        features = self.blocks(self.first(numbers, categories))  # (batch, width)
        return self.head(features)  # (batch, outputs)


class TransformerBlock(nn.Module):
    """Self-attention over the columns of a row, and a ReGLU layer (Shazeer 2020).

    https://arxiv.org/abs/2002.05202. The first block has no norm before its attention.
    """

    def __init__(self, width: int, dropout: float, first: bool):
        super().__init__()
        self.dropout = dropout
        self.norm1 = nn.Identity() if first else nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 8 * width // 3)
        self.shrink = nn.Linear(4 * width // 3, width)

    def forward(self, x: Tensor) -> Tensor:  # (batch, tokens, width)
        heads = self.qkv(self.norm1(x)).unflatten(2, (3, HEADS, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # (batch, heads, tokens, features) each
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        x = x + self.project(attended.transpose(1, 2).flatten(2))
        values, gates = self.expand(self.norm2(x)).chunk(2, dim=-1)  # 4 / 3 * width features each
        return x + self.shrink(F.dropout(values * gates.relu(), self.dropout, self.training))


class FTTransformer(nn.Module):
    """A pre-norm transformer whose tokens are the columns, and one more that sums them up.

    Gorishniy et al. 2021, https://arxiv.org/abs/2106.11959. `width` must be a multiple of 24, for
    8 attention heads and ReGLU's two thirds.
    """

    def __init__(
        self,
        *,
        numbers: int,
        categories: Sequence[int],
        outputs: int,
        width: int = 96,
        blocks: int = 3,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.scales = nn.Parameter(torch.empty(1 + numbers, width))  # the summary's token is first
        self.shifts = nn.Parameter(torch.empty(numbers + len(categories), width))
        for parameter in (self.scales, self.shifts):
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)
        self.categories = Categories(sizes=categories, width=width)
        self.blocks = nn.Sequential()
        for number in range(blocks):
            self.blocks.append(TransformerBlock(width, dropout, first=number == 0))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        scaled = numbers.unsqueeze(2) * self.scales[1:]  # (batch, numbers, width)
        columns = torch.cat((scaled, self.categories(categories)), dim=1) + self.shifts
        summary = self.scales[0].expand(numbers.shape[0], 1, -1)
        tokens = self.blocks(torch.cat((summary, columns), dim=1))  # (batch, 1 + columns, width)
        return self.head(tokens[:, 0])  # (batch, outputs)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    "resnet": ResNet,
    "ft_transformer": FTTransformer,
}
BLOCKS = (ResidualBlock, TransformerBlock)  # that the models repeat

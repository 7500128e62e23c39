"""The architectures that --model chooses from: numbered words in, one logit for each class out.

A text is a row of word numbers that ends in zeros, its padding; how much of that there is changes no logit.

FSDP divides a model block by block, where the project uses it: by its lists that are named for blocks or layers.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class TransformerClassifier(nn.Module):
    """An encoder (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762) whose outputs are averaged over the words.

    Its norms stand in front of each layer, which trains without a long warm-up (Xiong et al. 2020,
    https://arxiv.org/abs/2002.04745).
    """

    def __init__(
        self, *, vocabulary: int, length: int, num_classes: int, width: int = 64, heads: int = 4, layers: int = 2
    ):
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(length, width))
        nn.init.normal_(self.words.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:  # (batch, length)
        padding = tokens == 0
        states = self.encoder(self.words(tokens) + self.positions[: tokens.shape[1]], src_key_padding_mask=padding)
        words = (~padding).unsqueeze(2).to(states.dtype)  # (batch, length, 1)
        return self.head((states * words).sum(dim=1) / words.sum(dim=1))  # (batch, num_classes)


class EmbeddingBag(nn.Module):
    """A linear layer over the mean of the words' vectors, whatever their order: fastText's classifier.

    Joulin et al. 2017, https://arxiv.org/abs/1607.01759; ours looks at single words only.
    """

    def __init__(self, *, vocabulary: int, length: int, num_classes: int, width: int = 64):
        super().__init__()
        self.words = nn.EmbeddingBag(vocabulary, width, mode="mean", padding_idx=0)
        nn.init.uniform_(self.words.weight, -1 / width, 1 / width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:  # (batch, length)
        return self.head(self.words(tokens))  # (batch, num_classes)


class LSTMClassifier(nn.Module):
    """Two LSTMs (Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735) that read both ways.

    The text is described by the greatest value that each of their outputs takes (Conneau et al. 2017,
    https://arxiv.org/abs/1705.02364).
    """

    def __init__(self, *, vocabulary: int, length: int, num_classes: int, width: int = 64):
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.words.weight, std=0.02)
        self.forwards = nn.LSTM(width, width, batch_first=True)
        self.backwards = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(2 * width, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:  # (batch, length)
        padding = (tokens == 0).unsqueeze(2)  # (batch, length, 1)
        lengths = tokens.count_nonzero(dim=1).unsqueeze(1)
        places = torch.arange(tokens.shape[1], device=tokens.device)
        reverse = (lengths - 1 - places) % tokens.shape[1]  # the last word first, and the padding last all the same
        states = [
            self.forwards(self.words(tokens))[0],
            self.backwards(self.words(tokens.gather(1, reverse)))[0],
        ]
        features = torch.cat([state.masked_fill(padding, -1.0).amax(dim=1) for state in states], dim=1)
        return self.head(features)  # (batch, num_classes)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "transformer": TransformerClassifier,
    "embedding_bag": EmbeddingBag,
    "lstm": LSTMClassifier,
}

"""The models: word numbers in, one logit for each class out.

A text is a row of word numbers that ends in padding; the amount of padding does not change the
logits.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class TransformerClassifier(nn.Module):
    """An encoder (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762), averaged over the words.

    The norm comes before each layer (pre-norm), which trains without a long warm-up (Xiong et al.
    2020, https://arxiv.org/abs/2002.04745). `width` must be a multiple of 16, the size of a head.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        length: int,
        num_classes: int,
        padding: int,
        width: int = 64,
        layers: int = 2,
    ):
        super().__init__()
        self.padding = padding
        self.words = nn.Embedding(vocabulary_size, width)
        self.positions = nn.Parameter(torch.empty(length, width))
        nn.init.normal_(self.words.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.02)
        layer = nn.TransformerEncoderLayer(
            width,
            nhead=width // 16,
            dim_feedforward=2 * width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        norm = nn.LayerNorm(width)
        self.encoder = nn.TransformerEncoder(layer, layers, norm, enable_nested_tensor=False)
        self.head = nn.Linear(width, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:  # (batch, length)
        is_padding = tokens == self.padding
        states = self.words(tokens) + self.positions[: tokens.shape[1]]  # (batch, length, width)
        states = self.encoder(states, src_key_padding_mask=is_padding)
        mask = (~is_padding).unsqueeze(2).to(states.dtype)  # (batch, length, 1)
        return self.head((states * mask).sum(dim=1) / mask.sum(dim=1))  # (batch, num_classes)


class EmbeddingBag(nn.Module):
    """A linear layer on the mean of the word vectors, whatever the order of the words.

    This is fastText's classifier without its pairs of words (Joulin et al. 2017,
    https://arxiv.org/abs/1607.01759).
    """

    def __init__(
        self, *, vocabulary_size: int, length: int, num_classes: int, padding: int, width: int = 64
    ):
        super().__init__()
        self.words = nn.EmbeddingBag(vocabulary_size, width, mode="mean", padding_idx=padding)
        nn.init.uniform_(self.words.weight, -1 / width, 1 / width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:  # (batch, length)
        return self.head(self.words(tokens))  # (batch, num_classes)


class LSTMClassifier(nn.Module):
    """An LSTM for each direction (Hochreiter and Schmidhuber 1997), and the maximum over the words.

    https://doi.org/10.1162/neco.1997.9.8.1735; max pooling as in Conneau et al. 2017,
    https://arxiv.org/abs/1705.02364.
    """

    def __init__(
        self, *, vocabulary_size: int, length: int, num_classes: int, padding: int, width: int = 64
    ):
        super().__init__()
        self.padding = padding
        self.words = nn.Embedding(vocabulary_size, width)
        nn.init.normal_(self.words.weight, std=0.02)
        self.forwards = nn.LSTM(width, width, batch_first=True)
        self.backwards = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(2 * width, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:  # (batch, length)
        is_padding = tokens == self.padding
        lengths = (~is_padding).sum(dim=1, keepdim=True)
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        reverse = (lengths - 1 - positions) % tokens.shape[1]  # padding stays at the end
        forwards, _ = self.forwards(self.words(tokens))  # (batch, length, width)
        backwards, _ = self.backwards(self.words(tokens.gather(1, reverse)))
        states = torch.cat((forwards, backwards), dim=2)
        states = states.masked_fill(is_padding.unsqueeze(2), -1.0)  # the least value of an LSTM
        return self.head(states.amax(dim=1))  # (batch, num_classes)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "transformer": TransformerClassifier,
    "embedding_bag": EmbeddingBag,
    "lstm": LSTMClassifier,
}
BLOCKS = (nn.TransformerEncoderLayer,)  # that the models repeat

"""Tokenizers: bytes, and parts of words that are learned from the training text."""

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from .checkpoint import read_checkpoint
from .errors import UserError

BYTES = "bytes"


class ByteTokenizer:
    """A token is a byte of UTF-8.

    `vocabulary` has the text of each token; half a character is an escape, which `decode` puts
    together with the other half. `saved` is what `load_tokenizer` makes a tokenizer of.
    """

    saved = BYTES
    dtype = torch.uint8

    def __init__(self) -> None:
        self.vocabulary = [as_text(bytes([value])) for value in range(256)]

    def encode(self, *texts: str) -> Tensor:
        """Return the tokens of texts, one after another: (tokens,)."""
        data = bytearray("".join(texts), "utf-8")
        return torch.frombuffer(data, dtype=self.dtype) if data else torch.empty(0)

    def encode_each(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """Yield the tokens of each text."""
        for text in texts:
            yield list(text.encode())


class SubwordTokenizer:
    """A token is a word, or a part of one: byte-level byte pair encoding (BPE).

    Sennrich et al. 2016, https://arxiv.org/abs/1508.07909, on bytes as in GPT-2. `saved` is a
    tokenizer.json of Hugging Face's library `tokenizers`.
    """

    def __init__(self, saved: str):
        from tokenizers import Tokenizer

        self.saved = saved
        self.tokenizer = Tokenizer.from_str(saved)
        values = get_byte_values()
        numbers = self.tokenizer.get_vocab()
        self.vocabulary = []
        for token in sorted(numbers, key=numbers.__getitem__):
            self.vocabulary.append(as_text(bytes(values[character] for character in token)))
        self.dtype = torch.int16 if len(self.vocabulary) <= 2**15 else torch.int32

    def encode(self, *texts: str) -> Tensor:
        """Return the tokens of texts, one after another: (tokens,)."""
        tokens: list[int] = []
        for numbers in self.encode_each(texts):
            tokens += numbers
        return torch.tensor(tokens, dtype=self.dtype)

    def encode_each(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """Yield the tokens of each text, which are made for a thousand texts at once."""
        for start in range(0, len(texts), 1000):
            for encoding in self.tokenizer.encode_batch_fast(texts[start : start + 1000]):
                yield encoding.ids


Tokenizer = ByteTokenizer | SubwordTokenizer


def get_tokenizer(args: Namespace, learn: Callable[[], str]) -> Tokenizer:
    """Return the tokenizer of --tokenizer; that of a checkpoint, if one is evaluated or resumed.

    `learn` returns a `saved` one that was learned from the training text.
    """
    return load_tokenizer(BYTES if args.tokenizer == BYTES else find_saved(args) or learn())


def find_saved(args: Namespace) -> str | None:
    """Return the tokenizer of the checkpoint that is evaluated or resumed, if there is one."""
    paths = [args.evaluate] if args.evaluate else []
    if args.resume and args.run_dir:
        paths += [args.run_dir / "checkpoints" / name for name in ("last.pt", "previous.pt")]
    for path in paths:
        if path.exists():
            try:
                return read_checkpoint(path)["model_config"]["info"].get("tokenizer")
            except UserError:  # is reported when the weights are loaded
                continue
    return None


def load_tokenizer(saved: str) -> Tokenizer:
    """Return the tokenizer of a checkpoint: `saved` is the "tokenizer" in its `info`."""
    return ByteTokenizer() if saved == BYTES else SubwordTokenizer(saved)


def learn_subwords(texts: Iterable[str], vocabulary_size: int) -> str:
    """Learn a vocabulary of the commonest parts of words, and return the tokenizer as JSON.

    Raises nothing for a text that is too small for `vocabulary_size`: the vocabulary is smaller.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str()


def decode(tokens: Iterable[int], vocabulary: list[str]) -> str:
    """Return the text of tokens; incomplete characters become �."""
    text = "".join(vocabulary[token] for token in tokens)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def as_text(data: bytes) -> str:
    """Return the text of a token; bytes that are no whole character become escapes."""
    return data.decode("utf-8", "surrogateescape")


def get_byte_values() -> dict[str, int]:
    """Return the byte that each character in a byte-level vocabulary stands for, as in GPT-2.

    Printable characters stand for themselves, the others follow each other from 256 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = sorted(set(range(256)) - set(printable))
    values = {chr(value): value for value in printable}
    for number, value in enumerate(others):
        values[chr(256 + number)] = value
    return values

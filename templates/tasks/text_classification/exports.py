"""The exported model as a function of tensors, and how to use it without this project."""

from typing import Any

from torch import Tensor, nn


class Exported(nn.Module):
    """Tokens in, logits out."""

    inputs = ("tokens",)  # int32 (batch, length), with padding
    outputs = ("logits",)  # float32 (batch, classes)
    dynamic = (0,)  # dimensions of any size
    card = "text-classification"  # the task's name on the Hugging Face Hub

    def __init__(self, model: nn.Module, info: dict[str, Any]):
        super().__init__()
        self.model = model
        self.tokenizer = info["tokenizer"]

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        return (self.model(tokens),)

    def get_arguments(self, batch: Any) -> tuple[Tensor, ...]:
        """Return the inputs in a batch of predict.py."""
        return (batch,)

    def get_program(self) -> tuple[str, str, str]:
        """Return imports, statements that make the inputs, and those that use the outputs."""
        imports, tokenize = TOKENIZE.get(self.tokenizer, SUBWORDS)
        return imports, f"{TEXT}{tokenize}{PREPARE}", RESULT


TEXT = 'text = "Open a file, and return its lines."\n'
# Imports, and statements that make the list `numbers` of a text.
TOKENIZE = {
    "words": (
        "import re\n",
        'known = {word: number for number, word in enumerate(info["vocabulary"])}\n'
        'words = re.findall(r"\\w+|[^\\w\\s]", text.lower())\n'
        "numbers = [known.get(word, 1) for word in words]  # 1 is an unknown one\n",
    ),
    "bytes": ("", "numbers = [2 + byte for byte in text.encode()]\n"),
}
SUBWORDS = (
    "from tokenizers import Tokenizer\n",
    'tokenizer = Tokenizer.from_str(info["tokenizer"])\n'
    "numbers = [2 + number for number in tokenizer.encode(text).ids]\n",
)
PREPARE = """\
numbers = numbers[: info["length"]]
tokens = numpy.full((1, info["length"]), info["padding"], dtype=numpy.int32)
tokens[0, : len(numbers)] = numbers
"""
RESULT = 'print(info["classes"][logits.argmax()])\n'

"""The exported model as a function of tensors, and how to use it without this project."""

from typing import Any

from torch import Tensor, nn

from .engine.tokenizer import BYTES


class Exported(nn.Module):
    """Tokens in, the logits of the next one at each position out."""

    inputs = ("tokens",)  # int64 (batch, tokens)
    outputs = ("logits",)  # float32 (batch, tokens, vocabulary)
    dynamic = (0, 1)  # dimensions of any size
    card = "text-generation"  # the task's name on the Hugging Face Hub

    def __init__(self, model: nn.Module, info: dict[str, Any]):
        super().__init__()
        self.model = model
        self.has_bytes = info["tokenizer"] == BYTES

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        return (self.model(tokens),)

    def get_arguments(self, batch: Any) -> tuple[Tensor, ...]:
        """Return the inputs in a batch of predict.py, a prompt."""
        return (batch.tokens,)

    def get_program(self) -> tuple[str, str, str]:
        """Return imports, statements that make the inputs, and those that use the outputs."""
        imports, tokenize = BYTE_TOKENS if self.has_bytes else SUBWORDS
        return imports, f"{TEXT}{tokenize}", RESULT


TEXT = 'text = "def main("\n'
BYTE_TOKENS = ("", "tokens = numpy.array([list(text.encode())])\n")
SUBWORDS = (
    "from tokenizers import Tokenizer\n",
    'tokenizer = Tokenizer.from_str(info["tokenizer"])\n'
    "tokens = numpy.array([tokenizer.encode(text).ids])\n",
)
RESULT = 'print(text + info["vocabulary"][logits[0, -1].argmax()])  # the likeliest next token\n'

"""Text that the model writes, and a figure of the characters that it did not expect."""

import codecs
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .engine.loader import Loader
from .engine.report import new_figure
from .engine.runtime import Runtime
from .engine.tokenizer import decode

VISIBLE = str.maketrans({"\n": "↵", "\t": "→", "\r": "←"})
PROMPT = 16  # tokens of the data that the model continues


@torch.no_grad()
def make_figures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: Any
) -> dict[str, Any]:
    """Return text that continues the beginning of a split, and the surprise of its characters."""
    model.eval()
    vocabulary = loader.info["vocabulary"]
    inputs, targets = loader.sample_batch(20)  # (windows, context) each
    targets = targets.long()
    with runtime.autocast():
        logits = model(inputs.long()).float()  # (windows, context, vocabulary)
    nats = F.cross_entropy(logits.movedim(2, 1), targets, reduction="none")  # (windows, context)
    surprise = draw_surprise(nats.cpu() / math.log(2), targets.tolist(), vocabulary)
    surprise.suptitle(f"{loader.split} split, each token coloured by how unexpected it was")
    tokens = sample(runtime, model, inputs[:1].long(), length=500)[0].tolist()
    title = f"The first {PROMPT} tokens are from the {loader.split} split, the others the model's."
    text = remove_controls(decode(tokens, vocabulary))
    return {"sample": f"{title}\n\n{text}\n", "surprise": surprise}


def sample(
    runtime: Runtime, model: nn.Module, window: Tensor, length: int, temperature: float = 0.8
) -> Tensor:
    """Return the first tokens of `window`, (1, context), and `length` tokens that the model draws.

    A temperature under 1 makes likely tokens more likely.
    """
    generator = torch.Generator(runtime.device).manual_seed(0)
    context = window.shape[1]
    tokens = window[:, :PROMPT]
    for _ in range(length):
        with runtime.autocast():
            logits = model(tokens[:, -context:])[:, -1].float()  # (1, vocabulary)
        probabilities = (logits / temperature).softmax(dim=1)
        token = torch.multinomial(probabilities, 1, generator=generator)
        tokens = torch.cat((tokens, token), dim=1)
    return tokens


def remove_controls(text: str) -> str:
    """Return a text with � in place of characters that cannot be printed."""
    characters = []
    for character in text:
        keep = character.isprintable() or character in "\n\t"
        characters.append(character if keep else "�")
    return "".join(characters)


def draw_surprise(bits: Tensor, targets: list[list[int]], vocabulary: list[str]) -> Any:
    """Draw the last tokens of windows, coloured by their surprise `bits`, (windows, context)."""
    texts = [get_texts(window, vocabulary) for window in targets]
    characters = sum(len(text) for row in texts for text in row)
    columns = max(8, 64 * bits.numel() // max(characters, bits.numel()))  # 64 if tokens are bytes
    figure, grid = new_figure(size=(10, 0.6 + 0.28 * len(targets)), xticks=[], yticks=[])
    axes = grid[0, 0]
    bits = bits[:, -columns:]
    image = axes.imshow(bits.numpy(), cmap="Oranges", vmin=0, vmax=12, aspect="auto")
    label = "surprise: -log2 of the probability (bits)"
    figure.colorbar(image, label=label, extend="max", pad=0.01, aspect=40)
    style = {"family": "monospace", "fontsize": 8, "ha": "center", "va": "center"}
    style["parse_math"] = False  # "$$" is no formula
    for row, window in enumerate(texts):
        for column, text in enumerate(window[-columns:]):
            color = "white" if bits[row, column] > 8 else "black"
            cell = axes.text(column, row, text.strip(), color=color, clip_on=True, **style)
            cell.set_in_layout(False)  # all are inside the axes; saves time
    return figure


def get_texts(tokens: list[int], vocabulary: list[str]) -> list[str]:
    """Return the visible text of each token, that of a divided character at its last token."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("monospace"))
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    texts = []
    for token in tokens:
        text = decoder.decode(vocabulary[token].encode("utf-8", "surrogateescape"))
        shown = []
        for character in text.translate(VISIBLE):
            shown.append(character if font.get_char_index(ord(character)) else "□")
        texts.append("".join(shown))
    return texts

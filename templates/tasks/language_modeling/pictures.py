"""What the model makes of text: what it would write, and which characters surprise it."""

import codecs
import math

import torch
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MetricCollection

from loader import Loader
from runtime import Runtime

VISIBLE = str.maketrans({"\n": "↵", "\t": "→", "\r": "←"})


@torch.no_grad()
def draw_pictures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: MetricCollection
) -> dict[str, Figure | str]:
    """Write text that goes on from the first few characters of the validation text, and draw which characters of the
    validation text the model did not expect."""
    model.eval()
    vocabulary = loader.dataset.info["vocabulary"]
    inputs, targets = (tokens.long() for tokens in loader.sample_batch(20))  # (windows, context) each
    with runtime.autocast():
        logits = model(inputs).float()  # (windows, context, vocabulary)
    bits = F.cross_entropy(logits.movedim(2, 1), targets, reduction="none") / math.log(2)  # (windows, context)
    tokens = sample(runtime, model, inputs[:1], length=500)
    text = b"".join(vocabulary[token] for token in tokens[0].tolist()).decode(errors="replace")
    text = "".join(character if character.isprintable() or character in "\n\t" else "�" for character in text)
    return {"sample": text, "surprise": draw_surprise(bits.cpu(), targets.tolist(), vocabulary)}


def sample(runtime: Runtime, model: nn.Module, window: Tensor, length: int, temperature: float = 0.8) -> Tensor:
    """Go on from the first tokens of `window`, (1, context): draw `length` tokens, each from what the model expects
    there; a temperature under 1 favours the likely ones."""
    generator = torch.Generator(runtime.device).manual_seed(0)
    context = window.shape[1]
    tokens = window[:, :16]
    for _ in range(length):
        with runtime.autocast():
            logits = model(tokens[:, -context:])[:, -1].float()  # (1, vocabulary)
        token = torch.multinomial((logits / temperature).softmax(dim=1), 1, generator=generator)
        tokens = torch.cat((tokens, token), dim=1)
    return tokens


def draw_surprise(bits: Tensor, targets: list[list[int]], vocabulary: list[bytes], columns: int = 64) -> Figure:
    """Draw the last characters of windows, coloured by their surprise, `bits`, of the shape (windows, context)."""
    font = get_font(findfont("monospace"))
    figure = Figure(figsize=(10, 0.5 + 0.28 * len(targets)), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    image = axes.imshow(bits[:, -columns:].numpy(), cmap="Oranges", vmin=0, vmax=12, aspect="auto")
    for row, window in enumerate(targets):
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for column, token in enumerate(window[-columns:]):
            text = decoder.decode(vocabulary[token]).translate(VISIBLE)  # empty before the last byte of a character
            text = "".join(character if font.get_char_index(ord(character)) else "□" for character in text)
            color = "white" if bits[row, -columns:][column] > 8 else "black"
            place = axes.text(column, row, text, color=color, family="monospace", fontsize=8, ha="center", va="center")
            place.set_in_layout(False)  # all within the axes; saves time
    axes.set(title="validation text, each character coloured by how little the model expected it", xticks=[], yticks=[])
    figure.colorbar(image, label="surprise (bits)", extend="max", pad=0.01, aspect=40)
    return figure

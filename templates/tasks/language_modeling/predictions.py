"""Text that the model writes behind a prompt, or how well it expects the text of files."""

import codecs
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .engine.errors import UserError
from .engine.input_files import find_files
from .engine.options import number
from .engine.prediction import describe_metrics, writing_text
from .engine.runtime import Runtime
from .engine.terminal import say, silence
from .engine.texts import decode_utf8, get_piece, read_chunks
from .engine.tokenizer import load_tokenizer
from .utils import get_metrics

STANDARD_INPUT = "-"


class Prompt(NamedTuple):
    """A text that the model continues."""

    text: str
    tokens: Tensor  # int64 (1, tokens)
    window: int  # the number of tokens that the model sees at once
    vocabulary: list[str]


def add_prediction_options(parser: ArgumentParser) -> None:
    """Add the prompts, and how they are continued."""
    parser.usage = "%(prog)s [options] RUN [FILE...]"
    add = parser.add_argument
    help = "text file that the model continues, folder, or pattern; - reads standard input"
    add("inputs", nargs="*", metavar="FILE", help=help)
    add("--prompt", metavar="TEXT", help="text that the model continues")
    add("--length", type=number(int, 1), default=500, help="number of tokens to write")
    help = "under 1 makes likely tokens more likely; 0 takes the likeliest one"
    add("--temperature", type=number(float), default=0.8, help=help)
    help = "seed of the choice of tokens: with the same one, the text is the same"
    add("--seed", type=number(int, below=2**63), help=help)
    help = "write nothing, but measure how well the text of the files is expected"
    add("--score", action="store_true", help=help)


class Inputs:
    """Prompts, or windows of text with --score: `for name, batch in inputs` gives them in order.

    A file that cannot be read is reported, skipped and counted in `failed`.
    """

    def __init__(self, args: Namespace, runtime: Runtime, info: dict[str, Any]):
        self.args = args
        self.runtime = runtime
        self.info = info
        self.failed = 0
        self.window = info.get("window", args.context)
        self.tokenizer = load_tokenizer(info["tokenizer"])
        self.names: list[Path | str] = []
        for name in args.inputs:
            self.names += [name] if name == STANDARD_INPUT else find_files(args, [name], ())
        if args.score and (args.prompt is not None or not self.names):
            raise UserError("--score needs files, or - for standard input, and no --prompt")
        if args.prompt is None and not self.names:
            raise UserError("nothing to continue: give --prompt TEXT, a file, or -")

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        if self.args.prompt is not None:
            yield "--prompt", self.make_prompt("--prompt", self.args.prompt)
        for name in self.names:
            try:
                if self.args.score:
                    yield from self.read_windows(name)
                else:
                    text = "".join(read_text(name))
                    text = text.removesuffix("\n").removesuffix("\r")  # which editors add
                    yield str(name), self.make_prompt(name, text)
            except UserError as error:
                if len(self.names) == 1 and self.args.prompt is None:
                    raise
                say(f"warning: skipped: {error}", sys.stderr)
                self.failed += 1
        if self.failed and self.failed == len(self.names) and self.args.prompt is None:
            raise UserError("none of the files could be read")

    def make_prompt(self, name: Path | str, text: str) -> Prompt:
        """Return a prompt with the last tokens of a text. Raises UserError if it has none."""
        tokens = self.tokenizer.encode(text)[-self.window :].long()
        if not len(tokens):
            raise UserError(f"{name} is empty: a prompt needs a character")
        tokens = tokens.unsqueeze(0).to(self.runtime.device)
        return Prompt(text, tokens, self.window, self.info["vocabulary"])

    def read_windows(self, name: Path | str) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
        """Yield the windows of a text side by side: inputs and targets, (windows, tokens) each."""
        tokens = torch.cat([self.tokenizer.encode(chunk) for chunk in read_text(name)])
        if len(tokens) < 2:
            raise UserError(f"{name} is too short: two tokens are needed")
        batches: list[Tensor] = []
        count = (len(tokens) - 1) // self.window  # whole windows
        if count:
            windows = tokens.unfold(0, self.window + 1, self.window)
            batches += windows.split(self.args.batch_size)
        rest = tokens[count * self.window :]
        if len(rest) > 1:
            batches.append(rest.unsqueeze(0))
        for batch in tqdm(batches, desc=str(name), unit="batch", leave=False, disable=None):
            batch = batch.long().to(self.runtime.device)
            yield str(name), (batch[:, :-1], batch[:, 1:])


def read_text(name: Path | str) -> Iterator[str]:
    """Yield the text of a file in chunks, or that of standard input.

    Raises UserError if it cannot be read, is empty, or is no UTF-8.
    """
    if name == STANDARD_INPUT:
        yield decode_utf8(sys.stdin.buffer.read(), Path("standard input"), 0).removeprefix("\ufeff")
    else:
        yield from read_chunks([get_piece(Path(name))])


@torch.inference_mode()
def predict(args: Namespace, runtime: Runtime, model: nn.Module, batch: Any) -> Any:
    """Return the parts of a text as they are made; or the logits and the targets of windows."""
    if isinstance(batch, Prompt):
        return generate(args, runtime, model, batch)
    inputs, targets = batch  # (windows, tokens) each
    with runtime.autocast():
        logits = model(inputs)
    return logits.float(), targets


@torch.inference_mode()
def generate(args: Namespace, runtime: Runtime, model: nn.Module, prompt: Prompt) -> Iterator[str]:
    """Yield a prompt, and the text of the tokens that the model draws; only whole characters."""
    yield prompt.text
    generator = torch.Generator().manual_seed(args.seed)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    tokens = prompt.tokens
    for _ in range(args.length):
        with runtime.autocast():
            logits = model(tokens)[:, -1].float()  # (1, vocabulary)
        logits -= logits.max()
        if args.temperature == 0:
            token = logits.argmax(dim=1, keepdim=True)
        else:
            probabilities = (logits / args.temperature).softmax(dim=1)
            token = torch.multinomial(probabilities.cpu(), 1, generator=generator)
        tokens = torch.cat((tokens, token.to(tokens.device)), dim=1)[:, -prompt.window :]
        data = prompt.vocabulary[int(token)].encode("utf-8", "surrogateescape")
        yield decoder.decode(data)
    yield decoder.decode(b"", final=True)


class Output(ExitStack):
    """The terminal, and --output if it is given; with --score the metrics alone."""

    def __init__(self, args: Namespace, runtime: Runtime, inputs: Inputs):
        super().__init__()
        self.score = args.score
        self.metrics: Any = None  # slow to import
        if args.score:
            self.metrics = get_metrics(args, runtime, inputs.info)
        self.several = len(inputs.names) + (args.prompt is not None) > 1
        self.is_read = True  # whether somebody reads what is printed
        self.tokens = 0
        self.file: TextIO | None = None
        if args.output is not None and not args.score:
            self.file = self.enter_context(writing_text(args.output))

    def add(self, name: str, result: Any) -> None:
        """Write a text while it is made, or count windows in the metrics."""
        if self.score:
            logits, targets = result
            self.metrics.update(logits, targets)
            self.tokens += targets.numel()
            return
        if self.several:
            self.write(f"==> {name} <==\n")
        for text in result:
            self.write(text)
            if not self.is_read and self.file is None:
                break
        self.write("\n")

    def write(self, text: str) -> None:
        """Write a part of a text, at once."""
        if self.file is not None:
            self.file.write(text)
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except (OSError, ValueError):  # as with `| head`
            silence(sys.stdout)
            self.is_read = False

    def summary(self) -> str:
        """Return the metrics, or nothing below a text."""
        return f"{self.tokens:,} tokens: {describe_metrics(self.metrics)}" if self.score else ""

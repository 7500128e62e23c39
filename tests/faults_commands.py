"""Wrong command lines of the default project, each with words that its one line must hold.

They are typed in a folder that `make_files` fills. Those in RUNS start a run of `good` first.
"""

import json
import os
from pathlib import Path

from PIL import Image

LONG = "x" * 5000
EVALUATE = "--evaluate runs/good/checkpoints/best.pt"
RESUME = "--resume --run-dir runs/good"

NONSENSE = {  # an option with a value that is none
    "--epochs ten": "--epochs: 'ten'",
    "--epochs 1.5": "--epochs: '1.5'",
    "--epochs ''": "--epochs: ''",
    "--epochs 1e3": "--epochs: '1e3'",
    "--epochs 0x10": "--epochs: '0x10'",
    "--epochs None": "--epochs: 'None'",
    "--epochs '2 3'": "--epochs: '2 3'",
    "--epochs \u0663.": "--epochs: '\u0663.'",
    "--lr fast": "--lr: 'fast'",
    "--lr 0,1": "--lr: '0,1'",
    "--lr 1/10": "--lr: '1/10'",
    "--lr ''": "--lr: ''",
    "--batch-size large": "--batch-size: 'large'",
    "--batch-size 64.0": "--batch-size: '64.0'",
    "--seed random": "--seed: 'random'",
    "--workers auto": "--workers: 'auto'",
    "--model CNN": "--model: invalid choice: 'CNN'",
    "--model ''": "--model: invalid choice: ''",
    "--model resnet1000": "--model: invalid choice: 'resnet1000'",
    "--dataset imagenet": "--dataset: invalid choice: 'imagenet'",
    "--dataset digits.csv": "--dataset: invalid choice: 'digits.csv'",
    "--optimizer adam": "--optimizer: invalid choice: 'adam'",
    "--schedule step": "--schedule: invalid choice: 'step'",
    "--device gpu": "--device: invalid choice: 'gpu'",
    "--device cuda:0": "--device: invalid choice: 'cuda:0'",
    "--device CPU": "--device: invalid choice: 'CPU'",
    "--precision 16": "--precision: invalid choice: '16'",
    "--precision float32": "--precision: invalid choice: 'float32'",
    "--monitor nonsense": "--monitor nonsense",
    "--monitor ''": "--monitor",
    "--monitor val/loss": "--monitor val/loss",
    "--monitor Accuracy": "--monitor Accuracy",
}
LIMITS = {  # a number outside of its range
    "--epochs 0": "--epochs: 0",
    "--epochs -1": "--epochs: -1",
    "--steps-per-epoch -1": "--steps-per-epoch: -1",
    "--batch-size 0": "--batch-size: 0",
    "--batch-size -64": "--batch-size: -64",
    "--grad-accum 0": "--grad-accum: 0",
    "--lr -0.1": "--lr: -0.1",
    "--lr nan": "--lr: nan",
    "--lr inf": "--lr: inf",
    "--lr 1e999": "--lr: inf",
    "--weight-decay -1": "--weight-decay: -1",
    "--weight-decay nan": "--weight-decay: nan",
    "--warmup-ratio 1": "--warmup-ratio: 1.0",
    "--warmup-ratio -0.1": "--warmup-ratio: -0.1",
    "--warmup-ratio 2000": "--warmup-ratio: 2000.0",
    "--grad-clip -1": "--grad-clip: -1",
    "--grad-clip inf": "--grad-clip: inf",
    "--ema 1": "--ema: 1.0",
    "--ema -0.5": "--ema: -0.5",
    "--ema 99.9": "--ema: 99.9",
    "--patience -1": "--patience: -1",
    "--seed -1": "--seed: -1",
    "--seed 9223372036854775808": "--seed: 9223372036854775808",
    "--workers -1": "--workers: -1",
    "--workers 10000": "--workers: 10000",
    "--dist-timeout 0": "--dist-timeout: 0",
    "--dist-timeout -5": "--dist-timeout: -5",
    "--dist-timeout 1e300": "--dist-timeout: 1e+300",
    "--save-every -1": "--save-every: -1",
    "--log-every 0": "--log-every: 0",
    "--image-size 0": "--image-size: 0",
    "--image-size 1000000000": "--image-size: 1000000000",
    "--label-smoothing 1": "--label-smoothing: 1.0",
    "--label-smoothing -0.1": "--label-smoothing: -0.1",
}
UNKNOWN = {  # options that there are not, also of other versions, tasks and backends
    "--epoch 3": "--epoch",
    "--ep 3": "--ep",
    "--batch 64": "--batch",
    "--batch_size 64": "--batch_size",
    "--learning-rate 0.1": "--learning-rate",
    "-e 3": "-e",
    "-lr 0.1": "-lr",
    "--lr=": "--lr: ''",
    "--accumulation 2": "--accumulation",
    "--clip 1": "--clip",
    "--warmup 0.1": "--warmup",
    "--gpus 2": "--gpus",
    "--no-epochs": "--no-epochs",
    "--no-model": "--no-model",
    "--context 64": "--context",
    "--target price": "--target",
    "--tokenizer bpe": "--tokenizer",
    "--horizon 24": "--horizon",
    "--sharded-checkpoints": "--sharded-checkpoints",
    "--help-me": "--help-me",
    "train": "train",
    "3": "3",
    "-- --epochs 3": "--epochs",
    "--\u2014epochs 3": "\u2014epochs",
    "\u2013\u2013epochs 3": "\u2013\u2013epochs 3",
    "--quick true": "true",
    "--quick=yes": "--quick",
    "--no-resume=1": "--no-resume",
    "--epochs": "--epochs: expected one argument",
    "--epochs 3 4": "4",
    "--model --quick": "--model: expected one argument",
    "--run-dir": "--run-dir: expected one argument",
    "--epochs 3 --epochs x": "--epochs: 'x'",
}
FILES = {  # files and folders that are missing, of another kind, or cannot be made
    "--run-dir ''": "--run-dir: a path is needed",
    "--run-dir .": "--run-dir",
    "--run-dir /": "--run-dir",
    "--run-dir ..": "--run-dir",
    "--run-dir $'\\xff'": "not valid UTF-8",
    f"--run-dir {LONG}": "File name too long",
    "--run-dir text.txt": "text.txt",
    "--run-dir text.txt/run": "text.txt",
    "--run-dir images": "images holds other files",
    "--run-dir runs": "runs holds other files",
    "--run-dir runs/good": "runs/good holds a run",
    "--run-dir /proc/run": "/proc/run",
    "--run-dir /dev/null": "/dev/null",
    "--config missing.json": "missing.json",
    "--config images": "images",
    "--config text.txt": "text.txt",
    "--config broken.json": "broken.json",
    "--config list.json": "list.json",
    "--config empty.json": "empty.json",
    "--config deep.json": "deep.json",
    "--config unknown.json": "'mixup'",
    "--config typed.json": "typed.json: --epochs: 'many'",
    "--config low.json": "low.json: --epochs: 0",
    "--config choice.json": "choice.json: --model: 'wide_cnn'",
    "--config pipe": "pipe is not a file",
    f"--config {LONG}": "File name too long",
    "--config ''": "--config: a path is needed",
    "--evaluate missing.pt": "missing.pt does not exist",
    "--evaluate ''": "--evaluate: a path is needed",
    "--evaluate images": "images is a folder",
    "--evaluate text.txt": "text.txt",
    "--evaluate lone.pt": "lone.pt is not in a run directory",
    "--evaluate bad/checkpoints/best.pt": "bad/config.json",
    "--evaluate lone.pt --config runs/good/config.json": "lone.pt is damaged, or not a checkpoint",
    f"--evaluate {LONG}": "File name too long",
    "--dataset image_folder": "data",
    "--dataset image_folder --data-dir missing": "missing",
    "--dataset image_folder --data-dir text.txt": "text.txt",
    "--dataset image_folder --data-dir ''": "--data-dir: a path is needed",
    "--dataset image_folder --data-dir nothing": "nothing",
    "--dataset image_folder --data-dir one": "two classes",
    "--dataset image_folder --data-dir broken": "0.png",
    f"--dataset image_folder --data-dir {LONG}": "File name too long",
}
CONTRADICTIONS = {  # options that exclude each other, or that a saved run excludes
    "--batch-size 7 --grad-accum 2": "--batch-size 7",
    "--batch-size 4 --grad-accum 8": "--batch-size 4",
    "--device cpu --precision fp16": "--precision fp16",
    f"--resume {EVALUATE}": "--resume and --evaluate",
    "--resume --config runs/good/config.json": "--resume and --config",
    f"{RESUME} --lr 0.1": "--lr",
    f"{RESUME} --model cnn": "--model",
    f"{RESUME} --batch-size 32": "--batch-size",
    f"{RESUME} --epochs 1": "--epochs 1: 2 epochs are done",
    f"{RESUME} --augment": "--augment",
    f"{RESUME} --seed 1": "--seed",
    "--resume --run-dir runs/evaluation": "runs/evaluation is not a training run",
    "--resume --run-dir images": "images",
    "--resume --run-dir text.txt": "text.txt",
    "--resume --run-dir bad": "bad/config.json",
    f"{EVALUATE} --model cnn": "--model mlp, not of cnn",
    f"{EVALUATE} --dataset image_folder --data-dir images": "not those of the checkpoint",
    "--model vit --pretrained": "--pretrained",
    "--model cnn --pretrained": "--pretrained",
}
GROUPS = {
    "values that are none": NONSENSE,
    "numbers out of range": LIMITS,
    "unknown options": UNKNOWN,
    "files and folders": FILES,
    "contradictions": CONTRADICTIONS,
}


def make_files(folder: Path) -> None:
    """Make the files that the command lines name, but for the run `good` and its evaluation."""
    (folder / "text.txt").write_text("no options, no weights, no images\n")
    (folder / "lone.pt").write_text("no weights")
    (folder / "broken.json").write_text('{"epochs": ')
    (folder / "list.json").write_text("[1, 2]")
    (folder / "empty.json").write_text("")
    (folder / "deep.json").write_text('{"a":' * 100_000)
    wrong = {"unknown": {"mixup": 0.2}, "typed": {"epochs": "many"}, "low": {"epochs": 0}}
    wrong["choice"] = {"model": "wide_cnn"}
    for name, saved in wrong.items():
        (folder / f"{name}.json").write_text(json.dumps(saved))
    os.mkfifo(folder / "pipe")
    for label in ("cat", "dog"):
        for path in (folder / "images", folder / "broken"):
            (path / label).mkdir(parents=True)
            for number in range(10):
                Image.new("RGB", (8, 8), (25 * number, 0, 0)).save(path / label / f"{number}.png")
    (folder / "broken" / "dog" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "one" / "cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "one" / "cat" / "0.png")
    (folder / "nothing").mkdir()
    (folder / "bad" / "checkpoints").mkdir(parents=True)
    (folder / "bad" / "checkpoints" / "best.pt").write_text("no weights")
    (folder / "bad" / "config.json").write_text("{")

"""Time of the default project to 99 % on MNIST, beside two epochs of a plain example.

    python benchmarks/mnist.py FOLDER_OF_MNIST

The plain example is a common start: two convolutions, dropout, Adadelta, and a DataLoader that
transforms one image after the other. Each run is a process of its own; times are CPU seconds,
imports and evaluation included.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torchvision import datasets, transforms

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from rendering import render


class Plain(nn.Module):
    """Two convolutions and two linear layers."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(0.25),
            nn.Flatten(),
            nn.Linear(9216, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, 10),
        )

    def forward(self, x):
        return self.layers(x)


def plain(root: str, epochs: int = 2) -> None:
    """Train the plain example, and print its test accuracy."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.1307, 0.3081)])
    train = datasets.MNIST(root, train=True, transform=transform)
    test = datasets.MNIST(root, train=False, transform=transform)
    model = Plain()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    for _ in range(epochs):
        model.train()
        for images, labels in torch.utils.data.DataLoader(train, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            right = 0
            for images, labels in torch.utils.data.DataLoader(test, batch_size=1000):
                right += int((model(images).argmax(1) == labels).sum())
    print(right / len(test))


def measure(command: list[str], cwd: Path) -> tuple[float, str]:
    """Run a process; return its CPU seconds and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, result.stdout


def main() -> None:
    root = str(Path(sys.argv[1]).resolve())
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        project = render({"distributed": "none", "logger": "none"}, Path(folder))
        command = [sys.executable, "main.py", "--device", "cpu", "--quiet"]
        command += ["--dataset", "mnist", "--data-dir", root]
        for epochs in (1, 3):
            run_dir = f"runs/{epochs}"
            options = ["--epochs", str(epochs), "--run-dir", run_dir]
            seconds, _ = measure([*command, *options], project)
            lines = (project / run_dir / "metrics.jsonl").read_text().splitlines()
            accuracy = json.loads(lines[-1])["test/accuracy"]
            rows[f"the default model, {epochs} epoch{'s' if epochs > 1 else ''}"] = (
                seconds,
                accuracy,
            )
        plain_seconds, out = measure([sys.executable, __file__, root, "plain"], project)
    rows["the plain example, 2 epochs"] = plain_seconds, float(out)
    print("| MNIST on a CPU | test accuracy | time, as a share of the plain example's |")
    print("|---|---|---|")
    for name, (seconds, accuracy) in rows.items():
        print(f"| {name} | {accuracy:.2%} | {seconds / plain_seconds:.2f} |")


if __name__ == "__main__":
    main() if len(sys.argv) == 2 else plain(sys.argv[1])

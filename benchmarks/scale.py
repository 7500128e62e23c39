"""What 8 and 512 GPUs would cost, on paper: an estimate from stated speeds and two measured ones.

    python benchmarks/scale.py

Nothing here ran on that many GPUs. The measured figures are the time to read a photo and to write a
checkpoint on this machine.
"""

import io
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy
from checkpoints import measure
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from rendering import render  # noqa: E402

NVLINK = 450e9  # bytes/s from a GPU to the others of its machine
NETWORK = 50e9  # bytes/s from a GPU to other machines, 400 Gbit/s


class Job(NamedTuple):
    """What a GPU does in a step."""

    name: str
    parameters: float
    flop: float  # of the forward pass, for a sample
    speed: float  # FLOP/s, of the 989e12 that an H100 has in bf16
    batch_size: int  # for each GPU
    bytes: int  # of a sample in its file
    backend: str


JOBS = [
    Job("ResNet-50, photos of 224 pixels", 25.6e6, 8.2e9, 100e12, 256, 110_000, "ddp"),
    Job("GPT of 124 million, 1,024 tokens", 124e6, 2 * 124e6 * 1024, 400e12, 16, 2048, "ddp"),
    Job("GPT of 7 billion, 4,096 tokens", 7e9, 2 * 7e9 * 4096, 400e12, 2, 8192, "fsdp"),
]


def estimate(job: Job, gpus: int) -> str:
    """Return a row of the table.

    An all-reduce sends twice the gradients, less a part (Patarasuk and Yuan 2009), in fp32. FSDP
    gathers the weights in bf16 twice, and scatters the gradients in fp32 once.
    """
    seconds = 3 * job.flop * job.batch_size / job.speed  # the backward pass takes twice the forward
    share = (gpus - 1) / gpus
    sent = {"ddp": 2 * 4, "fsdp": 2 * 2 + 4}[job.backend] * job.parameters * share
    link = NVLINK if gpus <= 8 else NETWORK
    samples = gpus * job.batch_size / seconds
    return (
        f"| {job.name} ({job.backend}) | {gpus} | {seconds * 1000:.0f} ms | {sent / 1e9:.1f} GB "
        f"| {sent / link * 1000:.0f} ms | {samples * job.bytes / 1e6:,.0f} MB/s "
        f"| {12 * job.parameters / 1e9:.1f} GB |"
    )


def measure_photo(turns: int = 200) -> float:
    """Return the seconds in which one core reads, crops and mirrors a photo of 500 x 375 pixels."""
    with tempfile.TemporaryDirectory() as folder:
        project = render({"distributed": "none", "logger": "none"}, Path(folder))
        sys.path.insert(0, str(project))
        from my_project.datasets import get_transform
        from my_project.engine.images import IMAGENET
        from torchvision.transforms import v2

        crop = (v2.RandomResizedCrop(224, (0.7, 1.0)), v2.RandomHorizontalFlip())
        transform = get_transform({**IMAGENET, "image_size": 224}, *crop)
        small = numpy.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=numpy.uint8)
        file = io.BytesIO()
        Image.fromarray(small).resize((500, 375)).save(file, "JPEG", quality=90)
        begin = time.process_time()
        for _ in range(turns):
            with Image.open(file) as image:
                transform(image.convert("RGB"))
        return (time.process_time() - begin) / turns


def get_section() -> str:
    """Return the estimate as Markdown."""
    photo = measure_photo()
    millions = 16
    _, whole, waiting = measure(millions)
    speed = 12e6 * millions / whole
    lines = [
        "| | GPUs | compute of a step | sent by each GPU | takes | read by all | checkpoint |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for job in JOBS:
        for gpus in (8, 512):
            lines.append(estimate(job, gpus))
    resnet = JOBS[0]
    images = resnet.speed / (3 * resnet.flop)
    lines += [
        "",
        f"Assumed are {resnet.speed / 1e12:.0f} TFLOP/s for the ResNet, whose memory is its limit, "
        f"and {JOBS[1].speed / 1e12:.0f} for a GPT, {NVLINK / 1e9:.0f} GB/s within a machine of 8 "
        f"GPUs and {NETWORK / 1e9:.0f} GB/s for each GPU between machines. Nothing of this ran.",
        "",
        "- **Gradients.** DistributedDataParallel sends them while the backward pass goes on, two "
        "thirds of the compute: what is sent in less costs nothing. With `--grad-accum N` they are "
        "sent once in N micro-batches; FSDP gathers the weights in bf16.",
        f"- **Data.** Each process reads its own part of each batch. A core of this machine reads "
        f"{1 / photo:.0f} photos a second, and such a GPU trains {images:,.0f}: "
        f"{images * photo:.0f} cores for each GPU, so that photos should be stored small. Tokens "
        "are mapped from a file and need no cores.",
        f"- **Checkpoints.** This machine checks, writes and flushes {speed / 1e6:.0f} MB/s, and "
        f"the training waits for {waiting / whole:.2f} of that. Rank 0 writes a whole checkpoint; "
        "with `--sharded-checkpoints` each process writes its part, at the same time.",
        "- **Steps.** All processes agree on a stop signal by an all-reduce that is collected a "
        "step later, about every 50 ms if steps are shorter, and the sums of the log stay on each "
        "device until they are shown.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(get_section(), end="")

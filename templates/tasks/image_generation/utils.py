# {% if false %}
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional as F

from .datasets import DATASETS
from .engine.errors import UserError
from .engine.options import number
from .engine.runtime import Runtime
from .models import MODELS

if TYPE_CHECKING:
    from torchmetrics import MetricCollection as Metrics

Objective = Callable[[nn.Module, Any], dict[str, Any]]


# {% endif %}
def add_task_options(parser: ArgumentParser) -> None:
    """Add the options of the model and the data."""
    add = parser.add_argument_group("task").add_argument
    add("--model", choices=MODELS, default="flow_matching", help="model to train")
    add("--dataset", choices=DATASETS, default="digits", help="data set to train on")
    help = "directory of the data set; an image_folder holds images or CLASS/*, also in SPLIT/"
    add("--data-dir", type=Path, default="data", help=help)
    help = "pixels to which the middle squares of the images in an image_folder are resized"
    add("--image-size", type=number(int, 8, 10_001), default=32, help=help)
    help = "mirror half of the training images of cifar10 and image_folder"
    add("--augment", action=BooleanOptionalAction, default=True, help=help)
    help = "channels of the model at full resolution, a multiple of 8"
    add("--width", type=number(int, 8), default=32, help=help)
    help = "number of steps from noise to image in flow matching"
    add("--sampling-steps", type=number(int, 1), default=4, help=help)


def get_model_arguments(args: Namespace, info: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the model's constructor.

    Raises UserError if --width is no multiple of 8, the number of groups in GroupNorm.
    """
    if args.width % 8:
        raise UserError(f"--width {args.width} is not a multiple of 8")
    arguments = {
        "channels": info["channels"],
        "image_size": info["image_size"],
        "num_classes": len(info["classes"]),
        "width": args.width,
    }
    if args.model.startswith("flow"):
        arguments["steps"] = args.sampling_steps
    return arguments


def get_objective(args: Namespace, info: dict[str, Any]) -> Objective:
    """Return the model's own loss; in evaluation also new images of the same classes."""

    def objective(model: nn.Module, batch: Any) -> dict[str, Any]:
        images, labels, noise, times = batch  # as `add_noise` in datasets.py returns them
        images = images / 127.5 - 1  # (batch, channels, height, width) from -1 to 1
        losses = model(noise, labels, images, times)  # by name, (batch,) each
        output = {name: values.mean() for name, values in losses.items()}
        if not model.training:
            samples = model(noise, labels)[-1]
            output["predictions"] = F.hardtanh(samples)  # cut off at -1 and 1
            output["targets"] = images
        return output

    return objective


def get_metrics(args: Namespace, runtime: Runtime, info: dict[str, Any]) -> Metrics:
    """Return the metric of an evaluation: the Fréchet distance of new images from real ones.

    It compares 64 features (Heusel et al. 2017, https://arxiv.org/abs/1706.08500), those of
    `RandomFeatures`: distances are comparable on the same data and for as many images.
    """
    from torchmetrics import MetricCollection
    from torchmetrics.image.fid import FrechetInceptionDistance

    from .models import RandomFeatures

    class FrechetDistance(FrechetInceptionDistance):
        """The Fréchet distance, with both kinds of images in one update."""

        def update(self, samples: Tensor, images: Tensor) -> None:  # type: ignore[override]
            super().update(samples.to(self.device), real=False)
            super().update(images.to(self.device), real=True)

    shape = {"channels": info["channels"], "image_size": info["image_size"]}
    features = RandomFeatures(**shape, mean=info["feature_mean"], std=info["feature_std"])
    size = (info["channels"], info["image_size"], info["image_size"])
    distance = FrechetDistance(features.eval(), normalize=True, input_img_size=size)
    on_cpu = runtime.device.type == "mps"  # it lacks double precision
    return MetricCollection({"frechet_distance": distance}).to("cpu" if on_cpu else runtime.device)

"""The detectors that --model chooses from: images in, the losses of each image and what was detected in it out.

All have `forward(images, boxes=None, labels=None) -> losses, detections`, where images are (batch, 3, height, width)
with values from 0 to 1, boxes (batch, most, 4) are x1, y1, x2, y2 in pixels, and labels (batch, most) are -1 where
there is no box. `losses` has "class" and "box", each (batch,), or nothing where no boxes are given. `detections` has a
dictionary for each image, or none in training: boxes (n, 4), scores (n,), the highest first, and labels (n,).

FSDP divides a model block by block, where the project uses it: by its lists that are named for blocks or layers.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models as torchvision_models
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

Tensors = dict[str, Tensor]
Output = tuple[Tensors, list[Tensors]]  # losses, detections
STRIDE = 4  # pixels from one cell of CenterNet to the next


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016, https://arxiv.org/abs/1512.03385)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            convolution(in_channels, out_channels, stride=stride),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x) + self.shortcut(x)).relu()


def convolution(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution of 3 x 3 with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class FeaturePyramid(nn.Module):
    """Residual blocks, whose coarse maps are added to the fine ones (Lin et al. 2017, https://arxiv.org/abs/1612.03144)."""

    def __init__(self, *, image_size: int, width: int, channels: int):
        super().__init__()
        widths = [width, width, 2 * width, 4 * width] + [4 * width] * (image_size > 128)  # one more where there is room
        self.stem = convolution(3, width, stride=2)
        self.down_blocks = nn.ModuleList(ResidualBlock(*pair, stride=2) for pair in pairwise(widths))
        self.across = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths[1:])

    def forward(self, images: Tensor) -> Tensor:  # (batch, 3, height, width)
        x, maps = self.stem(images), []
        for down in self.down_blocks:
            x = down(x)
            maps.append(x)
        x = self.across[-1](x)
        for across, finer in zip(self.across[-2::-1], maps[-2::-1], strict=True):
            x = across(finer) + F.interpolate(x, finer.shape[2:])
        return x  # (batch, channels, height / 4, width / 4)


class CenterNet(nn.Module):
    """Objects as points (Zhou et al. 2019, https://arxiv.org/abs/1904.07850): no anchors, no suppression of overlaps.

    Every cell of 4 x 4 pixels tells for each class how likely it has the centre of an object, and how far it is from
    there to the left, top, right and bottom side of the box.
    """

    def __init__(self, *, image_size: int, num_classes: int, width: int = 24, channels: int = 32):
        super().__init__()
        self.features: nn.Module = FeaturePyramid(image_size=image_size, width=width, channels=channels)
        self.heatmap = nn.Sequential(convolution(channels, channels), nn.Conv2d(channels, num_classes, 1))
        self.distances = nn.Sequential(convolution(channels, channels), nn.Conv2d(channels, 4, 1))

    def forward(self, images: Tensor, boxes: Tensor | None = None, labels: Tensor | None = None) -> Output:
        x = self.features((images - 0.5) / 0.25)  # (batch, channels, rows, columns)
        heatmap = self.heatmap(x).float() - math.log(99)  # at first one cell of a hundred has a centre
        distances = STRIDE * (self.distances(x).float() + 1).clamp(max=8).exp()
        left, top, right, bottom = distances.unbind(dim=1)  # from the middle of the cell, in pixels
        row, column = (STRIDE * (torch.arange(number, device=x.device) + 0.5) for number in x.shape[2:])
        predicted = torch.stack((column - left, row[:, None] - top, column + right, row[:, None] + bottom), dim=1)
        losses = {} if boxes is None or labels is None else center_losses(heatmap, predicted, boxes, labels)
        return losses, [] if self.training else center_detections(heatmap, predicted)


def center_losses(heatmap: Tensor, predicted: Tensor, boxes: Tensor, labels: Tensor) -> Tensors:
    """Return the focal loss of the heatmap and the generalized IoU loss of the boxes that start at true centres.

    Both are summed over an image, and divided by the number of its boxes (Zhou et al. 2019,
    https://arxiv.org/abs/1904.07850; Rezatofighi et al. 2019, https://arxiv.org/abs/1902.09630).
    """
    known = labels >= 0  # (batch, most)
    number = known.sum(dim=1).clamp(min=1)  # (batch,)
    rows, columns = heatmap.shape[2:]
    column, row = ((boxes[..., :2] + boxes[..., 2:]) / (2 * STRIDE)).long().unbind(dim=2)  # the cell of each centre
    column, row = column.clamp(0, columns - 1), row.clamp(0, rows - 1)

    # The target is 1 in the cell of a centre and falls off around it, the more slowly the larger the box is.
    width, height = ((boxes[..., 2:] - boxes[..., :2]) / STRIDE * 0.09).clamp(min=0.3).unsqueeze(3).unbind(dim=2)
    across = (torch.arange(columns, device=boxes.device) - column[..., None]) / width  # (batch, most, columns)
    down = (torch.arange(rows, device=boxes.device) - row[..., None]) / height  # (batch, most, rows)
    near = (-(across[:, :, None, :] ** 2 + down[:, :, :, None] ** 2) / 2).exp() * known[..., None, None]
    channel = labels.clamp(min=0)[..., None, None].expand_as(near)
    target = torch.zeros_like(heatmap).scatter_reduce(1, channel, near, "amax")  # (batch, classes, rows, columns)
    score = heatmap.sigmoid()
    hit = (1 - score) ** 2 * F.logsigmoid(heatmap)
    miss = (1 - target) ** 4 * score**2 * F.logsigmoid(-heatmap)
    focal = -torch.where(target == 1, hit, miss).sum(dim=(1, 2, 3))

    here = (row * columns + column)[:, None].expand(-1, 4, -1)  # (batch, 4, most)
    found = predicted.flatten(2).gather(2, here).transpose(1, 2)  # (batch, most, 4)
    wrong = ((1 - generalized_iou(found, boxes)) * known).sum(dim=1)
    return {"class": focal / number, "box": wrong / number}


def center_detections(heatmap: Tensor, predicted: Tensor, number: int = 100, least: float = 0.05) -> list[Tensors]:
    """Return the best `number` boxes of each image: those of cells that exceed the cells around them."""
    scores = heatmap.sigmoid()
    peaks = torch.where(scores == F.max_pool2d(scores, 3, stride=1, padding=1), scores, 0.0).flatten(1)
    scores, indices = peaks.topk(min(number, peaks.shape[1]))  # (batch, number)
    cells = heatmap[0, 0].numel()
    labels, here = indices // cells, (indices % cells)[:, None].expand(-1, 4, -1)
    boxes = predicted.flatten(2).gather(2, here).transpose(1, 2)  # (batch, number, 4)
    keep = scores > least
    return [
        {"boxes": boxes[i, keep[i]], "scores": scores[i, keep[i]], "labels": labels[i, keep[i]]}
        for i in range(len(scores))
    ]


def generalized_iou(a: Tensor, b: Tensor) -> Tensor:  # (..., 4), (..., 4)
    """Return intersection over union, less the part of the hull of both boxes that neither fills."""
    size = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(dim=-1)
    intersection = size.prod(dim=-1)
    union = (a[..., 2:] - a[..., :2]).prod(dim=-1) + (b[..., 2:] - b[..., :2]).prod(dim=-1) - intersection
    return intersection / union - (hull - union) / hull  # (...)


class TorchvisionDetector(nn.Module):
    """One of torchvision's detectors with the interface of this file: classes count from 0, losses are per image.

    torchvision divides its losses by counts over the whole batch, so here they are computed image by image. Low
    precision is for the backbone alone, as coordinates do not stand it. The candidates that Faster R-CNN draws for
    its loss are the same in each evaluation.
    """

    detector: Any  # its parts have no types

    def __init__(self, detector: nn.Module):
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor, boxes: Tensor | None = None, labels: Tensor | None = None) -> Output:
        targets = None
        if boxes is not None and labels is not None:  # torchvision's class 0 is the background
            known = labels >= 0
            targets = [{"boxes": boxes[i, known[i]], "labels": labels[i, known[i]] + 1} for i in range(len(images))]
        inputs, targets = self.detector.transform(list(images), targets)
        features = self.detector.backbone(inputs.tensors)
        with torch.autocast(images.device.type, enabled=False):
            features = {name: features[name].float() for name in features}
            detect = self.two_stages if isinstance(self.detector, FasterRCNN) else self.one_stage
            terms, detections = detect(inputs, features, targets or [])
        sizes = [(images.shape[2], images.shape[3])] * len(detections)
        detections = self.detector.transform.postprocess(detections, inputs.image_sizes, sizes)
        losses = {name: torch.stack([term[name] for term in terms]) for name in ("class", "box") if terms}
        return losses, [{**found, "labels": found["labels"] - 1} for found in detections]

    def one_stage(self, inputs: ImageList, features: Tensors, targets: list[Tensors]) -> tuple[list, list]:
        """Return both losses of each image and, in evaluation, the detections of RetinaNet or SSD."""
        detector, maps, retinanet = self.detector, list(features.values()), isinstance(self.detector, RetinaNet)
        outputs, anchors = detector.head(maps), detector.anchor_generator(inputs, maps)
        compute_loss = detector.head.compute_loss if retinanet else detector.compute_loss
        terms = []
        for i, target in enumerate(targets):
            match = torch.full((len(anchors[i]),), -1, device=anchors[i].device)  # no anchor has a box
            if len(target["boxes"]):
                match = detector.proposal_matcher(box_iou(target["boxes"], anchors[i]))
            output = {name: outputs[name][i : i + 1] for name in outputs}
            term = compute_loss([target], output, [anchors[i]], [match])
            terms.append({"class": term["classification"], "box": term["bbox_regression"]})
        if self.training:
            return terms, []
        if retinanet:  # expects a list of levels; here it is one that has all of them
            outputs, anchors = {name: [outputs[name]] for name in outputs}, [[anchor] for anchor in anchors]
        return terms, detector.postprocess_detections(outputs, anchors, inputs.image_sizes)

    def two_stages(self, inputs: ImageList, features: Tensors, targets: list[Tensors]) -> tuple[list, list]:
        """Return both losses of each image and, in evaluation, the detections of Faster R-CNN."""
        rpn, heads, sizes = self.detector.rpn, self.detector.roi_heads, inputs.image_sizes
        detections = [] if self.training else heads(features, rpn(inputs, features)[0], sizes)[0]
        terms = []
        cuda = [inputs.tensors.device] if inputs.tensors.is_cuda else []
        with torch.random.fork_rng(cuda, enabled=not self.training):
            rpn.training = heads.training = True  # else they compute no losses; they have neither norm nor dropout
            for i, target in enumerate(targets):
                if not self.training:
                    torch.manual_seed(0)
                maps = {name: features[name][i : i + 1] for name in features}
                proposals, first = rpn(ImageList(inputs.tensors[i : i + 1], sizes[i : i + 1]), maps, [target])
                second = heads(maps, proposals, sizes[i : i + 1], [target])[1]
                box = first["loss_rpn_box_reg"] + second["loss_box_reg"]
                terms.append({"class": first["loss_objectness"] + second["loss_classifier"], "box": box})
            rpn.training = heads.training = self.training
        return terms, detections


def from_torchvision(name: str, anchors: str = "", scales: int = 1) -> Callable[..., nn.Module]:
    """Return a constructor of one of torchvision's detectors, for images of `image_size` pixels.

    Where its constructor takes `anchors`, their sides are from a sixteenth of the image on, in `scales` steps a level.
    """

    def constructor(*, image_size: int, num_classes: int, pretrained: bool = False) -> nn.Module:
        options = {}
        if anchors:
            sides = [[image_size / 16 * 2 ** (level + i / scales) for i in range(scales)] for level in range(5)]
            generator = AnchorGenerator(tuple(map(tuple, sides)), ((0.5, 1.0, 2.0),) * len(sides))
            options = {"min_size": image_size, "max_size": image_size, anchors: generator}
        backbone = "DEFAULT" if pretrained else None
        detector = torchvision_models.get_model(
            name, weights=None, weights_backbone=backbone, num_classes=num_classes + 1, **options
        )
        return TorchvisionDetector(detector)

    return constructor


MODELS: dict[str, Callable[..., nn.Module]] = {
    "centernet": CenterNet,
    "faster_rcnn": from_torchvision("fasterrcnn_resnet50_fpn", "rpn_anchor_generator"),
    "retinanet": from_torchvision("retinanet_resnet50_fpn", "anchor_generator", scales=3),
    "ssdlite": from_torchvision("ssdlite320_mobilenet_v3_large"),
}

"""The detectors: images in, the losses of each image and the objects detected in it out.

All have `forward(images, boxes=None, labels=None) -> losses, detections`: images (batch, 3, height,
width) have values from 0 to 1, boxes (batch, most, 4) are x1, y1, x2, y2 in pixels, and labels
(batch, most) are -1 if there is no box. `losses` has "class" and "box", each (batch,), or nothing
if no boxes are given. `detections` has a dictionary for each image, or none in training: boxes
(n, 4), scores (n,), the highest first, and labels (n,).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import get_model, get_model_weights, mobilenet_v3_large
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN, resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssdlite import SSDLiteFeatureExtractorMobileNet, SSDLiteHead
from torchvision.models.detection.transform import resize_boxes
from torchvision.models.mobilenetv3 import InvertedResidual
from torchvision.models.resnet import Bottleneck
from torchvision.ops import FrozenBatchNorm2d, box_iou
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from .engine.errors import UserError

Tensors = dict[str, Tensor]
Detected = tuple[Tensors, list[Tensors]]  # losses, detections
STRIDE = 4  # pixels from one cell of CenterNet to the next


def convolution(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Return a 3 x 3 convolution with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class ResidualBlock(nn.Module):
    """A residual block of two convolutions (He et al. 2016, https://arxiv.org/abs/1512.03385)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            convolution(in_channels, out_channels, stride=stride),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x) + self.shortcut(x)).relu()


class FeaturePyramid(nn.Module):
    """Residual blocks whose coarse maps are added to the fine ones.

    Lin et al. 2017, https://arxiv.org/abs/1612.03144.
    """

    def __init__(self, *, image_size: int, width: int, channels: int):
        super().__init__()
        self.stem = convolution(3, width, stride=2)
        self.down_blocks = nn.ModuleList(
            [
                ResidualBlock(width, width, stride=2),
                ResidualBlock(width, 2 * width, stride=2),
                ResidualBlock(2 * width, 4 * width, stride=2),
            ]
        )
        widths = [width, 2 * width, 4 * width]
        if image_size > 128:  # there is room for one more
            self.down_blocks.append(ResidualBlock(4 * width, 4 * width, stride=2))
            widths.append(4 * width)
        self.across = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)

    def forward(self, images: Tensor) -> Tensor:  # (batch, 3, height, width)
        x = self.stem(images)
        maps = []  # fine to coarse
        for down in self.down_blocks:
            x = down(x)
            maps.append(x)
        x = self.across[-1](maps[-1])
        for across, finer in zip(self.across[-2::-1], maps[-2::-1], strict=True):
            x = across(finer) + F.interpolate(x, finer.shape[2:])
        return x  # (batch, channels, height / 4, width / 4)


class CenterNet(nn.Module):
    """Objects as points: neither anchors nor suppression of overlapping boxes.

    For each cell of 4 x 4 pixels it predicts the probability that an object of each class has its
    center there, and the distances from there to the left, top, right and bottom side of the box
    (Zhou et al. 2019, https://arxiv.org/abs/1904.07850).
    """

    def __init__(self, *, image_size: int, num_classes: int, width: int = 24, channels: int = 32):
        super().__init__()
        self.features: nn.Module = FeaturePyramid(
            image_size=image_size, width=width, channels=channels
        )
        self.heatmap = nn.Sequential(
            convolution(channels, channels), nn.Conv2d(channels, num_classes, 1)
        )
        self.distances = nn.Sequential(convolution(channels, channels), nn.Conv2d(channels, 4, 1))

    def forward(
        self, images: Tensor, boxes: Tensor | None = None, labels: Tensor | None = None
    ) -> Detected:
        heatmap, predicted = self.find_centers(images)
        losses: Tensors = {}
        if boxes is not None and labels is not None:
            losses = center_losses(heatmap, predicted, boxes, labels)
        if self.training:
            return losses, []
        return losses, center_detections(heatmap, predicted)

    def find_centers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of a center in each cell, and the box around it.

        These are (batch, classes, rows, columns), and x1, y1, x2, y2: (batch, 4, rows, columns).
        """
        x = self.features((images - 0.5) / 0.25)  # (batch, channels, rows, columns)
        heatmap = self.heatmap(x).float() - math.log(99)  # at first one cell in 100 is a center
        return heatmap, self.decode(self.distances(x).float())

    def decode(self, outputs: Tensor) -> Tensor:
        """Return the predicted x1, y1, x2, y2 in pixels, (batch, 4, rows, columns)."""
        distances = STRIDE * (outputs + 1).clamp(max=8).exp()  # from the middle of the cell
        left, top, right, bottom = distances.unbind(dim=1)
        rows, columns = outputs.shape[2:]
        y = STRIDE * (torch.arange(rows, device=outputs.device)[:, None] + 0.5)
        x = STRIDE * (torch.arange(columns, device=outputs.device) + 0.5)
        return torch.stack((x - left, y - top, x + right, y + bottom), dim=1)


def center_losses(heatmap: Tensor, predicted: Tensor, boxes: Tensor, labels: Tensor) -> Tensors:
    """Return the focal loss of the heatmap and the generalized IoU loss of the boxes.

    The boxes are those of the cells with a true center. Both losses are summed over an image and
    divided by the number of its boxes (Zhou et al. 2019, https://arxiv.org/abs/1904.07850;
    Rezatofighi et al. 2019, https://arxiv.org/abs/1902.09630).
    """
    known = labels >= 0  # (batch, most)
    number = known.sum(dim=1).clamp(min=1)  # (batch,)
    rows, columns = heatmap.shape[2:]
    centers = ((boxes[..., :2] + boxes[..., 2:]) / (2 * STRIDE)).long()  # cells, (batch, most, 2)
    column = centers[..., 0].clamp(0, columns - 1)
    row = centers[..., 1].clamp(0, rows - 1)

    # The target is 1 in the cell of a center and falls off around it, more slowly for large boxes.
    scale = ((boxes[..., 2:] - boxes[..., :2]) / STRIDE * 0.09).clamp(min=0.3)  # in cells
    across = torch.arange(columns, device=boxes.device) - column[..., None]
    across = across / scale[..., :1]  # (batch, most, columns)
    down = torch.arange(rows, device=boxes.device) - row[..., None]
    down = down / scale[..., 1:]  # (batch, most, rows)
    near = (-(across[:, :, None, :] ** 2 + down[:, :, :, None] ** 2) / 2).exp()
    near = near * known[..., None, None]  # (batch, most, rows, columns)
    channel = labels.clamp(min=0)[..., None, None].expand_as(near)
    target = torch.zeros_like(heatmap).scatter_reduce(1, channel, near, "amax")

    score = heatmap.sigmoid()  # (batch, classes, rows, columns)
    hit = (1 - score) ** 2 * F.logsigmoid(heatmap)
    miss = (1 - target) ** 4 * score**2 * F.logsigmoid(-heatmap)
    focal = -torch.where(target == 1, hit, miss).sum(dim=(1, 2, 3))

    cell = (row * columns + column)[:, None].expand(-1, 4, -1)  # (batch, 4, most)
    found = predicted.flatten(2).gather(2, cell).transpose(1, 2)  # (batch, most, 4)
    wrong = ((1 - generalized_iou(found, boxes)) * known).sum(dim=1)
    return {"class": focal / number, "box": wrong / number}


def center_detections(heatmap: Tensor, predicted: Tensor, least: float = 0.05) -> list[Tensors]:
    """Return the best boxes of each image whose scores exceed `least`."""
    boxes, scores, labels = best_boxes(heatmap, predicted)
    detections = []
    for i, keep in enumerate(scores > least):
        found = {"boxes": boxes[i, keep], "scores": scores[i, keep], "labels": labels[i, keep]}
        detections.append(found)
    return detections


def best_boxes(
    heatmap: Tensor, predicted: Tensor, number: int = 100
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best `number` boxes of each image: of cells that exceed the cells around them.

    They are (batch, number, 4), their scores and labels (batch, number), the highest score first.
    """
    scores = heatmap.sigmoid()
    is_peak = scores == F.max_pool2d(scores, 3, stride=1, padding=1)
    peaks = torch.where(is_peak, scores, 0.0).flatten(1)  # (batch, classes * cells)
    scores, indices = peaks.topk(min(number, peaks.shape[1]))  # (batch, number)
    cells = heatmap[0, 0].numel()
    labels = indices // cells
    cell = (indices % cells)[:, None].expand(-1, 4, -1)
    return predicted.flatten(2).gather(2, cell).transpose(1, 2), scores, labels


def generalized_iou(a: Tensor, b: Tensor) -> Tensor:  # (..., 4), (..., 4)
    """Return the intersection over union, less the share of the hull that neither box fills."""
    top_left = torch.maximum(a[..., :2], b[..., :2])
    intersection = (torch.minimum(a[..., 2:], b[..., 2:]) - top_left).clamp(min=0).prod(dim=-1)
    hull_top_left = torch.minimum(a[..., :2], b[..., :2])
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - hull_top_left).prod(dim=-1)
    area_a = (a[..., 2:] - a[..., :2]).prod(dim=-1)
    area_b = (b[..., 2:] - b[..., :2]).prod(dim=-1)
    union = area_a + area_b - intersection
    return intersection / union - (hull - union) / hull  # (...)


class TorchvisionDetector(nn.Module):
    """One of torchvision's detectors, with classes that count from 0 and losses of each image.

    torchvision divides its losses by counts over the whole batch, so here they are computed image
    by image. Low precision is for the backbone alone, as coordinates need more. The candidates that
    Faster R-CNN draws for its loss are the same in each evaluation.
    """

    detector: Any  # its parts have no types

    def __init__(self, detector: nn.Module):
        super().__init__()
        self.detector = detector

    def forward(
        self, images: Tensor, boxes: Tensor | None = None, labels: Tensor | None = None
    ) -> Detected:
        targets = None
        if boxes is not None and labels is not None:
            targets = []
            for i, known in enumerate(labels >= 0):  # torchvision's class 0 is the background
                targets.append({"boxes": boxes[i, known], "labels": labels[i, known] + 1})
        inputs, targets = self.detector.transform(list(images), targets)
        maps = self.detector.backbone(inputs.tensors)
        with torch.autocast(images.device.type, enabled=False):
            maps = {name: maps[name].float() for name in maps}
            detect = self.one_stage
            if isinstance(self.detector, FasterRCNN):
                detect = self.two_stages
            terms, detections = detect(inputs, maps, targets or [])
        for found, size in zip(detections, inputs.image_sizes, strict=False):
            found["boxes"] = resize_boxes(found["boxes"], size, images.shape[2:])
            found["labels"] = found["labels"] - 1
        losses = {}
        for name in terms[0] if terms else ():
            losses[name] = torch.stack([term[name] for term in terms])
        return losses, detections

    def one_stage(
        self, inputs: ImageList, maps: Tensors, targets: list[Tensors]
    ) -> tuple[list, list]:
        """Return each image's losses and, in evaluation, the detections of RetinaNet or SSD."""
        detector = self.detector
        is_retinanet = isinstance(detector, RetinaNet)
        outputs = detector.head(list(maps.values()))
        anchors = detector.anchor_generator(inputs, list(maps.values()))
        compute_loss = detector.head.compute_loss if is_retinanet else detector.compute_loss
        terms = []
        for i, target in enumerate(targets):
            match = torch.full((len(anchors[i]),), -1, device=anchors[i].device)  # to no box
            if len(target["boxes"]):
                match = detector.proposal_matcher(box_iou(target["boxes"], anchors[i]))
            output = {name: outputs[name][i : i + 1] for name in outputs}
            term = compute_loss([target], output, [anchors[i]], [match])
            terms.append({"class": term["classification"], "box": term["bbox_regression"]})
        if self.training:
            return terms, []
        if is_retinanet:  # expects a list of levels; here one level has all anchors
            outputs = {name: [outputs[name]] for name in outputs}
            anchors = [[anchor] for anchor in anchors]
        return terms, detector.postprocess_detections(outputs, anchors, inputs.image_sizes)

    def two_stages(
        self, inputs: ImageList, maps: Tensors, targets: list[Tensors]
    ) -> tuple[list, list]:
        """Return each image's losses and, in evaluation, the detections of Faster R-CNN."""
        rpn = self.detector.rpn
        heads = self.detector.roi_heads
        sizes = inputs.image_sizes
        detections = []
        if not self.training:
            proposals, _ = rpn(inputs, maps)
            detections, _ = heads(maps, proposals, sizes)
        terms = []
        devices = [inputs.tensors.device] if inputs.tensors.is_cuda else []
        with torch.random.fork_rng(devices, enabled=not self.training):
            # In evaluation they compute no losses; they have neither batch norm nor dropout.
            rpn.training = True
            heads.training = True
            for i, target in enumerate(targets):
                if not self.training:
                    torch.manual_seed(0)
                size = sizes[i : i + 1]
                part = {name: maps[name][i : i + 1] for name in maps}
                image = ImageList(inputs.tensors[i : i + 1], size)
                proposals, first = rpn(image, part, [target])
                _, second = heads(part, proposals, size, [target])
                class_loss = first["loss_objectness"] + second["loss_classifier"]
                box_loss = first["loss_rpn_box_reg"] + second["loss_box_reg"]
                terms.append({"class": class_loss, "box": box_loss})
            rpn.training = self.training
            heads.training = self.training
        return terms, detections


def faster_rcnn(*, image_size: int, num_classes: int, imagenet: bool = False) -> nn.Module:
    """Return Faster R-CNN (Ren et al. 2015, https://arxiv.org/abs/1506.01497) on ResNet-50."""
    detector = FasterRCNN(
        resnet_pyramid(imagenet),
        num_classes + 1,
        min_size=image_size,
        max_size=image_size,
        rpn_anchor_generator=make_anchors(image_size, scales=1),
    )
    return TorchvisionDetector(detector)


def retinanet(*, image_size: int, num_classes: int, imagenet: bool = False) -> nn.Module:
    """Return RetinaNet (Lin et al. 2017, https://arxiv.org/abs/1708.02002) on ResNet-50."""
    levels = {"returned_layers": [2, 3, 4], "extra_blocks": LastLevelP6P7(256, 256)}
    detector = RetinaNet(
        resnet_pyramid(imagenet, **levels),
        num_classes + 1,
        min_size=image_size,
        max_size=image_size,
        anchor_generator=make_anchors(image_size, scales=3),
    )
    return TorchvisionDetector(detector)


def resnet_pyramid(imagenet: bool, **levels: Any) -> BackboneWithFPN:
    """Return a ResNet-50 with a feature pyramid.

    In the one for ImageNet weights, all batch norms and the first layers are frozen.
    """
    return resnet_fpn_backbone(
        backbone_name="resnet50",
        weights=None,
        norm_layer=FrozenBatchNorm2d if imagenet else nn.BatchNorm2d,
        trainable_layers=3 if imagenet else 5,
        **levels,
    )


def make_anchors(image_size: int, scales: int) -> AnchorGenerator:
    """Return anchors for five levels, with sides from a sixteenth of the image on.

    From level to level their sides double, in `scales` steps.
    """
    sides = []
    for level in range(5):
        steps = [level + step / scales for step in range(scales)]
        sides.append(tuple(image_size / 16 * 2**step for step in steps))
    return AnchorGenerator(tuple(sides), ((0.5, 1.0, 2.0),) * len(sides))


def ssdlite(*, num_classes: int, imagenet: bool = False, **_image_size: int) -> nn.Module:
    """Return SSDlite on MobileNetV3 (Howard et al. 2019, https://arxiv.org/abs/1905.02244).

    Images of any size are resized to 320 x 320 pixels.
    """
    detector = get_model(
        "ssdlite320_mobilenet_v3_large",
        weights=None,
        weights_backbone=None,
        num_classes=num_classes + 1,
    )
    if imagenet:  # with all channels: a backbone without weights has half of the last ones
        norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
        mobilenet = mobilenet_v3_large(norm_layer=norm)
        channels = [672, 960, 512, 256, 256, 128]
        anchors = detector.anchor_generator.num_anchors_per_location()
        detector.backbone = SSDLiteFeatureExtractorMobileNet(mobilenet.features, 13, norm)
        detector.head = SSDLiteHead(channels, anchors, num_classes + 1, norm)
    return TorchvisionDetector(detector)


def load_pretrained(name: str, model: nn.Module) -> None:
    """Download torchvision's ImageNet weights into the backbone of a detector.

    Raises UserError if they cannot be downloaded.
    """
    try:
        weights = get_model_weights(PRETRAINED[name]).DEFAULT.get_state_dict(check_hash=True)
    except OSError as error:
        raise UserError(f"--pretrained: cannot download the weights: {error}") from None
    if name == "ssdlite":  # its features are the same ones in the same order, under other names
        features = model.get_submodule("detector.backbone.features")
        tensors = [tensor for key, tensor in weights.items() if key.startswith("features.")]
        features.load_state_dict(dict(zip(features.state_dict(), tensors, strict=True)))
    else:
        body = model.get_submodule("detector.backbone.body")
        body.load_state_dict(weights, strict=False)  # but for the classifier


MODELS: dict[str, Callable[..., nn.Module]] = {
    "centernet": CenterNet,
    "faster_rcnn": faster_rcnn,
    "retinanet": retinanet,
    "ssdlite": ssdlite,
}
PRETRAINED = {
    "faster_rcnn": "resnet50",
    "retinanet": "resnet50",
    "ssdlite": "mobilenet_v3_large",
}
BLOCKS = (ResidualBlock, Bottleneck, InvertedResidual)  # that the models repeat

"""Average precision of detected boxes."""

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.detection import MeanAveragePrecision
from torchmetrics.utilities import dim_zero_cat


class AveragePrecision(Metric):
    """COCO's average precision (https://cocodataset.org), a mean over classes and IoU thresholds.

    The thresholds are 0.5, 0.55, ... 0.95 if none are given.
    """

    higher_is_better = True
    full_state_update = False
    predictions: list[Tensor]
    targets: list[Tensor]

    def __init__(self, thresholds: list[float] | None = None):
        super().__init__()
        self.thresholds = thresholds
        self.add_state("predictions", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Add a batch.

        Predictions (batch, n, 6) are x1, y1, x2, y2, score, label, targets (batch, most, 5) are x1,
        y1, x2, y2, label; the label is -1 if there is no box.
        """
        self.predictions.append(predictions)
        self.targets.append(targets)

    def compute(self) -> Tensor:
        """Return the precision over all images that were added, -1 if none has a box."""
        predictions = dim_zero_cat(self.predictions).cpu()
        targets = dim_zero_cat(self.targets).cpu()
        metric = MeanAveragePrecision(
            iou_thresholds=self.thresholds, backend="faster_coco_eval", sync_on_compute=False
        )
        for found, true in zip(predictions, targets, strict=True):
            found = found[found[:, 5] >= 0]
            true = true[true[:, 4] >= 0]
            detected = {"boxes": found[:, :4], "scores": found[:, 4], "labels": found[:, 5].long()}
            metric.update([detected], [{"boxes": true[:, :4], "labels": true[:, 4].long()}])
        return metric.compute()["map"]

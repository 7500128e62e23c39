Objective = Callable[[nn.Module, Any], tuple[Tensor, Tensor, Tensor]]  # (model, batch) -> loss, predictions, targets


def build_model(args: Namespace, dataset: Any) -> nn.Module:
    """Return the architecture for images and classes like those of `dataset`."""
    constructor = MODELS[args.model]
    if args.pretrained and isinstance(constructor, type):
        raise UserError(f"--pretrained: {args.model} is not from torchvision, there are no weights for it")
    options = {"pretrained": True} if args.pretrained else {}
    return constructor(image_size=dataset.info["image_size"], num_classes=len(dataset.info["classes"]), **options)


def get_objective(args: Namespace) -> Objective:
    """Return the detector's own loss of the classes and the boxes; as predictions, up to 100 boxes of each image."""

    def objective(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        images, boxes, labels = batch  # (batch, 3, height, width), (batch, most, 4), (batch, most)
        losses, detections = model(images, boxes, labels)  # in training without detections
        loss = (losses["class"] + args.box_weight * losses["box"]).mean()  # of losses of the shape (batch,)
        found = [torch.cat((d["boxes"], d["scores"][:, None], d["labels"][:, None]), dim=1)[:100] for d in detections]
        padded = [F.pad(rows, (0, 0, 0, 100 - len(rows)), value=-1) for rows in found]  # (100, 6) each
        return loss, torch.stack(padded or [boxes]), torch.cat((boxes, labels[..., None]), dim=2)

    return objective


class AveragePrecision(torchmetrics.Metric):
    """COCO's average precision (https://cocodataset.org), a mean over classes and the `thresholds` of the IoU."""

    higher_is_better, full_state_update = True, False
    predictions: list[Tensor]
    targets: list[Tensor]

    def __init__(self, thresholds: list[float] | None = None):
        super().__init__()
        self.thresholds = thresholds  # None: 0.5, 0.55, ... 0.95
        self.add_state("predictions", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Take x1, y1, x2, y2, score and label (batch, 100, 6), and x1, y1, x2, y2 and label (batch, most, 5)."""
        self.predictions.append(predictions)
        self.targets.append(targets)

    def compute(self) -> Tensor:
        """Return the precision over the images of all processes, -1 where none has a box."""
        predictions, targets = (torchmetrics.utilities.dim_zero_cat(x).cpu() for x in (self.predictions, self.targets))
        metric = torchmetrics.detection.MeanAveragePrecision(
            iou_thresholds=self.thresholds, backend="faster_coco_eval", sync_on_compute=False
        )
        for found, true in zip(predictions, targets, strict=True):
            found, true = found[found[:, 5] >= 0], true[true[:, 4] >= 0]
            prediction = {"boxes": found[:, :4], "scores": found[:, 4], "labels": found[:, 5].long()}
            metric.update([prediction], [{"boxes": true[:, :4], "labels": true[:, 4].long()}])
        return metric.compute()["map"]


def get_metrics(runtime: Runtime, dataset: Any) -> MetricCollection:
    """Return what is measured in evaluation: average precision at IoUs from 0.5 to 0.95, and at 0.5 alone."""
    return MetricCollection({"map": AveragePrecision(), "map50": AveragePrecision([0.5])}).to(runtime.device)

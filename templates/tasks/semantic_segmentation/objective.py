Objective = Callable[[nn.Module, Any], tuple[Tensor, Tensor, Tensor]]  # (model, batch) -> loss, predictions, targets
IGNORED = 255  # as in datasets.py: pixels of this class count neither in the loss nor in the metrics


def build_model(args: Namespace, dataset: Any) -> nn.Module:
    """Return the architecture for images and classes like those of `dataset`."""
    constructor = MODELS[args.model]
    if args.pretrained and isinstance(constructor, type):
        raise UserError(f"--pretrained needs one of torchvision's models, which {args.model} is not")
    options = {"pretrained": True} if args.pretrained else {}
    try:
        return constructor(channels=len(dataset[0][0]), num_classes=len(dataset.info["classes"]), **options)
    except OSError as error:
        raise UserError(f"--pretrained: cannot download the weights: {error}") from None


def get_objective(args: Namespace) -> Objective:
    """Return cross entropy: its mean over the pixels of a sample that are not ignored, then its mean over samples."""

    def objective(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        images, masks = batch  # (batch, channels, height, width), (batch, height, width)
        logits = model(images)  # (batch, classes, height, width)
        rows = logits.permute(0, 2, 3, 1).flatten(0, 2)  # pixel by pixel, which is deterministic on a GPU, too
        losses = F.cross_entropy(rows, masks.flatten(), ignore_index=IGNORED, reduction="none").view_as(masks)
        pixels = (masks != IGNORED).sum(dim=(1, 2)).clamp(min=1)  # a sample may have none that counts
        return (losses.sum(dim=(1, 2)) / pixels).mean(), logits, masks

    return objective


def get_metrics(runtime: Runtime, dataset: Any) -> MetricCollection:
    """Return what is measured in evaluation, over the pixels of all samples together.

    `mean_iou` is the mean over classes of intersection over union (Everingham et al. 2010, section 4.1.3 of
    https://doi.org/10.1007/s11263-009-0275-4), `class_iou` that of each class.
    """
    classes = len(dataset.info["classes"])
    options: dict[str, Any] = {"ignore_index": IGNORED, "validate_args": False}
    iou = partial(torchmetrics.classification.MulticlassJaccardIndex, classes, **options)
    accuracy = partial(torchmetrics.classification.MulticlassAccuracy, classes, average="micro", **options)
    return MetricCollection(
        {"mean_iou": iou(average="macro"), "pixel_accuracy": accuracy(), "class_iou": iou(average="none")}
    ).to(runtime.device)

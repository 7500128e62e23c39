Objective = Callable[[nn.Module, Any], tuple[Tensor, Tensor, Tensor]]  # (model, batch) -> loss, predictions, targets


def build_model(args: Namespace, dataset: Any) -> nn.Module:
    """Return the architecture for images and classes like those of `dataset`."""
    constructor = MODELS[args.model]
    channels, image_size, _ = dataset[0][0].shape
    if args.pretrained and (isinstance(constructor, type) or channels != 3):
        raise UserError("--pretrained needs one of torchvision's models, and images in colour")
    options = {"pretrained": True} if args.pretrained else {}
    num_classes = len(dataset.info["classes"])
    try:
        return constructor(channels=channels, image_size=image_size, num_classes=num_classes, **options)
    except OSError as error:
        raise UserError(f"--pretrained: cannot download the weights: {error}") from None


def get_objective(args: Namespace) -> Objective:
    """Return cross entropy with label smoothing (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567)."""

    def objective(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        images, labels = batch  # (batch, channels, height, width), (batch,)
        logits = model(images)  # (batch, classes)
        smoothing = args.label_smoothing if model.training else 0.0
        return F.cross_entropy(logits, labels, label_smoothing=smoothing), logits, labels

    return objective


def get_metrics(runtime: Runtime, dataset: Any) -> MetricCollection:
    """Return what is measured in evaluation: accuracy, and the confusion matrix for its picture."""
    classes = len(dataset.info["classes"])
    accuracy = torchmetrics.classification.MulticlassAccuracy(classes, average="micro", validate_args=False)
    confusion = torchmetrics.classification.MulticlassConfusionMatrix(classes, validate_args=False)
    return MetricCollection({"accuracy": accuracy, "confusion_matrix": confusion}).to(runtime.device)

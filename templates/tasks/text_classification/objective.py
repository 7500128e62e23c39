Objective = Callable[[nn.Module, Any], tuple[Tensor, Tensor, Tensor]]  # (model, batch) -> loss, predictions, targets


def build_model(args: Namespace, dataset: Any) -> nn.Module:
    """Return the architecture for words, lengths and classes like those of `dataset`."""
    info, (tokens, _) = dataset.info, dataset[0]
    return MODELS[args.model](vocabulary=len(info["vocabulary"]), length=len(tokens), num_classes=len(info["classes"]))


def get_objective(args: Namespace) -> Objective:
    """Return cross entropy with label smoothing (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567)."""

    def objective(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        tokens, labels = batch  # (batch, length), (batch,)
        logits = model(tokens)  # (batch, classes)
        smoothing = args.label_smoothing if model.training else 0.0
        return F.cross_entropy(logits, labels, label_smoothing=smoothing), logits, labels

    return objective


def get_metrics(runtime: Runtime, dataset: Any) -> MetricCollection:
    """Return what is measured in evaluation: accuracy, macro F1, and the confusion matrix for its picture."""
    classes = len(dataset.info["classes"])
    accuracy = torchmetrics.classification.MulticlassAccuracy(classes, average="micro", validate_args=False)
    macro_f1 = torchmetrics.classification.MulticlassF1Score(classes, average="macro", validate_args=False)
    confusion = torchmetrics.classification.MulticlassConfusionMatrix(classes, validate_args=False)
    metrics = MetricCollection({"accuracy": accuracy, "macro_f1": macro_f1, "confusion_matrix": confusion})
    return metrics.to(runtime.device)

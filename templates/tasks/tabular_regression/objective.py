Objective = Callable[[nn.Module, Any], tuple[Tensor, Tensor, Tensor]]  # (model, batch) -> loss, predictions, targets


def build_model(args: Namespace, dataset: Any) -> nn.Module:
    """Return the architecture for columns like those of `dataset`."""
    categories = [1 + len(values) for values in dataset.info["categories"].values()]  # 0 is for what is not among them
    return MODELS[args.model](numbers=len(dataset.info["numbers"]), categories=categories, dropout=args.dropout)


def get_objective(args: Namespace) -> Objective:
    """Return the mean squared error of the standardised target."""

    def objective(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        numbers, categories, targets = batch  # (batch, numbers), (batch, categories), (batch,)
        predictions = model(numbers, categories).float()  # (batch,)
        return F.mse_loss(predictions, targets), predictions, targets

    return objective


def get_metrics(runtime: Runtime, dataset: Any) -> MetricCollection:
    """Return what is measured in evaluation: R2, and the errors MAE and RMSE in the target's own units."""
    deviation = dataset.info["deviation"]  # what an error of 1 in the standardised target is in its own units
    return MetricCollection(
        {
            "r2": torchmetrics.R2Score(),
            "mae": torchmetrics.MeanAbsoluteError() * deviation,
            "rmse": torchmetrics.MeanSquaredError(squared=False) * deviation,
        }
    ).to(runtime.device)

Objective = Callable[[nn.Module, Any], tuple[Tensor, Tensor, Tensor]]  # (model, batch) -> loss, predictions, targets


def build_model(args: Namespace, dataset: Any) -> nn.Module:
    """Return the architecture for the channels of `dataset`."""
    return MODELS[args.model](channels=len(dataset.info["channels"]), context=args.context, horizon=args.horizon)


def get_objective(args: Namespace) -> Objective:
    """Return the mean squared error over all channels and steps of the horizon."""

    def objective(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        (windows,) = batch  # (batch, context + horizon, channels)
        targets = windows[:, args.context :].contiguous()  # (batch, horizon, channels)
        predictions = model(windows[:, : args.context]).float().contiguous()
        return F.mse_loss(predictions, targets), predictions, targets

    return objective


def get_metrics(runtime: Runtime, dataset: Any) -> MetricCollection:
    """Return what is measured in evaluation: MSE and MAE of the scaled data, as papers report them."""
    return MetricCollection(
        {
            "mse": torchmetrics.MeanSquaredError(),
            "mae": torchmetrics.MeanAbsoluteError(),
        }
    ).to(runtime.device)

Objective = Callable[[nn.Module, Any], tuple[Tensor, Tensor, Tensor]]  # (model, batch) -> loss, predictions, targets


def build_model(args: Namespace, dataset: Any) -> nn.Module:
    """Return the architecture for images and classes like those of `dataset`."""
    if args.width % 8:
        raise UserError(f"--width {args.width} is not a multiple of 8")
    channels, size, _ = dataset[0][0].shape
    options = {"steps": args.steps} if args.model.startswith("flow") else {}
    classes = len(dataset.info["classes"])
    return MODELS[args.model](channels=channels, image_size=size, num_classes=classes, width=args.width, **options)


def get_objective(args: Namespace) -> Objective:
    """Return the model's own loss; in evaluation its predictions are new images, as many and of the same classes."""

    def objective(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        images, labels, noise, times = batch  # (batch, channels, height, width), (batch,), like images, (batch,)
        images = images / 127.5 - 1
        losses = model(noise, labels, images, times)  # (batch,)
        samples = images if model.training else F.hardtanh(model(noise, labels)[-1])  # from -1 to 1, like images
        return losses.mean(), samples, images

    return objective


class FrechetDistance(torchmetrics.image.fid.FrechetInceptionDistance):  # type: ignore[name-defined]
    """Fréchet distance of new images from real ones in 64 features (Heusel et al. 2017, arXiv:1706.08500).

    The features are those of a convolutional network with random weights, which needs no download and yet tells good
    samples from bad (Naeem et al. 2020, arXiv:2002.09797). They have mean 0 and variance 1 over some real `images`,
    (samples, channels, height, width). Distances are comparable on the same data alone, and for as many images.
    """

    def __init__(self, images: Tensor):
        generator, layers = torch.Generator().manual_seed(0), []
        for halving in range(1 + math.ceil(math.log2(images.shape[2] / 4))):
            conv = nn.Conv2d(64 if halving else images.shape[1], 64, 3, stride=2 if halving else 1, padding=1)
            weight, bias = conv.requires_grad_(False).parameters()
            nn.init.orthogonal_(weight, math.sqrt(2), generator)
            nn.init.normal_(bias, 0, 0.5, generator)
            layers += [conv, nn.SiLU()]
        scale = nn.BatchNorm1d(64, eps=1e-8, momentum=None, affine=False)
        features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), scale)
        features(images)  # whose mean and variance `scale` keeps
        super().__init__(features.eval(), normalize=True, input_img_size=images.shape[1:])

    def update(self, samples: Tensor, images: Tensor) -> None:
        super().update(samples.to(self.device), real=False)
        super().update(images.to(self.device), real=True)


def get_metrics(runtime: Runtime, dataset: Any) -> MetricCollection:
    """Return what is measured in evaluation: how far new images are from real ones."""
    some = torch.linspace(0, len(dataset) - 1, min(len(dataset), 1000)).long().tolist()
    images = torch.stack([dataset[index][0] for index in some]) / 127.5 - 1
    device = "cpu" if runtime.device.type == "mps" else runtime.device  # mps lacks the double precision that it needs
    return MetricCollection({"frechet_distance": FrechetDistance(images)}).to(device)

Objective = Callable[[nn.Module, Any], tuple[Tensor, Tensor, Tensor]]  # (model, batch) -> loss, predictions, targets


def build_model(args: Namespace, dataset: Any) -> nn.Module:
    """Return the architecture for the vocabulary of `dataset`."""
    if args.width % 32:
        raise UserError(f"--width {args.width} is not a multiple of 32, the size of an attention head")
    options = {"width": args.width, "layers": args.layers, "dropout": args.dropout}
    return MODELS[args.model](vocabulary=len(dataset.info["vocabulary"]), **options)


def get_objective(args: Namespace) -> Objective:
    """Return cross entropy of the next token, the mean over all tokens of all samples, in nats."""

    def objective(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        inputs, targets = (tokens.long() for tokens in batch)  # (batch, context) each
        logits = model(inputs).float()  # (batch, context, vocabulary)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), logits, targets

    return objective


class BitsPerCharacter(torchmetrics.Metric):
    """Cross entropy in bits, over the number of characters: comparable between vocabularies, whatever their tokens."""

    higher_is_better = False
    lengths: Tensor
    nats: Tensor
    characters: Tensor

    def __init__(self, vocabulary: list[bytes]):
        super().__init__()
        # All bytes of a character in UTF-8 but its first are 0b10......
        lengths = [sum(byte & 0b11000000 != 0b10000000 for byte in token) for token in vocabulary]
        self.register_buffer("lengths", torch.tensor(lengths))
        self.add_state("nats", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("characters", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor) -> None:  # (batch, context, vocabulary), (batch, context)
        self.nats += F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        self.characters += self.lengths[targets].sum()

    def compute(self) -> Tensor:
        return self.nats / math.log(2) / self.characters


def get_metrics(runtime: Runtime, dataset: Any) -> MetricCollection:
    """Return what is measured in evaluation: perplexity for each token, and bits for each character."""
    perplexity = torchmetrics.text.Perplexity()  # type: ignore[attr-defined]  # mypy does not see the submodule
    bits = BitsPerCharacter(dataset.info["vocabulary"])
    metrics = MetricCollection({"perplexity": perplexity, "bits_per_character": bits})
    precise = torch.float32 if runtime.device.type == "mps" else torch.float64  # for sums over very many tokens
    return metrics.set_dtype(precise).to(runtime.device)

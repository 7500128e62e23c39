def draw_confusion(counts: Tensor, classes: list[str]) -> Figure:
    """Draw how many samples of each true class (row) got which prediction (column); the shade is the row's share."""
    shares = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    size = min(4 + 0.35 * len(classes), 16)
    figure = Figure(figsize=(size + 0.8, size), layout="compressed", facecolor="white")
    axes = figure.add_subplot()
    image = axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the true class", format="{x:.0%}", fraction=0.046, pad=0.03)
    axes.set(xlabel="predicted class", ylabel="true class", title=f"confusion matrix of {int(counts.sum()):,} samples")
    if len(classes) <= 25:
        names = [name if len(name) <= 20 else f"{name[:19]}…" for name in classes]
        axes.set_xticks(range(len(classes)), names)
        axes.set_yticks(range(len(classes)), names)
        if max(map(len, names)) > 3:  # too long to stand beside each other
            for label in axes.get_xticklabels():
                label.set(rotation=45, ha="right", rotation_mode="anchor")
        for row, column in counts.nonzero().tolist():
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=color, fontsize=9)
    return figure

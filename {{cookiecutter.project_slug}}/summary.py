"""What a run came to, on one page: summary.md, for a lab book or an issue."""

import math
import shlex
from argparse import Namespace
from pathlib import Path
from typing import Any

from options import NOT_SAVED, as_token


def best_epoch(records: list[dict[str, Any]], monitor: str, maximize: bool) -> dict[str, Any]:
    """Return the record of the first epoch with the best value of `monitor`; an empty one where there is none."""
    key = f"val/{monitor}"
    epochs = [record for record in records if math.isfinite(record.get(key, math.nan))]
    return (max if maximize else min)(epochs, key=lambda record: record[key], default={})


def duration(seconds: float) -> str:
    """Seconds as a person would say them."""
    if seconds < 120:
        return f"{seconds:.{1 if seconds < 10 else 0}f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def changed_options(args: Namespace, defaults: Namespace) -> dict[str, Any]:
    """Return the options that differ from the defaults, but for those that say where a run's options come from."""
    options = {name: value for name, value in vars(args).items() if name not in NOT_SAVED}
    return {name: value for name, value in options.items() if value != getattr(defaults, name)}


def command(args: Namespace, defaults: Namespace) -> str:
    """Return what to type to have the same again, in a new run folder."""
    options = changed_options(args, defaults)
    options |= {"evaluate": args.evaluate} if args.evaluate else {}
    return shlex.join(["python", "main.py", *(as_token(name, value) for name, value in options.items())])


def write_summary(
    folder: Path, args: Namespace, defaults: Namespace, facts: dict[str, str], best: dict[str, Any],
    test: dict[str, float], pictures: list[str],
) -> None:  # fmt: skip
    """Write summary.md: what was reached, how to repeat it, with which data and where, and the pictures."""
    columns = ["test", f"validation, best epoch: {best['epoch']}"] if best else ["test"]
    metrics = []
    for name in [key.removeprefix("test/") for key in test]:
        values = [test[f"test/{name}"], *([best[f"val/{name}"]] if best else [])]
        metrics.append((name, *(f"{value:.4g}" for value in values)))
    options = [
        (f"`--{name.replace('_', '-')}`", value, getattr(defaults, name))
        for name, value in changed_options(args, defaults).items()
    ]
    blocks = [
        f"# {folder.resolve().name}",
        table(["metric", *columns], metrics),
        f"```bash\n{command(args, defaults)}\n```",
        table(["option", "value", "default"], options) if options else "All options have their defaults.",
        "\n".join(f"- {name}: {fact}" for name, fact in facts.items()),
        *(f"![{Path(name).stem}]({name})" if name.endswith(".png") else f"[{name}]({name})" for name in pictures),
    ]
    (folder / "summary.md").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def table(header: list[str], rows: list[tuple[Any, ...]]) -> str:
    """Return a table in Markdown."""
    cells = [header, ["---"] * len(header), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)

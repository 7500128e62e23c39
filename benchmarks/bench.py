"""All measurements of speed: `make bench`.

    python benchmarks/bench.py [SECTION ...]

measures the sections, by default all, and renews them in benchmarks/RESULTS.md. A section is a
module with a function `get_section()` that returns Markdown; figures lie beside RESULTS.md.
"""

import os
import platform
import re
import sys
from datetime import date
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"
SECTIONS = {  # module: title
    "loop": "Overhead of the training loop",
    "processes": "Two processes",
    "render": "Rendering",
    "startup": "Start-up",
    "models": "The default models",
    "data": "Reading of data",
    "growth": "More data, larger models",
    "language": "The language model",
    "prediction": "Prediction",
    "checkpoints": "Checkpoints",
    "scale": "Many GPUs, on paper",
}
PACKAGES = (
    *("torch", "torchvision", "lightning", "accelerate", "pytorch-ignite", "transformers"),
    *("torchmetrics", "numpy"),
)
INTRODUCTION = """# Speed

`make bench` writes this file. A time alone says more about a machine than about code: everything is
a ratio to something that was measured beside it. On a GPU, nothing is measured yet.
"""


def describe_machine() -> str:
    """Return the processor, the system, and the versions of what is measured."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        processor = re.findall(r"model name\s*:\s*(.*)", cpuinfo.read_text())[0]
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    system = f"{platform.system()} {platform.machine()}"
    return f"{date.today()}, {os.cpu_count()} cores of {processor}, {system}; {', '.join(versions)}"


def renew(text: str, name: str, section: str) -> str:
    """Replace a section of RESULTS.md, or add it at the end."""
    start, end = f"<!-- {name} -->\n", "<!-- end -->\n"
    new = f"{start}## {SECTIONS[name]}\n\n{section}\nMeasured on {describe_machine()}.\n{end}"
    if start not in text:
        return f"{text}\n{new}"
    pattern = re.escape(start) + ".*?" + end
    return re.sub(pattern, lambda _: new, text, flags=re.DOTALL)


def main(names: list[str]) -> None:
    """Measure sections one after the other; each is written as soon as it is there."""
    for name in names or SECTIONS:
        section = import_module(name).get_section()
        text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else INTRODUCTION
        RESULTS.write_text(renew(text, name, section), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

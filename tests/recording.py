"""Record what a person sees in a terminal, for README.md: run this file to renew the recordings in docs/.

The commands are really run, in a pseudo-terminal, and every question is answered with its default.
"""

import fcntl
import html
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rendering import ROOT
from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.text import Text

COLUMNS = 100
STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TEMPLATE = "gh:OWNER/pytorch-base"  # stands for the folder of this copy
SESSIONS = {
    "questions": [f"cookiecutter {TEMPLATE}"],
    "session": [
        "cd my_project",
        "python main.py",
        "python main.py --model mlp --lr 0.001 > mlp.log",
        "python compare.py runs/*",
    ],
}


def play(command: str, folder: Path) -> str:
    """Run a command in a terminal, answer its questions with an empty line, and return what the terminal shows."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PWD": str(folder),
        "TERM": "xterm-256color",
        "CUDA_VISIBLE_DEVICES": "",  # the same words on every machine
    }
    process = subprocess.Popen(
        ["sh", "-c", command], cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # how a terminal ends on Linux
            break
        if not part:
            break
        shown += part
        if STYLE.sub("", shown.decode(errors="replace")).endswith("): "):
            os.write(master, b"\n")
    os.close(master)
    if process.wait():
        raise RuntimeError(f"{command} failed:\n{shown.decode()}")
    lines = shown.decode().replace("\r\n", "\n").split("\n")
    return "\n".join(line.split("\r")[-1].rstrip() for line in lines)  # what overwrote the rest of its line


def record(folder: Path) -> dict[str, str]:
    """Play the sessions in a folder and return what was typed and shown, with the codes of colours, by their names."""
    texts = {}
    for name, commands in SESSIONS.items():
        texts[name] = ""
        for command in commands:
            texts[name] += f"\x1b[1m$ {command}\x1b[0m\n"
            if command.startswith("cd "):
                folder /= command.removeprefix("cd ")
            else:
                texts[name] += play(command.replace(TEMPLATE, f"'{ROOT}'"), folder) + "\n"
    return texts


def as_svg(name: str, text: str) -> str:
    """Draw a text as a window of a terminal, in the fonts of the machine that shows it."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    console.print(Text.from_ansi(text.rstrip()), overflow="fold")
    svg_format = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="PyTorch Base", code_format=svg_format, unique_id=name)


def words(svg: str) -> list[str]:
    """Return the lines that a drawn window shows."""
    rows: dict[float, list[str]] = {}
    for y, text in re.findall(r'<text class="[\w-]+-r\d+"[^>]* y="([\d.]+)"[^>]*>(.*?)</text>', svg):
        rows.setdefault(float(y), []).append(html.unescape(text).replace("\xa0", " "))
    return ["".join(parts) for _, parts in sorted(rows.items())]


def masked(lines: list[str]) -> list[str]:
    """Return the lines that are not empty, without what depends on machine and time: numbers, and the best epochs."""
    lines = [re.sub(r"torch [^\s,]+", "torch", line) for line in lines]
    lines = [re.sub(r"\d[\d.,:-]*( (s|min|h)\b)?", "0", line).replace("*", "") for line in lines]
    return [" ".join(line.split()) for line in lines if line.strip()]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["COOKIECUTTER_CONFIG"] = str(Path(temporary, "config.yaml"))
        Path(temporary, "config.yaml").write_text(f"replay_dir: {temporary}/replay\n")
        for session, shown in record(Path(temporary)).items():
            (ROOT / "docs" / f"{session}.svg").write_text(as_svg(session, shown), encoding="utf-8")
        project = Path(temporary, "my_project")
        shutil.copy(project / "compare.png", ROOT / "docs")
        (run,) = (project / "runs").glob("*-cnn-*")
        for picture in (ROOT / "docs").glob("image_classification-*.png"):
            shutil.copy(run / picture.name.removeprefix("image_classification-"), picture)

"""What a person sees in a terminal, recorded for README.md.

Run this file to renew the recordings in docs/. The commands are really run, in a pseudo-terminal,
and every question is answered with its default.
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
LINE = re.compile(r'<text class="[\w-]+-r\d+"[^>]* y="([\d.]+)"[^>]*>(.*?)</text>')
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
    """Run a command in a terminal, answer its questions with an empty line; return what stays."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PWD": str(folder),
        "TERM": "xterm-256color",
        "CUDA_VISIBLE_DEVICES": "",  # the same words on every machine
    }
    environment.pop("COLUMNS", None)  # the terminal knows its width
    process = subprocess.Popen(
        ["sh", "-c", command], cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    shown = read_terminal(master)
    os.close(master)
    if process.wait():
        raise RuntimeError(f"{command} failed:\n{shown}")
    lines = shown.replace("\r\n", "\n").split("\n")
    return "\n".join(line.split("\r")[-1].rstrip() for line in lines)  # what overwrote the rest


def read_terminal(master: int) -> str:
    """Return all that a terminal shows until its program ends, and answer questions."""
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # how a terminal ends on Linux
            part = b""
        if not part:
            return shown.decode()
        shown += part
        if STYLE.sub("", shown.decode(errors="replace")).endswith("): "):
            os.write(master, b"\n")


def record(folder: Path) -> dict[str, str]:
    """Play the sessions in a folder; return what was typed and shown, with codes of colours."""
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


def draw_svg(name: str, text: str) -> str:
    """Draw a text as a window of a terminal, in the fonts of the machine that shows it."""
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(text.rstrip()), overflow="fold")
    svg_format = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="PyTorch Base", code_format=svg_format, unique_id=name)


def read_svg(svg: str) -> list[str]:
    """Return the lines that a drawn window shows."""
    rows: dict[float, str] = {}
    for y, text in LINE.findall(svg):
        text = html.unescape(text).replace("\xa0", " ")
        rows[float(y)] = rows.get(float(y), "") + text
    return [text for _, text in sorted(rows.items())]


def mask(lines: list[str]) -> list[str]:
    """Return lines without what depends on machine and time: numbers, and the best epochs."""
    masked = []
    for line in lines:
        line = re.sub(r"torch [^\s,]+", "torch", line)
        line = re.sub(r"\d[\d.,:-]*( (s|min|h)\b)?", "0", line).replace("*", "")
        if line.strip():
            masked.append(" ".join(line.split()))
    return masked


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["COOKIECUTTER_CONFIG"] = str(Path(temporary, "config.yaml"))
        Path(temporary, "config.yaml").write_text(f"replay_dir: {temporary}/replay\n")
        for session, shown in record(Path(temporary)).items():
            (ROOT / "docs" / f"{session}.svg").write_text(draw_svg(session, shown))
        project = Path(temporary, "my_project")
        shutil.copy(project / "compare.png", ROOT / "docs")
        (run,) = (project / "runs").glob("*-cnn-*")
        for figure in (ROOT / "docs").glob("image_classification-*.png"):
            shutil.copy(run / figure.name.removeprefix("image_classification-"), figure)

"""Mutants: each removes one promise of the engine from a copy, and a test must notice.

    python tests/mutants.py [--table] [NAME ...]

prints a table of the mutants and the tests that failed; --table writes it to docs/faults.md. Exit
code 1 if a mutant survives.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from faults_table import replace_table

ROOT = Path(__file__).parent.parent
ENGINE = "{{cookiecutter.project_slug}}/{{cookiecutter.project_slug}}/engine/"
FAULTS = "tests/test_faults.py::"
TRAINING = "tests/test_training.py::"


class Mutant(NamedTuple):
    """A promise, the file that keeps it, what is replaced there, and the test that must fail."""

    promise: str
    file: str
    old: str
    new: str
    test: str


MUTANTS = [
    Mutant(
        "files are flushed",
        f"{ENGINE}files.py",
        "            os.fsync(file.fileno())\n",
        "            pass\n",
        f"{FAULTS}test_files_are_flushed_before_they_take_their_place",
    ),
    Mutant(
        "folders are flushed",
        f"{ENGINE}files.py",
        "        flush_folder(path.parent)\n",
        "",
        f"{FAULTS}test_files_are_flushed_before_they_take_their_place",
    ),
    Mutant(
        "files are renamed",
        f"{ENGINE}files.py",
        '    temporary = path.with_name(f"{path.name}.tmp.{os.getpid()}")\n',
        "    temporary = path\n",
        f"{FAULTS}test_files_are_flushed_before_they_take_their_place",
    ),
    Mutant(
        "checksums of a checkpoint",
        f"{ENGINE}checkpoint.py",
        "        if archive.testzip() is not None:\n",
        "        if False:\n",
        f"{FAULTS}test_no_flipped_bit_is_silently_wrong",
    ),
    Mutant(
        "attributes of a checkpoint's entries",
        f"{ENGINE}checkpoint.py",
        "            if entry.external_attr or entry.compress_type != zipfile.ZIP_STORED:\n",
        "            if False:\n",
        f"{FAULTS}test_no_flipped_bit_is_silently_wrong",
    ),
    Mutant(
        "content of a checkpoint",
        f"{ENGINE}checkpoint.py",
        "    problem = find_problem(saved)\n",
        '    problem = ""\n',
        f"{FAULTS}test_a_checkpoint_with_another_content_is_refused",
    ),
    Mutant(
        "weights that are finite",
        f"{ENGINE}checkpoint.py",
        "        check_finite(saved)\n    except",
        "        pass\n    except",
        f"{FAULTS}test_a_checkpoint_with_another_content_is_refused",
    ),
    Mutant(
        "weights_only",
        f"{ENGINE}checkpoint.py",
        'torch.load(path, map_location="cpu", weights_only=True)',
        'torch.load(path, map_location="cpu", weights_only=False)',
        f"{FAULTS}test_no_file_executes_code",
    ),
    Mutant(
        "digests of shards",
        "templates/distributed/fsdp/sharded.py",
        '            if get_digest(path) != shards["digests"][name]:\n',
        "            if False:\n",
        f"{FAULTS}test_no_flipped_bit_of_a_shard_is_silently_wrong",
    ),
    Mutant(
        "classes of a checkpoint",
        f"{ENGINE}checkpoint.py",
        "        check_info(saved",
        "        False and check_info(saved",
        f"{FAULTS}test_other_classes_are_an_error",
    ),
    Mutant(
        "agreement on a stop",
        "templates/distributed/processes.py",
        "            agreed, seconds = self.exchanged.tolist()\n",
        "            agreed, seconds = received, self.exchanged.tolist()[1]\n",
        f"{FAULTS}test_a_signal_at_one_rank_stops_all",
    ),
    Mutant(
        "random states",
        f"{ENGINE}checkpoint.py",
        '        self.runtime.set_random_state(saved["random"][0])\n',
        "",
        f"{FAULTS}test_dropout_continues_after_a_stop",
    ),
    Mutant(
        "lock of a run directory",
        f"{ENGINE}run_dir.py",
        "        lock(run_dir, resources)\n",
        "",
        f"{TRAINING}test_two_runs_cannot_share_a_directory",
    ),
    Mutant(
        "check of the loss",
        f"{ENGINE}logger.py",
        '            if name == "loss" and not math.isfinite(total):\n',
        "            if False:\n",
        f"{TRAINING}test_a_loss_that_is_no_number_reaches_no_checkpoint",
    ),
    Mutant(
        "processes that end with torchrun",
        f"{ENGINE}environment.py",
        "        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG\n",
        "        pass\n",
        "tests/test_cluster.py::test_killed_torchrun_leaves_no_orphan",
    ),
    Mutant(
        "sweep of partial files",
        f"{ENGINE}run_dir.py",
        "                path.unlink()\n\n\ndef write_options",
        "                pass\n\n\ndef write_options",
        f"{FAULTS}test_a_run_removes_only_what_it_made",
    ),
    Mutant(
        "files of others",
        f"{ENGINE}run_dir.py",
        "            if PARTIAL.fullmatch(path.name) and path.is_file():\n",
        '            if ".tmp." in path.name and path.is_file():\n',
        f"{FAULTS}test_a_run_removes_only_what_it_made",
    ),
    Mutant(
        "owner of a directory",
        f"{ENGINE}run_dir.py",
        "            check_owner(run_dir, args.resume)\n",
        "            pass\n",
        f"{FAULTS}test_a_directory_with_other_files_is_refused",
    ),
    Mutant(
        "terminals that are gone",
        f"{ENGINE}terminal.py",
        "    except (OSError, ValueError):\n        silence(file)\n",
        "    except ZeroDivisionError:\n        silence(file)\n",
        f"{FAULTS}test_a_closed_pipe_ends_no_training",
    ),
    Mutant(
        "copy of a state that is written later",
        f"{ENGINE}checkpoint_writer.py",
        "        saved = self.copy(saved)\n",
        "",
        "tests/test_background.py::test_a_checkpoint_is_the_state_when_it_was_saved",
    ),
    Mutant(
        "error of a write in the background",
        f"{ENGINE}checkpoint_writer.py",
        "            writing.result()\n",
        "            writing.exception()\n",
        "tests/test_background.py::test_a_full_disk_ends_the_run",
    ),
]


def copy_with(mutant: Mutant, folder: Path) -> None:
    """Copy the template's tracked files, with the mutant in place."""
    result = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    for name in result.stdout.decode().rstrip("\0").split("\0"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    path = folder / mutant.file
    text = path.read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"{mutant.promise}: not once in {mutant.file}"
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


def is_noticed(mutant: Mutant) -> bool:
    """Return whether the test fails, and by an assertion or an error and not for want of time."""
    with tempfile.TemporaryDirectory() as folder:
        copy_with(mutant, Path(folder))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not faults", mutant.test]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
        return result.returncode == 1


def main(words: list[str]) -> int:
    names = [word for word in words if word != "--table"]
    survivors = 0
    lines = ["| without | noticed by | |", "|---|---|---|"]
    print(*lines, sep="\n")
    for mutant in MUTANTS:
        if not names or mutant.promise in names:
            noticed = is_noticed(mutant)
            survivors += not noticed
            verdict = "noticed" if noticed else "**survives**"
            lines.append(f"| {mutant.promise} | `{mutant.test.partition('::')[2]}` | {verdict} |")
            print(lines[-1], flush=True)
    if "--table" in words:
        replace_table(ROOT / "docs" / "faults.md", "mutants", "\n".join(lines) + "\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

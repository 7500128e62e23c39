"""Faults that are injected into runs: nothing is lost, and nothing is silently wrong."""

import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults_table import Report
from PIL import Image
from rendering import render
from running import (
    FAST,
    PROGRAMS,
    forks,
    places,
    python,
    read_checkpoint,
    read_records,
    records,
    rest_is_full,
    run,
    same_weights,
    start,
    wait_for,
)

QUICK = [*FAST, "--quick"]
ALONE = {"distributed": "none", "logger": "none"}
IMAGES = ["--device", "cpu", "--dataset", "image_folder", "--image-size", "16", "--batch-size", "8"]
IMAGES += ["--workers", "0", "--epochs", "2"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default project without a tracker."""
    return render({"logger": "none"}, tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same project without a backend."""
    return render(ALONE, tmp_path_factory.mktemp("alone"))


@pytest.fixture
def finished(project: Path, tmp_path: Path) -> Path:
    """The directory of a run that has ended."""
    run(project, *QUICK, "--run-dir", tmp_path / "finished")
    return tmp_path / "finished"


def refuse(project: Path, *options: object, **settings: object) -> str:
    """Run main.py, which must end with one line and exit code 2; return this line."""
    _, err = run(project, *options, code=2, **settings)
    assert err.startswith("error: ") and len(err.splitlines()) == 1, err
    return err


def list_files(folder: Path) -> dict[str, bytes]:
    """Return the content of all files below a folder, by their paths."""
    files = {}
    for path in sorted(folder.rglob("*")):
        files[str(path.relative_to(folder))] = path.read_bytes() if path.is_file() else b""
    return files


# ------------------------------------------------------------------------------------- ownership


@pytest.mark.parametrize("name", ["notes.tmp.txt", "checkpoints/mine.tmp.pt", "wandb/other/run"])
def test_a_directory_with_other_files_is_refused(project, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("precious")
    before = list_files(tmp_path)
    for more in ([], ["--resume"]):
        line = refuse(project, *QUICK, "--run-dir", tmp_path, *more)
        assert f"{tmp_path} holds other files" in line
    assert list_files(tmp_path) == before


def test_a_run_removes_only_what_it_made(project, finished):
    names = ["notes.tmp.txt", "checkpoints/mine.tmp.pt", "wandb/other", "x.tmp.1/results"]
    for name in names:
        (finished / name).parent.mkdir(exist_ok=True)
        (finished / name).write_text("precious")
    partial = finished / "checkpoints" / "last.pt.tmp.123"
    partial.write_text("half a checkpoint")
    run(project, "--resume", "--run-dir", finished, "--quiet")
    assert not partial.exists()
    for name in names:
        assert (finished / name).read_text() == "precious"


def test_a_start_that_was_killed_is_started_again(alone, tmp_path):
    """Before config.json took its place: a job that is queued again finds such a directory."""
    (tmp_path / "checkpoints").mkdir()
    for name in (".lock", "config.json.tmp.123"):
        (tmp_path / name).touch()
    run(alone, *QUICK, "--resume", "--run-dir", tmp_path)
    assert (tmp_path / "summary.md").exists() and not list(tmp_path.glob("*.tmp.*"))


@pytest.mark.parametrize(
    "options",
    [
        ["--monitor", "nonsense"],
        ["--batch-size", "7", "--grad-accum", "2"],
        ["--dataset", "image_folder", "--data-dir", "nowhere"],
        ["--precision", "fp16"],
    ],
    ids=lambda options: options[0],
)
def test_a_failed_start_leaves_nothing(alone, tmp_path, options):
    refuse(alone, *FAST, *options, "--run-dir", tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_is_no_run_to_resume(project, finished):
    best = finished / "checkpoints" / "best.pt"
    evaluation = finished.parent / "evaluation"
    run(project, "--evaluate", best, "--run-dir", evaluation, "--quiet")
    before = list_files(evaluation)
    assert "is not a training run" in refuse(project, "--resume", "--run-dir", evaluation)
    assert list_files(evaluation) == before


# ------------------------------------------------------------------------------------- integrity


@pytest.mark.parametrize(
    ("every", "number"),
    [(150, 60), pytest.param(1, 1000, marks=pytest.mark.faults)],
)
def test_no_flipped_bit_is_silently_wrong(
    project, finished, tmp_path, report_faults: Report, every, number
):
    program = [PROGRAMS / "flip_bits.py", finished / "checkpoints" / "last.pt", every, number]
    environment = os.environ | {"PYTHONPATH": str(project)}
    words = [sys.executable, *map(str, program)]
    result = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    refused, harmless = map(int, result.stdout.split())
    assert refused > number and harmless > 0
    note = f"{refused:,} refused, {harmless:,} harmless"
    kind = "a bit of a checkpoint: each of its zip directory, and 1,000 of its data"
    report_faults(kind, refused + harmless, note=note)


@pytest.mark.parametrize(
    "how",
    ["nothing", "empty", "foreign", "nan", "random", "logger", "model_config", "pipe"],
)
def test_a_checkpoint_with_another_content_is_refused(project, finished, tmp_path, how):
    """A resumed run falls back to the checkpoint before it, and ends as it did."""
    weights = read_checkpoint(finished)["model"]
    last = finished / "checkpoints" / "last.pt"
    if how == "pipe":
        last.unlink()
        os.mkfifo(last)
    else:
        python(project, PROGRAMS / "fill_checkpoint.py", last, how)
    line = refuse(project, "--evaluate", last, "--run-dir", tmp_path / "evaluation")
    assert str(last) in line
    _, err = run(project, "--resume", "--run-dir", finished, "--quiet")
    assert err.startswith(f"warning: {last}") and len(err.splitlines()) == 1
    for name, tensor in read_checkpoint(finished)["model"].items():
        assert tensor.equal(weights[name])


def test_files_are_flushed_before_they_take_their_place(alone, tmp_path):
    """And their folder afterwards, so that a power cut leaves the old file or the new one."""
    events, run_dir = tmp_path / "events.txt", tmp_path / "run"
    python(alone, PROGRAMS / "watch_files.py", events, *QUICK, "--run-dir", run_dir)
    lines = events.read_text().splitlines()
    for name in ("config.json", "metrics.jsonl", "checkpoints/last.pt", "checkpoints/best.pt"):
        renames = [line for line in lines if line.endswith(f" {run_dir / name}")]
        assert renames, f"{name} is not renamed"
        for rename in renames:
            source = rename.split()[1]
            position = lines.index(rename)
            assert f"flush {source}" in lines[:position]
            assert f"flush {(run_dir / name).parent}" in lines[position:]


def test_no_file_executes_code(project, finished, tmp_path):
    last, evidence = finished / "checkpoints" / "last.pt", tmp_path / "evidence"
    python(project, PROGRAMS / "write_payload.py", last, evidence)
    assert str(last) in refuse(project, "--evaluate", last, "--run-dir", tmp_path / "evaluation")
    _, err = run(project, "--resume", "--run-dir", finished, "--quiet")
    assert err.startswith(f"warning: {last} is damaged")
    assert not evidence.exists()


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with FSDP2, and a run of two processes that saved shards in runs/run."""
    project = render({"distributed": "fsdp", "logger": "none"}, tmp_path_factory.mktemp("fsdp"))
    options = [*QUICK, "--sharded-checkpoints", "--run-dir", "runs/run"]
    run(project, *options, processes=2, torchrun=False)
    return project


@pytest.mark.parametrize("number", [2, pytest.param(200, marks=pytest.mark.faults)])
def test_no_flipped_bit_of_a_shard_is_silently_wrong(sharded, report_faults: Report, number):
    out, _ = python(sharded, PROGRAMS / "flip_shards.py", "runs/run/checkpoints/last.pt", number)
    assert int(out) >= 3 * number  # of two shards and of their metadata
    report_faults("a bit of a sharded checkpoint", int(out), note="all refused")


def test_metadata_of_shards_execute_no_code(sharded, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(sharded / "runs" / "run", copy)
    last, evidence = copy / "checkpoints" / "last.pt", tmp_path / "evidence"
    name = read_checkpoint(copy)["shards"]["name"]
    payload = f"cos\nmkdir\n(V{evidence}\ntR."
    (copy / "checkpoints" / name / ".metadata").write_bytes(payload.encode())
    assert ".metadata is damaged" in refuse(sharded, "--evaluate", last)
    _, err = run(sharded, "--resume", "--run-dir", copy, "--quiet")
    assert ".metadata is damaged" in err and not evidence.exists()


# -------------------------------------------------------------------------------------- identity


def make_images(folder: Path, *names: str) -> Path:
    """Make images of two colours in folders with these names."""
    for name, colour in zip(names, ("red", "blue"), strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(40):
            Image.new("RGB", (16, 16), colour).save(folder / name / f"{number}.png")
    return folder


def test_other_classes_are_an_error(alone, tmp_path):
    same = make_images(tmp_path / "same", "cat", "dog")
    renamed = make_images(tmp_path / "renamed", "cat", "a_dog")
    run_dir = tmp_path / "run"
    run(alone, *IMAGES, "--quiet", "--data-dir", same, "--run-dir", run_dir)
    evaluate = ["--evaluate", run_dir / "checkpoints" / "best.pt", "--quiet"]
    config = (run_dir / "config.json").read_text()
    line = refuse(alone, *evaluate, "--data-dir", renamed)
    assert "classes is a_dog, cat, and was cat, dog in training" in line
    assert "classes" in refuse(alone, "--resume", "--run-dir", run_dir, "--data-dir", renamed)
    assert (run_dir / "config.json").read_text() == config
    shutil.move(same, tmp_path / "moved")
    for number, (folder, accuracy) in enumerate([(tmp_path / "moved", 1), (renamed, 0)]):
        options = ["--data-dir", folder, "--other-data", "--run-dir", tmp_path / str(number)]
        run(alone, *evaluate, *options)
        assert read_records(tmp_path / str(number))[-1]["test/accuracy"] == accuracy


def test_other_samples_are_an_error(alone, tmp_path):
    """Two images more: all others stay in their split."""
    folder = make_images(tmp_path / "images", "cat", "dog")
    run_dir = tmp_path / "run"
    run(alone, *IMAGES, "--quiet", "--data-dir", folder, "--run-dir", run_dir)
    for name in ("cat", "dog"):
        shutil.copy(folder / name / "0.png", folder / name / "new.png")
    resume = ["--resume", "--run-dir", run_dir, "--epochs", "3", "--quiet"]
    assert "the training split has 2 new samples and lacks 0" in refuse(alone, *resume)
    best = run_dir / "checkpoints" / "best.pt"
    _, err = run(alone, "--evaluate", best, "--quiet")
    assert err == ""
    _, err = run(alone, *resume, "--other-data")
    assert err == ""


def test_a_test_sample_that_was_trained_on_is_an_error(alone, tmp_path):
    """With most images gone, images of the training split come into the test split."""
    folder = make_images(tmp_path / "images", "cat", "dog")
    run_dir = tmp_path / "run"
    run(alone, *IMAGES, "--quiet", "--data-dir", folder, "--run-dir", run_dir)
    for name in ("cat", "dog"):
        for number in range(35):
            (folder / name / f"{number}.png").unlink()
    evaluate = ["--evaluate", run_dir / "checkpoints" / "best.pt", "--quiet"]
    line = refuse(alone, *evaluate)
    assert "was trained on, one of" in line and ".png" in line
    run(alone, *evaluate, "--other-data")


# --------------------------------------------------------------------- terminals, threads, callers


def test_a_closed_pipe_ends_no_training(project, tmp_path):
    process = start(project, *QUICK, "--no-quiet", "--run-dir", tmp_path / "run")
    process.stdout.close()
    process.stderr.close()
    assert process.wait() == 0
    assert (tmp_path / "run" / "summary.md").exists()
    command = [sys.executable, "compare.py", tmp_path / "run", "--output", tmp_path / "curves.png"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    comparison = subprocess.Popen(command, cwd=project, **pipes)
    comparison.stdout.close()
    assert (comparison.wait(), comparison.stderr.read()) == (0, b"")


@pytest.mark.parametrize("session", [True, False], ids=["controlling", "not controlling"])
def test_a_closed_terminal_ends_no_training(project, tmp_path, session):
    """If the terminal controls the session of the run, the run gets SIGHUP as well."""
    run_dir = tmp_path / "run"
    options = [*FAST, "--no-quiet", "--epochs", "30", "--run-dir", str(run_dir)]
    master, slave = pty.openpty()
    code = "import os, sys; os.setsid(); "
    if session:
        code += "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    code += "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    command = [sys.executable, "-c", code, "main.py", *options]
    terminal = {"stdin": slave, "stdout": slave, "stderr": slave}
    process = subprocess.Popen(command, cwd=project, preexec_fn=default_hangup, **terminal)
    os.close(slave)
    wait_for(run_dir / "metrics.jsonl", process, lines=1)
    os.close(master)
    assert process.wait() == 0
    assert read_records(run_dir)[-1]["event"] == "test"
    assert (run_dir / "summary.md").exists()


def default_hangup() -> None:
    """Let SIGHUP end the process, also if these tests were started by nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_hangup_of_a_program_without_a_terminal_is_a_stop(project, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = [*FAST, "--epochs", "60"]
    run(project, *options, "--run-dir", whole)
    keywords = {"stdin": subprocess.DEVNULL, "preexec_fn": default_hangup}
    process = start(project, *options, "--run-dir", parts, **keywords)
    wait_for(parts / "metrics.jsonl", process, lines=1)
    process.send_signal(signal.SIGHUP)
    process.communicate()
    assert process.returncode == 128 + signal.SIGHUP
    run(project, "--resume", "--run-dir", parts, "--quiet")
    assert same_weights(whole, parts) and records(whole) == records(parts)


def test_main_in_threads_of_a_sweep(alone, tmp_path):
    """A caller can catch the UserError of one trial, and the others go on."""
    shutil.copy(PROGRAMS / "sweep.py", alone)
    python(alone, "sweep.py", tmp_path, *QUICK, "--optimizer", "sgd")
    for rate in ("0.01", "0.02"):
        assert read_records(tmp_path / rate)[-1]["event"] == "test"
    assert not list((tmp_path / "1e30" / "checkpoints").iterdir())


# -------------------------------------------------------------------------------------- machines


@pytest.mark.parametrize(
    ("what", "error"), [("fsync", "EINVAL"), ("fsync", "ENOTSUP"), ("flock", "ENOLCK")]
)
def test_file_systems_that_lack_something(project, tmp_path, what, error):
    program = [PROGRAMS / "simulate_files.py", what, error]
    _, err = python(project, *program, *QUICK, "--run-dir", tmp_path)
    assert (tmp_path / "summary.md").exists()
    expected = f"warning: {tmp_path} cannot be locked; start no second run there\n"
    assert err == (expected if what == "flock" else "")


@pytest.fixture
def small_disk(tmp_path: Path):
    """A disk of one MiB, less than a checkpoint."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("cannot mount a disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_named(project, small_disk):
    line = refuse(project, *FAST, "--epochs", "2", "--run-dir", small_disk / "run")
    assert "last.pt: No space left on device (" in line and "MiB are free)" in line
    assert not list(small_disk.rglob("*.tmp.*"))


def test_a_compiler_is_asked_for(project, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("env", "sh", "ls"):
        (tools / name).symlink_to(shutil.which(name))
    environment = {"PATH": tools, "TORCHINDUCTOR_CACHE_DIR": tmp_path / "cache"}
    _, err = run(project, *QUICK, "--compile", "--run-dir", tmp_path / "run", code=2, **environment)
    assert "--compile needs a C++ compiler" in err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("rank", rest_is_full([1, 0]))
def test_peers_that_never_come(project, tmp_path, rank):
    place = places(2)[rank]
    run_dir = tmp_path / "run"
    options = [*QUICK, "--dist-timeout", "2", "--run-dir", run_dir]
    _, err = run(project, *options, code=2, **place)
    address = f"127.0.0.1:{place['MASTER_PORT']}"
    assert f"process {rank} of 2 has not met the others at {address} within 2 s" in err
    assert not run_dir.exists()


def test_a_batch_norm_needs_more_than_one_sample(alone):
    options = ["--device", "cpu", "--quick", "--quiet", "--model", "resnet18", "--batch-size", "1"]
    assert "try a larger --batch-size" in refuse(alone, *options)


def test_srun_without_torchrun_is_refused(project):
    assert "srun has started several tasks" in refuse(project, *QUICK, SLURM_STEP_NUM_TASKS=2)


# ------------------------------------------------------------------------- options and old runs


def test_the_first_step_after_more_epochs_has_the_new_rate(alone, tmp_path):
    schedule = [*FAST, "--warmup-ratio", "0", "--schedule", "linear"]
    planned, longer = tmp_path / "planned", tmp_path / "longer"
    run(alone, *schedule, "--epochs", "4", "--run-dir", planned)
    run(alone, *schedule, "--epochs", "2", "--run-dir", longer)
    run(alone, "--resume", "--epochs", "4", "--grad-accum", "2", "--run-dir", longer)
    rates = []
    for folder in (planned, longer):
        found = read_records(folder)
        rates.append([record["step/lr"] for record in found if record["event"] == "step"])
    half = len(rates[0]) // 2
    assert rates[1][half:] == rates[0][half:] and rates[1][:half] != rates[0][:half]


def test_a_resume_that_is_refused_leaves_the_options(project, finished):
    before = list_files(finished)
    assert "2 epochs are done" in refuse(
        project, "--resume", "--run-dir", finished, "--epochs", "1"
    )
    assert list_files(finished) == before
    run(project, "--resume", "--run-dir", finished, "--log-every", "7")
    assert '"log_every": 7' in (finished / "config.json").read_text()


def test_home_in_paths(alone, tmp_path):
    options = [*QUICK, "--run-dir=~/out/run"]
    run(alone, *options, HOME=tmp_path)
    assert (tmp_path / "out" / "run" / "summary.md").exists()
    assert not list(alone.glob("~*"))


def test_paths_that_are_no_utf8(alone, tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    make_images(folder, "cat", "dog")
    run_dir = tmp_path / "run"
    run(alone, *IMAGES, "--quiet", "--data-dir", folder, "--run-dir", run_dir)
    run(alone, "--evaluate", run_dir / "checkpoints" / "best.pt", "--quiet")
    assert "not valid UTF-8" in refuse(alone, *QUICK, "--run-dir", os.fsdecode(b"caf\xe9"))


def test_patterns_that_no_shell_has_expanded(project, finished):
    out, _ = python(project, "compare.py", finished.parent / "*", "--output", finished / "c.png")
    assert "finished" in out


def test_a_link_to_a_checkpoint(project, finished, tmp_path):
    (tmp_path / "link.pt").symlink_to(finished / "checkpoints" / "best.pt")
    run(project, "--evaluate", tmp_path / "link.pt", "--quiet")
    assert len(list((finished / "evaluations").iterdir())) == 1


# -------------------------------------------------------------------------------- the end of a job


def test_a_signal_at_one_rank_stops_all(project, tmp_path):
    """At the same step: the run is saved, and resumes exactly."""
    options = [*FAST, "--epochs", "3", "--dist-timeout", "20"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(project, *options, "--run-dir", whole, processes=2, torchrun=False)
    command = [PROGRAMS / "interrupt.py", "SIGTERM", 20, 1, *options, "--run-dir", parts]
    children = []
    for number, place in enumerate(places(2)):
        out = tmp_path / f"{number}.txt"
        children.append(forks().start(project, *command, out=out, **place))
    codes = [forks().wait(child)[0] for child in children]
    assert codes == [128 + signal.SIGTERM] * 2, (tmp_path / "0.txt").read_text()
    assert 20 <= read_checkpoint(parts)["step"] <= 37  # not every short step exchanges signals
    run(project, "--resume", "--run-dir", parts, "--quiet", processes=2, torchrun=False)
    assert same_weights(whole, parts) and records(whole) == records(parts)


def test_dropout_continues_after_a_stop(tmp_path):
    """Its masks come from the random state in the checkpoint."""
    answers = {"task": "language_modeling", **ALONE}
    project = render(answers, tmp_path)
    options = ["--device", "cpu", "--quiet", "--dropout", "0.5", "--epochs", "1"]
    options += ["--steps-per-epoch", "6", "--context", "32", "--log-every", "1"]
    run(project, *options, "--run-dir", "whole")
    command = [PROGRAMS / "interrupt.py", "SIGTERM", 3, 0, *options, "--run-dir", "parts"]
    python(project, *command, code=128 + signal.SIGTERM)
    run(project, "--resume", "--run-dir", "parts", "--quiet")
    assert same_weights(project / "whole", project / "parts")


@pytest.mark.faults
@pytest.mark.parametrize("distributed", ["fsdp", "ddp"])
def test_forty_jobs_end_in_order(tmp_path, report_faults: Report, distributed):
    """No thread of gloo aborts while the interpreter ends; four jobs are started by torchrun."""
    project = render({"distributed": distributed, "logger": "none"}, tmp_path)
    wrong = 0
    for number in range(40):
        options = [*QUICK, "--run-dir", f"runs/{number}"]
        if number % 10 == 0:
            process = start(project, *options, processes=2)
            process.communicate()
            wrong += process.returncode != 0
            continue
        children = []
        for place in places(2):
            out = tmp_path / f"{number}-{place['RANK']}.txt"
            children.append(forks().start(project, "main.py", *options, out=out, **place))
        wrong += forks().wait(*children) != [0, 0]
    report_faults(f"jobs of two processes, {distributed}", 40, wrong=wrong, note="exit code 0")


@pytest.mark.faults
def test_a_hundred_kills(project, tmp_path, report_faults: Report):
    """Kill a run a hundred times in the middle of a write, and lose nothing."""
    options = [*FAST, "--epochs", "3", "--save-every", "1", "--ema", "0.9"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(project, *options, "--run-dir", whole)
    draw, killed, finished, wrong = random.Random(0), 0, 0, 0
    while killed < 100 or finished < 5:
        command = ["main.py", *options, "--resume", "--run-dir", parts]
        child = forks().start(project, *command, out=tmp_path / "output.txt")
        if killed < 100:
            kill_in_write(child, parts, after=draw.randrange(30))
        (code,) = forks().wait(child)
        killed += code == -signal.SIGKILL
        if code != -signal.SIGKILL:
            finished += 1
            left = list(parts.rglob("*.tmp.*"))
            same = code == 0 and same_weights(whole, parts) and records(whole) == records(parts)
            wrong += not same or bool(left)
            shutil.rmtree(parts)
    note = f"equal weights of {finished} runs that were resumed until their ends"
    report_faults("`kill -9` in the middle of a write", killed, lost=wrong, note=note)


def kill_in_write(child: int, run_dir: Path, after: int) -> None:
    """Kill a process when it writes a checkpoint and has written some before, unless it ends."""
    written = set()
    while forks().poll(child) is None:
        writing = [path for path in run_dir.glob("checkpoints/last.pt.tmp.*") if path.exists()]
        if writing:
            written.add(read_time(run_dir / "checkpoints" / "last.pt"))
            if len(written) > after:
                os.kill(child, signal.SIGKILL)
                return
        time.sleep(0.001)


def read_time(path: Path) -> int:
    """Return when a file was written, 0 if it is not there."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0

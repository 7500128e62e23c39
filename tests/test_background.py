"""Large checkpoints, which a thread writes while the training continues."""

import json
from pathlib import Path

import pytest
import torch
from rendering import render
from running import FAST, PROGRAMS, forks, places, python, run, same_weights

OPTIONS = [*FAST, "--epochs", "2", "--ema", "0.9", "--save-every", "5"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default project without a tracker."""
    return render({"logger": "none"}, tmp_path_factory.mktemp("background"))


def test_a_checkpoint_is_the_state_when_it_was_saved(project, tmp_path):
    command = [PROGRAMS / "save_in_background.py", *OPTIONS, "--run-dir", tmp_path / "later"]
    out, _ = python(project, *command)
    found = json.loads(out.splitlines()[-1])
    assert found["later"] >= 3 and found["in_thread"] > found["later"]  # not after the last step
    assert found["wrong"] == []
    run(project, *OPTIONS, "--run-dir", tmp_path / "at-once")
    assert same_weights(tmp_path / "later", tmp_path / "at-once")


@pytest.mark.parametrize(("distributed", "processes"), [("none", 1), ("ddp", 2), ("fsdp", 2)])
def test_a_full_disk_ends_the_run(tmp_path, distributed, processes):
    """The next save tells of the one that has failed; the checkpoint before is whole."""
    project = render({"distributed": distributed, "logger": "none"}, tmp_path)
    command = [PROGRAMS / "fail_in_background.py", *OPTIONS, "--run-dir", "run"]
    children = []
    for place in places(processes) if processes > 1 else [{}]:
        children.append(forks().start(project, *command, out=tmp_path / "err", **place))
    assert forks().wait(*children)[0] == 2  # rank 1 is then killed, as torchrun does
    err = (tmp_path / "err").read_text()
    assert err.startswith("error: cannot write run/checkpoints/last.pt: No space left on device")
    assert len(err.splitlines()) == 1
    run(project, "--resume", "--run-dir", "run")
    run(project, *OPTIONS, "--run-dir", "whole", processes=processes, torchrun=False)
    if processes == 1:
        assert same_weights(project / "run", project / "whole")


@pytest.mark.full
def test_a_run_that_fails_keeps_its_lock_while_shards_are_written(tmp_path):
    project = render({"distributed": "fsdp", "logger": "none"}, tmp_path)
    command = [PROGRAMS / "fail_while_shards_are_written.py", *FAST, "--sharded-checkpoints"]
    out, err = python(project, *command, "--run-dir", "run", code=1, **places(1)[0])
    assert out.splitlines()[-1] == "locked"
    assert err.endswith("RuntimeError: of the user\n")


def test_a_write_that_fails_is_repeated(project, tmp_path):
    """A disk that was full for a while costs nothing: the checkpoint is written with the next."""
    command = [PROGRAMS / "fail_in_background.py", *OPTIONS, "--run-dir", tmp_path / "late"]
    python(project, *command, FAILURES="1")
    run(project, *OPTIONS, "--run-dir", tmp_path / "whole")
    for name in ("last.pt", "previous.pt", "best.pt"):
        paths = [tmp_path / run_dir / "checkpoints" / name for run_dir in ("late", "whole")]
        late, whole = [torch.load(path, weights_only=True) for path in paths]
        assert late["step"] == whole["step"]
        assert late["model"].keys() == whole["model"].keys()
        for key, tensor in whole["model"].items():
            assert torch.equal(tensor, late["model"][key])

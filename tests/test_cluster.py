"""Many machines, played by one: two agents of torchrun, a rank that dies, one that hangs, and SLURM's script."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rendering import render
from running import OPTIONS, records, same_weights, start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

BIN = Path(sys.executable).parent
ARGUMENTS = [*OPTIONS[:3], "--model", "mlp", "--epochs", "12", "--save-every", "5", "--log-every", "2"]

# What the commands of SLURM do here: `srun` starts its command once for each of two nodes, and turns SIGTERM into
# SIGKILL, as the real one does; `scancel` sends a signal to what srun has started.
SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do shift; done
"$@" & first=$!
"$@" & second=$!
echo $first $second > step
trap 'kill -KILL $first $second; exit 143' TERM
wait $first && wait $second
"""
SCONTROL = """#!/usr/bin/env bash
if [[ $1 == show ]]; then echo localhost; echo localhost; else echo "$@" >> requeued; fi
"""
SCANCEL = """#!/usr/bin/env bash
[[ $1 == --signal=TERM && $2 == "$SLURM_JOB_ID" ]] && kill -TERM $(< step)
"""


@pytest.fixture(scope="module", autouse=True)
def equal_threads() -> Iterator[None]:
    """Give each process as many threads, however many share a machine: results depend on it in the last bits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "2")  # a 1 would not count
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project for clusters of CPUs."""
    return render({"hardware": "cpu", "logger": "none"}, tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def whole(project: Path) -> Path:
    """The run of two processes that nothing disturbs."""
    process = start(project, *ARGUMENTS, "--run-dir", "runs/whole", processes=2)
    process.communicate()
    assert process.returncode == 0
    return project / "runs" / "whole"


def environment(**variables: object) -> dict[str, str]:
    """The environment in which a script finds torchrun."""
    return (
        os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"} | {name: str(value) for name, value in variables.items()}
    )


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def children(pid: int) -> list[int]:
    """Return the processes that `pid` has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def grandchildren(pid: int) -> list[int]:
    """Return what torchrun has started, be it `pid` itself or what the script `pid` has started."""
    launcher = b"torchrun" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    return [rank for child in children(pid) for rank in children(child)] if launcher else children(pid)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    """Wait until `process` has made that file."""
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Tell whether a process ends within a minute."""
    for _ in range(600):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.1)
                continue
        return True
    return False


def test_two_agents_train_like_one(project, whole):
    head = f"localhost:{free_port()}"
    command = ["example_runs/multi_node.sh", *ARGUMENTS]
    nodes = [subprocess.Popen(command, cwd=project, env=environment(NODES=2, HEAD=head)) for _ in range(2)]
    assert [node.wait() for node in nodes] == [0, 0]
    assert same_weights(whole, project / "runs" / "multi_node")
    assert records(project / "runs" / "multi_node") == records(whole)


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_killed_rank_is_started_again(project, whole, nodes):
    folder = project / "runs" / f"killed-{nodes}"
    command = ["torchrun", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1", "main.py", "--resume"]
    command = ["example_runs/multi_node.sh"] if nodes == 2 else command
    variables = environment(NODES=nodes, HEAD=f"localhost:{free_port()}")
    agents = [
        subprocess.Popen([*command, *ARGUMENTS, "--run-dir", folder], cwd=project, env=variables) for _ in range(nodes)
    ]
    wait_for(folder / "checkpoints" / "last.pt", agents[0])
    ranks = [child for agent in agents for child in grandchildren(agent.pid)]
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    assert [agent.wait() for agent in agents] == [0] * nodes
    assert all(map(gone, ranks))
    assert same_weights(whole, folder)
    assert records(folder) == records(whole)


def test_a_hung_rank_ends_the_job(project):
    folder = project / "runs" / "hung"
    process = start(project, *ARGUMENTS, "--dist-timeout", "5", "--run-dir", folder, processes=2)
    wait_for(folder / "checkpoints" / "last.pt", process)
    ranks = children(process.pid)
    os.kill(ranks[1], signal.SIGSTOP)
    process.communicate()
    assert process.returncode != 0
    assert len(ranks) == 2 and all(map(gone, ranks))


def test_killed_torchrun_leaves_no_orphan(project):
    folder = project / "runs" / "orphans"
    process = start(project, *ARGUMENTS, "--run-dir", folder, processes=2)
    wait_for(folder / "checkpoints" / "last.pt", process)
    ranks = children(process.pid)
    process.kill()
    assert len(ranks) == 2 and all(map(gone, ranks))
    process.communicate()


def test_slurm_script_is_queued_again_and_goes_on(project, whole, tmp_path):
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, "scancel": SCANCEL}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    variables = environment(
        SLURM_JOB_NAME="job",
        SLURM_JOB_ID=free_port(),
        SLURM_NNODES=2,
        SLURM_CPUS_PER_TASK=1,
        SLURM_JOB_NODELIST="localhost,localhost",
    )
    variables["PATH"] = f"{tmp_path}:{variables['PATH']}"
    folder = project / "runs" / f"job-{variables['SLURM_JOB_ID']}"
    script = [project / "example_runs" / "slurm.sbatch", *ARGUMENTS]
    process = subprocess.Popen(script, cwd=project, env=variables)
    wait_for(folder / "checkpoints" / "last.pt", process)
    process.send_signal(signal.SIGUSR1)
    assert process.wait() == 0
    assert (project / "requeued").read_text() == f"requeue {variables['SLURM_JOB_ID']}\n"
    assert len(records(folder)) < len(records(whole))
    subprocess.run(script, cwd=project, env=variables, check=True)  # as SLURM does with a job that was queued again
    assert same_weights(whole, folder)
    assert records(folder) == records(whole)
    logs = list((folder / "logs").rglob("stdout.log"))
    assert len(logs) == 4  # of two processes, twice

"""Several machines, played by one: agents of torchrun, ranks that die or hang, SLURM."""

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
from running import PROGRAMS, STOPPABLE, records, same_weights, start, wait_for

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
OPTIONS = [*STOPPABLE, "--model", "mlp", "--epochs", "12", "--save-every", "5", "--ema", "0"]


@pytest.fixture(scope="module", autouse=True)
def equal_threads() -> Iterator[None]:
    """Give each process as many threads, however many share a machine.

    Results depend on it in the last bits.
    """
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
    process = start(project, *OPTIONS, "--run-dir", "runs/whole", processes=2)
    process.communicate()
    assert process.returncode == 0
    return project / "runs" / "whole"


def start_script(project: Path, *command: object, **environment: object) -> subprocess.Popen[str]:
    """Start a command in a project with torchrun on its PATH."""
    variables = {name: str(value) for name, value in environment.items()}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    variables = os.environ | {"PATH": path} | variables
    return subprocess.Popen(list(map(str, command)), cwd=project, env=variables, text=True)


def find_free_port() -> int:
    """Return the number of a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def find_children(pid: int) -> list[int]:
    """Return the processes that `pid` has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def find_ranks(pid: int) -> list[int]:
    """Return the processes of a torchrun, be it `pid` itself or started by the script `pid`."""
    if b"torchrun" in Path(f"/proc/{pid}/cmdline").read_bytes():
        return find_children(pid)
    ranks = []
    for child in find_children(pid):
        ranks += find_children(child)
    return ranks


def is_gone(pid: int) -> bool:
    """Return whether a process ends within two minutes."""
    for _ in range(1200):
        state = "Z"
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


def are_gone(pids: list[int]) -> bool:
    """Return whether two processes end within two minutes each."""
    assert len(pids) == 2
    return all(is_gone(pid) for pid in pids)


def test_two_agents_train_like_one(project, whole):
    variables = {"NODES": 2, "HEAD": f"localhost:{find_free_port()}"}
    command = ["example_runs/multi_node.sh", *OPTIONS]
    nodes = [start_script(project, *command, **variables) for _ in range(2)]
    assert [node.wait() for node in nodes] == [0, 0]
    assert same_weights(whole, project / "runs" / "multi_node")
    assert records(project / "runs" / "multi_node") == records(whole)


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_killed_rank_is_started_again(project, whole, nodes):
    folder = project / "runs" / f"killed-{nodes}"
    command = ["torchrun", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1"]
    command += ["main.py", "--resume"]
    if nodes == 2:
        command = ["example_runs/multi_node.sh"]
    variables = {"NODES": nodes, "HEAD": f"localhost:{find_free_port()}"}
    command += [*OPTIONS, "--run-dir", folder]
    agents = [start_script(project, *command, **variables) for _ in range(nodes)]
    wait_for(folder / "checkpoints" / "last.pt", agents[0])
    ranks = []
    for agent in agents:
        ranks += find_ranks(agent.pid)
    os.kill(ranks[1], signal.SIGKILL)
    assert [agent.wait() for agent in agents] == [0] * nodes
    assert are_gone(ranks)
    assert same_weights(whole, folder)
    assert records(folder) == records(whole)


def test_ranks_that_die_before_the_first_checkpoint_are_started_again(project, whole):
    folder = project / "runs" / "early"
    command = ["torchrun", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1"]
    command += ["main.py", "--resume", *OPTIONS, "--run-dir", folder]
    agent = start_script(project, *command)
    wait_for(folder / "config.json", agent)
    os.kill(find_ranks(agent.pid)[0], signal.SIGKILL)
    assert agent.wait() == 0
    assert same_weights(whole, folder)
    assert records(folder) == records(whole)


def test_a_hung_rank_ends_the_job(project):
    folder = project / "runs" / "hung"
    options = [*OPTIONS, "--dist-timeout", "5", "--run-dir", folder]
    process = start(project, *options, processes=2)
    wait_for(folder / "checkpoints" / "last.pt", process)
    ranks = find_children(process.pid)
    os.kill(ranks[1], signal.SIGSTOP)
    process.communicate()
    assert process.returncode != 0
    assert are_gone(ranks)


def test_killed_torchrun_leaves_no_orphan(project):
    folder = project / "runs" / "orphans"
    options = [*OPTIONS, "--epochs", 10**6]  # they do not end by themselves
    process = start(project, *options, "--run-dir", folder, processes=2)
    wait_for(folder / "checkpoints" / "last.pt", process)
    ranks = find_children(process.pid)
    process.kill()
    try:
        assert are_gone(ranks)
    finally:
        for rank in ranks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rank, signal.SIGKILL)
    process.communicate()


def test_slurm_script_is_queued_again_and_continues(project, whole):
    job = find_free_port()
    variables = {
        "PATH": f"{PROGRAMS}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SLURM_JOB_NAME": "job",
        "SLURM_JOB_ID": job,
        "SLURM_NNODES": 2,
        "SLURM_CPUS_PER_TASK": 1,
        "SLURM_JOB_NODELIST": "localhost,localhost",
    }
    folder = project / "runs" / f"job-{job}"
    script = [project / "example_runs" / "slurm.sbatch", *OPTIONS]
    process = start_script(project, *script, **variables)
    wait_for(folder / "checkpoints" / "last.pt", process)
    process.send_signal(signal.SIGUSR1)
    assert process.wait() == 0
    assert (project / "requeued").read_text() == f"requeue {job}\n"
    assert len(records(folder)) < len(records(whole))
    again = start_script(project, *script, **variables)  # as SLURM does with a requeued job
    assert again.wait() == 0
    assert same_weights(whole, folder)
    assert records(folder) == records(whole)
    logs = list((project / f"slurm-{job}").rglob("stdout.log"))
    assert len(logs) == 4  # of two processes, twice

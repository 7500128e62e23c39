"""Provenance: which code, command, machine and data made a run."""

import json
import shutil
from pathlib import Path
from typing import Any

from PIL import Image
from recipes import commit, git
from rendering import CONTEXT, render
from running import FAST, PROGRAMS, python, run

ALONE = {"distributed": "none", "logger": "none"}


def add_line(project: Path, line: str) -> None:
    """Add a line to plots.py."""
    with (project / "my_project" / "plots.py").open("a") as file:
        file.write(line + "\n")


def read_starts(run_dir: Path) -> list[dict[str, Any]]:
    return json.loads((run_dir / "run.json").read_text())["starts"]


def read_code(project: Path, **environment: str) -> dict[str, Any]:
    """Return what the engine finds out about the code of a project."""
    out, _ = python(project, PROGRAMS / "print_code.py", **environment)
    return json.loads(out)


def test_the_code_of_a_run_and_of_its_resumes_is_kept(tmp_path):
    """A clone of the commit with the changes applied has the code; the same code is kept once."""
    project = render(ALONE, tmp_path)
    commit(project)
    head = git(project, "rev-parse", "HEAD").strip()
    add_line(project, "# the first change, of ünusual letters")
    (project / "my_project" / "figure.bin").write_bytes(bytes(range(256)))
    git(project, "add", "my_project/figure.bin")
    (project / "note.txt").write_text("not in git")
    out, _ = run(project, *FAST, "--no-quiet", "--quick", "--run-dir", "run")
    line = f"commit {head[:12]} with changes: changes.diff, not in git: 1 file"
    assert f"code        {line}\n" in out
    assert f"- code: {line}\n" in (project / "run" / "summary.md").read_text()
    (start,) = read_starts(project / "run")
    assert start["code"] == {
        "commit": head,
        "dirty": True,
        "changes": "changes.diff",
        "untracked": ["note.txt"],
        "more_untracked": 0,
    }
    assert start["command"].endswith("--no-quiet --quick --run-dir run")
    assert start["template"] == f"pytorch-base {CONTEXT['_version']}"
    assert start["host"] and start["python"] and start["packages"]["torch"]
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(project), str(clone))
    git(clone, "apply", str(project / "run" / "changes.diff"))
    for name in ("plots.py", "figure.bin"):
        path = Path("my_project", name)
        assert (clone / path).read_bytes() == (project / path).read_bytes()

    resume = ["--resume", "--run-dir", "run", "--quiet", "--epochs"]
    run(project, *resume, 3)
    add_line(project, "# the second change")
    run(project, *resume, 4)
    starts = read_starts(project / "run")
    assert [start["step"] for start in starts] == [0, 6, 6]
    changes = [start["code"]["changes"] for start in starts]
    assert changes == ["changes.diff", "changes.diff", "changes-2.diff"]
    assert "second change" in (project / "run" / "changes-2.diff").read_text()
    summary = (project / "run" / "summary.md").read_text()
    assert f"; from step 6: commit {head[:12]} with changes: changes-2.diff" in summary


def test_projects_without_a_commit(tmp_path):
    """No repository, an empty one, one that ignores the project, no git: never an error."""
    project = render(ALONE, tmp_path / "above")
    assert "not a git repository" in read_code(project)["reason"]
    git(project, "init", "--quiet")
    assert "HEAD" in read_code(project)["reason"]
    shutil.rmtree(project / ".git")
    (project.parent / ".gitignore").write_text("my_project\n")
    git(project.parent, "init", "--quiet")
    git(project.parent, "add", ".")
    git(project.parent, "commit", "--quiet", "--message", "without the project")
    assert "my_project/my_project/engine/provenance.py" in read_code(project)["reason"]
    code = read_code(project, PATH=str(tmp_path))
    assert code["commit"] is None and "'git'" in code["reason"]


def test_a_repository_above_the_project_and_a_detached_head(tmp_path):
    project = render(ALONE, tmp_path / "above")
    (project.parent / "other.txt").write_text("")
    git(project.parent, "init", "--quiet")
    git(project.parent, "add", ".")
    git(project.parent, "commit", "--quiet", "--message", "all")
    git(project.parent, "checkout", "--quiet", "--detach")
    git(project.parent, "config", "diff.noprefix", "true")
    git(project.parent, "config", "diff.relative", "true")
    (project.parent / "other.txt").write_text("a change outside the project")
    code = read_code(project)
    assert code["commit"] == git(project.parent, "rev-parse", "HEAD").strip()
    assert code["changes"] == "" and code["untracked"] == []
    add_line(project, "# a change")
    changes = read_code(project)["changes"]
    assert changes.startswith("diff --git a/my_project/my_project/plots.py b/my_project/")


def test_changes_that_are_too_large_are_not_kept_in_part(tmp_path):
    project = render(ALONE, tmp_path)
    engine = project / "my_project" / "engine" / "provenance.py"
    engine.write_text(engine.read_text().replace("8 * 2**20", "2**20"))
    commit(project)
    add_line(project, "# " + 2**21 * "x")
    run(project, *FAST, "--quick", "--run-dir", "run")
    (start,) = read_starts(project / "run")
    assert start["code"]["changes"] == "over 1 MiB, which are not kept"
    assert not list((project / "run").glob("*.diff"))


def test_the_listing_tells_other_samples_from_the_same(tmp_path):
    """Of images in folders: wherever they lie."""
    project = render(ALONE, tmp_path)
    for name in ("one", "same", "other"):
        for split in ("train", "val", "test"):
            for label in ("a", "b"):
                folder = tmp_path / name / split / label
                folder.mkdir(parents=True)
                for number in range(4 if (name, split) == ("other", "val") else 3):
                    Image.new("RGB", (8, 8)).save(folder / f"{number}.png")
    folders = [tmp_path / name for name in ("one", "same", "other")]
    out, _ = python(project, PROGRAMS / "print_listings.py", *folders)
    one, same, other = out.split()
    assert one == same != other and len(one) == 16

"""A project is updated to a newer template by the commands in its README."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rendering import RAW_PROJECT, copy_template, render

ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
}
UVX = "uvx cookiecutter gh:OWNER/pytorch-base"


def shell(script: str, cwd: Path, answers: str = "", code: int = 0) -> str:
    """Run a script as a user would paste it, check its exit code, and return all it printed."""
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=cwd,
        env=os.environ | ENVIRONMENT,
        input=answers,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == code, result.stdout
    return result.stdout


def edit(file: Path, old: str, new: str) -> None:
    """Replace a part of a file that must be there."""
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def add(file: Path, text: str = "") -> None:
    """Add a file."""
    file.write_text(text, encoding="utf-8")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A copy of the template, which gets newer than the project."""
    return copy_template(tmp_path / "template")


@pytest.fixture
def project(tmp_path: Path, template: Path) -> Path:
    """A project in git with two commits: as it was rendered, and with a user's edits."""
    answers = {"author_name": "Ada", "logger": "none", "license": "none"}
    project = render(answers, tmp_path, template=template)
    shell('git init --quiet -b main && git add -A && git commit --quiet -m "As rendered"', project)
    edit(project / "main.py", "import", "import sys\nimport")
    add(project / "mine.txt", "mine\n")
    shell("git add -A && git commit --quiet -m mine", project)
    return project


def recipe(project: Path, template: Path) -> str:
    """Return the commands of the README, with `template` in place of the public one."""
    (text,) = re.findall(
        r"^```bash\n(\(\n.*?)^```$", (project / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert text.count(UVX) == 1
    return text.replace(UVX, f"'{sys.executable}' -m cookiecutter '{template}'")


def raw(template: Path) -> Path:
    """Return the folder of the raw project."""
    return template / RAW_PROJECT.name


def check_clean(project: Path) -> None:
    """Check that an update left nothing behind, and the user's edits in place."""
    assert "import sys" in (project / "main.py").read_text()
    assert (project / "mine.txt").read_text() == "mine\n"
    assert shell("git status --porcelain", project) == ""
    assert shell("git worktree list", project).count("\n") == 1


def test_updates_come_in_and_edits_stay(project, template):
    add(raw(template) / "new.py", '"""New in the template."""\n')
    add(raw(template) / "example_runs" / "gone.sh")
    edit(raw(template) / ".gitignore", "/runs/", "/runs/\n/wandb/")
    edit(template / "cookiecutter.json", '"_version": "', '"_version": "1')
    shell(recipe(project, template), project)
    assert (project / "new.py").exists() and (project / "example_runs" / "gone.sh").exists()
    assert "/wandb/" in (project / ".gitignore").read_text()
    assert not (project / "LICENSE").exists(), "the answers were not kept"
    kept = (project / ".cookiecutter.json").read_text()
    assert '"author_name": "Ada"' in kept and '"version": "1' in kept
    check_clean(project)

    # a new question of the template
    edit(
        template / "cookiecutter.json", '"license": [', '"colour": ["red", "blue"],\n  "license": ['
    )
    shell(recipe(project, template), project, answers="2\n")
    assert '"colour": "blue"' in (project / ".cookiecutter.json").read_text()
    check_clean(project)

    # a file that the template no longer has
    (raw(template) / "example_runs" / "gone.sh").unlink()
    assert "example_runs/gone.sh\nThese files" in shell(recipe(project, template), project, "y\n")
    assert not (project / "example_runs" / "gone.sh").exists()
    check_clean(project)

    # nothing new
    before = shell("git rev-parse HEAD", project)
    assert "Already up to date." in shell(recipe(project, template), project)
    assert shell("git rev-parse HEAD", project) == before
    check_clean(project)


def test_updates_from_fresh_clones(project, template, tmp_path):
    """Update in one clone and again in another: the branch `template` travels by the remote."""
    shell(f"git clone --quiet --bare '{project}' remote.git", tmp_path)
    for number in (1, 2):
        shell(f"git clone --quiet remote.git clone{number}", tmp_path)
        clone = tmp_path / f"clone{number}"
        add(raw(template) / f"new{number}.py", '"""New in the template."""\n')
        edit(raw(template) / ".gitignore", "/runs/", f"/runs/\n/new{number}/")
        shell(recipe(clone, template) + "git push --quiet origin main", clone)
        assert (clone / f"new{number}.py").exists()
        check_clean(clone)
        pushed = shell("git rev-parse template", tmp_path / "remote.git")
        assert pushed == shell("git rev-parse template", clone)
    log = shell("git log --format=%s template", tmp_path / "remote.git")
    assert log.splitlines() == ["Update from the template"] * 2 + ["As rendered"]

    # the first clone has an older branch by now, which moves forward
    add(raw(template) / "new3.py", '"""New in the template."""\n')
    shell("git pull --quiet", tmp_path / "clone1")
    shell(recipe(tmp_path / "clone1", template), tmp_path / "clone1")
    assert (tmp_path / "clone1" / "new3.py").exists()
    check_clean(tmp_path / "clone1")


def test_an_update_that_cannot_be_pushed(project, template, tmp_path):
    shell(
        f"git clone --quiet '{project}' clone && git clone --quiet --bare clone remote.git",
        tmp_path,
    )
    clone = tmp_path / "clone"
    shell("git remote set-url --push origin /nowhere", clone)
    add(raw(template) / "new.py", '"""New in the template."""\n')
    assert "not pushed yet" in shell(recipe(clone, template), clone)
    assert (clone / "new.py").exists()
    check_clean(clone)


@pytest.mark.parametrize(
    "accident",
    [
        "git merge --quiet main",
        "git merge --quiet --no-ff --no-edit main",
        "git merge --quiet --squash main && git commit --quiet -m 'Squashed commit'",
        "git cherry-pick main^1",
    ],
    ids=["fast-forward", "merge", "squash", "cherry-pick"],
)
def test_user_commits_on_the_branch_stop_an_update(project, template, accident):
    """An update of a branch `template` that has a user's commits would undo them."""
    add(raw(template) / "new.py", '"""New in the template."""\n')
    shell(recipe(project, template), project)
    shell(f"git switch --quiet template && {accident} && git switch --quiet main", project)
    shell("git merge --quiet template", project)
    add(raw(template) / "newer.py", '"""New in the template."""\n')
    printed = shell(recipe(project, template), project, code=1)
    assert "mine\n" in printed or "Squashed commit\n" in printed
    assert printed.endswith("which were merged into template\n")
    assert not (project / "newer.py").exists()
    check_clean(project)

    # the way out that the README gives
    base = shell("git rev-list -1 --grep='^Update from the template$' template", project)
    shell(f"git branch --force template {base}", project)
    shell(recipe(project, template), project)
    assert (project / "newer.py").exists() and (project / "new.py").exists()
    check_clean(project)


@pytest.mark.parametrize("answers", ["", "n\n"], ids=["no terminal", "no"])
def test_an_update_keeps_a_users_file_of_the_first_commit(project, template, answers):
    """A user's file that is in the commit "As rendered" stays, unless the user agrees."""
    shell("git switch --quiet --orphan other", project)
    render({"logger": "none"}, project.parent / "again", template=template)
    shell("cp -r ../again/my_project/. . && mkdir 'my data' && echo 1 > 'my data/é.txt'", project)
    shell('git add -A && git commit --quiet -m "As rendered"', project)
    add(raw(template) / "new.py", '"""New in the template."""\n')
    printed = shell(recipe(project, template), project, answers)
    assert "These files are not in the template." in printed
    assert (project / "my data" / "é.txt").exists() and (project / "new.py").exists()
    assert shell("git status --porcelain", project) == ""


def test_the_first_rendering_need_not_be_the_first_commit(project, template):
    """A repository with a history before the project keeps the files of that history."""
    shell("git switch --quiet --orphan other", project)
    add(project / "before.txt", "before\n")
    shell("git add -A && git commit --quiet -m 'Initial commit'", project)
    render({"logger": "none"}, project.parent / "again", template=template)
    shell("cp -r ../again/my_project/. . && git add -A", project)
    shell("git commit --quiet -m 'As rendered'", project)
    add(raw(template) / "new.py", '"""New in the template."""\n')
    shell(recipe(project, template), project)
    assert (project / "before.txt").exists() and (project / "new.py").exists()


def test_a_project_of_version_0_1_with_updates(project, template):
    """The branch `template` may hold updates made by the recipe of version 0.1."""
    shell("git switch --quiet -c template HEAD~1", project)
    shell("git commit --quiet --allow-empty -m 'Take up a newer template'", project)
    shell("git switch --quiet main && git merge --quiet --no-edit template", project)
    add(raw(template) / "new.py", '"""New in the template."""\n')
    shell(recipe(project, template), project)
    assert (project / "new.py").exists()
    check_clean(project)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("gh:ada/pytorch-base", "gh:ada/pytorch-base"),
        ("https://example.org/ada/base.git", "https://example.org/ada/base.git"),
        ("https://user:secret@example.org/base.git", "gh:OWNER/pytorch-base"),
        ("https://example.org/$(touch canary)", "gh:OWNER/pytorch-base"),
        ("/home/ada/pytorch-base", "gh:OWNER/pytorch-base"),
        ("git@example.org:ada/base.git", "gh:OWNER/pytorch-base"),
    ],
)
def test_the_recipe_names_where_the_template_came_from(source, expected):
    from cookiecutter.utils import create_env_with_context
    from rendering import CONTEXT, ROOT

    context = {"cookiecutter": CONTEXT | {"_template": source, "project_slug": "my_project"}}
    text = (ROOT / "templates" / "update.md").read_text()
    rendered = create_env_with_context(context).from_string(text).render(context)
    assert re.findall(r"uvx cookiecutter (\S+) ", rendered) == [expected]

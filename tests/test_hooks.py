"""Whatever is answered, it ends in a clear error that leaves nothing behind or in a project that holds the answers."""

import ast
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cookiecutter.exceptions import CookiecutterException
from rendering import CHOICES, ROOT, copy_template, render, replay

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LONG = "long name " * 20
NAMES = {  # a name, and the folder that it gets or a part of the error
    'O\'Brien "Q" \\ 研究 🚀': "o_brien_q_yan_jiu",
    'x"; import os; "': "x_import_os",
    "../x": "x",
    "a/b": "a_b",
    LONG: LONG.strip().replace(" ", "_")[:60].strip("_"),
    "3D Net": "project_3d_net",
    "2048": "project_2048",
    "🚀": "project",
    "Größe": "grosse",
    "": "project_name must not be empty",
    "   ": "project_name must not be empty",
    "con": "Windows",
    "COM1": "Windows",
    "two\nlines": "one line",
    "a\tb": "control characters",
    "a\x1b[31mb": "control characters",
    "a\u202eb": "control characters",
    "a\u2028b": "control characters",
}
SLUGS = [
    "",
    "../x",
    "a/b",
    "a/b/c",
    "x/",
    "con",
    "lpt1",
    "Upper",
    "1st",
    "_x",
    "x y",
    "x.y",
    "é",
    "x" * 61,
    "x\ny",
    "-x",
    ".",
]
TEXTS = [  # free text that must arrive as it is
    'O\'Brien "Q" \\ 研究 🚀',
    '"""',
    "'''",
    "\\",
    'ends with \\"',
    "\\n \\x41 \\u0022 \\N{BULLET}",
    "{{ 7 * 7 }} {% raw %} {# x #}",
    "# {% raw %} # {# x #}",
    "$(touch canary) `touch canary` ; touch canary",
    '"; import os; os.system("touch canary"); "',
    "__import__('os').system('touch canary')",
    '"]\ndependencies = ["x"]'.replace("\n", " "),
    "%s %(x)s {0} {x}",
    "*bold* _x_ <b> [a](b) `code` # | a |",
    "a: b, - c, !!python/object/apply:os.system [touch canary], &a *a",
    "👩‍💻 עברית हिन्दी Zoë\u00a0A",
]


def cli(*arguments: str, cwd: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """Run cookiecutter as a user does."""
    command = [sys.executable, "-m", "cookiecutter", *arguments]
    environment = os.environ | {"PWD": str(cwd)} | (environment or {})
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def folders(path: Path) -> list[str]:
    """Return what a folder holds."""
    return sorted(entry.name for entry in path.iterdir())


def shape(path: Path, texts: list[str]) -> str:
    """Return the structure of a Python file, in which the given texts are left out of all strings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for text in texts:
                node.value = node.value.replace(text, "")
    return ast.dump(tree)


def check_arrival(project: Path, plain: Path, name: str, description: str, author: str) -> None:
    """Check that three texts arrived unchanged, and that nothing else differs from a project with plain ones."""
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    expected = tomllib.loads((plain / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["description"] == description
    assert settings["project"]["authors"] == [{"name": author}]
    for key in ["description", "authors"]:
        settings["project"][key] = expected["project"][key]
    assert settings == expected

    answers = json.loads((project / ".cookiecutter.json").read_text(encoding="utf-8"))["cookiecutter"]
    assert (answers["project_name"], answers["description"], answers["author_name"]) == (name, description, author)
    assert author in (project / "LICENSE").read_text(encoding="utf-8")
    assert name in (project / "README.md").read_text(encoding="utf-8")
    main = ast.parse((project / "main.py").read_text(encoding="utf-8"))
    strings = [node.value for node in ast.walk(main) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert any(name in string for string in strings), "main.py does not hold the name"
    files = sorted(path.relative_to(project) for path in project.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(plain) for path in plain.rglob("*") if path.is_file())
    for path in files:
        if path.suffix == ".py":
            assert shape(project / path, [name, "plain"]) == shape(plain / path, [name, "plain"]), path


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A project whose free texts are harmless."""
    folder = tmp_path_factory.mktemp("plain")
    texts = dict.fromkeys(["project_name", "description", "author_name"], "plain")
    return render({"project_slug": "project", **texts}, folder)


# -------------------------------------------------------------------------------------------------------- free text


@pytest.mark.parametrize(("name", "expected"), NAMES.items(), ids=lambda text: ascii(text)[:30])
def test_names_on_the_command_line(tmp_path, name, expected):
    result = cli(str(ROOT), "--no-input", f"project_name={name}", cwd=tmp_path)
    if result.returncode == 0:
        assert folders(tmp_path) == [expected]
        kept = json.loads((tmp_path / expected / ".cookiecutter.json").read_text())["cookiecutter"]
        assert kept["project_name"] == name
    else:
        first = result.stderr.splitlines()[0]
        assert first.startswith("Error: ") and expected in first
        assert folders(tmp_path) == []


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_texts_arrive_unchanged(tmp_path, plain, text):
    answers = dict.fromkeys(["project_name", "description", "author_name"], text)
    project = replay(answers, tmp_path / "answers.json", tmp_path / "out")
    check_arrival(project, plain, text, text, text)
    assert not list(tmp_path.rglob("canary"))


def test_random_texts(tmp_path, plain, capfd):
    generator = random.Random(0)
    harmless = [*"\"'\\{}%#$`;()[]<>*_|&!~: éab", "研", "🚀", *TEXTS]
    refused = ["\n", "\r", "\t", "\0", "\x7f", "\x85", "\u2028", "\u202e", "\ud800"]
    for number in range(60):
        out = tmp_path / str(number)
        texts = ["".join(generator.choices(harmless, k=generator.randint(1, 12))) + "." for _ in range(3)]
        if wrong := number % 2:
            place = generator.randrange(3)
            texts[place] = texts[place] + generator.choice(refused) + "."
        answers = dict(zip(["project_name", "description", "author_name"], texts, strict=True))
        try:
            project = replay(answers, tmp_path / "answers.json", out)
        except CookiecutterException:
            assert wrong, answers
            assert f"Error: {list(answers)[place]} must be one line" in capfd.readouterr().err
            assert folders(out) == []
        else:
            assert not wrong, answers
            check_arrival(project, plain, *texts)
    assert not list(tmp_path.rglob("canary"))


def test_metadata_that_pip_reads(tmp_path):
    text = TEXTS[0]
    project = replay({"description": text, "author_name": text}, tmp_path / "answers.json", tmp_path / "out")
    code = "import setuptools.build_meta as b, sys; print(b.prepare_metadata_for_build_wheel(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    (metadata,) = tmp_path.glob("*.dist-info/METADATA")
    metadata = metadata.read_text(encoding="utf-8")
    assert f"Summary: {text}\n" in metadata and f"Author: {text}\n" in metadata


# ----------------------------------------------------------------------------------------------------- wrong answers


@pytest.mark.parametrize("slug", SLUGS, ids=ascii)
def test_wrong_slugs_leave_nothing(tmp_path, slug):
    out = tmp_path / "in" / "out"
    out.mkdir(parents=True)
    result = cli(str(ROOT), "--no-input", f"project_slug={slug}", cwd=out)
    assert result.returncode != 0
    assert folders(out) == [] and folders(tmp_path / "in") == ["out"] and folders(tmp_path) == ["in"]
    if slug not in ["", "."]:  # these folders are there already, says cookiecutter
        assert result.stderr.startswith("Error: project_slug must ")


def test_wrong_slug_spares_what_was_there(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine.txt").write_text("mine")
    assert cli(str(ROOT), "--no-input", "project_slug=a/b", cwd=tmp_path).returncode != 0
    assert folders(tmp_path / "a") == ["mine.txt"]


@pytest.mark.parametrize("prompt", CHOICES)
@pytest.mark.parametrize("path", ["absolute", "relative"])
def test_wrong_choices_in_a_replay_file(tmp_path, prompt, path):
    answers = {"cookiecutter": {name: choices[0] for name, choices in CHOICES.items()} | {prompt: "wrong"}}
    answers["cookiecutter"] |= {"project_name": "x", "project_slug": "x", "description": "x", "author_name": "x"}
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    template = str(ROOT) if path == "absolute" else os.path.relpath(ROOT, tmp_path)
    result = cli(template, "--replay-file", "answers.json", "--output-dir", "out", cwd=tmp_path)
    assert result.returncode != 0
    assert result.stderr.startswith(f"Error: {prompt} must be one of {', '.join(CHOICES[prompt])}, not 'wrong'")
    assert folders(tmp_path / "out") == []


def test_wrong_choice_on_the_command_line(tmp_path):
    result = cli(str(ROOT), "--no-input", "task=wrong", cwd=tmp_path)
    assert result.returncode != 0
    assert "wrong provided for choice variable task" in result.stderr
    assert folders(tmp_path) == []


def test_wrong_choice_in_a_users_config_is_seen(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(f"replay_dir: {tmp_path / 'replay'}\ndefault_context: {{logger: wrong}}\n")
    result = cli(
        str(ROOT), "--no-input", "--output-dir", "out", cwd=tmp_path, environment={"COOKIECUTTER_CONFIG": str(config)}
    )
    assert result.returncode == 0, result.stderr
    assert f"logger={CHOICES['logger'][0]}" in result.stdout


@pytest.mark.parametrize("answer", [None, 5, ["x"], {"x": 1}], ids=str)
@pytest.mark.parametrize("prompt", ["project_name", "author_name"])
def test_answers_that_are_no_text(tmp_path, capfd, prompt, answer):
    with pytest.raises(CookiecutterException):
        replay({prompt: answer}, tmp_path / "answers.json", tmp_path / "out")
    assert f"Error: {prompt} must be one line of text" in capfd.readouterr().err
    assert folders(tmp_path / "out") == []


def test_unknown_prompts_are_refused_by_the_helper(tmp_path):
    with pytest.raises(ValueError, match="colour"):
        render({"colour": "red"}, tmp_path)


# -------------------------------------------------------------------------------------------------- ways to render


def test_project_is_complete_without_hooks(tmp_path):
    with_hooks, without = render({}, tmp_path / "with", hooks=True), render({}, tmp_path / "without", hooks=False)
    subprocess.run(["diff", "-r", with_hooks, without], check=True)


def test_zip_and_replay(tmp_path):
    template = copy_template(tmp_path / "source" / "pytorch-base")
    archive = shutil.make_archive(str(tmp_path / "pytorch-base"), "zip", template.parent, template.name)
    expected = render({"logger": "none"}, tmp_path / "expected")

    result = cli(archive, "--no-input", "logger=none", "--output-dir", "first", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    subprocess.run(["diff", "-r", expected, tmp_path / "first" / "my_project"], check=True)

    result = cli(str(template), "--replay-file", "first/my_project/.cookiecutter.json", "-o", "second", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    subprocess.run(["diff", "-r", expected, tmp_path / "second" / "my_project"], check=True)


def test_repository(tmp_path):
    template = copy_template(tmp_path / "pytorch-base")
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in [["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "first"]]:
        subprocess.run([*git, *command], cwd=template, check=True)
    result = cli(f"git+file://{template}", "--no-input", "--output-dir", "out", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert folders(tmp_path / "out") == ["my_project"]


# ---------------------------------------------------------------------------------------------------- the next steps


@pytest.mark.parametrize("hardware", CHOICES["hardware"])
@pytest.mark.parametrize("distributed", CHOICES["distributed"])
def test_next_steps_fit_the_answers(tmp_path, hardware, distributed):
    answers = [f"hardware={hardware}", f"distributed={distributed}"]
    result = cli(str(ROOT), "--no-input", *answers, "--output-dir", "some folder", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert all(answer in lines[0] for answer in answers)
    assert "cd 'some folder/my_project'" in lines
    assert "uv run main.py" in lines and "python main.py" in lines
    (install,) = [line for line in lines if line.startswith("pip install")]
    settings = tomllib.loads((tmp_path / "some folder" / "my_project" / "pyproject.toml").read_text())
    index = settings["tool"]["uv"].get("index")
    if hardware == "auto":
        assert install == "pip install -e ."
    else:
        assert install == f"pip install torch torchvision --index-url {index[0]['url']} && pip install -e ."
    many = distributed != "none" and hardware != "cpu"
    assert any(line.startswith("torchrun") for line in lines) == many


def test_hooks_hold_no_choice():
    for hook in (ROOT / "hooks").iterdir():
        text = hook.read_text()
        for prompt in ["task", "logger"]:
            assert not [choice for choice in CHOICES[prompt] if choice != "none" and choice in text], hook

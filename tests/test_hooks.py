"""Every answer ends in a clear error that leaves nothing behind, or in a project that holds it."""

import ast
import json
import keyword
import os
import random
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from cookiecutter.exceptions import CookiecutterException
from cookiecutter.utils import create_env_with_context
from rendering import CHOICES, CONTEXT, ROOT, copy_template, render, replay
from running import PROGRAMS

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
    "My-Net v2": "my_net_v2",
    "Datasets": "datasets_project",
    "import": "import_project",
    "con": "con_project",
    "COM1": "com1_project",
    "": "project_name must not be empty",
    "   ": "project_name must not be empty",
    "two\nlines": "one line",
    "a\tb": "control characters",
    "a\x1b[31mb": "control characters",
    "a\u202eb": "control characters",
    "a\u2028b": "control characters",
}
SLUGS = {  # a slug that is refused, and the proposals
    "": ["project"],
    "../x": ["x"],
    "a/b": ["a_b"],
    "a/b/c": ["a_b_c"],
    "x/": ["x"],
    "con": ["my_con", "con_project"],
    "lpt1": ["my_lpt1", "lpt1_project"],
    "Upper": ["upper"],
    "1st": ["project_1st"],
    "_x": ["x"],
    "x y": ["x_y"],
    "x.y": ["x_y"],
    "my-net": ["my_net"],
    "é": ["project"],
    "x" * 61: ["x" * 50],
    "x\ny": ["x_y"],
    "-x": ["x"],
    ".": ["project"],
    "Torch": ["torch_project"],
    "datasets": ["my_datasets", "datasets_project"],
    "json": ["my_json", "json_project"],
    "match": ["my_match", "match_project"],
}
# What a package of the same name would hide, or would be hidden by.
WELL_KNOWN = """
    datasets transformers accelerate timm evaluate test tests utils main compare models
    engine src setup conftest pip setuptools numpy pandas scipy pil sklearn cv2 yaml
    tokenizers safetensors diffusers peft lightning keras tensorflow jax onnx optuna pytest
    data runs example_runs build
"""
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


def cli(
    *arguments: str, cwd: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Run cookiecutter as a user does."""
    command = [sys.executable, "-m", "cookiecutter", *arguments]
    environment = os.environ | {"PWD": str(cwd)} | (environment or {})
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def build(hook: str, project: Path, folder: Path) -> None:
    """Call a hook of the project's build backend, as pip does; `folder` takes the result."""
    command = [sys.executable, PROGRAMS / "build_package.py", hook, folder]
    subprocess.run(command, cwd=project, check=True, capture_output=True)


def folders(path: Path) -> list[str]:
    """Return the names of the entries of a folder."""
    return sorted(entry.name for entry in path.iterdir())


def shape(path: Path, texts: list[str]) -> str:
    """Return the structure of a Python file, with the given texts removed from all strings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for text in texts:
                node.value = node.value.replace(text, "")
    return ast.dump(tree)


def check_arrival(project: Path, plain: Path, name: str, description: str, author: str) -> None:
    """Check that three texts arrived unchanged, and that nothing else differs from `plain`."""
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    expected = tomllib.loads((plain / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["description"] == description
    assert settings["project"]["authors"] == [{"name": author}]
    for key in ["description", "authors"]:
        settings["project"][key] = expected["project"][key]
    assert settings == expected

    answers = json.loads((project / ".cookiecutter.json").read_text(encoding="utf-8"))
    answers = answers["cookiecutter"]
    assert answers["project_name"] == name and answers["description"] == description
    assert answers["author_name"] == author
    assert author in (project / "LICENSE").read_text(encoding="utf-8")
    assert name in (project / "README.md").read_text(encoding="utf-8")
    strings = []
    for node in ast.walk(ast.parse((project / "main.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.append(node.value)
    assert any(name in string for string in strings), "main.py does not hold the name"
    files = sorted(path.relative_to(project) for path in project.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(plain) for path in plain.rglob("*") if path.is_file())
    for path in files:
        if path.suffix == ".py":
            texts = [name, "plain"]
            assert shape(project / path, texts) == shape(plain / path, texts), path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose free texts are harmless."""
    texts = dict.fromkeys(["project_name", "description", "author_name"], "plain")
    return render({"project_slug": "my_project", **texts}, tmp_path_factory.mktemp("plain"))


# --- free text ------------------------------------------------------------------------------------


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
        texts = []
        for _ in range(3):
            texts.append("".join(generator.choices(harmless, k=generator.randint(1, 12))) + ".")
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


def test_the_old_name_of_a_task_is_told(tmp_path, capfd):
    with pytest.raises(CookiecutterException):
        replay({"task": "tabular_regression"}, tmp_path / "answers.json", tmp_path / "out")
    line = "Error: the task 'tabular_regression' is called 'tabular' now."
    assert line in capfd.readouterr().err.splitlines()
    assert folders(tmp_path / "out") == []


def test_metadata_that_pip_reads(tmp_path):
    text = TEXTS[0]
    answers = {"description": text, "author_name": text}
    project = replay(answers, tmp_path / "answers.json", tmp_path / "out")
    build("prepare_metadata_for_build_wheel", project, tmp_path)
    (metadata,) = tmp_path.glob("*.dist-info/METADATA")
    metadata = metadata.read_text(encoding="utf-8")
    assert f"Summary: {text}\n" in metadata and f"Author: {text}\n" in metadata


# --- the slug -------------------------------------------------------------------------------------


def pre_hook(slug: str) -> dict:
    """Return the names that the hook before rendering defines, for an answer that it allows."""
    answers = {name: CHOICES[name][0] if name in CHOICES else "x" for name in CONTEXT}
    answers |= {name: value for name, value in CONTEXT.items() if name.startswith("_")}
    answers |= {"project_slug": slug, "_output_dir": "/", "_repo_dir": str(ROOT)}
    context = {"cookiecutter": answers}
    text = (ROOT / "hooks" / "pre_gen_project.py").read_text(encoding="utf-8")
    names: dict = {}
    exec(create_env_with_context(context).from_string(text).render(context), names)
    return names


def default_slug(project_name: str) -> str:
    """Return the slug that is proposed for a name."""
    environment = create_env_with_context({"cookiecutter": CONTEXT})
    known = {"_reserved": CONTEXT["_reserved"], "project_name": project_name}
    return environment.from_string(CONTEXT["project_slug"]).render(cookiecutter=known)


@pytest.mark.parametrize("slug", SLUGS, ids=ascii)
def test_wrong_slugs_leave_nothing(tmp_path, slug):
    out = tmp_path / "in" / "out"
    out.mkdir(parents=True)
    result = cli(str(ROOT), "--no-input", f"project_slug={slug}", cwd=out)
    assert result.returncode != 0
    assert folders(out) == [] and folders(tmp_path / "in") == ["out"]
    assert folders(tmp_path) == ["in"]
    if slug not in ["", "."]:  # these folders are there already, says cookiecutter
        first = result.stderr.splitlines()[0]
        assert first.startswith("Error: project_slug must ")
        assert first.endswith(f"; try {' or '.join(SLUGS[slug])}.")


def test_proposed_slugs_are_allowed():
    hook = pre_hook("fine")
    for slug, proposals in SLUGS.items():
        found = re.findall(r"(?:try|or) ([a-z0-9_]+)", hook["find_slug_problem"](slug))
        assert found == proposals
        for proposal in proposals:
            assert hook["find_slug_problem"](proposal) is None


@pytest.mark.parametrize("slug", ["x", "my_net", "net_v2", "x" * 60, "mnist", "gpt", "data_a"])
def test_plain_slugs_are_allowed(slug):
    assert pre_hook(slug)["find_slug_problem"](slug) is None


def test_slugs_that_would_hide_a_module():
    """Neither the slug nor the default that follows from the project's name hides a module."""
    names = {*sys.stdlib_module_names, *keyword.kwlist, *keyword.softkwlist, *WELL_KNOWN.split()}
    hook = pre_hook("fine")
    for name in sorted(names):
        assert hook["find_slug_problem"](name), f"{name} is not refused"
        assert hook["find_slug_problem"](default_slug(name)) is None
    for name in NAMES:
        assert hook["find_slug_problem"](default_slug(name)) is None


def test_slugs_of_requirements_are_refused():
    """No project can hide what any project requires; `_reserved` in cookiecutter.json lists it."""
    hook = pre_hook("fine")
    files = list((ROOT / "templates").rglob("requirements.txt"))
    text = "\n".join(path.read_text() for path in files)
    required = {name.lower() for name in re.findall(r"^[\w-]+", text, re.MULTILINE)}
    assert {"torch", "torchvision"} <= required
    for name in required:
        assert hook["find_slug_problem"](name.replace("-", "_")), f"{name} is not reserved"
    for module, distributions in packages_distributions().items():
        if required & {name.lower() for name in distributions} and module.isidentifier():
            assert hook["find_slug_problem"](module.lower()), f"{module} is not reserved"


def test_the_prompt_tells_the_rule():
    text = CONTEXT["__prompts__"]["project_slug"]
    assert "a-z, 0-9, _" in text and "no other package's name" in text
    assert len(f"  [2/9] {text} (my_project): ") <= 80


def test_wrong_slug_spares_what_was_there(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine.txt").write_text("mine")
    assert cli(str(ROOT), "--no-input", "project_slug=a/b", cwd=tmp_path).returncode != 0
    assert folders(tmp_path / "a") == ["mine.txt"]


# --- wrong answers --------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", CHOICES)
@pytest.mark.parametrize("path", ["absolute", "relative"])
def test_wrong_choices_in_a_replay_file(tmp_path, prompt, path):
    answers = {name: choices[0] for name, choices in CHOICES.items()} | {prompt: "wrong"}
    for name in ["project_name", "project_slug", "description", "author_name"]:
        answers[name] = "x"
    (tmp_path / "answers.json").write_text(json.dumps({"cookiecutter": answers}))
    template = str(ROOT) if path == "absolute" else os.path.relpath(ROOT, tmp_path)
    arguments = ["--replay-file", "answers.json", "--output-dir", "out"]
    result = cli(template, *arguments, cwd=tmp_path)
    assert result.returncode != 0
    choices = ", ".join(CHOICES[prompt])
    assert result.stderr.startswith(f"Error: {prompt} must be one of {choices}, not 'wrong'")
    assert folders(tmp_path / "out") == []


def test_wrong_choice_on_the_command_line(tmp_path):
    result = cli(str(ROOT), "--no-input", "task=wrong", cwd=tmp_path)
    assert result.returncode != 0
    assert "wrong provided for choice variable task" in result.stderr
    assert folders(tmp_path) == []


def test_wrong_choice_in_a_users_config_is_seen(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(f"replay_dir: {tmp_path / 'replay'}\ndefault_context: {{logger: wrong}}\n")
    arguments = [str(ROOT), "--no-input", "--output-dir", "out"]
    result = cli(*arguments, cwd=tmp_path, environment={"COOKIECUTTER_CONFIG": str(config)})
    assert result.returncode == 0, result.stderr
    assert f"logger={CHOICES['logger'][0]}" in result.stdout


@pytest.mark.parametrize("answer", [None, 5, ["x"], {"x": 1}], ids=str)
@pytest.mark.parametrize("prompt", ["project_name", "author_name"])
def test_answers_that_are_no_text(tmp_path, capfd, prompt, answer):
    with pytest.raises(CookiecutterException):
        replay({prompt: answer}, tmp_path / "answers.json", tmp_path / "out")
    assert f"Error: {prompt} must be one line of text" in capfd.readouterr().err
    assert folders(tmp_path / "out") == []


def test_replayed_answers_of_another_version(tmp_path, capfd):
    """Cookiecutter's own replay file holds the settings of the template that it was written by."""
    with pytest.raises(CookiecutterException):
        replay({"_version": "0.0.1"}, tmp_path / "answers.json", tmp_path / "out")
    assert "are those of version 0.0.1 of the template" in capfd.readouterr().err
    assert folders(tmp_path / "out") == []


def test_unknown_prompts_are_refused_by_the_helper(tmp_path):
    with pytest.raises(ValueError, match="colour"):
        render({"colour": "red"}, tmp_path)


# --- ways to render -------------------------------------------------------------------------------


def test_project_is_complete_without_hooks(tmp_path):
    with_hooks = render({}, tmp_path / "with", hooks=True)
    subprocess.run(["diff", "-r", with_hooks, render({}, tmp_path / "without")], check=True)


def test_zip_and_replay(tmp_path):
    template = copy_template(tmp_path / "source" / "pytorch-base")
    archive = tmp_path / "pytorch-base"
    archive = shutil.make_archive(str(archive), "zip", template.parent, template.name)
    expected = render({"logger": "none"}, tmp_path / "expected")

    arguments = [archive, "--no-input", "logger=none", "--output-dir", "first"]
    result = cli(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    subprocess.run(["diff", "-r", expected, tmp_path / "first" / "my_project"], check=True)

    answers = "first/my_project/.cookiecutter.json"
    result = cli(str(template), "--replay-file", answers, "-o", "second", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    subprocess.run(["diff", "-r", expected, tmp_path / "second" / "my_project"], check=True)

    result = cli(str(template), "--replay", "-o", "third", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    subprocess.run(["diff", "-r", expected, tmp_path / "third" / "my_project"], check=True)


def test_repository(tmp_path):
    template = copy_template(tmp_path / "pytorch-base")
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in [["init", "-q"], ["add", "--all"], ["commit", "-q", "--message", "first"]]:
        subprocess.run([*git, *command], cwd=template, check=True)
    arguments = [f"git+file://{template}", "--no-input", "--output-dir", "out"]
    result = cli(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert folders(tmp_path / "out") == ["my_project"]


def test_callers_of_the_engine(tmp_path):
    """Cruft and editors' plugins tell the hooks neither the output folder nor the template's."""
    from cookiecutter.generate import generate_context, generate_files
    from cookiecutter.prompt import prompt_for_config

    template = copy_template(tmp_path)
    context = generate_context(template / "cookiecutter.json")
    context["cookiecutter"] = prompt_for_config(context, no_input=True)
    assert not {"_output_dir", "_repo_dir"} & context["cookiecutter"].keys()
    generate_files(template, context, tmp_path / "out")
    assert (tmp_path / "out" / "my_project" / "main.py").exists()


def test_the_version_is_kept(tmp_path):
    """The project keeps the template's version, which is the one of the template's own package."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    kept = json.loads((render({}, tmp_path) / ".cookiecutter.json").read_text())
    assert kept["template"]["version"] == CONTEXT["_version"] == settings["project"]["version"]
    assert f"## {CONTEXT['_version']}\n" in (ROOT / "CHANGELOG.md").read_text()


# --- the installed package ------------------------------------------------------------------------


def test_the_package_alone_is_installed(tmp_path):
    """`pip install .` takes the package with its subpackages, and neither scripts nor tests."""
    project = render({}, tmp_path)
    build("build_wheel", project, tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "wheel", "zip")
    installed = set()
    for path in (tmp_path / "wheel").rglob("*.py"):
        installed.add(path.relative_to(tmp_path / "wheel").as_posix())
    expected = {path.relative_to(project).as_posix() for path in project.glob("my_project/**/*.py")}
    assert installed == expected and "my_project/engine/__init__.py" in installed


def test_an_editable_project_is_imported_from_anywhere(tmp_path):
    """`pip install -e .` makes the package importable, and no `main`, `compare` or `tests`."""
    project = render({}, tmp_path)
    build("build_editable", project, tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    shutil.unpack_archive(wheel, site, "zip")
    others = ["main", "compare", "example_runs"]
    command = [sys.executable, "-I", PROGRAMS / "import_from_anywhere.py", site, *others]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    expected = [str(project / "my_project" / "__init__.py")]
    assert result.stdout.splitlines() == expected + [f"{name} is not found" for name in others]


# --- the next steps -------------------------------------------------------------------------------


@pytest.mark.parametrize("hardware", CHOICES["hardware"])
@pytest.mark.parametrize("distributed", CHOICES["distributed"])
def test_next_steps_fit_the_answers(tmp_path, hardware, distributed):
    answers = [f"hardware={hardware}", f"distributed={distributed}"]
    arguments = [str(ROOT), "--no-input", *answers, "--output-dir", "some folder"]
    result = cli(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert all(answer in lines[0] for answer in answers)
    for command in [
        "cd 'some folder/my_project'",
        'git init && git add -A && git commit -m "As rendered"',
        "uv run main.py",
        "python3 -m venv .venv && source .venv/bin/activate",
        "python main.py",
    ]:
        assert command in lines
    (install,) = [line for line in lines if line.startswith("pip install")]
    settings = tomllib.loads((tmp_path / "some folder/my_project/pyproject.toml").read_text())
    if hardware == "auto":
        assert install == "pip install -e ."
    else:
        url = settings["tool"]["uv"]["index"][0]["url"]
        assert install == f"pip install torch torchvision --index-url {url} && pip install -e ."
    many = distributed != "none" and hardware != "cpu"
    assert any(line.startswith("torchrun") for line in lines) == many


def test_next_steps_can_be_done(tmp_path):
    """The commands up to the first commit run as they are printed, and commit every file."""
    result = cli(str(ROOT), "--no-input", "--output-dir", "some folder", cwd=tmp_path)
    lines = [line.strip() for line in result.stdout.splitlines()]
    (cd,) = [line for line in lines if line.startswith("cd ")]
    (git,) = [line for line in lines if line.startswith("git ")]
    names = {
        f"GIT_{role}_{key}": "a@b" for role in ["AUTHOR", "COMMITTER"] for key in ["NAME", "EMAIL"]
    }
    script = f"{cd} && {git} && git ls-files"
    found = subprocess.run(
        ["bash", "-ec", script],
        cwd=tmp_path,
        env=os.environ | names,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    project = tmp_path / "some folder" / "my_project"
    for path in project.rglob("*"):
        if path.is_file() and ".git" not in path.relative_to(project).parts:
            assert path.relative_to(project).as_posix() in found.stdout.splitlines()


def test_an_update_prints_no_next_steps(tmp_path):
    (tmp_path / "my_project").mkdir()
    (tmp_path / "my_project" / ".git").write_text("gitdir: elsewhere")
    result = cli(str(ROOT), "--no-input", "--overwrite-if-exists", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"Rendered my_project with version {CONTEXT['_version']} of")
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize("stdout", [">&-", "> /dev/full", "| true"], ids=["closed", "full", "gone"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_project_survives_without_a_stdout(tmp_path, stdout):
    script = f"'{sys.executable}' -m cookiecutter '{ROOT}' --no-input {stdout}"
    command = ["bash", "-ec", "set -o pipefail; " + script]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "my_project" / "main.py").exists()
    assert "Traceback" not in result.stderr


def test_hooks_hold_no_choice():
    for hook in (ROOT / "hooks").iterdir():
        text = hook.read_text()
        for prompt in ["task", "logger"]:
            named = [choice for choice in CHOICES[prompt] if choice != "none" and choice in text]
            assert not named, hook

"""Read every project that the template can render, and the raw files that it renders them from."""

import ast
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import yaml
from rendering import CHOICES, RAW_PROJECT, ROOT, Project, all_answers, render

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = pytest.mark.xdist_group("product")  # one process renders the product, once

PYTHON_CHOICES = ["task", "distributed", "logger"]  # what a Python file may depend on
TAG = re.compile(r"^\s*# \{%[-+]?\s*(\w+)", re.MULTILINE)
STATEMENTS = (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Raise, ast.Assert)


def run(*command: str | Path, cwd: Path | None = None) -> None:
    """Run a tool, and fail with what it printed where it fails."""
    result = subprocess.run([sys.executable, "-m", *map(str, command)], cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def distinct(product: list[Project], suffix: str) -> dict[tuple[str, str], Project]:
    """Return each different file with that suffix, as path and text, and one project that holds it."""
    return {
        (path, text): project for project in product for path, text in project.files.items() if path.endswith(suffix)
    }


def covering(product: list[Project]) -> list[Project]:
    """Return few projects that together hold every different Python file."""
    files = {tuple(project.answers.values()): set(project.python().items()) for project in product}
    missing = set().union(*files.values())
    chosen = []
    while missing:
        best = max(product, key=lambda project: len(files[tuple(project.answers.values())] & missing))
        chosen.append(best)
        missing -= files[tuple(best.answers.values())]
    return chosen


def changed_by(product: list[Project], prompt: str) -> set[str]:
    """Return the paths of the files that are not the same whatever is answered to that prompt."""
    groups: dict[tuple, list[Project]] = defaultdict(list)
    for project in product:
        groups[tuple(answer for name, answer in project.answers.items() if name != prompt)].append(project)
    return {
        path
        for first, *others in groups.values()
        for other in others
        for path in first.files.keys() | other.files.keys()
        if first.files.get(path) != other.files.get(path)
    }


def depth(node: ast.AST) -> int:
    """Return how many blocks stand within each other below `node`."""
    blocks = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)
    return max((isinstance(child, blocks) + depth(child) for child in ast.iter_child_nodes(node)), default=0)


def lines_of_code(text: str) -> int:
    """Return how many lines hold code: blank lines, comments and docstrings do not count."""
    lines = {number for number, line in enumerate(text.splitlines(), 1) if line.strip() and line.strip()[0] != "#"}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def raw_files(suffix: str) -> list[Path]:
    """Return the files that projects are rendered from."""
    folders = [RAW_PROJECT, ROOT / "templates", ROOT / "hooks"]
    return sorted(path for folder in folders for path in folder.rglob(f"*{suffix}"))


# ------------------------------------------------------------------------------------------------------- the product


def test_product_is_whole(product):
    assert len(product) == len(all_answers()) == len({tuple(project.answers.values()) for project in product})
    for project in product:
        assert {"main.py", "utils.py", "models.py", "datasets.py", "README.md", ".gitignore"} <= project.files.keys()
        assert ("LICENSE" in project.files) == (project.answers["license"] != "none")


def test_python_compiles(product):
    for path, text in distinct(product, ".py"):
        compile(text, path, "exec")


def test_ruff(product):
    folder = product[0].folder.parent.parent
    run("ruff", "check", "--no-cache", folder)
    run("ruff", "format", "--check", "--no-cache", folder)


def test_types(product, tmp_path_factory):
    cache = tmp_path_factory.mktemp("mypy")
    for project in covering(product):
        run("mypy", "--cache-dir", cache, cwd=project.folder)


def test_nothing_is_unused(product):
    for project in covering(product):
        # what only the project's tests would use is unused, too; PyTorch calls forward, torchmetrics full_state_update,
        # and doctor is imported for what it does
        sources = project.python(tests=False)
        command = [sys.executable, "-m", "vulture", *sources, "--ignore-names", "doctor,forward,full_state_update"]
        found = subprocess.run(command, cwd=project.folder, capture_output=True, text=True).stdout.splitlines()
        for finding in found:
            path, line, what = finding.split(":", 2)
            source, name = sources[path].splitlines()[int(line) - 1], what.split("'")[1]
            foreign = "unused attribute" in what and f"self.{name}" not in source  # a setting of a library's object
            assert foreign, finding


def test_every_option_is_read(product):
    for project in covering(product):
        trees = [ast.parse(text) for text in project.python(tests=False).values()]
        nodes = [node for tree in trees for node in ast.walk(tree)]
        own_actions = {  # these do their work while the command line is parsed, and leave nothing to read
            node.name
            for node in nodes
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Action") for base in node.bases)
        }
        options = {
            argument.value.removeprefix("--").replace("-", "_")
            for node in nodes
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument"
            if not own_actions & {ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "action"}
            for argument in node.args
            if isinstance(argument, ast.Constant) and argument.value.startswith("--")
        }
        read = {
            node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("args")
        }
        assert options, "no options found"
        assert options <= read, f"{sorted(options - read)} are never read"


def test_every_import_is_required(product):
    packages = {"sklearn": "scikit-learn", "PIL": "pillow", "yaml": "pyyaml", "comet_ml": "comet-ml"}
    for project in covering(product):
        required = tomllib.loads(project.files["pyproject.toml"])
        names = [*required["project"]["dependencies"], *required["dependency-groups"]["dev"]]
        names = {re.match(r"[\w-]+", name).group() for name in names}
        own = {Path(path).stem for path in project.python()}
        for path, text in project.python().items():
            for node in ast.walk(ast.parse(text)):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                modules += [node.module] if isinstance(node, ast.ImportFrom) else []
                for module in {module.split(".")[0] for module in modules} - own - sys.stdlib_module_names:
                    assert packages.get(module, module) in names, f"{path} imports {module}"


def test_data_files_parse(product):
    for (path, text), parse in [
        *((file, tomllib.loads) for file in distinct(product, ".toml")),
        *((file, yaml.safe_load) for file in distinct(product, ".yml")),
        *((file, json.loads) for file in distinct(product, ".json")),
    ]:
        assert parse(text), path


def test_answers_are_kept(product):
    for project in product:
        kept = json.loads(project.files[".cookiecutter.json"])["cookiecutter"]
        assert project.answers.items() <= kept.items()
        assert not [name for name in kept if name.startswith("_")]
        assert str(ROOT) not in project.files[".cookiecutter.json"]


def test_shell_parses(product):
    scripts = distinct(product, ".sh") | distinct(product, ".sbatch")
    assert scripts
    for (path, _), project in scripts.items():
        subprocess.run(["bash", "-n", path], cwd=project.folder, check=True)
        assert (project.folder / path).stat().st_mode & 0o100, f"{path} is not executable"


def test_no_tag_is_left(product):
    for path, text in distinct(product, ""):
        assert not re.search(r"\{\{|\}\}|\{%|\{#|cookiecutter\.(?!json)", text), path
        assert text.endswith("\n") and not text.endswith("\n\n"), f"{path} does not end with one line break"


# --------------------------------------------------------------------------------------------------------- the design


def test_main_is_the_same_everywhere(product, tmp_path):
    (main,) = {project.files["main.py"] for project in product}
    other = render({"project_name": "Another Name"}, tmp_path) / "main.py"
    assert "My Project" in main
    assert other.read_text() == main.replace("My Project", "Another Name")


def test_main_is_short_and_flat(product):
    main = product[0].files["main.py"]
    assert len(main.splitlines()) <= 100
    functions = [node for node in ast.walk(ast.parse(main)) if isinstance(node, ast.FunctionDef)]
    assert functions
    for function in functions:
        assert depth(function) <= 2, f"{function.name} is too deep"


def test_projects_are_small(product):
    for project in product:
        files = project.python(tests=False)
        lengths = {path: len(text.splitlines()) for path, text in files.items()}
        assert max(lengths.values()) <= 300, lengths
        if project is product[0]:  # the default project
            for program in ("compare.py", "doctor.py"):  # which no run needs
                files.pop(program)
            assert sum(map(lines_of_code, files.values())) <= 1400


@pytest.mark.parametrize("prompt", CHOICES)
def test_files_depend_on_their_prompts_alone(product, prompt):
    changed = changed_by(product, prompt)
    if prompt != "task":
        assert not {"models.py", "datasets.py"} & changed
    if prompt != "distributed":
        assert "runtime.py" not in changed
    if prompt not in PYTHON_CHOICES:
        assert not [path for path in changed if path.endswith(".py")]
    assert changed or len(CHOICES[prompt]) == 1, "the answer changes nothing"


# ------------------------------------------------------------------------------------------------ names and hardware


@pytest.mark.parametrize("hardware", CHOICES["hardware"])
def test_torch_comes_from_one_index(product, hardware):
    for project in product:
        if project.answers["hardware"] != hardware:
            continue
        settings = tomllib.loads(project.files["pyproject.toml"])
        names = {re.match(r"[\w-]+", name).group() for name in settings["project"]["dependencies"]}
        packages = "torch torchvision" if "torchvision" in names else "torch"
        commands = [line for line in project.files["README.md"].splitlines() if line.startswith("pip install")]
        sources = settings["tool"]["uv"].get("sources", {})
        if hardware == "auto":
            assert "index" not in settings["tool"]["uv"] and not sources
            assert commands == ["pip install -e . && python main.py"]
        else:
            (index,) = settings["tool"]["uv"]["index"]
            assert index["explicit"] and index["url"].startswith("https://download.pytorch.org/whl/")
            assert {source["index"] for source in sources.values()} == {index["name"]}
            assert sources.keys() == names & {"torch", "torchvision", "triton-rocm"}
            assert len({source["marker"] for source in sources.values()}) == 1  # on a platform, all or none
            install = f"pip install {packages} --index-url {index['url']}"
            assert commands == [install, "pip install -e . && python main.py"]
        assert ("triton-rocm" in names) == (hardware == "rocm")


@pytest.mark.parametrize(
    ("slug", "name"),
    [("my_project", "my-project"), ("a_", "a"), ("torch", "torch-project"), ("scikit_learn", "scikit-learn-project")],
)
def test_project_has_a_name_that_can_be_installed(tmp_path, slug, name):
    folder = render({"project_slug": slug}, tmp_path)
    assert tomllib.loads((folder / "pyproject.toml").read_text())["project"]["name"] == name


def test_license_texts_are_complete(tmp_path):
    for name, words in {
        "MIT": ["Permission is hereby granted", "OR OTHER DEALINGS IN THE"],
        "BSD-3-Clause": ["Neither the name", "POSSIBILITY OF SUCH DAMAGE"],
        "Apache-2.0": ["TERMS AND CONDITIONS", "9. Accepting Warranty", "limitations under the License."],
    }.items():
        folder = render({"license": name, "author_name": "Ada L.", "project_slug": name.lower()[:3]}, tmp_path)
        text = (folder / "LICENSE").read_text()
        assert all(word in text for word in words)
        assert ("Ada L." in text) == (name != "Apache-2.0")


# ------------------------------------------------------------------------------------------------------ the raw files


def test_raw_python_compiles():
    files = raw_files(".py")
    assert len(files) > 5
    for path in files:
        compile(path.read_text(encoding="utf-8"), str(path), "exec")


def test_raw_files_pass_ruff():
    settings = ROOT / "pyproject.toml"
    run("ruff", "check", "--no-cache", "--config", settings, ROOT)
    run("ruff", "format", "--check", "--no-cache", "--config", settings, ROOT)


def test_raw_shell_parses():
    files = raw_files(".sh")
    assert files
    for path in files:
        subprocess.run(["bash", "-n", path], check=True)


def test_raw_toml_parses():
    assert tomllib.loads((RAW_PROJECT / "pyproject.toml").read_text(encoding="utf-8"))


def test_tags_stand_between_statements():
    tags_seen = 0
    for path in raw_files(".py"):
        text = path.read_text(encoding="utf-8")
        tags = {number: match[1] for number, line in enumerate(text.splitlines(), 1) if (match := TAG.match(line))}
        tags_seen += len(tags)
        tree = ast.parse(text)
        imports = [node.lineno for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        for number, tag in tags.items():
            if imports and min(imports) < number < max(imports):
                assert tag == "include", f"{path}:{number}: a conditional among the imports"
        for node in ast.walk(tree):
            if isinstance(node, STATEMENTS):
                inside = [number for number in tags if node.lineno < number <= node.end_lineno]
                assert not inside, f"{path}:{inside}: a tag inside a statement"
    assert tags_seen


def test_main_holds_no_tag():
    assert not TAG.search((RAW_PROJECT / "main.py").read_text())
    for name in ["models.py", "datasets.py"]:
        assert len((RAW_PROJECT / name).read_text().splitlines()) == 1, f"{name} is more than one include"


def test_file_names_suit_windows():
    for path in [*RAW_PROJECT.rglob("*"), *(ROOT / "templates").rglob("*")]:
        assert not set(path.name) & set('<>:"/\\|?*'), path


def test_every_choice_has_its_fragments():
    for prompt, folder in {"task": "tasks", "distributed": "distributed", "logger": "loggers"}.items():
        assert {path.name for path in (ROOT / "templates" / folder).iterdir() if path.is_dir()} == set(CHOICES[prompt])
    names = {path.stem for path in (ROOT / "templates" / "licenses").iterdir()}
    assert names | {"none"} == set(CHOICES["license"])

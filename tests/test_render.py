"""All projects that the template can render are read, and the raw files they are rendered from."""

import ast
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from checking import check_style, check_types, use_tool
from rendering import CHOICES, RAW_PROJECT, ROOT, Project, all_answers, render

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = pytest.mark.xdist_group("product")  # one process renders the product, once

PYTHON_CHOICES = ["task", "distributed", "logger"]  # a Python file may depend on these
TAG = re.compile(r"^\s*# \{%[-+]?\s*(\w+)", re.MULTILINE)
SLUG = "{{ cookiecutter.project_slug }}"
STATEMENTS = (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Raise, ast.Assert)
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)
# Names that PyTorch, torchmetrics, a thread, FSDP or a notebook use.
CALLED_BY_OTHERS = ["forward", "full_state_update", "load_model", "encode_rows", "read_table"]
CALLED_BY_OTHERS += ["log_scalars", "log_figure", "log_summary", "BLOCKS"]
PACKAGES = {"sklearn": "scikit-learn", "PIL": "pillow", "yaml": "pyyaml"}
# Words about several processes, and where a project without a backend may have them.
SEVERAL = re.compile(r"rank|world_size|process(es)?\b", re.IGNORECASE)
ALLOWED = {
    "utils.py": "number of DataLoader worker processes",  # the help of --workers
    "run_dir.py": "is in use by another process",  # the lock's message
    "distributed.py": "WORLD_SIZE|trains in one process|has started several|the refusal of launch",
    "gpus.py": "subprocess",  # which starts nvidia-smi
    "provenance.py": "subprocess",  # a module of Python
    "predict.py": "number of processes that read and decode files",  # the help of --workers
    "trial_run.py": "process",  # each trial of a sweep is a program of its own
    "docstrings.py": "multiprocessing .* subprocess",  # names of modules of Python
}


def distinct(product: list[Project], suffix: str) -> dict[tuple[str, str], Project]:
    """Return each different file with that suffix, as path and text, and one project with it."""
    files = {}
    for project in product:
        for path, text in project.files.items():
            if path.endswith(suffix):
                files[path, text] = project
    return files


def get_key(project: Project) -> tuple[str, ...]:
    """Return the answers of a project in a form that can be a key."""
    return tuple(project.answers.values())


@pytest.fixture(scope="module")
def covering(product: list[Project]) -> list[Project]:
    """Few projects that together hold every different Python file."""
    files = {get_key(project): set(project.python().items()) for project in product}
    missing: set[tuple[str, str]] = set().union(*files.values())
    chosen = []
    while missing:
        best = max(product, key=lambda project: len(files[get_key(project)] & missing))
        chosen.append(best)
        missing -= files[get_key(best)]
    return chosen


def changed_by(product: list[Project], prompt: str) -> set[str]:
    """Return the paths of the files that depend on the answer to that prompt."""
    groups: dict[tuple[str, ...], list[Project]] = defaultdict(list)
    for project in product:
        others = [answer for name, answer in project.answers.items() if name != prompt]
        groups[tuple(others)].append(project)
    changed = set()
    for first, *others in groups.values():
        for other in others:
            for path in first.files.keys() | other.files.keys():
                if first.files.get(path) != other.files.get(path):
                    changed.add(path)
    return changed


def get_depth(node: ast.AST) -> int:
    """Return how many blocks stand within each other below `node`."""
    depths = [0]
    for child in ast.iter_child_nodes(node):
        depths.append(isinstance(child, BLOCKS) + get_depth(child))
    return max(depths)


def find_nodes(project: Project) -> list[ast.AST]:
    """Return the syntax trees' nodes of all Python files but the tests."""
    nodes = []
    for text in project.python(tests=False).values():
        nodes += ast.walk(ast.parse(text))
    return nodes


# ----------------------------------------------------------------------------------- the product


def test_product_is_whole(product):
    assert len(product) == len(all_answers()) == len({get_key(project) for project in product})
    package = [f"my_project/{name}.py" for name in ("__init__", "utils", "models", "datasets")]
    package += ["my_project/plots.py", "my_project/engine/loader.py"]
    for project in product:
        others = ["main.py", "README.md", "pyproject.toml", ".gitignore", "tests/test_task.py"]
        assert {*package, *others} <= project.files.keys()
        assert ("LICENSE" in project.files) == (project.answers["license"] != "none")


def test_python_compiles(product):
    for path, text in distinct(product, ".py"):
        compile(text, path, "exec")


def test_style(covering):
    check_style(*(project.folder for project in covering))


def test_types(covering, tmp_path, mypy_cache):
    check_types([project.folder for project in covering], tmp_path, mypy_cache)


def test_nothing_is_unused(covering):
    """What only the project's tests use is unused, too."""
    for project in covering:
        sources = project.python(tests=False)
        names = ",".join(CALLED_BY_OTHERS)
        command = [sys.executable, "-m", "vulture", *sources, "--ignore-names", names]
        result = subprocess.run(command, cwd=project.folder, capture_output=True, text=True)
        for finding in result.stdout.splitlines():
            path, line, what = finding.split(":", 2)
            source, name = sources[path].splitlines()[int(line) - 1], what.split("'")[1]
            foreign = "unused attribute" in what and f"self.{name}" not in source
            assert foreign, finding  # else a setting of a library's object


def find_names(tree: ast.Module) -> set[str]:
    """Return the names of the functions, classes and values that a module defines."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_names_have_one_meaning(covering):
    """No two modules of a package define the same name."""
    for project in covering:
        modules: dict[str, str] = {}
        for path, text in project.python(tests=False).items():
            if path.startswith(project.package.name + "/"):
                for name in find_names(ast.parse(text)):
                    assert modules.setdefault(name, path) == path, name


def find_actions(nodes: list[ast.AST]) -> set[str]:
    """Return the names of the classes that are actions of argparse."""
    names = set()
    for node in nodes:
        bases = node.bases if isinstance(node, ast.ClassDef) else []
        if any(ast.unparse(base).endswith("Action") for base in bases):
            names.add(node.name)
    return names


def find_options(nodes: list[ast.AST]) -> set[str]:
    """Return the names of the options that leave a value behind."""
    actions = find_actions(nodes)  # these do their work while the command line is parsed
    options = set()
    for node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("add", "add_argument")):
            for keyword in node.keywords:
                if keyword.arg == "action" and ast.unparse(keyword.value) in actions:
                    break
            else:
                flags = [word.value for word in node.args if isinstance(word, ast.Constant)]
                for flag in flags:
                    if isinstance(flag, str) and flag.startswith("--"):
                        options.add(flag.removeprefix("--").replace("-", "_"))
    return options


def test_every_option_is_read(covering):
    for project in covering:
        nodes = find_nodes(project)
        read = set()
        for node in nodes:
            if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("args"):
                read.add(node.attr)
        options = find_options(nodes)
        assert len(options) > 25
        assert options <= read, f"{sorted(options - read)} are never read"


def find_imports(text: str) -> Iterator[str]:
    """Yield the packages that a file imports when it runs, but for its own."""
    nodes: list[ast.AST] = [ast.parse(text)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module).split(".")[0]


def test_every_import_is_required(covering):
    for project in covering:
        settings = tomllib.loads(project.files["pyproject.toml"])
        required = [*settings["project"]["dependencies"], *settings["dependency-groups"]["dev"]]
        for extra in settings["project"].get("optional-dependencies", {}).values():
            required += extra
        known = {re.match(r"[\w-]+", name).group().replace("-", "_") for name in required}
        known |= {"my_project"} | sys.stdlib_module_names
        known |= {Path(path).stem for path in project.python() if not path.startswith("my_project")}
        for path, text in project.python().items():
            for module in find_imports(text):
                package = PACKAGES.get(module, module).replace("-", "_")
                assert package in known, f"{path} imports {module}"


def test_data_files_parse(product):
    parsers: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads,
        ".yml": yaml.safe_load,
        ".yaml": yaml.safe_load,
        ".json": json.loads,
    }
    for suffix, parse in parsers.items():
        files = distinct(product, suffix)
        assert files
        for path, text in files:
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
        assert not re.search(r"\{\{ | \}\}|\{%|\{#|cookiecutter\.(?!json)", text), path
        ends = text.endswith("\n") and not text.endswith("\n\n")
        assert ends, f"{path} does not end with one line break"


# ------------------------------------------------------------------------------------ the design


def test_main_is_the_same_everywhere(product, tmp_path):
    (main,) = {project.files["main.py"] for project in product}
    answers = {"project_name": "Another Name", "project_slug": "another"}
    other = render(answers, tmp_path) / "main.py"
    assert "My Project" in main
    expected = main.replace("My Project", "Another Name").replace("my_project", "another")
    assert sorted(other.read_text().split()) == sorted(expected.split())


def test_main_is_short_and_flat(product):
    main = product[0].files["main.py"]
    assert len(main.splitlines()) <= 100
    functions = [node for node in ast.walk(ast.parse(main)) if isinstance(node, ast.FunctionDef)]
    assert functions
    for function in functions:
        assert get_depth(function) <= 2, f"{function.name} is too deep"


@pytest.mark.parametrize("prompt", CHOICES)
def test_files_depend_on_their_prompts_alone(product, prompt):
    changed = changed_by(product, prompt)
    names = {Path(path).name for path in changed}
    if prompt != "task":
        assert not {"models.py", "datasets.py", "plots.py", "test_task.py"} & names
    if prompt != "distributed":
        engine = {f"my_project/engine/{name}.py" for name in ("processes", "runtime", "doctor")}
        assert not engine & changed
    if prompt not in PYTHON_CHOICES:
        assert not [path for path in changed if path.endswith(".py")]
    assert changed or len(CHOICES[prompt]) == 1, "the answer changes nothing"


def test_imports_within_the_package_are_relative(covering):
    for project in covering:
        for path, text in project.python(tests=False).items():
            imports = set(find_imports(text))
            assert ("my_project" in imports) == ("/" not in path), path


def test_one_process_knows_of_no_other(product):
    """No file of a project without a backend speaks of ranks or of several processes."""
    for project in product:
        if project.answers["distributed"] != "none":
            continue
        for path, text in project.files.items():
            for number, line in enumerate(text.splitlines(), 1):
                if SEVERAL.search(line):
                    allowed = ALLOWED.get(Path(path).name)
                    assert allowed and re.search(allowed, line), f"{path}, {number}: {line}"


def test_only_what_a_task_needs_is_there(product):
    for project in product:
        code = "\n".join(project.python(tests=False).values())
        has_workers = '"--workers"' in code
        assert ("num_workers" in code) == ("ignore_signals" in code) == has_workers
        has_backend = project.answers["distributed"] != "none"
        assert ("torch.distributed" in code) == has_backend
        assert ("channels_last" in code) <= ("torchvision" in code)


# --------------------------------------------------------------------------- names and hardware


@pytest.mark.parametrize("hardware", CHOICES["hardware"])
def test_torch_comes_from_one_index(product, hardware):
    for project in product:
        if project.answers["hardware"] != hardware:
            continue
        settings = tomllib.loads(project.files["pyproject.toml"])
        requirements = settings["project"]["dependencies"]
        names = {re.match(r"[\w-]+", name)[0] for name in requirements}
        limits = [name for name in requirements if "<" in name]
        assert limits == (["torch>=2.10,<2.15"] if hardware == "cuda12" else [])
        packages = "torch torchvision" if "torchvision" in names else "torch"
        commands = re.findall(r"pip install [^`\n]*", project.files["README.md"])
        sources = settings["tool"]["uv"].get("sources", {})
        if hardware == "auto":
            assert "index" not in settings["tool"]["uv"] and not sources
            assert not [command for command in commands if "--index-url" in command]
        else:
            (index,) = settings["tool"]["uv"]["index"]
            assert index["explicit"]
            assert index["url"].startswith("https://download.pytorch.org/whl/")
            assert {source["index"] for source in sources.values()} == {index["name"]}
            assert sources.keys() == names & {"torch", "torchvision", "triton-rocm"}
            assert len({source["marker"] for source in sources.values()}) == 1  # all or none
            install = f"pip install {packages} --index-url {index['url']}"
            assert [command for command in commands if command.startswith(install)]
        assert [command for command in commands if "-e ." in command]
        assert ("triton-rocm" in names) == (hardware == "rocm")


@pytest.mark.parametrize(("slug", "name"), [("my_project", "my-project"), ("a_", "a")])
def test_project_has_a_name_that_can_be_installed(tmp_path, slug, name):
    folder = render({"project_slug": slug}, tmp_path)
    settings = tomllib.loads((folder / "pyproject.toml").read_text())
    assert settings["project"]["name"] == name


def test_license_texts_are_complete(tmp_path):
    for name, words in {
        "MIT": ["Permission is hereby granted", "OR OTHER DEALINGS IN THE"],
        "BSD-3-Clause": ["Neither the name", "POSSIBILITY OF SUCH DAMAGE"],
        "Apache-2.0": ["TERMS AND CONDITIONS", "9. Accepting Warranty", "under the License."],
    }.items():
        answers = {"license": name, "author_name": "Ada L.", "project_slug": name.lower()[:3]}
        text = (render(answers, tmp_path) / "LICENSE").read_text()
        assert all(word in text for word in words)
        assert ("Ada L." in text) == (name != "Apache-2.0")


# --------------------------------------------------------------------------------- the raw files


def raw_files(suffix: str) -> list[Path]:
    """Return the files that projects are rendered from."""
    files: list[Path] = []
    for folder in [RAW_PROJECT, ROOT / "templates", ROOT / "hooks"]:
        files += folder.rglob(f"*{suffix}")
    return sorted(files)


def read_python(path: Path) -> str:
    """Return a raw Python file; the slug, which imports of scripts and tests hold, is replaced."""
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT).as_posix()
    is_in_package = name.count(RAW_PROJECT.name) == 2 or name.startswith("templates/shared")
    if is_in_package:
        assert SLUG not in text, f"{name}: an import that is not relative"
    return text.replace(SLUG, "my_project")


def test_raw_python_compiles():
    files = raw_files(".py")
    assert len(files) > 50
    for path in files:
        compile(read_python(path), str(path), "exec")


def test_raw_files_pass_ruff():
    settings = ROOT / "pyproject.toml"
    use_tool("ruff", "check", "--no-cache", "--config", settings, ROOT)
    use_tool("ruff", "format", "--check", "--no-cache", "--config", settings, ROOT)


def test_raw_shell_parses():
    files = raw_files(".sh")
    assert files
    for path in files:
        subprocess.run(["bash", "-n", path], check=True)


def test_tags_leave_out_whole_statements():
    """A tag stands in a line of its own, and between statements, arguments or lines of a text."""
    tags_seen = 0
    for path in raw_files(".py"):
        lines = read_python(path).splitlines()
        tags = [number for number, line in enumerate(lines, 1) if TAG.match(line)]
        tags_seen += len(tags)
        for number, line in enumerate(lines, 1):
            if "{%" in line and "format" not in line:
                assert number in tags, f"{path}:{number}: a tag behind code"
        for node in ast.walk(ast.parse("\n".join(lines))):
            value = getattr(node, "value", None)
            if not isinstance(node, STATEMENTS) or isinstance(value, ast.Constant):
                continue
            inside = [number for number in tags if node.lineno < number <= node.end_lineno]
            for number in range(min(inside, default=0), max(inside, default=-1) + 1):
                line = lines[number - 1]
                assert number in tags or line.endswith(","), f"{path}:{number}: in a statement"
    assert tags_seen > 100


def test_main_holds_no_tag():
    assert not TAG.search((RAW_PROJECT / "main.py").read_text())
    for name in ["models.py", "datasets.py", "plots.py"]:
        text = (RAW_PROJECT / RAW_PROJECT.name / name).read_text()
        assert len(text.splitlines()) == 1, f"{name} is more than one include"


def test_file_names_suit_windows():
    for path in [*RAW_PROJECT.rglob("*"), *(ROOT / "templates").rglob("*")]:
        assert not set(path.name) & set('<>:"/\\|?*'), path


def test_every_choice_has_its_fragments():
    folders = {"task": "tasks", "distributed": "distributed", "logger": "trackers"}
    for prompt, folder in folders.items():
        names = set()
        for path in (ROOT / "templates" / folder).iterdir():
            if path.is_dir() and not path.name.startswith(("__", ".")):
                names.add(path.name)
        without = {"none"} if prompt == "logger" else set()
        assert names == set(CHOICES[prompt]) - without
    names = {path.stem for path in (ROOT / "templates" / "licenses").iterdir()}
    assert names | {"none"} == set(CHOICES["license"])


def test_no_name_of_a_choice_is_asked_for():
    """A tag asks for no task and no tracker by its name: a new one needs no edit of others."""
    names = [*CHOICES["task"], *(name for name in CHOICES["logger"] if name != "none")]
    for path in raw_files(""):
        if path.is_file() and "templates/shared" not in path.as_posix():
            for tag in re.findall(r"\{[%{].*?[%}]\}", path.read_text(encoding="utf-8")):
                found = [name for name in names if re.search(rf"""["']{name}["']""", tag)]
                assert not found, f"{path}: {tag}"

"""A task of ClearML: offline, unless the environment has CLEARML_OFFLINE_MODE=0 or a key."""

import os
import shutil
from pathlib import Path
from typing import Any


class Tracker:
    """Writes a session into the run directory; one that is resumed offline is written anew."""

    variables = "CLEARML_"  # how the names of its environment variables begin

    def __init__(self, run_dir: Path, options: dict[str, Any], run_id: str):
        self.run_dir = run_dir
        self.options = options
        self.run_id = run_id
        default = "0" if "CLEARML_API_ACCESS_KEY" in os.environ else "1"
        self.resumes = os.environ.get("CLEARML_OFFLINE_MODE", default) == "0"

    def start(self) -> None:
        home = str(self.run_dir.resolve() / "tracker")
        os.environ.setdefault("CLEARML_LOG_LEVEL", "CRITICAL")
        os.environ.setdefault("CLEARML_CACHE_DIR", home)
        import clearml
        from clearml.binding.environ_bind import PatchOsFork
        from clearml.config.cache import SessionCache

        if not self.resumes:
            shutil.rmtree(home, ignore_errors=True)
            clearml.Task.set_offline(True)
        # By default this one is in the home directory.
        SessionCache.SESSION_CACHE_FOLDER = os.environ["CLEARML_CACHE_DIR"]
        for module in (clearml.logger, clearml.task):
            vars(module)["print"] = lambda *_, **__: None  # it has no setting to be quiet
        self.open_task(clearml.Task)
        PatchOsFork._current_task = None  # DataLoader workers have nothing to report
        self.task.set_initial_iteration(0)
        # As text: ClearML keeps a value's type apart from it.
        texts = {name: str(value) for name, value in self.options.items()}
        self.task.set_parameters_as_dict({"options": texts})

    def open_task(self, task_class: Any) -> None:
        """Create the task, or open the one that this run had on the server before."""
        task_class._report_subprocess_enabled = False  # a fork of this program could hang
        task_class.set_random_seed(None)  # otherwise it seeds torch, in the middle of the training
        project = "{{ cookiecutter.project_slug }}"
        name = f"{self.run_dir.name}-{self.run_id[:6]}"
        known = []
        if self.resumes:
            known = task_class.get_tasks(project_name=project, task_name=f"^{name}$")
        self.task = task_class.init(
            project,
            name,
            reuse_last_task_id=False,
            continue_last_task=known[0].id if known else False,
            auto_connect_arg_parser=False,
            auto_connect_frameworks=False,
            auto_connect_streams=False,
            auto_resource_monitoring=False,
        )

    def log_scalars(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            title, _, series = name.partition("/")
            self.task.logger.report_scalar(title, series or title, value, step)

    def log_figure(self, step: int, name: str, image: Any) -> None:
        self.task.logger.report_image("figures", name, step, image=image)

    def log_summary(self, step: int, metrics: dict[str, float], files: list[Path]) -> None:
        """Fill the table of single values, on top of the scalars, and add to the artifacts."""
        for name, value in metrics.items():
            self.task.logger.report_single_value(name, value)
        for path in files:
            self.task.upload_artifact(path.name, str(path), wait_on_upload=True)

    def finish(self) -> None:
        self.task.close()

"""Writes the run for ClearML: offline, until the environment says CLEARML_OFFLINE_MODE=0 or has a key to a server."""

import os
import shutil
from pathlib import Path
from typing import Any


class Writer:
    """Writes a session of ClearML into the run folder; one that is resumed offline is written anew, as one whole."""

    def __init__(self, folder: Path, options: dict[str, Any], run_id: str):
        os.environ.setdefault("CLEARML_LOG_LEVEL", "CRITICAL")
        os.environ.setdefault("CLEARML_CACHE_DIR", str(folder.resolve() / "clearml"))
        import clearml
        from clearml.binding.environ_bind import PatchOsFork
        from clearml.config.cache import SessionCache

        task: Any = clearml.Task
        default = "0" if "CLEARML_API_ACCESS_KEY" in os.environ else "1"
        self.appends = os.environ.get("CLEARML_OFFLINE_MODE", default) == "0"
        if not self.appends:
            shutil.rmtree(folder / "clearml", ignore_errors=True)
            task.set_offline(True)
        SessionCache.SESSION_CACHE_FOLDER = os.environ["CLEARML_CACHE_DIR"]  # not the home folder
        vars(clearml.logger)["print"] = vars(clearml.task)["print"] = lambda *_, **__: None
        task._report_subprocess_enabled = False  # a fork of this process could hang
        task.set_random_seed(None)  # else it seeds torch, in the middle of the training
        project, name = "{{ cookiecutter.project_slug }}", f"{folder.name}-{run_id[:6]}"
        known = task.get_tasks(project_name=project, task_name=f"^{name}$") if self.appends else []
        self.task = task.init(
            project,
            name,
            reuse_last_task_id=False,
            continue_last_task=known[0].id if known else False,
            auto_connect_arg_parser=False,
            auto_connect_frameworks=False,
            auto_connect_streams=False,
            auto_resource_monitoring=False,
        )
        PatchOsFork._current_task = None  # processes that load data have nothing to report
        self.task.set_initial_iteration(0)
        texts = {name: str(value) for name, value in options.items()}
        self.task.set_parameters_as_dict({"options": texts})

    def scalars(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.task.logger.report_scalar(*(name.split("/") * 2)[:2], value, step)

    def picture(self, step: int, name: str, image: Any) -> None:
        self.task.logger.report_image("pictures", name, step, image=image)

    def finish(self) -> None:
        self.task.close()

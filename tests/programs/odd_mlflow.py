"""MLflow in a folder with an odd name, with odd names of metrics, and options that change."""

import os
import sys
from pathlib import Path

sys.path.insert(0, os.getcwd())
from my_project.engine.tracker import Tracker

run_dir = Path("odd #1 50%25 ünï?&", "run")
run_dir.mkdir(parents=True)
for epochs in (1, 2):
    tracker = Tracker(run_dir, {"epochs": epochs, "lr": 0.1}, "id")
    tracker.start()
    tracker.log_scalars(epochs, {"top-1@all (%)": 1.0, "top-1@all (#)": 2.0})
    tracker.finish()

assert [path.name for path in Path(".").iterdir() if "odd" in path.name] == [run_dir.parent.name]
assert (run_dir.parent / "mlflow.db").exists()
(run,) = tracker.client.search_runs([tracker.client.get_run(tracker.run).info.experiment_id])
assert run.data.metrics == {"top-1_all ___": 1.0, "top-1_all ____": 2.0}, run.data.metrics
assert (run.data.params["epochs"], run.data.tags["option.epochs"]) == ("1", "2")
assert "option.lr" not in run.data.tags

"""The trials of a sweep in Optuna's storage: what to try next, and what has come out."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from .ranges import Range, make_grid

try:
    import optuna
    from optuna.trial import FrozenTrial, Trial, TrialState
except ImportError:
    print("error: sweep.py needs Optuna: pip install -e '.[sweep]'", file=sys.stderr)
    sys.exit(2)

PRUNED_AFTER = 5  # finished trials, before which none is pruned
FIRST_PRUNED = 2  # epoch
SAMPLERS = {
    "tpe": optuna.samplers.TPESampler,  # Bergstra et al. 2011, Algorithms for hyper-parameter
    "random": optuna.samplers.RandomSampler,
    "grid": optuna.samplers.RandomSampler,  # of what the grid prescribes, nothing is left to it
}


@dataclass
class Plan:
    """What a sweep tries: `trials` settings, each with `seeds` seeds. Saved in its sweep.json."""

    ranges: list[str]  # words of the command line, as are
    options: list[str]  # those of all trials
    sampler: str
    trials: int
    seeds: int
    first_seed: int
    prune: bool
    monitor: str
    maximize: bool


def open_storage(path: Path) -> optuna.storages.RDBStorage:
    """Return Optuna's storage in a file of SQLite; one sweep at a time makes its tables."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        return optuna.storages.RDBStorage(
            f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}}
        )


def is_stored(name: str, path: Path) -> bool:
    """Return whether a storage has a sweep of this name."""
    return path.exists() and name in optuna.get_all_study_names(open_storage(path))


class Search:
    """Optuna's study of a sweep.

    The trials count from 0: `seeds` of them in a row are repetitions of a setting. What a trial is
    follows from its number, so that nothing is lost or done twice if the sweep is killed anywhere.
    """

    def __init__(self, plan: Plan, ranges: list[Range], name: str, storage: Path):
        self.plan = plan
        self.ranges = ranges
        self.grid = make_grid(ranges) if plan.sampler == "grid" else []
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", module="optuna")
        pruner = optuna.pruners.MedianPruner(PRUNED_AFTER, n_warmup_steps=FIRST_PRUNED)
        self.study = optuna.create_study(
            storage=open_storage(storage),
            study_name=name,
            direction="maximize" if plan.maximize else "minimize",
            pruner=pruner if plan.prune and plan.seeds == 1 else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        self.begun = [trial._trial_id for trial in self.trials(TrialState.RUNNING)]

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in some states, or all."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def total(self) -> int:
        """Return how many trials the sweep has in the end."""
        settings = min(self.plan.trials, len(self.grid)) if self.grid else self.plan.trials
        return settings * self.plan.seeds

    def next_trial(self) -> Trial | None:
        """Return a trial that an earlier start of the sweep has begun, or else a new one."""
        if self.begun:
            return Trial(self.study, self.begun.pop(0))
        trials = self.trials()
        number = len(trials)
        waiting = self.trials(TrialState.WAITING)  # the sweep was killed before it could ask
        if not waiting:
            if number >= self.total():
                return None
            if self.grid:
                self.study.enqueue_trial(self.grid[number // self.plan.seeds])
            elif number % self.plan.seeds:
                self.study.enqueue_trial(trials[number - number % self.plan.seeds].params)
        self.study.sampler = SAMPLERS[self.plan.sampler](seed=number)
        return self.study.ask()

    def get_words(self, trial: Trial) -> list[str]:
        """Return the options of a trial as one types them."""
        words = []
        for option in self.ranges:
            words += option.words(option.suggest(trial))
        if self.plan.seeds > 1:
            words += ["--seed", str(self.seed(trial.number))]
        return words

    def seed(self, number: int) -> int:
        """Return the seed of a trial of a sweep with several seeds."""
        return self.plan.first_seed + number % self.plan.seeds

    def report(self, trial: Trial, values: dict[int, float]) -> bool:
        """Report the metric of each epoch; return whether the median of the others is better."""
        known = self.trials()[trial.number].intermediate_values
        for epoch in sorted(values.keys() - known.keys()):
            trial.report(values[epoch], epoch)
            if trial.should_prune():
                return True
        return False

    def finish(self, trial: Trial, value: float | None = None, error: str = "") -> None:
        """Record the error of a trial, or its value; without either, that it was pruned."""
        if error:
            trial.set_user_attr("error", error)
            self.study.tell(trial, state=TrialState.FAIL)
        elif value is None:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, value)

    def importances(self) -> dict[str, float]:
        """Return the share of each option in what makes a trial good, by PED-ANOVA; often none.

        Watanabe et al. 2023, https://arxiv.org/abs/2304.10255
        """
        values = {trial.value for trial in self.trials(TrialState.COMPLETE)}
        if len(values) < PRUNED_AFTER:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return optuna.importance.get_param_importances(self.study, evaluator=evaluator)

"""{{ cookiecutter.project_name | replace('\\', '\\\\') | replace('"', '\\"') }}: train, validate and test.

`python main.py --help` shows all options; `utils.py` defines them, the getters and the two loops.
"""

from argparse import Namespace

from {{ cookiecutter.project_slug }}.engine.data_check import check_data
from {{ cookiecutter.project_slug }}.engine.errors import Stopped
from {{ cookiecutter.project_slug }}.engine.runtime import Runtime, start
from {{ cookiecutter.project_slug }}.engine.terminal import as_script
from {{ cookiecutter.project_slug }}.plots import make_figures
from {{ cookiecutter.project_slug }}.utils import (
    end_epoch,
    evaluate,
    get_checkpoint,
    get_loaders,
    get_logger,
    get_metrics,
    get_objective,
    get_run_dir,
    get_train_state,
    parse_arguments,
    should_stop_early,
    train_one_epoch,
)


def main(args: Namespace, runtime: Runtime) -> None:
    """Train on the training split, keep the weights that validate best, and test those once."""
    run_dir = get_run_dir(args, runtime)
    train_loader, val_loader, test_loader = get_loaders(args, runtime)
    objective = get_objective(args, train_loader.info)
    metrics = get_metrics(args, runtime, train_loader.info)
    state = get_train_state(args, runtime, train_loader)
    checkpoint = get_checkpoint(args, runtime, run_dir)
    logger = get_logger(args, runtime, run_dir, metrics)
    if args.resume or args.init_from:
        checkpoint.load_start(state, logger)
    logger.log_start(state, train_loader, val_loader, test_loader)

    if args.evaluate:
        del train_loader  # frees the training data
        checkpoint.load_weights(args.evaluate, state)
        test = evaluate(runtime, state.ema_model, test_loader, objective, metrics)
        logger.log_figures(state, make_figures, state.ema_model, test_loader, metrics)
        logger.finish(state, test)
        return

    runtime.catch_signals()  # from now on, a stop signal ends the run after the current step
    try:
        while state.epoch < args.epochs and not should_stop_early(args, state):
            train_loader.set_epoch(state.epoch, start_step=state.step_in_epoch(train_loader))
            train = train_one_epoch(
                args, runtime, state, train_loader, objective, logger, checkpoint
            )
            val = evaluate(runtime, state.ema_model, val_loader, objective, metrics)
            is_best = end_epoch(args, state, metrics, val)
            logger.log_epoch(state, train=train, val=val)
            logger.log_figures(state, make_figures, state.ema_model, val_loader, metrics)
            checkpoint.save(state, logger, is_best)
    except Stopped:
        checkpoint.save(state, logger)  # for --resume
        logger.log_stop(state)
        raise

    checkpoint.load_best(state.ema_model)
    test = evaluate(runtime, state.ema_model, test_loader, objective, metrics)
    logger.log_figures(state, make_figures, state.ema_model, test_loader, metrics)
    logger.finish(state, test)


def check(args: Namespace, runtime: Runtime) -> None:
    """Read all samples once, and say which of them a training would use."""
    check_data(args, *get_loaders(args, runtime))


if __name__ == "__main__":
    args = parse_arguments()
    run = check if args.check_data else main
    with as_script(args), start(args) as runtime:
        run(args, runtime)

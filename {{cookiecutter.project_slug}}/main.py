"""{{ cookiecutter.project_name | replace('\\', '\\\\') | replace('"', '\\"') }}: train, validate and test.

`python main.py --help` shows every option; `utils.py` defines what they select.
"""

from argparse import Namespace

from runtime import Runtime, start
from utils import (
    evaluate,
    get_checkpoint,
    get_ema,
    get_loaders,
    get_logger,
    get_metrics,
    get_model,
    get_objective,
    get_optimizer,
    get_run_folder,
    get_scheduler,
    parse_arguments,
    train_one_epoch,
)


def main(args: Namespace, runtime: Runtime) -> None:
    """Train on the training split, keep what validates best, and test that once."""
    folder = get_run_folder(args, runtime)  # before anything slow: it must be writable, and no other run's
    train_loader, val_loader, test_loader = get_loaders(args, runtime)
    model = get_model(args, runtime, train_loader.dataset)
    eval_model = get_ema(args, runtime, model, train_loader.dataset)  # averaged weights, or the model itself
    objective = get_objective(args)
    metrics = get_metrics(runtime, train_loader.dataset)
    optimizer = get_optimizer(args, model)
    scheduler = get_scheduler(args, optimizer, steps_per_epoch=len(train_loader))
    logger = get_logger(args, runtime, folder, eval_model, val_loader, metrics)
    checkpoint = get_checkpoint(
        args, runtime, folder, metrics, model, ema=eval_model, optimizer=optimizer, scheduler=scheduler, logger=logger
    )
    logger.introduce(model, train_loader, val_loader, test_loader)

    for epoch in checkpoint.epochs(args.epochs):  # resumes where a stopped run left off
        train = train_one_epoch(
            args, runtime, model, eval_model, train_loader, objective, optimizer, scheduler, logger, checkpoint
        )
        val = evaluate(runtime, eval_model, val_loader, objective, metrics)
        logger.log(epoch, train=train, val=val)
        checkpoint.save(val)

    checkpoint.load_best()
    logger.finish(test=evaluate(runtime, eval_model, test_loader, objective, metrics))


if __name__ == "__main__":
    args = parse_arguments()
    with start(args) as runtime:
        main(args, runtime)

group.add_argument(
    "--sync-batch-norm",
    action=BooleanOptionalAction,
    default=False,
    help="compute the statistics of batch norm over all GPUs",
)
group.add_argument(
    "--dist-timeout",
    type=number(float),
    default=600.0,
    help="seconds to wait for another process before the job fails",
)
group.add_argument(
    "--sharded-checkpoints",
    action=BooleanOptionalAction,
    default=False,
    help="let each process save its part of the model, while the training continues",
)

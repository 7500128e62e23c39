machine.add_argument("--sync-batch-norm", action=switch, default=False, help="batch norm over all GPUs' samples")
machine.add_argument("--dist-timeout", type=number(float), default=600.0, help="seconds to wait for a process")
machine.add_argument("--sharded-checkpoints", action=switch, default=False, help="save in parts, while training")

machine.add_argument("--sync-batch-norm", action=switch, default=False, help="batch norm over all GPUs' samples")
machine.add_argument("--dist-timeout", type=number(float), default=600.0, help="seconds to wait for a process")

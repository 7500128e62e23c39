# {% if own.batch_norm %}
help = "compute the statistics of batch norm over all GPUs"
add("--sync-batch-norm", action=switch, default=False, help=help)
# {% endif %}
help = "seconds to wait for another process before the job fails"
add("--dist-timeout", type=number(float, 1, 1e9), default=600.0, help=help)
help = "under torchrun: save the parts of the model in shards, while the training continues"
add("--sharded-checkpoints", action=switch, default=False, help=help)

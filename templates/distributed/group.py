class Group:
    """The processes that torchrun has started, on one machine or many; `python main.py` alone is a world of one."""

    device: torch.device

    def __init__(self, args: Namespace):
        variables = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
        self.launched = variables <= os.environ.keys()  # by torchrun, or by what sets the same variables
        self.timeout = timedelta(seconds=args.dist_timeout)
        self.rank = int(os.environ["RANK"]) if self.launched else 0
        self.local_rank = int(os.environ.get("LOCAL_RANK", 0)) if self.launched else 0
        self.world_size = int(os.environ["WORLD_SIZE"]) if self.launched else 1

    def connect(self, args: Namespace) -> None:
        """Join the process group."""
        if not self.launched:
            return
        if self.device.type == "mps" and self.world_size > 1:
            raise UserError("several processes cannot share the GPU of a Mac: add --device cpu")
        if sys.platform == "linux":  # should torchrun be killed, its processes must not live on
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if self.device.type == "cpu":
            share_cores(int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
        cuda = self.device.type == "cuda"
        backend, device = ("nccl", self.device) if cuda else ("gloo", None)
        store, rank, world_size = next(rendezvous("env://", timeout=self.timeout))
        if os.environ.get("GROUP_WORLD_SIZE") == "1":  # started again, its processes must not look for those that died
            store = dist.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=world_size, timeout=self.timeout, device_id=device
        )
        self.cpu_group: Any = dist.new_group(backend="gloo", timeout=self.timeout)  # between CPUs, past the GPUs
        self.flag = torch.zeros(1, dtype=torch.int64)
        self.pending: dist.Work | None = None

    def close(self) -> None:
        """Leave the process group."""
        if self.launched:
            dist.destroy_process_group()

    def sync_buffers(self, model: nn.Module) -> None:
        """Make buffers, such as the statistics of batch norm, those of rank 0 everywhere."""
        if self.launched:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)

    def sum(self, values: Tensor) -> Tensor:
        """Add `values` over all processes."""
        if self.launched:
            dist.all_reduce(values)
        return values

    def broadcast(self, value: Any) -> Any:
        """Return the value that rank 0 has."""
        values = [value]
        if self.launched:
            dist.broadcast_object_list(values, src=0, group=self.cpu_group)
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in their order."""
        values = [value] * self.world_size
        if self.launched:
            dist.all_gather_object(values, value, group=self.cpu_group)
        return values

    def on_rank_zero(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function` on rank 0 alone and return its value on every rank; where it fails, all end."""
        value: Any = None
        try:
            value = function(*args) if self.rank == 0 else None
        except UserError as error:
            value = error
        value = self.broadcast(value)
        if isinstance(value, UserError):
            raise value if self.rank == 0 else SystemExit(2)  # one message is enough
        return value

    def rank_zero_first(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function` on every rank, on the others when rank 0 is done, for instance with a download."""
        values: list[Any] = []
        self.on_rank_zero(lambda: values.append(function(*args)))
        return values[0] if self.rank == 0 else function(*args)

    def stop_signal(self, mine: int) -> int:
        """Return the signal that any process had received one call ago, 0 for none.

        All processes must leave at the same step, so they ask each other; each call takes the answer to the question
        that the call before it has sent, which is there by now, and so costs next to nothing.
        """
        if not self.launched:
            return mine
        if self.pending is not None:
            self.pending.wait()
        answer = int(self.flag)
        self.flag.fill_(mine)
        self.pending = dist.all_reduce(self.flag, dist.ReduceOp.MAX, group=self.cpu_group, async_op=True)
        return answer

    def sync_batch_norm(self, model: nn.Module, args: Namespace) -> nn.Module:
        """Let batch norm go by the whole batch where `--sync-batch-norm` asks for it, and else by each process's part.

        Rank 0's running statistics are the ones that are evaluated and saved.
        """
        if not args.sync_batch_norm or self.world_size == 1:
            return model
        if self.device.type != "cuda":
            raise UserError("--sync-batch-norm works on GPUs only")
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def share_cores(processes: int) -> None:
    """Divide the cores among this machine's processes, unless OMP_NUM_THREADS says how many threads each may use.

    Where it is not set, torchrun sets it to 1 and leaves no mark of that, so a 1 counts as not set.
    """
    if processes > 1 and os.environ.get("OMP_NUM_THREADS", "1") == "1":
        torch.set_num_threads(max(1, usable_cores() // processes))

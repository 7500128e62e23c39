"""A main.py that trains in no time: it reads the options and leaves the files of a run.

The accuracy falls with the distance of --lr from 0.01. A learning rate of 1 fails, and one of 2
has an accuracy that is not finite. Each start adds a line to starts.txt beside the run directory.
PAUSE is the duration of an epoch in seconds.
"""

import argparse
import json
import math
import os
import signal
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

parser = argparse.ArgumentParser()
parser.add_argument("--run-dir", type=Path)
parser.add_argument("--resume", action="store_true")
parser.add_argument("--lr", type=float)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int)
args, _ = parser.parse_known_args()
received = []
signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
signal.signal(signal.SIGINT, lambda number, _: received.append(number))

records = args.run_dir / "metrics.jsonl"
try:
    args.run_dir.mkdir(exist_ok=args.resume)
    lock = FileLock(args.run_dir / ".lock", timeout=0)
    lock.acquire()
except Timeout:
    sys.exit("error: in use by another process")
done = len(records.read_text().splitlines()) if records.exists() else 0
with (args.run_dir.parent / "starts.txt").open("a") as file:
    file.write(f"{args.run_dir.name} {done} {os.environ['OMP_NUM_THREADS']}\n")
if args.lr == 1:
    print("error: the loss is nan", file=sys.stderr)
    sys.exit(2)
options = {"lr": args.lr, "seed": args.seed, "monitor": "accuracy", "dataset": "digits"}
(args.run_dir / "config.json").write_text(json.dumps({**options, "model": "mlp"}))
facts = {"higher_is_better": {"accuracy": True, "loss": False}}
(args.run_dir / "run.json").write_text(json.dumps(facts))
for epoch in range(done + 1, args.epochs + 1):
    time.sleep(float(os.environ.get("PAUSE", "0")))
    accuracy = 0.9 - 0.1 * abs(math.log10(args.lr) + 2) + 0.001 * epoch + 0.0001 * args.seed
    record = {"event": "epoch", "epoch": epoch, "step": epoch, "seconds": epoch}
    record |= {"val/accuracy": None if args.lr == 2 else accuracy, "val/loss": 1 - accuracy}
    with records.open("a") as file:
        file.write(json.dumps(record) + "\n")
    if received:
        sys.exit(128 + received[0])
record = {"event": "test", "epoch": args.epochs, "step": args.epochs, "test/accuracy": 0.5}
with records.open("a") as file:
    file.write(json.dumps(record) + "\n")

"""Writes a checkpoint with another content: fill_checkpoint.py CHECKPOINT HOW."""

import sys

import torch

path, how = sys.argv[1:]
saved = torch.load(path, weights_only=True)
first = next(iter(saved["model"]))
if how == "nothing":
    saved = None
elif how == "empty":
    saved = {}
elif how == "foreign":
    saved = {"state_dict": saved["model"], "epoch": 3}
elif how == "nan":
    saved["model"][first].view(-1)[0] = float("nan")
    saved["ema_model"] = saved["model"]
elif how == "random":
    saved["random"] = [1, 2]
else:
    del saved[how]
torch.save(saved, path)

"""Uses a project's package, and others whose modules have the same names.

`python import_others.py REPOSITORY FOLDER`, in a project: a repository for torch.hub, and a folder
to write to.
"""

import sys
from pathlib import Path

import datasets
import my_project.datasets
import my_project.models
import my_project.utils
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

repository, folder = sys.argv[1:]

assert not Path(datasets.__file__).is_relative_to(Path.cwd())
tokens = torch.randint(10, (8, 5)).tolist()
data = datasets.Dataset.from_dict({"input_ids": tokens, "label": [0, 1] * 4})
sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
model = BertForSequenceClassification(BertConfig(vocab_size=10, intermediate_size=8, **sizes))
settings = TrainingArguments(output_dir=folder, max_steps=2, report_to=[], use_cpu=True)
assert Trainer(model=model, args=settings, train_dataset=data).train().global_step == 2
assert not isinstance(my_project.datasets.InMemory(torch.zeros(2)), datasets.Dataset)

net = torch.hub.load(repository, "net", source="local", features=3)
assert net.weight.eq(2).all()
assert Path(sys.modules["utils"].__file__).parent == Path(repository).resolve()
assert Path(sys.modules["models"].__file__).parent == Path(repository).resolve()

args = my_project.utils.parse_arguments(["--quick"])
assert args.model in my_project.models.MODELS
assert args.dataset in my_project.datasets.DATASETS
print("all work")

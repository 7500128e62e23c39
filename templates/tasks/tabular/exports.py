"""The exported model as a function of tensors, and how to use it without this project."""

from typing import Any

from torch import Tensor, nn


class Exported(nn.Module):
    """Numbers and categories in, a standardized number or logits out."""

    outputs = ("outputs",)  # float32 (batch, 1), or (batch, classes)
    dynamic = (0,)  # dimensions of any size

    def __init__(self, model: nn.Module, info: dict[str, Any]):
        super().__init__()
        self.model = model
        self.is_class = "classes" in info
        self.inputs = ["numbers"]  # float32 (batch, numbers), standardized
        if info["categories"]:
            self.inputs.append("categories")  # int32 (batch, categories), 0 for unknown
        kind = "classification" if self.is_class else "regression"
        self.card = f"tabular-{kind}"  # the task's name on the Hugging Face Hub

    def forward(self, numbers: Tensor, categories: Tensor | None = None) -> tuple[Tensor, ...]:
        if categories is None:
            categories = numbers.new_zeros(numbers.shape[0], 0).int()
        return (self.model(numbers, categories),)

    def get_arguments(self, batch: Any) -> tuple[Tensor, ...]:
        """Return the inputs in a batch of predict.py."""
        return batch[: len(self.inputs)]

    def get_program(self) -> tuple[str, str, str]:
        """Return imports, statements that make the inputs, and those that use the outputs."""
        prepare = f"{ROW}{NUMERIC}{CATEGORIES}" if len(self.inputs) > 1 else f"{ROW}{NUMERIC}"
        return "", prepare, CLASS if self.is_class else NUMBER


ROW = """\
row = dict(info["medians"])  # a number, or None if it is missing
row.update({name: known[0] for name, known in info["categories"].items()})
"""
NUMERIC = """\
values = []
for name, (mean, deviation) in info["numbers"].items():
    value = info["medians"][name] if row[name] is None else row[name]
    values.append(min(max((value - mean) / deviation, -5), 5))
values += [float(row[name] is None) for name in info["marked"]]
numbers = numpy.array([values], dtype=numpy.float32)
"""
CATEGORIES = """\
categories = numpy.zeros((1, len(info["categories"])), dtype=numpy.int32)
for column, (name, known) in enumerate(info["categories"].items()):
    if row[name] in known:  # 0 is an unknown one
        categories[0, column] = 1 + known.index(row[name])
"""
NUMBER = 'print(info["target"], outputs[0, 0] * info["deviation"] + info["mean"])\n'
CLASS = 'print(info["target"], info["classes"][outputs.argmax()])\n'

"""The results of the default options on the built-in data, and the bounds that tests ask for."""

from typing import NamedTuple


class Result(NamedTuple):
    """A test metric, its bound, and the value of an answer that takes no learning."""

    metric: str
    bound: float
    higher_is_better: bool
    label: str
    trivial: str


RESULTS = {
    "image_classification": Result(
        "accuracy", 0.975, True, "accuracy", "0.10 (most frequent class)"
    ),
    "semantic_segmentation": Result("mean_iou", 0.85, True, "mean IoU", "0.16 (all background)"),
    "object_detection": Result("map50", 0.90, True, "mAP50", "0.003 (one box in the middle)"),
    "image_generation": Result(
        "frechet_distance", 5.0, False, "Fréchet distance", "55 (mean of the class)"
    ),
    "text_classification": Result("accuracy", 0.75, True, "accuracy", "0.24 (most frequent class)"),
    "language_modeling": Result(
        "bits_per_character", 2.2, False, "bits per character", "3.2 (bigrams)"
    ),
    "tabular": Result("r2", 0.42, True, "R²", "0 (mean)"),
    "time_series_forecasting": Result("mse", 0.18, False, "MSE", "0.31 (last week again)"),
}
OTHER_DATA = {  # the results of built-in data that are not the default, by the task and --dataset
    ("tabular", "breast_cancer"): Result(
        "accuracy", 0.93, True, "accuracy", "0.63 (most frequent class)"
    ),
}

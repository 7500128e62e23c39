"""Box annotations in COCO's JSON (https://cocodataset.org/#format-data)."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .boxes import Sample, arrange_splits, clip_box, make_sample
from .errors import UserError
from .images import find_size
from .listing import describe_left_out, list_folder
from .splits import find_splits, join_names, split_indices

Entry = dict[str, Any]


class CocoFile:
    """A COCO JSON file without the boxes of crowds.

    The images are in one of `folders`, and named from `home` on. Raises UserError, which names the
    entry that is wrong.
    """

    def __init__(self, path: Path, home: Path, folders: list[Path]):
        self.path = path
        self.home = home
        self.folders = folders
        self.left_out: Counter[str] = Counter()
        self.classes: list[str] = []
        self.class_indices: dict[str, int] = {}  # of the categories, by their id
        self.entries: dict[Any, str] = {}  # the entry that has an id, a name or a path
        self.images: dict[str, tuple[Path, tuple[float, float]]] = {}  # path and size by id
        self.boxes: dict[str, list[list[float]]] = {}  # by the id of the image
        self.labels: dict[str, list[int]] = {}
        self.content = self.load()
        self.add_each("categories", self.add_category)
        self.add_each("images", self.add_image)
        self.add_each("annotations", self.add_annotation)
        self.content.clear()

    def load(self) -> dict[str, Any]:
        """Read the file."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise UserError(f"cannot read {self.path}: {error.strerror}") from None
        except ValueError as error:
            raise UserError(f"{self.path} is not a JSON file: {error}") from None
        if not isinstance(content, dict):
            raise UserError(f"{self.path}: not in COCO's format, which begins with a brace")
        return content

    def add_each(self, key: str, add: Callable[[Entry, str], None]) -> None:
        """Call `add` with each entry of a list of the file, and the name of the entry."""
        name = key
        try:
            for index, entry in enumerate(self.content[key]):
                name = f"{key}[{index}]"
                add(entry, name)
        except KeyError as error:
            raise UserError(f"{self.path}, {name}: {error} is missing") from None
        except (TypeError, ValueError, AttributeError) as error:
            reason = f"{type(error).__name__} {error}"
            raise UserError(f"{self.path}, {name}: not in COCO's format: {reason}") from None

    def claim(self, kind: str, value: Any, name: str) -> None:
        """Raise UserError if another entry has the same id, name or path."""
        first = self.entries.setdefault((kind, value), name)
        if first != name:
            raise UserError(f"{self.path}, {name}: the {kind} {value} is that of {first}, too")

    def add_category(self, entry: Entry, name: str) -> None:
        self.claim("category id", entry["id"], name)
        self.claim("category name", entry["name"], name)
        self.class_indices[str(entry["id"])] = len(self.classes)  # 1 and "1" are the same
        self.classes.append(str(entry["name"]))

    def add_image(self, entry: Entry, name: str) -> None:
        key = str(entry["id"])
        path = self.find_image(str(entry["file_name"]), name)
        self.claim("image id", key, name)
        self.claim("image", path, name)
        size = (float(entry.get("width") or 0), float(entry.get("height") or 0))
        if not all(size):
            size = find_size(path)
        self.images[key] = (path, size)
        self.boxes[key] = []
        self.labels[key] = []

    def find_image(self, file_name: str, name: str) -> Path:
        """Return the path of an image; other systems' separators and folders are understood."""
        slashes = file_name.replace("\\", "/")
        for text in (file_name, slashes, slashes.rpartition("/")[2]):
            for folder in self.folders:
                if (folder / text).is_file():
                    return folder / text
        places = ", ".join(map(str, self.folders))
        raise UserError(f"{self.path}, {name}: there is no image {file_name} in {places}")

    def add_annotation(self, entry: Entry, name: str) -> None:
        if entry.get("iscrowd"):
            self.left_out["box of a crowd"] += 1
            return
        image, category = str(entry["image_id"]), str(entry["category_id"])
        if image not in self.images:
            raise UserError(f"{self.path}, {name}: no image has the id {image}")
        if category not in self.class_indices:
            raise UserError(f"{self.path}, {name}: no category has the id {category}")
        numbers = entry["bbox"]
        try:
            left, top, width, height = map(float, numbers)
        except (TypeError, ValueError):
            words = "the four numbers left, top, width and height"
            raise UserError(f"{self.path}, {name}: bbox {numbers} is not {words}") from None
        size = self.images[image][1]
        sides = [left, top, left + width, top + height]
        box = clip_box(sides, size, f"{self.path}, {name}", self.left_out)
        if box is not None:
            self.boxes[image].append(box)
            self.labels[image].append(self.class_indices[category])

    def get_samples(self, classes: list[str], known: Path) -> list[Sample]:
        """Return the samples of all images, with the labels that the classes have in `known`.

        Raises UserError if there is a box of a class that is not there.
        """
        numbers = [classes.index(name) if name in classes else -1 for name in self.classes]
        samples = []
        for key, (path, size) in self.images.items():
            labels = [numbers[label] for label in self.labels[key]]
            if -1 in labels:
                name = self.classes[self.labels[key][labels.index(-1)]]
                raise UserError(f"{self.path}: {path} has a {name!r}, no category of {known}")
            samples.append(make_sample(self.home, path, size, self.boxes[key], labels))
        return samples


def load_coco(data_dir: Path) -> tuple[list[list[Sample]], dict[str, Any]]:
    """Return the splits of COCO 2017 itself, and `info` of them.

    Its 5,000 validation images test, as those for its test have no public boxes; as many of the
    training images validate.
    """
    folder = data_dir / "annotations"
    first = CocoFile(folder / "instances_train2017.json", data_dir, [data_dir / "train2017"])
    second = CocoFile(folder / "instances_val2017.json", data_dir, [data_dir / "val2017"])
    known = first.get_samples(first.classes, first.path)
    train, val, _ = split_indices(len(known), val=len(second.images) / len(known), test=0.0)
    splits = {
        "train": [known[index] for index in train.tolist()],
        "val": [known[index] for index in val.tolist()],
        "test": second.get_samples(first.classes, first.path),
    }
    notes = describe_left_out(first.left_out + second.left_out)
    return arrange_splits(data_dir, splits, first.classes, notes)


class CocoLabels(CocoFile):
    """The boxes of given images, with the ids that the file has for these and for its categories.

    A name in the file is the end of the path of its image, or else the name of one image alone.
    """

    def __init__(self, path: Path, inputs: list[Path]):
        self.inputs: dict[str, list[Path]] = {}  # by name
        for image in inputs:
            self.inputs.setdefault(image.name, []).append(image)
        self.names: Counter[str] = Counter()  # of the images in the file, without folders
        self.image_ids: dict[Path, Any] = {}
        self.category_ids: dict[str, Any] = {}
        super().__init__(path, Path(), [])

    def add_category(self, entry: Entry, name: str) -> None:
        super().add_category(entry, name)
        self.category_ids[str(entry["name"])] = entry["id"]

    def add_image(self, entry: Entry, name: str) -> None:
        if not self.names:
            self.names.update(get_name(image["file_name"]) for image in self.content["images"])
        super().add_image(entry, name)
        self.image_ids[self.images[str(entry["id"])][0]] = entry["id"]

    def find_image(self, file_name: str, name: str) -> Path:
        """Return the input that an image of the file is; its own name if it is none of them."""
        slashes = file_name.replace("\\", "/")
        same = self.inputs.get(get_name(slashes), [])
        found = [path for path in same if path.absolute().as_posix().endswith(f"/{slashes}")]
        if len(found) > 1:
            raise UserError(f"{self.path}, {name}: {file_name} may be {found[0]} or {found[1]}")
        if not found and len(same) == self.names[get_name(slashes)] == 1:
            found = same
        return found[0] if found else Path(slashes)

    def get_boxes(self, classes: list[str], known: Path, inputs: list[Path]) -> list[Sample]:
        """Return the samples of the inputs, with the labels that the classes have in `known`.

        Raises UserError if an input or a class is not in the file.
        """
        for name in classes:
            if name not in self.category_ids:
                raise UserError(f"{self.path} has no category {name!r}, which {known} predicts")
        samples = {}
        for (path, _), sample in zip(
            self.images.values(), self.get_samples(classes, known), strict=True
        ):
            samples[path] = sample
        for path in inputs:
            if path not in samples:
                raise UserError(f"{self.path} holds no image {path}")
        if len(samples) > len(inputs):
            self.left_out["image that is no input"] += len(samples) - len(inputs)
        return [samples[path] for path in inputs]


def get_name(path: str) -> str:
    """Return the last part of a path of any system."""
    return str(path).replace("\\", "/").rpartition("/")[2]


def find_coco_splits(home: Path) -> tuple[list[list[Sample]], dict[str, Any]]:
    """Return the training, validation and test split in a folder, and `info` of them.

    The files are train.json, val.json and test.json, or one file that is split 8:1:1, in the folder
    or in annotations/; or each split has a folder of images with a file beside them.
    """
    paths, notes = find_json(home)
    splits: dict[str, list[Sample]] = {}
    left_out: Counter[str] = Counter()
    first = paths["train"]
    classes: list[str] = []
    for split in ("train", "val", "test"):
        if split not in paths:
            continue
        path = paths[split]
        stem = path.stem.removeprefix("instances_")
        folders = [home / "images" / stem, home / stem, home / "images", home, path.parent]
        file = CocoFile(path, home, folders)
        classes = classes or file.classes
        splits[split] = file.get_samples(classes, first)
        left_out += file.left_out
    return arrange_splits(home, splits, classes, notes + describe_left_out(left_out))


def find_json(home: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the JSON file of each split, "train" alone if it is still to be divided, and notes."""
    for folder in (home, home / "annotations"):
        if folder != home and not folder.is_dir():
            continue
        found, notes = find_splits(folder, {".json"}, folders=False)
        if found:
            return {split: paths[0] for split, paths in found.items()}, notes
        files = list_json(folder)
        if folder / "annotations.json" in files:
            return {"train": folder / "annotations.json"}, []
        if files:
            return {"train": get_only(folder, files)}, []
    folders, notes = find_splits(home)
    if not folders:
        raise UserError(f"{home} has no annotations.json, nor train.json, val.json and test.json")
    chosen = {}
    for split, (path,) in folders.items():
        chosen[split] = get_only(path, list_json(path))
    return chosen, notes


def list_json(folder: Path) -> list[Path]:
    """Return the JSON files in a folder."""
    return [path for path in list_folder(folder) if path.suffix.lower() == ".json"]


def get_only(folder: Path, files: list[Path]) -> Path:
    """Return the file if it is one. Raises UserError otherwise."""
    if len(files) != 1:
        names = join_names(files) or "none"
        raise UserError(f"{folder}: one JSON file is needed, or annotations.json; it holds {names}")
    return files[0]

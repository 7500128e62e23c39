"""Splits by their names, their division, and the samples that a checkpoint was trained on."""

import importlib.util
import sys
from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from rendering import RAW_PACKAGE

ROOT = Path(__file__).parents[1]
MODULES = {
    "errors": RAW_PACKAGE / "engine" / "errors.py",
    "files": RAW_PACKAGE / "engine" / "files.py",
    "identity": RAW_PACKAGE / "engine" / "identity.py",
    "listing": ROOT / "templates" / "shared" / "listing.py",
    "splits": ROOT / "templates" / "shared" / "splits.py",
}
SUFFIXES = {".csv", ".parquet"}


@pytest.fixture(scope="module")
def engine() -> dict[str, ModuleType]:
    """Modules of the template without tags, imported as a package."""
    package = ModuleType("raw_engine")
    package.__path__ = [str(RAW_PACKAGE / "engine")]  # for what these modules import
    sys.modules["raw_engine"] = package
    modules = {}
    for name, path in MODULES.items():
        spec = importlib.util.spec_from_file_location(f"raw_engine.{name}", path)
        modules[name] = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = modules[name]
        spec.loader.exec_module(modules[name])
    yield modules
    for name in [name for name in sys.modules if name.partition(".")[0] == "raw_engine"]:
        del sys.modules[name]


def make(folder: Path, *names: str) -> Path:
    """Make files, and folders where a name ends with a slash."""
    for name in names:
        if name.endswith("/"):
            (folder / name).mkdir()
        else:
            (folder / name).write_text("x")
    return folder


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["train/", "valid/", "test/"], {"train": ["train"], "val": ["valid"], "test": ["test"]}),
        (["Training/", "DEV/"], {"train": ["Training"], "val": ["DEV"]}),
        (["train2017/", "val2017/"], {"train": ["train2017"], "val": ["val2017"]}),
        (["training_set/", "test_set/"], {"train": ["training_set"], "test": ["test_set"]}),
        (["train.csv", "test.csv"], {"train": ["train.csv"], "test": ["test.csv"]}),
        (
            ["train-0-of-2.csv", "train-1-of-2.csv", "validation-0-of-1.csv"],
            {"train": ["train-0-of-2.csv", "train-1-of-2.csv"], "val": ["validation-0-of-1.csv"]},
        ),
        (["cat/", "dog/", "README.md", ".hidden/"], {}),
        (["beaker/", "test_tube/"], {}),
        (["train/", "val/", "__MACOSX/", ".thumbnails/"], {"train": ["train"], "val": ["val"]}),
    ],
)
def test_splits_by_their_names(engine, tmp_path, names, found):
    splits, notes = engine["splits"].find_splits(make(tmp_path, *names), SUFFIXES)
    assert {split: [path.name for path in paths] for split, paths in splits.items()} == found
    missing = {"train", "val", "test"} - found.keys() if found else set()
    assert len(notes) == len(missing)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/", "val/", "valid/"], "more than one val split; it holds train, val, valid"),
        (["train.csv", "train.parquet", "test.csv"], "more than one train split"),
        (["train.csv", "train/", "test.csv"], "more than one train split"),
        (["train/", "car/", "bus/"], "the split train alone; it holds bus, car, train"),
        (["val/", "test/"], "the split test and val alone"),
        (["train/", "val/", "test_old/"], "is test_old a split? It holds test_old, train, val"),
    ],
)
def test_ambiguous_splits_are_an_error(engine, tmp_path, names, message):
    with pytest.raises(engine["errors"].UserError, match=message.replace("?", r"\?")):
        engine["splits"].find_splits(make(tmp_path, *names), SUFFIXES)


def test_what_is_beside_splits_is_noted(engine, tmp_path):
    make(tmp_path, "train/", "val/", "test/", "unlabeled/")
    _, notes = engine["splits"].find_splits(tmp_path)
    assert notes == ["left out beside the splits: unlabeled"]


def test_a_division_is_stratified_and_stays(engine):
    hash_names, divide = engine["identity"].hash_names, engine["splits"].divide
    classes = ["cat"] * 40 + ["dog"] * 20 + ["axolotl"] * 3 + ["yak"] * 2
    names = [f"{label}/{number}.png" for number, label in enumerate(classes)]
    train, val, test = divide(hash_names(names), 0.1, 0.1, classes)
    assert sorted(torch.cat((train, val, test)).tolist()) == list(range(65))
    for part, counts in ((val, (4, 2, 1, 0)), (test, (4, 2, 1, 0)), (train, (32, 16, 1, 2))):
        labels = [classes[index] for index in part.tolist()]
        assert tuple(labels.count(name) for name in ("cat", "dog", "axolotl", "yak")) == counts
    more = [*names, "cat/new.png", "dog/new.png"]
    again = divide(hash_names(more), 0.1, 0.1, [*classes, "cat", "dog"])
    for part, other in zip((train, val, test), again, strict=True):
        before = {names[index] for index in part.tolist()}
        after = {more[index] for index in other.tolist()}
        assert len(before - after) <= 2


def test_samples_of_one_key_stay_together(engine):
    keys = engine["identity"].hash_names(f"patient {number // 7}" for number in range(700))
    parts = engine["splits"].divide(keys, 0.2, 0.2)
    patients = [set(keys[part].tolist()) for part in parts]
    assert [len(part) for part in parts] == [420, 140, 140]
    assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])


def test_samples_of_one_key_stay_together_in_spite_of_their_classes(engine):
    keys = engine["identity"].hash_names(f"patient {number // 7}" for number in range(700))
    parts = engine["splits"].divide(keys, 0.2, 0.2, torch.arange(700) % 5 // 2)
    patients = [set(keys[part].tolist()) for part in parts]
    assert [len(part) for part in parts] == [420, 140, 140]
    assert sum(map(len, patients)) == 100


def divide_into_folds(engine, keys, total, strata=None, test=0.1):
    """Return the training, validation and test indices of each fold."""
    folds = []
    for number in range(total):
        args = Namespace(fold=engine["splits"].fold(f"{number + 1}/{total}"), dataset="csv")
        with engine["splits"].folding(args):
            folds.append(engine["splits"].divide(keys, 0.1, test, strata))
    return folds


def test_folds_test_each_sample_once_and_are_stratified(engine):
    classes = ["cat"] * 40 + ["dog"] * 21 + ["axolotl"] * 3
    keys = engine["identity"].hash_names(f"{number}.png" for number in range(64))
    plain = engine["splits"].divide(keys, 0.1, 0.1, classes)
    folds = divide_into_folds(engine, keys, 5, classes)
    tested = torch.cat([test for _, _, test in folds])
    assert sorted(tested.tolist()) == list(range(64))
    for train, val, test in folds:
        assert sorted(torch.cat((train, val, test)).tolist()) == list(range(64))
        counts = [[classes[index] for index in test.tolist()].count(name) for name in set(classes)]
        wanted = [classes.count(name) / 5 for name in set(classes)]
        assert all(abs(n - share) < 1 for n, share in zip(counts, wanted, strict=True))
        labels = [classes[index] for index in val.tolist()]
        assert [labels.count(name) for name in ("cat", "dog")] == [3, 2]  # a tenth of 32, of 17
    for part, other in zip(plain, engine["splits"].divide(keys, 0.1, 0.1, classes), strict=True):
        assert torch.equal(part, other)  # without --fold again


def test_folds_keep_groups_together(engine):
    keys = engine["identity"].hash_names(f"patient {number // 7}" for number in range(700))
    for strata in (None, torch.arange(700) % 5 // 2):
        folds = divide_into_folds(engine, keys, 4, strata)
        assert sorted(torch.cat([test for _, _, test in folds]).tolist()) == list(range(700))
        for parts in folds:
            patients = [set(keys[part].tolist()) for part in parts]
            assert sum(map(len, patients)) == 100 and len(parts[2]) == 175


def test_folds_of_what_has_none_are_an_error(engine):
    error, splits = engine["errors"].UserError, engine["splits"]
    keys = torch.arange(20)
    with pytest.raises(error, match="--fold 1/3: the data have a test split of their own"):
        divide_into_folds(engine, keys, 3, test=0)
    assert len(splits.divide(keys, 0.1, 0)[2]) == 0  # the fold is forgotten
    with pytest.raises(error, match="20 different samples or groups, and more"):
        divide_into_folds(engine, keys, 20)
    assert len(divide_into_folds(engine, keys, 19)) == 19
    with (
        pytest.raises(error, match="--fold 1/2: the splits of --dataset cifar10 are given"),
        splits.folding(Namespace(fold="1/2", dataset="cifar10")),
    ):
        pass
    for text in ("0/5", "6/5", "1/1", "1", "1/0", "a/b", "-1/5", ""):
        with pytest.raises(ArgumentTypeError, match="is not i/k"):
            splits.fold(text)
    assert splits.fold("02/05") == "2/5"


def test_files_of_others_are_left_out(engine, tmp_path):
    make(tmp_path, "a.png", "._a.png", "b.HEIC", "README", "deep/", "__MACOSX/", ".cache/")
    make(tmp_path / "deep", "c.PNG", "desktop.ini")
    make(tmp_path / "__MACOSX", "d.png")
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    files, left_out = engine["listing"].list_files(tmp_path, {".png"})
    assert [path.name for path in files] == ["a.png", "c.PNG"]
    assert engine["listing"].describe_left_out(left_out) == [
        "left out: 1 x .heic file, 1 x file without a suffix, 2 x hidden file, 2 x hidden folder"
    ]
    outside = make(tmp_path.parent, f"{tmp_path.name}_linked/") / f"{tmp_path.name}_linked"
    make(outside, "e.png")
    (tmp_path / "link").symlink_to(outside)
    files, _ = engine["listing"].list_files(tmp_path, {".png"})
    assert [path.name for path in files] == ["a.png", "c.PNG", "e.png"]


def test_a_checkpoint_knows_its_samples(engine, tmp_path):
    identity, error = engine["identity"], engine["errors"].UserError
    train = SimpleNamespace(names=["a", "b", "c"])
    args = Namespace(resume=False, other_data=False)
    assert not identity.compare_keys(args, tmp_path, train, train)
    identity.write_keys(tmp_path, train)
    test = SimpleNamespace(names=["d", "e"])
    assert identity.compare_keys(args, tmp_path, train, test)
    with pytest.raises(error, match="test sample b was trained on, one of 1 such samples of 2"):
        identity.compare_keys(
            args, tmp_path, SimpleNamespace(names=["a", "c"]), SimpleNamespace(names=["d", "b"])
        )
    keys = identity.hash_names(["a", "c", "x", "y"])
    args.resume = True
    with pytest.raises(error, match="has 2 new samples and lacks 1 of those"):
        identity.compare_keys(args, tmp_path, SimpleNamespace(keys=keys), test)
    args.other_data = True
    assert identity.compare_keys(args, tmp_path, SimpleNamespace(keys=keys), test)


def test_samples_without_keys_are_compared_by_their_number(engine, tmp_path):
    identity, error = engine["identity"], engine["errors"].UserError
    (tmp_path / "run.json").write_text('{"data": "digits, samples: train 9, val 3, test 3"}')
    args = Namespace(resume=False, other_data=False, init_from=None)
    args.evaluate = tmp_path / "checkpoints" / "best.pt"
    sizes = "other, samples: train 9, val 3, test 3"
    assert identity.check_samples(args, tmp_path / "new", sizes, [], []) == ""
    more = sizes.replace("train 9", "train 10")
    warning = identity.check_samples(args, tmp_path / "new", more, [], [])
    assert warning.startswith("the samples are train 10, val 3, test 3, and were train 9,")
    args.evaluate, args.resume = None, True
    with pytest.raises(error, match="--other-data continues all the same"):
        identity.check_samples(args, tmp_path, more, [], [])
    args.other_data = True
    assert identity.check_samples(args, tmp_path, more, [], []) == ""


def test_a_checkpoint_keeps_the_samples_it_had_before(engine, tmp_path):
    """After a resume with other data, those of both are known."""
    identity, error = engine["identity"], engine["errors"].UserError
    identity.write_keys(tmp_path, SimpleNamespace(names=["a", "b"]))
    other = SimpleNamespace(names=["c", "d"])
    identity.write_keys(tmp_path, other)
    args = Namespace(resume=False, other_data=False)
    with pytest.raises(error, match="test sample a was trained on"):
        identity.compare_keys(args, tmp_path, other, SimpleNamespace(names=["a", "e"]))


def test_a_checkpoint_keeps_the_samples_of_the_runs_before(engine, tmp_path):
    """Those that --init-from named, also of the run before that one, which may be gone by then."""
    identity, error = engine["identity"], engine["errors"].UserError
    before = None
    for name in ("first", "second", "third"):
        (tmp_path / name).mkdir()
        identity.write_keys(tmp_path / name, SimpleNamespace(names=[name, "shared"]), before)
        before = tmp_path / name / "best.pt"
    args = Namespace(resume=True, other_data=False)
    third, new = SimpleNamespace(names=["third", "shared"]), SimpleNamespace(names=["new"])
    assert identity.compare_keys(args, tmp_path / "third", third, new)
    with pytest.raises(error, match="test sample first was trained on"):
        tested = SimpleNamespace(names=["new", "first"])
        identity.compare_keys(args, tmp_path / "third", third, tested)


def test_other_meanings_of_a_checkpoint(engine):
    identity, error = engine["identity"], engine["errors"].UserError
    saved = {"classes": ["cat", "dog"], "vocabulary": ["a", "b"], "mean": torch.tensor([0.5])}
    identity.check_info(saved, {**saved, "notes": ["one"], "mean": torch.tensor([0.50001])}, False)
    renamed = {**saved, "classes": ["dog", "cat"]}
    with pytest.raises(error, match="classes is dog, cat, and was cat, dog in training; --other"):
        identity.check_info(saved, renamed, False)
    identity.check_info(saved, renamed, True)
    many = [f"class {number}" for number in range(100)]
    with pytest.raises(error, match=r"class 70, cat, class 72.*, and was .*class 70, class 71, "):
        identity.check_info({"classes": many}, {"classes": [*many[:71], "cat", *many[72:]]}, False)
    with pytest.raises(error, match=r"vocabulary is a, c, and was a, b in training$"):
        identity.check_info(saved, {**renamed, "vocabulary": ["a", "c"]}, True)


def test_another_model_than_the_checkpoint_s(engine):
    identity, error = engine["identity"], engine["errors"].UserError
    saved = {"name": "cnn", "arguments": {"width": 8}}
    identity.check_model(saved, {"name": "cnn", "arguments": {"width": 8}})
    with pytest.raises(error, match="the checkpoint is of --model cnn, not of mlp"):
        identity.check_model(saved, {"name": "mlp", "arguments": {}})
    with pytest.raises(error, match="the checkpoint's model has width 8, this run's 16"):
        identity.check_model(saved, {"name": "cnn", "arguments": {"width": 16}})

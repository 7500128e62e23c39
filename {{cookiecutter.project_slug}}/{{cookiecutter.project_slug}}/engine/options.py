# {% import "tasks/" ~ cookiecutter.task ~ "/defaults.jinja" as own %}
"""Command line options, and the saved options of --config, --resume and --evaluate.

Any `add_argument` works with them: `type`, `choices`, `nargs`, `dest`, `required`, `store_true`,
`append`, `count`, `BooleanOptionalAction`, ... A saved value is checked against the type and the
choices of its option. A typed option takes precedence over the saved one.
"""

import argparse
import errno
import json
import math
import os
import sys
# {% if cookiecutter.distributed != "none" %}
import time
# {% endif %}
from argparse import Action, ArgumentError, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Collection
from pathlib import Path
from typing import Any, NoReturn

# Not in config.json: the options of one command alone, and the two attributes that parsing adds.
NOT_SAVED = {"check_data", "config", "evaluate", "other_data", "quiet", "resume", "run_dir"}
NOT_SAVED |= {"defaults", "changed"}
# Options that may differ when a run is resumed. With any other it would not be the same training;
# --epochs is allowed and stretches the schedule of the learning rate.
MAY_CHANGE = {"compile", "data_dir", "device", "epochs", "grad_accum", "log_every", "patience"}
MAY_CHANGE |= {"activation_checkpointing", "profile", "save_every"}
# {% if own.workers %}
MAY_CHANGE |= {"workers"}
# {% endif %}
# {% if cookiecutter.distributed != "none" %}
MAY_CHANGE |= {"dist_timeout"}
# {% endif %}
# {% if cookiecutter.distributed == "fsdp" %}
MAY_CHANGE |= {"sharded_checkpoints"}
# {% endif %}

NUMBERS = {int: "whole number", float: "number"}


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the default of each option that has one."""

    def _get_help_string(self, action: Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


class Parser(ArgumentParser):
    """An ArgumentParser that shows defaults, and reports a wrong option in one line."""

    def __init__(self, prog: str, **settings: Any):
        settings.setdefault("usage", "%(prog)s [options]")
        settings.setdefault("formatter_class", HelpFormatter)
        super().__init__(prog, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        message = message.removeprefix("argument ")
        # {% if cookiecutter.distributed != "none" %}
        if os.environ.get("RANK", "0") != "0":
            time.sleep(5)  # rank 0 reports it, and torchrun ends this process meanwhile
        # {% endif %}
        self.exit(2, f"error: {message}; python {self.prog} --help shows all options\n")

    def _get_value(self, action: Action, arg_string: str) -> Any:
        if action.type is Path:
            try:
                check_path(arg_string)
            except ArgumentTypeError as error:
                raise ArgumentError(action, str(error)) from None
        return super()._get_value(action, arg_string)


def check_path(text: str) -> None:
    """Raise ArgumentTypeError if `text` cannot be a path; an empty one would be this folder."""
    if not text:
        raise ArgumentTypeError("a path is needed, not ''")
    try:
        os.stat(text)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ArgumentTypeError(f"{text[:40]}...: {error.strerror}") from None


class number:  # in lower case like int and float, as it is used like them: type=number(int, 1)
    """Type of an option: a finite number, at least `least` and below `below`."""

    def __init__(self, kind: type, least: float = 0, below: float = math.inf):
        self.kind = kind
        self.least = least
        self.below = below

    def __call__(self, text: str) -> Any:
        try:
            value = self.kind(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not a {NUMBERS[self.kind]}") from None
        self.check(value)
        return value

    def check(self, value: Any) -> None:
        """Raise ArgumentTypeError if `value` is not a number of this kind and range."""
        check_number(self.kind, value)
        if isinstance(value, float) and not math.isfinite(value):
            raise ArgumentTypeError(f"{value} is not a finite number")
        if value < self.least:
            raise ArgumentTypeError(f"{value} is too small, at least {self.least} is needed")
        if value >= self.below:
            raise ArgumentTypeError(f"{value} is too large, it must be below {self.below}")


def check_number(kind: type, value: Any) -> None:
    """Raise ArgumentTypeError if `value` is not of `kind`, int or float."""
    if isinstance(value, bool) or not isinstance(value, (int, kind)):
        raise ArgumentTypeError(f"{value!r} is not a {NUMBERS[kind]}")


# -------------------------------------------------------------------------------------- parsing


def parse_with_saved_options(parser: ArgumentParser, argv: list[str]) -> Namespace:
    """Parse `argv` on top of the saved options that --config, --resume or --evaluate name.

    Two attributes are added: `defaults`, each option's default by its name, and `changed`, what to
    type for each option that differs from its default, e.g. {"augment": ["--no-augment"]}.
    """
    first = parse_without_required(parser, argv)  # --help, --doctor and wrong options end here
    defaults = get_defaults(parser)
    path = find_saved_options(parser, first)
    if path is None:
        args = parser.parse_args(argv)
        expand_home(args)
    else:
        saved = read_config(parser, path)
        names = typed_names(parser, argv)
        if first.evaluate is not None:
            saved.pop("init_from", None)  # what is tested has its weights
        check_names(parser, path, saved, defaults, ignore=first.evaluate is not None)
        if first.resume:
            check_unchanged(parser, first, names, saved)
        args = parse_without_required(parser, argv, saved)
        for name in saved.keys() - names:
            setattr(args, name, restore(parser, path, name, saved[name], defaults.get(name)))
    if args.init_from and getattr(args, "pretrained", False):
        parser.error("--init-from and --pretrained exclude each other: both give the first weights")
    args.run_dir = first.run_dir
    args.changed = changed_options(parser, args, defaults)
    args.defaults = defaults
    return args


def get_defaults(parser: ArgumentParser) -> dict[str, Any]:
    """Return the default of each option by its name."""
    return vars(parse_without_required(parser, []))


def parse_without_required(
    parser: ArgumentParser,
    argv: list[str],
    names: Collection[str] | None = None,
    namespace: Namespace | None = None,
) -> Namespace:
    """Parse `argv`; options with one of `names`, by default all, need not be there."""
    required: list[Any] = []
    for action in parser._actions:
        if action.required and (names is None or action.dest in names):
            required.append(action)
    for group in parser._mutually_exclusive_groups:
        if group.required and (names is None or not members_of(group).isdisjoint(names)):
            required.append(group)
    for part in required:
        part.required = False
    try:
        args = parser.parse_args(argv, namespace)
    finally:
        for part in required:
            part.required = True
    expand_home(args)
    return args


def expand_home(args: Namespace) -> None:
    """Replace ~ in paths, which a shell leaves behind `=`."""
    for name, value in vars(args).items():
        if isinstance(value, Path):
            setattr(args, name, value.expanduser())


def members_of(group: Any) -> set[str]:
    """Return the names of the options in a mutually exclusive group."""
    return {action.dest for action in group._group_actions}


class TypedOptions(Namespace):
    """Only the options that are typed: as all others are None, argparse sets no defaults."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):  # argparse's own attributes
            raise AttributeError(name)


def typed_names(parser: ArgumentParser, argv: list[str]) -> set[str]:
    """Return the names of the options that `argv` sets, and of those that these exclude."""
    positionals = [action for action in parser._actions if not action.option_strings]
    defaults = [action.default for action in positionals]
    for action in positionals:
        action.default = None  # argparse stores it as if it had been typed
    typed = vars(parse_without_required(parser, argv, namespace=TypedOptions()))
    for action, default in zip(positionals, defaults, strict=True):
        action.default = default
        if typed.get(action.dest) in (None, []):
            typed.pop(action.dest, None)
    names = set(typed)
    for group in parser._mutually_exclusive_groups:
        if not names.isdisjoint(members_of(group)):
            names |= members_of(group)
    return names


def changed_options(
    parser: ArgumentParser, args: Namespace, defaults: dict[str, Any]
) -> dict[str, list[str]]:
    """Return what to type for each option that differs from its default, positionals first."""
    positionals = {}
    options = {}
    for name, value in vars(args).items():
        same = name in defaults and to_json(value) == to_json(defaults[name])
        if name in NOT_SAVED or same:
            continue
        actions = actions_of(parser, name)
        words = as_words(name, value, actions)
        if actions and not actions[0].option_strings:
            positionals[name] = words
        else:
            options[name] = words
    return positionals | options  # behind an option of several values they would be taken for one


# ------------------------------------------------------------------------- where options are saved


def find_saved_options(parser: ArgumentParser, args: Namespace) -> Path | None:
    """Return the config.json to read, or None; sets `args.run_dir` to the newest run to resume."""
    check_source(parser, args)
    try:
        if args.resume:
            return config_to_resume(parser, args)
        if args.evaluate is not None and args.config is None:
            return config_of_checkpoint(parser, args.evaluate)
    except OSError as error:
        parser.error(f"cannot read {error.filename}: {error.strerror}")
    return args.config


def check_source(parser: ArgumentParser, args: Namespace) -> None:
    """Refuse --resume with --config or --evaluate, and a --run-dir that cannot be one."""
    for name in ("config", "evaluate"):
        if args.resume and getattr(args, name) is not None:
            parser.error(f"--resume and --{name} exclude each other")
    if args.init_from is not None and args.evaluate is not None:
        parser.error("--init-from and --evaluate exclude each other")
    if args.init_from is not None and not args.resume and not args.init_from.exists():
        parser.error(f"--init-from: {args.init_from} does not exist")
    if args.check_data and (args.resume or args.evaluate is not None):
        parser.error("--check-data ends before a training, --resume or --evaluate can begin")
    if args.run_dir is None:
        return
    if not args.run_dir.name:  # of '', '.' and '/'
        parser.error("--run-dir needs the name of a folder")
    try:
        str(args.run_dir).encode()
    except UnicodeEncodeError:
        parser.error(f"--run-dir {str(args.run_dir)!a} is not valid UTF-8")


def config_to_resume(parser: ArgumentParser, args: Namespace) -> Path | None:
    """Return the config.json of the run that --resume continues; None if it starts a new one."""
    if args.run_dir is None:
        args.run_dir = newest_run(Path("runs"))
    if args.run_dir is None or not (args.run_dir / "config.json").exists():
        return None
    if not (args.run_dir / "checkpoints").is_dir():
        parser.error(f"--resume: {args.run_dir} is not a training run, it has no checkpoints")
    return args.run_dir / "config.json"


def newest_run(folder: Path) -> Path | None:
    """Return the run in `folder` that was started or resumed last; None if there is none.

    An evaluation, which has no directory `checkpoints`, is not a run to resume.
    """
    newest = None
    newest_time = -math.inf
    for path in folder.glob("*/config.json"):
        time = path.stat().st_mtime
        if time > newest_time and (path.parent / "checkpoints").is_dir():
            newest = path.parent
            newest_time = time
    return newest


def config_of_checkpoint(parser: ArgumentParser, checkpoint: Path) -> Path:
    """Return the config.json of the run directory of `checkpoint`, two folders up."""
    if not checkpoint.exists():
        parser.error(f"--evaluate: {checkpoint} does not exist")
    if checkpoint.is_dir():
        parser.error(
            f"--evaluate: {checkpoint} is a folder; give a checkpoint, such as "
            "RUN/checkpoints/best.pt"
        )
    path = checkpoint.resolve().parent.parent / "config.json"
    if not path.exists():
        parser.error(
            f"--evaluate: {checkpoint} is not in a run directory; add --config CONFIG_JSON, the "
            "options of its training"
        )
    return path


def read_config(parser: ArgumentParser, path: Path) -> dict[str, Any]:
    """Return the saved options in a config.json, by name."""
    try:
        if path.exists() and not path.is_file():
            parser.error(f"{path} is not a file with saved options")
        saved = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        parser.error(f"cannot read {path}: {error.strerror}")
    except UnicodeDecodeError:
        parser.error(
            f"cannot read the options in {path}: it is not UTF-8; give the config.json of a run"
        )
    except (ValueError, RecursionError) as error:
        parser.error(f"cannot read the options in {path}: {error}")
    if not isinstance(saved, dict):
        parser.error(f"cannot read the options in {path}: it holds no dictionary")
    return saved


# -------------------------------------------------------------------------- saved values, and text


def to_save(args: Namespace) -> dict[str, Any]:
    """Return the options for config.json: numbers, strings, lists; anything else as its text."""
    options = {}
    for name, value in vars(args).items():
        if name not in NOT_SAVED and (name in args.defaults or name in args.changed):
            options[name] = to_json(value)
    return options


def to_json(value: Any) -> Any:
    """Return `value` as it is after it has been written to config.json and read again."""
    return json.loads(json.dumps(value, default=str))


def check_names(
    parser: ArgumentParser,
    path: Path,
    saved: dict[str, Any],
    defaults: dict[str, Any],
    ignore: bool,
) -> None:
    """End if the file has options that the parser does not know, or remove them with a warning."""
    known = set(defaults)
    for action in parser._actions:
        if action.nargs != 0 or action.const is not None:  # unlike --help
            known.add(action.dest)
    for name in sorted(saved.keys() - (known - NOT_SAVED)):
        if not ignore:
            why = "counts for one command alone" if name in known else "is no option here"
            parser.error(f"{path}: {name!r} {why}; remove it there")
        print(f"warning: {path}: {name!r} is not an option, it is ignored", file=sys.stderr)
        del saved[name]


def check_unchanged(
    parser: ArgumentParser, args: Namespace, typed: set[str], saved: dict[str, Any]
) -> None:
    """End if an option that is typed differs from that of the resumed run and may not."""
    for name in sorted(typed & saved.keys() - MAY_CHANGE):
        value = getattr(args, name, None)
        if to_json(value) != saved[name]:
            words = " ".join(as_words(name, value, actions_of(parser, name)))
            parser.error(
                f"{words}: {args.run_dir} was started with {json.dumps(saved[name])}; leave the "
                "option out, or start a new run"
            )


def restore(parser: ArgumentParser, path: Path, name: str, value: Any, default: Any) -> Any:
    """Return the value of an option from its saved `value`; end if it is not a valid one."""
    actions = actions_of(parser, name)
    constants = [action.const for action in actions if action.const is not None]
    for known in (default, *constants):
        if to_json(known) == value:
            return known
    if not actions:  # set by parser.set_defaults
        return value
    message = ""
    for action in actions:
        try:
            return restore_value(action, value, list_depth(action), constants)
        except (ArgumentTypeError, TypeError, ValueError) as error:
            message = str(error)
    parser.error(f"{path}: {flag_of(name, actions[0])}: {message}")


def list_depth(action: Action) -> int:
    """Return 0 if the action stores a value, 1 for a list of them, 2 for a list of lists."""
    depth = 0
    if action.nargs not in (None, argparse.OPTIONAL, 0):
        depth += 1
    if type(action) in (argparse._AppendAction, argparse._AppendConstAction):
        depth += 1
    return depth


def restore_value(action: Action, value: Any, depth: int, constants: list[Any]) -> Any:
    """Return what the action would have stored; ArgumentTypeError if it would have refused it."""
    if depth > 0 and isinstance(value, list):
        items = []
        for item in value:
            items.append(restore_value(action, item, depth - 1, constants))
        return items
    if type(action).__module__ != "argparse" and not isinstance(value, str):
        return value  # an action of one's own may store anything
    if depth > 0:
        raise ArgumentTypeError(f"{value!r} is not a list")
    if action.nargs == 0:
        return restore_flag(action, value, constants)
    if isinstance(value, str):
        value = convert(action, value)
    else:
        check_kind(action, value)
    if action.choices is not None and value not in action.choices:
        raise ArgumentTypeError(f"{value!r} is not one of {', '.join(map(str, action.choices))}")
    return value


def restore_flag(action: Action, value: Any, constants: list[Any]) -> Any:
    """Return the saved value of an option that takes no argument, such as store_true or count."""
    for constant in constants:
        if to_json(constant) == value:
            return constant
    if isinstance(action, argparse._CountAction):
        number(int).check(value)
    elif type(action).__module__ == "argparse" and not isinstance(value, bool):
        raise ArgumentTypeError(f"{value!r} is not a possible value")
    return value


def convert(action: Action, text: str) -> Any:
    """Return a saved string as the option's `type` makes it, e.g. a Path.

    A string that stays a string is left as it is: it was converted before it was saved.
    """
    if not callable(action.type):
        return text
    if action.type is Path:
        check_path(text)
    try:
        value = action.type(text)
    except Exception as error:  # a type of one's own may raise anything
        for choice in action.choices or ():
            if to_json(choice) == text:  # the text of e.g. an Enum's member
                return choice
        if isinstance(error, ArgumentTypeError):
            raise
        raise ArgumentTypeError(f"{text!r} is not a valid value") from None
    return text if type(value) is str else value


def check_kind(action: Action, value: Any) -> None:
    """Check a saved value that is not a string; it has been converted before it was saved."""
    kind: Any = action.type
    if isinstance(kind, number):
        kind.check(value)
    elif kind in NUMBERS:
        check_number(kind, value)
    elif value is None and action.nargs == argparse.OPTIONAL:
        pass  # typed without a value
    elif kind is None:
        raise ArgumentTypeError(f"{value!r} is not a text")
    elif isinstance(kind, type) and not issubclass(kind, type(value)):
        raise ArgumentTypeError(f"{value!r} is not a {kind.__name__}")


def actions_of(parser: ArgumentParser, name: str) -> list[Action]:
    """Return the actions that store the option `name`: several flags may share a `dest`."""
    return [action for action in parser._actions if action.dest == name]


def flag_of(name: str, action: Action | None = None) -> str:
    """Return the flag of an option, in its long form if there is one."""
    flags = ["--" + name.replace("_", "-")]
    if action is not None and action.option_strings:
        flags = list(action.option_strings)
    for flag in flags:
        if flag.startswith("--"):
            return flag
    return flags[0]


def as_words(name: str, value: Any, actions: Collection[Action] = ()) -> list[str]:
    """Return what to type for an option, e.g. ["--lr", "0.1"], ["--no-augment"].

    `actions` are those of the parser that store it; without them the flag follows from the name.
    """
    if isinstance(value, bool):
        flag = flag_of(name)
        words = [flag if value else flag.replace("--", "--no-", 1)]
    else:
        words = join(flag_of(name), value)
    for action in actions:
        if isinstance(action, argparse._AppendConstAction):
            return words_of_constants(value, actions)
        found = words_of(action, value)
        if found:
            return found
    return words


def words_of(action: Action, value: Any) -> list[str]:
    """Return what to type for `action` to store `value`; nothing if it cannot."""
    flag = flag_of(action.dest, action)
    if isinstance(action, argparse.BooleanOptionalAction):
        return [flag] if value else [action.option_strings[-1]]
    if isinstance(action, argparse._CountAction):
        return [flag] * (value - (action.default or 0))
    if action.nargs in (0, argparse.OPTIONAL) and action.option_strings and value == action.const:
        return [flag]
    if action.nargs == 0:
        return []
    if isinstance(value, list) and list_depth(action) == 0:
        value = ",".join(map(str, value))  # a list that the option's `type` has made
    if not action.option_strings:
        return list(map(str, value)) if isinstance(value, list) else [str(value)]
    if isinstance(action, argparse._AppendAction):
        value = behind_default(value, action.default)
    if type(action) is not argparse._AppendAction:
        return join(flag, value)
    words = []
    for item in value:
        words += join(flag, item)
    return words


def behind_default(value: list[Any], default: Any) -> list[Any]:
    """Return the items that append and extend have added to the default."""
    if default and value[: len(default)] == default:
        return value[len(default) :]
    return value


def words_of_constants(value: list[Any], actions: Collection[Action]) -> list[str]:
    """Return the flags of append_const that store the items of `value`."""
    words = []
    for item in behind_default(value, next(iter(actions)).default):
        for action in actions:
            if action.const == item:
                words.append(flag_of(action.dest, action))
    return words


def join(flag: str, value: Any) -> list[str]:
    """Return a flag and its value, or the items of a list, as words of a command line."""
    if isinstance(value, (list, tuple)):
        return [flag, *map(str, value)]
    if str(value).startswith("-"):  # would be taken for a flag
        return [f"{flag}={value}"]
    return [flag, str(value)]

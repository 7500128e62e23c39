"""What the cells of a column hold: numbers as people write them, times, codes or texts."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
# {% if cookiecutter.task in cookiecutter._uses.columns %}
from datetime import datetime, timedelta, timezone
# {% endif %}
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy

from .errors import UserError

if TYPE_CHECKING:  # slow to import
    from pandas import Series

MISSING = {"", "na", "n/a", "#n/a", "<na>", "nan", "null", "?"}  # in lower case

# Cells one below the other that are numbers as programs write them, or empty.
PLAIN = re.compile(
    r"(?:(?:[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]\d+)? *)?\n)*", re.ASCII
)
INTEGERS = re.compile(r"(?:(?:[+-]?(?:0|[1-9]\d*) *)?\n)*", re.ASCII)
THOUSANDS = re.compile(r"(?:(?:[+-]?(?:0|[1-9]\d{0,2}(?:\.\d{3})?) *)?\n)*", re.ASCII)

# How the digits of a number are written, by an example. Spaces may be apostrophes.
SHAPES = {
    "12": r"0|[1-9]\d*",
    "1.234": r"[1-9]\d{0,2}\.\d{3}",
    "1.5": r"((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]\d+)?|((0|[1-9]\d*)\.\d*|\.\d+)[eE]\d+",
    "1,234": r"[1-9]\d{0,2},\d{3}",
    "1,5": r"((0|[1-9]\d*)?,\d+)([eE][+-]?\d+)?",
    "1.234.567": r"[1-9]\d{0,2}(\.\d{3}){2,}",
    "1,234,567": r"[1-9]\d{0,2}(,\d{3}){2,}",
    "1.234,5": r"[1-9]\d{0,2}(\.\d{3})+,\d+",
    "1,234.5": r"[1-9]\d{0,2}(,\d{3})+\.\d+",
    "1 234": r"[1-9]\d{0,2}([ '\u2019]\d{3})+",
    "1 234.5": r"[1-9]\d{0,2}([ '\u2019]\d{3})+\.\d+",
    "1 234,5": r"[1-9]\d{0,2}([ '\u2019]\d{3})+,\d+",
    "007": r"0\d+",
    "1e5": r"\d+[eE]\d+",
}
WITH_POINT = {"12", "1.234", "1.5", "1,234", "1,234,567", "1,234.5", "1 234", "1 234.5"}
WITH_COMMA = {"12", "1,234", "1,5", "1.234", "1.234.567", "1.234,5", "1 234", "1 234,5"}
POINTS = {"1.5", "1,234.5", "1 234.5", "1,234,567"}  # of no decimal comma
CODED = {"007", "1e5"}  # among whole numbers

MONEY = r"[A-Z]{0,2}[$€£¥₹₽₩₺₫฿₪]|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|BRL"
UNIT = MONEY + r"|[%‰]|°?[A-Za-zµμΩ]{1,6}[²³]?(/[A-Za-z]{1,4}[²³]?)?|°"
WRITTEN = re.compile(
    rf"(?P<sign>[+-]?)(?P<before>({MONEY})?) ?(?P<sign2>[+-]?)"
    rf"(?P<digits>[\d.,][\d.,' \u2019]*?([eE][+-]?\d+)?) ?(?P<after>({UNIT})?)",
    re.ASCII,
)
PATTERNS = {name: re.compile(pattern, re.ASCII) for name, pattern in SHAPES.items()}
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)

CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(:(?P<second>\d{2}([.,]\d+)?))?"
    r"( ?(?P<half>[AaPp])[Mm])?"
)
OFFSET = r"( ?(?P<zone>Z|UTC|[+-]\d{2}:?\d{2}))?"
DATE = r"(?P<year>\d{4})(?P<mark>[-/])(?P<month>\d{1,2})((?P=mark)(?P<day>\d{1,2}))?"
YEAR_LAST = r"(?P<one>\d{1,2})(?P<mark>[-/.])(?P<two>\d{1,2})(?P=mark)(?P<year>\d{4})"
TIMES = {
    "date": re.compile(rf"{DATE}(,?[T ]{CLOCK}{OFFSET})?", re.ASCII),
    "date with the year last": re.compile(rf"{YEAR_LAST}(,?[T ]{CLOCK}{OFFSET})?", re.ASCII),
    "time": re.compile(CLOCK, re.ASCII),
}
# {% if cookiecutter.task in cookiecutter._uses.columns %}
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# {% endif %}

# What people write for a number: "<0.1", "(5)", "1/2".
NOTATION = re.compile(r"[<>~≈=±(]+\s*[+-]?\d[\d.,]*\s*[%)]*|\d+ ?/ ?\d+")
# What is meant as a number or a time, and is none: "<0.1", "1/2", "(5)", "3 mm x", "1.2.20".
LIKE_NUMBER = re.compile(
    r"[<>~≈=±(]*\s*[+-]?\s*([^\w\s]\s?)?\d[\d.,'\u2019 ]*"
    r"(/ ?\d+|\s*[^\W\d_]{0,6}[^\w\s]*|[-/.:]\d+[-/.:]\d.*|:\d+.*)"
)


ENOUGH = 100_000  # cells that tell whether most are different


class Form(NamedTuple):
    """The form of a cell."""

    kind: str  # "number", "code", "infinite", one of TIMES, "like a number" or "text"
    shape: str = ""  # one of SHAPES; which of day and month comes first; or "notation"
    before: str = ""  # the number: a currency
    after: str = ""  # the number: a unit


class Place(NamedTuple):
    """A cell, and where it is."""

    path: Path
    row: int
    cell: str


class Reading(NamedTuple):
    """How the cells of a column become numbers."""

    form: Form
    decimal: str = "."

    @property
    def unit(self) -> str:
        """What the numbers count, as a text; empty if the cells do not say it."""
        if self.form.kind == "time":
            return "hours"
        if self.form.kind in TIMES:
            return "days since 1970-01-01"
        return self.form.before or self.form.after


def is_missing(cell: str) -> bool:
    """Return whether a cell is empty, or holds a word for that."""
    return cell.strip().lower() in MISSING


def simplify(cell: str) -> str:
    """Return a cell with the minus and the spaces of a keyboard, and none at its ends."""
    if not cell.isascii():
        cell = cell.replace("\u2212", "-")
        for space in "\u00a0\u202f\u2009":
            cell = cell.replace(space, " ")
    return cell.strip()


def find_form(cell: str) -> Form:
    """Return the form of a cell that is not missing."""
    cell = simplify(cell)
    written = WRITTEN.fullmatch(cell)
    if written and not (written["sign"] and written["sign2"]):
        for shape, pattern in PATTERNS.items():
            if pattern.fullmatch(written["digits"]):
                kind = "code" if shape in CODED else "number"
                return Form(kind, shape, written["before"], written["after"])
    if INFINITE.fullmatch(cell):
        return Form("infinite")
    for kind, pattern in TIMES.items():
        match = pattern.fullmatch(cell)
        if match:
            return Form(kind, which_first(match) if kind == "date with the year last" else "")
    if NOTATION.fullmatch(cell):
        return Form("like a number", "notation")
    return Form("like a number" if LIKE_NUMBER.fullmatch(cell) else "text")


def which_first(match: re.Match[str]) -> str:
    """Return which of day and month a date with the year last has first: "day", "month", "?"."""
    if match["mark"] == "." or int(match["one"]) > 12:
        return "day"
    return "month" if int(match["two"]) > 12 else "?"


# -------------------------------------------------------------------------- the cells of a column


class Profile:
    """The forms of the cells of a column, counted part by part."""

    def __init__(self, name: str):
        self.name = name
        # {% if cookiecutter.task in cookiecutter._uses.columns %}
        self.remedy = f"add --columns {name}=category (or =drop)"  # of a cell that is no number
        # {% endif %}
        self.forms: Counter[Form] = Counter()
        self.places: dict[Form, Place] = {}  # the first cell of each form
        self.missing = 0
        self.hashes: list[Any] = []  # of the first cells that are no plain numbers
        self.hashed = 0  # these cells
        self.counts_rows = True  # whether each cell is one more than that above
        self.has_commas = False  # whether "1,234" is expected to have a decimal comma
        self.last = math.nan

    def add(self, path: Path, cells: Series) -> None:
        """Add some cells of a file; their index is the row."""
        if cells.dtype.kind in "iuf":
            self.add_numbers(path, cells)
            return
        values = cells.to_numpy(dtype=object)
        text = "\n".join(values) + "\n"
        if not PLAIN.fullmatch(text) or text.count("\n") > len(values):
            self.add_texts(path, cells)
            return
        shape = "1.5"
        given = values != ""
        self.missing += int((~given).sum())
        if INTEGERS.fullmatch(text):
            shape = "12"
        elif THOUSANDS.fullmatch(text):
            shape = "1.234"
            whole = given & numpy.array(["." not in cell for cell in values])
            self.count(Form("number", "12"), path, cells, whole)
            given = given & ~whole
        self.count(Form("number", shape), path, cells, given)
        self.follow(values[given].astype(float) if shape == "12" else None)

    def add_numbers(self, path: Path, cells: Series) -> None:
        """Add cells that are numbers already."""
        values = cells.to_numpy()
        finite = numpy.isfinite(values)
        missing = numpy.isnan(values)
        whole = bool((values[finite] % 1 == 0).all())
        self.count(Form("number", "12" if whole else "1.5"), path, cells, finite)
        self.count(Form("infinite"), path, cells, ~finite & ~missing)
        self.missing += int(missing.sum())
        self.follow(values[finite] if whole else None)

    def add_texts(self, path: Path, cells: Series) -> None:
        """Add cells of any form."""
        import pandas

        codes, different = pandas.factorize(cells.to_numpy(dtype=object))
        forms = [None if is_missing(cell) else find_form(cell) for cell in different]
        for form in dict.fromkeys(forms):
            chosen = numpy.array([other == form for other in forms])[codes]
            if form is None:
                self.missing += int(chosen.sum())
            else:
                self.count(form, path, cells, chosen)
        self.follow(None)
        if self.hashed < ENOUGH:
            given = numpy.array([form is not None for form in forms], dtype=bool)
            self.hashes.append(pandas.util.hash_array(different[given], categorize=False))
            self.hashed += int(given[codes].sum())

    def count(self, form: Form, path: Path, cells: Series, chosen: Any) -> None:
        """Count the chosen cells, which have a form, and keep the place of the first one."""
        if not chosen.any():
            return
        self.forms[form] += int(chosen.sum())
        if form not in self.places:
            first = int(chosen.argmax())
            self.places[form] = Place(path, int(cells.index[first]), str(cells.iloc[first]))

    def follow(self, values: Any) -> None:
        """Go on to find out whether the cells count the rows; None if they do not."""
        if values is None or len(values) == 0:
            self.counts_rows = False
        if not self.counts_rows:
            return
        begins = values[0] in (0, 1, self.last + 1)
        self.counts_rows = bool(begins and (numpy.diff(values) == 1).all())
        self.last = values[-1]

    def cells(self, *kinds: str) -> int:
        """Return the number of cells of some kinds, or of all that are not missing."""
        return sum(n for form, n in self.forms.items() if not kinds or form.kind in kinds)

    def share_different(self) -> float:
        """Return the share of different ones among the first cells that are no plain numbers."""
        if not self.hashed:
            return 0.0
        return len(numpy.unique(numpy.concatenate(self.hashes))) / self.hashed


# ----------------------------------------------------------------------- what a column is read as


def find_reading(profile: Profile, forced: bool = False) -> Reading | None:
    """Return how the cells of a column become numbers, or None if they are names of categories.

    If over half of the cells are numbers of one form, or dates, or times, any other cell is a
    mistake; so it is if nine in ten begin like numbers, and most are different or none is a name.
    Whole numbers are names if one of them begins with a zero, as 007, or is like 1e5. `forced`
    makes any column one of numbers. Raises UserError that names a cell and says what to write.
    """
    cells = profile.cells()
    shapes = {form.shape for form in profile.forms if form.kind in ("number", "code")}
    if not forced and shapes & CODED and shapes <= {"12", *CODED} and not profile.cells("text"):
        return None
    for kind in TIMES:
        if profile.cells(kind) > cells / 2:
            return Reading(find_time(profile, kind))
    usual = usual_number(profile, forced)
    readable = profile.cells("infinite")
    for form, count in profile.forms.items():
        if form.kind == "number" and form[2:] == usual[2:]:
            readable += count
    like_numbers = cells - profile.cells("text", "code")
    meant = profile.share_different() > 0.5 or not any(map(is_name, profile.forms))
    if forced or readable > cells / 2 or (meant and like_numbers >= 0.9 * cells):
        return find_number(profile, usual, forced)
    return None


def is_name(form: Form) -> bool:
    """Return whether few different cells of this form may be names: 1st, 12 km and 8 mi, 3.10.2."""
    if form.kind == "like a number":
        return form.shape != "notation"
    return form.kind in ("text", "code", *TIMES) or form.after.isalpha()


def usual_number(profile: Profile, forced: bool) -> Form:
    """Return the form of most of the numbers."""
    kinds = ("number", "code") if forced else ("number",)
    affixes: Counter[tuple[str, ...]] = Counter()
    for form, count in profile.forms.items():
        if form.kind in kinds:
            affixes[form[2:]] += count
    return Form("number", "", *affixes.most_common(1)[0][0]) if affixes else Form("number")


def find_number(profile: Profile, usual: Form, forced: bool) -> Reading:
    """Return how the cells become numbers, with the decimal mark that all of them allow."""
    places: dict[str, Place] = {}  # by shape
    for form, place in profile.places.items():
        if form.kind == "infinite":
            continue
        if form[2:] != usual[2:] or not (form.kind == "number" or (forced and form.kind == "code")):
            raise mistake(profile, place)
        if form.shape not in CODED:
            places[form.shape] = place
    shapes = places.keys()
    if shapes == {"12", "1.234"}:  # of decimals, some would end with a zero, and be shorter
        raise ambiguous(profile.name, places["1.234"])
    if shapes == {"1,234"} and profile.has_commas and not usual.before:
        return Reading(usual, decimal=",")
    either = shapes <= WITH_POINT and shapes <= WITH_COMMA and "1,234" in shapes
    if shapes <= WITH_POINT and (not either or usual.before):  # no price has three decimals
        return Reading(usual)
    if shapes <= WITH_POINT:
        raise ambiguous(profile.name, places["1,234"])
    if shapes <= WITH_COMMA:
        return Reading(usual, decimal=",")
    raise mistake(profile, places[min(shapes - WITH_POINT)])


def find_time(profile: Profile, kind: str) -> Form:
    """Return the form of dates or times, with the order of day and month."""
    firsts = {form.shape for form in profile.forms if form.kind == kind} - {"?"}
    for form, place in profile.places.items():
        if form.kind != kind:
            raise mistake(profile, place)
        if kind == "date with the year last" and len(firsts) != 1:
            raise UserError(
                f"{place.path}, row {place.row}: {profile.name} is {place.cell!r}: which is the "
                "day? Write dates as 2020-01-31"
            )
    return Form(kind, *firsts)


def mistake(profile: Profile, place: Place) -> UserError:
    """Return the error of a cell that is of another form than the rest of the column."""
    usual = profile.places[profile.forms.most_common(1)[0][0]]
    unlike = f", unlike {usual.cell!r} in row {usual.row}" if usual != place else ""
    # {% if cookiecutter.task in cookiecutter._uses.columns %}
    remedy = f"leave the cell empty, or {profile.remedy}"
    # {% else %}
    remedy = "or leave the cell empty"
    # {% endif %}
    return UserError(
        f"{place.path}, row {place.row}: {profile.name} is {place.cell!r}, not a number{unlike}; "
        f"write a number such as 1234.5, {remedy}"
    )


def expect_commas(profiles: Iterable[Profile]) -> None:
    """Expect decimal commas in the columns of a file with semicolons, unless one has points.

    Where a comma separates the cells, it is that of thousands; where it stands for decimals,
    programs write semicolons.
    """
    profiles = list(profiles)
    for profile in profiles:
        if any(form.kind == "number" and form.shape in POINTS for form in profile.forms):
            return
    for profile in profiles:
        profile.has_commas = True


def ambiguous(name: str, place: Place) -> UserError:
    """Return the error of a column whose mark may stand for decimals or for thousands."""
    return UserError(
        f"{place.path}, row {place.row}: {name} is {place.cell!r}: does the mark stand for "
        "decimals or for thousands? Write 1234 or 1.2340"
    )


# ----------------------------------------------------------------------------------------- numbers


def to_numbers(path: Path, name: str, cells: Series, reading: Reading) -> Any:
    """Return the numbers in some cells, NaN where one is missing: float64 array (cells,).

    Raises UserError with the row of a cell of another form.
    """
    numbers, is_wrong = read_numbers(cells, reading)
    for index in is_wrong.nonzero()[0][:1].tolist():
        raise UserError(
            f"{path}, row {cells.index[index]}: {name} is {cells.iloc[index]!r}, not a "
            f"{reading.form.kind} like those of the training split"
        )
    return numbers


def read_numbers(cells: Series, reading: Reading) -> tuple[Any, Any]:
    """Return the numbers in some cells, and which are of another form: arrays (cells,).

    The numbers are float64, NaN where one is missing or of another form.
    """
    import pandas

    none = numpy.zeros(len(cells), dtype=bool)
    if cells.dtype.kind in "iuf":
        return cells.to_numpy(dtype=float, copy=True), none
    values = cells.to_numpy(dtype=object)
    text = "\n".join(values) + "\n"
    if reading == Reading(Form("number")) and PLAIN.fullmatch(text):
        return numpy.where(values == "", "nan", values).astype(float), none
    codes, different = pandas.factorize(values)
    numbers = numpy.full(len(different), math.nan)
    is_wrong = numpy.zeros(len(different), dtype=bool)
    for code, cell in enumerate(different):
        if not is_missing(cell):
            try:
                numbers[code] = to_number(cell, reading)
            except ValueError:
                is_wrong[code] = True
    return numbers[codes], is_wrong[codes]


def to_number(cell: str, reading: Reading) -> float:
    """Return the number in a cell. Raises ValueError if its form is not that of the reading."""
    form = find_form(cell)
    cell = simplify(cell)
    if form.kind == "infinite":
        return float(cell)
    # {% if cookiecutter.task in cookiecutter._uses.columns %}
    if form.kind in TIMES and form.kind == reading.form.kind:
        match = TIMES[form.kind].fullmatch(cell)
        assert match is not None
        return hours(match) if form.kind == "time" else days(match, reading.form.shape == "day")
    # {% endif %}
    if form.kind in ("number", "code") and form[2:] == reading.form[2:]:
        allowed = WITH_POINT if reading.decimal == "." else WITH_COMMA
        match = WRITTEN.fullmatch(cell)
        if match and (form.shape in allowed or form.shape in CODED):
            thousands = "," if reading.decimal == "." else "."
            digits = re.sub(rf"[ '\u2019{thousands}]", "", match["digits"])
            value = float(digits.replace(",", "."))
            return -value if "-" in (match["sign"], match["sign2"]) else value
    raise ValueError(cell)
# {% if cookiecutter.task in cookiecutter._uses.columns %}


def hours(match: re.Match[str]) -> float:
    """Return the hours of a time."""
    hour = int(match["hour"])
    if match["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(match.string)
        hour = hour % 12 + (12 if match["half"] in "Pp" else 0)
    minute = int(match["minute"])
    second = float((match["second"] or "0").replace(",", "."))
    if minute > 59 or second >= 61:
        raise ValueError(match.string)
    return hour + minute / 60 + second / 3600


def days(match: re.Match[str], day_first: bool) -> float:
    """Return the days from 1970-01-01 to a date, in UTC if it has a zone."""
    parts = match.groupdict()
    if "one" in parts:
        day, month = parts["one"], parts["two"]
        if not day_first:
            day, month = month, day
    else:
        day, month = parts["day"] or "1", parts["month"]
    date = datetime(int(parts["year"]), int(month), int(day), tzinfo=timezone.utc)
    value = (date - EPOCH) / timedelta(days=1)
    if parts["hour"]:
        value += hours(match) / 24
    zone = (parts["zone"] or "").replace(":", "")
    if zone[:1] in ("+", "-"):
        offset = int(zone[1:3]) + int(zone[3:5]) / 60
        value -= (-offset if zone[0] == "-" else offset) / 24
    return value
# {% endif %}

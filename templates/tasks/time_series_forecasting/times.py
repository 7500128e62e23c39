"""Times of the rows of a series: read in many formats, put in order, searched for gaps."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from .errors import UserError

if TYPE_CHECKING:  # slow to import
    from pandas import Series

DATES = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y"),
    *("%b %d, %Y", "%B %d, %Y", "%b %Y", "%b-%Y", "%B %Y", "%m/%Y", "%m.%Y", "%Y/%m"),
)
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
DIGITS = {6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
PERIODS = {  # other ways to write a month, a quarter, a week: the groups `year` and `part`
    "month": re.compile(r"(?P<year>\d{4})[-: ]?M(?P<part>\d{1,2})", re.IGNORECASE),
    "quarter": re.compile(r"(?P<year>\d{4})[-: ]?Q(?P<part>[1-4])", re.IGNORECASE),
    "quarter first": re.compile(r"Q(?P<part>[1-4])[-/ ]?(?P<year>\d{4})", re.IGNORECASE),
    "week": re.compile(r"(?P<year>\d{4})-?W(?P<part>\d{2})", re.IGNORECASE),
}
ZONE = re.compile(r".+:\d\d.*(Z|[+-]\d\d(:?\d\d)?)", re.IGNORECASE)
EXAMPLES = (
    "write 2016-07-01 13:00:00, 2016-07-01, 2016-07, 2016Q3 or a number, or name the column of the "
    "times by --time-column"
)
NANOSECONDS = {"day": 86_400 * 10**9, "hour": 3600 * 10**9, "minute": 60 * 10**9, "second": 10**9}


@dataclass
class Times:
    """The times of some rows: numbers, or nanoseconds since 1970 (int64), local or in UTC."""

    values: numpy.ndarray  # (rows,)
    kind: str  # "number", "local" or "UTC"
    column: str = ""  # in the table
    format: str = ""  # of the cells, one of those that `find_formats` returns
    example: str = ""  # a cell

    def describe(self, index: int) -> str:
        """Return a time as text."""
        if self.kind == "number":
            return f"{self.values[index]:.15g}"
        import pandas

        text = str(pandas.Timestamp(self.values[index]))
        return text.removesuffix(" 00:00:00") + (" UTC" if self.kind == "UTC" else "")


# ------------------------------------------------------------------------------ reading


class TimeReader:
    """Reads the times of a column, some rows at a time.

    A format must fit all rows. Raises UserError with the first row that is no time.
    """

    def __init__(self, path: Path, column: str):
        self.path = path
        self.column = column
        self.read: dict[str, list[numpy.ndarray]] = {}  # by format, for those that fit so far
        self.has_zone: bool | None = None
        self.example = ""

    def add(self, cells: Series) -> None:
        """Read texts or numbers; their index is the row in the file."""
        if not self.read:
            self.read = {name: [] for name in find_formats(cells.iloc[0])}
            self.example = str(cells.iloc[0]).strip()
        bad = 0  # the first cell that no format fits
        for name in list(self.read):
            values, is_time = parse(cells, name)
            if is_time.all():
                self.read[name].append(values)
            else:
                bad = max(bad, int(is_time.argmin()))
                del self.read[name]
        if not self.read:
            text = cells.iloc[bad]
            problem = f"{text!r} is no time" if text else f"{self.column} has no time"
            raise UserError(f"{self.path}, row {cells.index[bad]}: {problem}; {EXAMPLES}")
        if "ISO8601" in self.read:
            self.has_zone = check_zones(self.path, cells, self.has_zone)

    def finish(self) -> Times:
        """Return all times. Raises UserError if days and months cannot be told apart."""
        times = {name: numpy.concatenate(self.read.pop(name)) for name in list(self.read)}
        name = choose_format(self.path, times)
        kind = "UTC" if self.has_zone and name == "ISO8601" else "local"
        if name == "number":
            kind = name
        return Times(times[name], kind, self.column, name, self.example)


def find_formats(cell: Any) -> list[str]:
    """Return the formats that fit a cell, the most likely first."""
    import pandas

    text = str(cell).strip()
    names = [DIGITS[len(text)]] if len(text) in DIGITS else []
    names += ["number", *PERIODS, "ISO8601"]
    names = [name for name in names if parse(pandas.Series([cell]), name)[1].all()]
    if names:
        return names
    for date, clock in product(DATES, CLOCKS):
        try:
            datetime.strptime(text, date + clock)
        except ValueError:
            continue
        names.append(date + clock)
    return names


def parse(cells: Series, name: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return cells read in a format, and whether each of them fits, (rows,) both."""
    import pandas

    if name == "number":
        numbers = pandas.to_numeric(cells, errors="coerce").to_numpy(numpy.float64, na_value=0.0)
        is_number = cells.astype(str).str.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*")
        return numbers, is_number.to_numpy(bool)
    texts = cells.astype(str).str.strip()
    if name in PERIODS:
        groups = texts.str.extract(PERIODS[name].pattern + "$", flags=re.IGNORECASE)
        texts, name = rewrite(groups["year"], groups["part"], name)
    moments = pandas.to_datetime(texts, format=name, errors="coerce", utc=True)
    is_time = moments.notna()
    if name == "ISO8601":  # which also takes a number for a year
        is_time &= ~texts.str.fullmatch(r"\d{1,5}")
    if name in DIGITS.values():
        same_length = texts.str.fullmatch(r"\d+") & (texts.str.len() == len(texts.iloc[0]))
        is_time &= same_length & moments.dt.year.between(1900, 2100)
    values = moments.dt.tz_localize(None).to_numpy("datetime64[ns]").astype(numpy.int64)
    return values, is_time.to_numpy(bool)


def rewrite(years: Series, parts: Series, name: str) -> tuple[Series, str]:
    """Return the first day of months, quarters or weeks as texts, and their format."""
    if name == "week":
        return years + "-" + parts + "-1", "%G-%V-%u"
    if name.startswith("quarter"):
        parts = parts.map({"1": "01", "2": "04", "3": "07", "4": "10"})
    return years + "-" + parts.str.zfill(2), "%Y-%m"


def check_zones(path: Path, cells: Series, before: bool | None) -> bool:
    """Return whether times have their distance from UTC. Raises UserError if only some have it."""
    has_zone = cells.astype(str).str.fullmatch(ZONE.pattern, flags=re.IGNORECASE).to_numpy(bool)
    expected = bool(has_zone[0]) if before is None else before
    for index in (has_zone != expected).nonzero()[0][:1].tolist():
        without = "no distance from UTC" if expected else "a distance from UTC"
        raise UserError(
            f"{path}, row {cells.index[index]}: {cells.iloc[index]} has {without}, unlike the rows "
            "above; write all times with it, or all without"
        )
    return expected


def choose_format(path: Path, times: dict[str, numpy.ndarray]) -> str:
    """Return the format to use, of those that fit all rows: a day before its month, or behind it.

    Raises UserError if that is not clear.
    """
    names = list(times)
    first = times[names[0]]
    if len(names) == 1 or not names[0].startswith("%d"):
        return names[0]
    if names[0].startswith("%d.") or (first == times[names[1]]).all():
        return names[0]  # with points, the day is first
    in_order = []
    even = []
    for name in names:
        steps = numpy.diff(count_periods(Times(times[name], "local"))[0])
        if (steps > 0).all() or (steps < 0).all():
            in_order.append(name)
            if len(numpy.unique(steps)) == 1:
                even.append(name)
    for fitting in (in_order, even):
        if len(fitting) == 1:
            return fitting[0]
    raise UserError(
        f"{path}: days and months cannot be told apart; write 2016-07-01 for the first of July"
    )


# ------------------------------------------------------------------------ order and gaps


def sort_times(
    path: Path, times: Times, rows: numpy.ndarray, series: numpy.ndarray
) -> tuple[numpy.ndarray | None, list[str]]:
    """Return the order of the rows by series and time, (rows,), or None if they are in order.

    With it comes a note if the times of a series are in another order. `rows` are the rows in the
    file, `series` numbers the series of each row. Raises UserError if a time is there twice, or if
    numbers are not in order.
    """
    values = times.values
    same = series[1:] == series[:-1]
    if ((series[1:] > series[:-1]) | (same & (values[1:] > values[:-1]))).all():
        return None, []
    order = numpy.lexsort((values, series))
    twice = (numpy.diff(values[order]) == 0) & (numpy.diff(series[order]) == 0)
    for index in twice.nonzero()[0][:1].tolist():
        one, other = order[index], order[index + 1]
        raise UserError(
            f"{path}, row {rows[other]}: {times.describe(other)} is the time of row {rows[one]}, "
            f"too; {explain_twice(times, values[order][1:][twice])}"
        )
    late = same & (values[1:] < values[:-1])
    if not late.any():
        return order, []
    index = 1 + int(late.argmax())
    if times.kind == "number":  # perhaps no time at all
        raise UserError(
            f"{path}, row {rows[index]}: the time {times.describe(index)} is less than in the row "
            "before; sort the rows by time, or name the column of the times by --time-column"
        )
    return order, [
        f"{path.name}: sorted by time, as row {rows[index]} is earlier than the row before"
    ]


def explain_twice(times: Times, twice: numpy.ndarray) -> str:
    """Return what may be the reason for times that are there twice, and what to write."""
    if times.kind == "local" and is_clock_change(twice).all():
        return (
            "an hour comes twice when summer time ends: write the distance from UTC behind all "
            "times (2020-10-25 02:00:00+02:00, then 2020-10-25 02:00:00+01:00)"
        )
    return "write one row for each time, or name the column of several series: --series-column"


def is_clock_change(values: numpy.ndarray) -> numpy.ndarray:
    """Return whether local times are in a night in which clocks are changed, by the calendar."""
    import pandas

    moments = pandas.DatetimeIndex(values.astype("datetime64[ns]"))
    is_season = moments.month.isin([3, 4, 9, 10, 11])
    return numpy.asarray((moments.day_of_week == 6) & (moments.hour <= 3) & is_season)


def describe_steps(times: Times, rows: numpy.ndarray, series: numpy.ndarray) -> list[str]:
    """Return notes about the distances of times that are in order: the usual one, and gaps."""
    same = series[1:] == series[:-1]
    if not same.any():
        return []
    values, unit = count_periods(times)
    steps = values[1:] - values[:-1]
    usual = find_usual_step(steps, same)
    wide = same & (steps > 1.5 * usual)
    if times.kind == "local" and not unit:
        skips = (wide & (steps == usual + NANOSECONDS["hour"])).nonzero()[0]
        wide[skips] = ~is_clock_change(times.values[1 + skips])  # no gap: summer time begins
    name = describe_step(usual, times.kind, unit)
    first, last = int(times.values.argmin()), int(times.values.argmax())
    notes = [
        f"time: {times.column}, {times.describe(first)} to {times.describe(last)}, step {name}"
    ]
    share = (same & (steps == usual)).sum() / same.sum()
    if share < 0.5:
        notes.append(f"the times are irregular: the most frequent step is {share:.0%} of all")
        return notes
    gaps = wide.nonzero()[0]
    if len(gaps):
        widest = gaps[steps[gaps].argsort()[::-1][:3]]
        places = []
        for index in sorted(widest.tolist()):
            size = describe_step(steps[index], times.kind, unit)
            places.append(f"row {rows[index + 1]} ({times.describe(index + 1)}) is {size} later")
        number = "a gap" if len(gaps) == 1 else f"{len(gaps):,} gaps"
        longest = "" if len(gaps) == len(places) else "; the longest"
        notes.append(f"{number} in time, taken for one step{longest}: {', '.join(places)}")
    narrow = (same & (steps < 0.99 * usual)).nonzero()[0]
    if len(narrow):
        notes.append(
            f"{len(narrow):,} steps are shorter than {name}, first row {rows[narrow[0] + 1]}"
        )
    return notes


def find_usual_step(steps: numpy.ndarray, same: numpy.ndarray) -> Any:
    """Return the most frequent step within a series; `same` is False from one to the next."""
    first = steps[same.argmax()]
    if 2 * (same & (steps == first)).sum() > same.sum():
        return first
    sizes, counts = numpy.unique(steps[same], return_counts=True)
    return sizes[counts.argmax()]


def count_periods(times: Times) -> tuple[numpy.ndarray, str]:
    """Return times as numbers that grow evenly, and their unit: months, weekdays, or ""."""
    import pandas

    if times.kind == "number" or (times.values % NANOSECONDS["day"]).any():
        return times.values, ""
    moments = pandas.DatetimeIndex(times.values.astype("datetime64[ns]"))
    if (moments.day == moments.day[0]).all() or moments.is_month_end.all():
        return numpy.asarray(12 * moments.year + moments.month), "month"
    is_daily = NANOSECONDS["day"] in numpy.diff(times.values)
    if is_daily and (moments.day_of_week < 5).all():
        days = times.values.astype("datetime64[ns]").astype("datetime64[D]")
        return numpy.busday_count(numpy.datetime64("1970-01-01"), days), "weekday"
    return times.values, ""


def describe_step(step: Any, kind: str, unit: str) -> str:
    """Return a distance of times as text, such as 91 days."""
    if kind == "number":
        return f"{step:.15g}"
    size = 1
    if not unit:
        names = [name for name in NANOSECONDS if step % NANOSECONDS[name] == 0]
        if not names:
            return f"{step / 1e9:g} seconds"
        unit, size = names[0], NANOSECONDS[names[0]]
    count = int(step) // size
    return f"{count:,} {unit}" if count == 1 else f"{count:,} {unit}s"


# ------------------------------------------------------------------------ times to come


def continue_times(times: Times, count: int) -> Times:
    """Return the next times after those of a series, in its usual step: days, months, weekdays.

    Weekdays are those of a series that has left out a weekend.
    """
    values, unit = count_periods(times)
    if unit == "weekday" and numpy.diff(times.values).max() == NANOSECONDS["day"]:
        values, unit = times.values, ""
    steps = values[1:] - values[:-1]
    usual = find_usual_step(steps, numpy.ones(len(steps), dtype=bool))
    periods = values[-1] + usual * numpy.arange(1, count + 1)
    if unit == "month":
        periods = add_days(times, periods)
    elif unit == "weekday":
        first = numpy.datetime64("1970-01-01")
        periods = numpy.busday_offset(first, periods).astype("datetime64[ns]").astype(numpy.int64)
    return replace(times, values=periods.astype(times.values.dtype))


def add_days(times: Times, months: numpy.ndarray) -> numpy.ndarray:
    """Return the times of months, counted as 12 * year + month, on the day that the others have.

    A month that is too short has its last day.
    """
    import pandas

    moments = pandas.DatetimeIndex(times.values.astype("datetime64[ns]"))
    first = (months - 1 - 12 * 1970).astype("datetime64[M]")
    starts = pandas.DatetimeIndex(first.astype("datetime64[ns]"))
    last = starts.days_in_month
    days = last if moments.is_month_end.all() else numpy.minimum(last, moments.day.max())
    return (starts + pandas.to_timedelta(days - 1, unit="D")).to_numpy().astype(numpy.int64)


def write_times(times: Times) -> list[str]:
    """Return times as texts, written as those of the table are; in UTC, if those have a zone."""
    import pandas

    if times.kind == "number":
        return [f"{value:.15g}" for value in times.values]
    moments = pandas.DatetimeIndex(times.values.astype("datetime64[ns]"))
    if times.format != "ISO8601" and times.format not in PERIODS:
        return moments.strftime(times.format).tolist()
    texts = []
    for moment in moments:
        if times.format == "month":
            texts.append(f"{moment.year}M{moment.month:02}")
        elif times.format == "week":
            texts.append(moment.strftime("%G-W%V"))
        elif times.format in PERIODS:
            quarter = f"Q{moment.quarter}"
            is_first = times.format == "quarter first"
            texts.append(f"{quarter} {moment.year}" if is_first else f"{moment.year}{quarter}")
        else:
            texts.append(write_iso(moment, times))
    return texts


def write_iso(moment: Any, times: Times) -> str:
    """Return a time as YYYY-MM-DD hh:mm:ss, or the part of it that the table has."""
    if len(times.example) <= len("2016-07"):
        return moment.strftime("%Y-%m")
    if len(times.example) <= len("2016-07-01") and moment == moment.normalize():
        return moment.strftime("%Y-%m-%d")
    has_seconds = moment.second or re.search(r"\d:\d\d:\d", times.example)
    timespec = "auto" if has_seconds else "minutes"
    text = moment.isoformat(sep="T" if "T" in times.example else " ", timespec=timespec)
    return f"{text}+00:00" if times.kind == "UTC" else text

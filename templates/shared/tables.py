"""Tables in CSV, TSV and Parquet files, read in parts by pandas."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from .errors import UserError
# {% if cookiecutter.task in cookiecutter._uses.splits %}
from .listing import is_foreign, list_folder
from .splits import find_splits, join_names
# {% else %}
from .listing import is_foreign
# {% endif %}

if TYPE_CHECKING:  # slow to import
    from pandas import DataFrame

TEXTS = (".csv", ".tsv", ".txt")
PACKED = ("", ".gz", ".bz2", ".xz", ".zip")
SUFFIXES = {text + packed for text in TEXTS for packed in PACKED} | {".parquet", ".pq"}
SEPARATORS = "\t;|,"  # the first of those that fit equally well
MARKS = {  # bytes at the start of a file: the encoding of its text
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # which begins like UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
CANNOT_UNPACK = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)
SAMPLE = 200  # lines that decide about the separator
PART = 4096  # rows that are read at once


# {% if cookiecutter.task in cookiecutter._uses.splits %}
def find_tables(data_dir: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """Return the files of "train", "val" and "test", or of "all", and notes.

    `data_dir` is a file; or a folder with one table, or with splits, each in one or several files.
    Raises UserError that lists what was found if it is anything else.
    """
    if data_dir.is_file():
        return {"all": [data_dir]}, []
    splits, notes = find_splits(data_dir, SUFFIXES)
    if splits:
        return splits, notes
    paths = list_folder(data_dir)
    tables = [path for path in paths if path.name.lower().endswith(tuple(SUFFIXES))]
    named = [path for path in tables if ".txt" not in path.name.lower()]
    tables = named or tables  # beside a table, a text is a description
    if len(tables) != 1:
        raise UserError(
            f"{data_dir} needs one table, or the splits train, val and test, as .csv, .tsv or "
            f".parquet files; it holds {join_names(paths) or 'nothing'}"
        )
    others = [path for path in paths if path != tables[0]]
    return {"all": tables}, [f"left out beside the table: {join_names(others)}"] if others else []


# {% endif %}
def open_table(path: Path, has_header: bool = True) -> Table:
    """Return a table whose form is checked, and whose cells are read by `parts()`.

    Without a header, columns are called by their number, from "1" on. Raises UserError that names
    the file, and the row if there is one, if the file is no table.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if start == b"PAR1":
        return ParquetTable(path)
    if start == b"\xd0\xcf\x11\xe0":
        raise UserError(f"{path} is a file of Excel: save it as CSV (UTF-8)")
    return CsvTable(path, has_header)


# {% if cookiecutter.task in cookiecutter._uses.columns %}
def read_table(path: Path, has_header: bool = True) -> DataFrame:
    """Return all rows of a table at once, as `Table.parts()` describes them."""
    import pandas

    return pandas.concat(list(open_table(path, has_header).parts()))


# {% endif %}
class Table:
    """A table in a file: the names of its columns, the number of its rows, and its cells.

    A row without a cell is left out, as is a column with neither a name nor a cell; `notes` count
    them. A column with cells alone is called "column 3", by its place.
    """

    path: Path
    columns: list[str]
    length: int
    notes: list[str]
    separator = ""  # of the cells in a text file

    def parts(self) -> Iterator[DataFrame]:
        """Yield the rows, some thousands at a time; each call begins anew.

        The index is the row as a spreadsheet counts it: the header of a CSV file is row 1, and a
        cell of several lines is in one row. A Parquet file has no header, and row 1 is data.

        The cells of a CSV file are text as it stands there, without spaces behind a separator; a
        missing cell is "". Those of a Parquet file are numbers in columns of numbers, and otherwise
        the text that a CSV file would have.
        """
        raise NotImplementedError


# ------------------------------------------------------------------------------------ text and CSV


@dataclass
class Dialect:
    """How the cells of a CSV file are written."""

    encoding: str
    separator: str = ","
    quoting: int = csv.QUOTE_MINIMAL
    has_separator_line: bool = False  # "sep=;", which Excel writes and reads

    def reader(self, lines: Iterable[str]) -> Any:
        """Return Python's reader, which tells the rows and the cells of each."""
        csv.field_size_limit(2**31 - 1)
        return csv.reader(
            lines,
            delimiter=self.separator,
            quoting=self.quoting,  # type: ignore[arg-type]
            skipinitialspace=True,
            strict=True,
        )


@dataclass
class Shape:
    """The rows and columns of a CSV file."""

    header: list[str] = field(default_factory=list)
    width: int = 0  # cells of the longest row; those behind the header are empty
    rows: int = 0  # all, with those that are left out
    left_out: list[int] = field(default_factory=list)  # rows that hold no data
    empty: int = 0  # rows without a cell
    longer: int = 0  # rows with empty cells behind the header
    used: set[int] = field(default_factory=set)  # columns without a name that have a cell


class CsvTable(Table):
    """A table in a text file: UTF-8, or UTF-16 that says so; its separator is found out."""

    def __init__(self, path: Path, has_header: bool):
        self.path = path
        self.dialect = find_dialect(path)
        self.separator = self.dialect.separator
        self.shape = self.find_shape(has_header)
        names = self.shape.header + [""] * (self.shape.width - len(self.shape.header))
        self.kept = [place for place, name in enumerate(names) if name or place in self.shape.used]
        self.columns = [names[place] or f"column {place + 1}" for place in self.kept]
        self.length = self.shape.rows - len(self.shape.left_out)
        if not self.length:
            raise UserError(f"{path} is empty: it needs a header and rows below it")
        for name in self.columns:
            if self.columns.count(name) > 1:
                raise UserError(f"{path}, row 1: more than one column is called {name!r}")
        self.notes = []
        for what, number in (
            ("rows without a cell", self.shape.empty),
            ("rows with empty cells behind the last column", self.shape.longer),
            ("columns without a name and a cell", names.count("") - len(self.shape.used)),
        ):
            if number:
                self.notes.append(f"left out: {number:,} {what} in {path.name}")

    def find_shape(self, has_header: bool) -> Shape:
        """Return the shape.

        In a TSV file, quotes are letters if one stands alone in its cell and the rows fit so.
        """
        if self.dialect.separator == "\t" and has_single_quote(self.path, self.dialect.encoding):
            try:
                self.dialect.quoting = csv.QUOTE_NONE
                return check_rows(self.path, self.dialect, has_header)
            except UserError:
                self.dialect.quoting = csv.QUOTE_MINIMAL
        return check_rows(self.path, self.dialect, has_header)

    def parts(self) -> Iterator[DataFrame]:
        """Yield the rows; see `Table`."""
        import pandas

        with open_text(self.path, self.dialect.encoding) as file:
            reader = pandas.read_csv(
                file,
                sep=self.dialect.separator,
                quoting=self.dialect.quoting,  # type: ignore[arg-type]
                header=None,
                names=range(self.shape.width),
                index_col=False,
                dtype=object,
                na_filter=False,
                skipinitialspace=True,
                skip_blank_lines=False,
                chunksize=PART,
            )
            rows = 0
            for part in reader:
                rows += len(part)
                part.index += 1
                part = part.loc[~part.index.isin(self.shape.left_out), self.kept]
                part.columns = pandas.Index(self.columns)
                if len(part):
                    yield part
        if rows != self.shape.rows:
            raise UserError(f"{self.path}: its quotes are not those of a CSV file; save it anew")


def find_dialect(path: Path) -> Dialect:
    """Return the dialect of a CSV file: the separator with which most rows are like the header."""
    encoding = find_encoding(path)
    with open_text(path, encoding) as file:
        lines = list(islice(file, SAMPLE))
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise UserError(
                f"{path}, line {number}: no text (a zero byte), or another encoding; "
                "save the file as UTF-8"
            )
    if lines and lines[0].lower().startswith("sep=") and len(lines[0].strip()) == 5:
        return Dialect(encoding, separator=lines[0][4], has_separator_line=True)
    best = Dialect(encoding)
    best_fit = (0, 0)
    for separator in SEPARATORS:
        dialect = Dialect(encoding, separator)
        fit = count_like_header(dialect, lines)
        if fit > best_fit:
            best, best_fit = dialect, fit
    return best


def count_like_header(dialect: Dialect, lines: list[str]) -> tuple[int, int]:
    """Return how many rows have as many cells as the header, and this number; (0, 0) if it is 1."""
    if dialect.separator == "\t":
        dialect = Dialect(dialect.encoding, dialect.separator, csv.QUOTE_NONE)
    counts = []
    try:
        for cells in dialect.reader(lines):
            if any(cells):
                counts.append(len(cells))
    except csv.Error:
        pass  # the rows so far decide
    if not counts or counts[0] < 2:
        return 0, 0
    return counts.count(counts[0]), counts[0]


def check_rows(path: Path, dialect: Dialect, has_header: bool) -> Shape:
    """Return the shape of a CSV file. Raises UserError with a row of another number of cells."""
    shape = Shape()
    unnamed: list[int] = []
    for cells in read_rows(path, dialect):
        shape.rows += 1
        if dialect.has_separator_line and shape.rows == 1:
            shape.left_out.append(1)
        elif not any(map(str.strip, cells)):
            shape.left_out.append(shape.rows)
            shape.empty += 1
        elif not shape.width:
            shape.width = len(cells)
            shape.header = [cell.strip() for cell in cells]
            if has_header:
                shape.left_out.append(shape.rows)
            else:
                shape.header = [str(number + 1) for number in range(len(cells))]
            unnamed = [place for place, name in enumerate(shape.header) if not name]
        else:
            if len(cells) != len(shape.header):
                check_length(path, shape, cells)
            for place in unnamed:
                if cells[place].strip():
                    shape.used.add(place)
    return shape


def read_rows(path: Path, dialect: Dialect) -> Iterator[list[str]]:
    """Yield the cells of each row. Raises UserError with a row whose quotes are wrong."""
    with open_text(path, dialect.encoding) as file:
        reader = dialect.reader(file)
        for row in count(1):
            try:
                yield next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise UserError(f"{path}, row {row}: {error}; is a quote missing?") from None


def check_length(path: Path, shape: Shape, cells: list[str]) -> None:
    """Raise UserError unless a row has the cells of the header, and empty ones behind them."""
    if len(cells) < len(shape.header) or any(map(str.strip, cells[len(shape.header) :])):
        raise UserError(
            f"{path}, row {shape.rows}: {len(cells)} cells, but the header has "
            f"{len(shape.header)}; put a cell that holds the separator into quotes"
        )
    shape.width = max(shape.width, len(cells))
    shape.longer += 1


def has_single_quote(path: Path, encoding: str) -> bool:
    """Return whether a cell of a TSV file has a quote at one of its ends alone."""
    with open_text(path, encoding) as file:
        for line in file:
            if '"' in line:
                for cell in line.rstrip("\r\n").split("\t"):
                    if cell.startswith('"') != cell.endswith('"') or cell == '"':
                        return True
    return False


# ------------------------------------------------------------------------------------ packed files


def find_encoding(path: Path) -> str:
    """Return the encoding that the first bytes of a file tell, or UTF-8."""
    with open_bytes(path) as file:
        start = file.read(4)
    for mark, encoding in MARKS.items():
        if start.startswith(mark):
            return encoding
    return "utf-8"


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[IO[str]]:
    """Open a text file, packed or not. Raises UserError if it cannot be read or decoded."""
    try:
        with open_bytes(path) as file, io.TextIOWrapper(file, encoding, newline="") as text:
            yield text
    except UnicodeError:
        raise UserError(
            f"{path}, line {find_bad_line(path, encoding)}: not {encoding.upper()[:6].strip('-')}; "
            "save the file as UTF-8"
        ) from None


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, which .gz, .bz2, .xz or .zip may have packed."""
    try:
        with path.open("rb") as file:
            start = file.read(6)
            file.seek(0)
            if start.startswith(b"\x1f\x8b"):
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield cast(IO[bytes], unpacked)
            elif start.startswith(b"BZh"):
                with bz2.BZ2File(file) as unpacked:
                    yield cast(IO[bytes], unpacked)
            elif start == b"\xfd7zXZ\0":
                with lzma.LZMAFile(file) as unpacked:
                    yield cast(IO[bytes], unpacked)
            elif start.startswith(b"PK\3\4"):
                with zipfile.ZipFile(file) as archive:
                    yield archive.open(find_member(path, archive))
            else:
                yield file
    except UnicodeError:
        raise
    except CANNOT_UNPACK as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {path}: {reason}") from None


def find_member(path: Path, archive: zipfile.ZipFile) -> str:
    """Return the name of the file in an archive. Raises UserError if it is not the only one."""
    names = []
    for name in archive.namelist():
        if not name.endswith("/") and not any(map(is_foreign, name.split("/"))):
            names.append(name)
    if "[Content_Types].xml" in names:
        raise UserError(f"{path} is a file of Excel: save it as CSV (UTF-8)")
    if len(names) != 1:
        found = ", ".join(names[:10]) or "nothing"
        raise UserError(f"{path} holds {found}; pack one table, or unpack it")
    return names[0]


def find_bad_line(path: Path, encoding: str) -> int:
    """Return the number of the first line that cannot be decoded."""
    with open_bytes(path) as file:
        if encoding.startswith("utf-8"):
            for number, line in enumerate(file, start=1):
                try:
                    line.decode(encoding)
                except UnicodeError:
                    return number
        data = file.read()
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        return data[: error.start].decode(encoding).count("\n") + 1
    return 1


# ----------------------------------------------------------------------------------------- Parquet


class ParquetTable(Table):
    """A table in a Parquet file, which pyarrow reads."""

    def __init__(self, path: Path):
        self.path = path
        with self.open() as file:
            names = list(file.schema_arrow.names)
            self.length = file.metadata.num_rows
        self.columns = [name for name in names if not name.startswith("__index_level_")]
        self.notes = []
        if len(self.columns) < len(names):
            self.notes.append(f"left out: the index of pandas in {path.name}")
        if not self.length:
            raise UserError(f"{path} is empty: it needs rows")

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Open the file. Raises UserError if it cannot be read."""
        try:
            from pyarrow import ArrowException
            from pyarrow.parquet import ParquetFile
        except ModuleNotFoundError:
            raise UserError(f"{self.path}: Parquet needs pyarrow: pip install pyarrow") from None
        try:
            with ParquetFile(self.path) as file:
                yield file
        except (ArrowException, OSError) as error:
            raise UserError(f"cannot read {self.path}: {error}") from None

    def parts(self) -> Iterator[DataFrame]:
        """Yield the rows; see `Table`."""
        import pandas

        first = 1
        with self.open() as file:
            for batch in file.iter_batches(PART, columns=self.columns):
                columns = {}
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    columns[name] = self.as_cells(name, column).to_numpy()
                rows = range(first, first + batch.num_rows)
                first += batch.num_rows
                yield pandas.DataFrame(columns, index=pandas.Index(rows))

    def as_cells(self, name: str, column: Any) -> Any:
        """Return a column as numbers, or as texts."""
        from pyarrow import compute, types

        kind = column.type
        if types.is_dictionary(kind):
            column = column.dictionary_decode()
            kind = column.type
        if types.is_integer(kind) or types.is_floating(kind):
            return column.to_pandas()
        if types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind):
            raise UserError(f"{self.path}: column {name!r} holds {kind}; write numbers or texts")
        cells = compute.cast(column, "string").to_pandas().astype(object)
        if types.is_boolean(kind):
            cells = cells.str.capitalize()  # True, as Python and pandas write it
        return cells.where(cells.notna(), "")

"""Docstrings of Python's standard library, by the topic of their module."""

import ast
import sysconfig
import zlib
from pathlib import Path

from .errors import UserError

TOPICS = {  # modules and packages of Python's standard library by their purpose
    "concurrency": "asyncio concurrent multiprocessing queue sched selectors subprocess threading",
    "files": "_pyio bz2 filecmp fileinput fnmatch glob gzip lzma ntpath os pathlib posixpath "
    "shutil tarfile tempfile zipfile",
    "internet": "email ftplib http imaplib ipaddress mailbox poplib smtplib socket socketserver "
    "ssl urllib wsgiref xmlrpc",
    "language": "_collections_abc abc ast collections contextlib copy dataclasses dis enum "
    "functools importlib inspect operator pkgutil runpy symtable tokenize traceback types typing "
    "warnings weakref",
    "numbers": "_pydatetime _pydecimal bisect calendar colorsys datetime fractions heapq numbers "
    "random statistics zoneinfo",
    "testing": "bdb cProfile doctest pdb profile pstats timeit trace tracemalloc unittest",
    "text": "argparse cmd codecs configparser csv difflib gettext html json locale optparse "
    "plistlib pprint re shlex string textwrap tomllib xml",
}


def read_docstrings() -> list[list[tuple[str, str]]]:
    """Return the docstrings of train, val and test, each with its topic.

    The checksum of a docstring chooses its split (validation and test have a tenth each), so that
    it is the same in every version of Python that has it.
    """
    library = Path(sysconfig.get_path("stdlib"))
    topics: dict[str, str] = {}  # by docstring, each of which counts once
    for topic, modules in TOPICS.items():
        for path in find_sources(library, modules.split()):
            for text in find_docstrings(path):
                topics.setdefault(text, topic)
    if len(topics) < 2000:
        raise UserError(
            f"{library} has only {len(topics)} docstrings: this Python came without its sources"
        )
    splits: list[list[tuple[str, str]]] = [[], [], []]
    for checksum, text in sorted((zlib.crc32(text.encode()), text) for text in topics):
        tenth = checksum % 10
        splits[tenth if tenth in (1, 2) else 0].append((text, topics[text]))
    return splits


def find_sources(library: Path, modules: list[str]) -> list[Path]:
    """Return the source files of modules and packages, without those of their tests."""
    paths = []
    for module in modules:
        for path in sorted([*library.glob(f"{module}.py"), *library.glob(f"{module}/**/*.py")]):
            if "test" not in path.relative_to(library).parts:
                paths.append(path)
    return paths


def find_docstrings(path: Path) -> list[str]:
    """Return the docstrings of five words or more of a module, its classes and its functions."""
    texts = []
    nodes: list[ast.AST] = [ast.parse(path.read_bytes())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node) or ""
            if len(text.split()) >= 5:
                texts.append(text)
            nodes.extend(node.body)
    return texts

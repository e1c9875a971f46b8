"""How do several files get into a folder whole, without harm to what is there?

Everything is written beside the target first and then renamed: a reader sees earlier results or these, never a half.
What an earlier writing of the same kind left is replaced; what somebody else put beside it is kept; a folder of
something else is refused. A folder is known by one JSON file in it, whose `kind` says what it is.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zdsim.errors import ZdsimError


class OutputError(ZdsimError):
    """A folder or file that cannot be written or read as asked."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a kind of folder contains."""

    kind: str  # told by the `kind` of its file `mark`: "zdsim run"
    mark: str
    files: tuple[str, ...]

    def is_in(self, folder: Path) -> bool:
        """Is the folder of this kind?"""
        try:
            found = json.loads((folder / self.mark).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(found, dict) and found.get("kind") == self.kind


def check(folder: Path, layout: Layout) -> None:
    """Raise before long work what `write` would raise after it.

    Raises:
        OutputError: `folder` is neither new nor empty nor of this kind, or cannot be made.
    """
    try:
        if folder.is_dir():
            if any(folder.iterdir()) and not layout.is_in(folder):
                raise OutputError(
                    f"{folder}: this folder is not empty and no {layout.kind}: nothing was written. "
                    "Name another one with -o, or empty it."
                )
        elif folder.exists() or folder.is_symlink():
            raise OutputError(f"{folder}: a file is in the way of the folder for the results. Name another with -o.")
        above = next(parent for parent in folder.absolute().parents if parent.exists())
        if not above.is_dir():
            raise OutputError(f"{folder}: {above} is a file, so no folder can be made there. Name another with -o.")
        if not os.access(above, os.W_OK | os.X_OK):
            raise OutputError(f"{folder}: no permission to write in {above}. Name another folder with -o.")
    except OSError as error:
        raise because(folder, error) from error


def write(folder: Path, layout: Layout, fill: Callable[[Path], None]) -> None:
    """Have `fill` write every file of the layout into a folder, and put that in the place of `folder`.

    Raises:
        OutputError: it cannot be written; nothing is left behind, and what was there is untouched.
    """
    check(folder, layout)
    try:
        target = folder.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.parent / f".{target.name}.{secrets.token_hex(4)}.partial"
        partial.mkdir()
        try:
            fill(partial)
            _swap(partial, target, layout.files)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise because(folder, error) from error


def write_text(path: Path, text: str) -> None:
    """Write one file whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    partial = path.parent / f".{path.name}.{secrets.token_hex(4)}.partial"
    try:
        if path.is_dir():
            raise OutputError(f"{path}: this is a folder; name a file.")
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise because(path, error) from error


def because(path: Path, error: OSError) -> OutputError:
    """An operating system's refusal, in words."""
    return OutputError(f"{path}: {error.strerror or error}")


def _swap(partial: Path, target: Path, names: tuple[str, ...]) -> None:
    """Put `partial` in the place of `target`; what is not ours moves with it."""
    if target.exists() and Path.cwd().is_relative_to(target):
        # Somebody stands in it (`zdsim run -o .`) and must not find it gone: file by file, each whole.
        for name in names:
            (partial / name).replace(target / name)
        return
    old = target.parent / f"{partial.name}.old"
    if target.exists():
        target.rename(old)
    try:
        partial.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    if not old.exists():
        return
    for item in old.iterdir():
        if item.name in names:
            item.unlink()
        else:
            item.rename(target / item.name)
    old.rmdir()

"""How are the kernel functions compiled, and where is the result kept?

Numba's disk cache does not notice an edit in a function called from another file, and a decorator raises when it
finds no folder to write to. So the kernel's folder is chosen here: in the user's cache (or in NUMBA_CACHE_DIR), under
a digest of every source that is compiled in; else a private temporary folder that goes with the process; else none.
Nothing is set for others: Numba's own setting is changed only while an entry of the kernel is decorated, and no
environment variable is, lest a child process with other sources take this folder for its own. Only entries are
cached: what they call is compiled into them.
"""

import atexit
import hashlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

_NOT_COMPILED = ("__init__.py", "plane.py")
_COMPILED_IN = ("histogram.py", "laws.py", "luck.py", "vocabulary.py", "traffic.py", "config.py")
_config: Any = numba.config

#: Check every row index (slow); tests run the kernel so in a process of its own.
CHECKED = bool(_config.BOUNDSCHECK)


def source_digest() -> str:
    """Digest of all sources whose constants or code end up in the compiled kernel, and of the compiler."""
    here = Path(__file__).resolve().parent
    digest = hashlib.blake2b(digest_size=10)
    kernel = sorted(path for path in here.glob("*.py") if path.name not in _NOT_COMPILED)
    for path in [*kernel, *(here.parent / "plane" / name for name in _COMPILED_IN)]:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    digest.update(f"{numba.__version__} {platform.python_version()} {CHECKED}".encode())
    return digest.hexdigest()


def _user_cache() -> Path:
    if os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.environ["NUMBA_CACHE_DIR"])
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"])
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"])
    home = Path.home()
    return home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"


def _usable(folder: Path) -> bool:
    """Whether files can be written there; the folder is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def choose_cache_folder() -> Path | None:
    """Folder for the compiled kernel, or None where nothing can be written."""
    try:
        folder = _user_cache() / "zdsim" / f"kernel-{source_digest()}"
        if _usable(folder):
            return folder
    except (OSError, RuntimeError):  # no readable sources, or no home at all
        pass
    try:
        private = Path(tempfile.mkdtemp(prefix="zdsim-kernel-"))
    except OSError:
        return None
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    return private


CACHE_FOLDER = choose_cache_folder()


def is_compiled() -> bool:
    """Is a compiled kernel kept on disk, so that the first run need not wait for the compiler?"""
    return CACHE_FOLDER is not None and any(CACHE_FOLDER.rglob("*.nbc"))


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that other kernel functions call."""
    compiled: Callable[..., Any] = numba.njit(nogil=True, error_model="numpy")(function)
    return compiled


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `jit`, always merged into its callers: for what every request does, where there are few callers."""
    compiled: Callable[..., Any] = numba.njit(nogil=True, error_model="numpy", forceinline=True)(function)
    return compiled


def entry(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that Python calls, and keep the result on disk where that is possible."""
    compiled: Callable[..., Any]
    if CACHE_FOLDER is None:
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
        return compiled
    theirs = _config.CACHE_DIR
    _config.CACHE_DIR = str(CACHE_FOLDER)
    try:
        compiled = numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    finally:
        _config.CACHE_DIR = theirs
    return compiled

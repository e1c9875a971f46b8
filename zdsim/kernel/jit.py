"""How are the kernel functions compiled, and where is the result kept?

Numba's disk cache does not notice an edit in a function called from another file, and it raises at import when
it finds no folder to write to. So the folder is chosen here before Numba is imported: in the user's cache, under a
digest of every source that is compiled in; else a private temporary folder; else none (compile again each time).
Only the entry of the kernel is cached: what it calls is compiled into it.
"""

import hashlib
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

_COMPILED_IN = ("histogram.py", "laws.py", "luck.py", "vocabulary.py", "traffic.py", "config.py")


def source_digest() -> str:
    """Digest of all sources whose constants or code end up in the compiled kernel, and of the compiler."""
    here = Path(__file__).resolve().parent
    digest = hashlib.blake2b(digest_size=10)
    for path in [*sorted(here.glob("*.py")), *(here.parent / "plane" / name for name in _COMPILED_IN)]:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    checked = os.environ.get("NUMBA_BOUNDSCHECK", "")
    digest.update(f"{metadata.version('numba')} {platform.python_version()} {checked}".encode())
    return digest.hexdigest()


def _user_cache() -> Path:
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
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        return Path(given) if _usable(Path(given)) else None
    try:
        folder = _user_cache() / "zdsim" / f"kernel-{source_digest()}"
        if _usable(folder):
            return folder
    except (OSError, RuntimeError):  # no readable source, or no home at all
        pass
    try:
        return Path(tempfile.mkdtemp(prefix="zdsim-kernel-"))
    except OSError:
        return None


CACHE_FOLDER = choose_cache_folder()
if CACHE_FOLDER is not None:
    os.environ["NUMBA_CACHE_DIR"] = str(CACHE_FOLDER)

import numba  # noqa: E402  (reads NUMBA_CACHE_DIR when it is imported)

_config: Any = numba.config
if CACHE_FOLDER is not None:
    _config.CACHE_DIR = str(CACHE_FOLDER)  # in case somebody imported Numba before us

#: Check every row index (slow); tests run the kernel so in a process of its own.
CHECKED = bool(_config.BOUNDSCHECK)


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that other kernel functions call."""
    compiled: Callable[..., Any] = numba.njit(nogil=True, error_model="numpy")(function)
    return compiled


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `jit`, always merged into its callers: a few lines on the path of every request."""
    compiled: Callable[..., Any] = numba.njit(nogil=True, error_model="numpy", forceinline=True)(function)
    return compiled


def entry(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that Python calls, and keep the result on disk where that is possible."""
    compiled: Callable[..., Any]
    if CACHE_FOLDER is not None:
        try:
            compiled = numba.njit(nogil=True, error_model="numpy", cache=True)(function)
            return compiled
        except RuntimeError:  # Numba found no place after all
            pass
    compiled = numba.njit(nogil=True, error_model="numpy")(function)
    return compiled

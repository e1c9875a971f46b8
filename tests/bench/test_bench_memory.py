"""Does memory stay flat? Ten times the requests in at most a tenth more memory (design page, section 5)."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="peak memory of a process is asked of a Unix system")

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]

TESTS = Path(__file__).resolve().parents[1]

PLAY = """
import resource, sys
sys.path[:0] = sys.argv[2:]
from dataclasses import replace
from test_bench_planes import full, played
from zdsim.kernel import KernelPlane
from zdsim.plane.vocabulary import Algorithm
made = full(Algorithm.LEAST_REQUEST, duration_s=60.0 * float(sys.argv[1]))
made = replace(made, n_windows=600, window_s=10.0)
n, _, _ = played(KernelPlane(made), made)
print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(minutes: float) -> tuple[int, int]:
    """Requests played and peak memory (the system's unit) of a process that plays so many minutes."""
    paths = [str(TESTS), str(TESTS / "bench"), str(TESTS.parent)]
    command = [sys.executable, "-c", PLAY, str(minutes), *paths]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=280).stdout.split()
    return int(out[-2]), int(out[-1])


def test_memory_is_flat_in_the_number_of_requests() -> None:
    peak(0.1)  # compile
    (few, small), (many, large) = peak(10), peak(100)
    print(f"\n{few:,} requests: {small:,}; {many:,} requests: {large:,}; ratio {large / small:.3f}")
    assert many > 9.5 * few
    assert large <= 1.1 * small


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-m", "bench", "-q", "-s", "-p", "no:cacheprovider"]))

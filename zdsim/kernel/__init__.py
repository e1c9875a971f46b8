"""Where is the fast request plane? `KernelPlane`, the same rules as ``zdsim.reference`` as loops over typed rows.

Importing this package imports Numba; everything else imports it only when it is wanted.
"""

from zdsim.kernel.jit import is_compiled
from zdsim.kernel.plane import KernelPlane, warm

__all__ = ["KernelPlane", "is_compiled", "warm"]

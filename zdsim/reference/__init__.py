"""What happens to requests, told as plainly as possible? The request plane in SimPy, one process an attempt.

It is the specification one can run (``zdsim/plane/MODEL.md`` in code), the oracle of the property tests, and what
plays the requests where Numba does not exist. `attempt` tells the story; `router`, `client`, `service` and `database`
are whom an attempt meets on its way; `plane` is the door for the control plane.

>>> from zdsim.reference import ReferencePlane
"""

from zdsim.reference.plane import ReferencePlane

__all__ = ["ReferencePlane"]

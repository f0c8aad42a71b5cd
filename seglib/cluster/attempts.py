"""Count how often something was tried on the cluster, so that what kills its worker is not tried for ever.

Ray computes a task again when its actor or node is lost, without a limit. It cannot tell a lost node from a task that
ends its process, such as one for which memory does not suffice.
"""

from collections import Counter
from typing import Any

MOST = 5
"""Times that a task is tried, and that an actor is started before its first task is done."""


class Attempts:
    """An actor of Ray; its methods are called by those that compute."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, name: str) -> int:
        """Returns the number of times that this has been begun, including now, since it was last done."""
        self._begun[name] += 1
        return self._begun[name]

    def done(self, name: str) -> None:
        self._begun.pop(name, None)


def start(ray: Any) -> Any:
    """Start the actor; returns its handle. If its node is lost, Ray restarts it and its counts begin at zero."""
    return ray.remote(Attempts).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()

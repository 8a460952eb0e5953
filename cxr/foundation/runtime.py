"""Section `runtime`: how a stage runs here. No stage declares it.

`device` can change a result: what it resolves to stands in environment.json, which stages declare. The rest cannot.
"""

import os
from dataclasses import dataclass
from typing import Annotated, Literal

from cxr.foundation.params import at_least, between


@dataclass(frozen=True)
class Runtime:
    """Section `runtime` of params.yaml."""

    workers: Annotated[int, between(0, 1024)]
    device: Literal["auto", "cpu", "cuda"]
    checkpoint_minutes: Annotated[float, at_least(0)]
    stall_seconds: Annotated[float, at_least(1)]
    retry_minutes: Annotated[float, at_least(0)]
    cluster: str = ""

    @property
    def processes(self) -> int:
        """Worker processes to start: `workers`, or one for each core that this process may use when it is 0."""
        if self.workers:
            return self.workers
        # A container or a queue may grant fewer cores than the machine has; macOS cannot tell.
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

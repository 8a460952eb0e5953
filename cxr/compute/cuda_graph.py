"""Work on a GPU that is recorded once and replayed."""

import gc
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class CudaGraphed:
    """Work on a CUDA device that always takes the same steps, recorded as a CUDA graph at its second call.

    A small network is hundreds of kernels of a few microseconds each, and starting them one by one takes longer than they do;
    recorded, they are started together. Every call must bring tensors of the same shapes, and may overwrite the results of the
    one before. What the work reads and changes besides must stay where it is in memory.
    """

    def __init__(self, work: Callable[..., Sequence[Tensor]]) -> None:
        self.work = work
        self.rehearsed = False
        self.graph: torch.cuda.CUDAGraph | None = None
        self.given: list[Tensor] = []
        self.results: Sequence[Tensor] = []

    def __call__(self, *given: Tensor) -> Sequence[Tensor]:
        """Return what the work makes of `given`."""
        if not self.rehearsed:  # libraries make their plans and take memory, which must not be recorded
            self.rehearsed = True
            return self.work(*given)
        if self.graph is None:
            self.graph = self._record(given)
        for kept, tensor in zip(self.given, given, strict=True):
            kept.copy_(tensor)
        self.graph.replay()
        return self.results

    def _record(self, given: Sequence[Tensor]) -> torch.cuda.CUDAGraph:
        self.given = [tensor.clone() for tensor in given]
        graph = torch.cuda.CUDAGraph()
        # Were an earlier network's graph, which nobody needs any more, freed meanwhile, that would end the recording.
        gc.collect()
        gc.disable()
        try:
            with torch.cuda.graph(graph):
                self.results = self.work(*self.given)
        finally:
            gc.enable()
        return graph

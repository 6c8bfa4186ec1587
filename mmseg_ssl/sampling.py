"""Random numbers on the device of what they are drawn for."""
import torch
from torch import Tensor


def random_integers(high: Tensor,
                    generator: torch.Generator | None = None) -> Tensor:
    """Draw uniform integers in [0, high), elementwise; 0 where it is empty.

    float64 keeps the draw uniform for any range that fits into memory.
    """
    uniform = torch.rand(
        high.shape, dtype=torch.float64, device=high.device,
        generator=generator)
    return (uniform * high).long()

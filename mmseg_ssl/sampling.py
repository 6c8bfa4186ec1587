"""Random numbers on the device of what they are drawn for."""
import torch
from torch import Tensor


def sampling_dtype(device: torch.device) -> torch.dtype:
    """Type of uniform numbers that choose among many things.

    float64 keeps the choice uniform among as many as fit into memory. Apple's
    devices (mps) have float32 alone, where the probabilities of one thing
    among N are multiples of 2**-24.
    """
    return torch.float32 if device.type == 'mps' else torch.float64


def random_integers(high: Tensor,
                    generator: torch.Generator | None = None) -> Tensor:
    """Draw uniform integers in [0, high), elementwise; 0 where it is empty."""
    uniform = torch.rand(
        high.shape, dtype=sampling_dtype(high.device), device=high.device,
        generator=generator)
    return (uniform * high).long()

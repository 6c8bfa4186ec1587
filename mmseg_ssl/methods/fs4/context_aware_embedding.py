"""Features that see the rest of the image, near and alike (FS4's CAE)."""
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Rows of the N x N matrices are worked on in chunks of this size in bytes.
CHUNK_BYTES = 2**26
# (queries, N) matrices that live at once when a chunk is recomputed and
# differentiated: distances, two kernels, cosines, weights, and gradients.
LIVE_MATRICES = 12


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances of rows, (..., n, D), (..., m, D) -> (..., n, m)."""
    x_norm = x.square().sum(dim=-1).unsqueeze(-1)
    y_norm = y.square().sum(dim=-1).unsqueeze(-2)
    return (x_norm + y_norm - 2 * x @ y.transpose(-1, -2)).clamp(min=0)


def log_kernel(places: Tensor, colors: Tensor, kernel: Tensor) -> Tensor:
    """Logarithm of the kernel k of :class:`ContextAwareEmbedding`.

    Args:
        places (Tensor): Squared distances of places, shape (q, N).
        colors (Tensor): Squared distances of colours, shape (B, q, N).
        kernel (Tensor): Logarithms of w1, w2, ta, tb and tg, shape (5,).

    Returns:
        Tensor: Shape (B, q, N).
    """
    log_w1, log_w2, *log_thetas = kernel
    alpha, beta, gamma = ((-2 * theta).exp() / 2 for theta in log_thetas)
    return torch.logaddexp(log_w1 - places * alpha - colors * beta,
                           log_w2 - places * gamma)


def _log_parameter(value: float) -> nn.Parameter:
    """A learned number that stays positive: its logarithm."""
    return nn.Parameter(torch.tensor(math.log(value)))


class InChunks(torch.autograd.Function):
    """Rows of a result chunk by chunk, computed again for their gradients.

    Like ``torch.utils.checkpoint`` of every chunk, but nothing outlives a
    chunk: what it keeps of each one lies between the freed matrices, so that
    on a CPU the next matrices find no room there and the process grows.
    """

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], num_rows: int,
                values: Tensor, *inputs: Tensor) -> Tensor:
        """Compute ``function(rows, values, *inputs)`` for ``values``' rows.

        Args:
            ctx (Any): Kept for the gradients.
            function (Callable): Maps a slice of q rows and the tensors to
                (B, q, C).
            num_rows (int): q, of one chunk.
            values (Tensor): Shape (B, N, C).
            *inputs (Tensor): What else has gradients.

        Returns:
            Tensor: Shape (B, N, C).
        """
        ctx.function, ctx.num_rows = function, num_rows
        ctx.save_for_backward(values, *inputs)
        result = torch.empty_like(values)
        for rows in _slices(values.size(1), num_rows):
            result[:, rows] = function(rows, values, *inputs)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_result: Tensor) -> tuple[Tensor | None, ...]:
        """Add up the gradients of all chunks."""
        inputs = [
            tensor.detach().requires_grad_(needed) for tensor, needed in zip(
                ctx.saved_tensors, ctx.needs_input_grad[2:])
        ]
        learned = [tensor for tensor in inputs if tensor.requires_grad]
        totals = [torch.zeros_like(tensor) for tensor in learned]
        for rows in _slices(grad_result.size(1), ctx.num_rows):
            with torch.enable_grad(), torch.autocast(
                    grad_result.device.type, enabled=False):
                result = ctx.function(rows, *inputs)
            for total, grad in zip(totals, torch.autograd.grad(
                    result, learned, grad_result[:, rows],
                    materialize_grads=True)):
                total += grad
        grads = iter(totals)
        return None, None, *(next(grads) if tensor.requires_grad else None
                             for tensor in inputs)


def _slices(total: int, length: int) -> list[slice]:
    return [slice(start, start + length) for start in range(0, total, length)]


@MODELS.register_module()
class ContextAwareEmbedding(nn.Module):
    r"""Context-aware embedding (CAE) of `FS4
    <https://arxiv.org/abs/2202.11981>`_, section 4.3, Eq. 7-9.

    Each cell i of the feature map looks at all cells j, by the cosine s_ij of
    their features and by a kernel of their places p (in cells) and colours c:

    .. code::

        k_ij = w1 exp(-|p_i-p_j|^2 / 2 ta^2 - |c_i-c_j|^2 / 2 tb^2)
               + w2 exp(-|p_i-p_j|^2 / 2 tg^2)
        F'_i = F_i + proj(sum_j softmax_j(s_ij / temperature + log k_ij) F_j)

    The softmax is the product ``exp(s / temperature) k``, normalised over j,
    which the paper leaves open. ``w1, w2, ta, tb, tg`` are positive and
    learned: parameters ``log_w1``, ... hold their logarithms. As the softmax
    divides a common factor out, only the ratio of ``w1`` and ``w2`` matters.

    By default they start at the values usual for a dense CRF (80 pixels, 13
    grey levels) where the map is at 1/16 of the image and a standard
    deviation of the image is about 57 grey levels: ``ta`` = 5 cells, ``tb`` =
    0.23; ``tg`` = 3 cells, ``w1 = w2 = 1``. On a map of a few cells that is
    nearly the mean of all of them: start from less there. ``proj`` is a 1x1
    convolution that does not start at zero.

    Memory grows with the number of cells N, not with N x N: queries i are
    taken in chunks, at most 64 MB of matrices at once (or those of one cell
    of each image), which are computed again in the backward pass. The
    attention runs in float32 under autocast.

    Args:
        channels (int): Channels of the features, C.
        use_features (bool): Look at the cosine of features.
        use_raw (bool): Look at places and colours.
        temperature (float): Divides the cosine. Defaults to 1.
        theta_alpha (float): Where ``ta`` starts, in cells. Defaults to 5.
        theta_beta (float): Where ``tb`` starts, in units of the normalised
            image. Defaults to 0.23.
        theta_gamma (float): Where ``tg`` starts, in cells. Defaults to 3.
    """

    def __init__(self,
                 channels: int,
                 use_features: bool = True,
                 use_raw: bool = True,
                 temperature: float = 1.0,
                 theta_alpha: float = 5.0,
                 theta_beta: float = 0.23,
                 theta_gamma: float = 3.0) -> None:
        super().__init__()
        if not (use_features or use_raw):
            raise ValueError(
                'use_features and use_raw are both False: set one of them, '
                'or leave the module out')
        if temperature <= 0:
            raise ValueError(f'temperature must be > 0, not {temperature}')
        if min(theta_alpha, theta_beta, theta_gamma) <= 0:
            raise ValueError(
                'theta_alpha, theta_beta and theta_gamma must be > 0, not '
                f'{theta_alpha}, {theta_beta} and {theta_gamma}')
        self.use_features = use_features
        self.use_raw = use_raw
        self.temperature = temperature
        self.proj = nn.Conv2d(channels, channels, kernel_size=1)
        if use_raw:
            self.log_theta_alpha = _log_parameter(theta_alpha)
            self.log_theta_beta = _log_parameter(theta_beta)
            self.log_theta_gamma = _log_parameter(theta_gamma)
            self.log_w1 = _log_parameter(1.0)
            self.log_w2 = _log_parameter(1.0)

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """Add to each cell what it sees in the image.

        Args:
            features (Tensor): Shape (B, C, h, w).
            image (Tensor): The images as the network receives them, shape
                (B, 3, H, W); averaged over the cells of the feature map.

        Returns:
            Tensor: Shape (B, C, h, w).
        """
        if image.ndim != 4 or len(image) != len(features):
            raise ValueError(
                f'features of shape {tuple(features.shape)} need as many '
                f'images, not {tuple(image.shape)}')
        with torch.autocast(features.device.type, enabled=False):
            context = self._context(features, image)
        return features + self.proj(context.to(features))

    def _context(self, features: Tensor, image: Tensor) -> Tensor:
        """Weighted mean of all cells for each cell, shape (B, C, h, w)."""
        if features.dtype in (torch.float16, torch.bfloat16):
            features = features.float()
        size = features.shape[2:]
        colors = F.interpolate(image.to(features), size, mode='area')
        colors = colors.flatten(2).transpose(1, 2)
        values = features.flatten(2).transpose(1, 2)
        keys = F.normalize(values, dim=2)
        places = torch.stack(torch.meshgrid(
            *(torch.arange(side).to(values) for side in size),
            indexing='ij')).flatten(1).t()

        num_images, num_cells, _ = values.shape
        row_bytes = (LIVE_MATRICES * num_images * num_cells
                     * values.element_size())
        num_queries = max(1, CHUNK_BYTES // row_bytes)
        context = InChunks.apply(self._attend, num_queries, values, keys,
                                 colors, places, self._kernel().to(values))
        return context.transpose(1, 2).unflatten(2, size)

    def _kernel(self) -> Tensor:
        """Logarithms of w1, w2, ta, tb and tg, shape (5,); none without."""
        if not self.use_raw:
            return torch.empty(0)
        return torch.stack([self.log_w1, self.log_w2, self.log_theta_alpha,
                            self.log_theta_beta, self.log_theta_gamma])

    def _attend(self, rows: slice, values: Tensor, keys: Tensor,
                colors: Tensor, places: Tensor, kernel: Tensor) -> Tensor:
        """Weighted mean of all cells for some cells.

        Args:
            rows (slice): The q cells that look.
            values (Tensor): Features of all cells, shape (B, N, C).
            keys (Tensor): The same, normalised, shape (B, N, C).
            colors (Tensor): Colours of all cells, shape (B, N, 3).
            places (Tensor): Rows and columns of all cells, shape (N, 2).
            kernel (Tensor): Its logarithms, shape (5,).

        Returns:
            Tensor: Shape (B, q, C).
        """
        logits: Tensor | float = 0.
        if self.use_features:
            logits = keys[:, rows] @ keys.transpose(1, 2) / self.temperature
        if self.use_raw:
            logits = logits + log_kernel(
                squared_distances(places[rows], places),
                squared_distances(colors[:, rows], colors), kernel)
        return logits.softmax(dim=-1) @ values

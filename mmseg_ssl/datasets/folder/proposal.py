"""Sizes, iterations and memory for own images, by rules that are stated."""
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

STEP = 8  # crops are multiples of it, in pixels
LEAST_SIDE = 32
FULL_BATCH = 8  # images in a step; with unlabelled images half of each kind
FULL_RATE = 0.05  # the learning rate that goes with it
PAPER_SIDE = 321  # crops and largest blur of ReCo's paper
PAPER_BLUR = 1.15


class Measurement(NamedTuple):
    """A training of ours on a CPU.

    Attributes:
        config (str): Its config.
        pixels (int): In a step: images times height times width of a crop.
        memory (float): Peak of the process, in MiB.
        seconds (float): For an iteration on one core of a 2.6 GHz EPYC.
    """

    config: str
    pixels: int
    memory: float
    seconds: float


# Two runs for each method; tests compare them with the records of the runs.
MEASURED = {
    'supervised': (
        Measurement('quickstart-supervised', 8 * 96 * 128, 1232, 0.271),
        Measurement('supervised_mbv2-d16-deeplabv3plus_1xb8-4k_'
                    'camvid-120x160-20l', 8 * 120 * 160, 1397, 0.380)),
    'reco-classmix': (
        Measurement('quickstart-reco-classmix', 8 * 96 * 128, 1251, 0.443),
        Measurement('reco-classmix_mbv2-d16-deeplabv3plus_1xb4-4k_'
                    'camvid-120x160-20l', 8 * 120 * 160, 1383, 0.600)),
}
ESTIMATE = ('Memory and time are rough estimates from two runs of ours, with '
            'crops of 128x96 and 160x120 pixels on one core of a 2.6 GHz '
            'EPYC. They grow in a straight line with the pixels in a step; '
            'GPUs and the number of classes are not considered.')


def image_scale(side: int) -> tuple[int, int]:
    """Bounds of the longer and of the shorter side of a resized image."""
    return 32 * side, side


def blur_sigma(side: int) -> tuple[float, float]:
    """Range of ReCo's blur, as much smaller than the paper's as images are."""
    largest = math.ceil(10 * PAPER_BLUR * side / PAPER_SIDE) / 10
    return 0.1, min(PAPER_BLUR, largest)


@dataclass(frozen=True)
class Proposal:
    """How to train with labels.

    Attributes:
        side (int): To which the shorter side of images is resized, in pixels.
        crop_size (tuple[int, int]): Height and width.
        batch_size (int): Images in a step, of both kinds together.
        iterations (int): Of the training.
    """

    side: int
    crop_size: tuple[int, int]
    batch_size: int
    iterations: int

    @property
    def lr(self) -> float:
        """Learning rate, in proportion to the images in a step."""
        return FULL_RATE * self.batch_size / FULL_BATCH

    @property
    def pixels(self) -> int:
        """Pixels in a step."""
        return self.batch_size * math.prod(self.crop_size)


def propose_side(sizes: np.ndarray, short_side: int) -> int:
    """Choose to what the shorter side of images is resized.

    To what is asked for, but images are not enlarged: at most to the median
    of theirs. A multiple of 8, at least 32.

    Args:
        sizes (np.ndarray): (N, 2) width and height of the images.
        short_side (int): Asked for, in pixels.
    """
    side = min(short_side, int(np.median(sizes.min(1)))) // STEP * STEP
    return max(side, LEAST_SIDE)


def fitting_crop(sizes: np.ndarray, side: int) -> tuple[int, int]:
    """Choose a crop that fits into all images.

    The whole image where all have one size; never longer than two times the
    shorter side. In multiples of 8.

    Args:
        sizes (np.ndarray): (N, 2) width and height of the images.
        side (int): To which the shorter side is resized, in pixels.

    Returns:
        tuple[int, int]: Height and width.
    """
    # rounded like mmcv does
    scaled = (sizes * (side / sizes.min(1))[:, None] + 0.5).astype(int)
    width, height = (min(int(n), 2 * side) // STEP * STEP
                     for n in scaled.min(0))
    return height, width


def propose_iterations(num_labeled: int) -> int:
    """200 for each labelled image, within 1,000 and 4,000.

    4,000 is the length of our runs with 20 labels. Above, until every image
    is seen 20 times by batches of 8. In whole thousands.
    """
    wanted = max(min(200 * num_labeled, 4000),
                 20 * num_labeled / FULL_BATCH)
    return 1000 * max(1, math.ceil(wanted / 1000))


def propose(sizes: np.ndarray, num_labeled: int, short_side: int,
            memory_limit: float, iterations: int | None = None) -> Proposal:
    """Propose how to train.

    Args:
        sizes (np.ndarray): (N, 2) width and height of the images.
        num_labeled (int): Number of labelled images.
        short_side (int): Asked for, in pixels.
        memory_limit (float): In MiB; the batch of 8 is halved, down to 4,
            while more is estimated for any of the methods.
        iterations (int, optional): Asked for.
    """
    side = propose_side(sizes, short_side)
    crop_size = fitting_crop(sizes, side)
    iterations = iterations or propose_iterations(num_labeled)
    for batch_size in (FULL_BATCH, FULL_BATCH // 2):
        proposal = Proposal(side, crop_size, batch_size, iterations)
        if all(estimate(method, proposal.pixels)[0] <= memory_limit
               for method in MEASURED):
            break
    return proposal


def estimate(method: str, pixels: int) -> tuple[float, float]:
    """Memory in MiB and seconds for an iteration, see ``ESTIMATE``.

    Args:
        method (str): A key of ``MEASURED``.
        pixels (int): In a step.
    """
    small, large = MEASURED[method]
    along = (pixels - small.pixels) / (large.pixels - small.pixels)
    memory, seconds = (
        a + along * (b - a) for a, b in ((small.memory, large.memory),
                                         (small.seconds, large.seconds)))
    return memory, max(seconds, 0.)

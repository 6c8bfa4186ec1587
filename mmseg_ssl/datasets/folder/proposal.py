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
CLUSTERED_BATCH = 16  # images in a step of PiCIE and of FS4
CLUSTERED_STEPS = 420  # about as many as 20 epochs of 335 images
ISS_BATCH = 32
ISS_RATE = 0.03  # the learning rate that goes with it
ISS_STEPS = 1000  # as many as 100 epochs of 335 images
ISS_QUEUE = 65536  # of MoCo's paper
LEAST_ISS = 9  # images: one more than the shortest queue
GLOBAL_CLUSTERS = 25  # as in our configs for 335 images


class Measurement(NamedTuple):
    """A training of ours on a CPU.

    Attributes:
        config (str): Its config.
        pixels (int): In a step: images times height times width of a crop.
        memory (float): Peak of the process, in MiB.
        seconds (float): For an iteration on one core: where labels are
            learned, of a 2.6 GHz EPYC; elsewhere it is not used.
    """

    config: str
    pixels: int
    memory: float
    seconds: float


LABELED = ('supervised', 'reco-classmix')
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
    'picie': (
        Measurement('picie-mocov2_r18-fpn_1xb16-10e_msrc21-112x112',
                    16 * 112 * 112, 1519, 1.175),
        Measurement('picie-mocov2_r18-fpn_1xb16-5e_camvid-120x160',
                    16 * 120 * 160, 1600, 2.957)),
    'fs4': (
        Measurement('fs4_r18-fpn_1xb16-10e_msrc21-112x112',
                    16 * 112 * 112, 1574, 2.038),
        Measurement('fs4_r18-fpn_1xb16-5e_camvid-120x160',
                    16 * 120 * 160, 1658, 3.638)),
}
# Puzzles have one size, a little smaller than that of this run.
PUZZLES = Measurement('jigsaw-3x3_mbv2-w75_1xb16-2k_camvid-180x240',
                      16 * 180 * 180, 1921, 0.662)
ESTIMATE = ('Memory and time are rough estimates from two runs of ours, with '
            'crops of 128x96 and 160x120 pixels on one core of a 2.6 GHz '
            'EPYC. They grow in a straight line with the pixels in a step; '
            'GPUs and the number of classes are not considered.')
ESTIMATE_UNLABELED = (
    'Memory follows from runs of ours on a CPU: for PiCIE and FS4 two each, '
    'with views of 112x112 and 160x120 pixels, for puzzles one, with crops of '
    '180x180. MoCo v2 has no such run; GPUs are not considered.')


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


@dataclass(frozen=True)
class Clustering:
    """How to cluster pixels of images without labels.

    Views have the size that labelled images would be trained at; what they
    are made of is one and a half times as large, as in our configs.

    Attributes:
        side (int): The shorter side of views, in pixels.
        large_side (int): That of images that views are made of.
        view_size (tuple[int, int]): Height and width of what is seen.
        crop_size (tuple[int, int]): Height and width of these images.
        epochs (int): Of the training.
    """

    side: int
    large_side: int
    view_size: tuple[int, int]
    crop_size: tuple[int, int]
    epochs: int

    @property
    def pixels(self) -> int:
        """Pixels of a view in a step."""
        return CLUSTERED_BATCH * math.prod(self.view_size)


@dataclass(frozen=True)
class Pretraining:
    """How MoCo v2 trains on the images before FS4 does.

    Attributes:
        queue_len (int): Features of earlier images that one is compared with:
            the largest power of 2 below the number of images.
        epochs (int): Of the training.
    """

    queue_len: int
    epochs: int

    @property
    def batch_size(self) -> int:
        """Images in a step; they divide the queue."""
        return min(ISS_BATCH, self.queue_len)

    @property
    def group_size(self) -> int:
        """Images with statistics of their own, two groups at least."""
        return min(8, self.batch_size // 2)

    @property
    def lr(self) -> float:
        """Learning rate, in proportion to the images in a step."""
        return ISS_RATE * self.batch_size / ISS_BATCH


def propose_clustering(sizes: np.ndarray, short_side: int) -> Clustering:
    """Propose how to cluster pixels.

    Args:
        sizes (np.ndarray): (N, 2) width and height of the images.
        short_side (int): Asked for, in pixels.
    """
    side = propose_side(sizes, short_side)
    large_side = side * 3 // 2
    return Clustering(
        side, large_side, fitting_crop(sizes, side),
        fitting_crop(sizes, large_side),
        _epochs(math.ceil(len(sizes) / CLUSTERED_BATCH), CLUSTERED_STEPS))


def propose_pretraining(num_images: int) -> Pretraining:
    """Propose how to train MoCo v2.

    Args:
        num_images (int): At least ``LEAST_ISS``.
    """
    queue_len = min(ISS_QUEUE, 2**((num_images - 1).bit_length() - 1))
    batch_size = Pretraining(queue_len, 0).batch_size
    return Pretraining(
        queue_len, _epochs(num_images // batch_size, ISS_STEPS))


def propose_global_clusters(num_images: int) -> int:
    """25 clusters of images and their parts, or one for 4 images."""
    return min(GLOBAL_CLUSTERS, num_images // 4)


def _epochs(steps: int, wanted: int) -> int:
    """So many that there are as many steps as in our configs, at most 100.

    Args:
        steps (int): Of an epoch.
        wanted (int): Steps in all.
    """
    return min(100, max(1, math.ceil(wanted / steps)))


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
               for method in LABELED):
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

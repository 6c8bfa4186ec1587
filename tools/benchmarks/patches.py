"""Time of sample_patches against cropping patch by patch with OpenCV.

Both start from a batch of uint8 images with labels and end with float
patches in one tensor on the device: random boxes whose central pixel is
labelled and that overlap little, cut out and resized. They run in turn in
one process; printed are medians and ranges of the time on the clock and, on a
CPU, of processor time (all threads), which other processes disturb less.

Example::

    python tools/benchmarks/patches.py
    python tools/benchmarks/patches.py --device cuda --repeats 50
"""
import argparse
import platform
import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from mmseg_ssl.methods.mix_and_match import sample_patches

MAX_OVERLAP = 0.6
TRIES = 50


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--batch', type=int, default=40, help='images')
    parser.add_argument('--size', type=int, default=512, help='h = w')
    parser.add_argument('--num-per-image', type=int, default=10)
    parser.add_argument('--sides', type=int, nargs=2, default=[64, 256])
    parser.add_argument('--out-size', type=int, default=128)
    parser.add_argument('--repeats', type=int, default=9,
                        help='timed runs of each; the median counts')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    return parser.parse_args()


def overlaps(box: tuple[int, ...], others: list[tuple[int, ...]]) -> bool:
    """Whether too much of the smaller box lies in an earlier one."""
    for other in others:
        width = min(box[2], other[2]) - max(box[0], other[0])
        height = min(box[3], other[3]) - max(box[1], other[1])
        smaller = min(box[2] - box[0], other[2] - other[0])**2
        if min(width, height) > 0 and (
                width * height > MAX_OVERLAP * smaller):
            return True
    return False


def draw_boxes(labels: np.ndarray,
               args: argparse.Namespace) -> list[tuple[int, ...]]:
    """Boxes of one image, drawn and rejected one by one."""
    boxes: list[tuple[int, ...]] = []
    height, width = labels.shape
    for _ in range(TRIES * args.num_per_image):
        side = np.random.randint(args.sides[0], args.sides[1] + 1)
        x = np.random.randint(width - side + 1)
        y = np.random.randint(height - side + 1)
        box = (x, y, x + side, y + side)
        if (labels[y + side // 2, x + side // 2] != 255
                and not overlaps(box, boxes)):
            boxes.append(box)
        if len(boxes) == args.num_per_image:
            break
    return boxes


def crop_one_by_one(images: list[np.ndarray], labels: list[np.ndarray],
                    args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Patches and their classes, by OpenCV on the CPU."""
    patches, classes = [], []
    size = (args.out_size, args.out_size)
    for image, label in zip(images, labels):
        for x1, y1, x2, y2 in draw_boxes(label, args):
            patches.append(cv2.resize(image[y1:y2, x1:x2], size,
                                      interpolation=cv2.INTER_LINEAR))
            classes.append(label[(y1 + y2) // 2, (x1 + x2) // 2])
    stacked = torch.from_numpy(np.stack(patches)).to(args.device)
    return (stacked.permute(0, 3, 1, 2).float().contiguous(),
            torch.tensor(np.array(classes), device=args.device))


def seconds(call: Callable, on_gpu: bool) -> tuple[float, float]:
    """Time of one call: on the clock and of all processors."""
    if on_gpu:
        torch.cuda.synchronize()
    start, start_processor = time.perf_counter(), time.process_time()
    call()
    if on_gpu:
        torch.cuda.synchronize()
    return (time.perf_counter() - start,
            time.process_time() - start_processor)


def report(kind: str, ours: Sequence[float],
           one_by_one: Sequence[float]) -> None:
    """Print medians, ranges and the ratio of medians."""
    medians = []
    print(kind)
    for title, times in (('sample_patches', sorted(ours)),
                         ('OpenCV one by one', sorted(one_by_one))):
        medians.append(times[len(times) // 2])
        print(f'  {title + ":":19s}{1000 * medians[-1]:9.1f} ms '
              f'({1000 * times[0]:.1f} to {1000 * times[-1]:.1f})')
    print(f'  ratio:             {medians[0] / medians[1]:9.2f}')


def main() -> None:
    """Measure both and print the comparison."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    torch.manual_seed(0)
    np.random.seed(0)
    shape = (args.batch, args.size, args.size)
    images = torch.randint(256, (*shape, 3), dtype=torch.uint8)
    labels = torch.randint(21, shape)
    labels[torch.rand(shape) < 0.05] = 255
    arrays = list(images.numpy())
    label_arrays = list(labels.byte().numpy())
    batch = images.permute(0, 3, 1, 2).contiguous().to(args.device)
    labels = labels.to(args.device)

    def ours() -> None:
        sample_patches(batch, labels, args.num_per_image, tuple(args.sides),
                       args.out_size, max_overlap=MAX_OVERLAP)

    def one_by_one() -> None:
        crop_one_by_one(arrays, label_arrays, args)

    on_gpu = args.device == 'cuda'
    pairs = [(seconds(ours, on_gpu), seconds(one_by_one, on_gpu))
             for _ in range(args.repeats + 1)][1:]  # the first warms up
    name = (torch.cuda.get_device_name() if on_gpu
            else f'{platform.machine()}, {args.threads} threads')
    print(f'{args.batch} images of {args.size}, {args.num_per_image} patches '
          f'each, on {name}, torch {torch.__version__}')
    ours_times, their_times = (list(zip(*times)) for times in zip(*pairs))
    report('on the clock', ours_times[0], their_times[0])
    if not on_gpu:
        report('processor time', ours_times[1], their_times[1])


if __name__ == '__main__':
    main()

"""Time of class_connected_triplets against a loop over nodes.

The loop visits nodes in random order and scans all earlier ones for each new
one, as the graph is usually described. Both run in turn in one process, on
the same random labels; printed are the fastest runs, their ratio, and by
how much the time of class_connected_triplets grows between the sizes beside
N log N. On a CPU it is processor time (of all threads), which other processes
disturb less.

Example::

    python tools/benchmarks/patch_graph.py
    python tools/benchmarks/patch_graph.py --device cuda --classes 150
"""
import argparse
import math
import platform
import random
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mmseg_ssl.methods.mix_and_match import class_connected_triplets


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--sizes', type=int, nargs='+',
                        default=[400, 5000], help='nodes, against the loop')
    parser.add_argument('--large', type=int, nargs='+',
                        default=[12500, 25000, 50000, 100000],
                        help='nodes, without the loop')
    parser.add_argument('--classes', type=int, default=21)
    parser.add_argument('--repeats', type=int, default=50,
                        help='timed runs; the fastest counts (3 of the loop)')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    return parser.parse_args()


def choose(nodes: Sequence[int], fallback: Sequence[int]) -> int:
    """A random node of the first list that has any, else -1."""
    nodes = nodes or fallback
    return random.choice(nodes) if nodes else -1


def scan_earlier_nodes(labels: Tensor) -> list[tuple[int, int, int]]:
    """Draw the same kind of triplets, one node after another."""
    classes = labels.tolist()
    order = random.sample(range(len(classes)), len(classes))
    triplets = []
    for i, node in enumerate(order):
        same = [j for j in order[:i] if classes[j] == classes[node]]
        other = [j for j in order[:i] if classes[j] != classes[node]]
        if not same:
            all_same = [j for j in order
                        if classes[j] == classes[node] and j != node]
            same = all_same or [node]
        all_other = [] if other else [
            j for j in order if classes[j] != classes[node]]
        triplets.append((node, choose(same, []), choose(other, all_other)))
    return triplets


def fastest(draw: Callable, labels: Tensor, repeats: int) -> float:
    """Seconds of the fastest call."""
    clock = time.perf_counter if labels.is_cuda else time.process_time
    times = []
    for _ in range(repeats):
        if labels.is_cuda:
            torch.cuda.synchronize()
        start = clock()
        draw(labels)
        if labels.is_cuda:
            torch.cuda.synchronize()
        times.append(clock() - start)
    return min(times)


def main() -> None:
    """Measure all sizes and print them."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    random.seed(0)

    def make_labels(num_nodes: int) -> Tensor:
        return torch.randint(
            args.classes, (num_nodes, ), device=args.device)

    class_connected_triplets(make_labels(100))  # warms up
    name = (torch.cuda.get_device_name() if args.device == 'cuda'
            else f'{platform.machine()}, {args.threads} threads')
    print(f'{args.classes} classes, on {name}, torch {torch.__version__}')
    previous = None
    for num_nodes in sorted({*args.sizes, *args.large}):
        labels = make_labels(num_nodes)
        ours = fastest(class_connected_triplets, labels, args.repeats)
        line = f'N={num_nodes:7d}: {1000 * ours:9.3f} ms'
        if num_nodes in args.sizes:
            loop = fastest(
                scan_earlier_nodes, labels, min(3, args.repeats))
            line += f', loop {1000 * loop:9.1f} ms, ratio {loop / ours:7.0f}'
        if previous is not None:
            allowed = (num_nodes * math.log(num_nodes)
                       / (previous[0] * math.log(previous[0])))
            line += (f', grew {ours / previous[1]:5.2f} times '
                     f'(N log N: {allowed:5.2f})')
        print(line, flush=True)
        previous = num_nodes, ours


if __name__ == '__main__':
    main()

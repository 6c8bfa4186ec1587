"""Time and memory of RegionalContrastLoss against the paper's loops.

Both losses run forward and backward on the same random input, each in a
process of its own, one after the other, and print seconds, their ratio and
the peak of extra memory: on a CPU the largest resident set of the process
(Linux: VmHWM) less the one just before the first call (VmRSS), on a GPU the
same of the allocator. The gradient of the embedding is part of it, the inputs
are not.

The reference (``reco_reference.py`` beside this file) loops over classes,
queries and negative classes, and calls backward class by class: all its graphs
at once would take tens of gigabytes.

Example::

    OMP_NUM_THREADS=2 python tools/benchmarks/reco_loss.py
    python tools/benchmarks/reco_loss.py --device cuda --repeats 50
"""
import argparse
import json
import multiprocessing
import platform
import time
from collections.abc import Callable

import torch
from torch import Tensor

from mmseg_ssl.engine.environment import keep_freed_memory

MIB = 2**20


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--batch', type=int, default=4, help='images, B')
    parser.add_argument('--channels', type=int, default=256, help='D')
    parser.add_argument('--size', type=int, default=128, help='h = w')
    parser.add_argument('--classes', type=int, default=19, help='C')
    parser.add_argument('--queries', type=int, default=256, help='a class, Q')
    parser.add_argument('--keys', type=int, default=512, help='a query, M')
    parser.add_argument('--repeats', type=int, default=5,
                        help='timed runs of our loss; the median counts')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--out', help='append the result to this JSON file')
    return parser.parse_args()


def make_inputs(args: argparse.Namespace) -> tuple[Tensor, Tensor, Tensor]:
    """Random embeddings, blocks of labels, unsure probabilities."""
    rng = torch.Generator().manual_seed(0)
    shape = (args.batch, args.channels, args.size, args.size)
    embedding = torch.randn(shape, generator=rng)
    blocks = (args.batch, args.size // 8, args.size // 8)
    label = torch.randint(args.classes, blocks, generator=rng)
    label = label.repeat_interleave(8, 1).repeat_interleave(8, 2)
    logits = torch.randn((args.batch, args.classes, args.size, args.size),
                         generator=rng)
    prob = (3 * logits).softmax(dim=1)
    embedding, label, prob = (
        tensor.to(args.device) for tensor in (embedding, label, prob))
    return embedding.requires_grad_(), label, prob


def ours(args: argparse.Namespace) -> Callable[..., float]:
    """One forward and backward of the package's loss."""
    from mmseg_ssl.methods.reco import RegionalContrastLoss
    loss = RegionalContrastLoss(args.queries, args.keys)

    def step(*inputs: Tensor) -> float:
        value = loss(*inputs)
        value.backward()
        return value.item()

    return step


def reference(args: argparse.Namespace) -> Callable[..., float]:
    """One forward and backward of the loops, class by class."""
    from reco_reference import ReferenceLoss
    loss = ReferenceLoss(args.queries, args.keys)

    def step(*inputs: Tensor) -> float:
        value = 0.
        for term in loss.class_terms(*inputs):
            term.backward()
            value += term.item()
        return value

    return step


def memory(device: str, peak: bool) -> int:
    """Bytes held now, or the most held so far."""
    if device.startswith('cuda'):
        return (torch.cuda.max_memory_allocated() if peak else
                torch.cuda.memory_allocated())
    key = 'VmHWM' if peak else 'VmRSS'
    with open('/proc/self/status') as status:
        line = next(line for line in status if line.startswith(key))
    return int(line.split()[1]) * 1024


def measure(make_step: Callable, args: argparse.Namespace, repeats: int,
            connection) -> None:
    """Send seconds of each run, loss value and peak extra memory in MiB."""
    torch.set_num_threads(args.threads)
    keep_freed_memory()  # as tools/train.py does
    step = make_step(args)
    inputs = make_inputs(args)
    embedding = inputs[0]
    before = memory(args.device, peak=False)
    seconds = []
    for _ in range(repeats):
        torch.manual_seed(0)
        embedding.grad = None
        if args.device.startswith('cuda'):
            torch.cuda.synchronize()
        start = time.perf_counter()
        value = step(*inputs)  # item() waits for the device
        seconds.append(time.perf_counter() - start)
    extra = (memory(args.device, peak=True) - before) / MIB
    connection.send((seconds, value, extra))


def in_own_process(make_step: Callable, args: argparse.Namespace,
                   repeats: int) -> tuple[list[float], float, float]:
    """Measure in a fresh process, whose peak memory is nobody else's."""
    context = multiprocessing.get_context('spawn')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=measure, args=(make_step, args, repeats, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise SystemExit(
            f'{make_step.__name__} failed, see the message above') from None
    finally:
        process.join()


def main() -> None:
    """Measure both and print the comparison."""
    args = parse_args()
    name = (torch.cuda.get_device_name() if args.device.startswith('cuda')
            else f'{platform.machine()}, {args.threads} threads')
    print(f'B={args.batch} D={args.channels} {args.size}x{args.size} '
          f'C={args.classes} Q={args.queries} M={args.keys} on {name}, '
          f'torch {torch.__version__}', flush=True)
    # The first run warms up; the loops are too slow for chance to matter.
    fast, fast_value, fast_memory = in_own_process(ours, args,
                                                   args.repeats + 1)
    slow, slow_value, slow_memory = in_own_process(reference, args, 1)
    median = sorted(fast[1:])[args.repeats // 2]
    result = dict(
        ours_seconds=round(median, 3),
        reference_seconds=round(slow[0], 3),
        ratio=round(slow[0] / median, 1),
        ours_extra_mib=round(fast_memory),
        reference_extra_mib=round(slow_memory),
        ours_loss=fast_value,
        reference_loss=slow_value)
    print(f'ours:      {median:8.3f} s  {fast_memory:6.0f} MiB extra, '
          f'loss {fast_value:.4f} (runs: '
          f'{" ".join(f"{s:.3f}" for s in fast)})')
    print(f'reference: {slow[0]:8.3f} s  {slow_memory:6.0f} MiB extra, '
          f'loss {slow_value:.4f}')
    print(f'ratio:     {result["ratio"]:8.1f}')
    if args.out:
        with open(args.out, 'a') as file:
            file.write(json.dumps(dict(vars(args), device_name=name,
                                       torch=torch.__version__,
                                       **result)) + '\n')


if __name__ == '__main__':
    main()

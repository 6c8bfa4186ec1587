"""What kept memory and channels-last weights are worth to a CPU training step.

``python tools/benchmarks/cpu_step.py`` runs the step of a small net in
processes of its own: plain, with
:func:`mmseg_ssl.engine.environment.keep_freed_memory`, with channels-last
weights (:class:`mmseg_ssl.engine.ChannelsLastHook`), and with both, in turns.
It prints the seconds of a step, on the clock and of processor time (all
threads; less disturbed by other processes), their ratios to plain, and the
page faults.
"""
import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_ssl.engine.environment import keep_freed_memory

MODEL = (Path(__file__).resolve().parents[2]
         / 'configs/_base_/models/deeplabv3plus_mbv2-d16.py')

VARIANTS = ('plain', 'kept', 'channels-last', 'both')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--size', type=int, nargs=2, default=(120, 160))
    parser.add_argument('--steps', type=int, default=10)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument(
        '--worker', choices=VARIANTS,
        help='measure in this process and print seconds and page faults')
    return parser.parse_args()


def counters() -> tuple[float, float, float]:
    """Clock and processor time in seconds, page faults in thousands."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (time.perf_counter(), usage.ru_utime + usage.ru_stime,
            usage.ru_minflt / 1000)


def measure(batch_size: int, size: tuple[int, int], steps: int,
            memory_format: torch.memory_format) -> str:
    """Seconds, processor seconds and page faults of a step, means."""
    torch.manual_seed(0)
    init_default_scope('mmseg')
    cfg = Config.fromfile(MODEL).model
    cfg.decode_head.num_classes = 11
    model = revert_sync_batchnorm(MODELS.build(cfg)).train()
    model.to(memory_format=memory_format)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(batch_size, 3, *size)
    samples = [
        SegDataSample(
            gt_sem_seg=PixelData(data=torch.randint(0, 11, (1, *size))))
        for _ in range(batch_size)
    ]
    measured = []
    for _ in range(steps + 2):  # the first two warm up
        before = counters()
        losses = model.loss(images, samples)
        optimizer.zero_grad()
        model.parse_losses(losses)[0].backward()
        optimizer.step()
        measured.append([now - then for now, then
                         in zip(counters(), before)])
    return ' '.join(
        str(statistics.mean(values)) for values in zip(*measured[2:]))


def main() -> None:
    args = parse_args()
    if args.worker:
        if args.worker in ('kept', 'both') and not keep_freed_memory():
            sys.exit('keep_freed_memory does nothing here (a GPU, another C '
                     'library, or MALLOC_* in the environment)')
        memory_format = (
            torch.channels_last if args.worker in ('channels-last', 'both')
            else torch.contiguous_format)
        print(measure(args.batch_size, tuple(args.size), args.steps,
                      memory_format))
        return
    results: dict[str, list[list[float]]] = {name: [] for name in VARIANTS}
    for _ in range(args.rounds):
        for name, measured in results.items():
            process = subprocess.run(
                [sys.executable, __file__, '--worker', name, *sys.argv[1:]],
                stdout=subprocess.PIPE, text=True, check=True)
            line = process.stdout.splitlines()[-1]
            measured.append([float(value) for value in line.split()])
            print('{}: {:.3f} s, {:.3f} processor s, {:.1f}k page faults'
                  .format(name, *measured[-1]), flush=True)
    median = {name: [statistics.median(values) for values in zip(*measured)]
              for name, measured in results.items()}
    print(f'{torch.get_num_threads()} threads, batch {args.batch_size}, '
          f'{args.size[0]}x{args.size[1]}; plain divided by')
    for name in VARIANTS[1:]:
        clock, processor = (
            median['plain'][i] / median[name][i] for i in (0, 1))
        print(f'  {name}: {clock:.2f} on the clock, {processor:.2f} in '
              'processor time')


if __name__ == '__main__':
    main()

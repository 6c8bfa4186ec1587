"""Time and memory of MiniBatchKMeans against scikit-learn and faiss.

Every method clusters the same random points, from the same centres and for
the same number of iterations (MiniBatchKMeans of scikit-learn: one epoch of
mini-batches instead), each in a process of its own, one after the other, in
turns. Printed are the median of the seconds, their ratio to the fastest
library, the seconds of processor time (all threads; less disturbed by other
processes), the inertia of the centres (computed the same way for all) and the
peak of extra memory (Linux: VmHWM of the process less its VmRSS just
before the fit; the points are not part of it). faiss takes part if it is
installed.

Ours spares the work on points that keep their cluster, which depends on the
points: in one cloud without clusters (``--separation 0``) it has to look at
all of them in every iteration.

Example::

    python tools/benchmarks/kmeans.py
    python tools/benchmarks/kmeans.py --num 2000000 --threads 2
"""
import argparse
import importlib.util
import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor

METHODS = ('ours', 'sklearn-lloyd', 'sklearn-minibatch', 'faiss')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--num', type=int, default=200_000, help='points, N')
    parser.add_argument('--dim', type=int, default=128, help='D')
    parser.add_argument('--clusters', type=int, default=27, help='K')
    parser.add_argument('--iters', type=int, default=20)
    parser.add_argument('--batch-size', type=int, default=4096,
                        help='of scikit-learn\'s MiniBatchKMeans')
    parser.add_argument('--separation', type=float, default=0.5,
                        help='standard deviation of the centres, in that of '
                        'the points around them')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--methods', nargs='+', choices=METHODS,
                        default=METHODS)
    return parser.parse_args()


def memory(key: str) -> float:
    """Memory of this process in MiB, by its name in /proc/self/status."""
    with open('/proc/self/status') as file:
        for line in file:
            if line.startswith(f'{key}:'):
                return int(line.split()[1]) / 1024
    return float('nan')


def fit(method: str, points, start, args: argparse.Namespace):
    """Cluster points (N, D) from centres (K, D), arrays; return centres."""
    if method == 'ours':
        import torch

        from mmseg_ssl.clustering import MiniBatchKMeans
        kmeans = MiniBatchKMeans(
            args.clusters, args.dim, 'euclidean', torch.from_numpy(start),
            max_iters=args.iters, tol=-1)
        return lambda: kmeans.fit(torch.from_numpy(points)).centroids.numpy()
    if method == 'faiss':
        import faiss
        faiss.omp_set_num_threads(args.threads)
        kmeans = faiss.Kmeans(
            args.dim, args.clusters, niter=args.iters,
            max_points_per_centroid=len(points))

        def train():
            kmeans.train(points, init_centroids=start)
            return kmeans.centroids
        return train
    from sklearn import cluster
    if method == 'sklearn-lloyd':
        kmeans = cluster.KMeans(
            args.clusters, init=start, n_init=1, max_iter=args.iters, tol=0,
            copy_x=False)
    else:
        kmeans = cluster.MiniBatchKMeans(
            args.clusters, init=start, n_init=1, max_iter=1,
            batch_size=args.batch_size, compute_labels=False)
    return lambda: kmeans.fit(points).cluster_centers_


def measure(method: str, args: argparse.Namespace) -> dict[str, float]:
    """Seconds, processor seconds, extra MiB and inertia of one fit."""
    import torch

    from mmseg_ssl.clustering import MiniBatchKMeans
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(args.num, args.dim, generator=generator)
    # clusters of a spread that leaves Lloyd's algorithm something to do
    centres = torch.randn(args.clusters, args.dim, generator=generator)
    for chunk in points.split(10_000):
        which = torch.randint(
            args.clusters, (len(chunk), ), generator=generator)
        chunk += args.separation * centres[which]
    start = points[:args.clusters].clone()

    run = fit(method, points.numpy(), start.numpy(), args)
    before = memory('VmRSS')
    begin, processor = time.perf_counter(), time.process_time()
    result = torch.from_numpy(run())
    seconds = time.perf_counter() - begin
    processor = time.process_time() - processor
    peak = memory('VmHWM') - before
    score = MiniBatchKMeans(
        args.clusters, args.dim, 'euclidean', init=result.float())
    return dict(seconds=seconds, processor=processor, mib=peak,
                inertia=-score.assign(points)[1].sum().item())


def main() -> None:
    """Measure all methods in turns, and print a table."""
    args = parse_args()
    # read when the libraries are loaded, in the processes
    os.environ['OMP_NUM_THREADS'] = str(args.threads)
    methods = [method for method in args.methods if method != 'faiss'
               or importlib.util.find_spec('faiss') is not None]
    context = multiprocessing.get_context('spawn')
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
    for _ in range(args.repeats):
        for method, measured in runs.items():
            # a process of its own, so that peaks of memory are its own
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                measured.append(pool.submit(measure, method, args).result())
    seconds = {name: statistics.median(run['seconds'] for run in measured)
               for name, measured in runs.items()}
    fastest = min((value for name, value in seconds.items()
                   if name != 'ours'), default=float('nan'))
    print(f'{args.num} x {args.dim}, K = {args.clusters}, {args.iters} '
          f'iterations, separation {args.separation}, {args.threads} threads, '
          f'median of {args.repeats}')
    print(f'{"":18}{"seconds":>9}{"ratio":>7}{"processor":>11}{"MiB":>7}'
          '  inertia')
    for name, measured in runs.items():
        mib = max(run['mib'] for run in measured)
        processor = statistics.median(run['processor'] for run in measured)
        print(f'{name:18}{seconds[name]:9.2f}{seconds[name] / fastest:7.2f}'
              f'{processor:11.2f}'
              f'{mib:7.0f}  {measured[0]["inertia"]:.6g}')


if __name__ == '__main__':
    main()

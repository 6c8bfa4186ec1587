"""Tell the user what was found, what is proposed and what to type."""
import math
from collections.abc import Sequence
from shlex import quote

from mmseg_ssl.datasets.folder.proposal import (
    CLUSTERED_BATCH,
    ESTIMATE,
    ESTIMATE_UNLABELED,
    LEAST_ISS,
    MEASURED,
    PUZZLES,
    Clustering,
    Proposal,
    estimate,
)
from mmseg_ssl.datasets.folder.scan import FolderScan
from mmseg_ssl.datasets.folder.writing import Prepared, Request

FEW_VAL = 5
TITLES = {'supervised': 'Supervised', 'reco-classmix': 'ReCo + ClassMix',
          'picie': 'PiCIE', 'fs4': 'FS4', 'jigsaw': 'Jigsaw'}


def summarize(scan: FolderScan, request: Request,
              prepared: Prepared) -> str:
    """Several paragraphs for a terminal."""
    parts = [_found(scan)]
    if prepared.proposal is not None:
        parts += [_classes(scan, prepared.val), _validation(scan, prepared),
                  _training(scan, prepared.proposal, request)]
    if prepared.clustering is not None:
        parts += [_without_masks(request, prepared),
                  _clustering(prepared.clustering, request, prepared)]
    if scan.notes:
        parts.append('\n'.join(f'Note: {note}' for note in scan.notes))
    parts.append(f'Wrote lists and configs to {request.out}. The images stay '
                 'where they are.')
    if prepared.earlier:
        parts.append(
            'Left as they are, from earlier calls: '
            f'{", ".join(prepared.earlier)}. They read the lists and the '
            'dataset.py that were written now.')
    parts.append(_commands(scan, request, prepared))
    return '\n\n'.join(parts)


def _found(scan: FolderScan) -> str:
    width, height = scan.sizes.min(0), scan.sizes.max(0)
    text = f'{scan.spec.image_dir}: {len(scan.images)} images, '
    if (width == height).all():
        text += 'all of {}x{} pixels'.format(*width)
    else:
        text += 'from {}x{} to {}x{} pixels (width x height)'.format(
            *width, *height)
    return text + (f'; {len(scan.pairs)} of them have a mask'
                   if scan.spec.mask_dir else '')


def _classes(scan: FolderScan, val: Sequence[int]) -> str:
    """In how many images each class is, and its share of the pixels."""
    is_val = [i in set(val) for i in range(len(scan.pairs))]
    held = scan.pixels[is_val].astype(bool).sum(0)
    every = scan.pixels.astype(bool).sum(0)
    share = 100 * scan.pixels.sum(0) / scan.pixels.sum()
    width = max(5, *map(len, scan.spec.classes))
    rows = [f'{"class":{width}}  train  val  share of labelled pixels']
    rows += [
        f'{name:{width}}  {every[i] - held[i]:5}  {held[i]:3}  {share[i]:.1f} '
        '%' for i, name in enumerate(scan.spec.classes)]
    for i, name in enumerate(scan.spec.classes):
        if not every[i]:
            rows.append(f'No mask holds {name!r}: it cannot be learned.')
        elif not every[i] - held[i]:
            rows.append(f'No training mask holds {name!r}: label an image '
                        'with it.')
        elif not held[i]:
            rows.append(f'{name!r} is not among the validation masks: its IoU '
                        'will be nan. Label another image with it.')
    return '\n'.join(rows)


def _validation(scan: FolderScan, prepared: Prepared) -> str:
    count = len(prepared.val)
    text = (
        f'{count} of the {len(scan.pairs)} masks are kept for validation '
        '(val.txt). They show as many of the classes as they can and, where '
        'possible, leave a mask of each to training. The same files give the '
        'same choice.')
    if count < FEW_VAL:
        text += f' Scores on {count} image(s) are rough.'
    return text


def _training(scan: FolderScan, proposal: Proposal,
              request: Request) -> str:
    height, width = proposal.crop_size
    lines = [
        f'Images are resized to a shorter side of {proposal.side} pixels '
        f'(--short-side), crops are {width}x{height}; '
        f'{proposal.iterations} iterations (--iterations), learning rate '
        f'{proposal.lr:g}.']
    for method, batch in (('supervised', f'{proposal.batch_size}'),
                          ('reco-classmix', '{0} + {0}'.format(
                              proposal.batch_size // 2))):
        memory, seconds = estimate(method, proposal.pixels)
        minutes = math.ceil(proposal.iterations * seconds / 60)
        lines.append(f'  {TITLES[method]}: batch {batch}, about '
                     f'{_gib(memory)} and {minutes} min')
        lines += _too_much(memory, request)
    lines.append(ESTIMATE)
    if not scan.num_unlabeled:
        lines.append(
            'Every image has a mask: ReCo + ClassMix has nothing unlabelled '
            'to learn from beyond the labelled images, and adds little. Add '
            'images without masks.')
    return '\n'.join(lines)


def _gib(memory: float) -> str:
    """Of MiB."""
    return f'{memory / 1024:.1f} GiB'


def _too_much(memory: float, request: Request) -> list[str]:
    """A line if there is not so much memory."""
    if memory <= request.memory_limit:
        return []
    return [f'  That is more than {_gib(request.memory_limit)}: take a '
            'smaller --short-side.']


def _without_masks(request: Request, prepared: Prepared) -> str:
    text = (
        f'No masks: PiCIE groups pixels into {request.num_clusters} clusters, '
        'and so does FS4, which starts from MoCo v2 on the same images and '
        'lets clusters of these guide those of pixels. Puzzles make a start '
        'for training with labels later. None says how good it is at your '
        'classes.')
    if 'fs4' not in prepared.configs:
        text += (f' FS4 is left out: its MoCo v2 needs {LEAST_ISS} images, '
                 'better hundreds.')
    return text


def _clustering(clustering: Clustering, request: Request,
                prepared: Prepared) -> str:
    height, width = clustering.view_size
    lines = [
        f'PiCIE{" and FS4" if "fs4" in prepared.configs else ""}: images are '
        f'resized to a shorter side of {clustering.large_side} pixels, views '
        f'are {width}x{height} (--short-side).']
    for method in ('picie', 'fs4'):
        if method in prepared.configs:
            lines += _memory_of_views(method, clustering, request)
    lines += [f'  {TITLES["jigsaw"]}: batch 16, at most '
              f'{_gib(PUZZLES.memory)}', ESTIMATE_UNLABELED]
    return '\n'.join(lines)


def _memory_of_views(method: str, clustering: Clustering,
                     request: Request) -> list[str]:
    """An estimate, or what was measured if that was for smaller views."""
    largest = MEASURED[method][-1]
    if clustering.pixels > largest.pixels:
        memory, about = largest.memory, 'more than the measured'
    else:
        memory, _ = estimate(method, clustering.pixels)
        about = 'about'
    return [f'  {TITLES[method]}: batch {CLUSTERED_BATCH}, {about} '
            f'{_gib(memory)}', *_too_much(memory, request)]


def _commands(scan: FolderScan, request: Request,
              prepared: Prepared) -> str:
    configs = prepared.configs
    if prepared.proposal is None:
        return _commands_without_masks(
            {method: quote(str(path)) for method, path in configs.items()})
    lines = ['Train:', *(f'  python tools/train.py {quote(str(path))}'
                         for path in configs.values())]
    works = {method: f'work_dirs/{path.stem}'
             for method, path in configs.items()}
    runs = ' '.join(f'--run "{TITLES[method]}={work}"'
                    for method, work in works.items())
    report, images, predictions = (quote(str(path)) for path in (
        f'{request.out}/report.html', scan.spec.image_dir,
        f'{request.out}/predictions'))
    return '\n'.join([
        *lines, 'Compare:',
        f'  python tools/analysis_tools/report.py {report} {runs}',
        'Predict:', f'  python tools/infer.py {works["reco-classmix"]}/'
        f'iter_{prepared.proposal.iterations}.pth {images} '
        f'--out {predictions}'])


def _commands_without_masks(configs: dict[str, str]) -> str:
    lines = ['Train:', *(f'  python tools/train.py {configs[method]}'
                         for method in ('picie', 'jigsaw'))]
    if 'fs4' in configs:
        lines += [
            'FS4, in this order:',
            f'  python tools/train.py {configs["fs4-iss"]}',
            '  python tools/dataset_tools/make_pyramid_labels.py '
            f'{configs["fs4"]}',
            f'  python tools/train.py {configs["fs4"]}']
    return '\n'.join(lines)

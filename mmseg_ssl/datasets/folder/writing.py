"""Write lists and configs for own images; the images stay where they are."""
import colorsys
import hashlib
import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmseg_ssl.datasets.folder import config_text
from mmseg_ssl.datasets.folder.hold_out import hold_out
from mmseg_ssl.datasets.folder.proposal import (
    CLUSTERED_BATCH,
    LEAST_ISS,
    Clustering,
    Proposal,
    blur_sigma,
    image_scale,
    propose,
    propose_clustering,
    propose_global_clusters,
    propose_pretraining,
)
from mmseg_ssl.datasets.folder.scan import FolderScan, pair_lines
from mmseg_ssl.datasets.splits import select_random
from mmseg_ssl.engine.environment import config_folder

MANIFEST = 'folder.json'
BASE = 'dataset.py'
SMALL_SIDE = 160  # of views, in pixels: what our small FS4 is made for
PUZZLE_CROP = 160  # as in our configs for 240x180 pixels
PUZZLE_SIDE = 180


@dataclass(frozen=True)
class Request:
    """What the user wants beside a look at the folders.

    Attributes:
        out (Path): Folder to write to; its name names the dataset.
        short_side (int): To which images are resized, in pixels.
        memory_limit (float): In MiB.
        val_share (float): Share of the labelled images to validate on.
        iterations (int, optional): Of trainings with labels.
        num_clusters (int): Of trainings without labels.

    Raises:
        ValueError: The path of the folder cannot stand in a config, or
            there are fewer than two clusters.
    """

    out: Path
    short_side: int
    memory_limit: float
    val_share: float = 0.2
    iterations: int | None = None
    num_clusters: int = 10

    def __post_init__(self) -> None:
        bad = [sign for sign in '"\\\n' if sign in str(self.out.resolve())]
        if bad:
            raise ValueError(
                f'the configs cannot be written to {self.out.resolve()}, as '
                f'its path has {bad[0]!r} in it; choose another --out')
        if self.num_clusters < 2:
            raise ValueError(
                f'{self.num_clusters} cluster: pixels can be told apart only '
                'by two or more; give --num-clusters')

    @property
    def name(self) -> str:
        """Name of the dataset, as it stands in names of configs."""
        words = re.findall('[A-Za-z0-9]+', self.out.resolve().name)
        return '-'.join(words) or 'own'


@dataclass(frozen=True)
class Prepared:
    """What was written.

    Attributes:
        configs (dict[str, Path]): The config of each method.
        proposal (Proposal, optional): With labels: how they train.
        clustering (Clustering, optional): Without: how pixels are clustered.
        val (tuple[int]): Positions of the validation images in the pairs.
        earlier (list[str]): Names of configs that an earlier call wrote and
            this one did not; they are as they were.
    """

    configs: dict[str, Path]
    proposal: Proposal | None = None
    clustering: Clustering | None = None
    val: tuple[int, ...] = ()
    earlier: list[str] = field(default_factory=list)


def prepare_folder(scan: FolderScan, request: Request) -> Prepared:
    """Choose validation images, propose how to train, write it down.

    Args:
        scan (FolderScan): What the folders hold.
        request (Request): What to do with it.

    Raises:
        ValueError: Too few images have labels, or a file to write is there
            and was not written by this function, or not as it is now.
    """
    if scan.pairs:
        return _prepare_labeled(scan, request)
    return _prepare_unlabeled(scan, request)


def _prepare_labeled(scan: FolderScan, request: Request) -> Prepared:
    val = hold_out(scan.class_sets, request.val_share)
    val_pairs = [scan.pairs[i] for i in val]
    labeled = [pair for i, pair in enumerate(scan.pairs) if i not in set(val)]
    kept = {pair.image for pair in val_pairs}
    unlabeled = [image for image in scan.images if image not in kept]
    proposal = propose(scan.sizes, len(labeled), request.short_side,
                       request.memory_limit, request.iterations)
    half = proposal.batch_size // 2
    setting = (f'{_schedule(proposal.iterations)}_{request.name}-'
               f'{len(labeled)}l.py')
    net = 'mbv2-d16-deeplabv3plus'
    names = {
        'supervised': f'supervised_{net}_1xb{proposal.batch_size}-{setting}',
        'reco-classmix': f'reco-classmix_{net}_1xb{half}-{setting}'}
    shared = dict(
        num_labeled=len(labeled), rest=scan.num_unlabeled,
        max_iters=proposal.iterations, lr=proposal.lr,
        val_interval=max(1, proposal.iterations // 8),
        blur_sigma=blur_sigma(proposal.side), supervised=names['supervised'],
        **_bases(model='models/deeplabv3plus_mbv2-d16',
                 schedule='schedules/sgd_2k'))
    texts = {
        'labeled.txt': pair_lines(labeled),
        'val.txt': pair_lines(val_pairs),
        'unlabeled.txt': _lines(unlabeled),
        BASE: config_text.LABELED.substitute(
            _folders(scan), title=f'{len(labeled)} labelled images, '
            f'{len(val)} to validate on, {scan.num_unlabeled} without labels.',
            mask_loader=_call(scan.spec.mask_loader),
            classes=scan.spec.classes,
            palette=palette(len(scan.spec.classes)),
            num_classes=len(scan.spec.classes),
            image_scale=image_scale(proposal.side),
            crop_size=proposal.crop_size),
        names['supervised']: config_text.SUPERVISED.substitute(
            shared, batch_size=proposal.batch_size),
        names['reco-classmix']: config_text.RECO.substitute(
            shared, batch_size=half)}
    earlier = _write(request.out, texts, _origin(scan))
    return Prepared(
        {method: request.out / name for method, name in names.items()},
        proposal, val=tuple(val), earlier=earlier)


def _prepare_unlabeled(scan: FolderScan, request: Request) -> Prepared:
    count = len(scan.images)
    if count < 2:
        raise ValueError(f'{count} image: nothing can be learned from fewer '
                         'than two')
    val = set(select_random(count, max(1, round(0.1 * count)), seed=0))
    puzzles = [image for i, image in enumerate(scan.images) if i not in val]
    clustering = propose_clustering(scan.sizes, request.short_side)
    configs = {'picie': _picie(scan, request, clustering),
               'jigsaw': _jigsaw(len(puzzles), request)}
    if count >= LEAST_ISS:
        configs |= _fs4_chain(scan, request, clustering)
    texts = {
        'unlabeled.txt': _lines(scan.images),
        'puzzles.txt': _lines(puzzles),
        'puzzles_val.txt': _lines(scan.images[i] for i in sorted(val)),
        BASE: config_text.UNLABELED.substitute(
            _folders(scan), title=f'{count} images without labels.'),
        **dict(configs.values())}
    earlier = _write(request.out, texts, _origin(scan))
    return Prepared(
        {method: request.out / name for method, (name, _) in configs.items()},
        clustering=clustering, earlier=earlier)


def _picie(scan: FolderScan, request: Request,
           clustering: Clustering) -> tuple[str, str]:
    """Name and text of a config."""
    return (
        f'picie_r18-fpn_{_setting(request, clustering)}.py',
        config_text.PICIE.substitute(
            _clustered(scan, request, clustering), lr='1e-3',
            **_bases(model='models/picie_r18-fpn',
                     schedule='schedules/adam_10e_clustering')))


def _fs4_chain(scan: FolderScan, request: Request,
               clustering: Clustering) -> dict[str, tuple[str, str]]:
    """Names and texts of the configs of FS4 and of what it starts from."""
    count = len(scan.images)
    first = propose_pretraining(count)
    iss = (f'fs4-iss-mocov2_r18_1xb{first.batch_size}-{first.epochs}e_'
           f'{request.name}')
    small = '_small' if clustering.side <= SMALL_SIDE else ''
    return {
        'fs4-iss': (f'{iss}.py', config_text.ISS.substitute(
            num_images=count, side=clustering.side,
            batch_size=first.batch_size, queue_len=first.queue_len,
            group_size=first.group_size, max_epochs=first.epochs,
            lr=first.lr, blur_sigma=blur_sigma(clustering.side),
            **_bases(model='models/mocov2_r18', runtime='iss_runtime'))),
        'fs4': (
            f'fs4_r18-fpn_{_setting(request, clustering)}.py',
            config_text.FS4.substitute(
                _clustered(scan, request, clustering), lr='3e-4',
                iss=iss, iss_epochs=first.epochs, name=request.name,
                global_clusters=propose_global_clusters(count),
                side=clustering.side,
                **_bases(model=f'models/fs4_r18-fpn{small}',
                         schedule='schedules/adam_10e_clustering')))}


def _jigsaw(num_puzzles: int, request: Request) -> tuple[str, str]:
    """Name and text of a config."""
    return (
        f'jigsaw-3x3_mbv2-w75_1xb16-2k_{request.name}.py',
        config_text.JIGSAW.substitute(
            num_images=num_puzzles, image_scale=image_scale(PUZZLE_SIDE),
            crop_size=(PUZZLE_CROP, PUZZLE_CROP),
            **_bases(model='models/jigsaw_mbv2-w75',
                     schedule='schedules/sgd_2k')))


def _setting(request: Request, clustering: Clustering) -> str:
    """What names of configs say of how they cluster pixels."""
    return f'1xb{CLUSTERED_BATCH}-{clustering.epochs}e_{request.name}'


def _clustered(scan: FolderScan, request: Request,
               clustering: Clustering) -> dict[str, Any]:
    """What the configs of PiCIE and FS4 are filled with."""
    return dict(
        num_clusters=request.num_clusters, num_images=len(scan.images),
        max_epochs=clustering.epochs, batch_size=CLUSTERED_BATCH,
        blur_sigma=blur_sigma(clustering.side),
        view_size=clustering.view_size,
        view_scale=image_scale(clustering.side),
        image_scale=image_scale(clustering.large_side),
        crop_size=clustering.crop_size,
        classes=tuple(f'cluster {i}' for i in range(request.num_clusters)),
        palette=palette(request.num_clusters))


def palette(count: int) -> list[list[int]]:
    """Colours that differ, the same for the same number."""
    golden = (math.sqrt(5) - 1) / 2
    return [[round(255 * part) for part in colorsys.hsv_to_rgb(
        i * golden % 1, 0.75, 0.55 + 0.4 * (i % 2))] for i in range(count)]


def _bases(runtime: str = 'default_runtime', **files: str) -> dict[str, str]:
    """What a config inherits, by what stands for it in the text."""
    folder = config_folder() / '_base_'
    return {'base': BASE, **{
        key: repr(str(folder / f'{name}.py'))
        for key, name in dict(files, runtime=runtime).items()}}


def _folders(scan: FolderScan) -> dict[str, str]:
    """The data root, and folders below it, as they stand in a config."""
    folders = [scan.spec.image_dir.resolve()]
    if scan.spec.mask_dir:
        folders.append(scan.spec.mask_dir.resolve())
    root = os.path.commonpath([folder.parent for folder in folders])
    names = [os.path.relpath(folder, root) for folder in folders]
    return dict(data_root=repr(root), image_dir=repr(names[0]),
                mask_dir=repr(names[-1]))


def _schedule(iterations: int) -> str:
    thousands, rest = divmod(iterations, 1000)
    return f'{iterations}i' if rest else f'{thousands}k'


def _call(arguments: dict[str, Any]) -> str:
    """A dict as configs write it."""
    return f'dict({", ".join(f"{k}={v!r}" for k, v in arguments.items())})'


def _lines(names: Iterable[str]) -> str:
    return ''.join(f'{name}\n' for name in names)


def _origin(scan: FolderScan) -> dict[str, str | None]:
    mask_dir = scan.spec.mask_dir
    return dict(images=str(scan.spec.image_dir.resolve()),
                masks=str(mask_dir.resolve()) if mask_dir else None)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(out: Path, texts: dict[str, str],
           origin: dict[str, str | None]) -> list[str]:
    """Write files, but none over a file that somebody else wrote or changed.

    Files of earlier calls that have other names stay.

    Returns:
        list[str]: The configs among these.
    """
    ours = _written_before(out, origin)
    new = {name: _digest(text.encode()) for name, text in texts.items()}
    for name, digest in new.items():
        # that an interrupted call wrote what this one will is no harm
        _check_ours(out / name, {digest, ours.get(name, digest)},
                    known=name in ours)
    earlier = sorted(name for name in ours.keys() - texts.keys()
                     if (out / name).exists())
    files = {name: ours[name] for name in earlier} | new
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (out / name).write_bytes(text.encode())
    (out / MANIFEST).write_text(
        json.dumps(dict(origin=origin, files=files), indent=1) + '\n')
    return [name for name in earlier if name.endswith('.py')]


def _written_before(out: Path,
                    origin: dict[str, str | None]) -> dict[str, str]:
    """Digests of what earlier calls wrote, by name."""
    manifest = out / MANIFEST
    if not manifest.exists():
        return {}
    try:
        found = json.loads(manifest.read_text())
        before, files = found['origin'], dict(found['files'])
        if not all(isinstance(digest, str) for digest in files.values()):
            raise TypeError('digests are texts')
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{manifest} was not written by this tool, or is damaged; '
            'write elsewhere with --out, or delete the folder') from error
    if before != origin:
        raise ValueError(
            f'{out} was made from other folders ({before}); '
            'write elsewhere with --out')
    return files


def _check_ours(path: Path, digests: set[str], known: bool) -> None:
    """Refuse to write over a file that is not as we wrote it."""
    if not path.exists() or _digest(path.read_bytes()) in digests:
        return
    what = ('was changed since it was written' if known else
            'was not written by this tool')
    raise ValueError(
        f'{path} {what}; keep it under another name, or write elsewhere with '
        '--out')

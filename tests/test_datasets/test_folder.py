"""Own images: what is read, refused, chosen and proposed."""
import math
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS, TRANSFORMS
from PIL import Image

from mmseg_ssl.datasets.folder import (
    FolderSpec,
    hold_out,
    read_classes,
    scan_folder,
)
from mmseg_ssl.datasets.folder.proposal import (
    LEAST_ISS,
    MEASURED,
    PUZZLES,
    Clustering,
    Measurement,
    Proposal,
    blur_sigma,
    estimate,
    fitting_crop,
    propose,
    propose_clustering,
    propose_global_clusters,
    propose_iterations,
    propose_pretraining,
    propose_side,
)
from mmseg_ssl.datasets.folder.writing import palette
from mmseg_ssl.visualization.run_log import RunRecord

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ('field', 'weed', 'path')


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def stripes(classes, size=(8, 12)) -> np.ndarray:
    """A label map whose columns hold the classes in turn."""
    row = np.resize(list(classes), size[1])
    return np.tile(row, (size[0], 1))


@pytest.fixture
def folder(tmp_path):
    """Five images of three kinds; masks for three, one of them deeper."""
    names = ['a.jpg', 'b.PNG', 'sub/c d.jpeg', 'e.jpg', 'f.bmp']
    for name in names:
        save(tmp_path / 'images' / name, np.zeros((8, 12, 3)))
    save(tmp_path / 'masks/a.png', stripes([0, 1]))
    save(tmp_path / 'masks/b.png', stripes([0, 2, 255]))
    save(tmp_path / 'masks/sub/c d.tif', stripes([1, 2]))
    return tmp_path


def spec(folder: Path, **options) -> FolderSpec:
    return FolderSpec(**{
        'image_dir': folder / 'images', 'mask_dir': folder / 'masks',
        'classes': CLASSES, **options})


def refused(spec: FolderSpec) -> str:
    with pytest.raises(ValueError) as error:
        scan_folder(spec)
    return str(error.value)


# --------------------------------- reading ---------------------------------


def test_scan(folder):
    scan = scan_folder(spec(folder))
    assert scan.images == ['a.jpg', 'b.PNG', 'e.jpg', 'f.bmp', 'sub/c d.jpeg']
    assert scan.sizes.tolist() == [[12, 8]] * 5
    assert scan.pairs == [
        ('a.jpg', 'a.png'), ('b.PNG', 'b.png'), ('sub/c d.jpeg',
                                                 'sub/c d.tif')]
    assert scan.pixels.tolist() == [[48, 48, 0], [32, 0, 32], [0, 48, 48]]
    assert scan.class_sets == [{0, 1}, {0, 2}, {1, 2}]
    assert scan.notes == [] and scan.num_unlabeled == 2


def test_images_alone(folder):
    scan = scan_folder(FolderSpec(folder / 'images'))
    assert len(scan.images) == 5 and scan.pairs == []


def test_rotated_by_the_camera(folder):
    """The size is the one after rotation, and so has to be the mask."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (8, 12)).save(folder / 'images/a.jpg', exif=exif)
    assert scan_folder(spec(folder)).sizes[0].tolist() == [12, 8]


def test_mask_without_image_is_noted(folder):
    save(folder / 'masks/z.png', stripes([0]))
    assert scan_folder(spec(folder)).notes == [
        'mask z.png has no image and is not used']


def test_mask_of_nothing_but_void_is_noted(folder):
    save(folder / 'masks/e.png', stripes([255]))
    scan = scan_folder(spec(folder))
    assert len(scan.pairs) == len(scan.pixels) == 3
    assert 'e.png is void everywhere' in scan.notes[0]


def test_endings_of_masks(folder):
    for path in list((folder / 'masks').glob('*.png')):
        path.rename(path.with_name(f'{path.stem}_gt.png'))
    (folder / 'masks/sub/c d.tif').unlink()
    message = refused(spec(folder))
    assert 'none of the 2 masks' in message and '--mask-suffix' in message
    scan = scan_folder(spec(folder, mask_suffix='_gt.png'))
    assert [pair.mask for pair in scan.pairs] == ['a_gt.png', 'b_gt.png']
    assert "ends with '_x.png'" in refused(spec(folder, mask_suffix='_x.png'))


def test_one_folder_for_both(folder):
    for path in list((folder / 'masks').glob('*.png')):
        path.rename(folder / f'images/{path.stem}_gt.png')
    same = dict(mask_dir=folder / 'images')
    assert 'say by --mask-suffix' in refused(spec(folder, **same))
    scan = scan_folder(spec(folder, mask_suffix='_gt.png', **same))
    assert len(scan.images) == 5 and len(scan.pairs) == 2


def test_masks_below_the_images(folder):
    (folder / 'masks').rename(folder / 'images/masks')
    scan = scan_folder(spec(folder, mask_dir=folder / 'images/masks'))
    assert len(scan.images) == 5 and len(scan.pairs) == 3


# -------------------------------- refusing ---------------------------------


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=(
            "^image folder '.*nowhere' does not exist")):
        scan_folder(FolderSpec(tmp_path / 'nowhere'))
    (tmp_path / 'images').mkdir()
    assert 'holds no image' in refused(FolderSpec(tmp_path / 'images'))
    save(tmp_path / 'images/a.png', np.zeros((4, 4, 3)))
    (tmp_path / 'masks').mkdir()
    message = refused(spec(tmp_path))
    assert message.startswith(f"mask folder '{tmp_path}/masks' holds no image")


def test_mask_of_another_size(folder):
    save(folder / 'masks/a.png', stripes([0, 1], (8, 11)))
    message = refused(spec(folder))
    assert '1 masks or their images cannot be used' in message
    assert 'masks/a.png is 11x8' in message and 'a.jpg is 12x8' in message


def test_value_outside_the_classes(folder):
    save(folder / 'masks/b.png', stripes([0, 3, 128]))
    message = refused(spec(folder))
    assert 'masks/b.png holds 3, 128; allowed are 0 to 2 and 255' in message
    assert '0 = field, 1 = weed, 2 = path, 255 = void' in message
    assert '--values 0 128' in message


def test_coloured_mask(folder):
    save(folder / 'masks/a.png', np.zeros((8, 12, 3)))
    message = refused(spec(folder))
    assert 'a.png has 3 channels' in message
    assert 'Colours are no numbers' in message and '1 = weed' in message


def test_unreadable_files(folder):
    (folder / 'masks/a.png').write_bytes(b'nothing')
    assert 'masks/a.png cannot be read' in refused(spec(folder))
    save(folder / 'masks/a.png', stripes([0, 1]))
    content = (folder / 'images/f.bmp').read_bytes()
    (folder / 'images/f.bmp').write_bytes(content[:200])
    message = refused(spec(folder))
    assert '1 images cannot be used' in message and 'f.bmp' in message


def test_many_problems_are_counted(tmp_path):
    for i in range(12):
        save(tmp_path / f'images/{i}.png', np.zeros((8, 12, 3)))
        save(tmp_path / f'masks/{i}.png', stripes([7]))
    message = refused(spec(tmp_path))
    assert message.startswith('12 masks') and '... and 2 more' in message


@pytest.mark.parametrize('extra', ['images/a.png', 'masks/a.bmp'])
def test_names_that_do_not_decide(folder, extra):
    save(folder / extra, stripes([0, 1]))
    message = refused(spec(folder))
    assert "share the name 'a'" in message and Path(extra).name in message


def test_masks_that_tell_nothing_apart(folder):
    for name in ('a.png', 'b.png', 'sub/c d.tif'):
        save(folder / 'masks' / name, stripes([0, 255]))
    message = refused(spec(folder, classes=('field', 'weed')))
    assert "the 3 masks hold only 'field'" in message
    assert "255 means 'weed': --values 0 255" in message
    scan = scan_folder(
        spec(folder, classes=('field', 'weed'), values=(0, 255)))
    assert scan.pixels.tolist() == [[48, 48]] * 3
    save(folder / 'masks/a.png', stripes([0, 9]))
    message = refused(spec(folder, classes=('field', 'weed'),
                           values=(0, 255)))
    assert 'holds 9; the values of the classes are 0, 255' in message
    assert '0 = field, 255 = weed.' in message  # nothing is void


def test_classes_and_values_must_agree(folder):
    with pytest.raises(ValueError, match='at least two classes'):
        spec(folder, classes=('weed', ))
    with pytest.raises(ValueError, match='2 values .* for 3 classes'):
        spec(folder, values=(0, 255))


@pytest.mark.parametrize('text, message', [
    ('', 'is empty'),
    ('\n\n', 'is empty'),
    ('field\n\nweed\n', 'line 2 is empty'),
    ('field\nweed\nfield \n', "'field' stands in lines 1 and 3"),
    ('\n'.join(map(str, range(256))), 'names 256 classes; at most 255'),
])
def test_names_that_are_refused(tmp_path, text, message):
    path = tmp_path / 'names.txt'
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_classes(path)
    assert str(path) in str(error.value)


def test_names(tmp_path):
    path = tmp_path / 'names.txt'
    path.write_text('\ufeffGrün\r\n big road \n\n', encoding='utf-8')
    assert read_classes(path) == ('Grün', 'big road')
    with pytest.raises(FileNotFoundError, match='name of a class per line'):
        read_classes(tmp_path / 'nothing.txt')


# ------------------------------ the data set -------------------------------


def build(folder: Path, **options):
    return DATASETS.build({
        'type': 'FolderDataset', 'data_root': str(folder),
        'data_prefix': dict(img_path='images', seg_map_path='masks'),
        'metainfo': dict(classes=CLASSES), **options})


def test_dataset(folder):
    path = folder / 'pairs.txt'
    path.write_text('sub/c d.jpeg\tsub/c d.tif\na.jpg\ta.png\n')
    dataset = build(folder, ann_file='pairs.txt', pipeline=[
        TRANSFORMS.build(dict(type='LoadImageFromFile')),
        TRANSFORMS.build(dict(type='LoadAnnotations'))])
    assert [Path(dataset.get_data_info(i)['img_path']).name
            for i in range(2)] == ['c d.jpeg', 'a.jpg']
    assert np.array_equal(dataset[0]['gt_seg_map'], stripes([1, 2]))
    assert len(dataset.metainfo['palette']) == 3


@pytest.mark.parametrize('text, error, message', [
    ('a.jpg\n', ValueError, r"should be IMAGE<tab>LABEL_MAP, got 'a.jpg'"),
    ('', ValueError, 'is empty'),
    ('x.jpg\ta.png\n', FileNotFoundError, r"images/x.jpg' of the list"),
    ('a.jpg\tx.png\n', FileNotFoundError, 'has no label map, expected'),
])
def test_lists_that_are_refused(folder, text, error, message):
    (folder / 'pairs.txt').write_text(text)
    with pytest.raises(error, match=message):
        build(folder, ann_file='pairs.txt')


def test_dataset_needs_a_list(folder):
    with pytest.raises(ValueError, match='ann_file is missing'):
        build(folder)


@pytest.mark.parametrize('values, given, expected', [
    ((0, 255), [0, 255, 0], [0, 1, 0]),
    ((128, 0, 64), [0, 64, 128, 255], [1, 2, 0, 255]),
])
def test_values_of_classes(tmp_path, values, given, expected):
    save(tmp_path / 'm.png', np.array([given]))
    load = TRANSFORMS.build(dict(type='LoadLabelValues', values=values))
    result = load(dict(seg_map_path=str(tmp_path / 'm.png'), seg_fields=[],
                       reduce_zero_label=False))
    assert result['gt_seg_map'].tolist() == [expected]
    assert result['gt_seg_map'].dtype == np.uint8
    assert result['seg_fields'] == ['gt_seg_map']


def test_one_bit_a_pixel(tmp_path):
    """Viewers show 0 and 255, the file holds 0 and 1."""
    path = tmp_path / 'mask.png'
    Image.fromarray(np.eye(4, dtype=bool)).save(path)
    with pytest.raises(ValueError, match='one bit a pixel, 0 or 1 .* 0, 255'):
        TRANSFORMS.build(dict(type='LoadLabelValues', values=(0, 255)))(
            dict(seg_map_path=str(path), seg_fields=[]))
    results = TRANSFORMS.build(dict(type='LoadLabelValues', values=(0, 1)))(
        dict(seg_map_path=str(path), seg_fields=[]))
    assert (results['gt_seg_map'] == np.eye(4)).all()


def test_wide_values_are_not_cut(tmp_path):
    """256 in a 16-bit file is no 0."""
    Image.fromarray(np.array([[0, 256]], np.uint16)).save(tmp_path / 'm.png')
    load = TRANSFORMS.build(dict(type='LoadLabelValues', values=(0, 255)))
    with pytest.raises(ValueError, match='it holds 256; the values'):
        load(dict(seg_map_path=str(tmp_path / 'm.png'), seg_fields=[]))


@pytest.mark.parametrize('values', [(0, 0), (0, 256), (-1, 3)])
def test_values_that_cannot_be(values):
    with pytest.raises(ValueError, match='different numbers from 0 to 255'):
        TRANSFORMS.build(dict(type='LoadLabelValues', values=values))


# -------------------------------- choosing ---------------------------------


def test_every_class_is_on_both_sides_where_it_can_be():
    rng = np.random.default_rng(0)
    for _ in range(60):
        count, classes = rng.integers(2, 40), rng.integers(2, 9)
        present = rng.random((count, classes)) < rng.random(classes)
        present[present.sum(1) == 0, 0] = True
        sets = [set(row.nonzero()[0].tolist()) for row in present]
        val = hold_out(sets, 0.3)
        assert val == sorted(set(val)) == hold_out(sets, 0.3)
        assert 1 <= len(val) <= max(1, round(0.3 * count)) < count
        train = np.delete(present, val, 0)
        if len(val) > 1:
            assert (train.any(0) == present.any(0)).all()


def test_rare_classes_come_first():
    """Of 20 images two hold a sign: each side gets one."""
    sets = [{0, 1}] * 18 + [{0, 2}] * 2
    val = hold_out(sets, 0.1)
    assert len(val) == 2
    assert sum(2 in sets[i] for i in val) == 1
    assert sum(1 in sets[i] for i in val) == 1


def test_one_of_two_images():
    assert hold_out([{0, 1}, {0}], 0.2) == [1]  # class 1 stays to be learned
    assert hold_out([{0, 1, 2}, {3}], 0.2) == [1]  # which loses one, not three


@pytest.mark.parametrize('sets, share, message', [
    ([], 0.2, '0 image with labels'), ([{0}], 0.2, 'at least two are needed'),
    ([{0}, {0}], 0., 'between 0 and 1'), ([{0}, {0}], 1., 'between 0 and 1')])
def test_nothing_to_hold_out(sets, share, message):
    with pytest.raises(ValueError, match=message):
        hold_out(sets, share)


def test_many_images_take_no_time():
    rng = np.random.default_rng(0)
    sets = [set(row.tolist()) for row in rng.integers(0, 20, (3000, 4))]
    assert len(hold_out(sets, 0.1)) == 300


# -------------------------------- proposing --------------------------------


def check_record(run: Measurement) -> None:
    """The figures are those of the record."""
    path, = [path for folder in ('docs/logs', 'configs/*/logs')
             for path in ROOT.glob(f'{folder}/{run.config}.json')]
    record = RunRecord.from_json(run.config, path.read_text())
    assert record.device == 'CPU'
    assert record.peak_memory == pytest.approx(run.memory, rel=0.01)
    assert record.seconds_per_iteration == pytest.approx(
        run.seconds, rel=0.01)


@pytest.mark.parametrize('method', MEASURED)
def test_estimates_are_what_was_measured(method):
    """The figures are those of the records, and estimates meet them."""
    for run in MEASURED[method]:
        check_record(run)
        assert estimate(method, run.pixels) == pytest.approx(
            (run.memory, run.seconds))


def test_memory_of_puzzles_is_what_was_measured():
    check_record(PUZZLES)


@pytest.mark.parametrize('run', [PUZZLES, *MEASURED['picie'],
                                 *MEASURED['fs4']], ids=lambda run: run.config)
def test_pixels_are_those_of_the_config(run):
    path, = ROOT.glob(f'configs/*/{run.config}.py')
    cfg = Config.fromfile(path)
    size = cfg.get('view_size', cfg.crop_size)
    assert run.pixels == cfg.train_dataloader.batch_size * math.prod(size)


@pytest.mark.parametrize('sizes, short, side, crop', [
    ([[480, 360]] * 3, 120, 120, (120, 160)),  # all of it
    ([[480, 360], [360, 480]], 120, 120, (120, 120)),
    ([[100, 70], [110, 70]], 120, 64, (64, 88)),  # nothing is enlarged
    ([[9000, 100]], 96, 96, (96, 192)),  # not longer than twice
    ([[20, 20]], 96, 32, (32, 32)),
])
def test_crops(sizes, short, side, crop):
    sizes = np.array(sizes)
    assert propose_side(sizes, short) == side
    assert fitting_crop(sizes, side) == crop


@pytest.mark.parametrize('labels, iterations', [
    (1, 1000), (5, 1000), (8, 2000), (20, 4000), (1000, 4000), (4000, 10000)])
def test_iterations(labels, iterations):
    assert propose_iterations(labels) == iterations


@pytest.mark.parametrize('images, epochs', [
    (2, 100), (100, 60), (335, 20), (100000, 1)])
def test_views_are_smaller_than_what_they_are_made_of(images, epochs):
    sizes = np.array([[480, 360]] * images)
    assert propose_clustering(sizes, 120) == Clustering(
        120, 180, (120, 160), (176, 240), epochs)


@pytest.mark.parametrize('images, queue, batch, group, epochs, clusters', [
    (LEAST_ISS, 8, 8, 4, 100, 2),
    (16, 8, 8, 4, 100, 4),  # shorter than the list, not as long
    (17, 16, 16, 8, 100, 4),
    (335, 256, 32, 8, 100, 25),  # as in our config
    (2000, 1024, 32, 8, 17, 25),
    (100000, 65536, 32, 8, 1, 25),
])
def test_pretraining(images, queue, batch, group, epochs, clusters):
    """As MoCo and SplitBatchNorm2d need it, and as K-means does."""
    found = propose_pretraining(images)
    assert (found.queue_len, found.epochs) == (queue, epochs)
    assert (found.batch_size, found.group_size) == (batch, group)
    assert found.lr == 0.03 * batch / 32
    assert found.queue_len < images
    assert found.queue_len % batch == batch % group == 0 < batch - group
    assert propose_global_clusters(images) == clusters <= images


def test_batch_follows_memory():
    sizes = np.array([[1600, 1200]])
    roomy = propose(sizes, 20, 480, 1e6)
    assert (roomy.batch_size, roomy.lr, roomy.iterations) == (8, 0.05, 4000)
    need = estimate('supervised', roomy.pixels)[0]
    tight = propose(sizes, 20, 480, 0.9 * need, iterations=7)
    assert tight == Proposal(480, (480, 640), 4, 7)
    assert tight.lr == 0.025


def test_blur_shrinks_with_the_images():
    assert blur_sigma(120) == (0.1, 0.5)
    assert blur_sigma(1000) == (0.1, 1.15)


@pytest.mark.parametrize('count', [2, 3, 40])
def test_colours_differ(count):
    colours = palette(count)
    assert len(set(map(tuple, colours))) == count
    assert all(0 <= part <= 255 for colour in colours for part in colour)

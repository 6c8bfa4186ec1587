import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from mmseg.registry import DATASETS
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / 'tools/dataset_tools'
SPLITS = ROOT / 'configs/_base_/splits'


def load_tool(name):
    """Import a tool, so that calling it needs no new interpreter."""
    spec = importlib.util.spec_from_file_location(name, TOOLS / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its worker processes look it up there
    spec.loader.exec_module(module)
    return module


def call(name, *options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [name, *map(str, options)])
        load_tool(name).main()


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope='module')
def scenes(run_tool, tmp_path_factory):
    """The embedded data set as its tool makes it by default."""
    folder = tmp_path_factory.mktemp('data') / 'scenes'
    code, output = run_tool(sys.executable, TOOLS / 'make_scenes.py', folder)
    assert code == 0, output
    assert '360 scenes painted, 0 were there' in output
    return folder


@pytest.mark.parametrize('dataset, folder, options', [
    ('CamVidDataset', 'camvid', '--num-labeled 20 50 150 --min-classes 9'),
    ('MSRC21Dataset', 'msrc21', '--num-labeled 21 63 168 --min-classes 1')])
def test_committed_lists(tmp_path, dataset, folder, options):
    """The tool gives the committed bytes, whatever the processes."""
    if 'MMSEG_SSL_DATA_ROOT' not in os.environ:
        pytest.skip('set MMSEG_SSL_DATA_ROOT to the folder of the datasets')
    data_root = Path(os.environ['MMSEG_SSL_DATA_ROOT']) / folder
    for procs in (1, 2):
        out = tmp_path / str(procs)
        call('make_label_lists', dataset, data_root, out, *options.split(),
             '--num-procs', procs)
        assert files(out) == files(SPLITS / folder)


def test_committed_lists_of_scenes(run_tool, scenes, tmp_path):
    code, output = run_tool(
        sys.executable, TOOLS / 'make_label_lists.py',
        'ProceduralScenesDataset', scenes, tmp_path,
        '--num-labeled', 10, 30, '--min-classes', 5)
    assert code == 0, output
    assert '300/300' in output  # the progress bar
    assert files(tmp_path) == files(SPLITS / 'scenes')


@pytest.mark.parametrize('path', sorted(SPLITS.glob('*/*.txt')), ids=str)
def test_lists_are_well_formed(path):
    """As many distinct names as the file says, continued by longer lists."""
    names = path.read_text().splitlines()
    size, seed = path.stem.split('-seed')
    assert len(set(names)) == len(names) == int(size)
    for longer in path.parent.glob(f'*-seed{seed}.txt'):
        others = longer.read_text().splitlines()
        shared = min(len(names), len(others))
        assert others[:shared] == names[:shared]


def test_lists_work_as_ann_file(scenes):
    dataset = DATASETS.build(dict(
        type='ProceduralScenesDataset',
        data_root=str(scenes),
        ann_file=str(SPLITS / 'scenes/10-seed0.txt'),
        data_prefix=dict(
            img_path='img_dir/train', seg_map_path='ann_dir/train')))
    assert len(dataset) == 10


def voc_like(folder):
    """Images and label maps in the folders of VOC, and a list of them."""
    rng = np.random.default_rng(0)
    names = [f'2008_{i:03d}' for i in range(12)]
    for name in names:
        for kind, pixels in (
                ('JPEGImages/{}.jpg', np.zeros((4, 4, 3), np.uint8)),
                ('Masks/{}.png', rng.integers(0, 4, (4, 4)).astype(np.uint8))):
            path = folder / kind.format(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    (folder / 'some.txt').write_text('\n'.join(names[:10]))
    return ('VOC12AugDataset', folder, folder / 'out', '--img-dir',
            'JPEGImages', '--ann-dir', 'Masks', '--ann-file', 'some.txt',
            '--num-labeled', 4, 8, '--seeds', 0, 1, '--num-procs', 1)


def test_lists_of_another_layout(tmp_path):
    call('make_label_lists', *voc_like(tmp_path), '--min-classes', 3)
    chosen = (tmp_path / 'out/8-seed1.txt').read_text().split()
    assert len(set(chosen)) == 8 and max(chosen) < '2008_010'
    readme = (tmp_path / 'out/README.md').read_text()
    assert 'from `some.txt`.' in readme
    assert 'at least 3 of the 21 classes' in readme
    assert readme.count('seed') == 5  # four lists and one sentence


def test_images_without_a_label_map_are_passed_over(tmp_path, capsys):
    """Many images, few masks: what most users have."""
    for kind in ('img_dir', 'ann_dir'):
        (tmp_path / kind / 'train').mkdir(parents=True)
    for i in range(12):
        Image.new('RGB', (4, 4)).save(tmp_path / f'img_dir/train/{i}.jpg')
    for i in range(0, 12, 2):
        Image.new('L', (4, 4)).save(tmp_path / f'ann_dir/train/{i}.png')
    call('make_label_lists', 'CamVidDataset', tmp_path, tmp_path / 'out',
         '--num-labeled', 6, '--seeds', 0)
    assert ('choosing from 6 images; 6 others have no label map'
            in capsys.readouterr().out)
    chosen = (tmp_path / 'out/6-seed0.txt').read_text().split()
    assert sorted(chosen, key=int) == ['0', '2', '4', '6', '8', '10']
    (tmp_path / 'all.txt').write_text('0\n1\n')
    with pytest.raises(SystemExit, match=r'1\.jpg.* has no label map'):
        call('make_label_lists', 'CamVidDataset', tmp_path, tmp_path / 'out',
             '--ann-file', 'all.txt', '--num-labeled', 2)


def test_lists_at_random(tmp_path):
    arguments = (*voc_like(tmp_path), '--at-random')
    call('make_label_lists', *arguments)
    first = files(tmp_path / 'out')
    assert first['8-seed0.txt'].startswith(first['4-seed0.txt'])
    assert first['4-seed0.txt'] != first['4-seed1.txt']
    readme = first['README.md'].decode()
    assert 'drawn at random from 10.' in readme
    # Most of VOC's classes are in none of these images.
    assert '| `4-seed0.txt` | 0 | boat, ' in readme
    call('make_label_lists', *arguments)
    assert files(tmp_path / 'out') == first


def test_a_balanced_choice_at_random(tmp_path, capsys):
    with pytest.raises(SystemExit):
        call('make_label_lists', *voc_like(tmp_path), '--at-random',
             '--min-classes', 3)
    assert 'not allowed with' in capsys.readouterr().err


def test_more_labels_than_images(scenes, tmp_path):
    with pytest.raises(SystemExit, match='301 labelled images from 300'):
        call('make_label_lists', 'ProceduralScenesDataset', scenes, tmp_path,
             '--num-labeled', 301)


def test_label_outside_the_classes(tmp_path):
    for kind in ('img_dir', 'ann_dir'):
        (tmp_path / kind / 'train').mkdir(parents=True)
    Image.new('RGB', (4, 4)).save(tmp_path / 'img_dir/train/x.jpg')
    Image.fromarray(np.full((4, 4), 20, np.uint8)).save(
        tmp_path / 'ann_dir/train/x.png')
    with pytest.raises(SystemExit, match=(
            r'x\.png holds the label 20; CamVidDataset has the classes 0 to '
            '10')):
        call('make_label_lists', 'CamVidDataset', tmp_path, tmp_path / 'out',
             '--num-labeled', 1)


def test_scenes_are_reused(scenes, capsys):
    call('make_scenes', scenes)
    assert '0 scenes painted, 360 were there' in capsys.readouterr().out


def test_scenes_of_another_size(scenes):
    with pytest.raises(SystemExit, match=(
            'height=96 instead of 64, width=128 instead of 64')):
        call('make_scenes', scenes, '--size', '64x64')


def test_scenes_go_into_a_folder(tmp_path):
    path = tmp_path / 'notes.txt'
    path.touch()
    with pytest.raises(SystemExit, match=(
            f'^make_scenes.py: cannot write to the folder {path}: ')):
        call('make_scenes', path)


@pytest.mark.parametrize('size', ['96', '96x', '96x128x3', '8x8'])
def test_bad_size(tmp_path, capsys, size):
    with pytest.raises(SystemExit):
        call('make_scenes', tmp_path, '--size', size)
    assert f"'{size}' should be HEIGHTxWIDTH" in capsys.readouterr().err

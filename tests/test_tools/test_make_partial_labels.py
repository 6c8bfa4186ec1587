import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOOL = 'tools/dataset_tools/make_partial_labels.py'
NUM = 5


@pytest.fixture
def data_root(tmp_path):
    """CamVid's layout, with images of 48x36 pixels."""
    rng = np.random.default_rng(0)
    for kind in ('img_dir', 'ann_dir'):
        (tmp_path / kind / 'train').mkdir(parents=True)
    for i in range(NUM):
        mask = rng.integers(0, 11, (3, 4)).astype(np.uint8)
        mask = mask.repeat(12, axis=0).repeat(12, axis=1)
        mask[0] = 255
        Image.fromarray(mask).save(tmp_path / f'ann_dir/train/{i}.png')
        Image.new('RGB', (48, 36)).save(tmp_path / f'img_dir/train/{i}.jpg')
    return tmp_path


@pytest.fixture
def make(call_main, data_root):

    def run(*options, root=data_root):
        call_main(TOOL, 'CamVidDataset', root, *options)

    return run


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob('*')) if path.is_file()}


def test_another_layout(call_main, data_root):
    (data_root / 'img_dir/train').rename(data_root / 'Images')
    (data_root / 'ann_dir/train').rename(data_root / 'Masks')
    (data_root / 'two.txt').write_text('1\n3\n')
    call_main(TOOL, 'CamVidDataset', data_root, '--img-dir', 'Images',
              '--ann-dir', 'Masks', '--ann-file', 'two.txt',
              '--amounts', 'p1', '--seeds', 0, '--num-procs', 1)
    folder = data_root / 'partial_labels/train-p1-seed0'
    assert sorted(path.name for path in folder.glob('*.png')) == [
        '1.png', '3.png']


def test_every_amount_and_seed(make, data_root, capsys):
    make('--num-procs', 2)
    text = capsys.readouterr().out
    assert '60 label maps written, 0 were there' in text
    out = data_root / 'partial_labels'
    assert {path.name for path in out.iterdir()} == {
        f'train-{amount}-seed{seed}' for seed in range(3)
        for amount in ('p1', 'p1pct', 'p5pct', 'p25pct')}
    for i in range(NUM):
        mask = np.asarray(Image.open(data_root / f'ann_dir/train/{i}.png'))
        classes, sizes = np.unique(mask[mask != 255], return_counts=True)
        for amount, share in (('p1', 0), ('p25pct', 0.25)):
            kept = np.asarray(
                Image.open(out / f'train-{amount}-seed1' / f'{i}.png'))
            known = kept != 255
            assert (kept[known] == mask[known]).all()
            for label, size in zip(classes, sizes):
                count = (kept == label).sum()
                assert count == 1 if amount == 'p1' else count >= share * size
    kept = [np.asarray(Image.open(out / f'train-p1-seed{seed}/0.png'))
            for seed in range(3)]
    assert not (kept[0] == kept[1]).all() and not (kept[1] == kept[2]).all()
    record = json.loads(
        (out / 'train-p5pct-seed2/partial_labels.json').read_text())
    assert len(record.pop('names')) == 8
    assert record == dict(dataset='CamVidDataset', amount='p5pct', seed=2,
                          images=NUM, size=None, short_side=None)


def test_same_bytes_whatever_the_processes_and_the_order(make, data_root,
                                                         tmp_path):
    make('--num-procs', 1, '--out', tmp_path / 'a')
    make('--num-procs', 2, '--out', tmp_path / 'b', '--seeds', 2)
    make('--num-procs', 2, '--out', tmp_path / 'b')
    assert files(tmp_path / 'a') == files(tmp_path / 'b')


def test_interrupted_call_is_completed(make, data_root, capsys):
    options = ('--amounts', 'p5pct', '--seeds', 0, '--num-procs', 1)
    make(*options)
    out = data_root / 'partial_labels/train-p5pct-seed0'
    before = files(out)
    kept = (out / '0.png').stat().st_mtime_ns
    (out / '3.png').unlink()
    (out / '.4.png.part').write_bytes(b'half')
    make(*options)
    assert '1 label maps written, 4 were there' in capsys.readouterr().out
    assert (out / '0.png').stat().st_mtime_ns == kept
    (out / '.4.png.part').unlink()
    assert files(out) == before


def test_at_the_size_of_training(make, data_root):
    make('--amounts', 'p1', '--seeds', 0, '--size', '16x12',
         '--num-procs', 1)
    folder = data_root / 'partial_labels/train-p1-seed0'
    kept = np.asarray(Image.open(folder / '0.png'))
    assert kept.shape == (36, 48)
    reduced = kept[::3, ::3]
    assert (reduced.repeat(3, 0).repeat(3, 1) == kept).all()
    _, counts = np.unique(reduced[reduced != 255], return_counts=True)
    assert (counts == 1).all()


def test_made_in_another_way(make):
    make('--amounts', 'p1', '--seeds', 0, '--num-procs', 1)
    with pytest.raises(SystemExit, match=(
            'train-p1-seed0 holds partial labels with short_side=None instead '
            'of 20; remove the folder or write elsewhere')):
        make('--amounts', 'p1', '--seeds', 0, '--short-side', 20,
             '--num-procs', 1)


def test_made_of_other_images(make, data_root):
    make('--amounts', 'p1', '--seeds', 0, '--num-procs', 1)
    for folder in ('img_dir', 'ann_dir'):
        path, = (data_root / folder / 'train').glob('0.*')
        path.rename(path.with_name(f'another{path.suffix}'))
    with pytest.raises(SystemExit, match='holds partial labels with names='):
        make('--amounts', 'p1', '--seeds', 0, '--num-procs', 1)


@pytest.mark.parametrize('num_procs', [1, 2])
def test_id_outside_the_classes(make, data_root, num_procs):
    Image.fromarray(np.full((36, 48), 11, np.uint8)).save(
        data_root / 'ann_dir/train/3.png')
    with pytest.raises(SystemExit, match=(
            r'ann_dir/train/3\.png holds \[11\]; allowed are 0 to 10 and '
            r'255')):
        make('--num-procs', num_procs)


def test_label_map_with_channels(make, data_root):
    Image.new('RGB', (48, 36)).save(data_root / 'ann_dir/train/1.png')
    with pytest.raises(SystemExit, match=r'1\.png has 3 channels'):
        make('--num-procs', 1)


def test_wrong_folder(make, tmp_path):
    with pytest.raises(SystemExit, match='nowhere/img_dir/train.*not exist'):
        make(root=tmp_path / 'nowhere')


def test_out_that_cannot_be_written(make, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(SystemExit, match=(
            r"file/sub.*; to write elsewhere than to \S+/sub, use --out$")):
        make('--out', tmp_path / 'file/sub', '--num-procs', 1)


def test_larger_than_the_label_maps(make):
    with pytest.raises(SystemExit, match='drawn at 160x120: the label map is'):
        make('--size', '160x120', '--num-procs', 1)


@pytest.mark.parametrize('option, value, message', [
    ('--size', '160', "'160' should be WIDTHxHEIGHT"),
    ('--size', '0x5', "'0x5' should be WIDTHxHEIGHT"),
    ('--short-side', '0', "'0' should be a number above 0"),
    ('--num-procs', '-1', "'-1' should be a number above 0"),
    ('--amounts', 'p2', "invalid choice: 'p2'"),
])
def test_bad_options(make, capsys, option, value, message):
    with pytest.raises(SystemExit):
        make(f'{option}={value}')
    assert message in capsys.readouterr().err

"""From a folder of images to trained models, as docs/my_own_data.md says."""
import re
import shlex
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import Runner
from mmseg.registry import DATASETS, MODELS
from PIL import Image

from mmseg_ssl.datasets.scenes import paint_scene
from mmseg_ssl.engine.environment import apply_cfg_options
from mmseg_ssl.engine.hooks import PreflightHook

ROOT = Path(__file__).resolve().parents[2]
TOOL = 'tools/dataset_tools/prepare_folder.py'
SIZE = (48, 64)  # height, width


def write_folder(root: Path, num_classes: int, num_images: int = 8,
                 num_masks: int = 5) -> tuple:
    """Bands of colour with noise; the arguments of the tool."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 216, (num_classes, 3))
    for folder in ('images', 'masks'):
        (root / folder).mkdir(parents=True)
    for i in range(num_images):
        bands = rng.permutation(num_classes).repeat(
            -(-SIZE[0] // num_classes))[:SIZE[0]]
        labels = np.tile(bands[:, None], (1, SIZE[1])).astype(np.uint8)
        image = colours[labels] + rng.integers(0, 40, (*SIZE, 3))
        Image.fromarray(image.astype(np.uint8)).save(
            root / f'images/{i}.jpg')
        if i < num_masks:
            Image.fromarray(labels).save(root / f'masks/{i}.png')
    (root / 'names.txt').write_text(
        ''.join(f'class {i}\n' for i in range(num_classes)))
    return (root / 'images', '--masks', root / 'masks', '--classes',
            root / 'names.txt', '--out', root / 'my data_2')


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def config(folder: Path, method: str) -> Path:
    path, = folder.glob(f'{method}_*.py')
    return path


def datasets_in(node: object) -> Iterator[dict]:
    """Configs of datasets that own files."""
    if isinstance(node, dict):
        if 'ann_file' in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from datasets_in(child)


@pytest.fixture
def small(tmp_path):
    """Read a config that was written, small enough to be trained here."""

    def load(path: Path, **options) -> Config:
        cfg = Config.fromfile(path)
        # not formatted and not serialized, which saves seconds
        content = cfg.to_dict()
        for dataset in datasets_in(content):
            dataset['serialize_data'] = False
        cfg = Config(content, cfg_text=cfg.text, filename=cfg.filename,
                     format_python_code=False)
        loader = {'num_workers': 0, 'persistent_workers': False}
        apply_cfg_options(cfg, {
            **{f'train_dataloader.{k}': v for k, v in loader.items()},
            'default_hooks.logger.interval': 1, **options})
        if cfg.get('val_dataloader'):
            cfg.val_dataloader.update(loader)
            cfg.test_dataloader = cfg.val_dataloader
        cfg.work_dir = str(tmp_path / 'work')
        cfg.log_level = 'WARNING'
        cfg.experiment_name = uuid.uuid4().hex
        cfg.visualizer.name = cfg.experiment_name
        return cfg

    return load


def logged(runner: Runner, key: str) -> list[float]:
    values = runner.message_hub.get_scalar(key).data[0].tolist()
    assert np.isfinite(values).all()
    return values


# ------------------------------- what is said -------------------------------


def test_what_is_written_and_said(tmp_path, call_main, capsys):
    arguments = write_folder(tmp_path, 3)
    call_main(TOOL, *arguments)
    output = capsys.readouterr().out
    assert '8 images, all of 64x48 pixels; 5 of them have a mask' in output
    assert re.search(r'class 2 +4 +1 +33\.3 %', output)
    assert '1 of the 5 masks are kept for validation' in output
    assert 'Scores on 1 image(s) are rough' in output
    assert 'crops are 64x48; 1000 iterations (--iterations)' in output
    assert re.search(r'ReCo \+ ClassMix: batch 4 \+ 4, about [\d.]+ GiB and '
                     r'\d+ min', output)
    assert 'rough estimates from two runs of ours' in output
    assert 'Every image has a mask' not in output

    out = tmp_path / 'my data_2'
    commands = [shlex.split(line) for line in output.splitlines()
                if line.startswith('  python ')]
    lists = {name: (out / f'{name}.txt').read_text().splitlines()
             for name in ('labeled', 'val', 'unlabeled')}
    assert [len(names) for names in lists.values()] == [4, 1, 7]
    held = lists['val'][0].split('\t')[0]
    assert held not in lists['unlabeled'] and held not in str(lists['labeled'])
    said = '4 labelled images, 1 to validate on, 3 without labels.'
    assert (out / 'dataset.py').read_text().startswith(f'# {said}\n')
    names = sorted(path.name for path in out.glob('*_*.py'))
    assert names == [
        'reco-classmix_mbv2-d16-deeplabv3plus_1xb4-1k_my-data-2-4l.py',
        'supervised_mbv2-d16-deeplabv3plus_1xb8-1k_my-data-2-4l.py']
    for name in names:
        assert ['python', 'tools/train.py', f'{out}/{name}'] in commands
    infer, = (line for line in commands if 'tools/infer.py' in line)
    assert infer[3:] == [f'{tmp_path}/images', '--out', f'{out}/predictions']


def test_images_stay_as_they_are(tmp_path, call_main):
    arguments = write_folder(tmp_path, 2)
    before = files(tmp_path / 'images'), files(tmp_path / 'masks')
    call_main(TOOL, *arguments)
    assert (files(tmp_path / 'images'), files(tmp_path / 'masks')) == before


def test_second_call(tmp_path, call_main, capsys):
    """The same bytes; nothing is lost, whoever wrote it."""
    arguments = write_folder(tmp_path, 2)
    out = tmp_path / 'my data_2'
    call_main(TOOL, *arguments)
    first = files(out)
    call_main(TOOL, *arguments)
    assert files(out) == first

    assert 'earlier calls' not in capsys.readouterr().out
    call_main(TOOL, *arguments, '--iterations', 60)  # under another name
    second = files(out)
    assert first.items() - second.items() == {
        ('folder.json', first['folder.json'])}
    assert ', supervised_mbv2-d16-deeplabv3plus_1xb8-1k_my-data-2-4l.py. They'\
        in capsys.readouterr().out
    new = {name for name in second.keys() - first.keys() if '-60i_' in name}
    assert len(new) == len(second) - len(first) == 2

    changed = out / new.pop()
    changed.write_text(changed.read_text() + 'more = 1\n')
    call_main(TOOL, *arguments)  # writes no file of this name
    with pytest.raises(SystemExit, match='60i_my-data-2-4l.py was changed'):
        call_main(TOOL, *arguments, '--iterations', 60)
    mine = out / changed.name.replace('60i', '70i')
    mine.write_text('mine')
    before = files(out)
    with pytest.raises(SystemExit, match='70i_my-data-2-4l.py was not writt'):
        call_main(TOOL, *arguments, '--iterations', 70)
    assert files(out) == before


def test_call_after_an_interrupted_one(tmp_path, call_main):
    """The manifest comes last; what is there already is as it would be."""
    arguments = write_folder(tmp_path, 2)
    call_main(TOOL, *arguments)
    out = tmp_path / 'my data_2'
    first = files(out)
    (out / 'folder.json').unlink()
    (out / 'val.txt').unlink()
    call_main(TOOL, *arguments)
    assert files(out) == first


@pytest.mark.parametrize(
    'text', ['{', '{}', '[]', '{"origin": 1, "files": 2}',
             '{"origin": 1, "files": {"val.txt": []}}'])
def test_manifest_of_something_else(tmp_path, call_main, text):
    arguments = write_folder(tmp_path, 2)
    (tmp_path / 'my data_2').mkdir()
    (tmp_path / 'my data_2/folder.json').write_text(text)
    with pytest.raises(SystemExit, match='folder.json was not written by thi'):
        call_main(TOOL, *arguments)


def test_names_with_apostrophes(tmp_path, call_main):
    arguments = write_folder(tmp_path / "Anna's", 2)
    call_main(TOOL, *arguments[:-1], tmp_path / "Anna's/it's")
    for path in (tmp_path / "Anna's/it's").glob('*.py'):
        cfg = Config.fromfile(path)
        assert Path(cfg.labeled_list).is_file()


def test_another_folder_of_the_same_name(tmp_path, call_main):
    first = write_folder(tmp_path / 'a', 2)
    second = write_folder(tmp_path / 'b', 2)
    call_main(TOOL, *first)
    with pytest.raises(SystemExit, match='was made from other folders'):
        call_main(TOOL, *second[:-1], first[-1])
    (tmp_path / 'c').mkdir()
    (tmp_path / 'c/val.txt').write_text('mine')
    with pytest.raises(SystemExit, match='val.txt was not written by this'):
        call_main(TOOL, *second[:-1], tmp_path / 'c')
    assert (tmp_path / 'c/val.txt').read_text() == 'mine'


@pytest.mark.parametrize('options, message', [
    (['--masks', 'masks'], '--masks needs --classes'),
    (['--masks', 'masks', '--classes', 'no.txt'], 'no.txt does not exist'),
    (['--masks', 'masks', '--classes', 'names.txt', '--values', '1'],
     '1 values .* for 2 classes'),
    (['--masks', 'masks', '--classes', 'names.txt', '--val-share', '2'],
     'should be between 0 and 1'),
    (['--masks', 'masks', '--classes', 'names.txt', '--num-clusters', '3'],
     '--num-clusters says nothing with --masks'),
    (['--iterations', '9', '--mask-suffix', '_.png'],
     '--mask-suffix, --iterations says nothing without --masks'),
    (['--num-clusters', '1'], '1 cluster: .* give --num-clusters'),
    (['--out', 'a"b'], """has '"' in it; choose another --out"""),
])
def test_what_is_refused(tmp_path, call_main, monkeypatch, options, message):
    write_folder(tmp_path, 2)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message) as error:
        call_main(TOOL, 'images', '--out', 'out', *options)
    assert str(error.value).startswith('prepare_folder.py: ')
    assert not (tmp_path / 'out').exists()


def test_every_image_has_a_mask(tmp_path, call_main, capsys):
    """Then nothing is left that only ReCo + ClassMix learns from."""
    call_main(TOOL, *write_folder(tmp_path, 2, num_images=5))
    assert 'Every image has a mask: ReCo' in capsys.readouterr().out
    out = tmp_path / 'my data_2'
    assert ', 0 without labels.\n' in (out / 'dataset.py').read_text()
    assert '4 images with labels, 0 without.' in config(
        out, 'reco-classmix').read_text()


def test_folder_that_cannot_be_written_to(tmp_path, call_main, capsys):
    """Is found before the images are read."""
    arguments = write_folder(tmp_path, 2)
    with pytest.raises(SystemExit, match=(
            '^prepare_folder.py: cannot write to the folder .*names.txt/out')):
        call_main(TOOL, *arguments[:-1], tmp_path / 'names.txt/out')
    assert capsys.readouterr().out == ''


def test_one_mask_is_too_few(tmp_path, call_main):
    arguments = write_folder(tmp_path, 2, num_masks=1)
    with pytest.raises(SystemExit, match='1 image with labels: at least two'):
        call_main(TOOL, *arguments)


def test_classes_that_cannot_be_judged(tmp_path, call_main, capsys):
    arguments = write_folder(tmp_path, 2)
    with (tmp_path / 'names.txt').open('a') as names:
        names.write('rare\nabsent\n')
    labels = np.array(Image.open(tmp_path / 'masks/0.png'))
    labels[:9] = 2
    Image.fromarray(labels).save(tmp_path / 'masks/0.png')
    call_main(TOOL, *arguments)
    output = capsys.readouterr().out
    assert "No mask holds 'absent': it cannot be learned" in output
    assert "'rare' is not among the validation masks" in output


def test_memory_that_is_not_there(tmp_path, call_main, capsys, monkeypatch):
    arguments = write_folder(tmp_path, 2)
    monkeypatch.setattr('os.sysconf', lambda name: 2**14)  # 256 MiB
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cpu')
    call_main(TOOL, *arguments)
    output = capsys.readouterr().out
    assert 'more than 0.2 GiB: take a smaller --short-side' in output
    assert config(tmp_path / 'my data_2', 'supervised').name.startswith(
        'supervised_mbv2-d16-deeplabv3plus_1xb4-')


# ------------------------------- what is trained ----------------------------


@pytest.mark.parametrize('num_classes', [2, 3])
def test_trains(tmp_path, call_main, small, num_classes):
    """The proposed ReCo + ClassMix config, tiny, on two and three classes."""
    call_main(TOOL, *write_folder(tmp_path, num_classes), '--iterations', 4,
              '--short-side', 32)
    out = tmp_path / 'my data_2'
    cfg = small(config(out, 'reco-classmix'), **{
        'train_dataloader.batch_size': 2, 'train_cfg.val_interval': 4,
        'model.loss_contrast.num_queries': 8,
        'model.loss_contrast.num_keys': 16,
        'model.strong_threshold': 0., 'model.weak_threshold': 0.})
    assert cfg.crop_size == (32, 40) and cfg.num_classes == num_classes
    runner = Runner.from_cfg(cfg)
    runner.train()
    for key in ('loss_ce', 'loss_unsup', 'loss_reco'):
        values = logged(runner, f'train/{key}')
        assert len(values) == 4 and max(values) > 0
    assert 0 <= logged(runner, 'val/mIoU')[-1] <= 100
    checkpoint = torch.load(
        tmp_path / 'work/iter_4.pth', weights_only=False)
    assert len(checkpoint['meta']['dataset_meta']['classes']) == num_classes


def test_supervised_config_trains_on_grey_values(tmp_path, call_main, small):
    """Masks of 0 and 255, and images that lie elsewhere now."""
    arguments = write_folder(tmp_path / 'here', 2)
    for path in (tmp_path / 'here/masks').iterdir():
        Image.open(path).point(lambda label: 255 * label).save(path)
    call_main(TOOL, *arguments, '--values', 0, 255, '--iterations', 2,
              '--short-side', 32)
    path = config(tmp_path / 'here/my data_2', 'supervised')
    (tmp_path / 'there').mkdir()
    for name in ('images', 'masks'):
        shutil.move(tmp_path / 'here' / name, tmp_path / 'there')
    cfg = small(path, **{'data_root': str(tmp_path / 'there'),
                         'train_dataloader.batch_size': 2})
    sample = DATASETS.build(cfg.labeled_dataset)[0]['data_samples']
    assert set(sample.gt_sem_seg.data.unique().tolist()) <= {0, 1, 255}
    assert (sample.gt_sem_seg.data == 1).any()
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert len(logged(runner, 'train/loss')) == 2
    assert 0 <= logged(runner, 'val/mIoU')[-1] <= 100


def test_images_alone_train(tmp_path, call_main, small, capsys):
    write_folder(tmp_path, 3, num_images=4, num_masks=0)
    out = tmp_path / 'alone'
    call_main(TOOL, tmp_path / 'images', '--out', out, '--short-side', 32,
              '--num-clusters', 3)
    output = capsys.readouterr().out
    assert 'No masks: PiCIE groups pixels into 3 clusters' in output
    assert 'FS4 is left out: its MoCo v2 needs 9 images' in output
    assert output.count('python tools/train.py') == 2
    assert 'Jigsaw: batch 16, at most 1.9 GiB' in output
    assert not list(out.glob('fs4*'))
    cfg = small(config(out, 'picie'), **{
        'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 2})
    assert cfg.view_size == (32, 40) and cfg.crop_size == (48, 64)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert len(logged(runner, 'train/loss')) == 2
    cfg = small(config(out, 'jigsaw-3x3'))
    MODELS.build(cfg.model)
    sets = [DATASETS.build(loader.dataset)
            for loader in (cfg.train_dataloader, cfg.val_dataloader)]
    assert [len(dataset) for dataset in sets] == [3, 1]
    assert sets[0][0]['inputs'].shape == (3, 160, 160)


def paint_scenes(folder: Path, count: int, size: tuple[int, int]) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(paint_scene(*size, rng)[0]).save(
            folder / f'scene {i:02}.png')


def test_fs4_chain_trains(tmp_path, call_main, small, capsys, monkeypatch):
    """Pre-training, labels and FS4, each from what the one before wrote."""
    monkeypatch.chdir(tmp_path)  # configs name work_dirs
    paint_scenes(tmp_path / 'images', 12, SIZE)
    call_main(TOOL, 'images', '--out', 'few', '--short-side', 32,
              '--num-clusters', 3)
    commands = capsys.readouterr().out.split('FS4, in this order:\n')[1]
    iss, make_labels, fs4 = map(shlex.split, commands.splitlines())
    assert [iss[1], fs4[1]] == ['tools/train.py'] * 2
    assert make_labels[2] == fs4[2] == str(config(Path('few'), 'fs4'))
    assert iss[2] == str(config(Path('few'), 'fs4-iss-mocov2'))

    cfg = small(Path(iss[2]), **{'train_cfg.max_epochs': 2})
    assert cfg.model.queue_len == cfg.train_dataloader.batch_size == 8
    runner = Runner.from_cfg(cfg)
    assert len(runner.train_dataloader.dataset) == 12
    runner.train()
    assert len(logged(runner, 'train/loss')) == 2
    cfg = small(Path(fs4[2]), **{'train_cfg.max_epochs': 2})
    checkpoint = Path(cfg.iss_checkpoint)
    assert checkpoint.parts == (
        'work_dirs', Path(iss[2]).stem,
        f'epoch_{Config.fromfile(iss[2]).train_cfg.max_epochs}.pth')
    checkpoint.parent.mkdir(parents=True)
    shutil.move(tmp_path / 'work/epoch_2.pth', checkpoint)

    call_main(*make_labels[1:], '--cfg-options',
              'pyramid_labels.num_workers=0')
    runner = Runner.from_cfg(cfg)
    runner.train()
    for key in ('loss', 'loss_global'):
        assert len(logged(runner, f'train/{key}')) == 2
        assert min(logged(runner, f'train/{key}')) > 0
    assert len(runner.train_dataloader.dataset.metainfo['classes']) == 3


def test_larger_images_without_masks(tmp_path, call_main, capsys,
                                     monkeypatch):
    """Sizes that nothing was measured at: no figure is made up for them."""
    monkeypatch.setattr('os.sysconf', lambda name: 2**14)  # 256 MiB
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cpu')
    paint_scenes(tmp_path / 'images', 9, (200, 280))
    for side, view, about, model in (
            (120, '168x120', 'more than the measured', 'fs4_r18-fpn_small'),
            (112, '152x112', 'about', 'fs4_r18-fpn_small'),
            (200, '280x200', 'more than the measured', 'fs4_r18-fpn')):
        out = tmp_path / f'out{side}'
        call_main(TOOL, tmp_path / 'images', '--out', out, '--short-side',
                  side)
        output = capsys.readouterr().out
        assert f'views are {view}' in output
        for method in ('PiCIE', 'FS4'):
            assert re.search(rf'  {method}: batch 16, {about} 1\.[56] GiB\n'
                             '  That is more than 0.2 GiB: take a', output)
        assert f'/{model}.py' in config(out, 'fs4').read_text()
        with torch.device('meta'):
            MODELS.build(Config.fromfile(config(out, 'fs4')).model)


def test_preflight_finds_what_changes_later(tmp_path, call_main, small):
    arguments = write_folder(tmp_path, 2)
    call_main(TOOL, *arguments, '--iterations', 2)
    cfg = small(config(tmp_path / 'my data_2', 'reco-classmix'))
    for path in (tmp_path / 'masks').iterdir():
        Image.fromarray(np.full(SIZE, 2, np.uint8)).save(path)
    runner = Runner.from_cfg(cfg)
    assert any(isinstance(hook, PreflightHook) for hook in runner.hooks)
    with pytest.raises(ValueError, match=r'png holds 2; allowed are 0 to 1'):
        runner.train()


# --------------------------------- the page ---------------------------------


def test_commands_of_the_page(tmp_path, call_main, monkeypatch, capsys):
    """The example is typed as it stands, up to the trainings."""
    page = (ROOT / 'docs/my_own_data.md').read_text()
    example = page.split('## An example')[1].split('\n## ')[0]
    blocks = re.findall(r'```\n(.*?)```', example, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    scenes, script = re.fullmatch(
        r"(python .*?\n)python - <<'END'\n(.*)END\n.*", blocks[0],
        re.DOTALL).groups()
    call_main(*scenes.split()[1:])
    exec(script, {})
    names = re.search(r"printf '(.*)' > (\S+)", blocks[0])
    Path(names[2]).write_text(names[1].encode().decode('unicode_escape'))
    capsys.readouterr()
    call_main(*blocks[1].split()[1:])
    output = capsys.readouterr().out
    said = [line.strip() for line in output.splitlines()]
    for command in '\n'.join(blocks[2:]).splitlines():
        assert command in said
        for path in re.findall(r'data/road/\S+\.py', command):
            Config.fromfile(path)
    assert len(blocks) == 5

    call_main(TOOL, 'data/roads/img_dir/train', '--out', 'data/road-alone')
    said = capsys.readouterr().out.replace('\n  ', '\n')
    section = page.split('## Images without masks')[1]
    assert re.search(r'FS4 is a chain.*?```\n(.*?)```', section,
                     re.DOTALL)[1] in f'{said}\n'


def test_colours_become_numbers(tmp_path, monkeypatch):
    """The script of the page, as it stands."""
    page = (ROOT / 'docs/my_own_data.md').read_text()
    section = page.split('## What the masks should be')[1]
    script = re.search(r"<<'END'\n(.*?)END\n", section, re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    Path('data/coloured').mkdir(parents=True)
    colours = [[[0, 0, 0], [255, 0, 0], [255, 0, 1]]]
    Image.fromarray(np.array(colours, np.uint8)).save('data/coloured/a.png')
    exec(script, {})
    assert np.array(Image.open('data/masks/a.png')).tolist() == [[0, 1, 255]]


def test_transfer_of_the_page(tmp_path, call_main, small, monkeypatch):
    """What solved the puzzles of the images alone starts the other net."""
    page = (ROOT / 'docs/my_own_data.md').read_text()
    text = re.search(r'```python\n(.*?)```', page, re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    arguments = write_folder(tmp_path, 3)
    call_main(TOOL, *arguments[:-1], 'data/road')
    call_main(TOOL, arguments[0], '--out', 'data/road-alone')
    puzzles = small(config(tmp_path / 'data/road-alone', 'jigsaw-3x3'))
    checkpoint = Path(re.search(r"'(work_dirs/.*?)'", text)[1])
    assert checkpoint.parent.name == Path(puzzles.filename).stem
    assert checkpoint.name == f'iter_{puzzles.train_cfg.max_iters}.pth'
    net = revert_sync_batchnorm(MODELS.build(puzzles.model))
    checkpoint.parent.mkdir(parents=True)
    torch.save(dict(state_dict=net.state_dict()), checkpoint)

    path = tmp_path / 'data/road/transfer_road.py'
    path.write_text(text)
    cfg = small(path)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.init_weights()
    assert model.decode_head.num_classes == 3
    assert torch.equal(model.backbone.layer3[0].conv[0].conv.weight,
                       net.backbone.layer3[0].conv[0].conv.weight)

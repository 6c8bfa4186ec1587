"""The picture of puzzles, their solution and the accuracy by position."""
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import DATASETS, MODELS
from PIL import Image

from mmseg_ssl.datasets.scenes import paint_scene
from mmseg_ssl.methods.jigsaw.illustration import solve

TOOL = 'tools/analysis_tools/jigsaw_figure.py'
CONFIG = """
default_scope = 'mmseg'
data_root = '{root}'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='CenterCrop', crop_size=(100, 96)),
    dict(type='PackSegInputs'),
]
val_dataloader = dict(dataset=dict(
    type='UnlabeledDataset', data_root=data_root, pipeline=test_pipeline))
model = dict(
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[120.] * 3, std=[60.] * 3),
    {model})
"""
FCN = """type='JigsawFCN', gap=2, tile_norm=True,
    backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4),
    head=dict(type='PatchPositionHead', in_channels=32, hidden_channels=8)"""
PERMUTATION = """type='JigsawPermutation', gap=2, num_permutations=3,
    backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4),
    head=dict(type='PermutationHead', in_channels=32, map_size=1,
              tile_channels=4, hidden_channels=4)"""


@pytest.fixture
def prepare(tmp_path):
    """Write images, a config and a checkpoint; returns the two paths."""

    def write(model: str) -> tuple:
        root = tmp_path / 'images'
        root.mkdir()
        rng = np.random.default_rng(0)
        for i in range(3):
            Image.fromarray(paint_scene(110, 120, rng)[0]).save(
                root / f'{i}.png')
        config = tmp_path / 'config.py'
        config.write_text(CONFIG.format(root=root, model=model))
        net = MODELS.build(Config.fromfile(config).model)
        checkpoint = tmp_path / 'weights.pth'
        torch.save(dict(state_dict=net.state_dict()), checkpoint)
        return config, checkpoint

    return write


@pytest.mark.parametrize('model', [FCN, PERMUTATION])
def test_picture_and_numbers(prepare, model, call_main, tmp_path, capsys):
    out = tmp_path / 'pictures/puzzles.png'
    call_main(TOOL, *prepare(model), '--out', out, '--num', 2)
    lines = capsys.readouterr().out.splitlines()
    table = np.array([line.split() for line in lines[-4:-1]], dtype=float)
    assert table.shape == (3, 3)
    assert ((0 <= table) & (table <= 100)).all()
    assert lines[-1] == str(out)
    with Image.open(out) as picture:
        width, height = picture.size
        assert width > 1000 and height > 900
        assert np.asarray(picture.convert('RGB')).std() > 20


def test_any_image(prepare, call_main, tmp_path, capsys):
    paths = prepare(FCN)
    image = tmp_path / 'another.png'
    Image.fromarray(np.full((200, 130, 3), 90, np.uint8)).save(image)
    call_main(TOOL, *paths, '--out', tmp_path / 'a.png', '--images', image)
    assert (tmp_path / 'a.png').is_file()


def test_perfect_solution_is_put_back(prepare):
    model = MODELS.build(Config.fromfile(prepare(FCN)[0]).model)
    position = torch.randperm(9)
    logits = torch.full((9, 9), -9.)
    logits[range(9), position] = 9.
    logits[0] = logits[1]  # two want one place: the likelier gets it
    logits[0, position[1]] = 8.
    cells, right, prob = model.arrange(logits, position)
    assert torch.equal(cells, position)
    assert right.tolist() == [False] + 8 * [True]  # as the metric counts
    assert prob[0] < 0.01 and (prob[1:] > 0.99).all()


def test_panels_of_a_solution(prepare, monkeypatch):
    """Put back is the image; a wrong patch counts where it belongs."""
    cfg = Config.fromfile(prepare(FCN)[0])
    cfg.model.gap = 0
    model = MODELS.build(cfg.model).eval()
    sample = DATASETS.build(cfg.val_dataloader.dataset)[1]
    position = model.fixed_puzzles([sample['data_samples']], 'cpu')[1][0]
    logits = torch.full((9, 9), -9.)
    logits[range(9), position] = 9.
    monkeypatch.setattr(model, 'solve', lambda puzzles: logits[None])
    (image, puzzle, restored, _), right = solve(model, sample)
    assert right.tolist() == [1.] * 9
    cut = image.pixels[:96, :99]  # three cells of 32 and 33 pixels
    assert np.array_equal(restored.pixels, cut)
    assert not np.array_equal(puzzle.pixels, cut)
    logits[2] = -logits[2]
    right = solve(model, sample)[1]
    assert right[position[2]] == 0 and right.sum() == 8


@pytest.mark.parametrize('model, images, message', [
    ("""type='EncoderDecoder', backbone=dict(
        type='ResNet', depth=18, base_channels=4, stem_channels=4),
        decode_head=dict(type='FCNHead', in_channels=32, in_index=3,
                         channels=4, num_classes=2)""", [],
     'config.py is not of a jigsaw task: its model is a EncoderDecoder'),
    (FCN, ['nothing.png'], 'no such image: nothing.png')])
def test_errors_are_one_line(prepare, call_main, tmp_path, model, images,
                             message):
    options = ['--images', *images] if images else []
    with pytest.raises(SystemExit, match=message):
        call_main(TOOL, *prepare(model), '--out', tmp_path / 'a.png',
                  *options)

"""Panels: what a picture shows is what the tensors say."""
import numpy as np
import pytest
import torch
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_ssl.visualization.panels import (
    DPI,
    GAP,
    PANEL_WIDTH,
    Panel,
    Swatch,
    class_swatches,
    confidence_panel,
    denormalize,
    draw_panels,
    label_panel,
    save_panels,
)

PALETTE = [[200, 0, 0], [0, 200, 0], [0, 0, 200]]


@pytest.mark.parametrize('options, rgb', [
    (dict(), False),
    (dict(bgr_to_rgb=True), False),
    (dict(rgb_to_bgr=True), True),
    (dict(mean=[120., 110, 100], std=[50., 60, 70], bgr_to_rgb=True), False),
])
def test_denormalize_undoes_the_preprocessor(options, rgb):
    """Files come as BGR; ``rgb_to_bgr`` is for files loaded as RGB."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    loaded = pixels if rgb else pixels[..., ::-1].copy()
    preprocessor = SegDataPreProcessor(size=(5, 7), **options)
    data = dict(
        inputs=[torch.from_numpy(loaded).permute(2, 0, 1)],
        data_samples=[SegDataSample()])
    inputs = preprocessor(data)['inputs']
    if rgb:  # the network's order is BGR then
        inputs = inputs.flip(1)
    shown = denormalize(inputs, preprocessor)
    np.testing.assert_array_equal(shown, pixels[None])


def test_labels_take_the_palette_and_void_is_white():
    panel = label_panel(torch.tensor([[0, 2, 255]]), PALETTE, 'below')
    assert panel.pixels.tolist() == [[[200, 0, 0], [0, 0, 200], [255] * 3]]
    assert panel.caption == 'below'


def test_confidence_runs_through_the_colour_map():
    pixels = confidence_panel(torch.tensor([[0., 0.5, 1.]])).pixels
    brightness = pixels[0].astype(int).sum(axis=1)
    assert (np.diff(brightness) > 50).all()


def test_legend_names_what_appears():
    maps = [torch.tensor([[2, 2]]), torch.tensor([[0, 255]])]
    swatches = class_swatches(maps, ('a', 'b', 'c'), PALETTE)
    assert [s.text for s in swatches] == ['a', 'c', 'void']
    assert list(swatches[1].colour) == PALETTE[2]
    assert class_swatches(maps[:1], ('a', 'b', 'c'), PALETTE)[-1].text == 'c'


@pytest.mark.parametrize('shape', [(30, 40), (40, 20)])
@pytest.mark.parametrize('scale', ['', 'confidence'])
def test_picture_holds_every_panel_undistorted(tmp_path, shape, scale):
    colours = [[10 * i + 5, 250 - 20 * i, 7] for i in range(5)]
    panels = [
        Panel(np.full((*shape, 3), c, np.uint8), str(c)) for c in colours]
    out = tmp_path / 'new' / 'panels.png'
    save_panels([panels[:3], panels[3:]], ['x', 'y', 'z'], out,
                [Swatch(c, 'entry') for c in PALETTE], scale)
    with Image.open(out) as image:
        pixels = np.asarray(image.convert('RGB'))
    assert pixels.shape[1] == pytest.approx(
        DPI * (3 * (PANEL_WIDTH + GAP) + GAP), abs=2)
    for colour in colours:
        rows, columns = (pixels == colour).all(axis=2).nonzero()
        high, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert wide == pytest.approx(DPI * PANEL_WIDTH, abs=8)
        assert high / wide == pytest.approx(shape[0] / shape[1], rel=0.03)
    for colour in PALETTE:
        assert (pixels == colour).all(axis=2).sum() > 100


@pytest.mark.parametrize('count, shape', [(1, (1, 1)), (2, (1, 2)),
                                          (7, (3, 3))])
def test_single_column_stands_side_by_side(count, shape):
    """Else a figure of predictions alone would be a strip."""
    rows = [[Panel(np.zeros((8, 16, 3), np.uint8))] for _ in range(count)]
    axes = draw_panels(rows, ['predictions']).axes
    assert [ax.get_title() for ax in axes] == [
        'predictions', *[''] * (count - 1)]
    places = {tuple(round(x, 3) for x in ax.get_position().p0) for ax in axes}
    assert len(places) == count == len(axes)
    assert (len({y for _, y in places}), len({x for x, _ in places})) == shape

"""Hypercolumns: the same at a few pixels and everywhere."""
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_ssl.backbones.hypercolumn import (
    CellGrid,
    HypercolumnProjection,
    dense_hypercolumns,
    draw_points,
    sample_hypercolumns,
    sample_map,
    tiles,
)
from mmseg_ssl.backbones.hypercolumn_head import HypercolumnHead
from mmseg_ssl.backbones.receptive_field import receptive_fields

SIZE = (37, 53)
CHANNELS = (3, 5, 8)
GRIDS = [CellGrid(1, 0), CellGrid(4, 5), CellGrid(16, 17)]


def make_maps(batch: int = 2, memory_format=torch.contiguous_format):
    shapes = [(37, 53), (10, 14), (2, 3)]
    return [torch.randn(batch, c, *shape).to(memory_format=memory_format)
            for c, shape in zip(CHANNELS, shapes)]


def all_points(size=SIZE, batch=2):
    y, x = torch.meshgrid(*(torch.arange(n) for n in size), indexing='ij')
    return torch.stack([x, y], dim=2).view(1, -1, 2).expand(batch, -1, 2)


@pytest.mark.parametrize('grids', [None, GRIDS], ids=['even', 'given'])
@pytest.mark.parametrize('memory_format', [
    torch.contiguous_format, torch.channels_last], ids=str)
def test_sparse_equals_dense(grids, memory_format):
    maps = make_maps(memory_format=memory_format)
    sparse = sample_hypercolumns(maps, all_points(), SIZE, grids)
    assert sparse.shape == (2, 37 * 53, 16)
    for rows, columns in tiles(*SIZE, 16):
        dense = dense_hypercolumns(maps, SIZE, rows, columns, grids)
        expected = sparse.view(2, *SIZE, 16)[:, rows, columns]
        torch.testing.assert_close(
            dense.permute(0, 2, 3, 1), expected, rtol=0, atol=1e-5)


def test_evenly_shared_cells_are_those_of_mmsegs_resize():
    maps = make_maps()
    dense = dense_hypercolumns(maps, SIZE, slice(None), slice(None))
    expected = torch.cat([
        resize(x, size=SIZE, mode='bilinear', align_corners=False)
        for x in maps], dim=1)
    torch.testing.assert_close(dense, expected, rtol=0, atol=1e-5)


def test_a_map_of_positions_gives_the_position():
    """A cell holds the pixel it lies at; between cells it is linear."""
    grid = CellGrid(4, 5)
    cells = 5 + 4 * torch.arange(8.)
    features = torch.stack([
        cells.expand(8, 8), cells[:, None].expand(8, 8)])[None]
    points = torch.tensor([[[5, 5], [7, 30], [33, 9], [0, 60]]])
    sampled = sample_map(features, points, (40, 64), grid)
    expected = points.float().clamp(5, 33)  # the outermost cells beyond
    torch.testing.assert_close(sampled, expected)


def test_gradient_of_sampling():
    features = torch.randn(2, 2, 3, 4, dtype=torch.float64,
                           requires_grad=True)
    points = torch.randint(0, 9, (2, 5, 2))
    assert torch.autograd.gradcheck(
        lambda x: sample_map(x, points, (9, 9)), features)


@pytest.mark.parametrize('grids', [None, GRIDS], ids=['even', 'given'])
def test_projection_is_a_linear_layer_on_hypercolumns(grids):
    projection = HypercolumnProjection(CHANNELS, 7, grids, tile=16)
    projection.init_weights()
    torch.nn.init.normal_(projection.levels[0].bias)
    weight = torch.cat(
        [level.weight.flatten(1) for level in projection.levels], dim=1)
    maps = make_maps()
    columns = sample_hypercolumns(maps, all_points(), SIZE, grids)
    expected = torch.nn.functional.linear(
        columns, weight, projection.levels[0].bias).transpose(1, 2)

    sparse = projection.at_points(maps, all_points(), SIZE)
    torch.testing.assert_close(sparse, expected, rtol=0, atol=1e-5)
    dense = torch.full((2, 7, *SIZE), torch.nan)
    for rows, cols, part in projection.dense(maps, SIZE):
        dense[:, :, rows, cols] = part
    torch.testing.assert_close(dense.flatten(2), sparse, rtol=0, atol=1e-5)


def test_projection_starts_with_the_scale_of_its_input():
    projection = HypercolumnProjection((64, 192), 512)
    projection.init_weights()
    maps = [torch.randn(1, c, 8, 8).relu() for c in (64, 192)]
    hidden = projection.at_points(maps, all_points((8, 8), 1), (8, 8))
    assert 0.8 < hidden.square().mean() < 1.2


def test_wrong_number_of_grids():
    with pytest.raises(ValueError, match='each of the 3 maps, but got 2'):
        HypercolumnProjection(CHANNELS, 7, GRIDS[:2])


def test_points_are_uniform_over_usable_pixels():
    usable = torch.zeros(3, 4, 6, dtype=torch.bool)
    usable[0, 1:3, 2:5] = True
    usable[1, 3, 5] = True
    points = draw_points(usable, 6000)
    x, y = points.unbind(dim=2)
    assert usable[0, y[0], x[0]].all() and usable[1, y[1], x[1]].all()
    for image, expected in ((0, 1000), (2, 250)):  # none usable: all are
        count = (y[image] * 6 + x[image]).bincount()
        count = count[count > 0]
        assert len(count) == 6000 // expected
        assert ((count - expected).abs() < 5 * expected**0.5).all()


NET = dict(type='LayeredVGG', depth=11, norm_cfg=dict(type='BN'),
           fc_channels=16, dropout_ratio=0.0,
           out_layers=('conv1_1', 'conv2_1', 'conv5_2', 'fc6', 'fc7'))


def make_head(**kwargs) -> HypercolumnHead:
    return MODELS.build(dict(
        type='HypercolumnHead', in_channels=(64, 128, 512, 16, 16),
        in_index=(0, 1, 2, 3, 4), channels=12, num_classes=3,
        dropout_ratio=0, num_points=40, tile=24,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
        **kwargs))


def test_layers_of_vgg():
    net = MODELS.build(NET).eval()
    maps = net(torch.randn(1, 3, 64, 96))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (64, 64, 96), (128, 32, 48), (512, 4, 6), (16, 2, 3), (16, 2, 3)]
    assert list(net.layers) == [
        'conv1_1', 'pool1', 'conv2_1', 'pool2', 'conv3_1', 'conv3_2', 'pool3',
        'conv4_1', 'conv4_2', 'pool4', 'conv5_1', 'conv5_2', 'pool5']
    vgg16 = MODELS.build(dict(type='LayeredVGG'))
    convs = [name for name in vgg16.layers if name.startswith('conv')]
    assert len(convs) == 13 and convs[-1] == 'conv5_3'
    assert not hasattr(vgg16, 'fc6')  # nothing asks for it
    # Even sharing is exact: cells lie in the middle of what they cover.
    fields = receptive_fields(net.vgg)
    field = next(f for name, (f, _) in fields.items()
                 if name.split('.')[:2] == ['features', '11'])
    assert (field.stride, field.offset) == (16, 7.5)


def test_vgg_that_sees_grey():
    net = MODELS.build(dict(type='LayeredVGG', depth=11, in_channels=1))
    images = torch.randn(1, 3, 32, 32)
    grey = images.mean(dim=1, keepdim=True)
    out, = net(images)
    for same in (grey, grey.expand(1, 3, 32, 32)):
        torch.testing.assert_close(net(same)[0], out)


@pytest.mark.parametrize('option, message', [
    (dict(out_layers=()), 'out_layers must name layers'),
    (dict(out_layers=('conv6_1', )), "but got \\('conv6_1',\\)"),
    (dict(out_layers=('pool5', 'conv1_1')), 'in this order'),
    (dict(in_channels=2), 'in_channels must be 3, or 1'),
])
def test_vgg_refuses(option, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type='LayeredVGG', depth=11, **option))


def segmentor(**head) -> torch.nn.Module:
    return MODELS.build(dict(
        type='EncoderDecoder', backbone=NET,
        data_preprocessor=dict(
            type='SegDataPreProcessor', mean=[114.4] * 3, std=[60.] * 3,
            size=(32, 32), seg_pad_val=255),
        decode_head=dict(
            type='HypercolumnHead', in_channels=(64, 128, 512, 16, 16),
            in_index=(0, 1, 2, 3, 4), channels=12, num_classes=3,
            dropout_ratio=0, num_points=40, tile=24, **head),
        test_cfg=dict(mode='whole')))


def test_segmentor_learns(make_batch, train):
    model = segmentor()
    model.init_weights()
    history = train(model, [make_batch(2, 3, unlabeled=False)], steps=12)
    losses = history['decode.loss_ce']
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])


def test_prediction_is_what_training_sees():
    """Logits of all pixels against those at points, for odd sizes too."""
    model = segmentor().eval()
    head = model.decode_head
    head.init_weights()
    images = torch.randn(2, 3, 45, 70)
    with torch.no_grad():
        maps = model.extract_feat(images)
        predicted = head.predict(maps, [dict(img_shape=(45, 70))], {})
        hidden = head.projection.at_points(
            maps, all_points((45, 70)), (45, 70))
        expected = head.cls_seg(hidden.relu().unsqueeze(3))
    assert predicted.shape == (2, 3, 45, 70)
    torch.testing.assert_close(
        predicted.flatten(2), expected.squeeze(3), rtol=0, atol=1e-5)


def test_prediction_in_steps_and_on_the_finest_map():
    torch.manual_seed(1)
    smooth = [resize(torch.randn(1, c, 3, 3), size=(s, s), mode='bilinear')
              for c, s in zip((64, 128, 512, 16, 16), (48, 24, 12, 6, 6))]
    head = make_head().eval()
    head.init_weights()
    metas = [dict(img_shape=(48, 48))]
    with torch.no_grad():
        every = head.predict(smooth, metas, {})
        coarse = make_head(step=4).eval()
        coarse.load_state_dict(head.state_dict())
        every_fourth = coarse.predict(smooth, metas, {})
        assert (every - every_fourth).square().mean() < 0.01 * every.var()
        torch.testing.assert_close(head(smooth), every)


def test_void_images_give_no_loss():
    head = make_head()
    maps = [torch.randn(1, c, 4, 4) for c in (64, 128, 512, 16, 16)]
    sample = SegDataSample(gt_sem_seg=PixelData(
        data=torch.full((1, 16, 16), 255)))
    losses = head.loss(maps, [sample], {})
    assert losses['loss_ce'] == 0
    losses['loss_ce'].backward()


def test_options_that_make_no_sense():
    with pytest.raises(ValueError, match='must be at least 1, but got 40'):
        make_head(step=0)

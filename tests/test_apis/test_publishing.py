"""Published models predict what the original does."""
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.apis import inference_model

from mmseg_ssl.apis import Segmenter, onnx_export, publish, publish_onnx
from mmseg_ssl.apis.checkpoints import load_segmentor
from mmseg_ssl.apis.onnx_export import ImagesToLogits, export_onnx
from mmseg_ssl.apis.plain_config import config_text
from mmseg_ssl.apis.publishing import compare, network_of

# A machine without the package, as far as Python can tell.
PREDICT = """
import sys
sys.modules['mmseg_ssl'] = None
import warnings
warnings.simplefilter('ignore')
from pathlib import Path
import numpy as np, torch
from mmseg.apis import inference_model, init_model
folder = Path(sys.argv[1])
image = np.load(folder / 'image.npy')
for config in sorted(folder.glob('*.py')):
    weights = config.with_suffix('.pth')
    torch.load(weights, weights_only=True)
    model = init_model(str(config), str(weights), device='cpu')
    assert type(model).__name__ == 'EncoderDecoder'
    assert model.dataset_meta['classes'] == ('sky', 'hill', 'road')
    logits = inference_model(model, image).seg_logits.data
    np.save(config.with_suffix('.npy'), logits.numpy())
"""
BN = dict(type='BN')
PREPROCESSOR = dict(
    type='SegDataPreProcessor', mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375], bgr_to_rgb=True, size=(32, 32))
FS4 = dict(
    type='FS4', channels=16, num_clusters=4, over_clusters=6,
    view_size=(24, 24), data_preprocessor=PREPROCESSOR,
    encoder=dict(
        type='ContextPixelEncoder', channels=16,
        backbone=dict(
            type='ResNet', depth=18, base_channels=8, stem_channels=8,
            out_indices=(0, 1, 2, 3), norm_cfg=BN),
        neck=dict(type='BilinearFPN', in_channels=[8, 16, 32, 64],
                  out_channels=16)),
    global_head=dict(type='ModifiedCAMHead', in_channels=16, num_clusters=5))
ALEXNET = dict(
    type='EncoderDecoder', data_preprocessor=PREPROCESSOR,
    backbone=dict(
        type='CaffeAlexNet', channels=(8, 8, 8, 8, 8), fc_channels=16,
        stem_padding=100),
    decode_head=dict(
        type='FCNHead', num_convs=0, concat_input=False, in_channels=16,
        channels=16, num_classes=3, dropout_ratio=0, norm_cfg=BN),
    test_cfg=dict(mode='whole'))


@pytest.fixture
def image() -> np.ndarray:
    """BGR, of another size than the network sees."""
    return np.random.default_rng(0).integers(
        0, 256, (41, 52, 3), dtype=np.uint8)


@pytest.fixture
def models(tiny_segmentor) -> dict[str, dict]:
    """Models of the few-label methods, small, by a name for each."""

    def segmentor(embedded=False, **options) -> dict:
        model = tiny_segmentor('fcn_r18-d16', **options)
        if embedded:
            model.decode_head = dict(
                type='EmbeddingHead', head=model.decode_head,
                embed_channels=6, hidden_channels=8)
        return model

    contrast = dict(type='RegionalContrastLoss', num_queries=4, num_keys=4)
    return dict(
        mean_teacher=dict(type='MeanTeacher', test_cfg=dict(
            predict_on='student'), segmentor=segmentor(auxiliary=True)),
        reco=dict(type='ReCo', loss_contrast=contrast,
                  segmentor=segmentor(embedded=True)),
        s4gan=dict(type='S4GAN', segmentor=segmentor(),
                   discriminator=dict(channels=4)),
        jigsaw={**tiny_segmentor('deeplabv3plus_mbv2-d16'),
                'type': 'TransferEncoderDecoder',
                'transfer': dict(checkpoint='nowhere.pth',
                                 freeze=['block1'])},
        supervised=segmentor())


def weights_of(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def test_plain_models_need_only_mmseg(models, save_checkpoint, tmp_path,
                                      image):
    """Identical in a process that cannot import mmseg_ssl."""
    folder = tmp_path / 'published'
    expected = {}
    for name, model in models.items():
        checkpoint = save_checkpoint(model, f'{name}_tiny')
        published = publish(checkpoint, folder)
        assert published.needs == {} and published.onnx is None
        assert published.checkpoint.name.startswith(f'{name}_tiny_20260102-')
        original = load_segmentor(checkpoint)
        original.model.cfg = original.config
        result = inference_model(original.model, image)
        expected[published.config.stem] = result.seg_logits.data.numpy()

        labels, _ = Segmenter(checkpoint, device='cpu')(image)
        assert np.array_equal(labels, result.pred_sem_seg.data[0].numpy())
        text = published.config.read_text()
        assert 'mmseg_ssl' not in text and str(tmp_path) not in text
        content = weights_of(published.checkpoint)
        assert set(content) == {'meta', 'state_dict'}
        assert all(key.startswith(('backbone.', 'decode_head.'))
                   for key in content['state_dict'])
        assert str(tmp_path) not in repr(content['meta'])
    np.save(folder / 'image.npy', image)
    subprocess.run([sys.executable, '-c', PREDICT, folder], check=True,
                   cwd=folder)
    for stem, logits in expected.items():
        found = np.load(folder / f'{stem}.npy')
        assert np.ptp(logits) > 0.1
        np.testing.assert_allclose(found, logits, rtol=0, atol=1e-4)


def test_which_network(models, save_checkpoint, tmp_path):
    """The one the config evaluates, or the one asked for."""
    checkpoint = save_checkpoint(models['reco'])
    weights = torch.load(checkpoint, weights_only=False)['state_dict']
    key = 'decode_head.conv_seg.weight'
    stored = {role: weights[f'{prefix}decode_head.head.conv_seg.weight']
              for role, prefix in (('student', 'student.'),
                                   ('teacher', 'teacher.module.'))}
    assert not torch.equal(*stored.values())
    for keep, role in ((None, 'teacher'), ('student', 'student')):
        published = publish(checkpoint, tmp_path / role, keep=keep)
        assert published.role == role
        content = weights_of(published.checkpoint)
        assert torch.equal(content['state_dict'][key], stored[role])
        assert content['meta']['network'] == role
        assert content['meta']['method'] == 'ReCo'
    with pytest.raises(ValueError, match='keep must be one of .* not .both'):
        network_of(load_segmentor(checkpoint), 'both')
    with pytest.raises(ValueError, match=r'\(EncoderDecoder\) has no '
                       'teacher: leave --keep out'):
        publish(published.checkpoint, tmp_path / 'again', keep='teacher')


def test_name_is_that_of_the_file(models, save_checkpoint, tmp_path):
    """The hash is of the published file, the same for the same weights."""
    import hashlib

    checkpoint = save_checkpoint(models['supervised'])
    names = []
    for folder in ('one', 'two'):
        path = publish(checkpoint, tmp_path / folder).checkpoint
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.stem.endswith(f'-{digest[:8]}')
        assert path.with_suffix('.py').is_file()
        names.append(path.name)
    assert names[0] == names[1]
    again = publish(path, tmp_path / 'three').checkpoint
    assert weights_of(again)['state_dict'].keys() == weights_of(
        path)['state_dict'].keys()
    assert again.name.startswith('tiny_1xb2-4k_scenes_20260102-')
    given = tmp_path / 'other.py'
    given.write_text(path.with_suffix('.py').read_text())
    assert publish(checkpoint, tmp_path, given).checkpoint.name.startswith(
        'other_20260102-')


def test_dataset_of_the_plain_config(models, save_checkpoint, tmp_path):
    """mmseg's own class finds the same files, at a relative place."""
    published = publish(save_checkpoint(models['supervised']), tmp_path)
    cfg = Config.fromfile(published.config)
    dataset = cfg.test_dataloader.dataset
    assert dataset.type == 'BaseSegDataset'
    assert dataset.img_suffix == dataset.seg_map_suffix == '.png'
    assert dataset.data_root == 'data' and dataset.ann_file == 'some.txt'
    assert dataset.data_prefix.img_path == 'images'
    assert cfg.model.backbone.norm_cfg.type == 'BN'


def test_dataset_that_looks_for_its_files(models, save_checkpoint):
    """No file of a dataset has to be there; its defaults hold."""
    loaded = load_segmentor(save_checkpoint(models['supervised']))
    loaded.config.test_dataloader.dataset.update(
        type='VOC12AugDataset', data_root='data/voc')
    text = config_text(loaded, dict(type='EncoderDecoder'), set(), 'tiny')
    assert "img_suffix='.jpg'" in text and "data_root='data/voc'" in text


def test_own_label_loading_is_left_out(save_checkpoint, models):
    """mmseg knows how to predict without LoadAnnotations, not without ours."""
    loaded = load_segmentor(save_checkpoint(models['supervised']))
    loaded.config.test_pipeline[2] = dict(
        type='LoadLabelValues', values=[0, 255])
    loaded.config.test_dataloader.dataset.type = 'FolderDataset'
    text = config_text(loaded, dict(type='EncoderDecoder'), set(), 'tiny')
    assert 'LoadLabelValues' not in text and 'FolderDataset' not in text
    assert "type='LoadAnnotations'" in text and 'some.txt' not in text
    assert '# Its label maps hold the values [0, 255]. To evaluate' in text


def test_paths_of_this_machine_are_left_out(save_checkpoint, models,
                                            tmp_path):
    loaded = load_segmentor(save_checkpoint(models['supervised']))
    loaded.config.test_dataloader.dataset.data_prefix = dict(
        img_path=f'{tmp_path}/images', seg_map_path='masks')
    loaded.config.test_evaluator = [
        dict(type='IoUMetric', nan_to_num=0), dict(
            type='CityscapesMetric', output_dir=f'{tmp_path}/out')]
    text = config_text(loaded, dict(type='EncoderDecoder'), set(), 'tiny')
    assert str(tmp_path) not in text and "seg_map_path='masks'" in text
    assert Config.fromstring(text, '.py').test_evaluator == [
        dict(type='IoUMetric', nan_to_num=0)]


def test_metric_that_is_not_here(save_checkpoint, models):
    loaded = load_segmentor(save_checkpoint(models['supervised']))
    loaded.config.test_evaluator = dict(type='Mine')
    text = config_text(loaded, dict(type='EncoderDecoder'), set(), 'tiny')
    assert Config.fromstring(text, '.py').test_evaluator == dict(
        type='IoUMetric', iou_metrics=['mIoU'])


def test_parts_of_other_packages(save_checkpoint, models):
    """They are imported as the training has imported them."""
    loaded = load_segmentor(save_checkpoint(models['supervised']))
    loaded.config.custom_imports = dict(imports=['mine.models', 'training'])
    text = config_text(loaded, dict(type='EncoderDecoder'),
                       {'mine', 'mmseg_ssl'}, 'tiny')
    words = ''.join(text.split())
    assert "imports=['mine.models','mmseg_ssl',]" in words


def run_onnx(path: Path, images: torch.Tensor) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=['CPUExecutionProvider'])
    logits, = session.run(None, {'images': images.numpy()})
    return logits


@pytest.mark.parametrize('model, needs', [
    (FS4, ['BilinearFPN', 'ContextAwareEmbedding', 'ContextPixelEncoder',
           'FS4', 'MiniBatchKMeans']),
    (ALEXNET, ['CaffeAlexNet'])])
def test_models_of_our_own_parts(model, needs, save_checkpoint, tmp_path):
    """Found by what they are made of; ONNX gives their logits."""
    pytest.importorskip('onnxscript')
    pytest.importorskip('onnxruntime')
    checkpoint = save_checkpoint(model, f'{model["type"]}_tiny')
    published = publish(checkpoint, tmp_path / 'published')
    assert published.needs == {'mmseg_ssl': needs}
    assert published.difference < 1e-4
    images = 255 * torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        # where the package is installed, the smaller checkpoint does as well
        expected, smaller = (
            ImagesToLogits(load_segmentor(path).model)(images).numpy()
            for path in (checkpoint, published.checkpoint))
    assert np.ptp(expected) > 0.1
    for logits in (smaller, run_onnx(published.onnx, images)):
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
    names = weights_of(published.checkpoint)['state_dict']
    assert not any(name.startswith(('snapshot', 'global')) for name in names)


def test_onnx_of_a_plain_model(models, save_checkpoint, tmp_path):
    """Of a published one, of any size, with what users have to know."""
    pytest.importorskip('onnxscript')
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    published = publish(save_checkpoint(models['reco']), tmp_path)
    path, difference = publish_onnx(
        published.checkpoint, tmp_path, size=(24, 40), batch_size=2)
    assert difference < 1e-4
    assert path.name.startswith('tiny_1xb2-4k_scenes_20260102-')
    images = 255 * torch.rand(2, 3, 24, 40)
    with torch.no_grad():
        logits = ImagesToLogits(
            load_segmentor(published.checkpoint).model)(images)
    np.testing.assert_allclose(
        run_onnx(path, images), logits.numpy(), rtol=0, atol=1e-4)
    props = {prop.key: json.loads(prop.value)
             for prop in onnx.load(str(path)).metadata_props}
    assert props['classes'] == ['sky', 'hill', 'road']
    assert [t['type'] for t in props['test_pipeline']] == [
        'LoadImageFromFile', 'Resize', 'PackSegInputs']


def test_onnx_of_one_channel(models, save_checkpoint, tmp_path):
    """Its file says from where on a pixel is of class 1, as mmseg does."""
    pytest.importorskip('onnxscript')
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    model = dict(models['supervised'], decode_head=dict(
        models['supervised']['decode_head'], num_classes=2, out_channels=1,
        threshold=0.4))
    checkpoint = save_checkpoint(model, classes=('field', 'weed'))
    path, _ = publish_onnx(checkpoint, tmp_path, size=(24, 40))
    props = {prop.key: json.loads(prop.value)
             for prop in onnx.load(str(path)).metadata_props}
    assert props['threshold'] == 0.4
    image = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    logits = run_onnx(path, torch.from_numpy(
        image[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)))
    labels = 1 / (1 + np.exp(-logits[0, 0])) > props['threshold']
    loaded = load_segmentor(checkpoint)
    loaded.model.cfg = loaded.config
    loaded.config.test_pipeline = [
        dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    found = inference_model(loaded.model, image).pred_sem_seg.data[0].numpy()
    assert np.array_equal(labels, found) and 0 < labels.mean() < 1


def test_hypercolumns_by_the_older_exporter(save_checkpoint, tmp_path,
                                            monkeypatch):
    """torch.export cannot follow where their tiles begin."""
    pytest.importorskip('onnxruntime')
    model = dict(
        ALEXNET, backbone=dict(
            ALEXNET['backbone'], out_layers=('conv1', 'conv5')),
        decode_head=dict(
            type='HypercolumnHead', in_channels=(8, 8), in_index=(0, 1),
            channels=8, tile=20, num_classes=3))

    def refuse(*args):
        raise RuntimeError('cannot follow')

    monkeypatch.setattr(onnx_export, '_by_torch_export', refuse)
    loaded = load_segmentor(save_checkpoint(model))
    path = tmp_path / 'model.onnx'
    assert export_onnx(loaded.model, path, (32, 48)) < 1e-4
    assert path.is_file()


def test_exports_that_differ_are_refused(models, save_checkpoint, tmp_path,
                                         monkeypatch):
    """Nothing is left of a file whose logits are not torch's."""
    model = load_segmentor(save_checkpoint(models['supervised'])).model
    monkeypatch.setattr(onnx_export, 'require_onnx', lambda: None)
    for exporter in ('_by_torch_export', '_by_tracing'):
        monkeypatch.setattr(onnx_export, exporter,
                            lambda network, images, path: path.touch())
    monkeypatch.setattr(onnx_export, '_compare', lambda *args: 0.5)
    path = tmp_path / 'model.onnx'
    with pytest.raises(RuntimeError, match='cannot be exported.*\n.*'
                       'logits differ by 5.0e-01'):
        export_onnx(model, path, (32, 32))
    assert not path.exists()


def test_a_package_for_onnx_is_missing(monkeypatch):
    monkeypatch.setattr(onnx_export, 'PACKAGES', ('torch', 'no_such_package'))
    with pytest.raises(ImportError, match='needs no_such_package: '
                       'pip install no_such_package'):
        onnx_export.require_onnx()


def test_sizes(models, save_checkpoint):
    """Of the images that predictions are compared on."""
    loaded = load_segmentor(save_checkpoint(models['supervised']))
    model, cfg = loaded.model, loaded.config
    assert onnx_export.input_size(cfg, model) == (32, 48)
    cfg.test_pipeline[1].update(scale=(2048, 40), keep_ratio=True)
    assert onnx_export.input_size(cfg, model) == (32, 32)  # of the crops
    model.test_cfg = dict(mode='slide', crop_size=(20, 24), stride=(9, 9))
    assert onnx_export.input_size(cfg, model) == (20, 24)
    model.test_cfg, model.data_preprocessor.size = dict(mode='whole'), None
    with pytest.raises(ValueError, match='how large images are.*--size H W'):
        onnx_export.input_size(cfg, model)
    with pytest.raises(ValueError, match=r'above 0, not \(0, 5\)'):
        onnx_export.check_size((0, 5))


def test_predictions_that_differ_are_not_published(models, save_checkpoint):
    loaded = load_segmentor(save_checkpoint(models['reco']))
    with pytest.raises(RuntimeError, match='differ by .* nothing was written'):
        compare(loaded.model.student, loaded.model.teacher.module, (32, 32))


def test_proxy_tasks_are_refused(save_checkpoint, tmp_path):
    model = dict(
        type='JigsawFCN', data_preprocessor=PREPROCESSOR,
        backbone=dict(type='MobileNetV2', widen_factor=0.25,
                      out_indices=(6, ), norm_cfg=BN),
        head=dict(type='PatchPositionHead', in_channels=80))
    with pytest.raises(ValueError, match='holds a JigsawFCN, which segments '
                       'nothing'):
        publish(save_checkpoint(model), tmp_path)


def test_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match='cannot write to the folder .*file/x'):
        publish('any.pth', tmp_path / 'file/x')

"""Mix-and-Match tunes backbones, alone and on several processes."""
import copy
import functools
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import MODELS

from mmseg_ssl.evaluation.patch_retrieval import PatchRetrieval

WORKER = Path(__file__).with_name('mix_and_match_worker.py')
PATCHES = dict(num_per_image=6, size_range=(6, 12), out_size=32)
PREPROCESSOR = dict(
    type='SegDataPreProcessor', mean=[114.4] * 3, std=[60.] * 3,
    bgr_to_rgb=True, size=(32, 32), seg_pad_val=255)
BACKBONES = dict(
    alexnet=dict(type='CaffeAlexNet', channels=(8, 8, 8, 8, 8), lrn=False,
                 stem_stride=2, out_layers=('pool5', ),
                 norm_cfg=dict(type='BN')),
    resnet=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8,
                norm_cfg=dict(type='BN'), style='pytorch'),
    mobilenet=dict(type='MobileNetV2', widen_factor=0.25,
                   out_indices=(2, )),
    vgg_of_mmpretrain=dict(type='mmpretrain.VGG', depth=11,
                           norm_cfg=dict(type='BN')))


def config(backbone='alexnet', **options) -> dict:
    return dict(
        type='MixAndMatch', backbone=copy.deepcopy(BACKBONES[backbone]),
        patches=PATCHES, data_preprocessor=PREPROCESSOR, **options)


def build(*args, **options) -> torch.nn.Module:
    model = MODELS.build(config(*args, **options))
    model.init_weights()
    return model


@pytest.mark.parametrize('backbone, matching, num_classes', [
    ('alexnet', 'graph', 3), ('alexnet', 'random', 3), ('resnet', 'graph', 3),
    ('mobilenet', 'graph', 3), ('resnet', 'graph', 2)])
def test_loss_falls_and_classes_part(make_batch, train, backbone, matching,
                                     num_classes):
    model = build(backbone, matching=matching)
    batch = make_batch(8, num_classes, unlabeled=False)
    history = {name: torch.tensor(values) for name, values in train(
        model, [batch], steps=25, lr=1e-2).items()}
    assert set(history) == {'loss', 'loss_triplet', 'active_share',
                            'misranked_share', 'positive_distance',
                            'negative_distance', 'num_nodes'}
    assert (history['num_nodes'] == 48).all()
    start, end = (history['loss_triplet'][part].mean()
                  for part in (slice(4), slice(-4, None)))
    assert end < 0.85 * start
    gap = history['negative_distance'] - history['positive_distance']
    assert gap[-4:].mean() > gap[:4].mean() + 0.1


def test_takes_backbones_of_mmpretrain(make_batch):
    model = build('vgg_of_mmpretrain').train()
    batch = model.data_preprocessor(make_batch(2, 3, unlabeled=False), True)
    losses = model(**batch, mode='loss')
    losses['loss_triplet'].backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_loss_is_the_papers():
    """Half the mean hinge over the triplets of the graph."""
    model = build('resnet')
    features = torch.randn(6, 5, dtype=torch.float64)
    labels = torch.tensor([0, 1, 0, 2, 1, 0])
    triplets = model.match(labels)
    unit = features / features.norm(dim=1, keepdim=True)
    total = 0
    for a, p, n in triplets.tolist():
        total += max(0, float((unit[a] - unit[p]).square().sum()
                              - (unit[a] - unit[n]).square().sum()) + 2.1)
    assert model.loss_triplet(features, triplets).item() == pytest.approx(
        total / (2 * len(triplets)))


def test_pooling_makes_maps_of_any_size_alike():
    model = build('resnet', in_index=1, pool_size=2)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 16 * 4)
    assert build('resnet', in_index=1)(torch.randn(2, 3, 32, 32)).shape == (
        2, 16 * 16)


@pytest.mark.parametrize('value, num_nodes', [(1, 12), (255, 0)])
@pytest.mark.parametrize('gather', [False, True])
def test_batch_of_one_class_or_of_void(make_batch, value, num_nodes, gather):
    model = build('resnet', gather_nodes=gather).train()
    batch = make_batch(2, 3, unlabeled=False)
    for sample in batch['data_samples']:
        sample.gt_sem_seg.data.fill_(value)
    statistics = model.backbone.bn1.running_mean.clone()
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert losses['loss_triplet'] == 0
    assert losses['num_nodes'] == num_nodes
    losses['loss_triplet'].backward()
    assert model.backbone.training
    for parameter in model.parameters():
        assert (parameter.grad == 0).all()
    moved = not torch.equal(statistics, model.backbone.bn1.running_mean)
    assert moved == (num_nodes > 0)


def test_void_images_beside_others(make_batch):
    model = build('resnet').train()
    batch = make_batch(3, 3, unlabeled=False)
    batch['data_samples'][1].gt_sem_seg.data.fill_(255)
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert losses['num_nodes'] == 12
    assert losses['loss_triplet'] > 0


def test_validation_is_the_same_every_time(make_batch):
    model = build('resnet').eval()
    metric = PatchRetrieval()
    features = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        batch = make_batch(3, 3, unlabeled=False)
        batch['data_samples'][2].gt_sem_seg.data.fill_(255)
        samples = model.val_step(batch)
        assert [len(s.patch_labels) for s in samples] == [6, 6, 0]
        features.append(torch.cat([s.patch_features for s in samples]))
        metric.process(None, [s.to_dict() for s in samples])
    assert torch.equal(*features)
    torch.testing.assert_close(features[0].norm(dim=1), torch.ones(12))
    assert 0 <= metric.compute_metrics(metric.results[:3])['nn_acc'] <= 100


def test_labels_of_another_size_than_the_image(make_batch):
    batch = make_batch(1, 3, unlabeled=False)
    batch['inputs'][0] = batch['inputs'][0][:, :16]
    with pytest.raises(ValueError, match=(
            r"drawn.png: patches need labels of the image's size \(16, 32\)"
            r'.*put LoadAnnotations before Resize')):
        build('resnet').eval().val_step(batch)


def test_patches_larger_than_the_image(make_batch):
    model = build('resnet')
    model.patches['size_range'] = (8, 64)
    batch = model.data_preprocessor(make_batch(2, 3, unlabeled=False), True)
    with pytest.raises(ValueError, match='64 pixels do not fit into images'):
        model(**batch, mode='loss')


def test_unknown_options():
    with pytest.raises(ValueError, match=(
            r"matching must be one of \['graph', 'random'\], but got 'ring'")):
        build('resnet', matching='ring')
    with pytest.raises(ValueError, match="but got 'train'"):
        build('resnet')(torch.zeros(1, 3, 32, 32), mode='train')


def test_trains_validates_and_resumes(make_cfg):
    """Going on from a checkpoint ends where the whole run ends."""

    def run(work_dir, **options) -> Runner:
        cfg = make_cfg(
            config(), max_iters=6, semi=False, work_dir=str(work_dir),
            train_cfg=dict(val_interval=3),
            val_evaluator=dict(_delete_=True, type='PatchRetrieval'),
            default_hooks=dict(
                checkpoint=dict(interval=3, save_best='nn_acc',
                                rule='greater')),
            **options)
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks
                            if hook['type'] != 'MeanTeacherHook']
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner

    root = Path(make_cfg(config()).work_dir)
    whole = run(root / 'whole')
    assert 0 <= whole.message_hub.get_scalar('val/nn_acc').current() <= 100
    again = run(root / 'again', resume=True,
                load_from=str(root / 'whole/iter_3.pth'))
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key]), key


@functools.cache
def load_worker():
    spec = importlib.util.spec_from_file_location('worker', WORKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def initial(cfg: dict) -> tuple[torch.nn.Module, dict]:
    """A model that takes patches as they come, and its first weights."""
    model = load_worker().Fixed(**{k: v for k, v in cfg.items()
                                   if k != 'type'})
    model.init_weights()
    return model, copy.deepcopy(model.state_dict())


def gathering_case() -> dict:
    cfg = config(gather_nodes=True)
    cfg['backbone'].update(norm_cfg=dict(type='GN', num_groups=2))
    batches = [
        [(torch.randn(n, 3, 32, 32), torch.randint(3, (n, ))) for n in sizes]
        for sizes in ((7, 5), (8, 0), (3, 9))]  # nodes of the two ranks
    model, state_dict = initial(cfg)
    return dict(cfg=cfg, state_dict=state_dict, batches=batches, model=model)


def empty_case() -> dict:
    """One of the processes never has a patch."""
    cfg = config()
    cfg['backbone'].update(norm_cfg=dict(type='SummedNorm'))
    patches = torch.randn(8, 3, 32, 32)
    labels = torch.tensor([0, 1, 0, 2, 1, 0, 2, 1])
    batches = [[(patches, labels), (patches[:0], labels[:0])]]
    model, state_dict = initial(cfg)
    return dict(cfg=cfg, state_dict=state_dict, batches=batches, model=model)


@pytest.fixture(scope='module')
def on_two_processes(tmp_path_factory):
    """Both cases, and what two processes of the worker make of them."""
    load_worker()
    init_default_scope('mmseg')
    folder = tmp_path_factory.mktemp('processes')
    cases = dict(gathering=gathering_case(), empty=empty_case())
    torch.save({name: {key: value for key, value in case.items()
                       if key != 'model'} for name, case in cases.items()},
               folder / 'in.pth')
    process = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--standalone',
         '--nproc_per_node=2', str(WORKER), str(folder / 'in.pth'),
         str(folder / 'out')],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=300, env={**os.environ, 'OMP_NUM_THREADS': '1',
                          'CUDA_VISIBLE_DEVICES': '',
                          'PYTHONPATH': str(WORKER.parents[3])})
    assert process.returncode == 0, process.stdout[-4000:]
    results = [torch.load(folder / f'out{rank}.pth') for rank in (0, 1)]
    return {name: (case, [result[name] for result in results])
            for name, case in cases.items()}


def assert_same_weights(result: dict, case: dict, moved: str) -> None:
    """As the model of the only process, unlike at the start."""
    for key, value in case['model'].state_dict().items():
        torch.testing.assert_close(
            result['state_dict'][key], value, rtol=1e-4, atol=1e-6)
        if moved in key and value.is_floating_point():
            assert not torch.equal(value, case['state_dict'][key]), key


def test_graph_across_processes_is_that_of_one(on_two_processes):
    case, results = on_two_processes['gathering']
    together = [tuple(torch.cat(part) for part in zip(*parts))
                for parts in case['batches']]
    logged = load_worker().tune(case['model'], together)
    for result in results:
        for one, many in zip(logged, result['logged']):
            assert many == pytest.approx(one, abs=1e-5)
        assert_same_weights(result, case, moved='conv')


def test_a_process_without_patches_keeps_norms_in_step(on_two_processes):
    """Norms over all processes: nobody waits, statistics leave it out."""
    case, results = on_two_processes['empty']
    # DDP halves the gradient of the only process that has any.
    load_worker().tune(case['model'], case['batches'][0][:1], lr=0.05 / 2)
    for rank, result in enumerate(results):
        assert [row['num_nodes'] for row in result['logged']] == [
            8 - 8 * rank] * 3
        assert_same_weights(result, case, moved='')

"""Two processes on a CPU (gloo) train both networks."""
import os
import subprocess
import sys

import torch


def test_two_processes_stay_equal(make_cfg, tiny_segmentor, project_root,
                                  tmp_path):
    cfg = make_cfg(
        dict(type='S4GAN', segmentor=tiny_segmentor(),
             discriminator=dict(channels=4), score_threshold=0.0),
        max_iters=4, work_dir=str(tmp_path / 'work'))
    cfg.optim_wrapper = dict(
        constructor='JointOptimWrapperConstructor', type='OptimWrapper',
        accumulative_counts=2,
        student=dict(optimizer=dict(type='SGD', lr=0.02)),
        discriminator=dict(optimizer=dict(type='Adam', lr=1e-3)))
    cfg.launcher = 'pytorch'
    path = tmp_path / 'two.py'
    path.write_text(cfg.pretty_text)
    worker = project_root / 'tests/test_engine/train_worker.py'
    process = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--standalone',
         '--nproc_per_node=2', str(worker), str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=300, env={**os.environ, 'OMP_NUM_THREADS': '1',
                          'CUDA_VISIBLE_DEVICES': '',
                          'PYTHONPATH': str(project_root)})
    assert process.returncode == 0, process.stdout[-4000:]
    first, second = (torch.load(f'{cfg.work_dir}/rank{rank}.pth')
                     for rank in (0, 1))
    assert first['wrapped'] and second['wrapped']
    for key, value in first['state_dict'].items():
        assert value.isfinite().all(), key
        assert torch.equal(value, second['state_dict'][key]), key
    # equal in spite of different images; the teacher followed two steps
    assert (first['losses'][0]['loss_discriminator']
            != second['losses'][0]['loss_discriminator'])
    assert first['state_dict']['teacher.steps'] == 2

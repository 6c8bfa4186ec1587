"""The Python code of docs/inference.md runs."""
import re

import numpy as np
import pytest
from PIL import Image

from mmseg_ssl.apis import find_model, publish, publish_onnx


@pytest.fixture
def blocks(project_root) -> list[str]:
    page = (project_root / 'docs/inference.md').read_text()
    return re.findall(r'```python\n(.*?)```', page, re.DOTALL)


def test_python_on_the_page(blocks, tiny_segmentor, save_checkpoint, tmp_path,
                            monkeypatch):
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    for name in ('street', 'a', 'b'):
        Image.fromarray(pixels).save(f'{name}.jpg')
    checkpoint = save_checkpoint(tiny_segmentor('fcn_r18-d16'))
    published = publish(checkpoint, 'published')
    published.checkpoint.rename('NAME.pth')
    published.config.rename('NAME.py')
    publish_onnx('NAME.pth', '.')[0].rename('NAME.onnx')

    segmenter, plain, onnx, inferencer = blocks
    found: list[dict] = []
    for block in (segmenter, plain, onnx):
        found.append({})
        exec(block.replace('work_dirs/CONFIG/iter_4000.pth',
                           str(checkpoint)), found[-1])
    labels = found[0]['labels']
    assert labels.shape == found[0]['confidence'].shape == (32, 48)
    assert len(found[0]['results']) == 2
    result = found[1]['result'].pred_sem_seg.data[0].numpy()
    assert np.array_equal(result, labels)
    assert np.array_equal(found[2]['labels'], labels)
    assert found[2]['classes'] == ['sky', 'hill', 'road']
    name = re.search(r"'(reco.*?)'", inferencer)[1]
    with pytest.raises(ValueError, match='no weights of'):  # but a known name
        find_model(name)

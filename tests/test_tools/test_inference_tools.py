"""infer.py, publish_model.py and export_onnx.py as command lines."""
import runpy

import cv2
import mmcv
import numpy as np
import pytest
import torch
from mmseg.apis import inference_model
from PIL import Image

from mmseg_ssl.apis import Segmenter


@pytest.fixture
def checkpoint(tiny_segmentor, save_checkpoint):
    return save_checkpoint(tiny_segmentor('fcn_r18-d16'))


@pytest.fixture
def photos(tmp_path):
    """A folder with three images, of two sizes, one in a sub-folder."""
    rng = np.random.default_rng(0)
    for name, size in (('one.png', (30, 40)), ('two.png', (30, 40)),
                       ('more/three.jpg', (24, 36))):
        path = tmp_path / 'photos' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3),
                                     dtype=np.uint8)).save(path)
    return tmp_path / 'photos'


def write_video(path):
    """Five frames of 48x32 pixels."""
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter.fourcc(*'MJPG'), 5, (48, 32))
    for i in range(5):
        writer.write(np.full((32, 48, 3), 40 * i, np.uint8))
    writer.release()
    return path


def read(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_folder(call_main, checkpoint, photos, tmp_path, capsys):
    out = tmp_path / 'out'
    call_main('tools/infer.py', checkpoint, photos, '--out', out,
              '--batch-size', 2, '--device', 'cpu', '--opacity', 1)
    assert f'3 images: {out}' in capsys.readouterr().out
    segmenter = Segmenter(checkpoint, device='cpu')
    for name in ('one.png', 'two.png', 'more/three.jpg'):
        labels, confidence = segmenter(photos / name, confidence=True)
        stem = name.rpartition('.')[0]
        assert np.array_equal(read(out / f'labels/{stem}.png'), labels)
        written = read(out / f'confidence/{stem}.png') / 255
        np.testing.assert_allclose(written, confidence, atol=0.003)
        overlay = read(out / f'overlay/{stem}.png')
        height, width = labels.shape
        assert overlay.shape[0] > height and overlay.shape[1] >= width
        assert np.array_equal(overlay[:height, :width],
                              np.array(segmenter.palette)[labels])


def test_own_output_is_left_out(call_main, checkpoint, photos, capsys):
    """Second calls into a folder below the images, and into their folder."""
    for out in (photos / 'out', photos):
        for _ in range(2):
            call_main('tools/infer.py', checkpoint, photos, '--out', out,
                      '--device', 'cpu')
            assert f'3 images: {out}' in capsys.readouterr().out
    assert (photos / 'out/labels/one.png').is_file()
    with pytest.raises(SystemExit, match='no image in .* beside those in'):
        call_main('tools/infer.py', checkpoint, photos / 'labels', '--out',
                  photos)


def test_files_that_cannot_be_read(call_main, checkpoint, photos, tmp_path):
    """The others are segmented all the same."""
    (photos / 'p.jpg').write_bytes(b'no image')
    (photos / '._one.png').write_bytes(b'what a Mac leaves')
    with pytest.raises(SystemExit) as error:
        call_main('tools/infer.py', checkpoint, photos, '--out',
                  tmp_path / 'out', '--device', 'cpu')
    first, second = str(error.value).splitlines()
    assert first == 'infer.py: 1 left out:'
    assert second.startswith(f'image {photos}/p.jpg cannot be read: ')
    assert len(list(tmp_path.glob('out/labels/**/*.png'))) == 3


def test_too_many_images_at_once(call_main, checkpoint, photos, tmp_path,
                                 monkeypatch):
    def fail(*args, **kwargs):
        raise torch.cuda.OutOfMemoryError('CUDA out of memory')

    monkeypatch.setattr(Segmenter, '__call__', fail)
    with pytest.raises(SystemExit, match='memory for 4 images at once; give'):
        call_main('tools/infer.py', checkpoint, photos, '--out',
                  tmp_path / 'out', '--device', 'cpu')


def test_video_of_another_length(call_main, checkpoint, tmp_path, capsys,
                                 monkeypatch):
    """What its head says may be wrong."""
    video = write_video(tmp_path / 'drive.avi')
    monkeypatch.setattr(mmcv.VideoReader, 'frame_cnt', 9)
    call_main('tools/infer.py', checkpoint, video, '--out', tmp_path / 'out',
              '--device', 'cpu')
    captured = capsys.readouterr()
    assert '5 images: ' in captured.out
    assert 'drive.avi ends after 5 of 9 frames' in captured.err


def test_video_of_unknown_length(project_root, tmp_path):
    """As browsers record: it cannot be wound back, either."""
    video = write_video(tmp_path / 'drive.mkv')
    content = bytearray(video.read_bytes())
    duration = content.index(b'\x44\x89\x88')  # 8 bytes follow: now void
    content[duration:duration + 11] = b'\xec\x89' + bytes(9)
    # and no table of where frames are: another name for it
    video.write_bytes(content.replace(b'\x1c\x53\xbb\x6b',
                                      b'\x1c\x53\xbb\x6c'))
    read_frames = runpy.run_path(str(project_root / 'tools/infer.py'))[
        'read_frames']
    frames, count = read_frames(video, 2)
    assert count == 0
    assert [(name, round(float(frame.mean()), -1)) for name, frame in frames
            ] == [('drive_000000', 0), ('drive_000002', 80),
                  ('drive_000004', 160)]


def test_video(call_main, checkpoint, tmp_path):
    video = write_video(tmp_path / 'drive.avi')
    call_main('tools/infer.py', checkpoint, video, '--out', tmp_path / 'out',
              '--every', 2, '--device', 'cpu')
    names = sorted(path.name for path in tmp_path.glob('out/overlay/*'))
    assert names == [f'drive_{i:06d}.png' for i in (0, 2, 4)]
    assert read(tmp_path / 'out/labels/drive_000004.png').shape == (32, 48)
    video.write_bytes(b'no video')
    with pytest.raises(SystemExit, match='video .*drive.avi cannot be read'):
        call_main('tools/infer.py', checkpoint, video, '--out', tmp_path)
    video.unlink()
    with pytest.raises(SystemExit, match='file .*drive.avi'):
        call_main('tools/infer.py', 'no.pth', video, '--out', tmp_path)


@pytest.mark.parametrize('text', ['abc', '1.5', 'nan'])
def test_opacity_that_is_none(call_main, text, capsys):
    with pytest.raises(SystemExit):
        call_main('tools/infer.py', 'a', 'b', '--out', 'c', '--opacity', text)
    assert f"'{text}' should be a number from 0 to 1" in (
        capsys.readouterr().err)


def test_errors_of_infer(call_main, checkpoint, photos, tmp_path):
    def fails(message, model=checkpoint, images=photos,
              out=tmp_path / 'out', options=()):
        with pytest.raises(SystemExit, match=f'^infer.py: .*{message}'):
            call_main('tools/infer.py', model, images, '--out', out, *options)
        assert not (tmp_path / 'out').exists()

    (tmp_path / 'empty').mkdir()
    fails('there is no image in .*empty', images=tmp_path / 'empty')
    fails('nowhere does not exist', images=tmp_path / 'nowhere')
    fails('cannot write to the folder .*one.png',
          out=photos / 'one.png/out')
    broken = tmp_path / 'broken.pth'
    broken.write_bytes(checkpoint.read_bytes()[:1000])
    fails('broken.pth is no checkpoint, or damaged: Runtime', model=broken)
    broken.write_text('some notes')
    fails('broken.pth is no checkpoint, or damaged$', model=broken)
    fails("device 'nothing' cannot be used here .*leave it out",
          options=('--device', 'nothing'))
    if not torch.cuda.is_available():
        fails("device 'cuda' cannot be used here",
              options=('--device', 'cuda'))
    fails('empty is a folder without checkpoints', model=tmp_path / 'empty')
    fails('near names are .*supervised_', model='supervised_mbv2-d16')


@pytest.mark.parametrize('out', [(), ('--out', )])
def test_publish(call_main, checkpoint, out, tmp_path, capsys):
    call_main('tools/publish_model.py', checkpoint, *out, tmp_path / 'p')
    lines = capsys.readouterr().out.splitlines()
    written, = (tmp_path / 'p').glob('*.pth')
    assert lines[-1] == str(written)
    assert lines[-2] == str(written.with_suffix('.py'))
    assert 'needs nothing but mmseg' in lines
    assert any('kept: the model; logits differ by at most 0.0e+00' in line
               for line in lines)
    for arguments, message in (
            (('no.pth', ), 'no.pth does not exist'),
            ((checkpoint, '--out', tmp_path / 'q', '--keep', 'student'),
             r'\(EncoderDecoder\) has no student: leave --keep out'),
            ((checkpoint, '--out', checkpoint), 'cannot write to the')):
        with pytest.raises(SystemExit,
                           match=f'^publish_model.py: .*{message}'):
            call_main('tools/publish_model.py', *arguments)
    assert not (tmp_path / 'q').exists()
    with pytest.raises(SystemExit):
        call_main('tools/publish_model.py', checkpoint, tmp_path / 'q',
                  '--out', tmp_path / 'r')
    assert 'not allowed with argument' in capsys.readouterr().err


def test_published_models_elsewhere(call_main, monkeypatch, checkpoint,
                                    photos, tmp_path, capsys):
    """A process that cannot import this package predicts the same."""
    arguments = ('tools/check_published.py', checkpoint, '--out',
                 tmp_path / 'p', '--images', photos / 'one.png',
                 photos / 'more/three.jpg')
    call_main(*arguments)
    line, = capsys.readouterr().out.splitlines()
    assert ': mmseg, logits from ' in line
    assert float(line.rpartition(' ')[2]) < 1e-4

    def inexact(*arguments):
        result = inference_model(*arguments)
        result.seg_logits.data += 2e-4
        return result

    monkeypatch.setattr('mmseg.apis.inference_model', inexact)
    with pytest.raises(SystemExit, match='are not the same'):
        call_main(*arguments)
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(SystemExit, match=(
            '^check_published.py: .*pth is no checkpoint, or damaged')):
        call_main(*arguments)


def test_images_that_are_none(call_main, photos, tmp_path):
    """Are noticed before a model is published and predicts."""
    text = tmp_path / 'notes.png'
    text.write_text('some notes')
    for path, problem in ((tmp_path / 'no.png', 'does not exist'),
                          (text, 'is no image'), (tmp_path, 'is no image')):
        with pytest.raises(SystemExit, match=(
                f'^check_published.py: {path} {problem}')):
            call_main('tools/check_published.py', 'no.pth', '--images',
                      photos / 'one.png', path)


def test_export_onnx(call_main, monkeypatch, checkpoint, tmp_path, capsys):
    """The export itself is in tests/test_apis/test_publishing.py."""
    def export(model, out, config, keep, size, batch_size):
        assert size == [24, 40] and batch_size == 2 and keep is None
        return f'{out}/{model}.onnx', 2e-6

    with monkeypatch.context() as patch:
        patch.setattr('mmseg_ssl.apis.publishing.publish_onnx', export)
        call_main('tools/export_onnx.py', 'reco', '--out', tmp_path,
                  '--size', 24, 40, '--batch-size', 2)
    assert capsys.readouterr().out.splitlines() == [
        'logits differ by at most 2.0e-06 from torch', f'{tmp_path}/reco.onnx']
    with pytest.raises(SystemExit, match='^export_onnx.py: .*above 0, not'):
        call_main('tools/export_onnx.py', checkpoint, '--out', tmp_path,
                  '--size', 0, 8)
    with pytest.raises(SystemExit):
        call_main('tools/export_onnx.py', checkpoint, '--batch-size', 0)
    assert "'0' should be a number above 0" in capsys.readouterr().err

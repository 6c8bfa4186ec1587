"""The command lines of the converters."""
import pytest


@pytest.mark.parametrize('tool, arguments', [
    ('convert_voc12aug', ('voc', 'sbd')),
    ('convert_cityscapes', ('cityscapes', 'out', '--size', '80x72')),
    ('convert_sunrgbd', ('sunrgbd', 'out'))])
def test_converts(call_main, capsys, tiny_downloads, tmp_path, tool,
                  arguments):
    paths = [tmp_path / 'out' if name == 'out' else
             getattr(tiny_downloads, name, name) for name in arguments]
    for written in ('written', ' 0 '):
        call_main(f'tools/dataset_tools/{tool}.py', *paths, '--num-procs', 1)
        output = capsys.readouterr().out
        assert written in output and 'the others were there' in output


def test_default_folder_of_cityscapes(call_main, tiny_downloads):
    call_main('tools/dataset_tools/convert_cityscapes.py',
              tiny_downloads.cityscapes, '--num-procs', 1)
    beside = tiny_downloads.cityscapes.with_name('cityscapes_512x1024')
    assert len(list(beside.glob('leftImg8bit/*/*/*.png'))) == 5


@pytest.mark.parametrize('tool, paths', [
    ('convert_voc12aug', ('nowhere', 'nowhere')),
    ('convert_cityscapes', ('nowhere', )), ('convert_sunrgbd', ('nowhere', ))])
def test_wrong_folder(call_main, tmp_path, tool, paths):
    with pytest.raises(SystemExit, match=(
            rf'{tool}\.py: there is no folder .*nowhere/')):
        call_main(f'tools/dataset_tools/{tool}.py',
                  *(tmp_path / path for path in paths))


def test_incomplete_download(call_main, tiny_downloads, monkeypatch):
    monkeypatch.setattr(
        'mmseg_ssl.datasets.conversion.cityscapes.COUNTS', dict(train=2975))
    with pytest.raises(SystemExit, match='found 3 images .* should be 2975'):
        call_main('tools/dataset_tools/convert_cityscapes.py',
                  tiny_downloads.cityscapes)


@pytest.mark.parametrize('options, message', [
    (('--size', '1024'), "'1024' should be WIDTHxHEIGHT"),
    (('--num-procs', '0'), "'0' should be a number above 0")])
def test_bad_options(call_main, capsys, options, message):
    with pytest.raises(SystemExit):
        call_main('tools/dataset_tools/convert_cityscapes.py', 'x', *options)
    assert message in capsys.readouterr().err

"""The table of receptive fields of a config."""
import pytest

TOOL = 'tools/analysis_tools/receptive_field.py'


def test_table_of_a_config(call_main, tiny_config, capsys):
    call_main(TOOL, tiny_config)
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == '| layer | field | stride | offset |'
    assert rows[-2:] == ['| layer1 | 43 | 4 | 0 |', '| layer2 | 99 | 8 | 0 |']
    call_main(TOOL, tiny_config, '--depth', 2)
    assert '| layer2.0 | 67 | 8 | 0 |' in capsys.readouterr().out


def test_the_backbone_of_a_wrapped_model(call_main, tmp_path, capsys):
    config = tmp_path / 'wrapped.py'
    config.write_text("model = dict(type='MeanTeacher', segmentor=dict("
                      "type='EncoderDecoder', backbone=dict("
                      "type='MobileNetV2', widen_factor=0.1)))")
    call_main(TOOL, config)
    assert '| layer7 | 491 | 32 | 0 |' in capsys.readouterr().out


@pytest.mark.parametrize('text, message', [
    ('', 'model has no backbone'),
    ("model = dict(backbone=dict(type='MixVisionTransformer'))",
     'MixVisionTransformer: .* a receptive field is not defined')])
def test_one_line_says_why_there_is_no_table(text, message, call_main,
                                             tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(text)
    with pytest.raises(SystemExit, match=message):
        call_main(TOOL, config)

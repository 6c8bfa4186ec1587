"""Commands and paths in the pages are those of the tools and files there are.

Blocks of shell commands are run by bash, with variables, loops and globs, but
every program is replaced by one that writes down how it was called. Calls of
our tools must then be accepted by their own parsers of arguments. What the
commands do is tried by tools/run_doc_commands.py.
"""
import functools
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOC_COMMANDS = runpy.run_path(str(ROOT / 'tools/run_doc_commands.py'))
PAGES = DOC_COMMANDS['find_pages'](ROOT)
CONFIGS = {path.stem for path in ROOT.glob('configs/*/*.py')}

BLOCK = DOC_COMMANDS['FENCED']
TABLE = re.compile(r'<!-- results.*?<!-- /results -->', re.DOTALL)
INLINE = re.compile(r'(?<!`)`([^`]+)`(?!`)')
TOOL_CALL = re.compile(r'(python |bash )?tools/\S+\.(py|sh) \S')
OUR_PATH = re.compile(r'(configs|docs|mmseg_ssl|tests|tools)/[\w./-]*\w')
CONFIG_NAME = re.compile(r'[\w-]+_\d+xb\d+-\d+[ke]_[\w-]+')
# what a user makes
MADE = re.compile(r'configs/_base_/splits/|.*/logs$|mmseg_ssl/\.mim')
# scripts that hand all arguments but those at some places to a tool
HANDED_ON = {'dist_train.sh': ('train.py', {1}),
             'dist_test.sh': ('test.py', {2}),
             'slurm_train.sh': ('train.py', {0, 1}),
             'slurm_test.sh': ('test.py', {0, 1})}

PREAMBLE = r"""
command_not_found_handle() { local IFS=$'\x1f'; printf '%s\n' "$*" >&3; }
source() { :; }
PATH=/nowhere
"""


def shell_blocks(text: str) -> list[str]:
    """Blocks of commands, without the brackets of what may be left."""
    return [DOC_COMMANDS['with_options'](block.text)
            for block in DOC_COMMANDS['find_blocks']('', text)
            if block.is_shell]


def calls_in_blocks(text: str, folder: Path) -> list[list[str]]:
    """Every program that the blocks of a page call, with its arguments."""
    for name in ('configs', 'docs', 'tools'):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    script = PREAMBLE + '\n'.join(shell_blocks(text))
    process = subprocess.run(
        ['bash', '-c', f'exec 3>&1 >/dev/null\n{script}'], cwd=folder,
        capture_output=True, text=True, timeout=60)
    assert 'syntax error' not in process.stderr, process.stderr
    return [line.split('\x1f') for line in process.stdout.splitlines()]


def calls_in_text(text: str) -> Iterator[list[str]]:
    """Calls of our tools between the lines, in `code`."""
    for code in INLINE.findall(BLOCK.sub('', text).replace('\n', ' ')):
        if TOOL_CALL.match(code):
            words = shlex.split(re.sub(r'[][]|\.\.\.', '', code))
            yield words if words[0] in ('python', 'bash') else [
                'bash' if words[0].endswith('.sh') else 'python', *words]


@functools.cache
def parser_of(tool: str):
    return runpy.run_path(str(ROOT / tool))['parse_args']


def check_call(words: list[str], monkeypatch) -> None:
    """Fail unless the tool exists and takes the arguments."""
    program, tool, *arguments = words
    assert (ROOT / tool).is_file(), f'{tool} does not exist'
    name = tool.removeprefix('tools/')
    if name in HANDED_ON:
        tool, own = HANDED_ON[name]
        assert len(arguments) > max(own), f'too few arguments: {words}'
        arguments = [word for place, word in enumerate(arguments)
                     if place not in own]
        program, tool = 'python', f'tools/{tool}'
    if program == 'bash':
        source = (ROOT / tool).read_text()
        if 'PYTEST ARGUMENTS' not in source:
            for word in arguments:
                if word.startswith('-'):
                    assert f'{word.split("=")[0]})' in source, words
        return
    monkeypatch.setenv('LOCAL_RANK', '0')  # train.py would set it
    monkeypatch.setattr(sys, 'argv', [tool, *arguments])
    try:
        parser_of(tool)()
    except SystemExit as error:
        pytest.fail(f'{" ".join(words)}: not accepted ({error})')


def check_paths(words: list[str]) -> None:
    for word in words:
        path = word.split('=')[-1]
        if OUR_PATH.fullmatch(path) and not MADE.match(path):
            assert (ROOT / path).exists(), f'{path} does not exist'


@pytest.mark.parametrize(
    'page', PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_accepted(page, tmp_path, monkeypatch):
    text = page.read_text()
    for words in [*calls_in_blocks(text, tmp_path), *calls_in_text(text)]:
        check_paths(words)
        if words[0] in ('python', 'bash') and words[1].startswith('tools/'):
            check_call(words, monkeypatch)
        if words[0] == 'mim':
            names = [word for word in words if word.endswith('.py')]
            assert {Path(name).stem for name in names} <= CONFIGS


@pytest.mark.parametrize(
    'page', PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_exist(page):
    text = TABLE.sub('', BLOCK.sub('', page.read_text()))
    for code in INLINE.findall(text):
        check_paths([code.split()[0] if code.split() else ''])
        if CONFIG_NAME.fullmatch(code):  # or what it ends with
            assert any(name == code or name.endswith(f'_{code}')
                       for name in CONFIGS), f'there is no config {code}'


# ----------------------- what this file is able to see -----------------------

PAGE = """
```
T=tools/train.py; C=configs/reco
for seed in 0 1; do
    python $T $C/{name}.py --resume \\
        --work-dir work_dirs/$seed
done
GPUS=4 bash tools/dist_train.sh $C/{name}.py 2 --amp
```
Text with `tools/test.py CONFIG CHECKPOINT` in it.
"""
NAME = 'reco-classmix_mbv2-d16-deeplabv3plus_1xb4-1k_scenes-10l'


def test_calls_are_seen(tmp_path):
    page = PAGE.format(name=NAME)
    config = f'configs/reco/{NAME}.py'
    assert calls_in_blocks(page, tmp_path) == [
        ['python', 'tools/train.py', config, '--resume', '--work-dir',
         'work_dirs/0'],
        ['python', 'tools/train.py', config, '--resume', '--work-dir',
         'work_dirs/1'],
        ['bash', 'tools/dist_train.sh', config, '2', '--amp']]
    assert list(calls_in_text(page)) == [
        ['python', 'tools/test.py', 'CONFIG', 'CHECKPOINT']]


@pytest.mark.parametrize('call', [
    'python tools/train.py CONFIG --unknown',
    'python tools/train.py',
    'python tools/not_there.py CONFIG',
    'bash tools/dist_train.sh CONFIG 2 --unknown',
    'bash tools/quickstart.sh --unknown',
])
def test_wrong_calls_are_seen(call, monkeypatch):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check_call(call.split(), monkeypatch)


def test_wrong_paths_are_seen():
    check_paths(['configs/reco', 'configs/mine/logs', 'data/x.py', '--a=b'])
    with pytest.raises(AssertionError, match='configs/none does not exist'):
        check_paths(['--x=configs/none'])

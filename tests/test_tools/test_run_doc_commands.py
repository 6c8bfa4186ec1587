"""The commands in the pages: what is run of them, and what is said of it."""
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = runpy.run_path(str(ROOT / 'tools/run_doc_commands.py'))
Block, Runner, Settings = (
    TOOL[name] for name in ('Block', 'Runner', 'Settings'))
SETTINGS = TOOL['read_settings'](ROOT / 'tools/doc_commands.yml')
BLOCKS = Runner(ROOT, ROOT / 'nowhere', again=False).all_blocks()
RUN = [block for block in BLOCKS if not SETTINGS.reason_not_to_run(block)]

PAGE = """\
# Title

```{toctree}
docs/index.md
```

```
data_root/
  img_dir/train   commands like python tools/train.py are not here
```

- In a list:

  ```bash
  A=1; B="x y"
  python one.py $A [--two B ...]
  ```

```python
model = dict(type='ReCo')
```

```python
import sys
```
"""


def test_blocks_of_a_page():
    blocks = TOOL['find_blocks']('page.md', PAGE)
    assert [(block.line, block.language) for block in blocks] == [
        (3, '{toctree}'), (7, ''), (14, 'bash'), (19, 'python'),
        (23, 'python')]
    assert [block.line for block in blocks if block.is_shell] == [14]
    assert [block.line for block in blocks if block.is_program] == [23]
    assert blocks[2].text == 'A=1; B="x y"\npython one.py $A [--two B ...]\n'
    assert blocks[2].place == 'page.md:14'


def test_what_may_be_left_out():
    """Options in brackets, and no brackets that mean something to bash."""
    text = 'a [--two B ...] [-v] ${name%%[-_]*} {1..2} [ -f x ] a[-1]'
    assert TOOL['with_options'](text) == (
        'a --two B -v ${name%%[-_]*} {1..2} [ -f x ] a[-1]')


def test_words_of_readers():
    words = {'DIR': 'out', 'data_root=DIR': 'data_root=data', 'NAME': 'x'}
    text = ('a --out DIR data_root=DIR DIR/b DIR_OF_C MYDIR $DIR NAME=DIR '
            '"--run me=DIR"')
    assert TOOL['replace_words'](text, words) == (
        'a --out out data_root=data out/b DIR_OF_C MYDIR $DIR NAME=out '
        '"--run me=out"')


def test_variables_of_earlier_blocks():
    blocks = [Block('page.md', 1, '', 'A=1; B="x y"\nC=2 python one.py\n'),
              Block('page.md', 5, '', 'for i in 1; do\n  D=$i\ndone\nE=$A-2')]
    assert TOOL['assignments'](blocks) == 'A=1; B="x y"\nE=$A-2\n'


def test_options_without_what_they_need():
    drop = TOOL['drop_options']
    text = 'python a.py  # --crf\npython a.py --amp --b\n'
    assert drop(text, ['--amp', '--crf']) == (
        'left_out --amp\npython a.py  # --crf\npython a.py --b\n')


@pytest.fixture
def called(tmp_path):
    """Run lines behind the preamble; returns what programs are called with."""
    programs = tmp_path / 'bin'
    programs.mkdir()
    for name in ('python', 'bash'):
        path = programs / name
        path.write_text('#!/bin/sh\necho "called: $*"\n')
        path.chmod(0o755)

    def run(script: str) -> list[str]:
        output = subprocess.run(
            ['/bin/bash', '-c', TOOL['PREAMBLE'] + script], check=True,
            env={'PATH': f'{programs}:/usr/bin:/bin'}, capture_output=True,
            text=True).stdout
        return [line.removeprefix('called: ') for line in output.splitlines()
                if line.startswith('called: ')]

    return run


HOOKS = ('default_hooks.logger.interval=1 '
         'default_hooks.checkpoint.filename_tmpl=iter_2.pth')


@pytest.mark.parametrize('command, options', [
    ('python tools/train.py a_1xb8-1k_b.py',
     f'--cfg-options train_cfg.max_iters=2 {HOOKS}'),
    ('python tools/train.py a_1xb8-20e_b.py --resume',
     f'--cfg-options train_cfg.max_epochs=2 {HOOKS}'),
    # of one that counts epochs is only the checkpoint
    ('python tools/train.py a_1xb8-1k_b.py --cfg-options x=a_1xb8-2e_b/c.pth',
     f'train_cfg.max_iters=2 {HOOKS}'),
    ('bash tools/dist_train.sh a_1xb8-1k_b.py 2',
     f'--cfg-options train_cfg.max_iters=2 {HOOKS}'),
    ('python tools/analysis_tools/label_efficiency.py --out a',
     f'--cfg-options train_cfg.max_iters=2 {HOOKS}'),
    ('python tools/test.py a_1xb8-1k_b.py', ''),
    ('python tools/train_all.pyc', ''),
])
def test_trainings_are_short(called, command, options):
    _, arguments = command.split(' ', 1)
    assert called(command) == [f'{arguments} {options}'.rstrip()]


# -------------------------------- a whole run --------------------------------

YML = """
pages:
  all: {words: {DIR: out}, before: "mkdir out\\n"}
  docs/more.md: {before: "touch out/more\\n"}
files:
- {page: README.md, holds: one = 1, path: out/one.py}
not_run:
- {page: README.md, holds: for ever, why: it does not end}
"""
README = """\
```
name=a
pip install it
bash -c "echo $name > DIR/iter_4000.pth"
```
```
python - # for ever
```
```python
one = 1
```
```
bash -c "cat DIR/$name DIR/iter_300.pth"
```
"""
MORE = """\
```python
from pathlib import Path
print(Path('out/more').exists(), Path('out/one.py').read_text())
```
"""


@pytest.fixture
def project(tmp_path) -> Path:
    for name, text in {'README.md': README, 'docs/more.md': MORE,
                       'tools/doc_commands.yml': YML,
                       'configs/a.py': "a = 'b/epoch_20.pth'\n"}.items():
        path = tmp_path / 'main' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    subprocess.run(['git', 'init', '-q'], cwd=tmp_path / 'main', check=True)
    return tmp_path / 'main'


@pytest.fixture
def run_all(project, monkeypatch, capsys):
    """Call the tool; returns rows of the summary, and what it printed."""

    def run(*options: str) -> tuple[list[str], str]:
        folder = project.parent / 'run'
        monkeypatch.setattr(sys, 'argv', [
            'run_doc_commands.py', '--root', str(project), '--folder',
            str(folder), *options])
        try:
            TOOL['main']()
        except SystemExit as error:
            print(error)
        return ((folder / 'summary.md').read_text().splitlines()[2:],
                capsys.readouterr().out)

    return run


def results(rows: list[str]) -> list[str]:
    return [row.split(' | ')[2 if 'logs/' in row else 1].strip(' |')
            for row in rows]


def test_run_and_run_again(project, run_all):
    rows, output = run_all()
    assert results(rows) == [
        'ok', 'ok, without pip install it', 'not run: it does not end', 'ok',
        'failed (status 1)', 'ok', 'ok']
    assert [row.split(' | ')[0].strip('| ') for row in rows] == [
        'before all', 'README.md:1', 'README.md:6', 'README.md:9',
        'README.md:12', 'before docs/more.md', 'docs/more.md:1']
    assert output.endswith('failed: README.md:12\n')
    folder = project.parent / 'run'
    assert (folder / 'project/configs/a.py').read_text() == (
        "a = 'b/iter_2.pth'\n")
    assert (folder / 'project/out/iter_2.pth').read_text() == 'a\n'
    log = folder / rows[-1].split(' | ')[3].rstrip(' |')
    assert 'True one = 1' in log.read_text()

    # what was wrong is mended; only that is run
    (folder / 'project/out/a').write_text('here')
    rows, output = run_all()
    assert results(rows)[4] == 'ok'
    assert re.findall(r'^(\S+) \.\.\.', output, re.MULTILINE) == [
        'README.md:12']

    (project / 'README.md').write_text(README.replace('it\n', 'that\n'))
    rows, output = run_all('--page', str(project / 'README.md'))
    assert results(rows)[1] == 'ok, without pip install that'
    assert output.count('...') == 1

    rows, output = run_all('--again', '--page', str(project / 'docs/more.md'))
    assert re.findall(r'^(.*) \.\.\.', output, re.MULTILINE) == [
        'before all', 'before docs/more.md', 'docs/more.md:1']
    assert results(rows)[0] == 'failed (status 1)'  # out is there


def test_block_that_does_not_end(tmp_path, monkeypatch):
    run = TOOL['run_script']
    monkeypatch.setitem(run.__globals__, 'TIME_LIMIT', 0.5)
    outcome = run('sleep 100 & echo $! > child; wait', tmp_path,
                  tmp_path / 'log.txt')
    assert outcome.result == 'failed (not done after 0.5 s)'
    child = int((tmp_path / 'child').read_text())
    state = Path(f'/proc/{child}/stat')
    assert not state.exists() or state.read_text().split()[2] == 'Z'


def test_page_that_is_none(project):
    with pytest.raises(ValueError, match='other.txt is none of the pages'):
        TOOL['choose_pages'](project, [project / 'docs/other.txt'])


# ----------------------------- our own settings -----------------------------


@pytest.mark.parametrize('entry', SETTINGS.not_run + SETTINGS.files,
                         ids=lambda entry: entry['holds'])
def test_entries_are_of_one_block(entry):
    found = [block for block in BLOCKS if block.page == entry['page']
             and entry['holds'] in block.text]
    assert len(found) == 1


def test_no_word_for_readers_is_left():
    assert len(RUN) > 50
    for block in RUN:
        script = TOOL['script_of'](block, [], SETTINGS)
        text = re.sub(r'#.*', '', script.removeprefix(TOOL['PREAMBLE']))
        if block.is_shell:
            words = re.findall(r'(?<![\w$/{.-])[A-Z][A-Z0-9_]+\b(?!=)', text)
            assert {*words} <= {'END', 'NAME', 'PIL', 'RGB'}, block


def test_paths_in_words_exist():
    for page in SETTINGS.pages:
        for path in SETTINGS.words(page).values():
            if path.startswith('configs/'):
                assert (ROOT / path).is_file()

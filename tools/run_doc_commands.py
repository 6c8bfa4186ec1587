r"""Run the commands in the pages, each block for real but small.

::

    python tools/run_doc_commands.py
    python tools/run_doc_commands.py --page docs/inference.md --again

In a copy of the project, ``work_dirs/doc_commands/project``, the blocks of
shell commands in README.md, CONTRIBUTING.md, docs and the READMEs of the
methods are run by bash, one after another, and those of Python that import
something by Python; configs are written to their files. What is not as in the
page:

- words that readers replace (CONFIG, DIR_OF_CAMVID) become paths
  (``tools/doc_commands.yml``), and data sets painted images;
- trainings end after 2 iterations, or 2 epochs where their config counts
  epochs: options behind ``--cfg-options`` say so;
- checkpoints are called ``iter_2.pth``, in pages and configs too;
- ``srun`` and ``pip`` are not called, and ``--amp`` and ``--crf`` are left out
  where there is nothing to run them on;
- blocks that cannot run anywhere are not run; doc_commands.yml says why.

``summary.md`` beside the copy has a row for each block and names its log. A
block that ran is passed over by later calls unless its text has changed, or
with ``--again``; delete the folder to begin from nothing. The exit status is 1
if a block failed. The project has to be a checkout, as git lists what is
copied; the package is the one installed in the environment that runs this.
"""
import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = ('README.md', 'CONTRIBUTING.md', 'docs/*.md', 'configs/*/README.md')
COPIED = ('configs', 'docs', 'tools', '*.md', 'requirements*.txt',
          'model-index.yml')
TIME_LIMIT = 2 * 60 * 60

FENCED = re.compile(r'^( *)```([^\n`]*)\n(.*?)^\1```$',
                    re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r'^\s*(\w+=\S+ )*(python3?|bash|pip|mim|\$make) ',
                     re.MULTILINE)
IMPORT = re.compile(r'^(from|import) ', re.MULTILINE)
MAY_BE_LEFT = re.compile(r'\[(--?[a-z][^]]*?)( \.\.\.)?\]')
ASSIGNMENTS = re.compile(r'(\w+=("[^"]*"|[^\s;"]*)(; *|$))+')
CHECKPOINT = re.compile(r'\b(iter|epoch)_\d+\.pth')

PREAMBLE = r"""
set -e
left_out() { echo "left out: $*"; }
pip() { left_out pip "$@"; }
srun() { left_out srun; }
export -f left_out srun  # scripts call it
python() { call python "$@"; }
bash() { call bash "$@"; }
call() {
    local trains='^tools/(train|train_all|run_chain|dist_train'
    trains+='|analysis_tools/label_efficiency)\.(py|sh)$'
    if [[ $2 =~ $trains ]]; then
        local word length=train_cfg.max_iters=2
        for word; do
            if [[ $word =~ -[0-9]+e_[^/]*\.py$ ]]; then
                length=train_cfg.max_epochs=2
            fi
        done
        [[ " $* " == *' --cfg-options '* ]] || set -- "$@" --cfg-options
        set -- "$@" "$length" default_hooks.logger.interval=1 \
            default_hooks.checkpoint.filename_tmpl=iter_2.pth
    fi
    echo "+ $*"
    command "$@"
}
"""


class Block(NamedTuple):
    """Lines of a page between two fences; in line 0 what it takes before."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f'{self.page}:{self.line}' if self.line else (
            f'before {self.page}')

    @property
    def name(self) -> str:
        """Name of its log; another one as soon as the block changes."""
        digest = hashlib.sha256(f'{self.page}\n{self.text}'.encode())
        page = re.sub(r'\W+', '-', self.page.removesuffix('.md'))
        return f'{page}-{digest.hexdigest()[:8]}'

    @property
    def is_shell(self) -> bool:
        """Commands, and not a table, a tree of folders or a config."""
        return (self.language in ('', 'bash', 'sh')
                and bool(COMMAND.search(self.text)))

    @property
    def is_program(self) -> bool:
        """Python that can be run, and not a part of a config."""
        return self.language == 'python' and bool(IMPORT.search(self.text))


class Outcome(NamedTuple):
    """What became of a block."""

    result: str
    seconds: float

    @property
    def failed(self) -> bool:
        return self.result.startswith('failed')


def find_pages(root: Path) -> list[Path]:
    """Every page whose commands are to be run."""
    return [path for pattern in PAGES for path in sorted(root.glob(pattern))]


def find_blocks(page: str, text: str) -> list[Block]:
    """All blocks of a page, of any language."""
    return [Block(page, text[:match.start()].count('\n') + 1, match[2],
                  textwrap.dedent(match[3]))
            for match in FENCED.finditer(text)]


def with_options(text: str) -> str:
    """The text without the brackets of what may be left out."""
    return MAY_BE_LEFT.sub(r'\1', text)


def assignments(blocks: list[Block]) -> str:
    """Variables that blocks set for those that follow on the page."""
    lines = '\n'.join(block.text for block in blocks).splitlines()
    return ''.join(
        f'{line}\n' for line in lines if ASSIGNMENTS.fullmatch(line))


def replace_words(text: str, words: Mapping[str, str]) -> str:
    """Put paths for the words that readers replace."""
    longest_first = sorted(words, key=len, reverse=True)
    pattern = '|'.join(map(re.escape, longest_first))
    return re.sub(rf'(?<![\w$./-])({pattern})(?![\w=])',
                  lambda match: words[match[1]], text)


def unavailable_options() -> list[str]:
    """Options that need what is not here."""
    options = [] if torch.cuda.is_available() else ['--amp']
    if importlib.util.find_spec('pydensecrf') is None:
        options.append('--crf')
    return options


def drop_options(text: str, options: list[str]) -> str:
    """The commands without some options, and lines that say so first."""
    lines = ''
    for option in options:
        text, count = re.subn(  # but not in comments
            rf'^([^#\n]*?) {option}\b', r'\1', text, flags=re.MULTILINE)
        lines += f'left_out {option}\n' if count else ''
    return lines + text


class Settings(NamedTuple):
    """``doc_commands.yml``."""

    pages: dict[str, dict[str, Any]]
    files: list[dict[str, str]]
    not_run: list[dict[str, str]]

    def words(self, page: str) -> dict[str, str]:
        """What stands for the words that readers of a page replace."""
        return {word: value for name in ('all', page)
                for word, value in self._of(name).get('words', {}).items()}

    def before(self, page: str) -> list[Block]:
        """What is run before the blocks of a page."""
        text = self._of(page).get('before')
        return [Block(page, 0, 'bash', text)] if text else []

    def file(self, block: Block) -> str | None:
        """Where a block that is the content of a file belongs."""
        entry = _entry(self.files, block)
        return entry and entry['path']

    def reason_not_to_run(self, block: Block) -> str | None:
        entry = _entry(self.not_run, block)
        return entry and entry['why']

    def _of(self, page: str) -> dict[str, Any]:
        return self.pages.get(page, {})


def _entry(entries: list[dict[str, str]],
           block: Block) -> dict[str, str] | None:
    """The entry of a block, None if there is none."""
    return next((entry for entry in entries if entry['page'] == block.page
                 and entry['holds'] in block.text), None)


def read_settings(path: Path) -> Settings:
    return Settings(**yaml.safe_load(path.read_text()))


def script_of(block: Block, earlier: list[Block], settings: Settings) -> str:
    """What bash runs for a block that others on its page precede."""
    text, path = block.text, settings.file(block)
    if path or block.is_program:
        command = f'cat > {path}' if path else 'python -'
        text = f"{command} << 'END_OF_BLOCK'\n{text}END_OF_BLOCK\n"
    text = replace_words(assignments(earlier) + with_options(text),
                         settings.words(block.page))
    text = CHECKPOINT.sub('iter_2.pth', text)
    return PREAMBLE + drop_options(text, unavailable_options())


def copy_project(root: Path, target: Path) -> None:
    """Copy what the commands name, with short names of checkpoints."""
    listed = subprocess.run(
        ['git', 'ls-files', '-z', '--cached', '--others',
         '--exclude-standard', '--', *COPIED], cwd=root, check=True,
        capture_output=True, text=True).stdout
    for name in filter(None, listed.split('\0')):
        source, copy = root / name, target / name
        if not source.exists():  # deleted, and not yet committed so
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == '.py' and name.startswith('configs/'):
            copy.write_text(CHECKPOINT.sub('iter_2.pth', source.read_text()))
        else:
            shutil.copy2(source, copy)
    if not (target / '.venv').exists():
        (target / '.venv').symlink_to(sys.prefix)


def run_script(script: str, cwd: Path, log: Path) -> Outcome:
    """Run lines of bash, and all that they start, to the end or the limit."""
    start = time.monotonic()
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    with log.open('w') as output:
        process = subprocess.Popen(
            ['bash', '-c', script], cwd=cwd, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            env=os.environ | {'PATH': path, 'PYTHONWARNINGS': 'ignore'})
        try:
            code = process.wait(TIME_LIMIT)
            result = f'failed (status {code})' if code else 'ok'
        except subprocess.TimeoutExpired:
            result = f'failed (not done after {TIME_LIMIT} s)'
        finally:  # also after ctrl-c
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
    missing = sorted({line.removeprefix('left out: ')
                      for line in log.read_text(errors='replace').splitlines()
                      if line.startswith('left out: ')})
    if missing:
        result += f', without {"; ".join(missing)}'
    return Outcome(result, round(time.monotonic() - start, 1))


class Runner:
    """Runs blocks, and remembers what became of them.

    Args:
        root (Path): The project.
        folder (Path): Where the copy, the logs and the summary are.
        again (bool): Whether to run also what ran before.
    """

    def __init__(self, root: Path, folder: Path, again: bool) -> None:
        self.root = root
        self.folder = folder
        self.again = again
        self.settings = read_settings(root / 'tools/doc_commands.yml')
        self.record = folder / 'outcomes.json'
        self.outcomes: dict[str, Outcome] = {}
        if self.record.is_file():
            self.outcomes = {
                name: Outcome(*outcome) for name, outcome
                in json.loads(self.record.read_text()).items()}

    def blocks(self, page: Path) -> list[Block]:
        """The blocks of commands on a page, and what they need before."""
        name = page.relative_to(self.root).as_posix()
        blocks = [block for block in find_blocks(name, page.read_text())
                  if block.is_shell or block.is_program
                  or self.settings.file(block)]
        if all(map(self.settings.reason_not_to_run, blocks)):
            return blocks
        return self.settings.before(name) + blocks

    def run(self, blocks: list[Block]) -> None:
        """Run the blocks of a page in turn, but not what is done."""
        for number, block in enumerate(blocks):
            done = self.outcomes.get(block.name)
            if self.settings.reason_not_to_run(block) or (
                    done and not done.failed and not self.again):
                continue
            print(f'{block.place} ...', end=' ', flush=True)
            script = script_of(block, blocks[:number], self.settings)
            outcome = run_script(script, self.folder / 'project',
                                 self.folder / 'logs' / f'{block.name}.txt')
            print(f'{outcome.result}, {outcome.seconds} s', flush=True)
            self.outcomes[block.name] = outcome
            self.record.write_text(json.dumps(self.outcomes, indent=1))

    def run_pages(self, pages: list[Path]) -> None:
        """Run what all pages need, and then each of these."""
        (self.folder / 'logs').mkdir(parents=True, exist_ok=True)
        copy_project(self.root, self.folder / 'project')
        self.run(self.settings.before('all'))
        for page in pages:
            self.run(self.blocks(page))

    def all_blocks(self) -> list[Block]:
        return self.settings.before('all') + [
            block for page in find_pages(self.root)
            for block in self.blocks(page)]

    def failed(self) -> list[str]:
        """Blocks that failed when they were run last."""
        return [block.place for block in self.all_blocks()
                if block.name in self.outcomes
                and self.outcomes[block.name].failed]

    def row(self, block: Block) -> str:
        """A block in the table."""
        why = self.settings.reason_not_to_run(block)
        outcome = self.outcomes.get(block.name)
        if why:
            return f'| {block.place} | | not run: {why} | |'
        if outcome is None:
            return f'| {block.place} | | not run yet | |'
        return (f'| {block.place} | {outcome.seconds} | {outcome.result} '
                f'| logs/{block.name}.txt |')

    def summary(self) -> str:
        """A table with every block of every page."""
        return '\n'.join(
            ['| block | seconds | result | log |', '|---|---|---|---|',
             *map(self.row, self.all_blocks())]) + '\n'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0])
    parser.add_argument(
        '--page', nargs='+', type=Path, metavar='FILE',
        help='pages whose blocks are run (all)')
    parser.add_argument(
        '--again', action='store_true', help='run also what ran before')
    parser.add_argument(
        '--folder', type=Path, default=Path('work_dirs/doc_commands'),
        help='for the copy, logs and summary (work_dirs/doc_commands)')
    parser.add_argument('--root', type=Path, default=ROOT, metavar='DIR',
                        help='of the project (that of this file)')
    return parser.parse_args()


def choose_pages(root: Path, names: list[Path] | None) -> list[Path]:
    """The pages of these names, all without names.

    Raises:
        ValueError: A name is that of no page.
    """
    pages = find_pages(root)
    if names is None:
        return pages
    chosen = [path.resolve() for path in names]
    for name, path in zip(names, chosen):
        if path not in pages:
            raise ValueError(f'{name} is none of the pages, '
                             f'{", ".join(PAGES)}')
    return chosen


def main() -> None:
    args = parse_args()
    root = args.root.resolve()
    try:
        pages = choose_pages(root, args.page)
    except ValueError as error:
        sys.exit(f'run_doc_commands.py: {error}')
    runner = Runner(root, args.folder.resolve(), args.again)
    try:
        runner.run_pages(pages)
    finally:
        summary = runner.folder / 'summary.md'
        summary.write_text(runner.summary())
        print(summary)
    if runner.failed():
        sys.exit(f'failed: {", ".join(runner.failed())}')


if __name__ == '__main__':
    main()

"""Folders to write to and images to read, with errors that name them."""
import glob
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmseg_ssl.datasets.unlabeled import IMG_SUFFIXES


def writable_folder(path: str | Path) -> Path:
    """See that files can be written into a folder, without making it.

    Raises:
        OSError: It cannot be made or written to; the message names it.
    """
    folder = Path(path)
    try:
        existing = next(p for p in (folder, *folder.absolute().parents)
                        if p.exists())
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise OSError(
            f'cannot write to the folder {folder}: '
            f'{error.strerror or error}; choose another one') from error
    return folder


def search_root(source: str | Path) -> Path:
    """Where images are searched: a folder, or a pattern's up to wildcards."""
    path = Path(source)
    if path.exists() or not glob.has_magic(str(source)):
        return path
    return next(parent for parent in path.parents
                if not glob.has_magic(str(parent)))


def find_images(source: str | Path,
                leave_out: Sequence[Path] = ()) -> dict[str, Path]:
    """Images of a folder, of a pattern, or one image.

    Hidden files are none of them: a Mac leaves ``._NAME.jpg`` beside images.

    Args:
        source (str | Path): A file; a folder, which is searched recursively;
            or a pattern as of a shell, where ``**`` stands for any folders.
        leave_out (Sequence[Path]): Folders in which nothing is searched.
            Defaults to ().

    Returns:
        dict[str, Path]: Images by name, sorted: the path below the folder (of
        a pattern: below its last folder without a wildcard) without suffix.

    Raises:
        FileNotFoundError: There is no such file, or nothing fits the pattern.
        ValueError: The folder holds no images, or two images have one name.
    """
    path = Path(source)
    if path.is_file():
        return {path.stem: path}
    if path.is_dir():
        files = path.rglob('*')
    elif glob.has_magic(str(source)):
        files = (Path(p) for p in glob.iglob(str(source), recursive=True))
    else:
        raise FileNotFoundError(f'{source} does not exist')
    images = sorted(
        p for p in files if p.suffix.lower() in IMG_SUFFIXES
        and not p.name.startswith('.') and p.is_file())
    if not images:
        raise ValueError(f'there is no image in {source} '
                         f'({", ".join(IMG_SUFFIXES)})')
    others = _outside(images, leave_out)
    if not others:
        raise ValueError(
            f'there is no image in {source} beside those in '
            f'{", ".join(map(str, leave_out))}, which are left out')
    return _by_name(others, search_root(source))


def _outside(images: Iterable[Path], folders: Iterable[Path]) -> list[Path]:
    """Images that lie in none of the folders, whatever links lead there."""
    roots = [folder.resolve() for folder in folders]
    return [image for image in images
            if not any(image.resolve().is_relative_to(root)
                       for root in roots)]


def _by_name(images: Iterable[Path], root: Path) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for image in images:
        name = image.relative_to(root).with_suffix('').as_posix()
        if name in named:
            raise ValueError(
                f'{named[name]} and {image} would both be written as {name}; '
                'give them one by one, or rename one of them')
        named[name] = image
    return named

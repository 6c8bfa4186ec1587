"""Check the packages below us before anything of them is imported.

They cannot be ordinary requirements of ``pip`` (see ``pyproject.toml``), and
their own messages (an assertion about mmcv, a missing ``mmcv._ext``) do not
say what to do. The module itself imports only the standard library.
"""
import importlib
import re
from importlib.metadata import packages_distributions
from pickle import UnpicklingError
from typing import Any, NamedTuple


class Requirement(NamedTuple):
    """A module and the versions we can use: ``minimum <= v < maximum``."""

    module: str
    distribution: str  # what to install where nothing is
    minimum: str
    maximum: str

    @property
    def bounds(self) -> str:
        return f'>={self.minimum},<{self.maximum}'


REQUIREMENTS = (
    Requirement('torch', 'torch', '2.4', '3'),
    Requirement('mmengine', 'onedl-mmengine', '0.10.0', '1.0.0'),
    Requirement('mmcv', 'onedl-mmcv', '2.0.0', '2.4.0'),
    Requirement('mmseg', 'onedl-mmsegmentation', '1.2.0', '2.0.0'),
    Requirement('mmpretrain', 'onedl-mmpretrain', '1.2.0', '2.0.0'),
)


def parse_version(version: str) -> tuple[int, ...]:
    """The numbers of a release: ``'2.14.1+cpu'`` is ``(2, 14, 1)``."""
    match = re.match(r'\d+(\.\d+)*', version)
    if match is None:
        raise ValueError(f'{version!r} is not a version number')
    return tuple(int(part) for part in match.group().split('.'))


def check_requirement(requirement: Requirement) -> None:
    """Raise ImportError, in one sentence, unless we can use the module."""
    name, bounds = requirement.module, requirement.bounds
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise _broken(requirement, error) from error
        raise ImportError(
            f'mmseg_ssl needs {name}{bounds}, which is not installed; run: '
            f'{_pip_command(requirement.distribution, bounds)}') from None
    except (ImportError, AssertionError) as error:
        raise _broken(requirement, error) from error
    found = module.__version__
    if not (parse_version(requirement.minimum) <= parse_version(found)
            < parse_version(requirement.maximum)):
        raise ImportError(
            f'mmseg_ssl needs {name}{bounds}, but {name} {found} is '
            'installed; run: '
            f'{_pip_command(_installed_as(requirement), bounds)}')


def check_requirements() -> None:
    """Check all packages, those that others build on first."""
    for requirement in REQUIREMENTS:
        check_requirement(requirement)


def allow_logged_values() -> None:
    """Let ``torch.load(weights_only=True)`` read what mmengine has logged.

    mmengine stores its message hub in checkpoints: buffers of logged values,
    NumPy arrays and numbers. The onedl builds trust them but for some types
    of numbers, and every load would print a long warning and fall back to
    trusting everything in the file; mmengine 0.10.7 trusts none of them and
    could not load its own checkpoints.

    A buffer names its statistics, which are looked up by ``getattr``. Trusted
    as it is, that would let a file run any code; see :func:`_statistic_of`.
    This is about ``torch.load`` itself: mmengine's own loading falls back to
    trusting all of a file.
    """
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer
    # NumPy's private functions that rebuild arrays and numbers
    rebuild: list[Any] = [
        value.__reduce__()[0] for value in (np.zeros(1), np.float64(0))]
    torch.serialization.add_safe_globals([
        HistoryBuffer, _statistic_of, slice, np.ndarray, np.dtype, *rebuild,
        *(type(np.dtype(code)) for code in np.typecodes['AllInteger'] +
          np.typecodes['Float'] + '?')])


def _statistic_of(kind: Any, name: str) -> Any:
    """What stands for ``getattr`` in files: statistics of buffers, no more.

    Raises:
        UnpicklingError: For anything else, as for what is not trusted.
    """
    from mmengine.logging import HistoryBuffer
    known = {'min', 'max', 'current', 'mean',
             *HistoryBuffer._statistics_methods}
    if kind is not HistoryBuffer or name not in known:
        raise UnpicklingError(
            f'a checkpoint may not look up {name!r} of {kind!r}')
    return getattr(HistoryBuffer, name)


# torch goes by these names; pairs of an object and its name came later
_statistic_of.__module__ = 'builtins'
_statistic_of.__name__ = _statistic_of.__qualname__ = 'getattr'


def distribution_of(module: str) -> str | None:
    """The distribution that brought a module, None if nothing did."""
    owners = packages_distributions().get(module)
    return owners[0] if owners else None


def _broken(requirement: Requirement, error: BaseException) -> ImportError:
    """For packages that are there and do not fit each other."""
    reason = ' '.join(str(error).split()).rstrip('.')
    if '.so' in reason and 'cannot open shared object' in reason:
        return ImportError(
            f'mmseg_ssl needs {requirement.module}, which needs a library of '
            f'the system that is missing ({reason}); if it is libGL, '
            'pip install --force-reinstall --no-deps opencv-python-headless '
            'does without')
    return ImportError(
        f'mmseg_ssl needs {requirement.module}, which is installed and cannot '
        f'be imported ({reason}); install the tested set: '
        'pip uninstall -y mmcv mmcv-lite mmengine mmsegmentation mmpretrain '
        '&& pip install onedl-mmengine onedl-mmcv onedl-mmsegmentation '
        'onedl-mmpretrain')


def _installed_as(requirement: Requirement) -> str:
    """The distribution that brought the module, so that pip replaces it."""
    return distribution_of(requirement.module) or requirement.distribution


def _pip_command(distribution: str, bounds: str) -> str:
    return f'pip install "{distribution}{bounds}"'

"""Painted landscapes with exact labels: data that need no download."""
import colorsys
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.utils import track_iter_progress
from mmseg.registry import DATASETS

from mmseg_ssl.datasets.base import CheckedSegDataset

CLASSES = ('sky', 'water', 'grass', 'tree', 'road', 'building', 'vehicle',
           'sign')
SKY, WATER, GRASS, TREE, ROAD, BUILDING, VEHICLE, SIGN = range(len(CLASSES))
PALETTE = [[120, 170, 230], [30, 80, 190], [110, 190, 70], [20, 100, 40],
           [110, 100, 110], [170, 90, 60], [230, 40, 120], [250, 210, 30]]

# Raise it with every change of what is painted: folders of another version
# are not mixed with new images.
GENERATOR_VERSION = 1
MANIFEST = 'scenes.json'
SPLITS = ('train', 'val')


@DATASETS.register_module()
class ProceduralScenesDataset(CheckedSegDataset):
    """Images painted by ``tools/dataset_tools/make_scenes.py``, 8 classes.

    Sky and water share their colours, and so do grass and trees; only texture
    and place tell them apart. A sign stands in one image of five.

    Args:
        img_suffix (str): Suffix of the images. Defaults to '.png'.
        seg_map_suffix (str): Suffix of the label maps. Defaults to '.png'.
        **kwargs: Of :class:`mmseg.datasets.BaseSegDataset`.
    """
    METAINFO = dict(classes=CLASSES, palette=PALETTE)

    def __init__(self,
                 img_suffix: str = '.png',
                 seg_map_suffix: str = '.png',
                 **kwargs: Any) -> None:
        super().__init__(
            img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)


class Canvas:
    """A scene being painted from back to front.

    Args:
        height (int): In pixels.
        width (int): In pixels.
        rng (np.random.Generator): Decides everything about the scene.

    Attributes:
        image (np.ndarray): (H, W, 3) RGB, float32, about 0 to 1.
        label (np.ndarray): (H, W) uint8, class ids.
        unit (float): 1 % of the height; all sizes are multiples of it.
    """

    def __init__(self, height: int, width: int,
                 rng: np.random.Generator) -> None:
        self.height, self.width, self.rng = height, width, rng
        self.unit = height / 100
        self.image = np.zeros((height, width, 3), np.float32)
        self.label = np.zeros((height, width), np.uint8)
        self.rows, self.columns = np.mgrid[:height, :width].astype(np.float32)

    def paint(self, region: np.ndarray, texture: np.ndarray,
              label: int) -> None:
        """Cover a region (H, W) with a texture (H, W, 3) and a label."""
        region = region.astype(bool)
        self.image[region] = texture[region]
        self.label[region] = label

    def polygon(self, points: list[tuple[float, float]]) -> np.ndarray:
        """Region (H, W) inside corners given as (x, y) in pixels."""
        region = np.zeros((self.height, self.width), np.uint8)
        corners = np.round(points).astype(np.int32)
        cv2.fillPoly(region, [corners], 1)
        return region

    def ellipse(self, x: float, y: float, half_width: float,
                half_height: float) -> np.ndarray:
        """Region (H, W) inside an ellipse, in pixels."""
        return (((self.columns - x) / half_width)**2
                + ((self.rows - y) / half_height)**2) <= 1

    def noise(self, cell_height: float, cell_width: float) -> np.ndarray:
        """Smooth noise (H, W) in -1 to 1 with cells of a size in units."""
        cells = [max(2, round(side / (cell * self.unit)) + 1)
                 for side, cell in ((self.height, cell_height),
                                    (self.width, cell_width))]
        grid = self.rng.uniform(-1, 1, cells).astype(np.float32)
        return cv2.resize(
            grid, (self.width, self.height), interpolation=cv2.INTER_LINEAR)

    def colour(self, hue: tuple[float, float],
               saturation: tuple[float, float],
               value: tuple[float, float]) -> np.ndarray:
        """Draw an RGB colour, (3,), from ranges of HSV in 0 to 1."""
        hsv = [self.rng.uniform(*bounds)
               for bounds in (hue, saturation, value)]
        return np.array(
            colorsys.hsv_to_rgb(hsv[0] % 1, *hsv[1:]), np.float32)

    def shade(self, colour: np.ndarray, brightness: np.ndarray) -> np.ndarray:
        """Texture (H, W, 3): a colour times 1 + a map of brightness."""
        return colour * (1 + brightness[..., None])


# Colours that two classes share: only texture and place tell them apart.

def _air_colour(canvas: Canvas) -> np.ndarray:
    """Of sky and water: blue, grey, or the orange of an evening."""
    hue = canvas.rng.choice([0.56, 0.6, 0.08])
    return canvas.colour((hue - 0.04, hue + 0.04), (0.1, 0.6), (0.55, 0.95))


def _leaf_colour(canvas: Canvas) -> np.ndarray:
    """Of grass and trees: yellowish to bluish green."""
    return canvas.colour((0.16, 0.38), (0.35, 0.8), (0.3, 0.65))


def _stone_colour(canvas: Canvas) -> np.ndarray:
    """Of roads and buildings: grey to brown."""
    return canvas.colour((0.02, 0.13), (0.0, 0.35), (0.35, 0.8))


# What stands in a scene, from back to front. ``horizon`` is (W,): the row
# where the ground begins in each column.

def _paint_sky(canvas: Canvas, horizon: np.ndarray) -> None:
    clouds = 0.15 * canvas.noise(14, 50)
    haze = 0.25 * canvas.rows / canvas.height
    canvas.paint(np.ones_like(canvas.label),
                 canvas.shade(_air_colour(canvas), clouds + haze), SKY)


def _paint_grass(canvas: Canvas, horizon: np.ndarray) -> None:
    blades = 0.3 * canvas.noise(7, 1.2) + 0.1 * canvas.noise(20, 20)
    canvas.paint(canvas.rows >= horizon,
                 canvas.shade(_leaf_colour(canvas), blades), GRASS)


def _paint_water(canvas: Canvas, horizon: np.ndarray) -> None:
    """A lake below the horizon: across the image, or on one side."""
    rng, unit = canvas.rng, canvas.unit
    if rng.random() < 0.3:
        return
    shore = horizon + unit * rng.uniform(0, 10)
    depth = unit * rng.uniform(12, 40) * np.ones(canvas.width)
    if rng.random() < 0.5:
        side = np.linspace(-1, 1, canvas.width) * rng.choice([-1, 1])
        depth = depth * np.clip(1.2 * side + rng.uniform(0, 0.8), 0, 1)
    depth += unit * 3 * canvas.noise(100, 12)[0] * (depth > 0)
    ripples = 0.22 * canvas.noise(1.5, 16)
    canvas.paint((canvas.rows >= shore) & (canvas.rows < shore + depth),
                 canvas.shade(_air_colour(canvas), ripples), WATER)


def _paint_road(canvas: Canvas, horizon: np.ndarray) -> None:
    """A road that narrows towards the horizon."""
    rng, unit = canvas.rng, canvas.unit
    if rng.random() < 0.2:
        return
    far = rng.uniform(0.15, 0.85) * canvas.width
    near = rng.uniform(0.1, 0.9) * canvas.width
    narrow, wide = unit * rng.uniform(2, 8), unit * rng.uniform(25, 55)
    top = horizon[int(far)] + unit * rng.uniform(0, 8)
    region = canvas.polygon([
        (far - narrow, top), (far + narrow, top),
        (near + wide, canvas.height), (near - wide, canvas.height)])
    grain = 0.12 * canvas.noise(1.2, 1.2) + 0.08 * canvas.noise(15, 15)
    texture = canvas.shade(_stone_colour(canvas), grain)
    if rng.random() < 0.6:
        line = canvas.polygon([
            (far - 1, top), (far + 1, top),
            (near + 2 * unit, canvas.height),
            (near - 2 * unit, canvas.height)])
        dashes = np.sin(canvas.rows / canvas.unit * rng.uniform(0.3, 0.7))
        texture[(line == 1) & (dashes > 0)] = 0.9
    canvas.paint(region & (canvas.rows >= horizon), texture, ROAD)


def _paint_buildings(canvas: Canvas, horizon: np.ndarray) -> None:
    """Blocks on the horizon, with rows of windows."""
    rng, unit = canvas.rng, canvas.unit
    for _ in range(rng.integers(0, 4)):
        left = rng.uniform(-0.1, 0.9) * canvas.width
        right = left + unit * rng.uniform(18, 50)
        foot = horizon[int(np.clip(left, 0, canvas.width - 1))]
        foot += unit * rng.uniform(1, 8)
        top = foot - unit * rng.uniform(18, 50)
        slope = unit * rng.uniform(-8, 8)
        region = canvas.polygon([
            (left, top), (right, top + slope), (right, foot), (left, foot)])
        period = unit * rng.uniform(7, 13)
        share = rng.uniform(0.35, 0.6)
        windows = (((canvas.rows - top) % period > share * period)
                   & ((canvas.columns - left) % period > share * period))
        walls = 0.06 * canvas.noise(2, 2)
        texture = canvas.shade(
            _stone_colour(canvas),
            walls + windows * rng.choice([-0.45, -0.3, 0.4]))
        canvas.paint(region, texture, BUILDING)


def _paint_trees(canvas: Canvas, horizon: np.ndarray) -> None:
    """Crowns of several round parts on a trunk."""
    rng, unit = canvas.rng, canvas.unit
    for _ in range(rng.integers(0, 4)):
        x = rng.uniform(0, 1) * canvas.width
        size = unit * rng.uniform(10, 20)
        foot = horizon[int(min(x, canvas.width - 1))]
        foot += unit * rng.uniform(2, 25)
        y = foot - size * rng.uniform(1.2, 1.9)
        crown = np.zeros(canvas.label.shape, bool)
        for _ in range(5):
            crown |= canvas.ellipse(
                x + size * rng.uniform(-0.6, 0.6),
                y + size * rng.uniform(-0.6, 0.6),
                size * rng.uniform(0.5, 0.9), size * rng.uniform(0.5, 0.9))
        half = max(1, size * 0.12)
        trunk = canvas.polygon([
            (x - half, y), (x + half, y), (x + half, foot), (x - half, foot)])
        wood = canvas.shade(canvas.colour((0.04, 0.1), (0.3, 0.6), (0.2, 0.4)),
                            0.2 * canvas.noise(5, 1.5))
        leaves = canvas.shade(_leaf_colour(canvas), 0.38 * canvas.noise(4, 4))
        canvas.paint(trunk, wood, TREE)
        canvas.paint(crown, leaves, TREE)


def _paint_vehicles(canvas: Canvas, horizon: np.ndarray) -> None:
    """Cars of any colour, larger where they are nearer."""
    rng, unit = canvas.rng, canvas.unit
    for _ in range(rng.integers(0, 3)):
        x = rng.uniform(0.05, 0.95) * canvas.width
        top = horizon[int(x)] + 4 * unit
        foot = rng.uniform(top, canvas.height)
        near = (foot - top) / (canvas.height - top)
        length = unit * (22 + 28 * near) * rng.uniform(0.8, 1.2)
        tall = length * rng.uniform(0.34, 0.46)
        belt, roof = foot - 0.6 * tall, foot - 1.15 * tall
        hood = rng.uniform(0.1, 0.35)
        body = canvas.polygon([
            (x - length / 2, foot), (x - length / 2, belt),
            (x + length / 2, belt), (x + length / 2, foot)])
        cabin = canvas.polygon([
            (x - length * (0.5 - hood), belt), (x - length * 0.25, roof),
            (x + length * 0.3, roof), (x + length * 0.42, belt)])
        glass = canvas.polygon([
            (x - length * 0.28, belt), (x - length * 0.2, roof + tall * 0.12),
            (x + length * 0.22, roof + tall * 0.12),
            (x + length * 0.3, belt)])
        paint = canvas.shade(canvas.colour((0, 1), (0.3, 1), (0.25, 0.95)),
                             0.08 * canvas.noise(6, 20))
        dark = np.full_like(paint, rng.uniform(0.05, 0.25))
        canvas.paint(body | cabin, paint, VEHICLE)
        canvas.paint(glass, dark, VEHICLE)
        for side in (-0.28, 0.28):
            wheel = canvas.ellipse(
                x + side * length, foot, 0.11 * length, 0.11 * length)
            canvas.paint(wheel, dark, VEHICLE)


def _paint_sign(canvas: Canvas, horizon: np.ndarray) -> None:
    """The rare class: a disc or triangle with a rim, on a post."""
    rng, unit = canvas.rng, canvas.unit
    if rng.random() > 1 / 5:
        return
    x = rng.uniform(0.1, 0.9) * canvas.width
    foot = horizon[int(x)] + unit * rng.uniform(8, 35)
    size = unit * rng.uniform(9, 14)
    y = foot - size - unit * rng.uniform(10, 25)
    half = 1.5 * unit
    post = canvas.polygon([
        (x - half, y), (x + half, y), (x + half, foot), (x - half, foot)])
    grey = np.full_like(canvas.image, rng.uniform(0.4, 0.7))
    canvas.paint(post, grey, SIGN)
    rim = canvas.colour((-0.02, 0.02), (0.8, 1), (0.6, 0.9))
    face = np.array([[0.95, 0.95, 0.95], [0.95, 0.8, 0.1]])[rng.integers(2)]
    disc = rng.random() < 0.5
    for radius, colour in ((size, rim), (0.65 * size, face)):
        if disc:
            region = canvas.ellipse(x, y, radius, radius)
        else:
            region = canvas.polygon([
                (x, y - radius), (x + 0.9 * radius, y + 0.5 * radius),
                (x - 0.9 * radius, y + 0.5 * radius)])
        canvas.paint(region, np.full_like(canvas.image, colour), SIGN)


def _light(canvas: Canvas) -> np.ndarray:
    """The image as a camera sees it: shadow, colour of light, blur, noise."""
    rng, image = canvas.rng, canvas.image
    if rng.random() < 0.6:
        angle = rng.uniform(0, np.pi)
        x = canvas.columns - rng.uniform(0, canvas.width)
        y = canvas.rows - rng.uniform(0, canvas.height)
        distance = x * np.cos(angle) + y * np.sin(angle)
        soft = np.clip(distance / (4 * canvas.unit), 0, 1)
        image = image * (1 - rng.uniform(0.2, 0.5) * soft)[..., None]
    image = image * rng.uniform(0.7, 1.2) * rng.uniform(0.88, 1.12, 3)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.8))
    image += rng.normal(0, rng.uniform(0.01, 0.03), image.shape)
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)


_LAYERS: tuple[Callable[[Canvas, np.ndarray], None], ...] = (
    _paint_sky, _paint_grass, _paint_water, _paint_buildings, _paint_road,
    _paint_trees, _paint_vehicles, _paint_sign)


def paint_scene(height: int, width: int,
                rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Paint one scene.

    Args:
        height (int): In pixels.
        width (int): In pixels.
        rng (np.random.Generator): Decides everything about the scene.

    Returns:
        tuple[np.ndarray, np.ndarray]: RGB image (H, W, 3) and label map
        (H, W), both uint8.
    """
    canvas = Canvas(height, width, rng)
    horizon = height * rng.uniform(0.28, 0.55) + canvas.unit * (
        4 * canvas.noise(100, 40)[0]
        + rng.uniform(-8, 8) * np.linspace(-1, 1, width))
    for layer in _LAYERS:
        layer(canvas, horizon)
    return _light(canvas), canvas.label


@dataclass(frozen=True)
class ScenesSpec:
    """What determines every byte of a folder of scenes.

    Args:
        num_train (int): Number of training images. Defaults to 300.
        num_val (int): Number of validation images. Defaults to 60.
        height (int): Of the images, in pixels. Defaults to 96.
        width (int): Of the images, in pixels. Defaults to 128.
        seed (int): Of all scenes. Defaults to 0.
        version (int): Of the generator.
    """
    num_train: int = 300
    num_val: int = 60
    height: int = 96
    width: int = 128
    seed: int = 0
    version: int = GENERATOR_VERSION

    def scene(self, split: str, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and label map number ``index`` of a split.

        No scene depends on another one, so any part of a folder can be
        painted in any order.
        """
        seeds = [self.seed, SPLITS.index(split), index]
        rng = np.random.Generator(np.random.PCG64(seeds))
        return paint_scene(self.height, self.width, rng)


def write_scenes(out: str | Path, spec: ScenesSpec = ScenesSpec()) -> int:
    """Write the images and label maps of a data set that are not there yet.

    Layout as in mmseg: ``img_dir/<split>/NAME.png`` with
    ``ann_dir/<split>/NAME.png``. An interrupted call can be repeated.

    Args:
        out (str | Path): Folder to write to.
        spec (ScenesSpec): What to paint.

    Returns:
        int: Number of scenes that had to be painted.

    Raises:
        ValueError: The folder holds scenes of another ``spec``, or files of
            another kind.
    """
    out = Path(out)
    _claim(out, spec)
    missing = []
    for split, count in (('train', spec.num_train), ('val', spec.num_val)):
        for kind in ('img_dir', 'ann_dir'):
            (out / kind / split).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            image, label = (out / kind / split / f'{index:05d}.png'
                            for kind in ('img_dir', 'ann_dir'))
            # The label map is written last: where it is, the image is too.
            if not label.exists():
                missing.append((split, index, image, label))
    for split, index, image_path, label_path in (
            track_iter_progress(missing) if missing else ()):
        image, label = spec.scene(split, index)
        _write_png(image_path, image[..., ::-1])
        _write_png(label_path, label)
    return len(missing)


def _claim(out: Path, spec: ScenesSpec) -> None:
    """Make sure that the folder holds scenes of ``spec`` only."""
    manifest = out / MANIFEST
    wanted = asdict(spec)
    if not manifest.exists():
        if out.exists() and any(out.iterdir()):
            raise ValueError(
                f'{out} is not empty and has no {MANIFEST}: choose a new '
                'folder for the scenes')
        out.mkdir(parents=True, exist_ok=True)
        manifest.write_text(json.dumps(wanted, indent=2) + '\n')
        return
    found = json.loads(manifest.read_text())
    differences = [
        f'{key}={found.get(key)} instead of {value}'
        for key, value in wanted.items() if found.get(key) != value]
    if differences:
        raise ValueError(
            f'{out} holds other scenes: {", ".join(differences)} in '
            f'{MANIFEST}; delete the folder or choose another one')


def _write_png(path: Path, image: np.ndarray) -> None:
    """Write an image such that an interruption leaves no half of it."""
    content = cv2.imencode('.png', image)[1]
    partial = path.with_suffix('.partial')
    partial.write_bytes(content.tobytes())
    os.replace(partial, path)

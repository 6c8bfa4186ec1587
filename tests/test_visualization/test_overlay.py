"""Label maps over their images."""
import numpy as np
import pytest

from mmseg_ssl.visualization.overlay import (
    MAX_IN_LEGEND,
    draw_legend,
    legend_of,
    paint,
    with_legend,
)
from mmseg_ssl.visualization.panels import Swatch

PALETTE = [[0, 0, 0], [200, 100, 50]]


def test_paint():
    image = np.full((2, 3, 3), 100, np.uint8)
    labels = np.array([[0, 1, 1], [0, 0, 1]])
    painted = paint(image, labels, PALETTE, opacity=0.25)
    assert painted[0, 0].tolist() == [75, 75, 75]
    assert painted[0, 1].tolist() == [125, 100, 88]
    assert np.array_equal(paint(image, labels, PALETTE, 0), image)
    assert paint(image, labels, PALETTE, 1)[1, 2].tolist() == PALETTE[1]


@pytest.mark.parametrize('letter', 'ßéłЖΩ')
def test_letters_of_the_legend(letter):
    """They are drawn, not a box for what the font does not have."""
    drawn, box = (draw_legend([Swatch((0, 0, 0), text)], 60)
                  for text in (letter, '\uffff'))
    assert not np.array_equal(drawn, box)


def test_legend_names_all_classes_unless_there_are_many():
    labels = np.ones((2, 2), int)
    assert [s.text for s in legend_of(labels, 'ab', PALETTE)] == ['a', 'b']
    many = [str(i) for i in range(MAX_IN_LEGEND + 1)]
    shown = legend_of(labels, many, PALETTE * len(many))
    assert [(s.text, s.colour) for s in shown] == [('1', PALETTE[1])]


def test_legend_fits_below_the_picture():
    """In rows as wide as the picture, or as the widest name."""
    classes = ['road', 'a very long name of a class', 'sky']
    swatches = legend_of(np.zeros((2, 2), int), classes, PALETTE * 2)
    narrow, wide = draw_legend(swatches, 20), draw_legend(swatches, 1000)
    assert wide.shape[1] == 1000 and narrow.shape[1] > 150
    assert narrow.shape[0] == 3 * wide.shape[0]
    assert (wide == PALETTE[1]).all(axis=2).sum() > 50
    picture = np.zeros((5, 20, 3), np.uint8)
    joined = with_legend(picture, narrow)
    assert joined.shape == (5 + len(narrow), narrow.shape[1], 3)
    assert (joined[:5, 20:] == 255).all() and (joined[:5, :20] == 0).all()

"""What all parts of the package take for granted."""

IGNORE_INDEX = 255
"""Label of pixels that belong to no class or take no part."""

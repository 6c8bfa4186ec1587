"""Write label maps as PNG files that are the same on every machine.

The pixels of a PNG are what they are, but its bytes depend on the library
that compresses them. Here they are run lengths in the fixed Huffman code of
RFC 1951, which leaves nothing to choose. For label maps that are mostly void
the files are small.
"""
import struct
import zlib
from pathlib import Path

import numpy as np

_LONGEST = 258  # of a match
_SHORTEST = 3


def encode_label_map(labels: np.ndarray) -> bytes:
    """Encode a label map as a grey PNG.

    Args:
        labels (np.ndarray): (H, W), uint8.

    Returns:
        bytes: Content of the file.

    Raises:
        ValueError: ``labels`` is no (H, W) of uint8.
    """
    if labels.ndim != 2 or labels.dtype != np.uint8 or not labels.size:
        raise ValueError('a label map should be (H, W) of uint8, got shape '
                         f'{labels.shape} of {labels.dtype}')
    height, width = labels.shape
    # Filter 2 of PNG: each row is its difference from the one above.
    rows = np.full((height, width + 1), 2, np.uint8)
    rows[0, 1:] = labels[0]
    rows[1:, 1:] = labels[1:] - labels[:-1]
    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + _chunk(b'IHDR', header) +
            _chunk(b'IDAT', _compress(rows.ravel())) + _chunk(b'IEND', b''))


def write_label_map(path: Path, labels: np.ndarray) -> None:
    """Write a label map whole or not at all, for readers and resumption."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.part')
    partial.write_bytes(encode_label_map(labels))
    partial.replace(path)


def _chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return (struct.pack('>I', len(content)) + name + content +
            struct.pack('>I', check))


def _compress(data: np.ndarray) -> bytes:
    """A zlib stream of one block in the fixed code, from (N,) uint8."""
    starts = np.flatnonzero(np.diff(data, prepend=data[0] + np.uint8(1)))
    lengths = np.diff(starts, append=len(data))
    tokens = _run_tokens(data[starts].astype(np.int64), lengths)
    bits = np.concatenate([[0b011], _CODES[tokens], [0]])  # last block, fixed
    sizes = np.concatenate([[3], _SIZES[tokens], [7]])  # end of block: 7 zeros
    begins = sizes.cumsum() - sizes
    places = np.arange(sizes.sum()) - begins.repeat(sizes)
    stream = np.packbits(
        (bits.repeat(sizes) >> places & 1).astype(np.uint8),
        bitorder='little')
    return (b'\x78\x01' + stream.tobytes() +
            struct.pack('>I', zlib.adler32(data.tobytes())))


def _run_tokens(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Spell out runs: a byte, then repeats of it.

    A token below 256 is that byte, token ``256 + n`` repeats the last byte
    ``n`` times. A rest too short for a repeat is spelled out as bytes.
    """
    full, rest = np.divmod(lengths - 1, _LONGEST)
    repeated = rest >= _SHORTEST
    counts = 1 + full + np.where(repeated, 1, rest)
    places = np.arange(counts.sum()) - (counts.cumsum() - counts).repeat(
        counts)
    full = full.repeat(counts)
    tokens = values.repeat(counts)
    tokens[(places > 0) & (places <= full)] = 256 + _LONGEST
    last = (places > full) & repeated.repeat(counts)
    tokens[last] = 256 + rest.repeat(counts)[last]
    return tokens


def _reverse(code: int, size: int) -> int:
    """Huffman codes stand in the stream with their first bit first."""
    return int(f'{code:0{size}b}'[::-1], 2)


def _code_tables() -> tuple[np.ndarray, np.ndarray]:
    """Bits and number of bits of each token (RFC 1951, 3.2.5 and 3.2.6)."""
    table = [(_reverse(0x30 + v, 8), 8) if v < 144 else
             (_reverse(0x190 + v - 144, 9), 9) for v in range(256)]
    table += [(0, 0)] * _SHORTEST
    for symbol in range(257, 285):
        extra = max(0, (symbol - 261) // 4)
        code, size = ((symbol - 256, 7) if symbol < 280 else
                      (0xC0 + symbol - 280, 8))
        # Behind the extra bits come five zeros: distance 1.
        table += [(_reverse(code, size) | more << size, size + extra + 5)
                  for more in range(2**extra)]
    # Symbol 284 with all extra bits set would be 258, which has its own code.
    table[256 + _LONGEST] = (_reverse(0xC5, 8), 8 + 5)
    codes, sizes = zip(*table)
    return np.array(codes, np.int64), np.array(sizes, np.int64)


_CODES, _SIZES = _code_tables()

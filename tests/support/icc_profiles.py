"""Small ICC profiles, made here: of colours by their primaries, and of greys."""

from __future__ import annotations

import struct

SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def profile(
    columns: tuple[tuple[float, float, float], ...], curve_of: tuple[float, ...], name: str
) -> bytes:
    """An ICC profile of version 2. columns: XYZ, under D50, of red, green and blue."""

    def number(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(values: tuple[float, float, float]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(number, values))

    text = name.encode() + b"\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    kind = 0 if len(curve_of) == 1 else 3  # a power alone, or with a straight part
    curve = b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + b"".join(map(number, curve_of))
    tags = {b"desc": described, b"wtpt": xyz((0.9642, 1.0, 0.8249)), b"cprt": b"text\0\0\0\0-\0"}
    for colour, column in zip((b"r", b"g", b"b"), columns, strict=True):
        tags |= {colour + b"XYZ": xyz(column), colour + b"TRC": curve}
    table, bodies = struct.pack(">I", len(tags)), b""
    for tag, body in tags.items():
        at = 128 + 4 + 12 * len(tags) + len(bodies)
        table += tag + struct.pack(">II", at, len(body))
        bodies += body + bytes(-len(body) % 4)
    head = bytearray(128)
    struct.pack_into(">I", head, 0, 128 + len(table) + len(bodies))
    head[8:12], head[12:24], head[36:40] = b"\x02\x10\0\0", b"mntrRGB XYZ ", b"acsp"
    head[68:80] = b"".join(map(number, (0.9642, 1.0, 0.8249)))
    return bytes(head) + table + bodies


P3 = profile(
    ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
    SRGB_CURVE,
    "Display P3",
)
ADOBE = profile(
    ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
    (2.2,),
    "Adobe RGB",
)


def grey_profile(gamma: float) -> bytes:
    """An ICC profile of greys whose light is a power of their numbers."""
    text = b"Grey\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    tags = {b"desc": described, b"wtpt": white, b"cprt": b"text\0\0\0\0-\0", b"kTRC": curve}
    table, bodies = struct.pack(">I", len(tags)), b""
    for tag, body in tags.items():
        table += tag + struct.pack(">II", 132 + 12 * len(tags) + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    head = bytearray(128)
    struct.pack_into(">I", head, 0, 128 + len(table) + len(bodies))
    head[8:12], head[12:24], head[36:40] = b"\x02\x10\0\0", b"mntrGRAYXYZ ", b"acsp"
    head[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    return bytes(head) + table + bodies

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatarvideo.encoders.read.picture import is_image, read_image
from avatarvideo.errors import MediaError


def _gradient(width: int = 12, height: int = 7) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 20, y * 30, x * 5 + y * 5], -1).astype(np.uint8)


def test_png_comes_back_bit_for_bit(tmp_path: Path) -> None:
    Image.fromarray(_gradient()).save(tmp_path / "a.png")

    assert np.array_equal(read_image(tmp_path / "a.png"), _gradient())


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    Image.fromarray(_gradient()).save(tmp_path / "a.png", exif=exif)

    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(_gradient(), -1))


def test_transparency_is_put_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (10, 20, 30, 255)
    rgba[1, 1] = (0, 0, 0, 128)
    Image.fromarray(rgba).save(tmp_path / "a.png")

    picture = read_image(tmp_path / "a.png")

    assert picture[0, 0].tolist() == [10, 20, 30]
    assert picture[0, 1].tolist() == [255, 255, 255]
    assert picture[1, 1].tolist() == [127, 127, 127]


def test_sixteen_bit_grey_keeps_its_range(tmp_path: Path) -> None:
    values = np.array([[0, 32768, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")

    assert read_image(tmp_path / "a.png")[0, :, 0].tolist() == [0, 128, 255]


def test_palette_with_transparency(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "a.png", transparency=1)

    assert read_image(tmp_path / "a.png")[0].tolist() == [[255, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode in {"CMYK", "YCbCr"} else "a.png")
    Image.fromarray(_gradient()).convert(mode).save(path)

    picture = read_image(path)

    assert picture.shape == (7, 12, 3)
    assert picture.dtype == np.uint8


def _claimed_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(30_000, 30_000), (10_000, 9_000)])
def test_size_is_refused_from_the_header(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "a.png").write_bytes(_claimed_png(*size))

    with pytest.raises(MediaError, match=r"million pixels|megapixels"):
        read_image(tmp_path / "a.png")


def test_truncated_picture_is_an_error(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(
        tmp_path / "a.png"
    )
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(MediaError, match="damaged, cut short"):
        read_image(tmp_path / "a.png")


def test_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()

    with pytest.raises(MediaError, match="is empty"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "content",
    [
        b"just words\n" * 20,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
    ],
)
def test_other_things_named_png_are_errors(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)

    with pytest.raises(MediaError, match="is something else"):
        read_image(tmp_path / "a.png")


def test_an_animation_is_read_up_to_a_block_that_is_too_short(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    frames = [Image.fromarray(_gradient() + n) for n in range(2)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    content = path.read_bytes()
    control = content.rindex(b"\x21\xf9\x04")  # of the second frame
    path.write_bytes(content[:control] + b"\x21\xf9\x02\x00\x00\x00" + content[control + 8 :])
    assert is_image(path)  # what can be read of it
    assert read_image(path).shape == (7, 12, 3)


def test_missing_file_names_it() -> None:
    with pytest.raises(MediaError, match=r"nowhere\.png"):
        read_image("/nowhere.png")


def test_animations_are_not_pictures(tmp_path: Path) -> None:
    frames = [Image.fromarray(_gradient() + n) for n in range(3)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.gif")

    assert not is_image(tmp_path / "moving.gif")
    assert is_image(tmp_path / "still.gif")
    assert is_image("a.JPG")
    assert not is_image("a.mp4")

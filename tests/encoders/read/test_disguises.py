"""Files that are not what they are called: nothing they refer to is opened, no secret gets out."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from avatarvideo.encoders.encoder import FFmpegEncoder
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.picture import PICTURE_SUFFIXES, is_image, read_image
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.errors import MediaError
from avatarvideo.nodes.widgets import AUDIO_EXTENSIONS, IMAGE_EXTENSIONS, VIDEO_EXTENSIONS

MakeVideo = Callable[..., Path]
SECRET = "the-secret-of-the-neighbour"
SUFFIXES = sorted(IMAGE_EXTENSIONS | VIDEO_EXTENSIONS | AUDIO_EXTENSIONS | PICTURE_SUFFIXES)
DISGUISES = (".mp4", ".mkv", ".mov", ".wav", ".mp3", ".png", ".gif", ".webp", ".m3u8", ".svg")
SCRIPTS = {
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{0}\n#EXT-X-ENDLIST\n",
    "hls master": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{0}\n",
    "playlist": "#EXTM3U\n{0}\n",
    "concat": "ffconcat version 1.0\nfile '{0}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{0}\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "svg": '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "{0}">]>'
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">'
    '<image href="{0}" width="9" height="9"/><text>&x;</text></svg>',
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>{0}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "postscript": "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({0}) run\nshowpage\n",
    "magick": "push graphic-context\nviewbox 0 0 9 9\nimage over 0,0 0,0 '{0}'\n",
}


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket on the loopback interface that nobody should ever talk to."""
    with socket.socket() as waiting:
        waiting.bind(("127.0.0.1", 0))
        waiting.listen()
        waiting.setblocking(False)
        yield waiting


def every_way_in(path: Path, output: Path) -> list[str]:
    """Return what each door says of a file that none of them may accept."""
    said = []
    doors: tuple[Callable[[Path], object], ...] = (
        probe,
        VideoReader,
        read_audio,
        read_image,
    )
    for door in doors:
        with pytest.raises(MediaError) as refusal:
            door(path)
        said.append(str(refusal.value))
    encoder = FFmpegEncoder()
    for result in (encoder.encode(path, output), encoder.add_audio(path, path, output)):
        assert not result.success
        said.append(str(result.error))
    assert not output.exists()
    return said


@pytest.mark.parametrize("kind", SCRIPTS)
def test_scripts_that_refer_to_others_open_nothing(
    tmp_path: Path, make_video: MakeVideo, listener: socket.socket, kind: str
) -> None:
    (tmp_path / "secret.txt").write_text(SECRET)
    make_video(tmp_path / "secret.mp4", 2)
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    targets = (
        "secret.mp4",
        str(tmp_path / "secret.mp4"),
        (tmp_path / "secret.txt").as_uri(),
        f"http://{address}/a.mp4",
        f"tcp://{address}",
        f"rtsp://{address}/a",
        f"concat:{tmp_path}/secret.txt|http://{address}/",
    )
    for number, target in enumerate(targets):
        for suffix in DISGUISES[number % 3 :: 3]:
            path = tmp_path / f"bait{suffix}"
            path.write_text(SCRIPTS[kind].format(target))
            assert SECRET not in " ".join(every_way_in(path, tmp_path / "out.mp4"))
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_the_bait_would_be_taken_without_the_lists(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(tmp_path / "secret.mp4", 2, size=(66, 44))
    bait = tmp_path / "bait.mp4"
    bait.write_text(SCRIPTS["concat"].format("secret.mp4"))

    with av.open(str(bait)) as opened:
        assert opened.streams.video[0].width == 66
    with pytest.raises(MediaError, match="not supported"):
        VideoReader(bait)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("http://127.0.0.1:9/a.mp4", "got the URL 'http://127.0.0.1:9/a.mp4'"),
        ("concat:a.mp4|b.mp4", "could not open"),
        ("file:///etc/passwd", "got the URL 'file:///etc/passwd'"),
        ("pipe:0", "could not open"),
        ("-", "could not open"),
    ],
)
def test_addresses_are_no_files(tmp_path: Path, name: str, said: str) -> None:
    assert all(said in text for text in every_way_in(Path(name), tmp_path / "out.mp4"))


@pytest.mark.slow
def test_empty_files_and_noise_are_refused_under_every_name(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    for suffix in SUFFIXES:
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"")
        assert all("is empty" in text for text in every_way_in(path, tmp_path / "out.mp4"))
        for length in (1, 100, 5000):
            path.write_bytes(noise.bytes(length))
            is_image(path)
            assert all(text.endswith((".", ").")) for text in _refusals(path, tmp_path / "o.mp4"))


def _refusals(path: Path, output: Path) -> list[str]:
    # Noise that is by chance the start of an MP3 or an AAC file is sound; nothing is a picture.
    said = []
    doors: tuple[Callable[[Path], object], ...] = (probe, VideoReader, read_image)
    for door in doors:
        with pytest.raises(MediaError) as refusal:
            door(path)
        said.append(str(refusal.value))
    result = FFmpegEncoder().encode(path, output)
    return [*said, str(result.error)]


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX systems only")
def test_names_the_system_cannot_spell_are_errors_or_names(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/\xff\xfe.mp4"))
    (tmp_path / "missing").write_text("")

    make_video(path, 2)

    assert probe(path).frame_count == 2
    with pytest.raises(MediaError, match="could not open"):
        probe(tmp_path / "missing\0.mp4")

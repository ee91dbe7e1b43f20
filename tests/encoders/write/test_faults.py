"""What goes wrong in the world: no broken file, no process, no thread, nothing lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.encoders.encoder import FFmpegEncoder, encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig, Quality
from avatarvideo.encoders.read.picture import read_image
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.errors import Cancelled, EncodeError, MediaError

MakeVideo = Callable[..., Path]
Pictures = Callable[..., list[np.ndarray]]
POSIX = pytest.mark.skipif(os.name != "posix", reason="modes, devices and pipes are POSIX's")
CANCEL_SECONDS = 20  # 0.01 to 0.4 measured; a loaded machine may take its time, flushing took 40


def _noise(count: int, width: int = 320, height: int = 180) -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    for _ in range(count):
        yield random.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.slow
@POSIX
@pytest.mark.parametrize("container", ["mp4", "mkv", "gif", "png"])
def test_killed_in_mid_encode_leaves_no_file_of_that_name(
    tmp_path: Path, load_clone: str, pictures: Pictures, container: str
) -> None:
    path = tmp_path / f"a.{container}"
    others = tmp_path / ".avatarvideo-000000000000.part"
    others.write_bytes(b"somebody is still writing this")
    code = load_clone + (
        "import numpy as np\n"
        "from fractions import Fraction\n"
        "from avatarvideo.encoders.encoder import encode_frames\n"
        "def frames():\n"
        "    for index in range(10**9):\n"
        "        if index == 20: print('going', flush=True)\n"
        "        yield np.random.randint(0, 255, (64, 64, 3), np.uint8)\n"
        f"encode_frames(frames(), {str(path)!r}, frame_rate=Fraction(25))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"going\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()

    assert all(entry.name.startswith(".avatarvideo-") for entry in tmp_path.iterdir())

    encode_frames(pictures(3), path, frame_rate=Fraction(25))

    assert (tmp_path / ("a" if container == "png" else path.name)).exists()
    assert others.read_bytes() == b"somebody is still writing this"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A file system of half a megabyte; where none may be mounted, files may not grow further."""
    place, size = tmp_path / "small", 512 << 10
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    with contextlib.suppress(OSError):
        subprocess.run(command, capture_output=True, check=False)
    if place.is_mount():
        yield place, "No space left"
        subprocess.run(["umount", str(place)], check=True)
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    yield place, "File too large"
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
@POSIX
@pytest.mark.parametrize("container", ["mp4", "mkv", "gif", "webp", "png"])
def test_a_full_disk_is_named_and_left_clean(small_disk: tuple[Path, str], container: str) -> None:
    folder, reason = small_disk
    # One picture as PNG is larger than the disk, for the case that only single files are limited.
    frames = _noise(3, 640, 360) if container == "png" else _noise(100)

    with pytest.raises(EncodeError, match=reason):
        encode_frames(
            frames,
            folder / f"a.{container}",
            frame_rate=Fraction(25),
            config=EncodingConfig(quality="fast"),
        )

    assert list(folder.iterdir()) == []


def _threads_and_children() -> tuple[int, int]:
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return threading.active_count(), 0
    children: list[list[str]] = []
    for task in tasks.iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            children.append((task / "children").read_text().split())
    return len(children), sum(map(len, children))


def _threads_and_children_after(seconds: float, wanted: int) -> tuple[int, int]:
    """Return them when there are no more threads than wanted, at the latest after so long."""
    until = time.perf_counter() + seconds
    while (found := _threads_and_children())[0] > wanted and time.perf_counter() < until:
        time.sleep(0.05)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "quality", "size"),
    [
        ("h264", "fast", (320, 180)),
        ("h265", "fast", (320, 180)),
        ("av1", "fast", (320, 180)),
        ("av1", "medium", (1280, 720)),  # is given all of it long before it is encoded
        ("vp9", "fast", (320, 180)),
    ],
)
def test_cancel_is_prompt_and_leaves_nothing(
    tmp_path: Path, codec: str, quality: Quality, size: tuple[int, int]
) -> None:
    before = _threads_and_children()
    asked = 0.0

    def stop(count: int) -> None:
        nonlocal asked
        if count == 30:  # the encoders' queues are full
            asked = time.perf_counter()
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        encode_frames(
            _noise(60, *size),
            tmp_path / "a.mkv",
            frame_rate=Fraction(25),
            config=EncodingConfig(codec=codec, quality=quality),
            on_frame=stop,
        )
    took = time.perf_counter() - asked

    sys.stdout.write(f"{codec}: cancelled in {took * 1000:.0f} ms\n")
    assert took < CANCEL_SECONDS
    assert list(tmp_path.iterdir()) == []
    threads, children = _threads_and_children_after(30, before[0] + 1)
    assert threads <= before[0] + 1
    assert children <= before[1]


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["av1", "h264", "h265", "vp9"])
def test_cancel_is_heard_after_the_last_picture_was_given(tmp_path: Path, codec: str) -> None:
    before, count, asked = _threads_and_children(), 30, 0

    def stop(done: int) -> None:
        nonlocal asked
        asked += done == count
        if asked == 2:  # the first was for the picture itself
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        encode_frames(
            _noise(count, 640, 360),
            tmp_path / "a.mkv",
            frame_rate=Fraction(25),
            config=EncodingConfig(codec=codec),
            on_frame=stop,
        )

    assert list(tmp_path.iterdir()) == []
    # Not by the clock: these two encode for 5 to 40 s after the last picture, and still do.
    assert codec not in {"h265", "vp9"} or _threads_and_children()[0] > before[0] + 1
    assert _threads_and_children_after(120, before[0] + 1)[0] <= before[0] + 1


def test_cancel_of_a_file_being_encoded_leaves_nothing(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    source = make_video(tmp_path / "a.mp4", 30)

    def stop(count: int) -> None:
        if count == 10:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        FFmpegEncoder(stop).encode(source, tmp_path / "b.mp4")

    assert list(tmp_path.iterdir()) == [source]


def _both_at_once(work: Callable[[int], None]) -> list[str]:
    """Run work(0) and work(1) side by side and return what became of them."""
    outcomes = []

    def run(number: int) -> None:
        try:
            work(number)
            outcomes.append("written")
        except EncodeError:
            outcomes.append("refused")

    workers = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sorted(outcomes)


@pytest.mark.parametrize("overwrite", [True, False])
def test_two_encodes_to_one_name_leave_one_whole_file(
    tmp_path: Path, pictures: Pictures, overwrite: bool
) -> None:
    path, gate = tmp_path / "a.mp4", threading.Barrier(2)

    def frames(number: int) -> Iterator[np.ndarray]:
        gate.wait(30)
        yield from pictures((20, 30)[number])

    def encode(number: int) -> None:
        config = EncodingConfig(overwrite=overwrite)
        encode_frames(frames(number), path, frame_rate=Fraction(25), config=config)

    outcomes = _both_at_once(encode)

    # The last one finished keeps the name; without leave to overwrite it is the first.
    assert outcomes == ["written", "written"] if overwrite else ["refused", "written"]
    assert sum(1 for _ in VideoReader(path).frames()) in (20, 30)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]


@POSIX
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, pictures: Pictures) -> None:
    locked, file = tmp_path / "locked", tmp_path / "file"
    locked.mkdir(mode=0o500)
    file.write_text("no folder")
    # Root writes past all modes, but makes no files among the kernel's own.
    target = Path("/proc/self") if os.geteuid() == 0 else locked

    with pytest.raises(EncodeError, match=r"Could not write 'a\.mp4'"):
        encode_frames(pictures(2), target / "a.mp4", frame_rate=Fraction(25))
    with pytest.raises(
        EncodeError, match=r"Expected a folder, but '.*/file' is a file: name another\."
    ):
        encode_frames(pictures(2), file / "a.mp4", frame_rate=Fraction(25))
    with pytest.raises(MediaError, match="Not a directory"):
        VideoReader(file / "a.mp4")

    assert file.read_text() == "no folder"
    assert list(locked.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "ünïcödé 視頻 🎬.mp4",
        " with space .mp4",
        "-y.mp4",
        "x" * 251 + ".mp4",
        *(
            ("file:a.mp4", "a:b.mp4", "%05d.mp4", "a'b\".mp4", "#frag?x=1.mp4", "concat:a|b.mp4")
            if os.name == "posix"
            else ()
        ),
    ],
)
def test_odd_names_are_just_names(
    tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path, other = tmp_path / name, f"{name[:200]}.mkv"
    monkeypatch.chdir(tmp_path)

    encode_frames(pictures(3), path, frame_rate=Fraction(25))
    by_relative_name = FFmpegEncoder().encode(name, other, EncodingConfig(quality="fast"))

    assert VideoReader(path).frame_count == 3
    assert by_relative_name.success, by_relative_name.error
    assert {entry.name for entry in tmp_path.iterdir()} == {name, other}


@pytest.mark.parametrize("name", ["x" * 252 + ".mp4", "a\0b.mp4", "ü" * 126 + ".mp4"])
def test_impossible_names_are_errors(tmp_path: Path, pictures: Pictures, name: str) -> None:
    with pytest.raises(EncodeError):
        encode_frames(pictures(1), f"{tmp_path}/{name}", frame_rate=Fraction(25))
    with pytest.raises(MediaError, match="could not open"):
        VideoReader(f"{tmp_path}/{name}")

    assert list(tmp_path.iterdir()) == []


@POSIX
def test_devices_and_pipes_are_not_opened(tmp_path: Path, pictures: Pictures) -> None:
    # Opening a pipe that nobody writes to, or reading a device to its end, would never come back.
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.mp4")
    os.mkfifo(tmp_path / "pipe.png")

    for name, kind in (("zero", "a device"), ("pipe", "a named pipe")):
        with pytest.raises(MediaError, match=kind):
            VideoReader(tmp_path / f"{name}.mp4")
        with pytest.raises(MediaError, match=kind):
            read_image(tmp_path / f"{name}.png")
        with pytest.raises(EncodeError, match="folder or device"):
            encode_frames(pictures(1), tmp_path / f"{name}.mp4", frame_rate=Fraction(25))


@POSIX
def test_folders_are_no_files(tmp_path: Path, pictures: Pictures) -> None:
    folder = tmp_path / "a.mp4"
    folder.mkdir()

    with pytest.raises(MediaError, match="is a folder"):
        VideoReader(folder)
    with pytest.raises(EncodeError, match="folder or device"):
        encode_frames(pictures(1), folder, frame_rate=Fraction(25))


def test_output_may_not_be_any_of_the_inputs(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, sound = make_video(tmp_path / "a.mp4"), make_video(tmp_path / "b.mp4")
    (tmp_path / "hard.mp4").hardlink_to(video)
    (tmp_path / "soft.mp4").symlink_to(video)
    (tmp_path / "folder").mkdir()
    before = video.read_bytes(), sound.read_bytes()
    monkeypatch.chdir(tmp_path)
    encoder = FFmpegEncoder()

    names = ("a.mp4", "./a.mp4", "folder/../a.mp4", "hard.mp4", "soft.mp4", str(video))
    for output in names:
        for result in (
            encoder.encode(video, output),
            encoder.encode("soft.mp4", output),
            encoder.resize(video, output, 32, 32),
            encoder.add_audio(video, sound, output),
            encoder.add_audio(sound, video, output),
        ):
            assert "other than the input" in str(result.error), output
    assert (video.read_bytes(), sound.read_bytes()) == before
    assert (tmp_path / "soft.mp4").is_symlink()

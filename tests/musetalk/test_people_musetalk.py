"""MuseTalk for several people: faces of one frame in one batch, each by its own speech."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.file_clip import open_video_file
from avatarvideo.host.current import set_host
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.media import AudioClip, Mel
from avatarvideo.musetalk.audio import prepare_mel, window_starts
from avatarvideo.musetalk.engine import MuseTalkLipSync
from avatarvideo.musetalk.face.cast import find_cast
from avatarvideo.musetalk.face.mesh_networks import mesh_networks
from avatarvideo.musetalk.face.wish import parse_wish
from avatarvideo.musetalk.inputs import load_avatar
from avatarvideo.musetalk.interfaces import LipSyncConfig, LipSyncRun
from avatarvideo.musetalk.job import SPEECH_STEP
from avatarvideo.musetalk.networks.unet import UNet
from avatarvideo.musetalk.networks.vae import AutoencoderKL
from avatarvideo.musetalk.pipeline.cpu_features import Tuning
from avatarvideo.musetalk.pipeline.memory import WORKSPACE, Placement, plan_stage
from avatarvideo.musetalk.pipeline.speech_features import FeatureStore, SeveralFeatures
from avatarvideo.musetalk.pipeline.spool import Spool
from avatarvideo.musetalk.pipeline.weave import people_faces
from avatarvideo.musetalk.speaker import Speaker
from avatarvideo.musetalk.voice.gate import Gate, WovenGate
from avatarvideo.nodes.load_avatar import LoadAvatar
from support.live_bytes import LiveBytes
from support.people_clips import Head, PeopleClip, heads_of, still, walk
from support.small_clips import Clips, CountingModels

RATE = 16000


@pytest.fixture(scope="session")
def heads(real_data: Path, mesh_models: Path) -> tuple[Head, ...]:
    networks = mesh_networks([mesh_models])
    assert networks is not None
    return heads_of(real_data, networks)


class MeshHost(StandaloneHost):
    """Has the face mesh and no other model file."""

    def __init__(self, folder: Path, temp: Path) -> None:
        super().__init__(temp_directory=temp)
        self.folder = folder

    @property
    def model_directories(self) -> list[Path]:
        return [self.folder]


def speech(seed: int, seconds: float, *, until: float = 9.0) -> Mel:
    """A voice that stops after some seconds."""
    times = np.arange(round(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * (120 + 25 * seed) * k * times) / k for k in range(1, 12))
    tone = 0.2 * buzz * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * times)) * (times < until)
    return prepare_mel(AudioClip(tone.astype(np.float32)[None], RATE))


class Watched:
    """Tiny networks that know the sizes of batches."""

    def __init__(self) -> None:
        self.faces: list[int] = []
        self.encoded: list[int] = []
        faces, encoded = self.faces, self.encoded

        class Unet(UNet):
            def forward(self, latents: Any, *more: Any, **named: Any) -> Any:
                faces.append(len(latents))
                return super().forward(latents, *more, **named)

        class Vae(AutoencoderKL):
            def encode_moments(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                encoded.append(len(images))
                return super().encode_moments(images)

        self.models = CountingModels(None, {"unet": Unet, "vae": Vae})


def engine(host: StandaloneHost, watched: Watched, batch: int) -> MuseTalkLipSync:
    tuning = replace(Tuning(), largest_batches={"generate": (batch, batch), "prepare": (1, 1)})
    return MuseTalkLipSync(host=host, models=watched.models, tuning=tuning)


def options(face: str, *speakers: Speaker, **more: Any) -> LipSyncConfig:
    wanted: dict[str, Any] = {"mode": "musetalk", "quality": "high", "residency": "unload"} | more
    return LipSyncConfig(face=face, speakers=speakers, **wanted)


def frames_of(run: LipSyncRun) -> list[np.ndarray]:
    frames = list(run.open_frames())
    assert run.release is not None
    run.release()
    return frames


@pytest.mark.slow
def test_two_faces_of_a_frame_are_made_together_and_as_each_alone(
    heads: tuple[Head, ...], mesh_models: Path, tmp_path: Path
) -> None:
    host = MeshHost(mesh_models, tmp_path)
    paths = [walk((110, 180, 100), (140, 184, 100), 0, 5), still(320, 180, 100)]
    clip = PeopleClip([heads[0], heads[2], heads[1]], [*paths, still(530, 180, 100)], 5)
    avatar, everywhere = clip.avatar(), np.ones((360, 640), np.float32)
    one, other = speech(0, 0.2), speech(3, 0.2)

    def made(batch: int, config: LipSyncConfig, mel: Mel) -> tuple[list[np.ndarray], Watched, Any]:
        watched = Watched()
        run = engine(host, watched, batch).run(avatar, mel, config, mask=everywhere)
        return frames_of(run), watched, run.report

    both = options("left 0", Speaker(audio=other, face="530,180"), silence="as heard")
    exact, _, report = made(1, both, one)
    left, _, _ = made(1, options("left 0", silence="as heard"), one)
    right, _, _ = made(1, options("left 2", silence="as heard"), other)
    sources = [clip.frame(number) for number in range(5)]
    for frame, a, b, source in zip(exact, left, right, sources, strict=True):
        assert np.array_equal(frame[:, :250], a[:, :250])
        assert np.array_equal(frame[:, 400:], b[:, 400:])
        assert np.array_equal(frame[:, 250:400], source[:, 250:400])  # not chosen
        assert (frame[:, :250] != source[:, :250]).any()
        assert (frame[:, 400:] != source[:, 400:]).any()
    assert report["face_method"] == "face mesh"
    assert report["source_frames"] == 5
    assert [each["frames_synced"] for each in report["speakers"]] == [5, 5]

    together, watched, _ = made(2, both, one)
    assert watched.faces == [2] * 5  # one batch a frame
    assert watched.encoded == []  # the avatar cache holds all faces
    difference = np.abs(np.stack(together).astype(int) - np.stack(exact))
    assert difference.max() <= 1


def test_who_does_not_speak_is_at_rest_and_costs_nothing(
    heads: tuple[Head, ...], mesh_models: Path, tmp_path: Path
) -> None:
    host, watched = MeshHost(mesh_models, tmp_path), Watched()
    clip = PeopleClip(heads[:2], [still(160, 180, 110), still(480, 180, 110)], 1)
    silent = prepare_mel(AudioClip(np.zeros((1, RATE // 2), np.float32), RATE))
    config = options("left 0", Speaker(audio=silent, face="left 1"))
    run = engine(host, watched, 1).run(
        clip.avatar(), speech(0, 0.5), config, mask=np.ones((360, 640), np.float32)
    )
    frames, source = frames_of(run), clip.frame(0)
    assert run.report["speakers"][1]["silence"]["frames_at_rest"] == len(frames) == 13
    assert sum(watched.faces) == 13
    assert all(np.array_equal(frame[:, 320:], source[:, 320:]) for frame in frames)
    assert any((frame[:, :320] != source[:, :320]).any() for frame in frames)


@pytest.mark.slow
def test_the_plan_covers_what_two_who_speak_take_and_grows_with_their_faces(
    heads: tuple[Head, ...], mesh_models: Path, tmp_path: Path
) -> None:
    """Tensors counted while the run makes the faces of both, two and four at a time."""
    host, taken = MeshHost(mesh_models, tmp_path), dict[int, int]()

    class Counted(UNet):
        def forward(self, latents: Any, *more: Any, **named: Any) -> Any:
            with LiveBytes(self) as counted:
                made = super().forward(latents, *more, **named)
            taken[len(latents)] = max(taken.get(len(latents), 0), counted.peak)
            return made

    models, tuning = CountingModels(None, {"unet": Counted}), Tuning(fast_products=False)
    clip = PeopleClip(heads[:2], [still(160, 180, 110), still(480, 180, 110)], 1)
    everywhere = np.ones((360, 640), np.float32)
    both = options("left 0", Speaker(audio=speech(3, 0.12), face="left 1"), silence="as heard")
    limits = {"generate": (4, 4), "prepare": (1, 1)}
    maker = MuseTalkLipSync(
        host=host, models=models, tuning=replace(tuning, largest_batches=limits)
    )
    run = maker.run(clip.avatar(), speech(0, 0.12), both, mask=everywhere)
    frames_of(run)
    assert run.report["batch"] == 4
    assert sorted(taken) == [2, 4]  # of six faces in three frames
    plan = {
        batch: plan_stage(
            "generate", models, Placement("cpu", torch.float32, batch), tuning=tuning
        ).activations
        - WORKSPACE
        for batch in taken
    }
    assert all(peak <= plan[batch] for batch, peak in taken.items())
    assert 0 < taken[4] - taken[2] <= plan[4] - plan[2]


@pytest.mark.slow
@pytest.mark.parametrize("has_mask", [False, True])
def test_nobody_at_rest_and_nobody_else_is_changed_by_a_level(
    heads: tuple[Head, ...], mesh_models: Path, tmp_path: Path, has_mask: bool
) -> None:
    """Three move, two speak in turns: each frame as it is composed, from files to the encoder."""
    paths = [
        walk((110, 180, 100), (130, 186, 104), 0, 24),
        walk((320, 184, 96), (330, 178, 98), 0, 24),
        walk((530, 180, 100), (515, 184, 100), 0, 24),
    ]
    clip = PeopleClip([heads[0], heads[1], heads[2]], paths, 25)
    exact = EncodingConfig(codec="ffv1")
    encode_frames(
        [clip.frame(number) for number in range(25)],
        tmp_path / "three.mkv",
        frame_rate=Fraction(25),
        config=exact,
    )
    avatar = load_avatar(tmp_path / "three.mkv")
    first, other = speech(0, 1.0, until=0.4), speech(3, 1.0, until=0.4)
    late = prepare_mel(AudioClip(np.roll(other.clip.samples, 9600, axis=1), RATE))
    config = options("left 0", Speaker(audio=late, face="left 2"))
    mask = np.ones((360, 640), np.float32) if has_mask else None
    run = engine(MeshHost(mesh_models, tmp_path), Watched(), 2).run(
        avatar, first, config, mask=mask
    )
    frames, sources = frames_of(run), list(avatar.frames())
    assert len(frames) == len(sources) == 25
    sides = (slice(0, 215), slice(215, 425), slice(425, 640))
    changed = np.array(
        [
            [(frame[:, side] != source[:, side]).any() for side in sides]
            for frame, source in zip(frames, sources, strict=True)
        ]
    )
    resting = [
        {n for a, b in one["silence"]["ranges_at_rest"] for n in range(a, b + 1)}
        for one in run.report["speakers"]
    ]
    assert all(len(rest) >= 8 for rest in resting)
    assert not changed[:, 1].any()  # not chosen
    for side, rest in zip((0, 2), resting, strict=True):
        assert not changed[sorted(rest), side].any()
        if has_mask:  # the tiny parser may see no skin
            assert changed[sorted({*range(25)} - rest), side].all()
    assert changed.any()


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 8])  # a picture, a video
def test_a_face_that_was_clicked_is_the_one_that_speaks(
    heads: tuple[Head, ...], mesh_models: Path, tmp_path: Path, count: int
) -> None:
    paths = [still(180, 180, 118), walk((460, 180, 110), (430, 186, 110), 0, 8)]
    clip = PeopleClip(heads[:2], paths, count)
    host = MeshHost(mesh_models, tmp_path / "temp")
    host.input_directory = tmp_path
    sources = [clip.frame(number) for number in range(count)]
    if count == 1:
        name = "two.png"
        Image.fromarray(sources[0]).save(tmp_path / name)
    else:
        name = "two.mkv"
        exact = EncodingConfig(codec="ffv1")
        encode_frames(sources, tmp_path / name, frame_rate=Fraction(25), config=exact)
        sources = list(open_video_file(tmp_path / name).frames())
    set_host(host)
    try:
        clicked, _, _ = LoadAvatar().load(name, "", 0, face_at="460,170")["result"]
    finally:
        set_host(None)
    shown = sources * 8 if count == 1 else sources

    def made(*speakers: Speaker) -> tuple[list[np.ndarray], Any]:
        wanted = options("", *speakers, silence="as heard", landmarks="face mesh")
        run = engine(host, Watched(), 1).run(
            clicked, speech(0, 0.32), wanted, mask=np.ones((360, 640), np.float32)
        )
        return frames_of(run), run.report

    alone, report = made()
    assert (report["mode"], report["frames_synced"], len(alone)) == ("musetalk", 8, 8)
    for frame, source in zip(alone, shown, strict=True):
        assert np.array_equal(frame[:, :300], source[:, :300])  # the larger face, not clicked
        assert (frame[:, 300:] != source[:, 300:]).any()
    both, report = made(Speaker(audio=speech(3, 0.32)))
    assert [one["face"] for one in report["speakers"]] == ["460,170", "face 0 by size"]
    for frame, source in zip(both, shown, strict=True):
        assert (frame[:, :300] != source[:, :300]).any()
        assert (frame[:, 300:] != source[:, 300:]).any()


def test_windows_are_those_of_each_speech(tmp_path: Path) -> None:
    spool = Spool(tmp_path, expected_bytes=1 << 16)
    states = [np.random.default_rng(n).normal(size=(9, 5, 4)).astype(np.float32) for n in range(2)]
    with spool.writer() as writer:
        stores = tuple(FeatureStore(writer.append(each), 9, 4, False) for each in states)
        writer.flush()
    starts = np.array([-4, SPEECH_STEP - 4, 2, SPEECH_STEP + 2])
    with spool.reader() as reader:
        windows = SeveralFeatures(stores).windows(reader, starts)
        for row, (store, start) in enumerate(zip(stores * 2, (-4, -4, 2, 2), strict=True)):
            assert torch.equal(windows[row], store.windows(reader, np.array([start]))[0])
    spool.release()
    assert window_starts(1, LipSyncConfig().frame_rate())[0] == -4


@pytest.mark.slow
def test_a_cut_at_a_frame_that_is_not_shown_is_not_smoothed_across(
    heads: tuple[Head, ...], mesh_models: Path, tmp_path: Path
) -> None:
    def moves(number: int) -> tuple[float, float, float]:
        return (180, 180, 100) if number < 9 else (400, 180, 100)

    clip = PeopleClip(heads[:1], [moves], 18, backgrounds=((0, 60), (9, 190)))
    networks = mesh_networks([mesh_models])
    assert networks is not None
    cast = find_cast(clip.avatar(), [parse_wish("left 0")], 18, networks)
    job = Clips(tmp_path).job("f", seconds=0.36)
    config = replace(job.options, steadiness=1.0)
    shown = replace(job, avatar=clip.avatar(), indices=np.arange(0, 18, 2), options=config)
    track = people_faces(shown, cast, networks)
    assert track.exact is not None
    middles = (track.exact[:, 0] + track.exact[:, 2]) / 2
    assert np.ptp(middles[:5]) < 2
    assert np.ptp(middles[5:]) < 2


def test_woven_gates_cross_each_by_itself() -> None:
    first = Gate(np.array([1, 1, 0.5, 0, 0], np.float32), 1, 1, "given")
    second = Gate(np.array([0, 0.5, 1, 1, 1], np.float32), 1, 1, "given")
    woven = WovenGate.of([first, second])
    assert woven.weight.tolist() == [1, 0, 1, 0.5, 0.5, 1, 0, 1, 0, 1]
    assert woven.crossing()[::2].tolist() == first.crossing().tolist()
    assert woven.crossing()[1::2].tolist() == second.crossing().tolist()


@pytest.mark.slow
def test_a_file_is_written_while_faces_are_made(
    heads: tuple[Head, ...], mesh_models: Path, tmp_path: Path
) -> None:
    clip = PeopleClip(heads[:2], [still(160, 180, 110), still(480, 180, 110)], 1)
    Image.fromarray(clip.frame(0)).save(tmp_path / "two.png")
    black = [np.zeros((16, 16, 3), np.uint8)] * 8
    for name, seed in (("a", 0), ("b", 3)):
        sound = speech(seed, 0.32).clip
        encode_frames(black, tmp_path / f"{name}.mkv", frame_rate=Fraction(25), audio=sound)
    host, watched = MeshHost(mesh_models, tmp_path / "temp"), Watched()
    tuning = replace(Tuning(), leaves_cpu_idle=("cpu",))
    maker = MuseTalkLipSync(host=host, models=watched.models, tuning=tuning)
    second = Speaker(audio=tmp_path / "b.mkv", face="left 1")
    files = (tmp_path / "two.png", tmp_path / "a.mkv", tmp_path / "out.mkv")
    result = maker.generate(*files, options("left 0", second))
    assert result.error is None
    assert (result.mode, result.frame_count) == ("musetalk", 8)
    # The tiny parser sees skin in one of the faces alone.
    synced = [each["frames_synced"] for each in result.report["speakers"]]
    assert sorted(synced) == [0, 8]
    shown = list(open_video_file(tmp_path / "out.mkv").frames())
    change = np.abs(shown[4].astype(int) - clip.frame(0)).max(axis=2) > 60
    assert [change[:, :320].any(), change[:, 320:].any()] == [count > 0 for count in synced]
    assert not list((tmp_path / "temp").glob("*"))

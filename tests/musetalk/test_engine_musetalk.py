"""The engine with MuseTalk's networks: the report, the file, and the order of modes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.errors import Cancelled, CheckpointError
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.media import LipCorners
from avatarvideo.musetalk import LipSyncConfig, MuseTalkLipSync
from avatarvideo.musetalk.networks.bisenet import BiSeNet
from avatarvideo.musetalk.networks.rtmpose import FACE_LANDMARKS, RTMPose
from avatarvideo.musetalk.networks.s3fd import S3FD
from avatarvideo.musetalk.networks.vae import AutoencoderKL
from avatarvideo.musetalk.pipeline.cpu_features import Tuning
from support.watched_unet import NothingFits

LIPS = LipCorners(345, 438, 438, 438)  # in pixels of the bundled portrait
PORTRAIT = Path(__file__).resolve().parents[2] / "web" / "samples" / "portrait.png"
OPTIONS: dict[str, Any] = {"mode": "musetalk", "quality": "high", "residency": "unload"}


class Counter:
    """How often each network of the preparation was asked, over all its copies."""

    asked: dict[str, int]


def counting(counter: Counter) -> dict[str, type]:
    """Return networks of the preparation that count what they are asked, by role."""

    def count(role: str) -> None:
        counter.asked[role] = counter.asked.get(role, 0) + 1

    class Detector(S3FD):
        def forward(self, images: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
            count("s3fd")
            return super().forward(images)

    class Pose(RTMPose):
        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            count("rtmpose")
            return super().forward(images)

    class Parser(BiSeNet):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            count("bisenet")
            return super().forward(images)

    class Autoencoder(AutoencoderKL):
        def encode_moments(self, images: torch.Tensor) -> Any:
            count("vae")
            return super().encode_moments(images)

    return {"s3fd": Detector, "rtmpose": Pose, "bisenet": Parser, "vae": Autoencoder}


def run(engine: MuseTalkLipSync, job: Any, **options: Any) -> Any:
    config = LipSyncConfig(**{**OPTIONS, **options})
    return engine.run(job.avatar, job.mel, config, mask=job.mask)


@pytest.mark.slow
def test_a_file_is_written_and_says_what_made_it(
    engine: Any, clips: Any, picture: Path, tone: Path, tmp_path: Path
) -> None:
    made = engine().generate(picture, tone, tmp_path / "out.mp4", LipSyncConfig(**OPTIONS))
    assert made.success, made.error
    assert (made.mode, made.frame_count, made.resolution, made.fps) == (
        "musetalk",
        5,
        (240, 180),
        25,
    )
    tag = json.loads(probe(tmp_path / "out.mp4").as_dict()["metadata"]["avatarvideo"])
    assert (tag["mode"], tag["frames_synced"]) == ("musetalk", 5)
    source = np.asarray(Image.open(picture)).astype(int)
    first = next(VideoReader(tmp_path / "out.mp4").frames()).astype(int)
    assert np.abs(first[60:90, 30:80] - source[60:90, 30:80]).mean() > 10
    assert clips.left_over() == []
    assert clips.models.alive() == []


@pytest.mark.slow
@pytest.mark.usefixtures("on_processor")
def test_the_report_says_everything_worth_knowing(engine: Any, clips: Any) -> None:
    made = run(engine(), clips.job("f..f", seconds=0.2))
    report = made.report
    assert {key: report[key] for key in ("mode", "model", "device", "dtype", "batch")} == {
        "mode": "musetalk",
        "model": "v1.5",
        "device": "cpu",
        "dtype": "float32",
        "batch": 4,
    }
    assert report["reason"] == "MuseTalk 1.5 was asked for"
    assert (report["frames"], report["frames_synced"], report["frames_passed_through"]) == (5, 3, 2)
    assert report["passed_through_ranges"] == [[1, 2]]
    assert report["face"]["box"] == [17, 14, 102, 100]
    assert report["face"]["method"] == "landmarks"
    assert (report["source_frames"], report["source_frames_with_face"]) == (4, 2)
    assert set(report["seconds"]) == {"faces", "prepare", "audio", "generate"}
    assert min(report["seconds"].values()) > 0
    assert report["peak_memory_bytes"] > 1 << 20
    assert report["ladder"] == []
    json.dumps(report)
    made.release()


@pytest.mark.slow
def test_auto_takes_musetalk_where_it_can(engine: Any, clips: Any) -> None:
    made = run(engine(), clips.job("f"), mode="auto")
    assert (made.mode, made.report["reason"]) == ("musetalk", "MuseTalk 1.5 is installed")
    made.release()


@pytest.mark.slow
def test_the_first_frames_mask_and_all_frames_come_out(engine: Any, clips: Any) -> None:
    made = run(engine(), clips.job("f"))
    frames = list(made.open_frames())
    assert len(frames) == made.frame_count == 3
    assert made.mask.shape == frames[0].shape[:2]
    assert made.mask.any()
    made.release()
    assert clips.left_over() == []


def test_no_face_is_a_video_with_a_warning_and_not_a_failure(
    engine: Any, clips: Any, caplog: pytest.LogCaptureFixture
) -> None:
    frames = clips.frames("..")
    made = run(engine(), clips.job(clips.avatar(frames)))
    assert made.mode == "musetalk"
    assert "no face was found, so every frame passes through" in made.report["reason"]
    assert made.report["passed_through_ranges"] == [[0, 2]]
    assert "no face was found in any of 3 frames" in caplog.text
    assert np.array_equal(next(made.open_frames()), frames[0])


@pytest.mark.slow
def test_auto_goes_on_to_the_still_picture_where_musetalk_sees_nobody(
    engine: Any, clips: Any
) -> None:
    made = run(engine(), clips.job("."), mode="auto")
    assert made.mode == "static"
    assert made.report["reason"].startswith("MuseTalk found no face; ")


class NotFinite(BiSeNet):
    """A face parser whose answers to the first pictures are not numbers."""

    pictures = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        NotFinite.pictures -= 1
        logits = super().forward(images)
        return logits * float("nan") if NotFinite.pictures >= 0 else logits


@pytest.mark.slow
def test_a_parser_without_numbers_is_not_counted_as_lip_sync(engine: Any, clips: Any) -> None:
    NotFinite.pictures = 1
    frames = clips.frames("ff")
    made = run(engine({"bisenet": NotFinite}), clips.job(clips.avatar(frames)))
    report, shown = made.report, list(made.open_frames())
    assert (report["frames_synced"], report["passed_through_ranges"]) == (2, [[0, 0]])
    assert np.array_equal(shown[0], frames[0])
    assert not np.array_equal(shown[1], frames[1])
    [note] = report["notes"]
    assert note.startswith("In 1 of 2 source frames with a face the face parser's mask is empty")
    made.release()


class PoseNotFinite(RTMPose):
    """A landmark network whose nose bridge, of the first pictures, is not a number along y."""

    pictures = 0

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        PoseNotFinite.pictures -= 1
        x, y = super().forward(images)
        if PoseNotFinite.pictures >= 0:
            y = y.index_fill(1, torch.tensor([FACE_LANDMARKS.start + 29]), float("nan"))
        return x, y


@pytest.mark.slow
@pytest.mark.parametrize("quality", ["high", "medium"])
def test_landmarks_without_numbers_pass_through_and_are_not_kept(
    engine: Any, clips: Any, quality: str
) -> None:
    frames = clips.frames("ff")
    lip_sync = engine({"rtmpose": PoseNotFinite})
    PoseNotFinite.pictures = 2 if quality == "high" else 1  # a picture and its mirror image
    made = run(lip_sync, clips.job(clips.avatar(frames)), quality=quality)
    report, shown = made.report, list(made.open_frames())
    assert (report["frames_synced"], report["passed_through_ranges"]) == (2, [[0, 0]])
    assert np.array_equal(shown[0], frames[0])
    assert report["notes"] == [
        "In 1 of 2 source frames the face's landmarks are not finite: these frames stay as they "
        "are."
    ]
    made.release()
    made = run(lip_sync, clips.job(clips.avatar(frames)), quality=quality)
    assert (made.report["frames_synced"], made.report["notes"]) == (3, [])
    made.release()


class DetectorNotFinite(S3FD):
    """A detector that is sure of faces whose edges are not numbers."""

    def forward(self, images: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [(sure, edges * float("nan")) for sure, edges in super().forward(images)]


def test_a_face_whose_edges_are_not_numbers_is_no_face(engine: Any, clips: Any) -> None:
    report = run(engine({"s3fd": DetectorNotFinite}), clips.job("ff")).report
    assert (report["frames_synced"], report["source_frames_with_face"]) == (0, 0)
    assert "no face was found, so every frame passes through" in report["reason"]


@pytest.mark.slow
def test_where_nothing_is_replaced_the_next_mode_is_tried(engine: Any, clips: Any) -> None:
    NotFinite.pictures = 9
    made = run(engine({"bisenet": NotFinite}), clips.job("f"), mode="auto")
    assert made.mode == "static"
    assert made.report["reason"].startswith("MuseTalk found nothing to replace; ")
    NotFinite.pictures = 9
    made = run(engine({"bisenet": NotFinite}), clips.job("f"))
    assert (made.mode, made.report["frames_synced"]) == ("musetalk", 0)
    assert "nothing to replace was found, so every frame passes through" in made.report["reason"]
    assert clips.left_over() == []


def test_an_empty_mask_of_the_user_replaces_nothing(engine: Any, clips: Any) -> None:
    made = run(engine(), clips.job("f", mask=np.zeros_like(clips.everywhere)))
    assert made.report["frames_synced"] == 0
    assert made.report["notes"][0].startswith("In 1 of 1 source frames with a face the mask is")


def portrait_job(clips: Any) -> Any:
    picture = np.asarray(Image.open(PORTRAIT).convert("RGB"))
    frame = cv2.convertScaleAbs(picture, alpha=0.35)  # dark, as the planted detector wants it
    clips.tiny.plant_face(frame, 3, 3)
    return clips.job(clips.avatar([frame], corners=LIPS))


@pytest.mark.slow
@pytest.mark.usefixtures("on_processor")
def test_auto_falls_back_to_the_puppet_when_memory_runs_out(
    engine: Any, clips: Any, caplog: pytest.LogCaptureFixture
) -> None:
    clips.tuning = Tuning(fast_products=True)
    made = run(engine({"unet": NothingFits}), portrait_job(clips), mode="auto")
    assert made.mode == "puppet"
    assert "MuseTalk could not be used" in made.report["reason"]
    assert [step["to"] for step in made.report["ladder"]] == [
        "cpu float32 batch 2",
        "cpu float32 batch 1",
        "cpu float32 batch 1, plain convolutions",
        "another mode",
    ]
    assert "continuing without MuseTalk" in caplog.text
    assert clips.models.alive() == []
    assert clips.left_over() == []
    assert len(list(made.open_frames())) == 3


@pytest.mark.slow
def test_where_musetalk_alone_is_wanted_lack_of_memory_is_a_sentence(
    engine: Any, clips: Any, picture: Path, tone: Path, tmp_path: Path
) -> None:
    made = engine({"unet": NothingFits}).generate(
        picture, tone, tmp_path / "out.mp4", LipSyncConfig(**OPTIONS)
    )
    assert not made.success
    assert "Expected room for MuseTalk's stage generate on cpu" in str(made.error)
    assert not (tmp_path / "out.mp4").exists()
    assert clips.models.alive() == []


@pytest.mark.parametrize("model", ["v1.5", "v1.0"])
def test_missing_files_are_named_with_the_command_that_gets_them(
    clips: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Any
) -> None:
    monkeypatch.setenv("AVATAR_MODELS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    job = clips.job("f")
    with pytest.raises(CheckpointError, match=r"needs files that were not found.*avatar models"):
        run(MuseTalkLipSync(host=StandaloneHost()), job, model=model)


@pytest.mark.slow
def test_a_file_that_is_something_else_is_named_or_stepped_over(
    clips: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "musetalk"
    for name in (
        "musetalkV15/unet.pth",
        "sd-vae/diffusion_pytorch_model.bin",
        "whisper/pytorch_model.bin",
        "face-parse-bisent/79999_iter.pth",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"<!doctype html><html>not found</html>")
    monkeypatch.setenv("AVATAR_MODELS", str(tmp_path))
    engine = MuseTalkLipSync(host=StandaloneHost(temp_directory=clips.temp))
    with pytest.raises(CheckpointError, match=r"sd-vae.*found a web page"):
        run(engine, portrait_job(clips))
    made = run(engine, portrait_job(clips), mode="auto")
    assert made.mode == "puppet"
    assert "MuseTalk could not be used" in made.report["reason"]


@pytest.mark.slow
def test_a_cancelled_run_is_the_hosts_and_the_next_one_works(engine: Any, clips: Any) -> None:
    speaker, job = engine(), clips.job("f")
    clips.host.cancel()
    with pytest.raises(Cancelled):
        run(speaker, job)
    assert clips.models.alive() == []
    assert clips.left_over() == []
    assert run(speaker, job).mode == "musetalk"


@pytest.mark.slow
def test_the_next_engine_of_the_same_host_knows_the_avatar(engine: Any, clips: Any) -> None:
    first = run(engine(), clips.job("f"))
    again = run(engine(), clips.job("f"))
    assert clips.models.loaded == ["whisper", "unet", "vae"]
    for one, other in zip(first.open_frames(), again.open_frames(), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.slow
@pytest.mark.usefixtures("on_processor")
@pytest.mark.parametrize("kept_on_disk", [False, True])
def test_a_known_avatar_needs_no_preparation_at_all(
    engine: Any, clips: Any, tmp_path: Path, kept_on_disk: bool
) -> None:
    options = {"cache": tmp_path / "kept"} if kept_on_disk else {}
    counter = Counter()
    reports = []
    for _ in range(2):
        counter.asked = {}
        reports.append(run(engine(counting(counter), **options), clips.job("f.f")).report)
        if len(reports) == 1:
            # Two faces; landmarks and their mirror image; the detector sees all three frames.
            assert counter.asked == {"s3fd": 3, "rtmpose": 4, "vae": 2, "bisenet": 2}
        if kept_on_disk:
            clips.host.kept.clear()
    assert counter.asked == {}
    assert set(reports[0]["seconds"]) == {"faces", "prepare", "audio", "generate"}
    assert set(reports[1]["seconds"]) == {"prepare", "audio", "generate"}  # the first only copies


@pytest.mark.slow
def test_a_folder_keeps_avatars_for_other_processes(
    engine: Any, clips: Any, tmp_path: Path
) -> None:
    run(engine(cache=tmp_path / "kept"), clips.job("f"))
    clips.host.kept.clear()
    run(engine(cache=tmp_path / "kept"), clips.job("f"))
    assert clips.models.loaded == ["whisper", "unet", "vae"]


@pytest.mark.slow
@pytest.mark.usefixtures("on_processor")
def test_low_quality_is_half_precision_where_the_processor_has_it(engine: Any, clips: Any) -> None:
    clips.tuning = Tuning(bfloat16=True)
    exact, low = (run(engine(), clips.job("f"), quality=name) for name in ("high", "low"))
    assert (low.report["dtype"], low.report["batch"]) == ("bfloat16", 4)
    assert low.report["decoder"] == "full"
    pairs = zip(exact.open_frames(), low.open_frames(), strict=True)
    differences = [np.abs(one.astype(int) - other) for one, other in pairs]
    assert 0 < max(difference.mean() for difference in differences) < 4


@pytest.mark.slow
def test_the_folder_for_prepared_avatars_can_be_named(
    engine: Any, clips: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATAR_CACHE", str(tmp_path / "kept"))
    run(engine(), clips.job("f"))
    assert {path.suffix for path in (tmp_path / "kept").iterdir()} == {".safetensors"}

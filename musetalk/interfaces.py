"""What a lip-sync engine is: one call in, one result out. Options are checked when made."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ..media import (
    DEFAULT_FRAME_RATE,
    MAX_FRAME_RATE,
    AudioClip,
    Avatar,
    LipCorners,
    Mel,
    check_fps,
    is_own_rate,
    parse_frame_rate,
)
from ..options import check_options, described, option
from .modes import HELP as MODES_HELP
from .modes import MODES
from .speaker import MOST_CHANNELS, Speaker, is_track_file, speakers_of

Quality = Literal["high", "medium", "low"]
Model = Literal["v1.5", "v1.0"]
ParsingMode = Literal["jaw", "neck", "raw"]
LandmarksOn = Literal["whole frame", "detected box"]
Landmarks = Literal["auto", "reference", "face mesh"]
LifeOption = Literal["none", "blink", "blink and sway"]
Loop = Literal["pingpong", "loop", "hold", "cut", "stretch", "silence"]
Residency = Literal["unload", "keep", "auto"]
ImagesOutput = Literal["auto", "always", "never", "linked"]
Posterior = Literal["mode", "sample"]
Silence = Literal["auto", "rest", "as heard"]

Report = dict[str, Any]  # Any: whatever JSON holds

MAX_SECONDS = 36000.0  # ten hours
REPORT_TAG = "avatarvideo"  # the tag of a video file that says which mode made it


@described
@dataclass(frozen=True, kw_only=True)
class LipSyncConfig:
    """Options of one lip-sync run. ValueError names the option that is out of range.

    The texts are those of the editor and the command line; here None finds the lip corners.
    Pixels are the source's, those of the cheeks the parsing picture's (512 a side). Saved workflows
    rely on the order of the fields: a new one goes to the end.
    """

    mode: str = option("auto", help=MODES_HELP, choices=("auto", *MODES))
    quality: Quality = option(
        "medium",
        help="high keeps the numbers of MuseTalk's own code; medium computes in half precision; "
        "low also uses a small decoder if one is installed, and then, on a CPU, generates only "
        "every second face where the picture hardly moves.",
        choices=get_args(Quality),
    )
    model: Model = option(
        "v1.5",
        help="The version of MuseTalk; 1.0 is for matching older results.",
        choices=get_args(Model),
    )
    fps: float | int | str | Fraction = option(
        25,
        help="Frames per second of the result; 0 takes the avatar's own. MuseTalk was made for 25.",
        low=0,
        high=MAX_FRAME_RATE,
        step=0.001,
    )
    max_duration: float = option(
        120.0,
        help="The longest speech accepted, in seconds, so that you do not start a huge run by "
        "mistake.",
        low=0.04,
        high=MAX_SECONDS,
        step=0.001,
    )
    bbox_shift: int = option(
        0,
        help="How many pixels further down the generated part of the face begins: a higher value "
        "opens the mouth wider. The report gives the useful range; MuseTalk 1.5's own scripts "
        "keep it at 0.",
        low=-200,
        high=200,
    )
    extra_margin: int = option(
        10, help="Pixels added below the chin (MuseTalk 1.5).", low=0, high=200
    )
    parsing_mode: ParsingMode = option(
        "jaw",
        help="How much of the face is replaced: jaw, neck (jaw and neck), or raw, as in 1.0.",
        choices=get_args(ParsingMode),
    )
    left_cheek_width: int = option(
        90,
        help="How far the replaced part reaches into the left cheek (jaw only).",
        low=20,  # upstream's app offers this range
        high=160,
    )
    right_cheek_width: int = option(
        90,
        help="How far the replaced part reaches into the right cheek (jaw only).",
        low=20,
        high=160,
    )
    landmarks_on: LandmarksOn = option(
        "whole frame",
        help="Where the landmark network looks: the whole frame as the reference does, or the "
        "detected face, which is steadier in wide shots.",
        choices=get_args(LandmarksOn),
    )
    loop: Loop = option(
        "pingpong",
        help="What to do when a video avatar and the speech differ in length: pingpong plays back "
        "and forth, loop starts again, hold stops on the last frame, cut ends with the shorter, "
        "stretch slows down or speeds up the avatar, silence lets a longer avatar play on with "
        "closed lips.",
        choices=get_args(Loop),
    )
    residency: Residency = option(
        "auto",
        help="What happens to the models after a run: unload frees memory, keep makes the next "
        "run start faster, auto decides by free memory.",
        choices=get_args(Residency),
    )
    images_output: ImagesOutput = option(
        "auto",
        help="Whether to fill the images output: auto fills it up to 1 GiB; linked does the same, "
        "but only if the output is connected; always fills it without a limit; with never it "
        "stays empty.",
        choices=get_args(ImagesOutput),
    )
    posterior: Posterior = option(
        "mode",
        help="Encode the face as its most likely latent (mode) or as a random one (sample).",
        choices=get_args(Posterior),
    )
    sample_seed: int = option(
        0, help="The seed of the random latent, if posterior is sample.", low=0, high=2**63 - 1
    )
    mouth: LipCorners | None = option(
        None,
        help="The two lip corners in pixels of the first frame, upright as players show it, as "
        '"x0,y0,x1,y1". Leave it empty to have them found.',
    )
    face_index: int = option(
        0, help="Which face speaks when there are several: 0 is the largest.", low=0, high=99
    )
    start: float = option(
        0.0, help="Where in the speech to begin, in seconds.", low=0.0, high=MAX_SECONDS, step=0.01
    )
    duration: float = option(
        0.0,
        help="How much of the speech to use, in seconds; 0 goes to the end.",
        low=0.0,
        high=MAX_SECONDS,
        step=0.01,
    )
    silence: Silence = option(
        "auto",
        help="What the mouth does while nobody speaks: rest closes it; with as heard the networks "
        "decide. auto is rest for the puppet and as heard for MuseTalk.",
        choices=get_args(Silence),
    )
    steadiness: float = option(
        0.0,
        help="How strongly to smooth the face boxes of a video avatar, which MuseTalk finds "
        "separately in every frame: 0 leaves them as they are, 1 smooths most.",
        low=0.0,
        high=1.0,
        step=0.05,
    )
    landmarks: Landmarks = option(
        "auto",
        help="Which landmarks place MuseTalk's face box: those of the reference networks (S3FD "
        "and RTMPose), or those of the face mesh, a small file. auto takes the mesh only if the "
        "networks' files are missing.",
        choices=get_args(Landmarks),
    )
    life: LifeOption = option(
        "none",
        help="What a still avatar does besides speaking: it blinks, or it blinks and sways its "
        "head a little. Needs the face mesh. none moves only the mouth.",
        choices=get_args(LifeOption),
    )
    face: str = option(
        "",
        help="Which face speaks: a number by size (0 is the largest), left 0 for the leftmost, a "
        "point on it as x,y, or a track file (.json) of its boxes. If empty, face index decides.",
    )
    channel: int = option(
        0,
        help="If each channel of the audio holds one speaker: which channel to use, counting "
        "from 1; 0 uses all of them.",
        low=0,
        high=MOST_CHANNELS,
    )
    speakers: tuple[Speaker, ...] = option(
        (), help="More people who speak, each with a voice and a face."
    )

    upscale_model: str = option(
        "",
        help="The file of an upscaling or face restoration model that sharpens the mouth where the "
        "face is larger than MuseTalk's 256 pixels. Needs spandrel; empty for none.",
    )

    def __post_init__(self) -> None:
        check_options(self, besides=["fps", "speakers"])
        check_fps(self.fps)
        object.__setattr__(self, "speakers", speakers_of(self.speakers))

    def frame_rate(self, source_rate: Fraction = DEFAULT_FRAME_RATE) -> Fraction:
        """Return the exact frame rate of the result for an avatar of ``source_rate``."""
        return source_rate if is_own_rate(self.fps) else parse_frame_rate(self.fps)


def named_files(options: LipSyncConfig) -> Iterator[tuple[str, str]]:
    """Yield what names each file beside avatar and speech, and its name as the options have it."""
    if options.upscale_model:
        yield "upscale_model", options.upscale_model
    for speaker in options.speakers:
        if not isinstance(speaker.audio, Mel) and str(speaker.audio).strip():
            yield "a speaker's audio", str(speaker.audio)
    for face in (options.face, *(speaker.face for speaker in options.speakers)):
        if is_track_file(face):
            yield "face", face.strip()


@dataclass(frozen=True, kw_only=True)
class LipSyncResult:
    """What one run gave. report: everything worth knowing, ready for JSON."""

    success: bool
    output_path: Path | None = None
    error: str | None = None  # a sentence when ``success`` is False
    duration_seconds: float = 0.0  # of the video
    frame_count: int = 0
    resolution: tuple[int, int] = (0, 0)  # width and height
    fps: float = 0.0
    mode: str = ""  # that made the video
    processing_seconds: float = 0.0
    report: Report = field(default_factory=dict[str, Any])  # Any: as in Report


@dataclass(frozen=True, eq=False)
class LipSyncRun:
    """A run whose frames are composed when they are read.

    open_frames: returns a new iterator over exactly ``frame_count`` uint8 RGB (H, W, 3) frames.
    mask: float32 (H, W), where the first frame may differ from the source.
    """

    open_frames: Callable[[], Iterator[np.ndarray]] = field(repr=False)
    frame_count: int
    frame_rate: Fraction
    width: int
    height: int
    mode: str
    clip: AudioClip  # the original audio, untouched
    mask: np.ndarray = field(repr=False)
    report: Report = field(repr=False)
    release: Callable[[], None] | None = field(default=None, repr=False)
    sources: tuple[Path, ...] = ()  # files it is made from; no result may replace them

    def metadata(self) -> dict[str, str]:
        from ..encoders.metadata import tags_for  # Pillow: not at ComfyUI's start

        kept = ("mode", "requested_mode", "reason", "frames", "frames_synced")
        report = {REPORT_TAG: json.dumps({key: self.report[key] for key in kept})}
        return report | tags_for(mode=self.mode, model=self.report.get("model"))


class LipSyncEngineInterface(ABC):
    """Makes a person in a picture or video speak."""

    @abstractmethod
    def run(
        self,
        avatar: Avatar,
        mel: Mel,
        config: LipSyncConfig | None = None,
        *,
        mask: np.ndarray | None = None,
        upscale_model: object = None,
    ) -> LipSyncRun:
        """Do all work that needs a network or the whole audio; frames are made when read.

        mask: float32 (H, W), 0..1, where the user lets the picture change; None finds it.
        upscale_model: spandrel's ImageModelDescriptor, in the place of the option's file.
        Raises MediaError, NoFaceError, CheckpointError, or what the host raises on cancel.
        """

    @abstractmethod
    def length(self, avatar: Avatar, mel: Mel, config: LipSyncConfig) -> tuple[int, Fraction]:
        """Return the number of frames of the result and its exact rate.

        Raises MediaError when the speech is shorter than 20 ms or longer than the limit.
        """

    @abstractmethod
    def generate(
        self,
        avatar_image: str | Path,
        audio_file: str | Path,
        output_path: str | Path,
        config: LipSyncConfig | None = None,
    ) -> LipSyncResult:
        """Write a lip-synced video file. Operational failures come back as ``success=False``.

        A cancelled run raises Cancelled (or the host's own interruption) and leaves no file.
        """

    @abstractmethod
    def get_supported_formats(self) -> dict[str, list[str]]:
        """Return the file extensions accepted: keys "image", "video", "audio" and "output"."""

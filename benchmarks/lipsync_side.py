"""One side of ``lipsync.py`` in a process of its own: its networks, its allocator, its peak."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from alternating import Sample, measured
from reference_networks import Networks, Side

from avatarvideo.cli.own_process import keep_heap
from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig, EncodingResult
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.encoders.write.hardware import family_of
from avatarvideo.host.contract import POLL_SECONDS
from avatarvideo.host.machine import peak_memory
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.musetalk import engine
from avatarvideo.musetalk.background_encode import BackgroundEncode
from avatarvideo.musetalk.face.blend import MaskSettings, cut_square, face_mask, replaced_region
from avatarvideo.musetalk.face.crop import CROP_SIZE, FaceBox
from avatarvideo.musetalk.inputs import load_avatar, load_speech
from avatarvideo.musetalk.interfaces import LipSyncConfig, Quality
from avatarvideo.musetalk.networks.bisenet import parse_face
from avatarvideo.musetalk.networks.fast.accelerate import accelerate
from avatarvideo.musetalk.networks.fast.winograd import set_tiled
from avatarvideo.musetalk.networks.vae import SCALING_FACTOR, to_pixels
from avatarvideo.musetalk.pipeline import generate
from avatarvideo.musetalk.pipeline.compose import CROP_SHAPE
from avatarvideo.musetalk.pipeline.cpu_features import Tuning
from avatarvideo.musetalk.pipeline.generate import FaceGenerator, masked_and_whole
from avatarvideo.musetalk.pipeline.memory import Placement, dtype_for, uses_winograd
from avatarvideo.musetalk.upscale.cuts import Area
from avatarvideo.musetalk.upscale.model import UpscaleModel

UPSTREAM_CRFS = (18, 23)  # of the authors' two encodes
# Of a crop, what the mask of a jaw shows: its lower half and the blur over the line between them.
LOWER_FACE = Area(0, 116, CROP_SIZE, CROP_SIZE)
TIMES_ON_A_GPU = 10  # a stage is run for one sample: it takes milliseconds


class Setting(NamedTuple):
    """What one side computes with. keeps_heap: glibc keeps freed memory."""

    side: Side
    device: str
    dtype: torch.dtype
    threads: int
    keeps_heap: bool


def serve(setting: Setting, pipe: Connection) -> None:
    """Answer (method, arguments) until None comes: runs in the child."""
    if setting.keeps_heap:
        keep_heap()
    torch.set_num_threads(setting.threads)
    if setting.side == "reference":
        generate.LEAST_REPEATS = sys.maxsize  # its libraries record nothing by themselves
    worker = Computing(setting)
    with torch.inference_mode():
        while (call := pipe.recv()) is not None:
            name, arguments = call
            try:
                pipe.send((True, getattr(worker, name)(*arguments)))
            except (RuntimeError, ValueError, OSError) as error:
                pipe.send((False, f"{type(error).__name__}: {error}"))


class Computing:
    """The steps of one side. Inputs are the same on both: drawn from the same seeds."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._source = Networks(setting.side)
        self._placed: set[Any] = set()
        self._generators: dict[int, FaceGenerator] = {}
        self._upscaler: UpscaleModel | None = None
        self._faces: dict[Quality, np.ndarray] = {}  # of the last run of each

    def network(self, role: Any) -> Any:
        """Return a network on its device as a run has it; from then on it keeps its kernels.

        To place it again would forget what its convolutions have prepared, as only a new run does.
        """
        setting = self._setting
        small = role not in ("unet", "vae")
        dtype = torch.float32 if small else setting.dtype
        with torch.inference_mode(False):  # else a whole run could not move the weights
            network = self._source.load(role, dtype)
            if role not in self._placed:
                self._placed.add(role)
                network.to(setting.device)
                if setting.side == "ours" and not small:
                    accelerate(network)
                    placement = Placement(setting.device, dtype)
                    set_tiled(network, uses_winograd(placement, Tuning()))
        return network

    def step(self, name: str, batch: int) -> Sample:
        """Time one stage: "unet", "decode", "faces" (both, to pixels), "encode" or "whisper"."""
        if not self._setting.device.startswith("cuda"):
            return measured(self._task(name, batch))
        task = self._ahead(batch) if name == "faces" else self._task(name, batch)

        def run() -> None:
            for _ in range(TIMES_ON_A_GPU):
                task()
            torch.cuda.synchronize()

        torch.cuda.synchronize()
        return measured(run).of_one(TIMES_ON_A_GPU)

    def _ahead(self, batch: int) -> Callable[[], None]:
        """Return what begins a batch of faces and waits for the one before, as a run does."""
        generator = self._generator(batch)
        latents, heard = noise(1, batch, 8, 32, 32), noise(2, batch, 50, 384)
        begun: list[Callable[[], Any]] = []

        def run() -> None:
            begun.append(generator.begin(latents, heard))
            if len(begun) > 1:
                begun.pop(0)()

        return run

    def result(self, name: str, batch: int) -> np.ndarray:
        """Return what a stage makes, float32."""
        return self._task(name, batch)().float().cpu().numpy()

    def _task(self, name: str, batch: int) -> Callable[[], Any]:
        place = {"device": self._setting.device, "dtype": self._setting.dtype}
        latents, heard = noise(1, batch, 8, 32, 32), noise(2, batch, 50, 384)
        if name == "faces":
            generator = self._generator(batch)
            return lambda: torch.from_numpy(generator.generate(latents, heard)[0])
        if name == "unet":
            unet, inputs = self.network("unet"), (latents.to(**place), heard.to(**place))
            return lambda: unet(*inputs)
        if name == "decode":
            vae, values = self.network("vae"), (latents[:, :4] / SCALING_FACTOR).to(**place)
            return lambda: to_pixels(vae.decode(values))
        if name == "encode":
            vae = self.network("vae")
            crop = np.random.default_rng(3).integers(0, 256, (256, 256, 3), dtype=np.uint8)
            images = masked_and_whole(crop).to(**place)
            return lambda: vae.encode_moments(images)[0]
        whisper, mel = self.network("whisper"), noise(4, 1, 80, 3000).to(self._setting.device)
        return lambda: whisper(mel)

    def _generator(self, batch: int) -> FaceGenerator:
        if batch not in self._generators:
            self._generators.clear()  # what one recorded takes memory, and is of one size
            networks = self.network("unet"), self.network("vae")
            self._generators[batch] = FaceGenerator(*networks, repeats=TIMES_ON_A_GPU)
        return self._generators[batch]

    def soften(self, contrast: float) -> None:
        """Let the decoder of whole runs paint with so much of its contrast from now on."""
        with torch.inference_mode(False):
            dtype = dtype_for(self._quality(), self._setting.device, Tuning())
            vae = self._source.load("vae", dtype)
            decoder = vae.decoder if self._setting.side == "ours" else vae.network.decoder
            decoder.conv_out.weight.mul_(contrast)

    def video(
        self,
        avatar: str,
        speech: str,
        frames: int,
        encoding: EncodingConfig,
        upscale: int = 0,
        quality: Quality | None = None,
    ) -> dict[str, Any]:
        """Make a video of so many frames, from the files to the mp4; say what each stage took.

        Networks are there already; the avatar is prepared anew.
        upscale: an upscale model that enlarges so many times sharpens the faces; 0 is none.
        quality: None is that of this side's precision. The faces of each are kept for ``between``.
        """
        upscale_model = compact_model(upscale) if upscale else None
        self._make_networks()
        quality = quality or self._quality()
        config = LipSyncConfig(mode="musetalk", quality=quality, duration=frames / 25)
        exact = self._setting.dtype == torch.float32
        tuning = Tuning(bfloat16=False) if exact else Tuning()
        with tempfile.TemporaryDirectory() as folder:
            host = OnDevice(self._setting.device, Path(folder))
            lips = engine.MuseTalkLipSync(host=host, models=self._source, tuning=tuning)
            made: list[Any] = []
            first: list[float] = []

            def encode(clip: Any, frames: Any, on_frame: Any) -> EncodingResult:
                def heard_of(count: int) -> None:
                    if not first:
                        first.append(time.perf_counter())
                    on_frame(count)

                return encode_frames(
                    frames,
                    Path(folder) / "out.mp4",
                    frame_rate=clip.frame_rate,
                    config=encoding,
                    audio=clip.clip,
                    on_frame=heard_of,
                )

            def run() -> None:
                made.append(time.perf_counter())
                picture, sound = load_avatar(avatar), load_speech(speech, duration=config.duration)
                with BackgroundEncode(encode) as background:  # where a GPU makes the faces
                    clip = lips.run(
                        picture, sound, config, upscale_model=upscale_model, encode=background
                    )
                    began = time.perf_counter()
                    encoded = background.finish(clip, idle, poll_seconds=POLL_SECONDS)
                if family_of(encoding.codec) and encoded.encoder != encoding.codec:
                    raise RuntimeError(*encoded.notes)
                made.extend([clip, time.perf_counter() - began])

            sample = as_a_caller(run)
            began, result, encoding = made
            stages = {**result.report["seconds"], "compose and encode": encoding}
            stages["the rest"] = sample.wall - sum(stages.values())
            self._faces[quality] = faces_of(result)
            return {
                "sample": sample,
                "frames": result.frame_count,
                "dtype": result.report["dtype"],
                "batch": result.report["batch"],
                "first_frame": first[0] - began,
                "peak_device_bytes": result.report["peak_device_bytes"],
                "upscale": result.report.get("upscale"),
                "half_rate": result.report.get("half_rate"),
                "decoder_difference": result.report.get("decoder_difference"),
                "stages": stages,
            }

    def sharpen(self, scale: int, side: int, part: bool) -> Sample:
        """Time the upscale model on one face of so many pixels: what a mask shows, or all of it."""
        if self._upscaler is None:
            self._upscaler = UpscaleModel(compact_model(scale))
            self._upscaler.bytes_needed(CROP_SIZE, 2, self._setting.dtype)
            self._upscaler.module(self._setting.dtype, cuts=True).to(self._setting.device)
        model = self._upscaler
        crop = np.random.default_rng(5).integers(0, 256, CROP_SHAPE, np.uint8)
        wanted, kept = (side, LOWER_FACE) if part else (None, None)
        return measured(
            lambda: model.sharpened(crop, model.passes_for(side), wanted=wanted, kept=kept)
        )

    def between(self, one: Quality, other: Quality) -> dict[str, dict[str, float]]:
        """Return how far the faces of two qualities are apart, in levels of 255.

        Of the frames with even and with odd numbers: in a still's low those of a half rate are odd.
        """
        differences = np.abs(self._faces[one].astype(float) - self._faces[other])
        told: dict[str, dict[str, float]] = {}
        for name, part in (("even", differences[::2]), ("odd", differences[1::2])):
            psnr = 10 * np.log10(255**2 / max(np.square(part).mean(), 1e-9)) if part.size else 0.0
            told[name] = {
                "mean": round(float(part.mean()), 2) if part.size else 0.0,
                "largest": float(part.max(initial=0)),
                "psnr_db": round(float(psnr), 1),
            }
        return told

    def _quality(self) -> Quality:
        return "high" if self._setting.dtype == torch.float32 else "medium"

    def _make_networks(self) -> None:
        with torch.inference_mode(False):
            for role in ("unet", "vae", "whisper", "bisenet", "s3fd", "rtmpose"):
                self.network(role).to(self._setting.device)  # an engine took them from a GPU again

    def known(self, avatar: str, speech: str, frames: int) -> list[dict[str, float]]:
        """Make so many frames of an avatar twice; return what each run's stages took, seconds."""
        self._make_networks()
        config = LipSyncConfig(mode="musetalk", quality="high", duration=frames / 25)
        tables: list[dict[str, float]] = []
        with tempfile.TemporaryDirectory() as folder:
            host = OnDevice(self._setting.device, Path(folder))
            lips = engine.MuseTalkLipSync(host=host, models=self._source)

            def run() -> None:
                for _ in range(2):
                    picture, sound = load_avatar(avatar), load_speech(speech, duration=frames / 25)
                    tables.append(lips.run(picture, sound, config).report["seconds"])

            as_a_caller(run)
        return tables

    def as_published(self, avatar: str, frames: int) -> Sample:
        """Time what the authors' script does to so many frames after their faces are made.

        Parse and blend every frame, write it as PNG, read the PNGs, encode them twice.
        """
        frame = load_avatar(Path(avatar)).first_frame()
        side = min(frame.shape[:2]) // 2
        x, y = (frame.shape[1] - side) // 2, (frame.shape[0] - side) // 2
        box = FaceBox(x, y, x + side, y + side)
        bisenet = self.network("bisenet")
        face = np.random.default_rng(5).integers(0, 256, (side, side, 3), dtype=np.uint8)
        with tempfile.TemporaryDirectory() as folder:
            return measured(
                lambda: publish(frame, box, bisenet, face, frames=frames, folder=Path(folder))
            )

    def peaks(self) -> dict[str, int | None]:
        """Return the most memory taken so far, bytes, of the process and of the GPU."""
        on_gpu = self._setting.device.startswith("cuda")
        device = torch.cuda.max_memory_allocated(self._setting.device) if on_gpu else None
        return {"resident": peak_memory(), "device": device}


def compact_model(scale: int) -> Any:
    """Return an upscale model of the size of ESRGAN's compact one, with random weights."""
    import spandrel
    from spandrel.architectures.Compact import Compact

    from support.random_weights import fill_randomly

    with torch.inference_mode(False):
        network = fill_randomly(Compact(num_feat=64, num_conv=16, upscale=scale), gain=0.1)
        return spandrel.ModelLoader().load_from_state_dict(network.state_dict())


def publish(
    frame: np.ndarray, box: FaceBox, bisenet: Any, face: np.ndarray, *, frames: int, folder: Path
) -> None:
    """Finish frames as TMElyralab/MuseTalk's script does, with the same libraries."""
    from fractions import Fraction

    import cv2
    from PIL import Image

    for number in range(frames):
        region = replaced_region(parse_face(bisenet, cut_square(frame, box)), MaskSettings())
        mask = np.zeros(frame.shape[:2], np.uint8)
        mask[box.area] = face_mask(region, box)
        body, large = Image.fromarray(frame), Image.fromarray(frame)
        large.paste(Image.fromarray(face), (box.x0, box.y0))
        body.paste(large, (0, 0), Image.fromarray(mask))
        cv2.imwrite(str(folder / f"{number:08d}.png"), np.asarray(body)[:, :, ::-1])
    pictures = (
        np.asarray(cv2.imread(str(path)))[:, :, ::-1] for path in sorted(folder.glob("*.png"))
    )
    first, second = folder / "first.mp4", folder / "second.mp4"
    config = [EncodingConfig(quality="medium", crf=crf) for crf in UPSTREAM_CRFS]
    shown = map(np.ascontiguousarray, pictures)
    encode_frames(shown, first, frame_rate=Fraction(25), config=config[0])
    encode_frames(VideoReader(first).frames(), second, frame_rate=Fraction(25), config=config[1])


def faces_of(run: Any) -> np.ndarray:
    """Return uint8 (T, h, w, 3): what lies in the face's box of the first frame."""
    box = run.report["face"]["box"] or (0, 0, run.width, run.height)
    x0, y0, x1, y1 = map(round, box)
    return np.stack([frame[y0:y1, x0:x1] for frame in run.open_frames()])


def idle(count: int) -> None:
    """Hear of a frame and do nothing."""


class OnDevice(StandaloneHost):
    """A plain process that computes where it is told to."""

    def __init__(self, device: str, temp_directory: Path) -> None:
        super().__init__(temp_directory=temp_directory)
        self._device = device

    def device(self) -> str:
        return self._device


def as_a_caller(run: Callable[[], None]) -> Sample:
    """Time a run outside of this process's inference mode, as an engine is called."""
    with torch.inference_mode(False):
        return measured(run)


def noise(seed: int, *shape: int) -> torch.Tensor:
    """Return standard normal float32 values, the same on every machine."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def ceiling(dtype: torch.dtype, device: str) -> float:
    """Return the best GFLOP/s of a matrix product and of 3 x 3 convolutions here."""
    from torch.nn import functional

    best = 0.0
    side = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(side, side).to(device, dtype) for _ in range(2))
    work: list[tuple[float, Callable[[], Any]]] = [(2.0 * side**3, lambda: a @ b)]
    for channels, size in ((512, 64), (256, 128)):
        maps = torch.randn(1 if device == "cpu" else 8, channels, size, size).to(device, dtype)
        kernel = torch.randn(channels, channels, 3, 3).to(device, dtype)
        for form in (torch.contiguous_format, torch.channels_last):
            x, w = maps.contiguous(memory_format=form), kernel.contiguous(memory_format=form)
            flops = 18.0 * channels**2 * size**2 * len(maps)
            work.append((flops, lambda x=x, w=w: functional.conv2d(x, w, padding=1)))
    for flops, task in work:
        for _ in range(4):
            began = time.perf_counter()
            task()
            if device != "cpu":
                torch.cuda.synchronize()
            best = max(best, flops / (time.perf_counter() - began) / 1e9)
    return best

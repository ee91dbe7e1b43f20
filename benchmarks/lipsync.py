"""Our lip-sync beside diffusers' and transformers' networks, stage by stage and from end to end.

    python benchmarks/lipsync.py                      # a few minutes on two processors
    python benchmarks/lipsync.py --dtype bf16 --batch 1 2 4 --rounds 7
    python benchmarks/lipsync.py --device cuda:0 --dtype fp16 --only stages --batch 1 4 8 16
    python benchmarks/lipsync.py --size 1920x1080 --avatar video --only video --json
    python benchmarks/lipsync.py --only shares --rounds 1 --frames 250    # our stages of a long run
    python benchmarks/lipsync.py --device cuda:0 --dtype fp16 --only shares --contrast 0.2
    python benchmarks/lipsync.py --device cuda:0 --dtype fp16 --only shares --codec h264_nvenc
    python benchmarks/lipsync.py --only known --avatar video    # the same avatar a second time
    python benchmarks/lipsync.py --only stages --batch 1 4 --beside encode
    python benchmarks/lipsync.py --only low --dtype bf16 --frames 16 --rounds 3
    python benchmarks/lipsync.py --only sharp --size 1920x1080 --frames 8    # needs spandrel

Both sides have random weights of true size, equal inputs, and a process each; their rounds take
turns. End to end only the networks differ: preparation, blending and encoder are ours on both
sides. One more line adds what the authors' script does instead: parsing every frame, PNG files,
two encodes. --heap says whose freed memory glibc keeps: "both" compares the networks, "ours" our
command line with a plain process. --beside keeps another program busy beside both sides. Speed does
not depend on the weights; the errors do. Random weights paint noise; --contrast damps it on both
sides, so that it is not what is encoded.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from alternating import Comparison, Sample
from lipsync_side import Setting, ceiling, serve
from PIL import Image

from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.musetalk.inputs import load_speech

SAMPLES = Path(__file__).resolve().parent.parent / "web" / "samples"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Of one frame (or one crop, or 30 s of sound) as the networks were published: GFLOP.
WORK = {"unet": 177.8, "decode": 622.2, "faces": 800.0, "encode": 545.4, "whisper": 37.0}
AVATAR_FRAMES = 50
WARM_UP_FRAMES = 8  # enough for every step of a run to have run once, at the batch it takes
SHARP_SIDES = (512, 778, 1024)  # pixels of a face: a model that doubles sees the last two twice
SIDES = ("ours", "reference")
Files = tuple[str, str]  # the avatar's and the speech's


class Child:
    """A side in its process; calls are answered one at a time."""

    def __init__(self, setting: Setting) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(setting, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, name: str, *arguments: object) -> Any:
        self._pipe.send((name, arguments))
        good, answer = self._pipe.recv()
        if not good:
            raise SystemExit(f"{name} failed: {answer}")
        return answer

    def close(self) -> None:
        self._pipe.send(None)
        self._process.join()


def in_rounds(rounds: int, asked: dict[str, Any]) -> Comparison:
    """Ask the sides in turns; the first of a round is another one each time."""
    names, made = list(asked), []
    for number in range(rounds):
        first = number % len(names)
        made.append({name: asked[name]() for name in names[first:] + names[:first]})
    quiet = sum(all(sample.is_quiet for sample in samples.values()) for samples in made)
    return Comparison({name: [s[name] for s in made] for name in names}, rounds, quiet)


def compared(comparison: Comparison) -> dict[str, Any]:
    """Return the ratio of the reference's time to ours, by the clock and by processor time."""
    samples = zip(comparison.samples["ours"], comparison.samples["reference"], strict=True)
    by_processor = statistics.median(theirs.cpu / ours.cpu for ours, theirs in samples)
    return {
        "ratio": comparison.ratio("ours", "reference"),
        "ratio_of_processor_time": round(by_processor, 3),
        "seconds": {side: round(comparison.wall(side), 4) for side in SIDES},
        "processor_seconds": {side: round(comparison.cpu(side), 4) for side in SIDES},
        "contention": comparison.contention(),
    }


def stage(sides: dict[str, Child], name: str, batch: int, rounds: int, limit: float) -> dict:
    """Compare one stage; limit: GFLOP/s of this machine in our precision.

    The first time of each side is told apart: a network that is new prepares its kernels then,
    as it does once a run.
    """
    asked = {
        side: lambda child=child: child.ask("step", name, batch) for side, child in sides.items()
    }
    first = {side: round(ask().wall, 3) for side, ask in asked.items()}
    comparison = in_rounds(rounds, asked)
    row = {"stage": name, "batch": batch, **compared(comparison), "first_seconds": first}
    count = batch if name in ("unet", "decode", "faces") else 1
    row["per_second"] = {side: round(count / comparison.wall(side), 3) for side in SIDES}
    # Above 1 where our convolutions leave multiplications out.
    row["published_work_of_ceiling"] = round(
        WORK[name] * count / comparison.wall("ours") / limit, 3
    )
    return {**row, "error": error_of(sides, name, batch)}


def error_of(sides: dict[str, Child], name: str, batch: int) -> dict[str, float]:
    """Return how far our output is from the reference's; of pixels, in levels of 255."""
    ours, theirs = (sides[side].ask("result", name, batch).astype(np.float64) for side in SIDES)
    difference = np.abs(ours - theirs)
    return {
        "largest": float(difference.max()),
        "mean": float(difference.mean()),
        "equal": float((difference == 0).mean()),
    }


def video(sides: dict[str, Child], files: Files, options: argparse.Namespace) -> dict[str, Any]:
    """Compare whole runs, from the files to the mp4."""
    answers: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}

    def ask(side: str, frames: int = options.frames) -> Sample:
        answers[side].append(sides[side].ask("video", *files, frames, encoding(options)))
        return answers[side][-1]["sample"]

    for side in SIDES:
        ask(side, min(WARM_UP_FRAMES, options.frames))
    comparison = in_rounds(options.rounds, {side: lambda side=side: ask(side) for side in SIDES})
    last = {side: answers[side][-1] for side in SIDES}
    total = last["ours"]["sample"].wall
    published = sides["reference"].ask("as_published", files[0], options.frames).wall
    composed = last["reference"]["stages"]["compose and encode"]
    return {
        **compared(comparison),
        "avatar": options.avatar,
        "size": options.size,
        "frames": last["ours"]["frames"],
        "encoder": options.encoder,
        "batch": last["ours"]["batch"],
        "per_second": {s: round(last[s]["frames"] / comparison.wall(s), 3) for s in SIDES},
        "stages": {s: {k: round(v, 3) for k, v in last[s]["stages"].items()} for s in SIDES},
        "shares": {k: round(v / total, 4) for k, v in last["ours"]["stages"].items()},
        "as_published_seconds": round(comparison.wall("reference") - composed + published, 3),
    }


def shares(sides: dict[str, Child], files: Files, options: argparse.Namespace) -> dict[str, Any]:
    """Say what each of our stages takes by the clock, of the run of median length."""
    ask = sides["ours"].ask
    ask("video", *files, min(WARM_UP_FRAMES, options.frames), encoding(options))
    runs = [ask("video", *files, options.frames, encoding(options)) for _ in range(options.rounds)]
    runs.sort(key=lambda run: run["sample"].wall)
    answer = runs[len(runs) // 2]
    total, others = answer["sample"].wall, answer["sample"].others
    return {
        "avatar": options.avatar,
        "size": options.size,
        "frames": answer["frames"],
        "encoder": options.encoder,
        "codec": options.codec,
        "contrast": options.contrast,
        "batch": answer["batch"],
        "seconds": [round(run["sample"].wall, 3) for run in runs],
        "per_second": round(answer["frames"] / total, 2),
        "first_frame_seconds": round(answer["first_frame"], 3),
        "peak_device_bytes": answer["peak_device_bytes"],
        "processors_used": round(answer["sample"].cpu / total, 2),
        "processors_used_by_others": None if others is None else round(others / total, 3),
        "stage_seconds": {name: round(value, 3) for name, value in answer["stages"].items()},
        "shares": {name: round(value / total, 4) for name, value in answer["stages"].items()},
    }


def known(sides: dict[str, Child], files: Files, options: argparse.Namespace) -> dict[str, Any]:
    """Say what the stages of two runs of one engine take, seconds: the second knows the avatar."""
    first, second = sides["ours"].ask("known", *files, options.frames)
    return {"avatar": options.avatar, "size": options.size, "first": first, "second": second}


def sharp(sides: dict[str, Child], files: Files, options: argparse.Namespace) -> dict[str, Any]:
    """Say how much longer a run takes whose faces an upscale model sharpens, and a face alone."""
    scales, told = {"plain": 0, "sharp": options.upscale}, {}

    def ask(name: str, frames: int = options.frames) -> Sample:
        arguments = (*files, frames, encoding(options), scales[name])
        told[name] = sides["ours"].ask("video", *arguments)
        return told[name]["sample"]

    for name in scales:
        ask(name, min(WARM_UP_FRAMES, options.frames))
    comparison = in_rounds(options.rounds, {name: lambda name=name: ask(name) for name in scales})
    longer = comparison.ratio("plain", "sharp")
    samples = zip(comparison.samples["plain"], comparison.samples["sharp"], strict=True)
    by_processor = statistics.median(more.cpu / less.cpu for less, more in samples)
    stages = {name: run["stages"].items() for name, run in told.items()}
    return {
        "size": options.size,
        "frames": told["sharp"]["frames"],
        "upscale": told["sharp"]["upscale"],
        "seconds": {name: round(comparison.wall(name), 3) for name in scales},
        "times_as_long": longer,
        "times_the_processor_time": round(by_processor, 3),
        "stages": {name: {k: round(v, 3) for k, v in all_of} for name, all_of in stages.items()},
        "contention": comparison.contention(),
        "of_one_face": sharp_faces(sides["ours"], options),
    }


def sharp_faces(child: Child, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Say what UNet and decoder take for a face, and the upscale model for faces of some sizes."""
    batch, rows = options.batch[0], []
    for side in SHARP_SIDES:
        asked: dict[str, Any] = {
            "generated": lambda: child.ask("step", "faces", batch).of_one(batch),
            "sharpened": lambda side=side: child.ask("sharpen", options.upscale, side, True),
            "the whole crop": lambda side=side: child.ask("sharpen", options.upscale, side, False),
        }
        for ask in asked.values():
            ask()
        taken = in_rounds(options.rounds, asked)
        seconds = {name: round(taken.cpu(name), 3) for name in asked}
        share = seconds["sharpened"] / seconds["generated"]
        rows.append({"pixels": side, "processor_seconds": seconds, "share": round(share, 3)})
    return rows


def low(sides: dict[str, Child], files: Files, options: argparse.Namespace) -> dict[str, Any]:
    """Compare quality low, with the small decoder, to medium: whole runs, ours alone."""
    names, told, child = ("medium", "low"), {}, sides["ours"]

    def ask(name: str, frames: int = options.frames) -> Sample:
        told[name] = child.ask("video", *files, frames, encoding(options), 0, name)
        return told[name]["sample"]

    for name in names:
        ask(name, min(WARM_UP_FRAMES // 2, options.frames))
    comparison = in_rounds(options.rounds, {name: lambda name=name: ask(name) for name in names})
    samples = zip(comparison.samples["low"], comparison.samples["medium"], strict=True)
    by_processor = statistics.median(theirs.cpu / ours.cpu for ours, theirs in samples)
    stages = {name: run["stages"].items() for name, run in told.items()}
    return {
        "avatar": options.avatar,
        "size": options.size,
        "frames": told["low"]["frames"],
        "dtype": told["low"]["dtype"],
        "times_as_fast": comparison.ratio("low", "medium"),
        "times_by_processor_time": round(by_processor, 3),
        "seconds": {name: round(comparison.wall(name), 3) for name in names},
        "processor_seconds": {name: round(comparison.cpu(name), 3) for name in names},
        "stages": {name: {k: round(v, 3) for k, v in all_of} for name, all_of in stages.items()},
        "half_rate": told["low"]["half_rate"],
        "decoder_difference": told["low"]["decoder_difference"],
        "levels_apart": child.ask("between", "low", "medium"),
        "contention": comparison.contention(),
    }


def encoding(options: argparse.Namespace) -> EncodingConfig:
    return EncodingConfig(quality=options.encoder, codec=options.codec)


WHOLE_RUNS = {"video": video, "shares": shares, "known": known, "sharp": sharp, "low": low}
OURS_ALONE = ("shares", "known", "sharp", "low")
# One busy program each: a loop, an encoder at two threads, PyTorch at as many as it takes.
BUSY = {
    "loop": "while True: pass",
    "encode": """
from fractions import Fraction
import av, numpy as np
context = av.CodecContext.create("libx264", "w")
context.width, context.height, context.pix_fmt = 1920, 1080, "yuv420p"
context.time_base, context.thread_count = Fraction(1, 25), 2
noise = np.random.default_rng(0).integers(0, 255, (64, 120, 3), dtype=np.uint8)
planes = np.kron(noise, np.ones((17, 16, 1), np.uint8))[:1080]
for number in range(1 << 40):
    frame = av.VideoFrame.from_ndarray(np.roll(planes, number * 7, axis=1), format="rgb24")
    frame = frame.reformat(format="yuv420p")
    frame.pts = number
    context.encode(frame)
""",
    "torch": """
import torch
maps, kernel = torch.randn(1, 128, 256, 256), torch.randn(128, 128, 3, 3)
while True: torch.nn.functional.conv2d(maps, kernel, padding=1)
""",
}
# Before each: its input ends when this process does, however that ends.
WITH_ITS_PARENT = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
"""
BUSY_AFTER = 5.0  # seconds, until such a program computes


def write_speech(folder: Path, frames: int) -> Path:
    """Write the bundled speech as often as it takes to last so many frames at 25 a second."""
    clip = load_speech(SAMPLES / "speech.flac").clip
    wanted = math.ceil(frames * clip.sample_rate / 25)
    samples = np.tile(clip.samples[0], math.ceil(wanted / clip.samples.shape[1]))[:wanted]
    with wave.open(str(folder / "speech.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(clip.sample_rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return folder / "speech.wav"


def write_avatar(folder: Path, size: str, kind: str) -> Path:
    """Write the bundled portrait at a size, as a picture or as a clip that sways a little."""
    width, height = map(int, size.split("x"))
    portrait = Image.open(SAMPLES / "portrait.png").convert("RGB").resize((height, height))
    picture = Image.new("RGB", (width, height), portrait.getpixel((2, 2)))
    picture.paste(portrait, ((width - height) // 2, 0))
    if kind == "still":
        picture.save(folder / "avatar.png")
        return folder / "avatar.png"
    pixels = np.asarray(picture)
    sways = (np.roll(pixels, round(6 * np.sin(i / 12)), axis=1) for i in range(AVATAR_FRAMES))
    encode_frames(sways, folder / "avatar.mp4", frame_rate=Fraction(25))
    return folder / "avatar.mp4"


def machine(device: str) -> dict[str, Any]:
    """Describe where this runs."""
    name, flags = platform.processor(), ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = dict(x.split(":", 1) for x in cpuinfo.read_text().splitlines() if ":" in x)
        fields = {key.strip(): value.strip() for key, value in lines.items()}
        name, flags = fields.get("model name", name), fields.get("flags", "")
    wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
    return {
        "processor": name,
        "instructions": [flag for flag in wanted if flag in flags.split()],
        "processors": os.cpu_count(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu",
        "torch": torch.__version__,
    }


@contextmanager
def beside(kind: str | None) -> Iterator[None]:
    """Keep another program busy meanwhile, at most as long as this one lives; None: nothing."""
    if kind is None:
        yield
        return
    command = [sys.executable, "-c", WITH_ITS_PARENT + BUSY[kind]]
    program = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        time.sleep(BUSY_AFTER)
        if program.poll() is not None:
            refuse(f"Expected {kind} to compute beside the networks, but it ended.")
        yield
    finally:
        program.kill()
        program.wait()


def refuse(reason: str) -> NoReturn:
    raise SystemExit(reason)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="of our side")
    parser.add_argument("--against", choices=("fp32", "same"), default="fp32", help="its precision")
    parser.add_argument("--batch", type=int, nargs="+", default=[2])
    parser.add_argument("--rounds", type=int, default=3, help="7 for a figure worth keeping")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--heap", choices=("both", "ours", "neither"), default="both")
    parser.add_argument("--only", choices=("stages", *WHOLE_RUNS), help="a part of the work")
    parser.add_argument("--beside", choices=BUSY, help="what else computes on this machine")
    parser.add_argument("--stages", nargs="+", choices=WORK, default=["unet", "decode"])
    parser.add_argument("--avatar", choices=("still", "video"), default="still")
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--frames", type=int, default=2, help="of the video, at 25 a second")
    parser.add_argument("--contrast", type=float, default=1.0, help="of the faces in whole runs")
    parser.add_argument("--upscale", type=int, default=2, help="times, of the model of sharp")
    parser.add_argument("--encoder", choices=("high", "medium", "low", "fast"), default="medium")
    parser.add_argument("--codec", default="h264", help="h264_nvenc: the card's, or a refusal")
    options = parser.parse_args()
    if options.device != "cpu" and not torch.cuda.is_available():
        refuse(f"Expected the device {options.device}, but torch finds no GPU.")
    return options


def main() -> int:
    """Compare and print."""
    options = arguments()
    ours = DTYPES[options.dtype]
    theirs = ours if options.against == "same" else torch.float32
    torch.set_num_threads(options.threads)
    with torch.inference_mode():
        limit = ceiling(ours, options.device)
    report: dict[str, Any] = {
        "machine": machine(options.device),
        "settings": {key: value for key, value in vars(options).items() if key != "json"},
        "ceiling_gflops": round(limit, 1),
    }
    say = (lambda _: None) if options.json else (lambda text: print(text, flush=True))
    say(f"{report['machine']}\nceiling {limit:.0f} GFLOP/s in {options.dtype}")
    device, threads, heap = options.device, options.threads, options.heap
    sides = {"ours": Child(Setting("ours", device, ours, threads, heap != "neither"))}
    if options.only not in OURS_ALONE:
        sides["reference"] = Child(Setting("reference", device, theirs, threads, heap == "both"))
    with beside(options.beside):
        if options.only in (None, "stages"):
            report["stages"] = []
            for batch in options.batch:
                for name in options.stages:
                    row = stage(sides, name, batch, options.rounds, limit)
                    report["stages"].append(row)
                    say(stage_line(row))
        whole = options.only or "video"
        if whole in WHOLE_RUNS:
            with tempfile.TemporaryDirectory() as folder:
                avatar = write_avatar(Path(folder), options.size, options.avatar)
                speech = write_speech(Path(folder), options.frames)
                if options.contrast != 1:
                    for child in sides.values():
                        child.ask("soften", options.contrast)
                report[whole] = WHOLE_RUNS[whole](sides, (str(avatar), str(speech)), options)
            say(video_lines(report[whole]) if whole == "video" else json.dumps(report[whole]))
    report["peak_bytes"] = {side: child.ask("peaks") for side, child in sides.items()}
    say(f"peak memory, bytes: {report['peak_bytes']}")
    for child in sides.values():
        child.close()
    if options.json:
        print(json.dumps(report, indent=2))
    return 0


def stage_line(row: dict[str, Any]) -> str:
    ratio, error = row["ratio"], row["error"]
    busy = " (the machine was busy)" if row["contention"]["contended"] else ""
    return (
        f"{row['stage']:8} batch {row['batch']:2}: {row['per_second']['ours']:.3f} a second, "
        f"{ratio['median']:.2f} x the reference ({ratio['least']:.2f} to {ratio['most']:.2f}), by "
        f"processor time {row['ratio_of_processor_time']:.2f}; "
        f"{row['published_work_of_ceiling']:.0%} of the ceiling if it did all of the published "
        f"network's work{busy}; first time {row['first_seconds']['ours']:.1f} s; error at most "
        f"{error['largest']:.2e}, {error['equal']:.4%} equal"
    )


def video_lines(row: dict[str, Any]) -> str:
    ratio = row["ratio"]
    shares = ", ".join(f"{name} {share:.1%}" for name, share in row["shares"].items())
    slow = row["as_published_seconds"] / row["seconds"]["ours"]
    return (
        f"{row['frames']} frames from {row['avatar']} to mp4, {row['size']}, encoder "
        f"{row['encoder']}: {row['per_second']['ours']:.3f} frames/s, {ratio['median']:.2f} x the "
        f"reference's networks ({ratio['least']:.2f} to {ratio['most']:.2f}), by processor time "
        f"{row['ratio_of_processor_time']:.2f}\n"
        f"  {slow:.2f} x the reference as its authors run it\n  our time: {shares}"
    )


if __name__ == "__main__":
    sys.exit(main())

"""Decide everything about an encode before anything is written."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ...errors import EncodeError
from ..color import Colors, is_deep
from ..interfaces import EncodingConfig
from ..read.stream_facts import BOTTOM_FIRST
from .codec_options import checked_options
from .codecs import CODECS, CodecSpec, codec_for, container_for, encoder_options, safe_options
from .ffmpeg_command import find_ffmpeg, named_ffmpeg, options_there, why_not_own
from .fitting import place
from .hardware import family_of, hardware_format, hardware_options, try_encoder
from .known_options import COMMON
from .output_file import checked_output, refuse_sources, refuse_url
from .pixel_formats import has_alpha, pixel_format_for, step_of
from .plan import ANIMATIONS, EncodePlan, Extras, PictureFacts

logger = logging.getLogger("avatarvideo.encoders.write.make_plan")


def make_plan(
    path: str | Path,
    pictures: PictureFacts,
    config: EncodingConfig,
    extras: Extras | None = None,
    *,
    container: str | None = None,
) -> EncodePlan:
    """Check and decide; raises EncodeError. pictures: those given."""
    size, frame_rate = pictures.size, pictures.frame_rate
    extras = extras or Extras()
    holder, absolute = checked_target(path, config, sources=extras.sources, container=container)
    spec = codec_for(config, holder)
    form, pixel_format = _form(spec, config)
    hardware = family_of(config.codec) is not None
    config = _with_checked_options(spec, config)
    if min(size) < 1:
        raise EncodeError(f"Expected a picture size above zero, got {size[0]}x{size[1]}.")
    target = (config.width, config.height)
    plan = EncodePlan(
        path=absolute,
        container=holder,
        spec=spec,
        encoder=spec.encoder,
        options=_software_options(spec, config, form),
        pixel_format=pixel_format,
        channels=4 if form[1] else 3,
        placement=place(size, target, config.fit, step_of(pixel_format)),
        frame_rate=frame_rate,
        time_base=pictures.time_base or 1 / frame_rate,
        config=config,
        metadata=dict(extras.metadata),
        notes=_notes(spec, config, holder),
        sources=extras.sources,
    )
    if pictures.field_order and _keeps_fields(plan, size):
        plan = _with_fields(plan, pictures.field_order)
    if not spec.is_known or (config.codec_options is not None and not hardware):
        check_encoder(plan)
    if pictures.colors is not None and pictures.colors.is_hdr:
        plan = _with_hdr(plan, pictures.colors)
    return _with_hardware(plan, form) if hardware else _with_software(plan)


def check_choices(config: EncodingConfig, container: str) -> None:
    """Raise EncodeError for what ``make_plan`` refuses whatever the pictures are; opens nothing."""
    spec = codec_for(config, container)
    form, _ = _form(spec, config)
    _software_options(spec, _with_checked_options(spec, config), form)
    if config.backend == "own ffmpeg" and spec.is_ffmpeg:
        named_ffmpeg(config.ffmpeg)


def _with_checked_options(spec: CodecSpec, config: EncodingConfig) -> EncodingConfig:
    if config.codec_options is None:
        return config
    encoder = config.codec if family_of(config.codec) is not None else spec.encoder
    options = checked_options(config.codec_options, encoder=encoder, where="codec_options")
    return replace(config, codec_options=options)


def _software_options(
    spec: CodecSpec, config: EncodingConfig, form: tuple[int, bool]
) -> dict[str, str]:
    """Return the options of the software encoder, also where it only stands in for hardware."""
    if family_of(config.codec) is None:
        return encoder_options(spec, config, form)
    # The preset is meant for the hardware, and so are options that only it has.
    given = config.codec_options or {}
    common = {name: value for name, value in given.items() if name in COMMON}
    return encoder_options(spec, replace(config, preset=None, codec_options=common), form)


def _keeps_fields(plan: EncodePlan, size: tuple[int, int]) -> bool:
    """Tell whether pictures made of two fields stay so: in their size, by a codec that says it."""
    config, fields = plan.config, plan.spec.fields
    asked = fields == "always" or (fields == "asked" and config.interlaced == "keep")
    software = family_of(config.codec) is None and config.backend == "built-in"
    same_size = plan.placement.is_identity and plan.size == size
    return asked and software and same_size and plan.channels == 3


def _with_fields(plan: EncodePlan, order: int) -> EncodePlan:
    kept = replace(plan, field_order=order)
    if order != BOTTOM_FIRST or plan.spec.bottom_first is None:
        return kept
    name, value = plan.spec.bottom_first
    values = ":".join(filter(None, (value, plan.options.get(name, ""))))
    return replace(kept, options={**plan.options, name: values})


def checked_target(
    path: str | Path,
    config: EncodingConfig,
    *,
    sources: Iterable[str | Path],
    container: str | None = None,
) -> tuple[str, Path]:
    """Return the container of a result and its absolute path, of a folder for a sequence.

    Raises EncodeError where it cannot be written or would replace a file it is made from.
    """
    refuse_url(path)
    holder = container_for(Path(path).suffix, container or config.container)
    absolute = checked_output(
        result_path(path, holder),
        overwrite=config.overwrite,
        is_folder=holder == "png",
    )
    refuse_sources(absolute, sources)
    return holder, absolute


def _form(spec: CodecSpec, config: EncodingConfig) -> tuple[tuple[int, bool], str]:
    """Return (bit depth, alpha) and FFmpeg's pixel format."""
    if config.pixel_format is None:
        form = pixel_format_for(spec, config)
        return form, spec.pixel_formats[form]
    if not spec.is_ffmpeg:
        raise EncodeError(
            f"Expected no pixel_format for {spec.name}, which has only one, got "
            f"{config.pixel_format!r}: leave it out."
        )
    return (8, has_alpha(config.pixel_format)), config.pixel_format


def _notes(spec: CodecSpec, config: EncodingConfig, holder: str) -> tuple[str, ...]:
    notes: list[str] = []
    if config.pingpong and holder not in ANIMATIONS:
        notes.append(f"Only GIF and WebP support pingpong: it was ignored for the {holder}.")
    if config.backend == "own ffmpeg" and not spec.is_ffmpeg:
        notes.append(f"{spec.name} is always written by the built-in encoder.")
    if config.crf is not None and spec.is_known and spec.qualities[config.quality][1] is None:
        notes.append(f"{spec.name} has no crf: {config.crf} was ignored.")
    return tuple(notes)


def check_encoder(plan: EncodePlan) -> None:
    """Try an encoder with options of the user's. Raises EncodeError with what it says."""
    given = set(plan.config.codec_options or {})
    reason, unknown, where = None, given, ""
    if plan.spec.is_ffmpeg and plan.config.backend == "own ffmpeg":
        executable = find_ffmpeg(plan.config.ffmpeg)
        where = f" in {str(executable)!r}"
        unknown = given - options_there(executable, plan.encoder)
    elif plan.spec.is_ffmpeg:
        reason, unused = try_encoder(plan)
        unknown = given & unused
    if reason is not None:
        raise EncodeError(
            f"Expected {plan.encoder} to open with {plan.pixel_format} and its options, but it "
            f"says: {reason}."
        )
    if unknown:
        raise EncodeError(
            f"Expected options of {plan.encoder}{where}, which does not know "
            f"{', '.join(sorted(unknown))}: remove it."
        )


def _with_software(plan: EncodePlan) -> EncodePlan:
    least = plan.spec.least_side
    if min(plan.size) < least:
        raise EncodeError(
            f"Expected pictures of at least {least}x{least} for {plan.spec.name}, got "
            f"{plan.size[0]}x{plan.size[1]}: choose h264 or a larger size."
        )
    if max(plan.size) > plan.spec.most_side:
        raise EncodeError(
            f"Expected pictures of at most {plan.spec.most_side} pixels a side for "
            f"{plan.spec.name}, got {plan.size[0]}x{plan.size[1]}: give a smaller width or height."
        )
    return replace(plan, options=safe_options(plan.spec, plan.options, plan.size[0]))


def result_path(path: str | Path, container: str) -> Path:
    """Return what a result asked for under a name is called: a sequence's folder has no suffix."""
    path = Path(path)
    is_folder = container == "png" and path.suffix.lower() == ".png"
    return path.with_suffix("") if is_folder else path


def _with_hdr(plan: EncodePlan, colors: Colors) -> EncodePlan:
    deep = is_deep(plan.pixel_format) and plan.spec.is_ffmpeg
    if deep and plan.config.backend == "built-in":
        return replace(plan, colors=colors)
    if deep:
        note = "Pictures reach your own ffmpeg with 8 bits: only the built-in encoder keeps HDR."
    elif _has_ten_bits(plan.spec):
        note = "To keep HDR choose 10 bits (bit depth 10)."
    else:
        codecs = [spec.name for spec in CODECS.values() if _has_ten_bits(spec)]
        note = f"To keep HDR choose 10 bits (bit depth 10) and one of {', '.join(codecs)}."
    return replace(plan, notes=(*plan.notes, note))


def _has_ten_bits(spec: CodecSpec) -> bool:
    return any(depth == 10 for depth, _alpha in spec.pixel_formats)


def _with_hardware(plan: EncodePlan, form: tuple[int, bool]) -> EncodePlan:
    encoder = plan.config.codec
    chosen = replace(
        plan,
        encoder=encoder,
        options=hardware_options(encoder, plan.spec, plan.config)
        | dict(plan.config.codec_options or {}),
        pixel_format=hardware_format(encoder, form[0]),
    )
    if plan.config.backend == "own ffmpeg":
        reason = why_not_own(find_ffmpeg(plan.config.ffmpeg), chosen)
    else:
        reason, _ = try_encoder(chosen)
    if reason is None:
        return chosen
    notes = [f"{encoder} cannot be used here ({reason}); {plan.encoder} was used instead."]
    logger.warning("%s", notes[0])
    if dropped := sorted(set(plan.config.codec_options or {}) - set(COMMON)):
        notes.append(f"Options that only {encoder} has were ignored: {', '.join(dropped)}.")
    return _with_software(replace(plan, notes=(*plan.notes, *notes)))

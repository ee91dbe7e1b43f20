"""The whole pipeline beside an independent one of diffusers, transformers, OpenCV and Pillow.

Small random networks, three drawn frames of which the middle one has no face, one second of sound.
"""

from __future__ import annotations

import importlib
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from support import reference_path, small_clips, tiny_models
from support.optional_library import library

pytestmark = pytest.mark.slow
BOX = (17, 14, 102, 100)  # where the planted landmarks put it, the margin of 10 pixels included


@pytest.fixture(scope="module")
def clip_maker(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return small_clips.Clips(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def frames(clip_maker: Any) -> list[np.ndarray]:
    return clip_maker.frames("f.f")


class Reference:
    """MuseTalk's steps with the libraries it uses, in their order, frame by frame."""

    def __init__(self, models: Any, tiny: ModuleType, blending: ModuleType) -> None:
        diffusers, transformers = library("diffusers"), library("transformers")
        self.blending = blending
        self.parser = models.bisenet
        self.unet = diffusers.UNet2DConditionModel(
            in_channels=8,
            out_channels=4,
            block_out_channels=tiny.UNET.block_out_channels,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=24,
            attention_head_dim=2,
            layers_per_block=1,
            norm_num_groups=4,
        ).eval()
        self.unet.load_state_dict(models.unet.state_dict())
        self.vae = diffusers.AutoencoderKL(
            block_out_channels=tiny.VAE.block_out_channels,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1,
            norm_num_groups=2,
        ).eval()
        self.vae.load_state_dict(models.vae.state_dict())
        whisper = importlib.import_module("transformers.models.whisper.modeling_whisper")
        self.encoder = whisper.WhisperEncoder(
            transformers.WhisperConfig(
                d_model=24, encoder_layers=4, encoder_attention_heads=2, encoder_ffn_dim=96
            )
        ).eval()
        weights = models.whisper.state_dict()
        self.encoder.load_state_dict(
            {key.removeprefix("model.encoder."): value for key, value in weights.items()}
        )
        self.extract = transformers.WhisperFeatureExtractor()

    @torch.no_grad()
    def run(self, frames: list[np.ndarray], speech: np.ndarray) -> list[np.ndarray]:
        count = len(speech) * 25 // 16000
        heard = self.heard(speech, count)
        order = [0, 1, 2, 2, 1, 0]
        shown = []
        for number in range(count):
            frame = frames[order[number % 6]]
            if order[number % 6] == 1:
                shown.append(frame)
                continue
            crop = self.speaking(self.latents(frame), heard[number])
            region = self.blending.region_of(self.parts(frame), "jaw")
            shown.append(self.blending.blend(frame, crop, BOX, region))
        return shown

    def heard(self, speech: np.ndarray, count: int) -> torch.Tensor:
        mel = self.extract(speech, sampling_rate=16000, return_tensors="pt").input_features
        states = self.encoder(mel, output_hidden_states=True).hidden_states
        features = torch.stack(states, dim=2)[0][: len(speech) * 50 // 16000]
        padded = torch.cat([torch.zeros(4, 5, 24), features, torch.zeros(12, 5, 24)])
        table = torch.zeros(50, 24)
        for place in range(50):
            for pair in range(12):
                angle = place / 10000 ** (2 * pair / 24)
                table[place, 2 * pair] = np.sin(angle)
                table[place, 2 * pair + 1] = np.cos(angle)
        windows = [padded[2 * number : 2 * number + 10].reshape(50, 24) for number in range(count)]
        return torch.stack(windows) + table

    def latents(self, frame: np.ndarray) -> torch.Tensor:
        x0, y0, x1, y1 = BOX
        bgr = frame[:, :, ::-1][y0:y1, x0:x1]
        crop = cv2.resize(bgr, (256, 256), interpolation=cv2.INTER_LANCZOS4)
        rgb = np.asarray(crop[:, :, ::-1] / 255.0, dtype=np.float32).transpose(2, 0, 1)
        mask = np.zeros((256, 256), np.float32)
        mask[:128] = 1
        pair = []
        for picture in (rgb * mask, rgb):
            normalised = torch.from_numpy((picture - 0.5) / 0.5)[None]
            pair.append(0.18215 * self.vae.encode(normalised).latent_dist.mode())
        return torch.cat(pair, dim=1)

    def speaking(self, latents: torch.Tensor, heard: torch.Tensor) -> np.ndarray:
        made = self.unet(latents, torch.tensor([0]), encoder_hidden_states=heard[None]).sample
        image = self.vae.decode((1 / 0.18215) * made).sample
        image = (image / 2 + 0.5).clamp(0, 1)
        return (image[0].permute(1, 2, 0).float().numpy() * 255).round().astype(np.uint8)

    def parts(self, frame: np.ndarray) -> np.ndarray:
        seen = self.blending.seen_by_the_parser(frame, BOX)
        small = np.asarray(seen.resize((512, 512), Image.Resampling.BILINEAR)) / np.float32(255)
        means, deviations = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)
        picture = (small - means) / deviations
        logits = self.parser(torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()))
        return logits[0].numpy().argmax(0)


@pytest.fixture(scope="module")
def outcome(clip_maker: Any, frames: list[np.ndarray]) -> SimpleNamespace:
    models = tiny_models.tiny_models()
    clip = clip_maker.speak(clip_maker.job(clip_maker.avatar(frames), seconds=1), models)
    reference = Reference(models, tiny_models, reference_path)
    return SimpleNamespace(
        clip=clip,
        got=list(clip.playback.frames()),
        expected=reference.run(frames, clip_maker.speech(1)),
    )


def test_there_are_exactly_as_many_frames_as_the_sound_is_long(outcome: SimpleNamespace) -> None:
    assert len(outcome.got) == len(outcome.expected) == 25


def test_the_box_is_the_planted_one_and_the_middle_frame_has_none(outcome: SimpleNamespace) -> None:
    track = outcome.clip.playback.track
    assert [track.box(number) for number in range(3)] == [BOX, None, BOX]


def test_every_frame_is_the_references_to_within_one_level(outcome: SimpleNamespace) -> None:
    difference = np.abs(np.stack(outcome.got).astype(int) - np.stack(outcome.expected))
    assert (difference <= 1).mean() >= 0.999
    assert difference.max() <= 1


def test_the_frame_without_a_face_is_untouched(
    outcome: SimpleNamespace, frames: list[np.ndarray]
) -> None:
    passed = outcome.clip.playback.passed_through()
    faceless = [number for number in range(25) if number % 6 in (1, 4)]
    assert np.flatnonzero(passed).tolist() == faceless
    for number in faceless:
        assert np.array_equal(outcome.got[number], frames[1])


def test_the_comparison_can_see_the_sound_and_the_face(
    outcome: SimpleNamespace, frames: list[np.ndarray]
) -> None:
    first, again = outcome.got[0].astype(int), outcome.got[12]  # the same source, other sound
    assert np.abs(first - frames[0]).max() > 50
    assert np.abs(first - again).max() >= 5
    outside = np.ones(frames[0].shape[:2], bool)
    outside[BOX[1] : BOX[3], BOX[0] : BOX[2]] = False
    assert np.array_equal(outcome.got[0][outside], frames[0][outside])

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from avatarvideo.musetalk.networks.bisenet import BiSeNet, BiSeNetConfig, FacePart, parse_face
from support import make_goldens

TINY = BiSeNetConfig(stages=(4, 4, 4, 4), context=4, side=4)


@pytest.mark.slow
@torch.no_grad()
def test_logits_equal_the_golden(goldens):
    got = make_goldens.small_bisenet()(make_goldens.small_input(64, 96))
    assert got.shape == (1, 19, 64, 96)
    expected = torch.from_numpy(goldens["bisenet_logits"]).double()
    assert expected.std() >= 0.1
    torch.testing.assert_close(got[0, :, ::7, ::7], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_classes_equal_the_golden(goldens):
    classes = parse_face(make_goldens.small_bisenet(), make_goldens.picture())
    assert classes.shape == (512, 512)
    assert classes.dtype == np.uint8
    assert len(np.unique(goldens["bisenet_classes"])) > 10
    assert np.mean(classes[::16, ::16] == goldens["bisenet_classes"]) > 0.999


def test_the_crop_is_resized_by_pillow_and_normalised_by_channel():
    network = BiSeNet(TINY).eval()
    seen = []
    network.cp.resnet.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    crop = np.random.default_rng(0).integers(0, 256, (700, 530, 3), np.uint8)
    parse_face(network, crop)
    resized = np.asarray(Image.fromarray(crop).resize((512, 512), Image.Resampling.BILINEAR))
    wanted = (resized / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(seen[0][0].permute(1, 2, 0), wanted, atol=1e-5)


def test_the_class_is_the_largest_logit():
    network = BiSeNet(TINY).eval().requires_grad_(False)
    network.conv_out.conv.bn.bias.fill_(1.0)
    network.conv_out.conv.bn.weight.zero_()
    network.conv_out.conv_out.weight.zero_()
    network.conv_out.conv_out.weight[FacePart.LOWER_LIP] = 1.0
    classes = parse_face(network, np.zeros((40, 30, 3), np.uint8))
    assert (classes == FacePart.LOWER_LIP).all()


def test_classes_have_the_numbers_of_the_training_set():
    assert len(FacePart) == 19
    parts = [FacePart.SKIN, FacePart.NOSE, FacePart.MOUTH, FacePart.NECK, FacePart.HAT]
    assert parts == [1, 10, 11, 14, 18]


def test_a_view_of_a_frame_is_accepted():
    frame = make_goldens.picture()
    parse_face(BiSeNet(TINY).eval(), frame[20:80, 10:70])


def test_the_pass_can_be_stopped_between_blocks():
    network = BiSeNet(TINY).eval()
    calls = 0

    def stop_at_the_tenth() -> None:
        nonlocal calls
        calls += 1
        if calls == 10:
            raise InterruptedError

    network.between_blocks = stop_at_the_tenth
    with pytest.raises(InterruptedError):
        parse_face(network, np.zeros((64, 64, 3), np.uint8))

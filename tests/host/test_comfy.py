"""What we ask of a host, answered by ComfyUI: here by a stand-in that speaks its protocol."""

from __future__ import annotations

import importlib
import sys
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from avatarvideo.host.contract import Host
from avatarvideo.host.current import current_host, set_host
from avatarvideo.nodes import NODE_CLASS_MAPPINGS
from avatarvideo.nodes.widgets import SAMPLES_DIRECTORY

FAKE_HOST = Path(__file__).resolve().parents[1] / "support" / "fake_host"
OF_THE_HOST = ("comfy", "comfy_api", "comfy_execution", "folder_paths")
ADAPTER = "avatarvideo.host.comfy"
LIPS = "115,146,146,146"  # corners in pixels of the bundled portrait at a third of its size
MIB = 1 << 20


def _forget_host_modules() -> None:
    for name in list(sys.modules):
        if name.split(".")[0] in OF_THE_HOST or name == ADAPTER:
            del sys.modules[name]


@pytest.fixture
def comfy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The host's modules, in a process that seems to be ComfyUI's."""
    monkeypatch.syspath_prepend(str(FAKE_HOST))
    _forget_host_modules()
    modules = SimpleNamespace(
        management=importlib.import_module("comfy.model_management"),
        utils=importlib.import_module("comfy.utils"),
        folders=importlib.import_module("folder_paths"),
        api=importlib.import_module("comfy_api.latest"),
        graph=importlib.import_module("comfy_execution.graph"),
    )
    modules.folders.set_base(tmp_path)
    portrait = Image.open(SAMPLES_DIRECTORY / "portrait.png").resize((256, 256))
    portrait.save(tmp_path / "input" / "small.png")
    modules.management.reset()
    set_host(None)
    yield modules
    set_host(None)
    _forget_host_modules()


@pytest.fixture
def host(comfy: SimpleNamespace) -> Host:
    return current_host()


def test_the_hosts_own_switch_keeps_workflows_out_of_files(comfy: SimpleNamespace) -> None:
    host = current_host()
    assert host.saves_metadata
    importlib.import_module("comfy.cli_args").args.disable_metadata = True
    assert not host.saves_metadata


def test_formats_lie_in_the_users_folder(host: Host, tmp_path: Path) -> None:
    assert host.formats_directory == tmp_path / "user" / "avatarvideo" / "formats"


@pytest.mark.slow_after(4)
@pytest.mark.parametrize(
    ("listen", "multi_user", "free"),
    [
        ("127.0.0.1", False, True),
        ("127.0.0.1", True, False),
        ("::1", False, True),
        ("localhost", False, True),
        ("127.2.2.2, ::1", False, True),
        ("0.0.0.0,::", False, False),
        ("0.0.0.0", False, False),
        ("127.0.0.1,192.168.1.5", False, False),
        ("", False, False),  # every address
        ("127.0.0.1,", False, False),
        ("::", False, False),
        ("studio.local", False, False),
        ("localhost.example.org", False, False),
    ],
)
def test_graphs_read_anywhere_only_where_nobody_else_can_send_them(
    comfy: SimpleNamespace, tmp_path: Path, listen: str, multi_user: bool, free: bool
) -> None:
    args = importlib.import_module("comfy.cli_args").args
    args.listen, args.multi_user = listen, multi_user
    elsewhere = tmp_path / "elsewhere.png"
    Image.new("RGB", (64, 64)).save(elsewhere)
    assert current_host().reads_anywhere is free
    answer = NODE_CLASS_MAPPINGS["LoadAvatar"].VALIDATE_INPUTS(avatar=str(elsewhere))
    assert answer is True if free else "AVATAR_INPUT_DIRS" in str(answer)
    assert NODE_CLASS_MAPPINGS["LoadAvatar"].VALIDATE_INPUTS(avatar="small.png") is True


def test_a_version_without_these_switches_is_a_plain_one(comfy: SimpleNamespace) -> None:
    args = importlib.import_module("comfy.cli_args").args
    del args.listen, args.multi_user
    assert current_host().reads_anywhere


class Network(nn.Module):
    """Two layers of ordinary torch that only note where they were moved."""

    def __init__(self, mib: int) -> None:
        super().__init__()
        half = mib * MIB // 8
        self.layers = nn.ModuleList(nn.Linear(half, 1, bias=False) for _ in range(2))
        self.places: list[str] = []

    def to(self, device: Any) -> Network:  # type: ignore[override]
        self.places.append(str(device))
        return self


def call(name: str, **given: Any) -> tuple[Any, ...]:
    """Call a node with its widgets' defaults, as the host does."""
    node = NODE_CLASS_MAPPINGS[name]
    values = {
        key: options[0].get("default", kind[0] if isinstance(kind, list) else None)
        for key, (kind, *options) in node.INPUT_TYPES()["required"].items()
    }
    answer = getattr(node(), node.FUNCTION)(**{**values, **given})
    return answer["result"] if isinstance(answer, dict) else answer


def speech() -> dict[str, Any]:
    time = torch.arange(6400) / 16000
    wave = 0.3 * torch.sin(2 * torch.pi * 150 * time) * (torch.sin(2 * torch.pi * 3 * time) > 0)
    return {"waveform": wave[None, None], "sample_rate": 16000}


def lip_sync(**options: Any) -> tuple[Any, ...]:
    avatar = call("LoadAvatar", avatar="small.png", mouth=LIPS)[0]
    mel = call("AudioToMel", speech=speech())[0]
    return call("MuseTalkLipSync", avatar=avatar, mel=mel, **options)


def test_comfyui_is_the_host_where_its_modules_are_loaded(host: Host) -> None:
    assert type(host).__name__ == "ComfyHost"


def test_folders_are_the_hosts(host: Host, tmp_path: Path) -> None:
    assert host.input_directory == tmp_path / "input"
    assert host.output_directory == tmp_path / "output"
    assert host.temp_directory == tmp_path / "temp"


def test_the_users_own_model_paths_stay(comfy: SimpleNamespace) -> None:
    comfy.folders.add_model_folder_path("musetalk", "/big/disk/musetalk")
    comfy.folders.add_model_folder_path("vae", "/big/disk/vae")

    directories = current_host().model_directories

    ours = Path(comfy.folders.models_dir) / "musetalk"
    assert comfy.folders.get_folder_paths("musetalk") == [str(ours), "/big/disk/musetalk"]
    assert comfy.folders.get_folder_paths("vae") == ["/big/disk/vae"]
    assert directories[:2] == [ours, Path("/big/disk/musetalk")]


def test_the_hosts_detection_folders_elsewhere_are_searched(comfy: SimpleNamespace) -> None:
    models = Path(comfy.folders.models_dir)
    assert current_host().model_directories[-1] == models  # an older host knows no such folders
    comfy.folders.add_model_folder_path("detection", str(models / "detection"))
    comfy.folders.add_model_folder_path("detection", "/big/disk/detection")
    assert current_host().model_directories[-2:] == [models, Path("/big/disk/detection")]


def test_a_blocked_output_is_the_hosts_own(comfy: SimpleNamespace, host: Host) -> None:
    blocked = host.blocked("too large")
    assert isinstance(blocked, comfy.graph.ExecutionBlocker)
    assert vars(blocked) == {"message": "too large"}


def test_progress_is_absolute_and_sends_two_previews_a_second(
    comfy: SimpleNamespace, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(np.arange(100, 200, 0.05))
    monkeypatch.setattr(f"{ADAPTER}.time.monotonic", lambda: next(clock))
    comfy.utils.sent.clear()
    picture = np.zeros((8, 8, 3), np.uint8)

    with host.progress(100, "Encoding") as bar:
        for done in range(1, 101):
            bar.update(done, preview=picture)

    assert [sent[:2] for sent in comfy.utils.sent] == [(done, 100) for done in range(1, 101)]
    previews = [preview for *_, preview in comfy.utils.sent if preview]
    assert 8 <= len(previews) <= 11
    kind, image, longest = previews[0]
    assert (kind, image.size, longest) == ("JPEG", (8, 8), 512)


def test_a_preview_of_a_clear_picture_is_one_that_a_jpeg_can_hold(
    comfy: SimpleNamespace, host: Host
) -> None:
    comfy.utils.sent.clear()
    with host.progress(1, "Encoding") as bar:
        bar.update(1, preview=np.zeros((8, 8, 4), np.uint8))
    assert comfy.utils.sent[0][2][1].mode == "RGB"


def test_a_preview_is_made_only_where_it_is_shown(
    comfy: SimpleNamespace, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(np.arange(100, 200, 0.05))
    monkeypatch.setattr(f"{ADAPTER}.time.monotonic", lambda: next(clock))
    comfy.utils.sent.clear()
    made: list[int] = []

    def make(number: int) -> np.ndarray:
        made.append(number)
        return np.full((2, 2, 3), number, np.uint8)

    with host.progress(100, "Encoding") as bar:
        for done in range(1, 101):
            bar.update(done, preview=partial(make, done))

    shown = [preview[1].getpixel((0, 0))[0] for *_, preview in comfy.utils.sent if preview]
    assert shown == made
    assert 8 <= len(made) <= 11


@pytest.mark.slow
def test_frames_are_shown_while_our_nodes_make_them(comfy: SimpleNamespace, tmp_path: Path) -> None:
    def previews() -> list[tuple[int, int]]:
        assert comfy.utils.sent
        found = [preview[1].size for *_, preview in comfy.utils.sent if preview]
        comfy.utils.sent.clear()
        return found

    video = lip_sync()[1]
    assert (256, 256) in previews()
    call("FFmpegEncode", video=video, quality="fast")
    assert (256, 256) in previews()
    # The page shows a node's live picture for good, in place of the video that core's node made.
    video.save_to(str(tmp_path / "saved.mp4"))
    assert previews() == []


@pytest.mark.slow
def test_an_interruption_while_core_saves_leaves_no_file(
    comfy: SimpleNamespace, tmp_path: Path
) -> None:
    video = lip_sync()[1]
    comfy.management.interrupt_after(3)
    with pytest.raises(comfy.management.InterruptProcessingException):
        video.save_to(str(tmp_path / "saved.mp4"))
    assert not list((tmp_path / "temp").iterdir())
    video.save_to(str(tmp_path / "saved.mp4"))
    assert (tmp_path / "saved.mp4").exists()


def test_progress_raises_the_hosts_interruption(comfy: SimpleNamespace, host: Host) -> None:
    comfy.management.interrupt_after(0)
    with (
        host.progress(3, "Encoding") as bar,
        pytest.raises(comfy.management.InterruptProcessingException),
    ):
        bar.update(1)


def test_the_made_video_passes_the_hosts_check_for_its_own(comfy: SimpleNamespace) -> None:
    video = lip_sync()[1]
    assert isinstance(video, comfy.api.Input.Video)
    assert comfy.api.VideoInput not in type(video).__mro__


def test_a_core_node_gets_the_hosts_file_object(comfy: SimpleNamespace, tmp_path: Path) -> None:
    video = lip_sync()[1]
    video.save_to(str(tmp_path / "saved.mp4"), format="auto", codec="auto")
    assert (tmp_path / "saved.mp4").stat().st_size > 1000
    assert len(list((tmp_path / "temp").glob("*.mp4"))) == 1


@pytest.mark.slow
def test_the_encoder_returns_the_hosts_file_object(comfy: SimpleNamespace) -> None:
    [video], [path] = call("FFmpegEncode", video=lip_sync()[1], quality="fast")
    assert isinstance(video, comfy.api.VideoFromFile)
    assert video.get_stream_source() == path


@pytest.mark.slow
@pytest.mark.parametrize("check", [0, 1, 2, 8])
def test_an_interruption_passes_through_the_nodes(
    comfy: SimpleNamespace, tmp_path: Path, check: int
) -> None:
    comfy.management.interrupt_after(check)
    with pytest.raises(comfy.management.InterruptProcessingException):
        call("FFmpegEncode", video=lip_sync()[1], quality="fast")

    assert not list((tmp_path / "output").iterdir())
    assert not list((tmp_path / "temp").iterdir())
    assert len(lip_sync()[0]) == 10


@pytest.mark.parametrize(
    ("node", "file"),
    [
        ("AudioToMel", {"audio": "samples/speech.flac"}),
        ("LoadAvatar", {"avatar": "samples/talking_head.mp4"}),
    ],
)
def test_an_interruption_ends_the_reading_of_a_long_file(
    comfy: SimpleNamespace, node: str, file: dict[str, str]
) -> None:
    comfy.management.interrupt_after(1)
    with pytest.raises(comfy.management.InterruptProcessingException):
        call(node, **file)


def test_an_interruption_passes_through_the_engine(comfy: SimpleNamespace, tmp_path: Path) -> None:
    from avatarvideo.musetalk import LipSyncConfig, MuseTalkLipSync

    comfy.management.interrupt_after(4)
    with pytest.raises(comfy.management.InterruptProcessingException):
        MuseTalkLipSync().generate(
            tmp_path / "input" / "small.png",
            SAMPLES_DIRECTORY / "speech.flac",
            tmp_path / "out.mp4",
            LipSyncConfig(mode="static", duration=0.4),
        )
    assert not list(tmp_path.glob("*.mp4*"))


def test_networks_are_loaded_whole_with_room_for_their_work(
    comfy: SimpleNamespace, host: Host
) -> None:
    comfy.management.reset(card=100 * MIB)
    network = Network(8)

    with host.models_on_device([network], activation_bytes=20 * MIB):
        assert set(network.places) == {"cuda:0"}

    assert comfy.management.requests == [{"memory_required": 20 * MIB, "force_full_load": True}]


@pytest.mark.slow
def test_another_model_makes_room_and_evicts_us_later(comfy: SimpleNamespace, host: Host) -> None:
    comfy.management.reset(card=100 * MIB)
    theirs = Network(90)
    patcher = sys.modules["comfy.model_patcher"].ModelPatcher(
        theirs, torch.device("cuda:0"), torch.device("cpu")
    )
    comfy.management.load_models_gpu([patcher])
    ours = Network(30)

    with host.models_on_device([ours], activation_bytes=10 * MIB):
        assert theirs.places[-1] == "cpu"
    assert ours.places[-1] == "cuda:0"  # kept there until somebody needs the room
    comfy.management.load_models_gpu([patcher])
    assert ours.places[-1] == "cpu"
    with host.models_on_device([ours], activation_bytes=10 * MIB):
        assert ours.places[-1] == "cuda:0"


def test_unload_models_empties_us(comfy: SimpleNamespace, host: Host) -> None:
    comfy.management.reset(card=100 * MIB)
    network = Network(8)
    with host.models_on_device([network], activation_bytes=0):
        pass
    comfy.management.unload_all_models()
    assert network.places[-1] == "cpu"
    assert comfy.management.get_free_memory() == 100 * MIB


def test_what_is_kept_goes_with_the_node_that_the_host_drops(host: Host) -> None:
    node = NODE_CLASS_MAPPINGS["MuseTalkLipSync"]()
    host.kept["networks"] = "large"
    assert host.kept
    del node  # as the host does on "free memory" and when another graph comes
    assert not host.kept


def test_a_host_without_room_says_so_in_torchs_words_and_keeps_nothing(
    comfy: SimpleNamespace, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avatarvideo.musetalk.out_of_memory import is_out_of_memory

    comfy.management.reset(card=100 * MIB)
    network = Network(8)

    def load_models_gpu(models: list[Any], **_asked: Any) -> None:
        models[0].partially_load(models[0].load_device)
        comfy.management.current_loaded_models.append(comfy.management.LoadedModel(models[0]))
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(comfy.management, "load_models_gpu", load_models_gpu)
    with (
        pytest.raises(torch.OutOfMemoryError) as raised,
        host.models_on_device([network], activation_bytes=0),
    ):
        pass
    assert is_out_of_memory(raised.value)  # so the stage falls back
    assert network.places[-1] == "cpu"


def test_a_network_is_known_to_the_host_once(comfy: SimpleNamespace, host: Host) -> None:
    comfy.management.reset(card=100 * MIB)
    network = Network(8)
    for _ in range(3):
        with host.models_on_device([network], activation_bytes=0):
            pass
    assert len(comfy.management.current_loaded_models) == 1


def test_a_network_that_is_let_go_frees_its_memory_at_once(
    comfy: SimpleNamespace, host: Host
) -> None:
    comfy.management.reset(card=100 * MIB)
    networks = [Network(8)]
    seen = weakref.ref(networks[0])

    with host.models_on_device(list(networks), activation_bytes=0):
        networks.clear()
        assert seen() is None
        assert comfy.management.get_free_memory() == 100 * MIB
    assert comfy.management.current_loaded_models == []


def test_networks_leave_the_device_when_their_work_fails(
    comfy: SimpleNamespace, host: Host
) -> None:
    comfy.management.reset(card=100 * MIB)
    network, other = Network(8), Network(8)
    with host.models_on_device([other], activation_bytes=0):
        pass

    with (
        pytest.raises(torch.OutOfMemoryError),
        host.models_on_device([network], activation_bytes=0),
    ):
        raise torch.OutOfMemoryError("no room")

    assert network.places[-1] == "cpu"
    assert other.places[-1] == "cuda:0"


def test_what_can_be_evicted_counts_as_free(comfy: SimpleNamespace, host: Host) -> None:
    comfy.management.reset(card=100 * MIB)
    network = Network(30)
    with host.models_on_device([network], activation_bytes=0):
        assert comfy.management.get_free_memory() == 70 * MIB
        assert host.free_memory("cuda:0") == 100 * MIB

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from avatarvideo.musetalk.networks.fast import products
from avatarvideo.musetalk.networks.fast.products import (
    FastLinear,
    Library,
    batched_product,
    faster_library,
    product,
    product_into,
)
from avatarvideo.musetalk.networks.fast.winograd import Conv3x3, set_tiled
from support.random_weights import fill_randomly

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN"
)


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(params=["MKL", pytest.param("oneDNN", marks=needs_onednn)])
def _by_either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "library", lambda: request.param)


@pytest.mark.parametrize(
    ("capability", "processor", "library"),
    [
        ("AVX512", "vendor_id\t: GenuineIntel\n", "MKL"),
        ("AVX512", "Intel64 Family 6 Model 106, GenuineIntel", "MKL"),
        pytest.param("AVX512", "vendor_id\t: AuthenticAMD\n", "oneDNN", marks=needs_onednn),
        ("AVX2", "vendor_id\t: AuthenticAMD\n", "MKL"),
        ("AVX2", "AMD64 Family 25 Model 33, AuthenticAMD", "MKL"),
        ("DEFAULT", "", None),
    ],
)
def test_the_library_is_the_one_that_was_measured_to_be_fast(
    monkeypatch: pytest.MonkeyPatch, capability: str, processor: str, library: Library | None
) -> None:
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert faster_library(processor) == library


def test_without_mkl_no_library_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert faster_library("vendor_id\t: AuthenticAMD\n") is None


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, TypeError])
def test_a_pytorch_without_the_step_convolves_plainly(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fails(*_: object) -> Tensor:
        raise error("no such step")

    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(products, "_onednn_product", fails)
    assert faster_library("vendor_id\t: AuthenticAMD\n") is None


@pytest.mark.usefixtures("_by_either")
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_a_product_is_the_linear_layers(
    noise: Callable[..., Tensor], transposed: bool, biased: bool
) -> None:
    rows, weight = noise(2, 50, 48).float(), noise(96, 48).float()
    weight = weight.T.contiguous().T if transposed else weight
    bias = noise(96).float() if biased else None
    wanted = functional.linear(
        rows.double(), weight.double(), bias if bias is None else bias.double()
    )
    torch.testing.assert_close(product(rows, weight, bias), wanted.float(), rtol=0, atol=1e-4)


@pytest.mark.usefixtures("_by_either")
def test_what_is_cut_out_of_a_weight_is_multiplied_as_well(noise: Callable[..., Tensor]) -> None:
    rows, parts = noise(16, 36).float(), noise(36, 4, 64).float()[:, :2]
    weight = parts.as_strided((36, 128), (256, 1)).T
    wanted = rows.double() @ parts.double().flatten(1)
    torch.testing.assert_close(product(rows, weight), wanted.float(), rtol=0, atol=1e-4)


@pytest.mark.usefixtures("_by_either")
def test_products_are_written_where_they_belong(noise: Callable[..., Tensor]) -> None:
    rows, columns, out = noise(6, 6).float(), noise(6, 40).float(), torch.zeros(6, 80)
    product_into(out[:, 40:], rows, columns)
    wanted = rows.double() @ columns.double()
    torch.testing.assert_close(out[:, 40:], wanted.float(), rtol=0, atol=1e-4)
    assert not out[:, :40].any()


@pytest.mark.usefixtures("_by_either")
def test_every_product_of_a_batch_is_its_own(noise: Callable[..., Tensor]) -> None:
    rows, columns = noise(4, 30, 16).float()[:, :20], noise(4, 16, 24).float()
    wanted = torch.bmm(rows.double(), columns.double())
    torch.testing.assert_close(batched_product(rows, columns), wanted.float(), rtol=0, atol=1e-4)


@pytest.mark.usefixtures("_by_either")
@pytest.mark.parametrize("size", [8, 18, 64])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_tiled_convolution_is_the_same_by_either(
    noise: Callable[..., Tensor], size: int, batch: int
) -> None:
    conv = fill_randomly(Conv3x3(64, 96, 3, padding=1))
    maps = noise(batch, 64, size, size, dtype=torch.float32)
    bias = None if conv.bias is None else conv.bias.double()
    wanted = functional.conv2d(maps.double(), conv.weight.double(), bias, padding=1)
    set_tiled(conv, True)
    torch.testing.assert_close(conv(maps), wanted.float(), rtol=0, atol=3e-5, check_stride=False)


@pytest.mark.usefixtures("_by_either")
def test_half_precision_and_doubles_stay_with_pytorch(noise: Callable[..., Tensor]) -> None:
    layer = FastLinear(32, 16)
    for dtype in (torch.float64, torch.bfloat16):
        layer.to(dtype)
        rows = noise(5, 32).to(dtype)
        wanted = functional.linear(rows, layer.weight, layer.bias)
        torch.testing.assert_close(layer(rows), wanted, rtol=0, atol=0)


@pytest.mark.usefixtures("_by_either")
def test_a_host_that_asks_for_half_precision_gets_it(noise: Callable[..., Tensor]) -> None:
    layer, rows = FastLinear(32, 16), noise(5, 32).float()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(rows).dtype == torch.bfloat16
    with pytest.raises(RuntimeError, match="dtype"):
        product(rows, layer.weight.half())

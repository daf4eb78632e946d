"""The Hydra layer: equal to the published module step by step, and the laws that the detector relies on."""

import os
import shutil

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from stf_mamba.models.mixers import hydra as hydra_module
from stf_mamba.models.mixers.hydra import DepthwiseConvolution, Hydra, inverse_softplus
from stf_mamba.models.mixers.scan import DUAL_MAX_LENGTH

SMALL = {"state_size": 4, "head_size": 8, "groups": 2}
COMPILER = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")


def small_hydra(seed=0, width=16, **options):
    """A layer with every parameter random, in float64: nothing is hidden by a zero or a one of the initialisation."""
    torch.manual_seed(seed)
    layer = Hydra(width, **{**SMALL, **options}).double()
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name in ("A_log", "D", "init_states", "norm.weight"):
                parameter.normal_()
    return layer


def clips(batch, length, width=16, seed=1, dtype=torch.float64):
    return torch.randn(batch, length, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(
        dtype
    )


def published_steps(layer, u, d_state, headdim, ngroups):
    """The published module's forward, in its own order and names, with the scan as a recurrence, by state dict."""
    weights = layer.state_dict()
    d_inner, nheads = weights["norm.weight"].numel(), weights["A_log"].numel()
    batch, seqlen, _ = u.shape
    zxbcdt = u @ weights["in_proj.weight"].T
    z, xbc, dt = zxbcdt.split([d_inner, d_inner + 2 * (2 * ngroups * d_state), 2 * nheads], dim=-1)
    dt = torch.cat((dt[:, :, :nheads], dt[:, :, nheads:].flip(1)), dim=0)
    dt = F.softplus(dt + weights["dt_bias"])
    kernel = weights["conv1d.weight"]
    convolved = F.conv1d(
        xbc.transpose(1, 2), kernel, weights["conv1d.bias"], padding=kernel.shape[-1] // 2, groups=kernel.shape[0]
    )
    x, bc = F.silu(convolved.transpose(1, 2)).split([d_inner, 2 * (2 * ngroups * d_state)], dim=-1)
    x_og = x
    x = torch.cat((x, x.flip(1)), dim=0).view(2 * batch, seqlen, nheads, headdim)
    bc = torch.cat((bc[:, :, : 2 * ngroups * d_state], bc[:, :, 2 * ngroups * d_state :].flip(1)), dim=0)
    b, c = (part.view(2 * batch, seqlen, ngroups, d_state) for part in bc.chunk(2, dim=-1))
    decay = torch.exp(-weights["A_log"].exp() * dt)
    state = torch.zeros(2 * batch, nheads, headdim, d_state, dtype=u.dtype) + weights.get("init_states", 0)
    ys = []
    for t in range(seqlen):
        b_t, c_t = (m[:, t].repeat_interleave(nheads // ngroups, dim=1).unsqueeze(2) for m in (b, c))
        state = decay[:, t, :, None, None] * state + dt[:, t, :, None, None] * x[:, t].unsqueeze(-1) * b_t
        ys.append((state * c_t).sum(-1).flatten(1))
    y = torch.stack(ys, dim=1).roll(1, dims=1)
    y[:, 0, :] = 0.0
    y = y[:batch] + y[batch:].flip(1)
    y = y + x_og * (x_og @ weights["fc_D.weight"].T + weights["D"]).repeat_interleave(headdim, dim=-1)
    y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-5) * weights["norm.weight"] * F.silu(z)
    return y @ weights["out_proj.weight"].T


@pytest.mark.parametrize("length", [1, 2, 9, DUAL_MAX_LENGTH + 20])
@pytest.mark.parametrize("learnable", [False, True])
def test_equals_the_published_steps(length, learnable):
    layer = small_hydra(learnable_initial_state=learnable)
    u = clips(3, length)
    with torch.no_grad():
        expected = published_steps(layer, u, d_state=4, headdim=8, ngroups=2)
        torch.testing.assert_close(layer(u), expected, rtol=1e-10, atol=1e-10)


def test_published_state_dict_loads_strictly():
    # The published module's names and shapes at its defaults: d_state 64, headdim 64, ngroups 1, d_conv 7.
    d_model, d_inner, nheads, maps = 512, 1024, 16, 2 * 2 * 64
    published = {
        "dt_bias": (nheads,),
        "A_log": (nheads,),
        "D": (nheads,),
        "in_proj.weight": (2 * d_inner + maps + 2 * nheads, d_model),
        "conv1d.weight": (d_inner + maps, 1, 7),
        "conv1d.bias": (d_inner + maps,),
        "fc_D.weight": (nheads, d_inner),
        "norm.weight": (d_inner,),
        "out_proj.weight": (d_model, d_inner),
    }
    layer = Hydra(d_model)
    layer.load_state_dict({name: torch.zeros(shape) for name, shape in published.items()}, strict=True)
    with_state = Hydra(d_model, learnable_initial_state=True)
    published["init_states"] = (nheads, 64, 64)
    with_state.load_state_dict({name: torch.zeros(shape) for name, shape in published.items()}, strict=True)
    with pytest.raises(RuntimeError, match="init_states"):
        layer.load_state_dict(with_state.state_dict(), strict=True)


def test_initialisation_is_the_published_one():
    layer = Hydra(512)
    steps = F.softplus(layer.dt_bias.detach())
    assert float(steps.min()) >= 1e-3 * (1 - 1e-3)
    assert float(steps.max()) <= 1e-1 * (1 + 1e-3)
    assert float(steps.log().std()) > 0.5  # uniform in the logarithm over ln 100: 1.33 expected
    assert torch.equal(layer.A_log, torch.zeros(16))
    assert torch.equal(layer.D, torch.ones(16))
    value = torch.tensor([1e-3, 0.5, 20.0], dtype=torch.float64)
    torch.testing.assert_close(F.softplus(inverse_softplus(value)), value)


@pytest.mark.parametrize("length", [5, DUAL_MAX_LENGTH + 5])
def test_zero_input_gives_exactly_zero_where_it_is_zero(length):
    layer = small_hydra().float()
    x = clips(2, length, dtype=torch.float32)
    x[0] = 0
    x[1, 2:4] = 0
    out = layer(x)
    assert torch.equal(out[0], torch.zeros_like(out[0]))
    assert torch.equal(out[1, 2:4], torch.zeros_like(out[1, 2:4]))
    assert bool((out[1, :2] != 0).any())


@settings(max_examples=8)
@given(length=st.integers(2, 40), data=st.data(), garbage=st.sampled_from([7.0, float("nan"), float("inf")]))
def test_padding_changes_nothing_in_the_valid_part(length, data, garbage):
    valid = data.draw(st.integers(1, length - 1))
    first = data.draw(st.integers(0, length - valid))
    layer = small_hydra(learnable_initial_state=True)
    x = clips(1, length)
    mask = torch.zeros(1, length, dtype=torch.bool)
    mask[:, first : first + valid] = True
    x[~mask] = garbage
    x.requires_grad_()
    out = layer(x, mask)
    alone = layer(x[:, first : first + valid])
    torch.testing.assert_close(out[:, first : first + valid], alone, rtol=1e-11, atol=1e-11)
    assert torch.equal(out[~mask], torch.zeros_like(out[~mask]))
    (grad,) = torch.autograd.grad(out.square().sum(), x)
    (grad_alone,) = torch.autograd.grad(alone.square().sum(), x)
    torch.testing.assert_close(grad[mask], grad_alone[mask], rtol=1e-9, atol=1e-9)
    assert torch.equal(grad[~mask], torch.zeros_like(grad[~mask]))


def test_holes_in_the_mask_hide_their_content():
    layer = small_hydra()
    x = clips(2, 30)
    mask = torch.ones(2, 30, dtype=torch.bool)
    mask[0, 4:9], mask[1, 20], mask[1, 28:] = False, False, False
    other = torch.where(mask.unsqueeze(-1), x, -3 * x + 1)
    assert torch.equal(layer(x, mask), layer(other, mask))


def test_depthwise_convolution_and_its_gradient():
    generator = torch.Generator().manual_seed(0)
    x, taps, bias = (
        torch.randn(size, generator=generator, dtype=torch.float64, requires_grad=True)
        for size in ((2, 9, 3), (3, 1, 5), (3,))
    )
    expected = F.conv1d(x.transpose(1, 2), taps, bias, groups=3).transpose(1, 2)
    torch.testing.assert_close(DepthwiseConvolution.apply(x, taps, bias), expected)
    assert torch.autograd.gradcheck(DepthwiseConvolution.apply, (x, taps, bias))


@pytest.mark.parametrize("block", [7, 20, 64])
@pytest.mark.parametrize("masked", [False, True])
def test_blocks_and_spans_equal_the_whole(monkeypatch, block, masked):
    layer = small_hydra(learnable_initial_state=True)
    x = clips(3, 50).requires_grad_()
    mask = None
    if masked:
        mask = torch.ones(3, 50, dtype=torch.bool)
        mask[0, 33:], mask[1, :8], mask[2, 20:27] = False, False, False
    inputs = [x, *layer.parameters()]
    whole = layer(x, mask)
    whole_gradients = torch.autograd.grad(whole.square().sum(), inputs)
    monkeypatch.setattr(hydra_module, "BLOCK_POSITIONS", block)
    parts = layer(x, mask)
    torch.testing.assert_close(parts, whole, rtol=1e-11, atol=1e-11)
    for one, other in zip(torch.autograd.grad(parts.square().sum(), inputs), whole_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_reversed_time_with_swapped_directions_reverses_the_output():
    layer = small_hydra(learnable_initial_state=True)
    x = clips(2, 21)
    torch.testing.assert_close(layer.time_reversed()(x.flip(1)).flip(1), layer(x), rtol=1e-11, atol=1e-11)
    assert bool((layer(x.flip(1)).flip(1) - layer(x)).abs().max() > 1e-3)


@settings(max_examples=8)
@given(sizes=st.lists(st.integers(1, 25), min_size=1, max_size=8), learnable=st.booleans())
def test_streamed_halves_are_the_whole(sizes, learnable):
    layer = small_hydra(learnable_initial_state=learnable)
    x = clips(2, sum(sizes))
    with torch.no_grad():
        forward = streamed(layer, x, sizes)
        backward = streamed(layer.time_reversed(), x.flip(1), sizes[::-1]).flip(1)
        assert forward.shape == backward.shape == (2, sum(sizes), 32)
        torch.testing.assert_close(forward, streamed(layer, x, [sum(sizes)]), rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(layer.combine_halves(x, forward, backward), layer(x), rtol=1e-11, atol=1e-11)


def streamed(layer, x, sizes):
    state, halves = None, []
    for index, piece in enumerate(x.split(sizes, dim=1)):
        half, state = layer.forward_half(piece, state, last=index == len(sizes) - 1)
        halves.append(half)
    return torch.cat(halves, dim=1)


def test_stream_state_does_not_grow_and_lags_by_the_convolution():
    layer = small_hydra()
    half, state = layer.forward_half(clips(1, 10))
    assert half.shape[1] == 10 - 4
    elements = sum(tensor.numel() for tensor in state)
    _, state = layer.forward_half(clips(1, 90, seed=2), state)
    assert sum(tensor.numel() for tensor in state) == elements


@pytest.mark.parametrize("length", [8, DUAL_MAX_LENGTH + 8])
def test_autocast_is_bfloat16_outside_and_float32_inside(length):
    torch.manual_seed(0)
    layer = Hydra(64, state_size=16, head_size=32)
    x = clips(4, length, width=64, dtype=torch.float32).requires_grad_()
    expected = layer.double()(x.double())
    layer.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    # About twelve values on each path are rounded to bfloat16 (inputs and results of two projections, convolution and
    # activation, the six of the mix, the gated norm); their errors are independent, hence the root, and 3 sigma.
    tolerance = 3 * 12**0.5 * torch.finfo(torch.bfloat16).eps / 2
    assert float((out.detach().double() - expected.detach()).norm() / expected.detach().norm()) < tolerance
    out.float().square().sum().backward()
    assert x.grad is not None
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())
    assert all(bool(p.grad.isfinite().all()) for p in layer.parameters())


def test_a_whole_layer_in_bfloat16_or_float64_keeps_its_type():
    for dtype in (torch.bfloat16, torch.float64):
        layer = Hydra(32, **SMALL).to(dtype)
        out = layer(clips(2, 10, width=32, dtype=dtype))
        assert out.dtype == dtype
        assert bool(out.isfinite().all())


@pytest.mark.parametrize("length", [12, DUAL_MAX_LENGTH + 12])
@pytest.mark.parametrize("masked", [False, True])
def test_traces_into_one_graph(length, masked):
    layer = small_hydra()
    x = clips(2, length)
    mask = None
    if masked:
        mask = torch.ones(2, length, dtype=torch.bool)
        mask[0, length // 2 :] = False
    traced = torch.compile(layer, fullgraph=True, backend="eager")
    torch.testing.assert_close(traced(x, mask), layer(x, mask), rtol=1e-11, atol=1e-11)


@pytest.mark.skipif(COMPILER is None, reason="torch.compile on a CPU needs a C++ compiler (g++, clang++ or $CXX)")
def test_compiled_equals_eager():
    layer = small_hydra()
    x = clips(2, 12)
    compiled = torch.compile(layer, fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x), rtol=1e-10, atol=1e-10)
    found = torch.autograd.grad(compiled(x).square().sum(), list(layer.parameters()))
    expected = torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a CUDA device")
@pytest.mark.parametrize("length", [32, DUAL_MAX_LENGTH + 32])
def test_captured_in_a_cuda_graph(length):
    layer = Hydra(64).cuda()
    x = clips(2, length, width=64, dtype=torch.float32).cuda()
    with torch.no_grad():
        expected = layer(x)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = layer(x)
        graph.replay()
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head_size": 7}, "head_size 7 must divide"),
        ({"head_size": 8, "groups": 3}, "groups 3 must divide"),
        ({"head_size": 8, "kernel_size": 6}, "must be odd"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Hydra(16, **options)

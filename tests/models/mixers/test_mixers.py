"""Every temporal mixer behind one interface, and each checked against a library's or a hand-written reference."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stf_mamba.models.encoders.timm_import import import_timm
from stf_mamba.models.mixers.mamba import Mamba, selective_scan
from stf_mamba.models.mixers.registry import MIXERS, build_mixer
from stf_mamba.models.mixers.scan import semiseparable_matrix
from stf_mamba.models.mixers.transformer import Transformer, sinusoidal_positions

WIDTH = 32
OPTIONS = {"hydra": {"head_size": 16, "state_size": 4}, "mamba": {"state_size": 4}, "bimamba": {"state_size": 4}}


def build(kind, width=WIDTH):
    torch.manual_seed(0)
    return build_mixer(kind, width, **OPTIONS.get(kind, {})).double()


def clips(batch=3, length=12, width=WIDTH, seed=1):
    return torch.randn(batch, length, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def transformers_library():
    import_timm()  # transformers imports torchvision, which needs the same care
    return pytest.importorskip("transformers", reason="the reference Mamba layers live in transformers")


@pytest.mark.parametrize("kind", MIXERS)
def test_shape_and_gradients(kind):
    mixer = build(kind)
    x = clips().requires_grad_()
    out = mixer(x)
    assert out.shape == x.shape
    if kind == "none":
        assert torch.equal(out, torch.zeros_like(x))
        return
    out.square().sum().backward()
    assert bool((x.grad != 0).all())
    assert all(bool((p.grad != 0).any()) for p in mixer.parameters())


@pytest.mark.parametrize("kind", MIXERS)
def test_masked_positions_change_nothing_and_come_out_as_zeros(kind):
    mixer = build(kind)
    x = clips()
    mask = torch.ones(3, 12, dtype=torch.bool)
    mask[0, 7:], mask[1, :4] = False, False
    x[~mask] = float("nan")
    out = mixer(x, mask)
    assert torch.equal(out[~mask], torch.zeros_like(out[~mask]))
    for row, valid in ((0, slice(7)), (1, slice(4, None)), (2, slice(None))):
        alone = mixer(x[row : row + 1, valid])
        torch.testing.assert_close(out[row : row + 1, valid], alone, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("kind", ["hydra", "mamba", "bimamba", "none"])
def test_gated_mixers_map_zero_to_zero(kind):
    assert torch.equal(build(kind)(torch.zeros(2, 5, WIDTH).double()), torch.zeros(2, 5, WIDTH).double())


@pytest.mark.parametrize("kind", MIXERS)
@pytest.mark.parametrize(
    ("x", "mask", "message"),
    [
        (torch.zeros(2, 5), None, r"\(2, 5\)"),
        (torch.zeros(2, 5, WIDTH + 1), None, rf"\(2, 5, {WIDTH + 1}\)"),
        (torch.zeros(2, 0, WIDTH), None, rf"\(2, 0, {WIDTH}\) holds no frame"),
        (torch.zeros(2, 5, WIDTH, dtype=torch.long), None, "floating point"),
        (torch.full((2, 5, WIDTH), float("nan")), None, rf"\(2, 5, {WIDTH}\) holds NaN"),
        (torch.full((2, 5, WIDTH), float("inf")), None, rf"\(2, 5, {WIDTH}\) holds NaN or infinity"),
        (torch.zeros(2, 5, WIDTH), torch.ones(2, 4, dtype=torch.bool), r"\(2, 4\)"),
        (torch.zeros(2, 5, WIDTH), torch.ones(2, 5), "bool"),
        (
            torch.zeros(2, 5, WIDTH),
            torch.tensor([[True] * 5, [False] * 5]),
            r"\(2, 5\) has no valid frame in rows \[1\]",
        ),
    ],
)
def test_bad_input_is_refused_by_shape(kind, x, mask, message):
    with pytest.raises(ValueError, match=message):
        build_mixer(kind, WIDTH, **OPTIONS.get(kind, {}))(x, mask)


def test_unknown_kinds_and_options_are_refused():
    with pytest.raises(
        ValueError, match="unknown mixer 'lstm'; known are hydra, bimamba, mamba, gru, transformer, none"
    ):
        build_mixer("lstm", 32)
    with pytest.raises(ValueError, match="state_size"):
        build_mixer("gru", 32, state_size=4)
    with pytest.raises(ValueError, match="even width"):
        build_mixer("gru", 31)
    with pytest.raises(ValueError, match="heads 8 must divide"):
        build_mixer("transformer", 20)


def test_gru_is_torchs_with_orthogonal_recurrence():
    mixer = build("gru")
    torch.manual_seed(3)
    reference = nn.GRU(WIDTH, WIDTH // 2, batch_first=True, bidirectional=True).double()
    reference.load_state_dict(mixer.gru.state_dict())
    torch.testing.assert_close(mixer(clips()), reference(clips())[0])
    for name in ("weight_hh_l0", "weight_hh_l0_reverse"):
        for gate in mixer.gru.get_parameter(name).detach().chunk(3):
            torch.testing.assert_close(gate @ gate.T, torch.eye(WIDTH // 2).double(), atol=1e-5, rtol=0)


def test_gru_skips_holes():
    mixer = build("gru")
    x = clips(batch=1)
    mask = torch.ones(1, 12, dtype=torch.bool)
    mask[0, [0, 5, 6]] = False
    torch.testing.assert_close(mixer(x, mask)[mask], mixer(x[:, mask[0]])[0])


def test_transformer_is_what_torchs_encoder_layer_adds():
    torch.manual_seed(0)
    mixer = Transformer(WIDTH, positions=False).double()
    layer = nn.TransformerEncoderLayer(WIDTH, 8, 4 * WIDTH, 0.0, F.gelu, batch_first=True, norm_first=True).double()
    layer.self_attn.load_state_dict(mixer.attention.state_dict())
    layer.norm1.load_state_dict(mixer.attention_norm.state_dict())
    for own, theirs in zip(mixer.feed_forward, (layer.norm2, layer.linear1, None, layer.linear2), strict=True):
        if theirs is not None:
            theirs.load_state_dict(own.state_dict())
    torch.testing.assert_close(mixer(clips()), layer(clips()) - clips())


def test_transformer_sees_order_through_positions_only():
    x = clips()
    for positions in (False, True):
        torch.manual_seed(0)
        mixer = Transformer(WIDTH, positions=positions).double()
        same = torch.allclose(mixer(x.flip(1)).flip(1), mixer(x))
        assert same is not positions


def test_sinusoidal_positions_by_hand():
    # Two rates: 1 and 10000^(-2/4) = 1/100.
    expected = torch.tensor([3.0, 3.0, 0.03, 0.03])
    expected = torch.stack([expected[0::2].sin(), expected[1::2].cos()], dim=-1).flatten()
    torch.testing.assert_close(sinusoidal_positions(5, 4)[3], expected)


def test_selective_scan_by_hand():
    # One channel, two states, A = -1 and -2; both steps are ln 2, so the decays are 1/2 and 1/4.
    half = torch.log(torch.tensor(2.0))
    x = torch.tensor([[[1.0], [3.0]]]) / half
    b = torch.tensor([[[1.0, 1.0], [1.0, 2.0]]])
    c = torch.tensor([[[1.0, 10.0], [1.0, 10.0]]])
    out = selective_scan(x, half.expand(1, 2, 1), torch.tensor([[-1.0, -2.0]]), b, c)
    # h1 = (1, 1): 11. h2 = (1/2 + 3, 1/4 + 6): 3.5 + 62.5.
    torch.testing.assert_close(out.flatten(), torch.tensor([11.0, 66.0]))


def test_mamba_equals_transformers(transformers_library):
    from transformers.models.mamba.modeling_mamba import MambaConfig, MambaMixer

    torch.manual_seed(0)
    config = MambaConfig(hidden_size=WIDTH, state_size=4, num_hidden_layers=1, use_mambapy=False)
    reference = MambaMixer(config, layer_idx=0).eval()
    mixer = Mamba(WIDTH, state_size=4)
    mixer.load_state_dict(reference.state_dict(), strict=True)
    x = clips(length=20).float()
    with torch.no_grad():
        torch.testing.assert_close(mixer(x), reference(x), rtol=1e-4, atol=1e-6)


def test_forward_half_equals_transformers_mamba2(transformers_library):
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Config, Mamba2Mixer

    torch.manual_seed(0)
    heads, head_size, states, groups, inner = 8, 8, 4, 2, 64
    config = Mamba2Config(
        hidden_size=WIDTH,
        num_heads=heads,
        head_dim=head_size,
        state_size=states,
        n_groups=groups,
        expand=2,
        chunk_size=8,
    )
    reference = Mamba2Mixer(config, layer_idx=0).eval()
    seen = {}
    reference.in_proj.register_forward_hook(lambda module, arguments, out: seen.update(projected=out))
    reference.norm.register_forward_hook(lambda module, arguments, out: seen.update(mixed=arguments[0]))
    x = clips(length=21).float()
    with torch.no_grad():
        reference(x)
        _, xbc, dt = seen["projected"].split([inner, inner + 2 * groups * states, heads], dim=-1)
        convolved = F.silu(reference.conv1d(xbc.transpose(1, 2))[..., :21].transpose(1, 2))
        values, b, c = convolved.split([inner, groups * states, groups * states], dim=-1)
        matrix = semiseparable_matrix(
            F.softplus(dt + reference.dt_bias),
            -reference.A_log.exp(),
            b.unflatten(-1, (groups, states)),
            c.unflatten(-1, (groups, states)),
        )
        values = values.unflatten(-1, (heads, head_size))
        mixed = torch.einsum("bhts,bshp->bthp", matrix, values.double()) + reference.D[:, None] * values
    torch.testing.assert_close(seen["mixed"].double(), mixed.flatten(2), rtol=1e-4, atol=1e-5)


def test_bimamba_is_the_sum_of_two():
    mixer = build("bimamba")
    x = clips()
    expected = mixer.forward_in_time(x) + mixer.backward_in_time(x.flip(1)).flip(1)
    assert torch.equal(mixer(x), expected)
    assert not torch.equal(mixer.forward_in_time.in_proj.weight, mixer.backward_in_time.in_proj.weight)


def test_mamba_sees_only_the_past():
    mixer = build("mamba")
    x = clips()
    changed = x.clone()
    changed[:, 8:] = 5.0
    assert torch.equal(mixer(x)[:, :8], mixer(changed)[:, :8])

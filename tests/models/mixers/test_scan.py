"""The quasiseparable mix: its definition, the fast forms, and the laws that hold for every form."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stf_mamba.models.mixers import scan as scan_module
from stf_mamba.models.mixers.scan import (
    CARRY_FAN,
    CHUNK_LENGTH,
    DUAL_MAX_LENGTH,
    backward_state,
    neighbours_of,
    quasiseparable_matrix,
    scan,
    scan_chunked,
    scan_dual,
    scan_plain,
    scan_span,
    span_state,
)

NAMES = ("x", "dt", "A", "b", "c", "diagonal", "initial_state")

shapes = st.builds(
    lambda batch, length, groups, per_group, head_size, states: (
        batch,
        length,
        groups * per_group,
        head_size,
        groups,
        states,
    ),
    st.integers(1, 3),
    st.integers(1, 200),
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(1, 6),
)


def draw(shape, seed=0, dtype=torch.float64, initial=True):
    """Random arguments of ``scan``; steps from 1e-3 to 1, so that some heads remember and some forget."""
    batch, length, heads, head_size, groups, states = shape
    generator = torch.Generator().manual_seed(seed)

    def normal(*size):
        return torch.randn(size, generator=generator, dtype=torch.float64)

    dt = 10 ** (-3 * torch.rand((batch, length, 2, heads), generator=generator, dtype=torch.float64))
    tensors = [
        normal(batch, length, heads, head_size),
        dt,
        -torch.rand(heads, generator=generator, dtype=torch.float64) - 0.1,
        normal(batch, length, 2, groups, states),
        normal(batch, length, 2, groups, states),
        normal(batch, length, heads),
    ]
    if initial:
        tensors.append(normal(heads, head_size, states))
    return [tensor.to(dtype) for tensor in tensors]


def magnitudes(arguments):
    """The same arguments with every sum turned into a sum of absolute values: decays stay, signs go."""
    x, dt, A, *rest = (tensor.double() for tensor in arguments)
    return [x.abs(), dt, A, *(tensor.abs() for tensor in rest)]


def rounding_steps(arguments):
    """How many roundings, in units of the machine precision, can add up in one output in the worst case.

    A product C·B sums N terms, a row L more, a state is carried over L steps at most; a sum of s = dt·A over L steps is
    wrong by L roundings of its size, and the exponential turns that absolute error into a relative one.
    """
    x, dt, A, b = arguments[:4]
    longest = float((dt.double() * A.double().abs()).sum(1).max())
    return b.shape[-1] + 2 * x.shape[1] + 2 * x.shape[1] * longest + 16


def assert_close_to_plain(out, arguments, eps):
    """``out`` is within the worst case of rounding around the definition, entry by entry."""
    bound = eps * rounding_steps(arguments) * scan_plain(*magnitudes(arguments))
    error = (out.double() - scan_plain(*arguments)).abs()
    assert bool((error <= bound).all()), f"error is up to {float((error / bound).max()):.1f} times the bound"


def reverse_time(arguments):
    """The arguments for the reversed sequence: time flipped, the two directions swapped."""
    x, dt, A, b, c, diagonal, *initial = arguments
    return [x.flip(1), dt.flip(1, 2), A, b.flip(1, 2), c.flip(1, 2), diagonal.flip(1), *initial]


FORMS = {
    "dual": scan_dual,
    "chunked": scan_chunked,
    "chunks of 7": lambda *arguments: scan_chunked(*arguments, chunk_length=7),
    "chosen by length": scan,
}


def test_three_steps_worked_by_hand():
    # One head, one channel, one state; decays exp(dt·A) are powers of 1/2.
    half = math.log(2.0)
    x = torch.tensor([1.0, 10.0, 100.0]).view(1, 3, 1, 1)
    dt = torch.tensor([[1.0, 2.0], [2.0, 1.0], [3.0, 3.0]]).view(1, 3, 2, 1)
    b = torch.tensor([[1.0, 1.0], [1.0, 2.0], [1.0, 1.0]]).view(1, 3, 2, 1, 1)
    c = torch.tensor([[1.0, 1.0], [3.0, 1.0], [1.0, 5.0]]).view(1, 3, 2, 1, 1)
    diagonal = torch.tensor([7.0, 0.0, 1.0]).view(1, 3, 1)
    # Forward states: h0 = 1·1 = 1, h1 = h0/4 + 2·10 = 20.25; reads 0, C0·h0 = 1, C1·h1 = 60.75.
    # Backward states: g2 = 3·100 = 300, g1 = g2/2 + 1·2·10 = 170; reads C1·g1 = 170, C2·g2 = 1500, 0.
    expected = torch.tensor([7.0 + 170.0, 1.0 + 1500.0, 100.0 + 60.75])
    for form in (scan_plain, *FORMS.values()):
        out = form(x, dt, torch.tensor([-half]), b, c, diagonal).flatten()
        torch.testing.assert_close(out.float(), expected)


@pytest.mark.parametrize("initial", [False, True])
def test_definition_is_two_shifted_recurrences_and_a_diagonal(initial):
    arguments = draw((2, 9, 4, 3, 2, 5), initial=initial)
    torch.testing.assert_close(scan_plain(*arguments), stepwise(*arguments), rtol=1e-12, atol=1e-12)


def stepwise(x, dt, A, b, c, diagonal, initial_state=None):
    """The published order of steps: scan the sequence and the flipped one, roll by one, zero the first, flip, add."""
    batch, length, heads, head_size = x.shape
    groups, states = b.shape[3:]
    halves = []
    for direction in (0, 1):
        order = range(length) if direction == 0 else range(length - 1, -1, -1)
        state = torch.zeros(batch, heads, head_size, states, dtype=x.dtype)
        if initial_state is not None:
            state = state + initial_state
        outputs = []
        for t in order:
            step = dt[:, t, direction]  # (B, H)
            into = b[:, t, direction].repeat_interleave(heads // groups, dim=1)  # (B, H, N)
            out_of = c[:, t, direction].repeat_interleave(heads // groups, dim=1)
            state = state * torch.exp(step * A)[:, :, None, None]
            state = state + (step[:, :, None] * x[:, t]).unsqueeze(-1) * into.unsqueeze(2)
            outputs.append((state * out_of.unsqueeze(2)).sum(-1))
        scanned = torch.stack(outputs, dim=1).roll(1, dims=1)
        scanned[:, 0] = 0
        halves.append(scanned if direction == 0 else scanned.flip(1))
    return halves[0] + halves[1] + x * diagonal.unsqueeze(-1)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@settings(max_examples=8)
@given(shape=shapes, seed=st.integers(0, 2**20), initial=st.booleans())
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_fast_forms_equal_the_definition(form, dtype, shape, seed, initial):
    arguments = draw(shape, seed, dtype, initial)
    assert_close_to_plain(form(*arguments), arguments, torch.finfo(dtype).eps)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@settings(max_examples=6)
@given(shape=shapes, seed=st.integers(0, 2**20))
def test_bfloat16_products_with_float32_decays(form, shape, seed):
    x, dt, A, b, c, diagonal, initial = draw(shape, seed)
    x, b, c = x.bfloat16(), b.bfloat16(), c.bfloat16()
    arguments = [x, dt.float(), A.float(), b, c, diagonal.float(), initial.float()]
    out = form(*arguments)
    assert out.dtype == torch.float32
    # Six values on the way are rounded to bfloat16: C·B, the matrix, the fed input, the state's increment, the state
    # that enters a chunk, and what a product returns; sums run in float32.
    bound = (6 * torch.finfo(torch.bfloat16).eps + torch.finfo(torch.float32).eps * rounding_steps(arguments)) * (
        scan_plain(*magnitudes(arguments))
    )
    assert bool(((out.double() - scan_plain(*arguments)).abs() <= bound).all())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("shape", [(2, 1, 4, 3, 2, 2), (1, 37, 4, 2, 1, 3), (1, 150, 2, 3, 2, 4)])
def test_gradients_equal_the_definitions(form, dtype, shape):
    arguments = draw(shape, seed=5, dtype=dtype)
    weight = torch.randn(shape[0], shape[1], shape[2], shape[3], generator=torch.Generator().manual_seed(6)).to(dtype)
    found = gradients(form, arguments, weight)
    expected = gradients(scan_plain, [tensor.double() for tensor in arguments], weight.double())
    for name, one, other, bound in zip(NAMES, found, expected, gradient_bounds(arguments, weight, dtype), strict=True):
        error = (one.double() - other).abs()
        assert bool((error <= bound).all()), f"{name}: {float((error / bound.clamp(min=1e-300)).max())} times the bound"


def gradients(form, arguments, weight):
    leaves = [tensor.clone().requires_grad_() for tensor in arguments]
    out = form(*leaves)
    # At length 1 only x and the diagonal matter; the others then have the gradient zero.
    return torch.autograd.grad(out, leaves, weight.to(out.dtype), materialize_grads=True)


def gradient_bounds(arguments, weight, dtype):
    """Worst-case rounding of each gradient: machine precision × roundings × the sum of the terms' magnitudes.

    The output is linear, with positive factors, in |x|, |b|, |c|, |diagonal| and the initial state, so that their
    gradients of the definition at magnitudes *are* those sums. A step dt acts as a factor (positive part) and in the
    decay (negative part, as A < 0); the gradient at magnitudes holds the difference g = p - n. p is at most
    |x|·dL/d|x| / dt, hence p + n = 2p - g is bounded too; for A, whose part is all of one sign, g itself is the sum.
    """
    sums = magnitudes(arguments)
    x, dt = sums[:2]
    gx, gdt, gA, *others = gradients(scan_plain, sums, weight.double().abs())
    factor_part = (x * gx).sum(-1).unsqueeze(2) / dt  # (B, L, 1, H) / (B, L, 2, H)
    terms = [gx, 2 * factor_part - gdt, gA.abs(), *others]
    batch, length, heads, head_size = x.shape
    roundings = rounding_steps(arguments) + batch * length * heads * head_size
    return [torch.finfo(dtype).eps * roundings * term for term in terms]


@settings(max_examples=12)
@given(shape=shapes, seed=st.integers(0, 2**20), form=st.sampled_from(list(FORMS.values())))
def test_reversed_time_with_swapped_directions_reverses_the_output(shape, seed, form):
    arguments = draw(shape, seed)
    assert_close_to_plain(form(*reverse_time(arguments)).flip(1), arguments, torch.finfo(torch.float64).eps)


@settings(max_examples=12)
@given(shape=shapes, seed=st.integers(0, 2**20), chunk_length=st.integers(1, 250))
def test_chunk_length_never_changes_the_result(shape, seed, chunk_length):
    arguments = draw(shape, seed)
    out = scan_chunked(*arguments, chunk_length=chunk_length)
    assert_close_to_plain(out, arguments, torch.finfo(torch.float64).eps)


@pytest.mark.parametrize("form", [scan_plain, *FORMS.values()], ids=["plain", *FORMS])
def test_length_one_is_the_diagonal_alone(form):
    arguments = draw((3, 1, 4, 5, 2, 6))
    assert torch.equal(form(*arguments), arguments[0] * arguments[5].unsqueeze(-1))


def test_matrix_has_the_diagonal_on_its_diagonal():
    _, *arguments, diagonal = draw((2, 6, 4, 3, 2, 5), initial=False)
    matrix = quasiseparable_matrix(*arguments, diagonal)
    assert torch.equal(matrix.diagonal(dim1=2, dim2=3), diagonal.transpose(1, 2))


def test_steps_of_length_zero_hide_positions():
    # Zero steps and zero C at the end: the rest is the shorter sequence's result.
    arguments = draw((2, 30, 4, 3, 2, 5))
    x, dt, A, b, c, diagonal, initial = arguments
    dt, c = dt.clone(), c.clone()
    dt[:, 20:], c[:, 20:] = 0, 0
    short = [x[:, :20], dt[:, :20], A, b[:, :20], c[:, :20], diagonal[:, :20], initial]
    for form in FORMS.values():
        assert_close_to_plain(form(x, dt, A, b, c, diagonal, initial)[:, :20], short, torch.finfo(x.dtype).eps)


def test_huge_steps_forget_without_overflow():
    # exp(-|dt A|) underflows to zero: each position then sees its neighbours' own input, and the diagonal. No sum of
    # steps may leak its rounding into them, so that only products and short sums round: 16 is more than there are.
    x, dt, A, b, c, diagonal = draw((1, 12, 2, 3, 1, 4), dtype=torch.float32, initial=False)
    arguments = [x, dt + 1e4, A, b, c, diagonal]
    bound = 16 * torch.finfo(x.dtype).eps * scan_plain(*magnitudes(arguments))
    for form in FORMS.values():
        leaves = [tensor.clone().requires_grad_() for tensor in arguments]
        out = form(*leaves)
        assert bool(((out.double() - scan_plain(*arguments)).abs() <= bound).all())
        assert all(grad.isfinite().all() for grad in torch.autograd.grad(out.sum(), leaves))


@pytest.mark.parametrize("cut", [1, 13, 39])
def test_two_spans_with_handed_on_states_are_the_whole(cut):
    arguments = draw((2, 40, 4, 3, 2, 5))
    x, dt, A, b, c, diagonal, initial = arguments
    neighbour_c = neighbours_of(torch.nn.functional.pad(c, (0, 0, 0, 0, 0, 0, 1, 1)))
    start = span_state(initial, groups=2)
    left, right = ([t[:, span] for t in (x, dt, b, neighbour_c, diagonal)] for span in (slice(cut), slice(cut, None)))
    from_future = backward_state(right[0], right[1], A, right[2], start)
    first, past = scan_span(left[0], left[1], A, *left[2:], start, from_future, chunk_length=8)
    second, _ = scan_span(right[0], right[1], A, *right[2:], past, start, chunk_length=8)
    assert_close_to_plain(torch.cat([first, second], dim=1), arguments, torch.finfo(x.dtype).eps)


def test_more_chunks_than_one_group_carry_on():
    # Enough chunks of one position for three levels of groups.
    length = CARRY_FAN**2 + 3
    arguments = draw((1, length, 2, 2, 1, 2))
    out = scan_chunked(*arguments, chunk_length=1)
    assert_close_to_plain(out, arguments, torch.finfo(torch.float64).eps)


def test_131072_float32_steps_stay_within_1e_4_of_float64():
    length = 131_072
    arguments = draw((1, length, 1, 2, 1, 4), seed=3, dtype=torch.float32, initial=False)
    expected = numpy_recurrence(*(tensor.double() for tensor in arguments))
    out = scan(*arguments)[0, :, 0].double().numpy()
    assert np.abs(out - expected).max() <= 1e-4 * np.abs(expected).max()
    assert np.linalg.norm(out - expected) <= 1e-4 * np.linalg.norm(expected)


def numpy_recurrence(x: Tensor, dt: Tensor, A: Tensor, b: Tensor, c: Tensor, diagonal: Tensor) -> np.ndarray:
    """(L, P) for one sequence and one head, step by step in float64."""
    values, steps, into, out_of = (
        x[0, :, 0].numpy(),
        dt[0, :, :, 0].numpy(),
        b[0, :, :, 0].numpy(),
        c[0, :, :, 0].numpy(),
    )
    decays = np.exp(steps * float(A[0]))
    out = values * diagonal[0].numpy()
    length = len(values)
    for direction, order, shift in ((0, range(length - 1), 1), (1, range(length - 1, 0, -1), -1)):
        fed = steps[:, direction, None] * values  # (L, P)
        state = np.zeros((values.shape[1], into.shape[2]))
        for t in order:
            state = decays[t, direction] * state + fed[t, :, None] * into[t, direction]
            out[t + shift] += state @ out_of[t, direction]
    return out


def test_form_is_chosen_by_length(monkeypatch):
    chosen = []
    monkeypatch.setattr(scan_module, "scan_chunked", lambda *_, chunk_length: chosen.append(chunk_length))
    for length in (1, DUAL_MAX_LENGTH, DUAL_MAX_LENGTH + 1):
        scan(*draw((1, length, 1, 1, 1, 1)))
    assert chosen == [1, DUAL_MAX_LENGTH, CHUNK_LENGTH]

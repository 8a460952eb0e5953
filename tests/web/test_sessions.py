"""Who has opened what, and until when."""

from dataclasses import replace

import numpy as np
import pytest

from cxr.foundation.errors import UserError
from cxr.superres.told import Told
from cxr.viewed import Compressed, Known, Presentation, Viewed, presentation
from cxr.web.sessions import Held, Most, Sessions


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def held(size: int = 100) -> Held:
    shown = Presentation(0, 1, inverted=False, table=None)
    return Held(bytes(size), Viewed(np.zeros((5, 10), np.uint16), 0, 8, shown, "", Compressed()))


def test_a_token_is_good_once(clock):
    sessions = Sessions(now=clock)
    token = sessions.invite()
    assert sessions.enter("") is None
    assert sessions.enter("another") is None
    session = sessions.enter(token)
    assert session is not None
    assert sessions.of(session.key) is session
    assert sessions.enter(token) is None


def test_what_is_not_used_is_forgotten(clock):
    sessions = Sessions(Most(idle_seconds=10), clock)
    session = sessions.begin()
    sessions.keep(session, held())
    clock.now = 9
    assert sessions.of(session.key) is session
    clock.now = 18  # it was used meanwhile
    assert sessions.of(session.key) is session
    assert sessions.size == 200
    clock.now = 29
    assert sessions.of(session.key) is None
    assert sessions.size == 0


def test_limits_are_told_in_one_line(clock):
    sessions = Sessions(Most(radiographs=2, size=450, browsers=2), clock)
    first, second = sessions.begin(), sessions.begin()
    with pytest.raises(UserError, match="too many browsers are open already"):
        sessions.begin()
    sessions.keep(first, held())
    sessions.keep(first, held())
    with pytest.raises(UserError, match="2 radiographs are open; close one first"):
        sessions.keep(first, held())
    with pytest.raises(UserError, match="memory for radiographs is full"):
        sessions.keep(second, held())


def test_of_a_demo_the_one_idle_longest_has_to_go(clock):
    sessions = Sessions(Most(browsers=2, evicts=True), clock)
    first, clock.now = sessions.begin(), 1
    second, clock.now = sessions.begin(), 2
    assert sessions.of(first.key) is first
    third = sessions.begin()
    assert [sessions.of(each.key) for each in (first, second, third)] == [first, None, third]


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(("low", "high"), [(0, 4095), (499.5, 3499.5), (-200, 5000), (10.25, 12.75)])
def test_a_curve_that_is_a_line_is_a_window(low, high, inverted):
    curve = ((np.arange(4096) - low) / (high - low)).clip(0, 1)
    found = presentation(1 - curve if inverted else curve)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))
    assert found.inverted == inverted
    assert found.table is None


def test_a_curve_that_is_no_line_is_a_table():
    curve = 1 / (1 + np.exp(-(np.arange(4096) - 2000) / 300))
    found = presentation(curve)
    np.testing.assert_allclose(found.table / 65_535, curve, atol=1e-5)
    step = presentation(np.repeat([0.0, 1.0], 100))
    assert step.table is not None


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_pieces_make_up_the_whole(scale):
    values = np.arange(300 * 200, dtype=np.uint16).reshape(300, 200)
    viewed, known = replace(held().viewed, values=values), Known("", Told(), {})
    side = 256 // scale
    whole = np.zeros_like(values)
    for row in range(-(-300 // side)):
        for column in range(-(-200 // side)):
            piece = viewed.piece(known, scale, row, column)
            part = piece.of.values[piece.part]
            whole[row * side :, column * side :][: part.shape[0], : part.shape[1]] = part
            assert piece.of.values.size <= (side + 128) ** 2
    np.testing.assert_array_equal(whole, values)
    for row, column in ((0, -1), (99, 0)):
        with pytest.raises(ValueError, match="no tile"):
            viewed.piece(known, scale, row, column)

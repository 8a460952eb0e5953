"""Files of pictures, and what can happen to them on their way."""

import io

import numpy as np
from hypothesis import strategies as st
from PIL import Image


def image(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 20), dtype=np.uint8)).save(buffer, kind)
    return buffer.getvalue()


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """Return `content` with bytes changed, cut out, put in or cut off."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 8))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        change = draw(st.sampled_from(["byte", "byte", "byte", "cut", "insert", "end"]))
        if change == "byte" and data:
            data[place] = draw(st.integers(0, 255) | st.sampled_from([0, 1, 127, 128, 255]))
        elif change == "cut":
            del data[place : place + draw(st.integers(1, 50))]
        elif change == "insert":
            data[place:place] = draw(st.binary(max_size=20))
        elif change == "end":
            del data[place:]
    return bytes(data)

"""The lead marker: SYNTHETIC in every image, and the letter that tells the sides apart in most."""

import cv2

from cxr.sources.phantom.anatomy import Floats, Subject, stream
from cxr.sources.phantom.drawing import Drawing, level_of
from cxr.sources.phantom.view import View

WORD = "SYNTHETIC"
FONT = cv2.FONT_HERSHEY_SIMPLEX


def marker(view: View, seed: int, subject: Subject) -> Floats:
    """Return the thickness of lead, mm: the word in a corner, and R or L, on two images of three, on its side."""
    lead = Drawing(view)
    random = stream(seed, subject.patient, subject.image, "word")
    scale, stroke = view.size / 600, max(1, view.size // 200)
    (long, tall), _ = cv2.getTextSize(WORD, FONT, scale, stroke)
    height, width = view.shape
    low = random.random() < 0.3
    inwards, down = (random.uniform(0.02, 0.06) * view.size for _ in range(2))
    left = inwards if random.random() < 0.5 else width - long - inwards
    _write(lead, WORD, left, height - down if low else down + tall, scale, stroke)
    random = stream(seed, subject.patient, subject.image, "letter")
    if random.random() < 2 / 3:
        side = int(random.integers(2))
        column = width * (0.06 + 0.82 * side) + view.size * random.uniform(-0.03, 0.03)
        _write(lead, "RL"[side], column, view.size * random.uniform(0.17, 0.28), scale, stroke)
    return lead.thickness


def _write(lead: Drawing, text: str, left: float, bottom: float, scale: float, stroke: int) -> None:
    cv2.putText(lead.levels, text, (round(left), round(bottom)), FONT, scale, level_of(0.5), stroke, cv2.LINE_AA)

"""The lead marker: SYNTHETIC in every image, and the letter that tells the sides apart in most."""

import cv2
import numpy as np

from cxr.sources.phantom.anatomy import Floats, Image, Subject, stream
from cxr.sources.phantom.view import View

WORD = "SYNTHETIC"
FONT = cv2.FONT_HERSHEY_SIMPLEX
# With soft edges, so that a word of nine letters is not most of what there is to restore: of the bicubic copy's squared
# error at x2, sharp letters made 65% (24 images at 256 px), these make 17%.
THICKNESS = 0.5  # mm
EDGE = 0.9  # mm, standard deviation of a Gaussian


def marker(view: View, seed: int, subject: Subject) -> Floats:
    """Return the thickness of lead, mm: the word in a corner, and R or L, on two images of three, on its side."""
    letters: Image = np.zeros(view.shape, np.uint8)
    random = stream(seed, subject.patient, subject.image, "word")
    scale, stroke = view.size / 600, max(1, view.size // 200)
    (long, tall), _ = cv2.getTextSize(WORD, FONT, scale, stroke)
    height, width = view.shape
    low = random.random() < 0.3
    inwards, down = (random.uniform(0.02, 0.06) * view.size for _ in range(2))
    left = inwards if random.random() < 0.5 else width - long - inwards
    _write(letters, WORD, left, height - down if low else down + tall, scale, stroke)
    random = stream(seed, subject.patient, subject.image, "letter")
    if random.random() < 2 / 3:
        side = int(random.integers(2))
        column = width * (0.06 + 0.82 * side) + view.size * random.uniform(-0.03, 0.03)
        _write(letters, "RL"[side], column, view.size * random.uniform(0.17, 0.28), scale, stroke)
    return THICKNESS * cv2.GaussianBlur(letters.astype(np.float32) / np.float32(255), (0, 0), EDGE / view.pixel)


def _write(letters: Image, text: str, left: float, bottom: float, scale: float, stroke: int) -> None:
    cv2.putText(letters, text, (round(left), round(bottom)), FONT, scale, 255, stroke, cv2.LINE_AA)

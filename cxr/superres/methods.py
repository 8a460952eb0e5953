"""The methods that are compared: name, title, colour, order and rivals of each, in one place. No torch.

A further network is a line here, one in `cxr.superres.model.BUILDERS`, and one for its stage's section in `stages/check.py`.
"""

from typing import NamedTuple


class Method(NamedTuple):
    """A way to enlarge a radiograph."""

    name: str
    """In tables, files and params.yaml."""
    title: str
    """In pictures and in tables for people."""
    colour: str
    """Of Okabe and Ito's palette, which colour-blind readers can tell apart; the charts in .dvc/plots use it, too."""
    shape: str
    """Of its points in Vega's charts."""
    compared_with: tuple[str, ...]
    """The methods that it must beat: their paired differences are tested."""


class View(NamedTuple):
    """How charts draw a way in which a radiograph is seen."""

    title: str
    colour: str
    dashes: str


BICUBIC = "bicubic"
METHODS = (
    Method(BICUBIC, "Bicubic", "#7F7F7F", "square", ()),
    Method("srcnn", "SRCNN", "#E69F00", "triangle-up", (BICUBIC,)),
    Method("vdsr", "VDSR", "#0072B2", "circle", (BICUBIC, "srcnn")),
    Method("edsr", "EDSR", "#009E73", "diamond", (BICUBIC, "srcnn", "vdsr")),
)
LEAD = "edsr"
"""The method that panels are chosen by, that detection is asked about, and that enhances unless another is named."""

NAMES = tuple(method.name for method in METHODS)
NETWORKS = tuple(name for name in NAMES if name != BICUBIC)
TITLES = {method.name: method.title for method in METHODS}
COLOURS = {method.name: method.colour for method in METHODS}
RIVALS = tuple((method.name, rival) for method in METHODS for rival in method.compared_with)

ORIGINAL, LOW = "original", "low"
VIEWS = {
    ORIGINAL: View("original", "black", "-"),
    LOW: View("low resolution", "#CC79A7", "--"),
    **{method.name: View(method.title, method.colour, "-") for method in METHODS},
}
"""The original radiograph, its low-resolution copy, and what each method makes of that."""

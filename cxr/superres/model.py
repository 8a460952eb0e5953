"""A trained network on a whole radiograph of any depth, in tiles when it is large."""

import hashlib
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cxr.compute import modelfile
from cxr.compute.device import choose_device, choose_precision, repeatable
from cxr.foundation.errors import UserError
from cxr.foundation.params import between, convert
from cxr.foundation.place import PACKAGE, ROOT
from cxr.superres.architectures.srcnn import Architecture
from cxr.superres.degradation import enlarge, interpolated
from cxr.superres.kernels import srcnn, vdsr
from cxr.superres.kernels.forms import AS_PUBLISHED, Forms
from cxr.superres.methods import LEAD
from cxr.superres.networks.srcnn import SRCNN
from cxr.superres.networks.vdsr import VDSR
from cxr.superres.settings import EACH_ONCE
from cxr.superres.tiles import tiled

# Where models lie, the first that is there being taken: in a clone what the stages trained, else what is bundled.
FOLDERS = (ROOT / "models", ROOT / "pretrained") if (ROOT / "dvc.yaml").is_file() else (PACKAGE / "pretrained",)

Levels = TypeVar("Levels", np.uint8, np.uint16, np.float32)
Section = TypeVar("Section")


@dataclass(frozen=True)
class Model:
    """Trained networks, ready to enhance."""

    name: str
    """A method's, such as srcnn or vdsr."""
    networks: Mapping[int, nn.Module]
    """As published, by scale; of some methods, such as VDSR, the same for all."""
    running: Mapping[int, nn.Module]
    """The same in the form that is fast on the device."""
    described: Mapping[str, Any]
    """What its training noted: scales, noise, settings, data, code, versions."""
    digest: str
    """The first 12 hex digits of the file's SHA-256."""
    device: torch.device
    precision: torch.dtype
    """What it multiplies in."""
    path: Path | None = None
    """The file that it was read from."""


class Shown(Protocol):
    """How stored values are seen, as `cxr.formats.dicom.display` knows it."""

    def shown(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return what is seen of `values`, 0 black and 1 white."""

    def moved(
        self, values: npt.NDArray[np.float32], before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Return `values`, which are shown as `before`, changed to be shown as `after`."""


class Builder(NamedTuple):
    """How a network is built of what its file says, and how it runs."""

    build: Callable[[Mapping[str, Any]], nn.Module]
    """From what the model file says by the schema `architecture`, or, without one, from an empty mapping."""
    per_scale: bool
    """Whether there is a network for each scale, named x2, x3, ..., or one for all, named as the method."""
    bfloat16: bool
    """Whether it may multiply in bfloat16 outside of training: a network whose layers all carry the image would lose by it."""
    residual: bool
    """Whether its layers make what is to be added to the bicubic image, and not the image itself."""
    forms: Forms = AS_PUBLISHED
    """The forms in which it runs."""
    architecture: type[Any] | None = None
    """The dataclass that is the schema of what can be chosen about the network."""


BUILDERS = {
    "srcnn": Builder(
        lambda chosen: SRCNN(chosen["mapping"]),
        per_scale=True,
        bfloat16=False,
        residual=False,
        forms=srcnn.FORMS,
        architecture=Architecture,
    ),
    "vdsr": Builder(lambda _: VDSR(), per_scale=False, bfloat16=True, residual=True, forms=vdsr.FORMS),
}


@dataclass(frozen=True)
class Described:
    """What a model file must say of every network. What else it says is kept as it is, and decides nothing."""

    scales: Annotated[tuple[Literal[2, 3, 4], ...], EACH_ONCE]
    noise: Annotated[tuple[Annotated[float, between(0, 64)], ...], EACH_ONCE]
    precision: Literal["float32", "bfloat16"]


def load_model(model: str | Path = LEAD, device: torch.device | None = None) -> Model:
    """Return the networks of `model`: a method's name, such as vdsr, or the path of a model file.

    A name stands for what the stages trained here, or else for the bundled network. On `device`, or, when None, on a CUDA
    device if there is one.
    Raises UserError when the file is missing or is no model of this project.
    """
    path = Path(model)
    if str(model) in BUILDERS:
        places = [folder / f"{model}.safetensors" for folder in FOLDERS]
        path = next((place for place in places if place.is_file()), places[0])
    weights, described = modelfile.read(path)
    device = device or choose_device("auto")
    name = described.get("network")
    if not isinstance(name, str) or name not in BUILDERS:
        raise UserError(f"{path}: description.network is {reprlib.repr(name)}, none of {', '.join(BUILDERS)}; train it again")
    builder = BUILDERS[name]
    said = _checked(described, Described, path)
    chosen = vars(_checked(described, builder.architecture, path)) if builder.architecture else {}
    keys = {scale: f"x{scale}" if builder.per_scale else name for scale in said.scales}
    if missing := sorted({*keys.values()} - weights.keys()):
        raise UserError(f"{path} lacks weights {missing[0]}; train it again")
    if unknown := sorted(weights.keys() - {*keys.values()}):
        raise UserError(f"{path} holds weights {reprlib.repr(unknown[0])}, which its description does not name; train it again")
    filled = {key: _filled(builder.build(chosen), weights[key], f"{path} lacks weights {key} that fit") for key in weights}
    for network in filled.values():
        nn.utils.convert_conv2d_weight_memory_format(network.to(device), torch.channels_last)
    by_scale = {int(scale): filled[key] for scale, key in keys.items()}
    # Nearly what float32 gives, in a third of its time (docs/results.md).
    fast = builder.bfloat16 and said.precision == "bfloat16"
    precision = choose_precision("auto", device) if fast else torch.float32
    running = {scale: builder.forms.restoring(network, device, precision) for scale, network in by_scale.items()}
    return Model(
        name, by_scale, running, described, hashlib.sha256(path.read_bytes()).hexdigest()[:12], device, precision, path
    )


def _checked(described: Mapping[str, Any], schema: type[Section], path: Path) -> Section:
    """Return of what the model file `path` says that which `schema` asks for. Raises UserError, with the key, for others."""
    wanted = {field.name for field in fields(schema)}  # type: ignore[arg-type]
    return convert({key: value for key, value in described.items() if key in wanted}, schema, f"{path}: description")


def _filled(network: nn.Module, weights: modelfile.Weights, otherwise: str) -> nn.Module:
    """Return `network` with `weights`. Raises UserError, which begins with `otherwise`, when they are not its own."""
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise UserError(f"{otherwise}; train it again") from None
    return network


@torch.inference_mode()
def enhance(
    model: Model,
    image: npt.NDArray[Levels],
    scale: int = 2,
    done: Callable[[int], object] | None = None,
    bits: int | None = None,
) -> npt.NDArray[Levels]:
    """Return `image` (H, W) with `scale` times its rows and columns, as `model` sees it: of its own dtype and range.

    0 is black. White is 2**bits - 1 of uint8 and uint16, or, without `bits`, the greatest value of the dtype; of float32, 1.
    `done` is told the pixels of each finished tile.
    Raises UserError when `model` was not trained for `scale`, or values exceed white; ValueError for arrays of another kind.
    """
    if image.ndim != 2 or image.dtype not in (np.uint8, np.uint16, np.float32):
        raise ValueError(f"{image.dtype} {image.shape} is no grey image of uint8, uint16 or float32")
    white = np.float32(1 if image.dtype == np.float32 else _white(image, bits))
    low = torch.from_numpy(image.astype(np.float32) / white)[None, None].to(model.device)
    enhanced = restore(model, enlarge(low, scale), scale, done)[0, 0].mul_(float(white))
    levels = enhanced if image.dtype == np.float32 else enhanced.round_()
    return levels.cpu().numpy().astype(image.dtype, copy=False)


def _white(image: npt.NDArray[Any], bits: int | None) -> int:
    """Return the value of `image` that is white. Raises UserError when there are greater ones."""
    container = 8 * image.dtype.itemsize
    white: int = (1 << (container if bits is None else bits)) - 1
    if bits is not None and not 1 <= bits <= container:
        raise UserError(f"{bits} bits are none that {image.dtype} holds; give 1 to {container}")
    if image.size and image.max() > white:
        raise UserError(f"values up to {image.max():,} exceed {white:,}, the most that {bits} bits hold; give more bits")
    return white


@torch.inference_mode()
def enhance_stored(
    model: Model, stored: npt.NDArray[np.float32], scale: int, display: Shown, done: Callable[[int], object] | None = None
) -> npt.NDArray[np.float32]:
    """Return values (H * scale, W * scale) of a radiograph whose `stored` values (H, W) are seen through `display`.

    `model` sees what is shown. What it changes of that is changed in the bicubically enlarged stored values, which so keep
    what lies beyond black and white.
    """
    bicubic = interpolated(torch.from_numpy(stored)[None, None].to(model.device), scale)[0, 0].cpu().numpy()
    before = display.shown(bicubic)
    after = restore(model, torch.from_numpy(before)[None, None].to(model.device), scale, done)[0, 0].cpu().numpy()
    return display.moved(bicubic, before, after)


def restore(model: Model, bicubic: Tensor, scale: int, done: Callable[[int], object] | None = None) -> Tensor:
    """Return what `model` makes of bicubically enlarged images (N, 1, H, W), float32 in [0, 1] on its device.

    `done` is told the pixels of each finished tile. Raises UserError when `model` was not trained for `scale`.
    """
    if scale not in model.networks:
        raise UserError(f"this {model.name} was trained for x{', x'.join(map(str, model.networks))}, not for x{scale}")
    with repeatable():
        return tiled(model.running[scale], cast(int, model.networks[scale].halo), bicubic, done=done)

"""Trained networks: how each is built, and their files."""

import hashlib
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import torch
from torch import nn

from cxr.compute import modelfile
from cxr.compute.device import choose_device, choose_precision
from cxr.foundation.errors import UserError
from cxr.foundation.params import between, convert
from cxr.foundation.place import PACKAGE, ROOT
from cxr.superres.architectures import edsr as edsr_architecture
from cxr.superres.architectures import srcnn as srcnn_architecture
from cxr.superres.kernels import srcnn, vdsr
from cxr.superres.kernels.forms import AS_PUBLISHED, Forms
from cxr.superres.methods import LEAD
from cxr.superres.network import laid_out
from cxr.superres.networks.edsr import EDSR
from cxr.superres.networks.srcnn import SRCNN
from cxr.superres.networks.vdsr import VDSR
from cxr.superres.settings import EACH_ONCE, Ranges

# Where models lie, the first that is there being taken: in a clone what the stages trained, else what is bundled.
FOLDERS = (ROOT / "models", ROOT / "pretrained") if (ROOT / "dvc.yaml").is_file() else (PACKAGE / "pretrained",)

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


class Builder(NamedTuple):
    """How a network is built of what its file says, and how it runs."""

    build: Callable[[Mapping[str, Any]], nn.Module]
    """From the scales, and from what the model file says by the schema `architecture`, where there is one."""
    per_scale: bool
    """Whether there is a network for each scale, named x2, x3, ..., or one for all, named as the method."""
    bfloat16: bool
    """Whether it may multiply in bfloat16 outside of training: a network whose layers all carry the image would lose by it."""
    forms: Forms = AS_PUBLISHED
    """The forms in which it runs."""
    architecture: type[Any] | None = None
    """The dataclass that is the schema of what can be chosen about the network."""


BUILDERS = {
    "srcnn": Builder(
        lambda chosen: SRCNN(chosen["mapping"]),
        per_scale=True,
        bfloat16=False,
        forms=srcnn.FORMS,
        architecture=srcnn_architecture.Architecture,
    ),
    "vdsr": Builder(lambda _: VDSR(), per_scale=False, bfloat16=True, forms=vdsr.FORMS),
    "edsr": Builder(
        lambda chosen: EDSR(chosen["blocks"], chosen["width"], chosen["scales"], chosen["told"]),
        per_scale=False,
        bfloat16=True,
        architecture=edsr_architecture.Architecture,
    ),
}


@dataclass(frozen=True)
class Described:
    """What a model file must say of every network. Of what else it says, `ranges` and `phantoms` decide what it is used for."""

    scales: Annotated[tuple[Literal[2, 3, 4], ...], EACH_ONCE]
    noise: Annotated[tuple[Annotated[float, between(0, 64)], ...], EACH_ONCE]
    precision: Literal["float32", "bfloat16"]


def load_model(model: str | Path = LEAD, device: torch.device | None = None) -> Model:
    """Return the networks of `model`: a method's name, such as vdsr, or the path of a model file.

    A name stands for what the stages trained here, or else for the bundled network. On `device`, or, when None, on a CUDA
    device if there is one.
    Raises UserError when the file is missing or is no model of this project, and when a name stands for one that has learnt
    from phantoms, which is nothing for radiographs.
    """
    path = Path(model)
    if str(model) in BUILDERS:
        places = [folder / f"{model}.safetensors" for folder in FOLDERS]
        path = next((place for place in places if place.is_file()), places[0])
    weights, described = modelfile.read(path)
    device = device or choose_device("auto")
    if str(model) in BUILDERS and described.get("phantoms") is True:
        raise UserError(f"{path} has learnt from phantoms, which show no person; to use it all the same, name it by its path")
    name = described.get("network")
    if not isinstance(name, str) or name not in BUILDERS:
        raise UserError(f"{path}: description.network is {reprlib.repr(name)}, none of {', '.join(BUILDERS)}; train it again")
    builder = BUILDERS[name]
    said = _checked(described, Described, path)
    if (ranges := described.get("ranges")) is not None:
        convert(ranges, Ranges, f"{path}: description.ranges")
    chosen = vars(_checked(described, builder.architecture, path)) if builder.architecture else {}
    keys = {scale: f"x{scale}" if builder.per_scale else name for scale in said.scales}
    if missing := sorted({*keys.values()} - weights.keys()):
        raise UserError(f"{path} lacks weights {missing[0]}; train it again")
    if unknown := sorted(weights.keys() - {*keys.values()}):
        raise UserError(f"{path} holds weights {reprlib.repr(unknown[0])}, which its description does not name; train it again")
    chosen = {**chosen, "scales": said.scales}
    filled = {key: _filled(builder.build(chosen), weights[key], f"{path} lacks weights {key} that fit") for key in weights}
    for network in filled.values():
        laid_out(network, device)
    by_scale = {int(scale): filled[key] for scale, key in keys.items()}
    # Nearly what float32 gives, in a third of its time (docs/log.md).
    fast = builder.bfloat16 and said.precision == "bfloat16"
    precision = choose_precision("auto", device) if fast else torch.float32
    running = {scale: builder.forms.restoring(network, device, precision) for scale, network in by_scale.items()}
    return Model(
        name, by_scale, running, described, hashlib.sha256(path.read_bytes()).hexdigest()[:12], device, precision, path
    )


def _checked(described: Mapping[str, Any], schema: type[Section], path: Path) -> Section:
    """Return of what the model file `path` says that which `schema` asks for. Raises UserError, with the key, for others."""
    wanted = {field.name: field.default for field in fields(schema)}  # type: ignore[arg-type]
    usual = {key: value for key, value in wanted.items() if value is not MISSING}  # of what an older file does not say
    return convert({**usual, **{key: described[key] for key in wanted if key in described}}, schema, f"{path}: description")


def _filled(network: nn.Module, weights: modelfile.Weights, otherwise: str) -> nn.Module:
    """Return `network` with `weights`. Raises UserError, which begins with `otherwise`, when they are not its own."""
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise UserError(f"{otherwise}; train it again") from None
    return network


def network_for(model: Model, scale: int) -> nn.Module:
    """Return the network of `model` for `scale`. Raises UserError when it was not trained for that."""
    if not hasattr(scale, "__index__"):  # such as 2.0, which would be found as 2 is
        raise UserError(f"the scale is {scale!r}, no whole number; name x{', x'.join(map(str, model.networks))}")
    if scale not in model.networks:
        raise UserError(f"this {model.name} was trained for x{', x'.join(map(str, model.networks))}, not for x{scale}")
    return model.networks[scale]

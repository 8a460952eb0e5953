"""DICOM radiographs: their stored values, and images derived from them (DICOM PS3.3, PS3.5)."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

from cxr.formats.decode import Grey, Unusable, as_unusable
from cxr.formats.depth import in_bits, refuse_beyond
from cxr.formats.dicom_decoder import LOSSY
from cxr.formats.display import Display, Levels, display
from cxr.formats.header import is_dicom
from cxr.formats.stored import Values, check, found_syntax, limits, padding, refuse_other_modalities, stored_values
from cxr.foundation.errors import UserError
from cxr.foundation.files import replacing

DICOM_SUFFIXES = ".dcm", ".dicom", ".ima"

# Distances between pixels, which shrink, and places in pixels, which grow, when an image is enlarged.
SPACINGS = "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"
PLACES = (
    *(f"{kind}{edge}Edge" for kind in ("Shutter", "Collimator") for edge in ("LeftVertical", "RightVertical")),
    *(f"{kind}{edge}Edge" for kind in ("Shutter", "Collimator") for edge in ("UpperHorizontal", "LowerHorizontal")),
    *("CenterOfCircularShutter", "RadiusOfCircularShutter", "VerticesOfThePolygonalShutter"),
    *("CenterOfCircularCollimator", "RadiusOfCircularCollimator", "VerticesOfThePolygonalCollimator"),
)
# What describes the source's pixels or signs its bytes, and is not true of the result.
OUTDATED = (
    *("IconImageSequence", "SmallestImagePixelValue", "LargestImagePixelValue", "PixelDataProviderURL"),
    *("DigitalSignaturesSequence", "MACParametersSequence", "DataSetTrailingPadding"),
)
WORDS = {"OW": np.uint16, "OL": np.uint32, "OF": np.uint32, "OD": np.uint64, "OV": np.uint64}
"""Value representations that pydicom leaves as bytes, in the order that they have in the file."""
OVERLAYS, CURVES = range(0x6000, 0x6100), range(0x5000, 0x5100)  # groups


@dataclass(frozen=True)
class Radiograph:
    """What a DICOM file holds."""

    data: Dataset
    stored: Values
    """Stored values (H, W)."""
    padding: npt.NDArray[np.bool_]
    """(H, W): where there is no image, but PixelPaddingValue or what lies between it and PixelPaddingRangeLimit."""
    display: Display
    bits: int
    """BitsStored, or what was asked for instead."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the user should know, a line each."""
        return self.display.remarks

    def levels(self, values: Values | None = None) -> Levels:
        """Return the image (H, W), or `values` (H * scale, W * scale) in its place, as it is seen, 0 black and 1 white."""
        shown = self.stored if values is None else values
        levels = self.display.shown(shown)
        levels[_enlarged(self.padding, shown)] = 0
        return levels

    def pixels(self) -> Grey:
        """Return the image (H, W) as it is seen, 0 black and 2**bits - 1 white: uint8 of up to 8 bits, else uint16."""
        curve = in_bits(np.rint(self.display.curve * ((1 << self.bits) - 1)), self.bits)
        pixels: Grey = curve[(self.stored - self.display.least).clip(0, len(curve) - 1)]
        pixels[self.padding] = 0
        return pixels

    def image(self) -> npt.NDArray[np.float32]:
        """Return the stored values (H, W), and for padding that of the image which is seen darkest."""
        values = self.stored.astype(np.float32)
        if self.padding.any() and not self.padding.all():
            seen = self.stored[~self.padding]
            ends = np.array([[seen.min(), seen.max()]], np.float32)
            values[self.padding] = ends[0, self.display.shown(ends)[0].argmin()]
        return values

    def values(self, exact: npt.NDArray[np.float32]) -> Values:
        """Return `exact` (H * scale, W * scale) as values that can be stored, with the padding in its places.

        Rounded, and clipped to the bits there are; beside padding to the values there are, so that none looks like padding.
        """
        least, most = limits(self.data)
        if self.padding.any() and not self.padding.all():
            seen = self.stored[~self.padding]
            least, most = seen.min(), seen.max()
        values = np.empty(exact.shape, np.int32)
        for found, row in zip(values, exact, strict=True):  # one by one, since copies take more memory than is there
            found[:] = row.round().clip(least, most)
        unseen = _enlarged(self.padding, values)
        values[unseen] = _enlarged(self.stored, values)[unseen]
        return values


def _enlarged(pixels: npt.NDArray[Any], like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return `pixels` (H, W), each repeated, in the shape of `like`."""
    scale = like.shape[0] // pixels.shape[0]
    return pixels if scale == 1 else pixels.repeat(scale, 0).repeat(scale, 1)


def read(path: Path, bits: int | None = None, any_modality: bool = False) -> Radiograph:
    """Return the radiograph in the DICOM file `path`, which may lack preamble and file meta header.

    MONOCHROME1 and 2 of 8 to 16 bits, one frame, in every transfer syntax that pydicom can decode with the installed packages;
    of the modalities CR, DX, DR and SC, or, with `any_modality`, of all. `bits` overrides BitsStored.
    Raises Unusable("no radiograph") for another modality, Unusable("damaged") for everything else that cannot be read;
    UserError when stored values exceed `bits`; OSError when the file cannot be opened.
    """
    if not is_dicom(path):
        raise Unusable("damaged", "no DICOM file")
    with path.open("rb") as file, as_unusable(UserError):
        data = dcmread(file, force=True)
        if not hasattr(data, "file_meta") or "TransferSyntaxUID" not in data.file_meta:
            data.file_meta = FileMetaDataset()
            data.file_meta.TransferSyntaxUID = found_syntax(data)
        if not any_modality:
            refuse_other_modalities(data)
        check(data)
        stored = stored_values(data, path)
        unseen = padding(data, stored)
        seen = stored[~unseen] if unseen.any() else stored
        low, high = (int(seen.min()), int(seen.max())) if seen.size else (0, 0)
        if bits is not None:
            refuse_beyond(path, bits, int(data.BitsStored), max(2 * high, -2 * low - 1) if data.PixelRepresentation else high)
        shown = display(data, (low, high), bits)
    return Radiograph(data, stored, unseen, shown, bits or int(data.BitsStored))


@as_unusable()
def derived(source: Radiograph, values: Values, scale: int, description: str, maker: str) -> Dataset:
    """Return the image of `values` (H * scale, W * scale), as `Radiograph.values` gives them, derived from `source`.

    A new instance in a new series of the same study (PS3.3, C.7.6.1.1.2 and C.7.6.1.1.4), uncompressed. `maker` tells by what
    it was made; equal sources and makers get equal UIDs.
    Raises Unusable("damaged") when an element of `source` cannot be understood.
    """
    data = deepcopy(source.data)
    syntax = source.data.file_meta.TransferSyntaxUID
    del data.PixelData
    if not syntax.is_little_endian:
        _turn_little_endian(data)
    for element in list(data):
        if element.keyword in OUTDATED or element.tag.group in OVERLAYS or element.tag.group in CURVES:
            del data[element.tag]
    _enlarge(data, scale)
    data.Rows, data.Columns = values.shape
    data.HighBit = data.BitsStored - 1
    kind = f"{'i' if data.PixelRepresentation else 'u'}{data.BitsAllocated // 8}"
    pixels = values.astype(f"<{kind}").tobytes()
    data.PixelData = pixels + bytes(len(pixels) % 2)
    implicit = syntax == ImplicitVRLittleEndian
    data["PixelData"].VR = "OB" if data.BitsAllocated == 8 and not implicit else "OW"
    kinds = data.get("ImageType") or []
    data.ImageType = ["DERIVED", *(([] if isinstance(kinds, str) else kinds[1:]) or ["PRIMARY"])]
    if syntax in LOSSY:
        data.LossyImageCompression = "01"
    data.DerivationDescription = "; ".join(filter(None, [data.get("DerivationDescription"), description]))[-1024:]
    if "SOPInstanceUID" in source.data:
        data.SourceImageSequence = [_reference(source.data)]
    told = data.get("SeriesDescription") or ""
    # A backslash in it parts values, though it is one text (PS3.5, 6.2).
    texts = [told] if isinstance(told, str) else list(told)
    data.SeriesDescription = [*texts[:-1], " ".join(filter(None, [texts[-1], description.partition(",")[0]]))[:64]]
    series = [str(source.data.get("SeriesInstanceUID", "")), maker]
    data.SeriesInstanceUID = generate_uid(entropy_srcs=series)
    data.SOPInstanceUID = generate_uid(entropy_srcs=[*series, str(source.data.get("SOPInstanceUID", "")), pixels[:2048].hex()])
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return data


def write(path: Path, data: Dataset) -> None:
    """Write `data` of `derived` to `path`, whole or not at all, with a file meta header.

    Raises Unusable("damaged") when an element cannot be written; OSError when the disk does not take the file.
    """
    with replacing(path) as partial, as_unusable(OSError):
        data.save_as(partial, enforce_file_format=True)


def _turn_little_endian(data: Dataset) -> None:
    """Let `data` of a big-endian file, which the standard has given up but archives hold, be that of a little-endian one."""
    for element in data.iterall():  # of which each, until it is asked for, is kept as it was read
        if element.VR in WORDS and element.value:
            element.value = np.frombuffer(element.value, WORDS[element.VR]).byteswap().tobytes()
    data.set_original_encoding(False, True)


def _enlarge(data: Dataset, scale: int) -> None:
    """Let distances between pixels and places in pixels be those of an image of `scale` times as many rows and columns."""
    for name in (name for name in SPACINGS if data.get(name)):
        lengths = np.atleast_1d(np.asarray(data[name].value, float))  # of which some writers give one for both
        data[name].value = [
            DSfloat(length / scale, auto_format=True) for length in np.broadcast_to(lengths, max(2, len(lengths)))
        ]
    for name in (name for name in PLACES if data.get(name) is not None):
        value = data[name].value
        data[name].value = value * scale if isinstance(value, int) else [place * scale for place in value]


def _reference(data: Dataset) -> Dataset:
    """Return an item of the source image sequence (PS3.3, table C.7-9) for `data`."""
    item, purpose = Dataset(), Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = data.get("SOPClassUID", ""), data.SOPInstanceUID
    purpose.CodeValue, purpose.CodingSchemeDesignator = "121322", "DCM"
    purpose.CodeMeaning = "Source image for image processing operation"
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item

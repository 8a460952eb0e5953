"""DICOM radiographs: their stored values, and images derived from them (DICOM PS3.3, PS3.5)."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    generate_uid,
)
from pydicom.valuerep import DSfloat

from cxr.formats.decode import MAX_PIXELS, Unusable, silence
from cxr.formats.dicom_decoder import decoded
from cxr.foundation.files import replacing

LOSSY = JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless
DICOM_SUFFIXES = ".dcm", ".dicom", ".ima"
PREAMBLE = 128  # bytes, after which a DICOM file says so (PS3.10, section 7.1)

Values = npt.NDArray[np.int32]

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
    black: float
    white: float
    """The stored values that are shown as black and as white: `white` below `black` when they are shown inverted."""

    def levels(self) -> npt.NDArray[np.float32]:
        """Return the image (H, W), 0 shown as black and 1 as white, with what lies beyond still there."""
        return ((self.stored - self.black) / (self.white - self.black)).astype(np.float32)

    def values(self, levels: npt.NDArray[np.float32]) -> Values:
        """Return `levels` (H, W) as values that can be stored: rounded, and clipped to the bits there are."""
        signed, bits = int(self.data.PixelRepresentation), int(self.data.BitsStored)
        least = -(1 << bits - 1) if signed else 0
        values = np.empty(levels.shape, np.int32)
        for found, row in zip(values, levels, strict=True):  # one by one, since float64 takes more memory than is there
            exact = row.astype(np.float64) * (self.white - self.black) + self.black
            found[:] = exact.round().clip(least, least + (1 << bits) - 1)
        return values


def looks_like_dicom(path: Path) -> bool:
    """Tell by name, or where it has no suffix by its first bytes, whether the file `path` is to be read as DICOM."""
    if path.suffix:
        return path.suffix.lower() in DICOM_SUFFIXES
    with path.open("rb") as file:
        return file.read(PREAMBLE + 4)[PREAMBLE:] == b"DICM"


def read(path: Path) -> Radiograph:
    """Return the radiograph in the DICOM file `path`, which may lack its file meta header.

    MONOCHROME1 and 2 of 8 to 16 bits, one frame, in every transfer syntax that pydicom can decode with the installed packages.
    Black and white are the ends of the first VOI window, or of the values there are where it has none.
    Raises Unusable("damaged") for everything else; OSError when the file cannot be opened.
    """
    with path.open("rb") as file, _as_unusable():
        data = dcmread(file, force=True)
        if not hasattr(data, "file_meta") or "TransferSyntaxUID" not in data.file_meta:
            # A data set by itself is in the default transfer syntax (PS3.5, section 10.1).
            data.file_meta = FileMetaDataset()
            data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        _check(data)
        # Without what may lie in the bits above, and with its sign.
        packed = data.file_meta.TransferSyntaxUID.is_encapsulated
        stored = decoded(path) if packed else data.pixel_array.astype(np.int32)
        black, white = _shown(data, stored)
    return Radiograph(data, stored, black, white)


@contextmanager
def _as_unusable(let_through: type[Exception] = Unusable) -> Iterator[None]:
    """Raise Unusable("damaged") instead of any other exception than `let_through`: broken bytes lead anywhere.

    In silence, also of what the standard does not allow and files are full of.
    """
    with warnings.catch_warnings(), silence():
        warnings.simplefilter("ignore")
        try:
            yield
        except (Unusable, let_through):
            raise
        except Exception as error:
            raise Unusable("damaged", " ".join(str(error).split()) or type(error).__name__) from error


def _check(data: Dataset) -> None:
    """Raise Unusable when `data` holds no radiograph that can be enlarged."""
    if "PixelData" not in data or not data.get("Rows") or not data.get("Columns"):
        raise Unusable("damaged", "no DICOM image")
    if data.Rows * data.Columns > MAX_PIXELS:
        raise Unusable("damaged", f"more than {MAX_PIXELS:,} pixels")
    photometric = data.get("PhotometricInterpretation", "no photometric interpretation")
    if photometric not in {"MONOCHROME1", "MONOCHROME2"}:
        raise Unusable("damaged", f"{photometric}, not MONOCHROME1 or 2")
    if int(data.get("NumberOfFrames") or 1) != 1:
        raise Unusable("damaged", f"{data.NumberOfFrames} frames; save each by itself")
    if not 8 <= data.BitsStored <= 16:
        raise Unusable("damaged", f"{data.BitsStored} bits a pixel, not 8 to 16")


def _shown(data: Dataset, stored: Values) -> tuple[float, float]:
    """Return the stored values that are shown as black and as white."""
    seen = stored[stored != data.PixelPaddingValue] if "PixelPaddingValue" in data else stored
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)
    slope, intercept = _number(data, "RescaleSlope") or 1.0, _number(data, "RescaleIntercept") or 0.0
    black, white = (low, high) if slope > 0 else (high, low)
    centre, width = _number(data, "WindowCenter"), _number(data, "WindowWidth")
    if centre is not None and width is not None and width > 1 and "ModalityLUTSequence" not in data:
        # PS3.3, C.11.2.1.2.1: values in the window, of the modality's units, are mapped linearly.
        ends = [(centre - 0.5 + side * (width - 1) / 2 - intercept) / slope for side in (-1, 1)]
        if min(ends) < high and max(ends) > low:
            black, white = ends
    if black == white:
        white = black + 1
    return (white, black) if data.PhotometricInterpretation == "MONOCHROME1" else (black, white)


def _number(data: Dataset, name: str) -> float | None:
    """Return the number, or the first of the numbers, that the element `name` holds, if any."""
    value = data.get(name)
    if value is None or value == "":
        return None
    return float(value if isinstance(value, (int, float, str)) else value[0])


@_as_unusable()
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
    data.SeriesDescription = " ".join(filter(None, [data.get("SeriesDescription"), description.partition(",")[0]]))[:64]
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
    with replacing(path) as partial, _as_unusable(OSError):
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
        data[name].value = [DSfloat(float(length) / scale, auto_format=True) for length in data[name].value]
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

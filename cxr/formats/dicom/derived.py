"""Images derived from DICOM radiographs (DICOM PS3.3, C.7.6.1.1)."""

from copy import deepcopy
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

from cxr.formats.decode import as_unusable
from cxr.formats.dicom.decoder import LOSSY
from cxr.formats.dicom.radiograph import Radiograph
from cxr.formats.dicom.stored import Values
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

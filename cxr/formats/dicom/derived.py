"""Images derived from DICOM radiographs (DICOM PS3.3, C.7.6.1.1)."""

import re
from copy import deepcopy
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pydicom.valuerep import VR

from cxr.formats.decode import Unusable, as_unusable
from cxr.formats.dicom.compressed.lossy import say_lossy
from cxr.formats.dicom.geometry import enlarge
from cxr.formats.dicom.nested import drop_compressed, turn_explicit, turn_little_endian
from cxr.formats.dicom.radiograph import Radiograph
from cxr.formats.dicom.stored import Values
from cxr.formats.dicom.text import append, as_ascii
from cxr.foundation.files import replacing

DICOM_SUFFIXES = ".dcm", ".dicom", ".ima"

NAME = "chest-xray-superres"
SERIES_AFTER = 9000
"""Added to the source's series number, so that the derived series stands behind those of the study."""

# What describes the source's pixels or signs its bytes, and is not true of the result.
OUTDATED = (
    *("SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries"),
    *("SmallestImagePixelValueInPlane", "LargestImagePixelValueInPlane", "HistogramSequence", "PixelDataProviderURL"),
    *("DigitalSignaturesSequence", "MACParametersSequence", "DataSetTrailingPadding", "InstanceCreatorUID"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "EncapsulatedPixelDataValueTotalLength"),
    *("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime"),  # of the series that was
)
KINDS = frozenset(str(kind) for kind in VR)
OVERLAYS, CURVES = range(0x6000, 0x6100), range(0x5000, 0x5100)  # groups


@as_unusable()
def derived(
    source: Radiograph, values: Values, scale: int, description: str, maker: str, now: datetime | None = None
) -> Dataset:
    """Return the image of `values` (H * scale, W * scale), as `Radiograph.values` gives them, derived from `source`.

    A new instance in a new series of the same study (PS3.3, C.7.6.1.1.2 and C.7.6.1.1.4), uncompressed, made at the time `now`,
    which without one is not said. `description` says what was done, and `maker` by what; equal sources, makers and pixels get
    equal UIDs.
    Raises Unusable("damaged") when an element of `source` cannot be understood.
    """
    data = deepcopy(source.data)
    syntax = source.data.file_meta.TransferSyntaxUID
    del data.PixelData
    if not syntax.is_little_endian:
        turn_little_endian(data)
    if syntax != ImplicitVRLittleEndian:
        turn_explicit(data)
    for tag in list(data.keys()):  # not the elements: each stays the bytes that it was read as until it is asked for
        if tag.group in OVERLAYS or tag.group in CURVES or keyword_for_tag(tag) in OUTDATED:
            del data[tag]
        elif (kind := data.get_item(tag).VR) is not None and kind not in KINDS:
            raise Unusable("damaged", f"{tag} has the value representation {kind!r}, which is none", quotes=True)
    drop_compressed(data)
    enlarge(data, scale)
    data.Rows, data.Columns = values.shape
    data.HighBit = data.BitsStored - 1
    kind = f"{'i' if data.PixelRepresentation else 'u'}{data.BitsAllocated // 8}"
    pixels = values.astype(f"<{kind}").tobytes()
    data.PixelData = pixels + bytes(len(pixels) % 2)
    implicit = syntax == ImplicitVRLittleEndian
    data["PixelData"].VR = "OB" if data.BitsAllocated == 8 and not implicit else "OW"
    say_lossy(data, source.data)
    _say_derived(data, source.data, description, now)
    study, before, instance = (str(source.data.get(f"{name}InstanceUID") or "") for name in ("Study", "Series", "SOP"))
    own = [instance, sha256(pixels).hexdigest()]
    series = [before, maker] if before else [study, maker, *own]  # of no series: in one by itself
    data.SeriesInstanceUID = generate_uid(entropy_srcs=series)
    data.SOPInstanceUID = generate_uid(entropy_srcs=[*series, *own])
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return data


def write(path: Path, data: Dataset) -> None:
    """Write `data` of `derived` to `path`, whole or not at all, with a file meta header and a preamble of zeros.

    Raises Unusable("damaged") when an element cannot be written; OSError when the disk does not take the file.
    """
    data.preamble = bytes(128)  # a source's may hold another file's header, or a name
    with replacing(path) as partial, as_unusable(OSError):
        try:
            data.save_as(partial, enforce_file_format=True)
        except OSError as error:
            if error.errno is None:  # pydicom's own, for a value that does not fit its element
                raise ValueError(str(error)) from error
            raise


def _say_derived(data: Dataset, source: Dataset, description: str, now: datetime | None) -> None:
    """Let `data` say that it is derived from `source`, how, when and by what (PS3.3, C.7.6.1.1.2, C.12.1 and C.7.3.1)."""
    kinds = data.get("ImageType") or []
    data.ImageType = ["DERIVED", *(([] if isinstance(kinds, str) else kinds[1:]) or ["PRIMARY"])]
    append(data, "DerivationDescription", "; ", description)
    data.DerivationCodeSequence = [*(data.get("DerivationCodeSequence") or []), coded(codes.DCM.SpatialResampling)]
    if (instance := UID(str(source.get("SOPInstanceUID", "")))).is_valid and instance[0] in "012":  # PS3.5, 9.1
        data.SourceImageSequence = [_reference(source)]
    append(data, "SeriesDescription", " ", description.partition(",")[0])
    number = _series_number(data)
    data.pop("SeriesNumber", None)  # which may be written as something else
    data.SeriesNumber = SERIES_AFTER + number
    equipment = Dataset()
    equipment.Manufacturer, equipment.ManufacturerModelName = NAME, NAME
    equipment.ContributionDescription = description[-1024:]
    equipment.PurposeOfReferenceCodeSequence = [coded(codes.DCM.ModifyingEquipment)]
    for name in (name for name in ("ContentDate", "ContentTime") if name in data):
        data[name].value = None  # of the content that was
    if now is not None:
        moment = now.astimezone(_zone(data))
        data.InstanceCreationDate = data.ContentDate = data.SeriesDate = date = moment.strftime("%Y%m%d")
        data.InstanceCreationTime = data.ContentTime = data.SeriesTime = time = moment.strftime("%H%M%S")
        equipment.ContributionDateTime = date + time
    data.ContributingEquipmentSequence = [*(data.get("ContributingEquipmentSequence") or []), equipment]


def _series_number(data: Dataset) -> int:
    """Return the series number of `data`, or 0 for none, or for what is no number that a later one can be added to."""
    try:
        value = data.get("SeriesNumber")
        found = float(value[0] if isinstance(value, MultiValue) else value)
    except Exception:  # broken bytes lead pydicom anywhere
        return 0
    return int(found) if found.is_integer() and abs(found) < 10**8 else 0


def _zone(data: Dataset) -> timezone | None:
    """Return the time zone that all times of `data` are in, such as +0100 (PS3.3, C.12.1.1.8), None for this machine's."""
    said = re.fullmatch(r"([+-])(\d\d)([0-5]\d)", as_ascii(data, Tag("TimezoneOffsetFromUTC")))
    if not said or int(said[2]) > 14:
        return None
    return timezone((1 if said[1] == "+" else -1) * timedelta(hours=int(said[2]), minutes=int(said[3])))


def _reference(data: Dataset) -> Dataset:
    """Return an item of the source image sequence (PS3.3, table C.7-9) for `data`."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = data.get("SOPClassUID", ""), data.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [coded(codes.DCM.SourceImageForImageProcessingOperation)]
    return item


def coded(code: Code) -> Dataset:
    """Return an item of a code sequence (PS3.3, table 8.8-1)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item

"""Phantoms as DICOM files: digital radiographs for presentation (PS3.3, A.26), which say what they are."""

from pathlib import Path
from typing import TYPE_CHECKING

from cxr.sources.phantom.anatomy import Pixels
from cxr.sources.phantom.pictures import NOTE
from cxr.sources.table import Listed

if TYPE_CHECKING:
    from pydicom import Dataset

DATE, TIME = "20000101", "000000"  # fixed, so that equal phantoms are equal bytes
VIEWS = {"PA": ("272479007", "postero-anterior"), "AP": ("399348003", "antero-posterior")}  # PS3.16, CID 4010


def write_dicom(folder: Path, pixels: Pixels, bits: int, listed: Listed, key: str) -> str:
    """Write `pixels` (H, W), of `bits` bits, to `folder`, and return the file's name: the SOP Instance UID, with no suffix.

    `listed` tells patient, view, age, sex and spacing; equal `key`, such as seed and name, gives equal UIDs.
    """
    from pydicom import Dataset, uid  # noqa: PLC0415 - only where DICOM is asked for
    from pydicom.dataset import FileMetaDataset  # noqa: PLC0415

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    data.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    data.SOPInstanceUID, data.SeriesInstanceUID, data.StudyInstanceUID = (
        uid.generate_uid(entropy_srcs=["phantom", level, key]) for level in ("image", "series", "study")
    )
    _identify(data, listed)
    _describe_image(data, pixels, bits, listed)
    data.AnatomicRegionSequence = [_code(Dataset(), "816094009", "Chest")]
    data.ViewCodeSequence = [_code(Dataset(), *VIEWS[listed.view])]
    data.ViewCodeSequence[0].ViewModifierCodeSequence = []
    data.AcquisitionContextSequence = []
    data.PixelData = pixels.astype(f"<u{pixels.itemsize}").tobytes() + bytes(pixels.nbytes % 2)
    data["PixelData"].VR = "OB" if bits == 8 else "OW"
    data.save_as(folder / data.SOPInstanceUID, enforce_file_format=True)
    return str(data.SOPInstanceUID)


def _identify(data: "Dataset", listed: Listed) -> None:
    """Set the modules of patient, study, series and equipment (PS3.3, C.7.1 to C.7.5, C.8.11.1)."""
    data.PatientName, data.PatientID, data.PatientBirthDate = "SYNTHETIC^PHANTOM", listed.patient, ""
    data.PatientSex, data.PatientAge = listed.sex, f"{int(listed.age):03d}Y"
    data.PatientComments = NOTE
    data.StudyDate = data.SeriesDate = data.ContentDate = data.AcquisitionDate = DATE
    data.StudyTime = data.SeriesTime = data.ContentTime = data.AcquisitionTime = TIME
    data.StudyID = data.SeriesNumber = data.InstanceNumber = "1"
    data.AccessionNumber = data.ReferringPhysicianName = ""
    data.StudyDescription = data.SeriesDescription = NOTE
    data.Modality, data.PresentationIntentType = "DX", "FOR PRESENTATION"
    data.Manufacturer, data.ManufacturerModelName = "SYNTHETIC", "phantom"
    data.BodyPartExamined = "CHEST"


def _describe_image(data: "Dataset", pixels: Pixels, bits: int, listed: Listed) -> None:
    """Set the modules of the image (PS3.3, C.7.6, C.8.11.2 to C.8.11.5)."""
    data.ImageType, data.ImageComments, data.BurnedInAnnotation = ["ORIGINAL", "PRIMARY", ""], NOTE, "YES"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8 * pixels.itemsize, bits, bits - 1, 0
    data.PixelIntensityRelationship, data.PixelIntensityRelationshipSign = "LOG", -1
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = "0", "1", "US"
    data.PresentationLUTShape, data.LossyImageCompression = "IDENTITY", "00"
    data.WindowCenter, data.WindowWidth = str(2 ** (bits - 1)), str(2**bits)
    data.ImagerPixelSpacing = [listed.spacing, listed.spacing]
    data.DetectorType, data.PositionerType = "SCINTILLATOR", "NONE"
    data.ViewPosition, data.PatientOrientation, data.ImageLaterality = listed.view, ["L", "F"], "U"


def _code(item: "Dataset", value: str, meaning: str) -> "Dataset":
    """Return `item`, filled with a code of SNOMED CT, for a sequence (PS3.3, section 8)."""
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item

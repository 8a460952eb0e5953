"""DICOM files of every transfer syntax that can be written here."""

import gdcm
import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    JPEG2000,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

BY_PYDICOM = ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless
BY_GDCM = {
    ExplicitVRBigEndian: gdcm.TransferSyntax.ExplicitVRBigEndian,
    JPEGLossless: gdcm.TransferSyntax.JPEGLosslessProcess14,
    JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    JPEGLSLossless: gdcm.TransferSyntax.JPEGLSLossless,
    JPEG2000Lossless: gdcm.TransferSyntax.JPEG2000Lossless,
    JPEG2000: gdcm.TransferSyntax.JPEG2000,  # which GDCM, asked for nothing else, writes without loss as well
}


def values(bits=12, signed=False, height=18, width=14):
    least = -(1 << bits - 1) if signed else 0
    drawn = np.random.default_rng(bits).integers(least, least + (1 << bits), (height, width))
    drawn[0, :2] = least, least + (1 << bits) - 1
    return drawn


def dataset(stored, bits=12, signed=False, photometric="MONOCHROME2", **more):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = ComputedRadiographyImageStorage, "1.2.3.4"
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3", "1.2.3.5"
    data.PatientName, data.PatientID, data.PatientBirthDate = "Doe^Jane", "4711", "19700101"
    data.StudyDate, data.AccessionNumber, data.InstitutionName = "20260101", "A1", "St Elsewhere"
    data.ImageType, data.Modality, data.SeriesDescription = ["ORIGINAL", "PRIMARY", "AP"], "CR", "Thorax"
    data.Rows, data.Columns = stored.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, photometric
    data.BitsAllocated = 8 if bits == 8 else 16
    data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits - 1, int(signed)
    data.PixelSpacing, data.ImagerPixelSpacing = [0.2, 0.3], [0.143, 0.143]
    data.PixelData = stored.astype(f"<{'i' if signed else 'u'}{data.BitsAllocated // 8}").tobytes()
    data["PixelData"].VR = "OB" if bits == 8 else "OW"
    for name, value in more.items():
        setattr(data, name, value)
    return data


def save(data, path, syntax=ExplicitVRLittleEndian):
    data.file_meta.TransferSyntaxUID = syntax if syntax in BY_PYDICOM[:3] else ExplicitVRLittleEndian
    if syntax == RLELossless:
        data.compress(RLELossless, generate_instance_uid=False)
    data.save_as(path, enforce_file_format=True)
    if syntax in BY_GDCM:
        compress(path, BY_GDCM[syntax])
        assert dcmread(path).file_meta.TransferSyntaxUID == syntax
    return path


def compress(path, syntax, codec=None):
    """Let GDCM write the file `path` anew in its transfer syntax `syntax`, by its `codec` where one is given."""
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    if codec is not None:
        change.SetUserCodec(codec)
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(path))
    assert writer.Write()

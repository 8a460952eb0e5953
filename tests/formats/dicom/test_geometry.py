"""Lengths and places of an enlarged image: right in every element that holds them, or the image is refused."""

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.datadict import DicomDictionary, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import (
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    RTImageStorage,
    UltrasoundImageStorage,
    XRayAngiographicImageStorage,
)

from cxr.formats.decode import Unusable
from cxr.formats.dicom import radiograph as dicom
from cxr.formats.dicom.derived import derived
from cxr.formats.dicom.geometry import refuse_unknown
from tests.support.dicom_files import dataset, save, values

# Those of PS3.6 that name what is measured in pixels of the image that they are in, found by its words.
NAMED = [
    keyword
    for _, _, name, _, keyword in DicomDictionary.values()
    if keyword.startswith(("Shutter", "Collimator", "ExposureControlSensingRegion")) and "Edge" in name
] + ["PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "ReconstructionPixelSpacing"]


def made(path, scale=2):
    found = dicom.read(path, any_modality=True)
    refuse_unknown(found.data)
    return derived(found, np.kron(found.stored, np.ones((scale, scale), int)), scale, "Enhanced", "maker")


def nested(levels, **elements):
    """Return elements of an image that hold others some `levels` deep."""
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    for _ in range(levels - 1):
        outer = Dataset()
        outer.ReferencedImageSequence = [item]
        item = outer
    return {"ReferencedSeriesSequence": [item]}


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("name", NAMED)
def test_what_is_measured_in_pixels_and_nested_is_refused(tmp_path, name, levels):
    path = save(dataset(values(), **nested(levels, **{name: [2, 2] if name.endswith("Spacing") else 2})), tmp_path / "in.dcm")
    with pytest.raises(Unusable, match=f"{name}, .* geometry cannot be told") as error:
        made(path)
    assert error.value.kind == "no radiograph"


def test_what_is_no_sequence_holds_no_geometry(tmp_path):
    data = dataset(values())
    data[0x00189304] = RawDataElement(Tag(0x00189304), "FD", 8, b"12345678", 0, False, True)
    data[0x00081115] = RawDataElement(Tag(0x00081115), "SQ", 8, b"12345678", 0, False, True)
    data.set_original_encoding(False, True, "iso8859")
    refuse_unknown(dcmread(save(data, tmp_path / "in.dcm")))


@pytest.mark.parametrize("private", [False, True])
def test_drawings_on_the_image_are_refused_wherever_they_are(tmp_path, private):
    data = dataset(values())
    drawing, layer, outer = Dataset(), Dataset(), Dataset()
    drawing.GraphicData = [5.0, 6.0]
    layer.GraphicObjectSequence = [drawing]
    if private:
        outer.GraphicAnnotationSequence = [layer]
        data.add_new(0x00290010, "LO", "SOMEONE")
        data.add_new(0x00291010, "SQ", [outer])
    else:
        data.GraphicAnnotationSequence = [layer]
    with pytest.raises(Unusable, match="GraphicAnnotationSequence"):
        made(save(data, tmp_path / "in.dcm"))


def test_what_was_before_may_say_what_it_was(tmp_path):
    before, icon = Dataset(), Dataset()
    was = Dataset()
    was.PixelSpacing = [0.9, 0.9]
    before.ModifiedAttributesSequence = [was]
    icon.PixelSpacing = [5, 5]
    more = {"OriginalAttributesSequence": [before], "IconImageSequence": [icon]}
    out = made(save(dataset(values(), **more), tmp_path / "in.dcm"))
    assert out.OriginalAttributesSequence[0].ModifiedAttributesSequence[0].PixelSpacing == [0.9, 0.9]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (XRayAngiographicImageStorage, {"Modality": None}),
        (RTImageStorage, {"Modality": "OT"}),
        (RTImageStorage, {}),
    ],
)
def test_classes_whose_geometry_is_not_known_are_refused(tmp_path, kind, more):
    path = save(dataset(values(), SOPClassUID=kind, **more), tmp_path / "in.dcm")
    with pytest.raises(Unusable, match=f"of class {kind.name}, whose geometry"):
        made(path)


@pytest.mark.parametrize("kind", [DigitalMammographyXRayImageStorageForPresentation, "1.2.3.4.5", ""])
def test_other_classes_are_not(tmp_path, kind):
    data = dataset(values())
    data.SOPClassUID = kind
    refuse_unknown(data)


def test_the_spacing_of_a_reconstruction_shrinks(tmp_path):
    data = dataset(values(), SOPClassUID=CTImageStorage, Modality="CT", ReconstructionPixelSpacing=[0.4, 0.2])
    assert made(save(data, tmp_path / "in.dcm")).ReconstructionPixelSpacing == [0.2, 0.1]


@pytest.mark.parametrize("tag", [0x00186038, 0x0018603A, 0x0018603C, 0x0018603E, 0x00186040, 0x00186042])
def test_retired_places_of_ultrasound_grow(tmp_path, tag):
    region = Dataset()
    region.add_new(tag, "UL", 7)
    data = dataset(values(), Modality="US", SOPClassUID=UltrasoundImageStorage, SequenceOfUltrasoundRegions=[region])
    save(made(save(data, tmp_path / "in.dcm")), tmp_path / "out.dcm")
    assert dcmread(tmp_path / "out.dcm").SequenceOfUltrasoundRegions[0][tag].value == 14


@pytest.mark.parametrize(
    "name",
    [
        *("SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries"),
        *("SmallestImagePixelValueInPlane", "LargestImagePixelValueInPlane", "HistogramSequence"),
    ],
)
def test_what_told_of_the_old_values_is_gone(tmp_path, name):
    data = dataset(values())
    data.add_new(tag_for_keyword(name), "SQ" if name.endswith("Sequence") else "US", [] if name.endswith("Sequence") else 3)
    assert name not in made(save(data, tmp_path / "in.dcm"))


@pytest.mark.parametrize("missing", [("SeriesInstanceUID",), ("SeriesInstanceUID", "SOPInstanceUID")])
def test_two_images_without_a_series_do_not_get_the_same(tmp_path, missing):
    def series(study, instance, change=0):
        data = dataset(values() ^ change, StudyInstanceUID=study, SOPInstanceUID=instance)
        data.save_as(tmp_path / "in.dcm", enforce_file_format=True)
        data = dcmread(tmp_path / "in.dcm")
        for name in missing:
            delattr(data, name)
        data.save_as(tmp_path / "in.dcm")
        out = made(tmp_path / "in.dcm")
        return out.SeriesInstanceUID, out.SOPInstanceUID

    found = [series("1.2.3", "1.2.3.1"), series("1.2.4", "1.2.4.1"), series("1.2.3", "1.2.3.2", change=1)]
    for uids in zip(*found, strict=True):
        assert len(set(uids)) == len(found)
    assert series("1.2.3", "1.2.3.1") == found[0]

"""Phantoms: determinism, whose image is which, physics, what is ill and where, and that none passes for a person."""

import csv
import re
from collections import Counter
from functools import cache
from pathlib import Path

import cv2
import gdcm
import numpy as np
import pydicom
import pytest
from PIL import Image
from scipy.stats import mannwhitneyu

from cxr.foundation.errors import UserError
from cxr.foundation.params import convert
from cxr.sources.phantom import anatomy, cohort, detector, disease, lesions, marker, scene, tissues, volumes
from cxr.sources.phantom.anatomy import Anatomy, Subject
from cxr.sources.phantom.cohort import subject_of
from cxr.sources.phantom.scene import draw, write
from cxr.sources.phantom.settings import Phantom
from cxr.sources.phantom.view import View

NAME = re.compile(r"(phantom-\d{4})-(normal|bacteria|virus|tuberculosis|nodule)-(\d+)")
FINDINGS = ["NORMAL", "PNEUMONIA", "TUBERCULOSIS", "NODULE"]
NOTE = "SYNTHETIC phantom, shows no person"
SIZE = 96
SOLID = tissues.SOFT_TISSUE - tissues.INFLATED_LUNG  # what a mm of tissue in the place of lung adds to the line integral


def written(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def boxes_in(text: str) -> list[tuple[str, list[float]]]:
    parts = [part.split(" ") for part in text.split("|")] if text else []
    return [(finding, [float(share) for share in shares]) for finding, *shares in parts]


def depth_of_lung(subject: Subject, view: View) -> np.ndarray:
    return volumes.lungs(Anatomy.of(0, subject.patient), view.breath, *view.grid())


@cache
def added_by(kinds: tuple[anatomy.Kind, ...], patient: int, size: int = SIZE) -> tuple[np.ndarray, View, tuple]:
    """What disease adds to the line integral of a patient's first image, the view, and the boxes."""
    view = View.of(0, Subject(patient, 0), size)
    healthy, _ = tissues.attenuation(0, Subject(patient, 0), view)
    ill, boxes = tissues.attenuation(0, Subject(patient, 0, kinds), view)
    return ill - healthy, view, boxes


def inside(box: disease.Box, view: View) -> tuple[slice, slice]:
    """The rows and columns of a box."""
    height, width = view.shape
    rows = slice(round(box.top * height), round((box.top + box.height) * height))
    return rows, slice(round(box.left * width), round((box.left + box.width) * width))


def test_an_image_depends_on_seed_and_index_alone() -> None:
    first = draw(3, 1, SIZE)
    draw(3, 6, SIZE)
    assert np.array_equal(first.pixels, draw(3, 1, SIZE).pixels)
    assert first.pixels.dtype == np.uint8
    for seed, index in ((4, 1), (3, 2), (3, 17)):  # another seed, another image of the patient, another patient
        other = draw(seed, index, SIZE).pixels.astype(float)
        assert np.abs(other[:, :SIZE] - first.pixels[:, :SIZE]).mean() > 3


@pytest.mark.parametrize(("kind", "processes"), [("jpeg", 1), ("png", 1), ("dicom", 2)])
def test_files_do_not_depend_on_how_many_are_asked_for_nor_on_processes(kind: str, processes: int, tmp_path: Path) -> None:
    write(tmp_path / "one", Phantom(images=3, size=64, seed=1, format=kind), processes=1)
    write(tmp_path / "two", Phantom(images=4, size=64, seed=1, format=kind), processes)
    one, two = written(tmp_path / "one"), written(tmp_path / "two")
    rows = [set(files.pop("table.csv").decode().splitlines()) for files in (one, two)]
    assert len(one) == 3
    assert len(two) == 4
    assert one.items() <= two.items()
    assert rows[0] < rows[1]


def test_the_table_lists_each_file(tmp_path: Path) -> None:
    write(tmp_path, Phantom(images=12, size=64, seed=2), processes=1)
    rows = table_of(tmp_path)
    assert sorted(row["file"] for row in rows) == sorted(written(tmp_path).keys() - {"table.csv"})
    for row in rows:
        folder, name = row["file"].split("/")
        assert row["name"] == row["file"]
        assert row["findings"].split("|")[0] == folder
        assert row["patient"] == NAME.fullmatch(name.removesuffix(".jpeg"))[1]
        assert row["view"] in {"PA", "AP"}
        assert row["sex"] in {"M", "F"}
        assert 4 <= int(row["age"]) <= 8
        assert float(row["spacing"]) == pytest.approx(236 / 64, abs=1e-4)
        assert {finding for finding, _ in boxes_in(row["boxes"])} == set(row["findings"].split("|")) - {"NORMAL"}
        assert all(re.fullmatch(r"[01]\.\d{6}", share) for box in row["boxes"].split("|") for share in box.split(" ")[1:])
        for _, (left, top, width, height) in boxes_in(row["boxes"]):
            assert min(left, top, width, height) >= 0
            assert max(left + width, top + height) <= 1 + 1e-6
    for column in ("age", "sex", "findings"):
        assert len({(row["patient"], row[column]) for row in rows}) == len({row["patient"] for row in rows}) == 8


@pytest.mark.parametrize(("kind", "bits"), [("jpeg", 8), ("png", 8), ("png", 10), ("png", 12), ("png", 16)])
def test_pictures_hold_the_drawn_pixels_and_say_what_they_are(kind: str, bits: int, tmp_path: Path) -> None:
    write(tmp_path, Phantom(images=1, size=128, seed=2, format=kind, bits=bits), processes=1)
    path = tmp_path / "TUBERCULOSIS" / f"phantom-0001-tuberculosis-1.{kind}"
    drawn = draw(2, 0, 128, bits).pixels
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert stored.shape == drawn.shape  # grey, not RGB
    assert stored.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert np.abs(stored.astype(float) - drawn).mean() < (2 if kind == "jpeg" else 1e-9)
    assert 2 ** (bits - 1) < stored.max() < 2**bits
    with Image.open(path) as picture:
        assert picture.info.get("comment", b"").decode() + picture.info.get("Description", "") == NOTE
    if kind == "png":
        assert b"\0\0\0\1sBIT" + bytes([bits]) in path.read_bytes()


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_dicom_is_read_alike_by_pydicom_and_gdcm(bits: int, tmp_path: Path) -> None:
    write(tmp_path, Phantom(images=2, size=65, seed=2, format="dicom", bits=bits), processes=1)
    drawn = [draw(2, index, 65, bits).pixels for index in range(2)]
    for row in table_of(tmp_path):
        path = tmp_path / row["file"]
        data = pydicom.dcmread(path)
        assert any(np.array_equal(data.pixel_array, pixels) for pixels in drawn)
        assert path.name == data.SOPInstanceUID == data.file_meta.MediaStorageSOPInstanceUID
        assert (data.BitsAllocated, data.BitsStored, data.HighBit) == (8 if bits == 8 else 16, bits, bits - 1)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        buffer = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
        values = np.frombuffer(buffer[: data.Rows * data.Columns * data.BitsAllocated // 8], "u1" if bits == 8 else "<u2")
        assert np.array_equal(values.reshape(data.Rows, data.Columns), data.pixel_array)


def test_the_headers_say_that_nobody_is_shown_and_what_the_table_says(tmp_path: Path) -> None:
    write(tmp_path, Phantom(images=8, size=64, seed=0, format="dicom", bits=12), processes=1)
    headers = {row["file"]: pydicom.dcmread(tmp_path / row["file"]) for row in table_of(tmp_path)}
    for row in table_of(tmp_path):
        data = headers[row["file"]]
        assert data.PatientName == "SYNTHETIC^PHANTOM"
        assert data.PatientID == row["patient"]
        assert data.ImageComments == data.SeriesDescription == NOTE
        assert data.BurnedInAnnotation == "YES"
        assert (data.Modality, data.PresentationIntentType) == ("DX", "FOR PRESENTATION")
        assert (data.ViewPosition, data.PatientSex, data.PatientAge) == (row["view"], row["sex"], f"00{row['age']}Y")
        assert [float(side) for side in data.ImagerPixelSpacing] == [float(row["spacing"])] * 2
        assert not re.search(r"pneumonia|tubercul|nodul", str(data).lower())  # what is ill the picture tells, not the header
        ends = [data.WindowCenter - 0.5 + side * (data.WindowWidth - 1) / 2 for side in (-1, 1)]  # PS3.3, C.11.2.1.2.1
        assert ends == [0, 4095]
    assert {data.ViewPosition for data in headers.values()} == {"PA", "AP"}
    for level in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        assert len({data[level].value for data in headers.values()}) == 8


def test_names_are_unique_and_tell_patient_and_kind() -> None:
    patients: dict[str, set[int]] = {}
    for index in range(120):
        subject, found = subject_of(index), NAME.fullmatch(cohort.name_of(index))
        assert found
        assert found[2] == (subject.kinds[0] if subject.kinds else "normal")
        assert int(found[3]) == index + 1
        patients.setdefault(found[1], set()).add(subject.patient)
    assert all(len(who) == 1 for who in patients.values())
    assert len(patients) == 80


@pytest.mark.parametrize("images", [24, 240, 3000])
def test_each_finding_is_in_its_share_of_images_and_in_enough_patients(images: int) -> None:
    subjects = [subject_of(index) for index in range(images)]
    share = {finding: count / images for finding, count in Counter(s.findings[0] for s in subjects).items()}
    assert share == pytest.approx({"NORMAL": 3 / 12, "PNEUMONIA": 5 / 12, "TUBERCULOSIS": 2 / 12, "NODULE": 2 / 12}, abs=0.01)
    patients = {finding: {s.patient for s in subjects if finding in s.findings} for finding in FINDINGS}
    assert min(map(len, patients.values())) >= images // 8
    assert max(subject.image for subject in subjects) == 2
    several = {s.patient for s in subjects if len(s.findings) > 1}
    assert len(several) <= len({s.patient for s in subjects}) / 10
    assert several or images < 48
    assert all(len({s.kinds for s in subjects if s.patient == patient}) == 1 for patient in range(16))


def test_the_frame_is_wide_and_tells_nothing_of_the_disease() -> None:
    subjects = [subject_of(index) for index in range(1200)]
    aspects = np.array([View.of(0, subject, 256).shape[1] / 256 for subject in subjects])
    assert 1.095 < aspects.min() < 1.13
    assert 1.46 < aspects.max() < 1.505
    for finding in FINDINGS:
        ill = np.array([finding in subject.findings for subject in subjects])
        area = mannwhitneyu(aspects[ill], aspects[~ill]).statistic / ill.sum() / (~ill).sum()
        assert area == pytest.approx(0.5, abs=0.06)  # Kaggle's set: 0.87
    for kind in anatomy.FINDINGS:
        ill, healthy = Subject(7, 1, (kind,)), Subject(7, 1)
        view = View.of(0, healthy, 256)
        assert View.of(0, ill, 256) == view
        assert np.array_equal(marker.marker(view, 0, ill), marker.marker(view, 0, healthy))


def test_a_wider_frame_shows_more_and_stretches_nothing() -> None:
    for index in range(8):
        view = View.of(0, subject_of(index), SIZE)
        x, y = view.grid()
        assert x.shape == y.shape == view.shape == draw(0, index, SIZE).pixels.shape
        across, down = np.hypot(*(g[0, 1] - g[0, 0] for g in (x, y))), np.hypot(*(g[1, 0] - g[0, 0] for g in (x, y)))
        assert across == pytest.approx(down, rel=1e-3) == pytest.approx(view.pixel / view.magnification, rel=1e-3)


def test_images_of_a_patient_share_the_anatomy_and_the_lesions_and_differ_in_pose() -> None:
    first, second = subject_of(4), subject_of(5)
    assert (first.patient, first.kinds) == (second.patient, second.kinds)
    assert first.image != second.image
    views = [View.of(0, subject, SIZE) for subject in (first, second)]
    assert views[0].shift != views[1].shift
    assert views[0].exposure != views[1].exposure
    drawn = [draw(0, index, SIZE).boxes for index in (13, 14)]  # of a patient with a nodule
    assert len(drawn[0]) == len(drawn[1]) > 0
    assert drawn[0] != drawn[1]


def test_intensity_follows_beer_and_lambert() -> None:
    # NIST: soft tissue at 60 keV has mu/rho = 0.2048 cm2/g, at 1.06 g/cm3; half of the photons pass ln 2 / mu.
    half_value = np.log(2) / (0.2048 * 1.06) * 10  # mm
    assert detector.intensity(np.array(half_value * tissues.SOFT_TISSUE)) == pytest.approx(0.5)
    slab = 80 * tissues.SOFT_TISSUE + 4 * tissues.CORTICAL_BONE
    expected = np.exp(-0.2048 * 1.06 * 8.0) * np.exp(-0.3148 * 1.92 * 0.4)
    assert detector.intensity(np.array(slab)) == pytest.approx(expected)


def test_lungs_are_darker_than_the_mediastinum() -> None:
    for index in (1, 2, 8, 9):
        subject = subject_of(index)
        view = View.of(0, subject, SIZE)
        x, y = view.grid()
        pixels = scene.expose(0, subject, SIZE).pixels
        middle = (np.abs(x) < 12) & (np.abs(y) < 40)
        assert pixels[depth_of_lung(subject, view) > 60].mean() + 40 < pixels[middle].mean()


def test_an_antero_posterior_view_enlarges_the_heart() -> None:
    subjects = [Subject(patient, 0) for patient in range(20)]
    for projection, wider in (("AP", True), ("PA", False)):
        subject = next(s for s in subjects if View.of(0, s, SIZE).projection == projection)
        view = View.of(0, subject, SIZE)
        other = View(**{**vars(view), "projection": "PA" if wider else "AP"})
        difference = tissues.attenuation(0, subject, view)[0] - tissues.attenuation(0, subject, other)[0]
        assert (difference.sum() > 0) == wider


@pytest.mark.parametrize("kind", anatomy.FINDINGS)
def test_disease_changes_the_lungs_and_nothing_else(kind: anatomy.Kind) -> None:
    for patient in range(3):
        added, view, boxes = added_by((kind,), patient)
        depth = depth_of_lung(Subject(patient, 0), view)
        assert added[depth > 20].mean() > {"nodule": 1e-5, "tuberculosis": 2e-3}.get(kind, 0.01)
        assert np.abs(added[depth == 0]).max() < 1e-4
        assert {box.finding for box in boxes} == {anatomy.FINDINGS[kind]}


@pytest.mark.parametrize("kind", ["bacteria", "virus", "tuberculosis"])
def test_boxes_hold_what_is_added(kind: anatomy.Kind) -> None:
    for patient in range(3):
        added, view, boxes = added_by((kind,), patient)
        within = np.zeros(view.shape, bool)
        for box in boxes:
            within[inside(box, view)] = True
        assert added[within].clip(0).sum() > 0.65 * added.clip(0).sum()
        assert added[within].mean() > 10 * added[~within].mean()
        assert within.mean() < 0.4


def test_a_nodule_is_as_dense_as_tissue_and_fills_its_box() -> None:
    checked = 0
    for patient in range(12):
        ill = disease.lesions_of(0, patient, "nodule", Anatomy.of(0, patient))
        if len(ill.nodules) > 1 or ill.strands or ill.nodules[0].radius < 4 or checked == 2:
            continue
        added, view, (box,) = added_by(("nodule",), patient, 320)
        # In the middle the ray runs through the whole nodule; vessels and parenchyma there are replaced as well.
        assert added.max() == pytest.approx(2 * ill.nodules[0].radius * SOLID, rel=0.12)
        rows, columns = np.nonzero(added > 0.02)
        height, width = view.shape
        found = [columns.min() / width, rows.min() / height, np.ptp(columns) / width, np.ptp(rows) / height]
        assert box[1:] == pytest.approx(found, abs=4 / height)
        checked += 1
    assert checked == 2


def test_nodules_lie_anywhere_in_the_lungs_also_behind_heart_and_diaphragm() -> None:
    behind_heart = behind_diaphragm = 0
    radii, spiculated = [], 0
    for patient in range(150):
        body = Anatomy.of(0, patient)
        ill = disease.lesions_of(0, patient, "nodule", body)
        assert 1 <= len(ill.nodules) <= 3
        spiculated += bool(ill.strands)
        for ball in ill.nodules:
            x, y, z = (np.array([value]) for value in ball.centre)
            cavity = body.cavity(x, y)
            radii.append(ball.radius)
            assert volumes.lungs(body, 0.5, x, y) >= 2 * ball.radius
            assert np.abs(z) < cavity / 2
            behind_heart += bool(volumes.mediastinum(body, x, y) - volumes.beside_spine(x) > 5)
            behind_diaphragm += bool(volumes.abdomen(body, 0.5, x, y) > 0.3)
    assert 1.5 <= min(radii) < 2
    assert 13 < max(radii) <= 15
    assert behind_heart > 10
    assert behind_diaphragm > 5
    assert 30 < spiculated < 100


def test_a_small_nodule_costs_few_grey_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    subject, view = Subject(2, 0, ("nodule",)), View.of(0, Subject(2, 0), 512)
    place = np.array([-55.0, 0.0, 0.0])
    shown = {}
    for across in (0.1, 4, 20):
        ball = lesions.Ball(place, across / 2, np.zeros((2, 5)))
        monkeypatch.setattr(lesions, "nodular", lambda random, body, ball=ball: lesions.Lesions(nodules=(ball,)))
        shown[across] = scene.expose(0, subject, 512).pixels.astype(float)
    column, row = np.round(view.place(place)).astype(int)
    assert 1 < (shown[4] - shown[0.1])[row, column] < 12
    assert 20 < (shown[20] - shown[0.1])[row, column] < 100


def test_tuberculosis_is_in_the_upper_lobes_and_its_cavities_hold_air() -> None:
    sides = Counter()
    for patient in range(40):
        body = Anatomy.of(0, patient)
        ill = disease.lesions_of(0, patient, "tuberculosis", body)
        assert 1 <= len(ill.cavities) <= 3
        sides[len({np.sign(patch.centre[0]) for patch in ill.patches})] += 1
        for outer, inner in ill.cavities:
            assert outer.centre[1] < body.apex + 55
            assert lesions.fits(body, outer.centre, outer.radius)
            assert 2 < outer.radius - inner.radius < 6
    assert min(sides[1], sides[2]) > 8  # one lung, or both


def test_a_cavity_is_a_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    place, still = np.array([-45.0, -40.0, -5.0]), np.zeros((2, 5))
    pair = (lesions.Ball(place, 13, still), lesions.Ball(place, 10, still))
    monkeypatch.setattr(lesions, "tuberculous", lambda random, body: lesions.Lesions(cavities=(pair,)))
    added, view, (box,) = added_by.__wrapped__(("tuberculosis",), 2, 384)
    seen = np.array([-45, volumes.carried(Anatomy.of(0, 2), view.breath, -40), -5])
    column, row = np.round(view.place(seen)).astype(int)
    # 6 mm of wall for lung, and 20 mm of air for lung; at the rim sqrt(13^2 - 10^2) on either side.
    assert added[row, column] == pytest.approx(6 * SOLID - 20 * tissues.INFLATED_LUNG, abs=0.02)
    assert added.max() == pytest.approx(2 * np.sqrt(69) * SOLID, rel=0.12)
    assert box.width * view.shape[1] * view.pixel == pytest.approx(26 * view.magnification, rel=0.01)


def found(word: str, pixels: np.ndarray) -> tuple[float, tuple[slice, slice]]:
    """How well `word`, as OpenCV writes it, matches the fine detail of `pixels`, at best 1, and where it does so best."""
    (width, height), _ = cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, 256 / 600, 1)
    template = np.zeros((height + 6, width + 6), np.uint8)
    cv2.putText(template, word, (3, height + 3), cv2.FONT_HERSHEY_SIMPLEX, 256 / 600, 255, 1, cv2.LINE_AA)
    template = cv2.GaussianBlur(template, (0, 0), 0.8)  # 0.9 mm, in pixels of 1.15 mm
    detail = cv2.morphologyEx(pixels, cv2.MORPH_TOPHAT, np.ones((7, 7)))
    _, best, _, (column, row) = cv2.minMaxLoc(cv2.matchTemplate(detail, template, cv2.TM_CCOEFF_NORMED))
    return best, (slice(row, row + height + 6), slice(column, column + width + 6))


def test_every_image_reads_synthetic_outside_of_the_lungs() -> None:
    corners = set()
    for index in range(14):
        subject = subject_of(index)
        view = View.of(0, subject, 256)
        pixels = scene.expose(0, subject, 256).pixels
        best, where = found("SYNTHETIC", pixels)
        assert best > 0.65
        assert found("ANONYMOUS", pixels)[0] < best - 0.25  # else anything would match
        lead = marker.marker(view, 0, subject) > 0.5 * marker.THICKNESS
        around = cv2.dilate(lead.astype(np.uint8), np.ones((5, 5))) > lead
        assert pixels[where][lead[where]].mean() > pixels[where][around[where]].mean() + 10
        assert not np.any(depth_of_lung(subject, view)[lead] > 30)
        corners.add((where[0].start > 128, where[1].start > view.shape[1] / 2))
    assert len(corners) == 4


def test_noise_is_what_the_quanta_make_it() -> None:
    view = View.of(0, subject_of(0), 128)
    passed = np.full(view.shape, 0.05, np.float32)
    readings = [detector.detect(passed, view, np.random.default_rng(seed)) for seed in (0, 1)]
    noise = np.std(readings[0] - readings[1]) / np.sqrt(2)
    blurred = cv2.GaussianBlur(np.pad([[1.0]], 20), (0, 0), np.hypot(0.15 / view.pixel, 0.25))
    quanta = detector.QUANTA * view.exposure * view.pixel**2
    mean = np.mean(readings)
    assert noise == pytest.approx(np.sqrt(mean / quanta) * np.linalg.norm(blurred), rel=0.05)


def test_noise_is_one_or_two_grey_levels_at_512_pixels() -> None:
    subject = subject_of(1)
    view = View.of(0, subject, 512)
    passed = detector.intensity(tissues.attenuation(0, subject, view)[0])
    shown = [detector.display(detector.detect(passed, view, np.random.default_rng(seed)), view) for seed in (0, 1)]
    noise = np.std(shown[0].astype(float) - shown[1]) / np.sqrt(2)
    assert 0.3 < noise < 2


def test_deeper_pixels_show_the_same_more_finely() -> None:
    coarse, fine = (draw(0, 3, SIZE, bits).pixels.astype(float) / (2**bits - 1) for bits in (8, 12))
    assert np.abs(coarse - fine).max() < 0.51 / 255 + 0.51 / 4095
    assert len(np.unique(fine)) > 4 * len(np.unique(coarse))


def test_there_is_fine_structure_above_the_noise() -> None:
    """Bicubic reduction by two loses far more than the noise: about 40 dB, as on real radiographs."""
    pixels = draw(0, 1, 512).pixels.astype(np.float32)
    pixels = pixels[:, : pixels.shape[1] // 2 * 2]
    small = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, pixels.shape[::-1], interpolation=cv2.INTER_CUBIC)
    psnr = 10 * np.log10(255**2 / np.mean((pixels - back) ** 2))
    assert 35 < psnr < 44


@pytest.mark.parametrize("size", [64, 97, 320])
def test_vessels_without_lung_can_be_left_out(size: int) -> None:
    for patient in range(4):
        view = View.of(5, Subject(patient, 0), size)
        lung = volumes.lungs(Anatomy.of(5, patient), view.breath, *view.grid())
        everywhere = tissues.vessels(view, 5, patient, np.ones_like(lung))
        assert np.array_equal(tissues.vessels(view, 5, patient, lung)[lung > 0], everywhere[lung > 0])


@pytest.mark.parametrize("index", [0, 3, 7])
def test_another_size_shows_the_same_scene(index: int) -> None:
    large, small = (draw(0, index, size) for size in (256, 128))
    shrunk = cv2.resize(large.pixels.astype(np.float32), small.pixels.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.corrcoef(shrunk.ravel(), small.pixels.ravel())[0, 1] > 0.99
    assert np.abs(shrunk - small.pixels).mean() < 5
    for one, other in zip(large.boxes, small.boxes, strict=True):
        assert one[1:] == pytest.approx(other[1:], abs=0.03)


@pytest.mark.parametrize(("key", "value"), [("images", 0), ("size", 32), ("size", 8192), ("seed", -1), ("bits", 9)])
def test_the_section_refuses_what_cannot_be_drawn(key: str, value: int) -> None:
    section = {"images": 1, "size": 64, "seed": 0, "format": "png", "bits": 8, key: value}
    with pytest.raises(UserError, match=f"phantom.{key} is {value}; expected a whole number"):
        convert(section, Phantom, "params.yaml: phantom")


def test_a_jpeg_of_more_than_8_bits_is_refused() -> None:
    section = {"images": 1, "size": 64, "seed": 0, "format": "jpeg", "bits": 12}
    with pytest.raises(UserError, match="phantom: bits is 12, and a jpeg holds 8; set format to png or dicom"):
        convert(section, Phantom, "params.yaml: phantom")

"""Phantoms: determinism, whose image is which, physics, and that there is something to resolve."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr.foundation.errors import UserError
from cxr.foundation.params import convert
from cxr.sources.phantom import anatomy, detector, scene, tissues
from cxr.sources.phantom.anatomy import Subject
from cxr.sources.phantom.drawing import View
from cxr.sources.phantom.scene import draw, subject_of, write
from cxr.sources.phantom.settings import Phantom

PATIENT = re.compile(r"(IM-\d{4})-\d{4}\.jpeg|(person\d+)_(?:bacteria|virus)_\d+\.jpeg")
SIZE = 96


def patient_in(name: str) -> str:
    found = PATIENT.fullmatch(name)
    assert found, name
    return found[1] or found[2]


def written(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.jpeg")}


def test_an_image_depends_on_seed_and_index_alone() -> None:
    first = draw(3, 5, SIZE)
    draw(3, 6, SIZE)
    again = draw(3, 5, SIZE)
    assert np.array_equal(first.pixels, again.pixels)
    assert first.pixels.shape == (SIZE, SIZE)
    assert first.pixels.dtype == np.uint8
    for seed, index in ((4, 5), (3, 4), (3, 17)):  # another seed, another image of the patient, another patient
        other = draw(seed, index, SIZE).pixels.astype(float)
        assert np.abs(other - first.pixels).mean() > 3


def test_files_do_not_depend_on_how_many_are_asked_for_nor_on_processes(tmp_path: Path) -> None:
    write(tmp_path / "one", Phantom(images=5, size=64, seed=1), processes=1)
    write(tmp_path / "two", Phantom(images=7, size=64, seed=1), processes=2)
    one, two = written(tmp_path / "one"), written(tmp_path / "two")
    assert len(one) == 5
    assert len(two) == 7
    assert one.items() <= two.items()


def test_files_hold_the_drawn_pixels_under_their_class(tmp_path: Path) -> None:
    write(tmp_path, Phantom(images=3, size=128, seed=2), processes=1)
    for index in range(3):
        radiograph = draw(2, index, 128)
        stored = cv2.imread(str(tmp_path / radiograph.klass / radiograph.name), cv2.IMREAD_UNCHANGED)
        assert stored.shape == (128, 128)  # grey, not RGB
        assert np.abs(stored.astype(float) - radiograph.pixels).mean() < 2


def test_names_are_unique_and_tell_patient_and_class() -> None:
    names, patients = set(), {}
    for index in range(120):
        subject = subject_of(index)
        name = scene.file_name(subject, index)
        names.add(name)
        assert name.startswith("IM-") == (subject.disease == "none")
        patients.setdefault(patient_in(name), set()).add((subject.patient, subject.disease))
    assert len(names) == 120
    assert all(len(who) == 1 for who in patients.values())
    assert len({next(iter(who)) for who in patients.values()}) == len(patients) == 80


@pytest.mark.parametrize("images", [30, 100, 3000])
def test_a_quarter_shows_no_pneumonia(images: int) -> None:
    subjects = [subject_of(index) for index in range(images)]
    healthy = {subject.patient for subject in subjects if subject.disease == "none"}
    share = sum(subject.disease == "none" for subject in subjects) / images
    assert 0.2 <= share <= 0.3
    assert len(healthy) >= 5
    assert {subject.disease for subject in subjects} == {"none", "bacteria", "virus"}
    assert max(subject.image for subject in subjects) == 2


def test_images_of_a_patient_share_the_anatomy_and_differ_in_pose() -> None:
    (patient, first), (same, second) = [(s.patient, s.image) for s in (subject_of(4), subject_of(5))]
    assert patient == same
    assert first != second
    views = [View.of(0, subject_of(index), SIZE) for index in (4, 5)]
    assert views[0].shift != views[1].shift
    assert views[0].exposure != views[1].exposure


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
        depth = tissues.lungs(anatomy.Anatomy.of(0, subject.patient), view.breath, x, y)
        pixels = scene.expose(0, subject, SIZE)
        middle = (np.abs(x) < 12) & (np.abs(y) < 40)
        assert pixels[depth > 60].mean() + 40 < pixels[middle].mean()


@pytest.mark.parametrize("disease", ["bacteria", "virus"])
def test_pneumonia_whitens_the_lungs_and_nothing_else(disease: anatomy.Disease) -> None:
    for patient in range(4):
        healthy, ill = (Subject(patient, 0, which) for which in ("none", disease))
        view = View.of(0, healthy, SIZE)
        x, y = view.grid()
        depth = tissues.lungs(anatomy.Anatomy.of(0, patient), view.breath, x, y)
        added = tissues.attenuation(0, ill, view) - tissues.attenuation(0, healthy, view)
        assert added[depth > 20].mean() > 0.01
        assert np.abs(added[depth == 0]).max() < 1e-4


def test_noise_is_what_the_quanta_make_it() -> None:
    view = View.of(0, subject_of(0), 128)
    passed = np.full((128, 128), 0.05, np.float32)
    readings = [detector.detect(passed, view, np.random.default_rng(seed)) for seed in (0, 1)]
    noise = np.std(readings[0] - readings[1]) / np.sqrt(2)
    blurred = cv2.GaussianBlur(np.pad([[1.0]], 20), (0, 0), np.hypot(0.15 / view.pixel, 0.25))
    quanta = detector.QUANTA * view.exposure * view.pixel**2
    mean = np.mean(readings)
    assert noise == pytest.approx(np.sqrt(mean / quanta) * np.linalg.norm(blurred), rel=0.05)


def test_noise_is_one_or_two_grey_levels_at_512_pixels() -> None:
    subject = subject_of(1)
    view = View.of(0, subject, 512)
    passed = detector.intensity(tissues.attenuation(0, subject, view))
    shown = [detector.display(detector.detect(passed, view, np.random.default_rng(seed)), view) for seed in (0, 1)]
    noise = np.std(shown[0].astype(float) - shown[1]) / np.sqrt(2)
    assert 0.3 < noise < 2


def test_there_is_fine_structure_above_the_noise() -> None:
    """Bicubic reduction by two loses far more than the noise: about 40 dB, as on real radiographs."""
    pixels = draw(0, 1, 512).pixels.astype(np.float32)
    small = cv2.resize(pixels, (256, 256), interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, (512, 512), interpolation=cv2.INTER_CUBIC)
    psnr = 10 * np.log10(255**2 / np.mean((pixels - back) ** 2))
    assert 35 < psnr < 44


@pytest.mark.parametrize("size", [64, 97, 320])
def test_vessels_without_lung_can_be_left_out(size: int) -> None:
    for patient in range(4):
        view = View.of(5, Subject(patient, 0, "none"), size)
        lung = tissues.lungs(anatomy.Anatomy.of(5, patient), view.breath, *view.grid())
        everywhere = tissues.vessels(view, 5, patient, np.ones_like(lung))
        assert np.array_equal(tissues.vessels(view, 5, patient, lung)[lung > 0], everywhere[lung > 0])


def test_another_size_shows_the_same_scene() -> None:
    large, small = (draw(0, 7, size).pixels.astype(np.float32) for size in (256, 128))
    shrunk = cv2.resize(large, (128, 128), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > 0.99
    assert np.abs(shrunk - small).mean() < 5


@pytest.mark.parametrize(("key", "value"), [("images", 0), ("size", 32), ("size", 8192), ("seed", -1)])
def test_the_section_refuses_what_cannot_be_drawn(key: str, value: int) -> None:
    with pytest.raises(UserError, match=f"phantom.{key} is {value}; expected a whole number"):
        convert({"images": 1, "size": 64, "seed": 0, key: value}, Phantom, "params.yaml: phantom")

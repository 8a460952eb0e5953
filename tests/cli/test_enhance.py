import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from pydicom import dcmread
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from cxr import service
from cxr.cli import enhance
from cxr.compute import modelfile
from cxr.figures.layout import pixels
from cxr.figures.panels import comparison
from cxr.foundation.errors import UserError
from cxr.superres.degradation.enlargement import enlarge
from cxr.superres.enhance import restore
from cxr.superres.model import load_model
from cxr.superres.networks.vdsr import VDSR
from tests.support.dicom_files import dataset, save, values

pytestmark = pytest.mark.usefixtures("unlimited")


def run(*arguments):
    enhance.main([str(argument) for argument in arguments])


def drawn(height=30, width=22, bits=8):
    noise = np.random.default_rng(0).random((height, width))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return (smooth * ((1 << bits) - 1)).round().astype(np.uint8 if bits == 8 else np.uint16)


def expected(image, scale=2, name="edsr"):
    """What evaluation makes of such an image."""
    model = load_model(name)
    white = np.iinfo(image.dtype).max
    low = torch.from_numpy(image.astype(np.float64) / white).float()[None, None]
    return restore(model, low, scale)[0, 0].double().numpy() * white


def note(path):
    with Image.open(path) as image:
        image.load()
        found = image.info.get("comment") or image.info.get("Description") or image.tag_v2[270]
        return found.decode() if isinstance(found, bytes) else found


@pytest.mark.parametrize(("name", "bits"), [("a.png", 8), ("a.png", 16), ("a.tif", 8), ("a.TIFF", 16), ("a.jpeg", 8)])
@pytest.mark.parametrize(("model", "scale"), [("vdsr", 2), ("srcnn", 3), ("edsr", 4)])
def test_the_result_is_of_the_same_kind_and_depth(tmp_path, name, bits, model, scale):
    image = drawn(bits=bits)
    Image.fromarray(image).save(tmp_path / name, quality=100)
    run(tmp_path / name, "-o", tmp_path / "out", "--model", model, "--scale", scale)
    with Image.open(tmp_path / "out" / name) as opened:
        assert opened.format == {"png": "PNG", "tif": "TIFF", "jpe": "JPEG"}[name[2:5].lower()]
        found = np.asarray(opened)
    assert found.dtype == image.dtype
    wanted = expected(np.asarray(Image.open(tmp_path / name)), scale, model)
    off = np.abs(found - wanted).max()
    assert off <= (6 if name == "a.jpeg" else 0.51)  # of 255 levels, which a JPEG loses a few of
    digest = load_model(model).digest
    wanted = f"Enhanced x{scale} by {model.upper()} (model {digest}), chest-xray-superres. For research, not for diagnosis."
    assert re.fullmatch(f"{re.escape(wanted)} Made from [0-9a-f]{{16}}\\.", note(tmp_path / "out" / name))


def test_a_dicom_file_comes_out_as_a_derived_image(tmp_path, capsys):
    stored = drawn(18, 14, bits=12)
    save(dataset(stored, photometric="MONOCHROME1"), tmp_path / "in.dcm")
    run(tmp_path / "in.dcm", "-o", tmp_path / "out.dcm", "--scale", 4)
    out = dcmread(tmp_path / "out.dcm")
    assert out.pixel_array.shape == (72, 56)
    assert list(out.ImageType) == ["DERIVED", "PRIMARY", "AP"]
    assert "x4 by EDSR" in out.DerivationDescription
    low = torch.from_numpy(1 - stored / 4095).float()[None, None]
    shown = 1 - restore(load_model("edsr"), low, 4)[0, 0].numpy()
    inside = (shown > 0.05) & (shown < 0.95)  # where neither bicubic interpolation nor the network leaves what is shown
    assert inside.mean() > 0.5
    # In bfloat16, in which the last bit of what it is given can move what it adds by a level or two of 4,096.
    assert np.abs(out.pixel_array - shown * 4095)[inside].max() <= 2
    said = capsys.readouterr().out
    assert "For research, not for diagnosis." in said


def test_a_bad_file_in_a_folder_is_named_and_the_rest_is_done(tmp_path, capsys):
    folder = tmp_path / "in"
    (folder / "deeper").mkdir(parents=True)
    Image.fromarray(drawn()).save(folder / "a.png")
    Image.fromarray(drawn(bits=16)).save(folder / "deeper/b.png")
    save(dataset(values()), folder / "deeper/IM0001")
    (folder / "broken.jpeg").write_bytes(b"\xff\xd8\xff")
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "notes.txt").write_text("no radiograph")
    (folder / "._a.png").write_bytes(b"litter")
    with pytest.raises(UserError) as error:
        run(folder, "-o", tmp_path / "out")
    lines = str(error.value).splitlines()
    assert lines[0] == "2 files could not be enhanced:"
    assert [line.strip().partition(":")[0] for line in lines[1:]] == [f"{folder}/broken.jpeg", f"{folder}/empty.dcm"]
    out = tmp_path / "out"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "a.png",
        "deeper/IM0001",
        "deeper/b.png",
    ]
    assert "3 of 5 enhanced x2 by EDSR" in capsys.readouterr().out


def test_results_of_before_and_unreadable_files_do_not_stop_a_folder(tmp_path, monkeypatch):
    Image.fromarray(drawn()).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    opened = service.opened

    def denied(path):
        if path.name == "b.png":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path)

    monkeypatch.setattr(service, "opened", denied)
    for _ in range(2):
        with pytest.raises(UserError, match=r"^\S+/b.png: Permission denied$"):
            run(tmp_path, "-o", tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").rglob("*")] == ["a.png"]


def test_a_star_that_no_shell_has_expanded_is_understood(tmp_path):
    for name in ("a.png", "b.png", "c.tif"):
        Image.fromarray(drawn()).save(tmp_path / name)
    run(tmp_path / "*.png", "-o", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize("output", ["", "a.png", "link/a.png"])
def test_the_input_is_never_overwritten(tmp_path, output):
    Image.fromarray(drawn()).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(UserError, match="would be overwritten; name another output"):
        run(tmp_path / "a.png", "-o", tmp_path / output)
    assert (tmp_path / "a.png").read_bytes() == before


def test_the_call_from_python_never_overwrites_its_input_either(tmp_path):
    Image.fromarray(drawn()).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(UserError, match="would be overwritten; name another output"):
        service.enhance_file(tmp_path / "a.png", tmp_path / "a.png", load_model("vdsr"))
    assert (tmp_path / "a.png").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["missing.png", "-o", "out"], "missing.png is missing; name a radiograph or a folder of them"),
        (["empty", "-o", "out"], "empty holds no radiograph"),
        (["a.png", "b/a.png", "-o", "out"], "a.png and b/a.png would both become out/a.png; give them one by one"),
        (["a.png", "-o", "out.dcm"], "out.dcm: the source is no DICOM and keeps its kind; name a result that ends in .png"),
        (["a.dcm", "-o", "out.png"], "out.png: the source is DICOM and keeps its kind; name a result that ends in .dcm"),
        (["deep.png", "-o", "out.jpg"], "out.jpg: a JPEG holds 8 bits a pixel, this radiograph has 16"),
        (["a.dcm", "-o", "out", "--key", "key"], "--key says how to de-identify; give --anonymise, too"),
        (["a.dcm", "-o", "out", "--pixels-checked"], "--pixels-checked says how to de-identify; give --anonymise, too"),
        (["a.dcm", "-o", "out", "--anonymise", "--key", "a.png"], "a.png(: others can read this key| holds no key)"),
        (
            ["a.png", "-o", "out", "--denoise", "--model", "vdsr"],
            "was trained without noise; name a model that was trained with it",
        ),
        (["a.png", "-o", "out", "--model", "nothing"], "nothing is missing"),
        (["a.png", "-o", "out", "--model", "a.png"], "a.png is no model of this project"),
        (["a.png", "-o", "out", "--model", "x3", "--scale", "2"], "x3 was trained for x3, not for x2"),
        (["a.png", "deep.png", "-o", "out", "--reference", "a.png"], "--reference belongs to one radiograph, but 2 are given"),
        (["a.png", "-o", "out", "--reference", "deep.png"], r"deep.png has \(30, 22\) rows and columns, the result \(60, 44\)"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "b"):
        Path(folder).mkdir()
    for name in ("a.png", "b/a.png"):
        Image.fromarray(drawn()).save(name)
    Image.fromarray(drawn(bits=16)).save("deep.png")
    save(dataset(values()), Path("a.dcm"))
    described = {"network": "vdsr", "scales": [3], "noise": [0.0], "precision": "float32"}
    modelfile.write(Path("x3"), {"vdsr": VDSR().state_dict()}, described)
    with pytest.raises(UserError, match=reason) as error:
        run(*arguments)
    assert "\n" not in str(error.value)


def test_a_result_that_no_memory_holds_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(service, "MOST_PIXELS", 4 * 30 * 22 - 1)
    Image.fromarray(drawn()).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="would have 2,640 pixels, more than 2,639; use a smaller scale"):
        run(tmp_path / "a.png", "-o", tmp_path / "out")


def test_denoising_takes_a_model_that_was_trained_with_noise(tmp_path):
    described = {"network": "vdsr", "scales": [2], "noise": [0.0, 5.0], "precision": "float32"}
    modelfile.write(tmp_path / "noisy", {"vdsr": VDSR().state_dict()}, described)
    Image.fromarray(drawn()).save(tmp_path / "a.png")
    run(tmp_path / "a.png", "-o", tmp_path / "out", "--denoise", "--model", tmp_path / "noisy")
    assert (tmp_path / "out/a.png").exists()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("model", ["vdsr", "srcnn"])
def test_12_bits_in_16_give_what_the_full_range_gives(tmp_path, capsys, name, model):
    truth = drawn(80, 60, bits=12)
    low = np.rint(cv2.resize(truth.astype(np.float32), (30, 40), interpolation=cv2.INTER_AREA)).astype(np.uint16)
    low[0, :2] = 0, 4095
    (tmp_path / "full").mkdir()
    Image.fromarray(low).save(tmp_path / name)
    Image.fromarray(np.rint(low * (65535 / 4095)).astype(np.uint16)).save(tmp_path / "full" / name)
    for folder in ("", "full"):
        run(tmp_path / folder / name, "-o", tmp_path / "out" / folder, "--model", model)
    result, full = (np.asarray(Image.open(tmp_path / "out" / folder / name)) for folder in ("", "full"))
    assert (result.dtype, int(result.max()) <= 4095) == (np.uint16, True)
    assert len(np.unique(result)) > 256
    ratios = [
        peak_signal_noise_ratio(truth / 4095, image / white, data_range=1) for image, white in ((result, 4095), (full, 65535))
    ]
    assert abs(ratios[0] - ratios[1]) < 0.05
    assert peak_signal_noise_ratio(result / 4095, full / 65535, data_range=1) > 70
    assert f"{tmp_path / name}: values up to 4,095, so taken as 12 bits of 16" in capsys.readouterr().out
    if name == "a.png":  # the next reader knows
        assert b"sBIT\x0c" in (tmp_path / "out/a.png").read_bytes()
        assert b"sBIT" not in (tmp_path / "out/full/a.png").read_bytes()


def test_bits_override_what_is_found(tmp_path, capsys):
    low = drawn(bits=12) // 8
    Image.fromarray(low).save(tmp_path / "a.png")
    run(tmp_path / "a.png", "-o", tmp_path / "out", "--bits", "12")
    wanted = restore(load_model("edsr"), torch.from_numpy(low / 4095).float()[None, None], 2)[0, 0].numpy()
    assert np.abs(np.asarray(Image.open(tmp_path / "out/a.png")) - wanted * 4095).max() <= 0.51
    assert "taken as" not in capsys.readouterr().out
    with pytest.raises(UserError, match=r"a.png: values up to 511 exceed 255, the most that 8 bits hold; give 9 bits or more"):
        run(tmp_path / "a.png", "-o", tmp_path / "other", "--bits", "8")
    assert not (tmp_path / "other/a.png").exists()


def test_another_modality_is_refused_or_taken_on_request(tmp_path):
    save(dataset(values(), Modality="US", SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1"), tmp_path / "a")
    with pytest.raises(UserError, match=r"a: of modality US, not CR, DX, DR, SC; cxr enhance --any-modality may take it"):
        run(tmp_path / "a", "-o", tmp_path / "out")
    assert not (tmp_path / "out/a").exists()
    run(tmp_path / "a", "-o", tmp_path / "out", "--any-modality")
    assert dcmread(tmp_path / "out/a").Rows == 36


def test_links_are_followed_and_what_is_skipped_is_counted(tmp_path, capsys):
    (tmp_path / "in/.git").mkdir(parents=True)
    (tmp_path / "elsewhere/deep").mkdir(parents=True)
    for path in ("in/a.png", "elsewhere/deep/b.png", "in/.hidden.png", "in/.git/c.png"):
        Image.fromarray(drawn()).save(tmp_path / path)
    Image.fromarray(drawn()).save(tmp_path / "in/photo.jfif", "JPEG")
    save(dataset(values()), tmp_path / "in/1.2.840.99.7")
    data = dataset(values())
    del data.file_meta
    data.save_as(tmp_path / "in/bare", implicit_vr=True, little_endian=True)
    for name in ("notes.txt", "table.csv", "DICOMDIR"):
        (tmp_path / "in" / name).write_bytes(b"x" if name != "DICOMDIR" else bytes(128) + b"DICM")
    (tmp_path / "in/gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/deep/loop").symlink_to(tmp_path / "in")
    run(tmp_path / "in", "-o", tmp_path / "out")
    out = tmp_path / "out"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        *("1.2.840.99.7", "a.png", "bare", "linked/deep/b.png", "photo.jfif"),
    ]
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if "skipped" in line]
    assert line.startswith("6 files skipped: ")
    assert set(line.partition(": ")[2].split(", ")) == {"2 hidden", "3 no radiographs", "1 broken links or no files"}


WRITTEN = "name a result that ends in .jpg, .jpeg, .jpe, .jfif, .png, .tif, .tiff"


@pytest.mark.parametrize("name", ["a.bmp", "scan"])
def test_a_bmp_is_told_with_the_kinds_that_can_be_written_and_enhanced_as_one_of_them(tmp_path, name):
    Image.fromarray(drawn()).save(tmp_path / name, "BMP")
    with pytest.raises(UserError, match=f"cannot be written as .?(bmp|BMP), which has no place for the note .*; {WRITTEN}$"):
        run(tmp_path / name, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    run(tmp_path / name, "-o", tmp_path / "out.png")
    assert np.asarray(Image.open(tmp_path / "out.png")).shape == (60, 44)


@pytest.mark.parametrize("output", ["out.bmp", "out.webp", "out.gif", "out.PGM"])
def test_an_output_of_another_kind_is_refused_and_no_folder(tmp_path, output):
    Image.fromarray(drawn()).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=f"{output}: cannot be written as {output[3:].lower()}.*; {WRITTEN}$"):
        run(tmp_path / "a.png", "-o", tmp_path / output)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("name", ["photo", "1.2.840.7", "photo.jpe", "photo.JFIF"])
def test_a_name_that_says_nothing_keeps_the_kind_of_its_content(tmp_path, kind, name):
    Image.fromarray(drawn()).save(tmp_path / name, kind)
    run(tmp_path / name, "-o", tmp_path / "out")
    with Image.open(tmp_path / "out" / name) as result:
        assert (result.format, result.size) == ("JPEG" if "ph" in name and "." in name else kind, (44, 60))


def test_one_file_is_no_place_for_several_results(tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(drawn()).save(tmp_path / name)
    for given in ([tmp_path / "a.png", tmp_path / "b.png"], [tmp_path]):
        with pytest.raises(UserError, match=r"c\.png names one file, but a folder or several radiographs are given"):
            run(*given, "-o", tmp_path / "c.png")


def test_dicom_is_enhanced_as_it_is_seen(tmp_path):
    """Through a sigmoid, the result of stored values is shown as what the network makes of the shown image."""
    stored = drawn(24, 20, bits=12)
    more = {"WindowCenter": 2048, "WindowWidth": 2600, "VOILUTFunction": "SIGMOID"}
    save(dataset(stored, photometric="MONOCHROME1", **more), tmp_path / "in.dcm")
    run(tmp_path / "in.dcm", "-o", tmp_path / "out.dcm", "--model", "srcnn")

    def seen(values):
        return 1 - 1 / (1 + np.exp(-4 * (values - 2048) / 2600))

    out = dcmread(tmp_path / "out.dcm").pixel_array.astype(float)
    bicubic = torch.nn.functional.interpolate(
        torch.from_numpy(stored.astype(np.float32))[None, None], (48, 40), mode="bicubic", antialias=True
    )
    given = torch.from_numpy(seen(bicubic.numpy())).float()
    wanted = restore(load_model("srcnn"), given[..., ::2, ::2], 2, bicubic=given)[0, 0].numpy()
    inside = (wanted > 0.1) & (wanted < 0.9)
    assert inside.mean() > 0.4
    assert np.abs(seen(out) - wanted)[inside].max() < 0.002


def test_quality_is_that_of_scikit_image(tmp_path, capsys):
    truth = drawn(60, 44, bits=16)
    small = cv2.resize(truth, (22, 30), interpolation=cv2.INTER_AREA)
    Image.fromarray(truth).save(tmp_path / "truth.png")
    Image.fromarray(small).save(tmp_path / "a.png")
    run(tmp_path / "a.png", "-o", tmp_path / "out", "--reference", tmp_path / "truth.png")
    said = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines()[1:3])
    levels = (truth / 65535 * 255).round().astype(np.uint8)[2:-2, 2:-2]
    low = torch.from_numpy(small.astype(np.float32) / 65535)[None, None]
    for name, image in (("EDSR", expected(small)), ("Bicubic", enlarge(low, 2)[0, 0].numpy() * 65535)):
        found = (image / 65535 * 255).round().astype(np.uint8)[2:-2, 2:-2]
        ratio = peak_signal_noise_ratio(levels, found, data_range=255)
        similarity = structural_similarity(levels, found, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        psnr, ssim = (float(word) for word in said[name].replace("PSNR ", "").replace("dB, SSIM ", "").split())
        assert psnr == pytest.approx(ratio, abs=0.02)
        assert ssim == pytest.approx(similarity, abs=2e-4)


def test_the_comparison_shows_both_images_and_where_they_differ(tmp_path):
    bicubic = drawn(512, 300)
    enhanced = bicubic.copy()
    enhanced[200:230, 100:130] ^= 4
    picture = pixels(comparison(bicubic, enhanced, "vdsr", "title"))
    for image in (bicubic, enhanced):
        *_, (left, top), _ = cv2.minMaxLoc(cv2.matchTemplate(picture[..., 0].copy(), image, cv2.TM_SQDIFF))
        assert np.array_equal(picture[top : top + 512, left : left + 300, 0], image)  # unshrunk, every level as it is
    changed = np.repeat(np.repeat(enhanced[200:230, 100:130], 5, 0), 5, 1)  # 96 pixels of detail on 512: somewhat more than 5
    assert cv2.matchTemplate(picture[600:, :, 0].copy(), changed, cv2.TM_CCORR_NORMED).max() > 0.95
    Image.fromarray(drawn()).save(tmp_path / "a.png")
    run(tmp_path / "a.png", "-o", tmp_path / "out", "--compare")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "a.png.compare.png"]

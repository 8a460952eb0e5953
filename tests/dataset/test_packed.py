import hashlib

import numpy as np
import pandas as pd
import pytest

from cxr.dataset import packed
from cxr.dataset.packed import Frames, begins
from cxr.foundation.errors import UserError

SHAPES = [(4, 6), (5, 3)]
IDS = ("0123e4567890", "1")
CSV = "id,patient,findings,source,begin,rows,columns,bits,sha256\n"


def write(folder, *, shapes=SHAPES, bits=(8, 8), begin=None, dtype=None, pixels=None, split_ids=IDS):
    """Write two images, whose flat pixels count from 0, with their tables; each part can be told otherwise."""
    size = sum(rows * columns for rows, columns in shapes)
    flat = np.arange(size) if pixels is None else pixels
    np.save(folder / "i.npy", flat.astype(dtype or (np.uint8 if max(bits) <= 8 else np.uint16)))
    starts = begin or [0, shapes[0][0] * shapes[0][1]]
    rows = zip(IDS, starts, shapes, bits, strict=True)
    lines = [f"{i},NA,NORMAL,NORMAL/{i}.jpeg,{at},{height},{width},{depth},ab" for i, at, (height, width), depth in rows]
    (folder / "i.csv").write_text(CSV + "\n".join(lines) + "\n")
    parts = zip(split_ids, ("train", "test"), strict=True)
    (folder / "s.csv").write_text("id,split\n" + "".join(f"{i},{part}\n" for i, part in parts))
    return folder / "i.npy", folder / "i.csv", folder / "s.csv"


def test_ids_stay_text_and_parts_are_found(tmp_path):
    data = packed.load(*write(tmp_path))
    assert list(data.table["id"]) == list(IDS)
    assert list(data.table["patient"]) == ["NA", "NA"]
    assert data.rows("train").tolist() == [0]
    assert data.rows("val").tolist() == []
    assert data.rows("external").tolist() == []
    assert isinstance(data.images.pixels, np.memmap)
    assert not data.images.pixels.flags.writeable


@pytest.mark.parametrize(("bits", "dtype"), [((8, 8), np.uint8), ((8, 12), np.uint16), ((16, 10), np.uint16)])
def test_each_image_has_its_own_shape_and_depth(tmp_path, bits, dtype):
    images = packed.load(*write(tmp_path, bits=bits)).images
    assert len(images) == 2
    assert [image.pixels.tolist() for image in images] == [
        np.arange(24).reshape(4, 6).tolist(),
        np.arange(24, 39).reshape(5, 3).tolist(),
    ]
    assert [(image.pixels.dtype, image.bits, image.white) for image in images] == [(dtype, b, 2**b - 1) for b in bits]


def test_an_image_without_a_finding_has_an_empty_text(tmp_path):
    paths = write(tmp_path)
    paths[1].write_text(paths[1].read_text().replace("NORMAL,NORMAL/1", ",NORMAL/1"))
    assert list(packed.load(*paths).table["findings"]) == ["NORMAL", ""]


def test_frames_are_chosen_where_they_lie():
    arrays = [np.full(shape, number, np.uint8) for number, shape in enumerate([(2, 3), (4, 1), (3, 3)])]
    frames = Frames.of(arrays)
    assert begins(frames.shapes).tolist() == frames.begins.tolist() == [0, 6, 10]
    chosen = frames.chosen(np.array([2, 0]))
    assert chosen.pixels is frames.pixels
    assert [image.pixels.tolist() for image in chosen] == [arrays[2].tolist(), arrays[0].tolist()]
    stack = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    assert np.array_equal(np.stack([image.pixels for image in Frames.of(stack, 12)]), stack)
    assert Frames.of(stack, 12).bits.tolist() == [12, 12]
    assert len(Frames.of([])) == 0


def test_a_missing_file_is_named(tmp_path):
    paths = write(tmp_path)
    paths[2].unlink()
    with pytest.raises(UserError, match=r"s\.csv is missing; run dvc repro"):
        packed.load(*paths)


@pytest.mark.parametrize(
    "wrong",
    [
        {"begin": [0, 25]},
        {"begin": [15, 0]},
        {"dtype": np.float32},
        {"dtype": np.uint16},
        {"bits": (8, 12), "dtype": np.uint8},
        {"pixels": np.arange(38)},
        {"pixels": np.arange(40)},
        {"pixels": np.arange(39)[None]},
        {"bits": (8, 0)},
        {"bits": (8, 17), "dtype": np.uint16},
        {"shapes": [(0, 6), (5, 3)]},
        {"shapes": [(-4, -6), (5, 3)]},
    ],
    ids=str,
)
def test_an_array_that_does_not_fit_its_table_is_refused(tmp_path, wrong):
    with pytest.raises(UserError, match=r"i\.npy .*does not fit its table of 2 images"):
        packed.load(*write(tmp_path, **wrong))


@pytest.mark.parametrize("column", ["id", "patient", "findings", "source", "begin", "rows", "columns", "bits", "sha256"])
def test_a_table_without_a_column_is_refused(tmp_path, column):
    paths = write(tmp_path)
    pd.read_csv(paths[1], dtype=str).drop(columns=column).to_csv(paths[1], index=False)
    with pytest.raises(UserError, match=rf"i\.csv is damaged.*no column {column}"):
        packed.load(*paths)


@pytest.mark.parametrize("column", ["begin", "rows", "columns", "bits"])
@pytest.mark.parametrize("text", ["", "x", "9" * 30])
def test_a_place_that_is_no_number_is_refused(tmp_path, column, text):
    paths = write(tmp_path)
    table = pd.read_csv(paths[1], dtype=str, keep_default_na=False)
    table.loc[1, column] = text
    table.to_csv(paths[1], index=False)
    with pytest.raises(UserError, match=r"i\.csv is damaged|does not fit"):
        packed.load(*paths)


def test_a_split_of_other_images_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not list the images"):
        packed.load(*write(tmp_path, split_ids=IDS[::-1]))


def test_the_digest_is_of_shape_depth_and_pixels_in_order(tmp_path):
    data = packed.load(*write(tmp_path))
    parts = b"(5, 3, 8)", bytes(range(24, 39)), b"(4, 6, 8)", bytes(range(24))
    assert packed.digest(data.images, [1, 0]) == hashlib.sha256(b"".join(parts)).hexdigest()


def test_the_digest_tells_shapes_depths_and_levels_apart_and_not_what_lies_beside():
    levels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    frames = [Frames.of([each], bits) for each, bits in ((levels, 12), (levels, 16), (levels.T, 12), (levels + 1, 12))]
    assert len({packed.digest(each, [0]) for each in frames}) == 4
    # An image of 8 bits is stored in 16 where a deeper one is.
    deep = Frames.of([levels])
    assert packed.digest(deep, [0]) == packed.digest(Frames.of([levels.astype(np.uint8)]), [0])

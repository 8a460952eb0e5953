import hashlib

import numpy as np
import pytest

from cxr.dataset import packed
from cxr.foundation.errors import UserError

CSV = "id,class,patient,source,height,width,sha256\n"


def write(folder, ids=("0123e4567890", "1"), shape=(2, 4, 4), dtype=np.uint8, split_ids=None):
    np.save(folder / "i.npy", np.arange(np.prod(shape)).reshape(shape).astype(dtype))
    (folder / "i.csv").write_text(CSV + "".join(f"{i},NORMAL,NA,NORMAL/{i}.jpeg,9,9,ab\n" for i in ids))
    (folder / "s.csv").write_text(
        "id,split\n" + "".join(f"{i},{p}\n" for i, p in zip(split_ids or ids, ("train", "test"), strict=True))
    )
    return folder / "i.npy", folder / "i.csv", folder / "s.csv"


def test_ids_stay_text_and_parts_are_found(tmp_path):
    data = packed.load(*write(tmp_path))
    assert list(data.table["id"]) == ["0123e4567890", "1"]
    assert list(data.table["patient"]) == ["NA", "NA"]
    assert data.rows("train").tolist() == [0]
    assert data.rows("val").tolist() == []
    assert isinstance(data.images, np.memmap)


def test_a_missing_file_is_named(tmp_path):
    paths = write(tmp_path)
    paths[2].unlink()
    with pytest.raises(UserError, match=r"s\.csv is missing; run dvc repro"):
        packed.load(*paths)


@pytest.mark.parametrize("wrong", [{"shape": (3, 4, 4)}, {"dtype": np.float32}, {"shape": (2, 4)}])
def test_an_array_that_does_not_fit_its_table_is_refused(tmp_path, wrong):
    with pytest.raises(UserError, match="does not fit"):
        packed.load(*write(tmp_path, **wrong))


def test_a_split_of_other_images_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not list the images"):
        packed.load(*write(tmp_path, split_ids=("1", "0123e4567890")))


def test_the_digest_is_of_shape_and_pixels_in_order(tmp_path):
    data = packed.load(*write(tmp_path))
    expected = hashlib.sha256(b"(2, 4, 4)" + data.images[1].tobytes() + data.images[0].tobytes()).hexdigest()
    assert packed.digest(data.images, [1, 0]) == expected

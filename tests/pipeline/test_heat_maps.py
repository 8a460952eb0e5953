"""The benchmark of where a detector looks."""

import csv
import shutil

import pandas as pd
import pytest

from benchmarks import heat_maps as tool
from cxr.foundation.errors import UserError
from stages import split, train_detector
from tests.support.tiny import TINY, write_params

LOW, HIGH = (0.1, 0.7, 0.1, 0.1), (0.1, 0.1, 0.2, 0.1)


def test_the_one_place_is_where_most_boxes_of_the_other_patients_are():
    assert tool.one_place([[LOW], [LOW], [LOW], [HIGH]]).tolist() == [True, True, True, False]
    assert tool.one_place([[LOW, HIGH], [HIGH], [LOW]]).tolist() == [True, False, False]
    assert tool.one_place([[LOW], [HIGH]]).tolist() == [False, False]  # each is told where the other's box is


def test_a_workspace_is_measured_beside_chance_and_random_weights(finished, tmp_path, monkeypatch, capsys):
    workspace = tmp_path / "workspace"
    shutil.copytree(finished, workspace)
    with pytest.raises(UserError, match="holds no network"):
        tool.measured(workspace)
    write_params(workspace, TINY, {"split": {"train": 0.4, "val": 0.3, "test": 0.3}})
    for stage in (split, train_detector):
        stage.run(workspace)
    path = tmp_path / "found.csv"
    monkeypatch.setattr("sys.argv", ["heat_maps", str(workspace), "-o", str(path)])
    tool.main()
    rows = list(csv.DictReader(path.open()))
    assert tuple(rows[0]) == tool.COLUMNS
    assert "of hit" in capsys.readouterr().out
    table = pd.read_csv(workspace / "data/images.csv", keep_default_na=False)
    parts = pd.read_csv(workspace / "data/split.csv")["split"]
    ill = table[(parts == "test") & table["boxes"].str.contains("PNEUMONIA")]
    found = {row["of"]: row for row in rows if (row["finding"], row["group"]) == ("PNEUMONIA", "test")}
    assert list(found) == [tool.HIT, tool.RANDOMISED, tool.ONE_PLACE, tool.CHANCE, tool.CORRELATION]
    assert int(found[tool.HIT]["images"]) == ill["patient"].nunique() > 0
    assert all(0 <= float(found[of]["value"]) <= 1 for of in (tool.HIT, tool.RANDOMISED, tool.ONE_PLACE))
    assert 0 < float(found[tool.CHANCE]["value"]) < 1
    assert -1 <= float(found[tool.CORRELATION]["value"]) <= 1

    table.assign(boxes="").to_csv(workspace / "data/images.csv", index=False)
    with pytest.raises(UserError, match="nothing to measure"):
        tool.measured(workspace)

"""Batches as NumPy arrays, against the same table as Polars reads it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

import tomoarrow as ta
from tomoarrow.errors import DatasetError, UsageError
from tomoarrow.ml.batches import Batches, Options, Settings, pad_arrays, series_batches, table_batches
from tomoarrow.relion.geometry import TiltAlignment, projection_matrices

KEYS = ["rlnTomoName", "tilt_index"]


def keys(batches: Batches) -> list[tuple[str, int]]:
    """The rows of batches of `KEYS`, in order."""
    return [
        (name, index)
        for batch in batches
        for name, index in zip(batch["rlnTomoName"], batch["tilt_index"].tolist(), strict=True)
    ]


def tilts(dataset: Path) -> pl.DataFrame:
    return pl.read_parquet(dataset / "tilts/**/*.parquet", hive_partitioning=True).with_columns(
        pl.col("rlnTomoName").cast(pl.String)
    )


def all_keys(dataset: Path) -> list[tuple[str, int]]:
    return tilts(dataset).select(KEYS).rows()


def test_the_dataset_has_several_row_groups_and_files(dataset: Path) -> None:
    files = [pq.ParquetFile(path) for path in sorted(dataset.glob("tilts/*.parquet"))]
    assert [file.num_row_groups for file in files] == [3, 3, 2]


@pytest.mark.parametrize("batch_size", [1, 10, 21, 64, 1000])
def test_unshuffled_batches_are_the_table_in_its_order(dataset: Path, batch_size: int) -> None:
    batches = [*table_batches(dataset, "tilts", batch_size=batch_size, dtype="float64")]
    table = tilts(dataset)
    whole, rest = divmod(161, batch_size)
    assert [len(batch["tilt_index"]) for batch in batches] == [batch_size] * whole + [rest] * (rest > 0)
    numeric = [name for name, dtype in table.schema.items() if dtype.is_numeric()]
    assert [*batches[0]] == numeric
    for name in numeric:
        np.testing.assert_array_equal(np.concatenate([batch[name] for batch in batches]), table[name].to_numpy())


@pytest.mark.parametrize("batch_size", [1, 10, 64])
def test_shuffled_batches_are_the_same_rows(dataset: Path, batch_size: int) -> None:
    columns = [*KEYS, "rlnDefocusU"]
    batches = table_batches(dataset, "tilts", columns=columns, batch_size=batch_size, shuffle=True, dtype="float64")
    found = [
        row
        for batch in batches
        for row in zip(
            *(batch[name] if name == "rlnTomoName" else batch[name].tolist() for name in columns), strict=True
        )
    ]
    assert sorted(found) == sorted(tilts(dataset).select(columns).rows())
    assert found != tilts(dataset).select(columns).rows()
    assert len(batches) == -(-161 // batch_size)


def test_without_batches_each_row_is_a_dict(dataset: Path) -> None:
    rows = [*table_batches(dataset, "particles", columns=["rlnTomoParticleName", "rlnAngleRot"], dtype="float64")]
    expected = pl.read_parquet(dataset / "particles/*.parquet", columns=["rlnTomoParticleName", "rlnAngleRot"])
    assert [(row["rlnTomoParticleName"], row["rlnAngleRot"]) for row in rows] == expected.rows()


@pytest.mark.parametrize(
    "condition",
    [
        "tilt_index > 3 AND rlnTomoName <> 'TS_02'",
        (pl.col("tilt_index") > 3) & (pl.col("rlnTomoName").cast(pl.String) != "TS_02"),
    ],
    ids=["SQL", "Polars"],
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_filter_chooses_rows(dataset: Path, condition: Any, shuffle: bool) -> None:
    batches = table_batches(dataset, "tilts", columns=KEYS, filter=condition, shuffle=shuffle, batch_size=10)
    found = keys(batches)
    expected = [(name, index) for name, index in all_keys(dataset) if index > 3 and name != "TS_02"]
    assert sorted(found) == sorted(expected)
    assert (found == expected) is not shuffle
    assert len(batches) == -(-len(expected) // 10)


def test_a_filter_may_look_at_the_whole_table(dataset: Path) -> None:
    found = table_batches(dataset, "tilts", filter=pl.col("rlnDefocusU") > pl.col("rlnDefocusU").mean(), batch_size=999)
    table = tilts(dataset)
    assert len(next(iter(found))["tilt_index"]) == (table["rlnDefocusU"] > table["rlnDefocusU"].mean()).sum()


@pytest.mark.parametrize(
    "condition", ["tilt_index < 0", pl.when(pl.col("tilt_index") < 0).then(True)], ids=["false", "null"]
)
def test_a_filter_may_leave_nothing(dataset: Path, condition: Any) -> None:
    batches = table_batches(dataset, "tilts", filter=condition, batch_size=10, shuffle=True)
    assert (len(batches), [*batches]) == (0, [])


@pytest.mark.parametrize(
    ("table", "options", "told"),
    [
        ("volumes", {}, "no table volumes"),
        ("tilts", {"columns": ["rlnX"]}, "no column rlnX"),
        ("tilts", {"columns": []}, "no column of tilts"),
        ("tilts", {"filter": "rlnX > 0"}, "rlnX"),
        ("tilts", {"filter": "tilt_index + 1"}, "not true or false"),
        ("tilts", {"rank": 1}, "world_size"),
        ("tilts", {"lengths": "same"}, "lengths"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_read(
    dataset: Path, table: str, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        table_batches(dataset, table, **options)


@pytest.mark.parametrize("size", ["headers", (4092,), (0, 10)])
def test_what_is_no_size_of_images(dataset: Path, size: Any) -> None:
    with pytest.raises(UsageError, match="image_size="):
        series_batches(dataset, image_size=size)


def test_an_option_that_does_not_exist(dataset: Path) -> None:
    with pytest.raises(TypeError, match="batchsize"):
        table_batches(dataset, "tilts", batchsize=3)  # type: ignore[call-arg]


def test_options_and_their_defaults_have_the_same_names() -> None:
    assert [*Options.__annotations__] == [*Settings.__dataclass_fields__]


def test_a_transform_is_called_with_each_batch(dataset: Path) -> None:
    doses = table_batches(
        dataset,
        "tilts",
        columns=["rlnMicrographPreExposure"],
        batch_size=10,
        transform=lambda b: sum(map(len, b.values())),
    )
    assert [*doses] == [10] * 16 + [1]


# Folders, as Hive has them.


def test_the_column_of_folders_is_a_column(partitioned: Path) -> None:
    columns = [*KEYS, "rlnOpticsGroupName"]
    batches = table_batches(partitioned, "tilts", columns=columns, batch_size=10, shuffle=True)
    found = {(*row,) for batch in batches for row in zip(*(batch[name] for name in columns), strict=True)}
    assert found == {*tilts(partitioned).select(columns).rows()}
    assert len(found) == 161


def test_the_column_of_folders_may_be_in_a_filter(partitioned: Path) -> None:
    group = tilts(partitioned)["rlnOpticsGroupName"][0]
    found = keys(
        table_batches(partitioned, "tilts", columns=KEYS, filter=f"rlnOpticsGroupName = '{group}'", batch_size=9)
    )
    expected = tilts(partitioned).filter(pl.col("rlnOpticsGroupName").cast(pl.String) == str(group))
    assert found == expected.select(KEYS).rows()


# Tilt series.


def test_each_series_comes_whole(dataset: Path) -> None:
    found = [*series_batches(dataset, dtype="float64")]
    table = tilts(dataset)
    assert [one["rlnTomoName"] for one in found] == table["rlnTomoName"].unique(maintain_order=True).to_list()
    for one in found:
        expected = table.filter(pl.col("rlnTomoName") == one["rlnTomoName"])
        assert one["tilt_index"].tolist() == [*range(7)]
        np.testing.assert_array_equal(one["rlnDefocusU"], expected["rlnDefocusU"].to_numpy())


@pytest.mark.parametrize(
    "options", [{}, {"image_size": (4092, 5760)}, {"projections": "3x4"}, {"dtype": "float32"}], ids=str
)
def test_projection_matrices(dataset: Path, options: dict[str, Any]) -> None:
    found = {
        one["rlnTomoName"]: one["projection"]
        for one in series_batches(dataset, **{"dtype": "float64", "shuffle": True} | options)
    }
    table = tilts(dataset)
    labels = ("rlnTomoXTilt", "rlnTomoYTilt", "rlnTomoZRot", "rlnTomoXShiftAngst", "rlnTomoYShiftAngst")
    expected = projection_matrices(
        TiltAlignment(*(table[label].to_numpy() for label in labels)),
        pixel_size_angst=table["rlnTomoTiltSeriesPixelSize"].to_numpy(),
        tomogram_size=table.select("rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ").to_numpy(),
        image_size=options.get("image_size"),
    )
    rows = 3 if options.get("projections") == "3x4" else 4
    dtype = options.get("dtype", "float64")
    for number, name in enumerate(table["rlnTomoName"].unique(maintain_order=True)):
        assert found[name].dtype == dtype
        wanted = expected[7 * number : 7 * number + 7, :rows]
        np.testing.assert_allclose(found[name], wanted, rtol=1e-12 if dtype == "float64" else 1e-6)


def test_a_filter_of_tilts_shortens_series_and_leaves_out_empty_ones(dataset: Path) -> None:
    condition = "(rlnTomoName = 'TS_02' AND tilt_index IN (1, 4, 5)) OR (rlnTomoName = 'TS_03' AND tilt_index < 2)"
    found = [*series_batches(dataset, filter=condition, columns=["tilt_index", "rlnMicrographName"])]
    assert [(one["rlnTomoName"], one["tilt_index"].tolist()) for one in found] == [
        ("TS_02", [1, 4, 5]),
        ("TS_03", [0, 1]),
    ]
    paths = tilts(dataset).filter(pl.col("rlnTomoName") == "TS_02")["rlnMicrographName"].to_list()
    assert found[0]["rlnMicrographName"] == [paths[1], paths[4], paths[5]]
    assert found[0]["projection"].shape == (3, 4, 4)


def test_series_of_different_length_are_padded(dataset: Path) -> None:
    batches = series_batches(
        dataset,
        filter="rlnTomoName <> 'TS_01' OR tilt_index < 3",
        columns=["tilt_index", "rlnMicrographName"],
        batch_size=4,
    )
    assert len(batches) == 6
    batch = next(iter(batches))
    assert batch["mask"].tolist() == [[True] * 3 + [False] * 4, *([[True] * 7] * 3)]
    assert batch["tilt_index"].tolist() == [[0, 1, 2, 0, 0, 0, 0], *([[*range(7)]] * 3)]
    assert batch["projection"].shape == (4, 7, 4, 4)
    assert batch["rlnTomoName"] == ["TS_01", "TS_02", "TS_03", "TS_04"]
    assert [len(paths) for paths in batch["rlnMicrographName"]] == [3, 7, 7, 7]


def test_padding() -> None:
    series = [
        {"x": np.array([1.0]), "n": np.float32(5), "t": "a"},
        {"x": np.array([2.0, 3.0]), "n": np.float32(6), "t": "b"},
    ]
    batch = pad_arrays(series, value=-1)
    assert batch["x"].tolist() == [[1, -1], [2, 3]]
    assert batch["n"].tolist() == [5, 6]
    assert batch["t"] == ["a", "b"]
    assert batch["mask"].tolist() == [[True, False], [True, True]]


def test_no_alignment_no_matrices(tmp_path: Path) -> None:
    from tests.dataset.projects import tilts as one_column
    from tests.dataset.projects import write_project

    ta.convert(write_project(tmp_path / "p", {"A": one_column("A", 3), "B": one_column("B", 2)}), tmp_path / "d")
    with pytest.raises(UsageError, match="projections=None"):
        series_batches(tmp_path / "d")
    found = [*series_batches(tmp_path / "d", projections=None)]
    assert [(one["rlnTomoName"], one["rlnMicrographPreExposure"].tolist()) for one in found] == [
        ("A", [0, 1, 2]),
        ("B", [0, 1]),
    ]


def test_the_matrices_of_relion_4_are_taken_as_they_are(tmp_path: Path) -> None:
    from tests.dataset.projects import loop, write_project

    labels = ["rlnTomoProjX", "rlnTomoProjY", "rlnTomoProjZ", "rlnTomoProjW"]
    rows = [[[tilt, row, 2, 3] for row in range(4)] for tilt in range(2)]
    text = loop("A", labels, [[str(vector).replace(" ", "") for vector in row] for row in rows])
    ta.convert(write_project(tmp_path / "p", {"A": text}), tmp_path / "d")
    (found,) = series_batches(tmp_path / "d")
    assert found["projection"].tolist() == rows


def test_series_of_files_that_polars_has_written(dataset: Path, tmp_path: Path) -> None:
    """It numbers the names of a dictionary without a sign, and leaves out no row group."""
    copy = Path(shutil.copytree(dataset, tmp_path / "d"))
    for path in (copy / "tilts").glob("*.parquet"):
        pl.read_parquet(path).write_parquet(path, row_group_size=1 << 20)
    options: Options = {"columns": ["tilt_index", "rlnDefocusU"]}
    for one, other in zip(series_batches(copy, **options), series_batches(dataset, **options), strict=True):
        assert one["rlnTomoName"] == other["rlnTomoName"]
        assert np.array_equal(one["rlnDefocusU"], other["rlnDefocusU"])
    path = next((copy / "tilts").glob("*.parquet"))
    frame = pl.read_parquet(path)
    for file in (copy / "tilts").glob("*.parquet"):
        frame.with_columns(tilt_index=pl.lit(None, pl.Int32)).write_parquet(file)
    with pytest.raises(DatasetError, match="rows without tilt_index"):
        series_batches(copy, **options)


@pytest.mark.parametrize("order", [["rlnTomoName", "tilt_index"], ["tilt_index", "rlnTomoName"]])
def test_series_whose_tilts_stand_in_another_order_are_told_of(dataset: Path, tmp_path: Path, order: list[str]) -> None:
    """They would come as many series of one tilt."""
    copy = Path(shutil.copytree(dataset, tmp_path / "d"))
    for path in (copy / "tilts").glob("*.parquet"):
        pl.read_parquet(path).sort(order, descending=True).write_parquet(path)
    with pytest.raises(DatasetError, match="do not stand together, in the order of tilt_index"):
        series_batches(copy)


def test_a_series_in_two_row_groups_is_told_of(dataset: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "d"
    shutil.copytree(dataset, copy)
    path = copy / "tilts/part-00000.parquet"
    pq.write_table(pq.read_table(path), path, row_group_size=10)
    with pytest.raises(DatasetError, match="TS_02 are in two row groups"):
        series_batches(copy)
    assert keys(table_batches(copy, "tilts", columns=KEYS, batch_size=8)) == all_keys(dataset)


# Epochs, and going on in the middle of one.


def rows_of(dataset: Path, **options: Any) -> Batches:
    return table_batches(dataset, "tilts", **{"columns": KEYS, "batch_size": 10, "shuffle": True} | options)


def test_epochs_have_other_orders_and_a_seed_has_one(dataset: Path) -> None:
    batches = rows_of(dataset, shuffle_rows=50)
    first = keys(batches)
    batches.set_epoch(1)
    second = keys(batches)
    assert first != second
    assert sorted(first) == sorted(second)
    again = rows_of(dataset, shuffle_rows=50)
    assert keys(again) == first
    again.set_epoch(1)
    assert keys(again) == second
    assert keys(rows_of(dataset, shuffle_rows=50, seed=1)) not in (first, second)


MAKERS: dict[str, Callable[..., Batches]] = {
    "batches": rows_of,
    "rows": lambda dataset, **options: rows_of(dataset, batch_size=None, **options),
    "series": lambda dataset, **options: series_batches(dataset, columns=KEYS, shuffle=True, **options),
}


def as_plain(batch: dict[str, Any]) -> Any:
    return {
        name: values.tolist() if hasattr(values, "tolist") else values for name, values in batch.items() if name in KEYS
    }


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("taken", [0, 1, 7, 16, 17])
def test_a_state_goes_on_where_it_was_taken(dataset: Path, kind: str, taken: int) -> None:
    options = {"shuffle_rows": 50, "rank": 1, "world_size": 2} if kind == "rows" else {"shuffle_rows": 50}
    batches = MAKERS[kind](dataset, **options)
    batches.set_epoch(4)
    everything = [as_plain(batch) for batch in batches]
    iterator = iter(batches)
    for _ in range(taken):
        next(iterator)
    state = json.loads(json.dumps(batches.state_dict())) if taken else None
    again = MAKERS[kind](dataset, **options)
    again.set_epoch(4)
    if state is not None:
        again.load_state_dict(state)
        assert again.state_dict() == state
    assert [as_plain(batch) for batch in again] == everything[taken:]
    assert [as_plain(batch) for batch in again] == everything


def test_a_state_is_forgotten_with_its_epoch(dataset: Path) -> None:
    batches = rows_of(dataset)
    iterator = iter(batches)
    next(iterator)
    state = batches.state_dict()
    again = rows_of(dataset)
    again.load_state_dict(state)
    again.set_epoch(0)
    assert len([*again]) == 16
    again.load_state_dict(state)
    again.set_epoch(1)
    assert len([*again]) == 17


@pytest.mark.parametrize(
    ("options", "told"),
    [({"seed": 1}, "seed=1"), ({"filter": "tilt_index > 0"}, "138 items"), ({"batch_size": 5}, "batch_size=5")],
    ids=str,
)
def test_a_state_of_something_else_is_refused(dataset: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        rows_of(dataset, **options).load_state_dict(rows_of(dataset).state_dict())


def test_a_state_of_another_rank_is_refused(dataset: Path) -> None:
    batches = rows_of(dataset, rank=1, world_size=2)
    batches.load_state_dict(rows_of(dataset, rank=0, world_size=2).state_dict())
    with pytest.raises(UsageError, match="rank=0"):
        next(iter(batches))


def test_what_is_no_state_is_refused(dataset: Path) -> None:
    with pytest.raises(UsageError, match="no state"):
        rows_of(dataset).load_state_dict({"epoch": 3})


def test_iterating_may_stop_early(dataset: Path) -> None:
    for _ in range(20):
        iterator = iter(rows_of(dataset))
        next(iterator)
        del iterator


def test_it_needs_no_torch(dataset: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from tomoarrow.ml import series_batches, table_batches\n"
        f"assert len([*series_batches({str(dataset)!r})]) == 23\n"
        "import tomoarrow.ml\n"
        "try: tomoarrow.ml.TiltDataset\n"
        "except ImportError: print('no torch')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "no torch\n"


def test_files_of_other_types_are_told_of(dataset: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "d"
    shutil.copytree(dataset, copy)
    path = copy / "tilts/part-00001.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "tilt_index", table.column("tilt_index").cast("float64")), path)
    with pytest.raises(DatasetError, match="part-00001"):
        table_batches(copy, "tilts")


@pytest.mark.parametrize(
    ("label", "values", "dtype"), [("rlnTomoSizeZ", [700, 800], "int64"), ("rlnVoltage", [200.0, 300.0], "float32")]
)
def test_folders_may_be_numbers(tmp_path: Path, label: str, values: list[Any], dtype: str) -> None:
    from tests.dataset.projects import tilts as one_column
    from tests.dataset.projects import write_project

    series = {name: one_column(name, 2) for name in ("A", "B")}
    each = {"A": [values[0]], "B": [values[1]]}
    star = write_project(tmp_path / "p", series, more_labels=[label], more_values=each)
    ta.convert(star, tmp_path / "d", partition_by=label)
    (batch,) = table_batches(tmp_path / "d", "tilts", columns=[label, "rlnTomoName"], batch_size=9)
    assert batch[label].dtype == dtype
    assert dict(zip(batch["rlnTomoName"], batch[label].tolist(), strict=True)) == {"A": values[0], "B": values[1]}
    (low,) = table_batches(tmp_path / "d", "tilts", filter=f"{label} = {values[0]}", batch_size=9)
    assert low[label].tolist() == [values[0]] * 2

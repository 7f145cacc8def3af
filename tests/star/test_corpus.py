"""Real files: every one reads, or is refused for a reason that is really in it."""

import csv
from pathlib import Path

import pyarrow as pa
import pytest

from tomoarrow import TomoarrowError, read_star

_PLACEHOLDER = "a template: words stand where numbers belong"

#: Files that are refused: what the message must say, and why that is right.
REFUSED = {
    "hanjinliu__himena-relion/tests/default_pipelines/no_input.star": (
        ":28:1 (block 'data_pipeline_nodes'): a row of 2 values in a loop of 3 labels",
        "the depth of a node is missing",
    ),
    "ComputationalCryoEM__ASPIRE-Python/tests/saved_test_data/sample.star": (
        ":20:1 (block 'data_planetary'): a row of 5 values in a loop of 4 labels",
        "ragged on purpose",
    ),
    "scipion-em__scipion-em-relion/relion/convert/mtfs/mtf_f3_200_linear.star": (
        ":2057:1 (block 'data_mtf_f3li_200kv'): a row of 10 values in a loop of 2 labels",
        "the foot of a mailing list stands after the rows",
    ),
    "builab__axoneme_aln/matlab_script/mtb_init_rotang/mtb_init_rotang.star": (
        ":1:2: text, but no data block",
        "bare rows, no block and no labels",
    ),
    "COMCIFS__cif_api/test-data/10.cif": (
        ":4:1 (block 'data_10'): a text field that is not closed",
        "invalid CIF on purpose",
    ),
    "COMCIFS__cif_api/test-data/complex_data.cif": (
        ":6:3 (block 'data_complex_data'): a value cannot stand here",
        "a CIF 2.0 list",
    ),
    "COMCIFS__cif_api/test-data/list_data.cif": (
        ":6:16 (block 'data_list_data'): a value cannot stand here",
        "a CIF 2.0 list",
    ),
    "COMCIFS__cif_api/test-data/table_data.cif": (
        ":6:17 (block 'data_table_data'): a value cannot stand here",
        "a CIF 2.0 table",
    ),
    "COMCIFS__cif_api/test-data/triple.cif": (
        ":11:13 (block 'data_triple'): a string opened by \" is not closed",
        "a CIF 2.0 triple quote",
    ),
    "jamesrhester__pycifrw/tests/2d25.ralf.cif": (
        ":430:1 (block 'data_2D25'): a text field that is not closed",
        "an odd number of `;` lines: one field is never closed",
    ),
    "jamesrhester__pycifrw/tests/test1.cif": (
        ":123:1 (block 'data_2D25'): a text field that is not closed",
        "a title without its opening `;` at line 119",
    ),
} | {
    f"KEK-SBRC-CryoEM__CS-Schemes/schemes_template/cs_schemes/{scheme}/scheme.star": (
        "label _rlnSchemeFloatVariableValue): 'XXX_SSE_REPLACE_",
        _PLACEHOLDER,
    )
    for scheme in (
        "010_GTF_MotionCorr", "020_GTF_CtfFind", "030_GTF_Create_Stack", "040_GTF_Class2D_PMDs",
        "050_GTF_AbInitReconst3D", "060_CSS_Clean_Stack_3D", "061_CSS_Stack_Split", "070_CSS_Init_Refine3D",
        "080_CSS_PPRefine_Cycle", "090_CSS_Res_Fish_3D", "091_CSS_Merge_Stack_Split", "100_CSS_Bfactor_Plot",
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(shared: Path) -> dict[str, tuple[Path, str]]:
    """Every file of the corpus: where it is and its dialect."""
    with (shared / "corpus" / "PROVENANCE.csv").open(encoding="utf-8", newline="") as table:
        return {
            row["file"]: (shared / "corpus" / row["file"], "star" if row["kind"] in ("cif", "nmr-star") else "relion")
            for row in csv.DictReader(table)
        }


def test_every_file_reads_or_is_refused_for_the_reason_given(corpus: dict[str, tuple[Path, str]]) -> None:
    outcome: dict[str, str] = {}
    for name, (path, dialect) in corpus.items():
        try:
            document = read_star(path, dialect=dialect)  # type: ignore[arg-type]
        except TomoarrowError as error:
            outcome[name] = str(error)
            continue
        for loop in (loop for block in document for loop in block.loops):
            loop.validate(full=True)
        outcome[name] = "read"
    assert {name: text for name, text in outcome.items() if text != "read" and name not in REFUSED} == {}
    for name, (message, _) in REFUSED.items():
        assert message in outcome[name]
    assert list(outcome.values()).count("read") >= 430


def test_templates_read_with_null_for_bad_values(corpus: dict[str, tuple[Path, str]]) -> None:
    for name, (_, reason) in REFUSED.items():
        if reason == _PLACEHOLDER:
            document = read_star(corpus[name][0], on_bad_value="null")
            values = document["scheme_floats"].loops[0].column("rlnSchemeFloatVariableValue")
            rejected = [reject for reject in document.rejects if reject.label == "rlnSchemeFloatVariableValue"]
            assert len(rejected) == values.null_count > 0
            assert all("XXX_SSE_REPLACE_" in reject.text and reject.place.line > 10 for reject in rejected)


def test_types_come_from_the_label_table(corpus: dict[str, tuple[Path, str]]) -> None:
    name = "TomoBabel__cets-relion/tests/test_data/skeleton_project/Polish/job030/particles.star"
    document = read_star(corpus[name][0])
    assert document.names == ["general", "optics", "particles"]
    assert dict(document["general"].pairs) == {"rlnTomoSubTomosAre2DStacks": True}
    table = document["particles"].table
    assert table is not None
    assert table.num_rows == 9053
    schema = table.schema
    assert schema.field("rlnTomoName").type == pa.dictionary(pa.int32(), pa.string())
    assert schema.field("rlnTomoVisibleFrames").type == pa.list_(pa.int64())
    assert schema.field("rlnOpticsGroup").type == pa.int64()
    assert schema.field("rlnCenteredCoordinateXAngst").type == pa.float64()
    assert schema.field("rlnCenteredCoordinateXAngst").metadata[b"unit"] == b"angstrom"
    assert schema.field("rlnTomoVisibleFrames").metadata[b"description"]

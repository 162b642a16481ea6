"""The registry against the real files: sizes, checksums, defaults and the derivation of the labels."""

import os

import pandas as pd
import pytest

from deepseq_nb.family import registry
from deepseq_nb.family.alignment import Alignment

pytestmark = pytest.mark.skipif(
    not os.environ.get("DEEPSEQ_DATA"), reason="DEEPSEQ_DATA is not set: no real data here"
)
REAL = [entry for entry in registry.dataset_files() if entry.family != "synthetic"]


@pytest.mark.parametrize("entry", REAL, ids=[entry.file for entry in REAL])
def test_file_has_the_registered_checksum(entry, real_data):
    path = real_data(f"{entry.family}/{entry.file}")
    assert registry.find(entry.family, entry.file, verify=True) == path
    assert registry.fetch(entry.family, file=entry.file, base_url="http://127.0.0.1:9") == [path]


@pytest.mark.parametrize(
    "name", [name for name, f in registry.registry()["families"].items() if f["column"]]
)
def test_registered_column_is_in_the_assay(name, real_data):
    kind = "labels" if name == "P53_HUMAN" else "assay"
    path = registry.find(name, kind=kind)
    if path is None:
        pytest.skip(f"DEEPSEQ_DATA has no {kind} of {name}")
    table = pd.read_csv(path, sep=None, engine="python", encoding="utf-8-sig")
    column = registry.registry()["families"][name]["column"]
    assert column in table.columns or name in ("PABP_YEAST", "GFP_AEQVI"), list(table.columns)


@pytest.mark.parametrize(
    "name", [name for name, f in registry.registry()["families"].items() if f["focus"]]
)
def test_registered_focus_is_the_first_row(name, real_data):
    family = registry.registry()["families"][name]
    path = registry.find(name)
    if path is None:
        pytest.skip(f"DEEPSEQ_DATA has no alignment of {name}")
    assert Alignment.read(path, alphabet=family["alphabet"]).focus == family["focus"]


def test_labels_derive_to_themselves(real_data):
    """Filtering is idempotent: the P53 rows of the P53 rows are all of them, byte for byte."""
    entry = next(entry for entry in REAL if entry.derivation == "rows")
    text = real_data(f"{entry.family}/{entry.file}").read_text()
    others = text.replace("\n", "\r\n") + "PTEN_HUMAN,A3L,benign,0.0\r\n"
    assert registry.DERIVATIONS["rows"](others, entry) == text


@pytest.mark.parametrize(
    "entry", [e for e in REAL if e.derivation == "focus row"], ids=lambda e: e.file
)
def test_registered_focus_row_is_the_files(entry, real_data):
    lines = real_data(f"{entry.family}/{entry.file}").read_text().split("\n", 2)
    assert lines[:2] == [f">{entry.focus}", entry.sequence]
    # a derived file without its focus row, derived again, is the same file
    assert registry.DERIVATIONS["focus row"](lines[2], entry) == "\n".join(lines)

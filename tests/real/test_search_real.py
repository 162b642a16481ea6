"""Searches in real families' unaligned members among decoys, beside HMMER's own jackhmmer."""

import pytest
from family.test_search import compare_with_jackhmmer

from deepseq_nb.family.hits import read_hits
from deepseq_nb.family.rounds import write_practice_database

FAMILIES = {
    "GB1": "GB1/gb1_metl.a2m",
    "RL401_YEAST": "RL401_YEAST/RL401_YEAST_PF00240.a2m",
    "MK01_HUMAN": "MK01_HUMAN/MK01_HUMAN_jackhmmer.a2m",
}


@pytest.mark.parametrize("name", list(FAMILIES))
def test_hits_and_columns_are_those_of_jackhmmer(real_data, tmp_path, name):
    pytest.importorskip("pyhmmer", reason="pyhmmer is not installed")
    hits = read_hits(real_data(FAMILIES[name]))
    rows = [row.decode().replace("-", "").upper() for row in hits.rows]
    members = {f"m{k}": row for k, row in enumerate(rows) if k and len(row) >= 20}
    (tmp_path / "query.fasta").write_text(f">{hits.names[0]}\n{rows[0]}\n")
    write_practice_database(tmp_path / "db.fasta", members, 1000, 1)
    compare_with_jackhmmer(tmp_path / "query.fasta", tmp_path / "db.fasta", tmp_path, 0.5)

"""Three proteins to search with, one of which has no family, and a small database."""

from pathlib import Path

from deepseq_nb.family import registry
from deepseq_nb.family.hits import read_hits
from deepseq_nb.family.rounds import write_practice_database


def practice_search(folder: Path) -> None:
    """`three.fasta` and `db.fasta` in a folder."""
    hits = read_hits(registry.synthetic_path())
    rows = [row.decode().replace("-", "").upper() for row in hits.rows[:200]]
    members = dict(zip(hits.names[1:200], rows[1:], strict=True))
    three = {hits.names[0]: rows[0], "lonely": "WWPPCCHHWWPP" * 6, "other": rows[4]}
    text = "".join(f">{name}\n{row}\n" for name, row in three.items())
    (folder / "three.fasta").write_text(text)
    write_practice_database(folder / "db.fasta", members, 200, 1)

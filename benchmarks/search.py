"""A search beside HMMER's jackhmmer, and what families of different thresholds are worth.

    python benchmarks/search.py beside [--sequences 500000] [--jobs 2] [--save]
    python benchmarks/search.py correlation [--decoys 20000] [--save]

`beside`: one database of real members (needs DEEPSEQ_DATA) among shuffled decoys, searched with the focus of BLAT_ECOLX by both
programs in turn, each in a process of its own: the same threshold, rounds and threads; with `--seven`, ours at
all seven thresholds in one search too. Hits and their letters in the query's columns are compared. Seconds are wall time, memory the peak of the process.

`correlation`: a database of the members of all families at hand among decoys; each family whose assay is known is searched with its
focus at seven thresholds, and the letter frequencies of what was found (the site-independent model) are compared with the assay.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.hits import read_hits
from deepseq_nb.family.rounds import write_practice_database
from deepseq_nb.family.search import SearchOptions, search_family
from deepseq_nb.peers.sites import SiteIndependent
from deepseq_nb.scores.evaluation import evaluate
from deepseq_nb.studies import results

DATA = Path(os.environ.get("DEEPSEQ_DATA", "."))
BLAT = "BLAT_ECOLX/BLAT_ECOLX_hmmerbit_plmc_n5_m30_f50_t0.2_r24-286_id100_b105.a2m"
# family: alignment, first residue, assay, its column of values
FAMILIES = {
    "BLAT_ECOLX": (BLAT, None, "BLAT_ECOLX/BLAT_ECOLX_Ranganathan2015.csv", "2500"),
    "DYR_ECOLI": ("DYR_ECOLI/DHFR.a2m", None, "DYR_ECOLI/DYR_ECOLI_Thompson_plusLon_2019.csv", "score"),
    "RL401_YEAST": ("RL401_YEAST/RL401_YEAST_PF00240.a2m", None, "RL401_YEAST/RL401_YEAST_Roscoe_2013.csv", "score"),
    "PABP_YEAST": ("PABP_YEAST/PABP_YEAST_PF00076.a2m", None, "PABP_YEAST/PABP_YEAST_Fields2013-singles.csv", "log"),
    "DLG4_RAT": ("DLG4_RAT/DLG4_RAT_PF00595_full.a2m", None, "DLG4_RAT/DLG4_RAT_Ranganathan2012.csv", "CRIPT"),
    "RASH_HUMAN": ("RASH_HUMAN/RASH_HUMAN_PF00071.a2m", None, "RASH_HUMAN/RASH_HUMAN_Bandaru_2017.csv", "score"),
    "P53_HUMAN": ("P53_HUMAN/P53_HUMAN_b0.1.a2m", None, "P53_HUMAN/P53_HUMAN_Kotler_2018.csv", "score"),
    "SRC_HUMAN": ("SRC_HUMAN/SRC_HUMAN_jackhmmer.a2m", None, "SRC_HUMAN/SRC_HUMAN_Ahler_CD_2019.csv", "score"),
    "MK01_HUMAN": ("MK01_HUMAN/MK01_HUMAN_jackhmmer.a2m", None, "MK01_HUMAN/MK01_HUMAN_Brenan_2016.csv", "score"),
}  # fmt: skip


def unaligned(family):
    """The focus of a family as a FASTA record, and its other members by name."""
    hits = read_hits(DATA / FAMILIES[family][0])
    rows = [row.decode().replace("-", "").upper() for row in hits.rows]
    members = {f"{family}_{k}": row for k, row in enumerate(rows) if k and len(row) >= 20}
    return f">{hits.names[0]}\n{rows[0]}\n", members


def watched(command):
    """Seconds and peak memory (MiB) of a command."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"failed: {command}")
    return time.perf_counter() - start, used.ru_maxrss / 1024


def letters(path):
    """Name -> letters in the query's columns."""
    hits = read_hits(path)
    return dict(zip(hits.names[1:], (bytes(row) for row in hits.matrix[1:]), strict=True))


def ours(query, database, out, thresholds, jobs):
    """A command that searches and keeps every hit."""
    code = (
        "import sys, json; from deepseq_nb.family.search import *\n"
        "q, d, o, t, j = sys.argv[1:]\n"
        "how = SearchOptions(thresholds=tuple(json.loads(t)), min_coverage=0.0)\n"
        "search_family(q, d, o, how, jobs=int(j), overwrite=True)"
    )
    words = [str(query), str(database), str(out), json.dumps(thresholds), str(jobs)]
    return [sys.executable, "-c", code, *words]


def beside(args):
    folder = Path(tempfile.mkdtemp(prefix="search-", dir=args.folder))
    record, members = unaligned("BLAT_ECOLX")
    for family in ("P53_HUMAN", "SRC_HUMAN", "MK01_HUMAN", "DYR_ECOLI"):
        members |= unaligned(family)[1]
    (query := folder / "query.fasta").write_text(record)
    database = folder / "database.fasta"
    write_practice_database(database, members, args.sequences - len(members), 1)
    megabytes = database.stat().st_size / 1e6
    print(f"{args.sequences:,} sequences ({len(members):,} members), {megabytes:.0f} MB")
    length, rows = len(record.split()[1]), []
    for threshold in args.thresholds:
        bits = str(threshold * length)
        cut = [word for name in ("-T", "--domT", "--incT", "--incdomT") for word in (name, bits)]
        theirs = ["jackhmmer", "--cpu", str(args.jobs), "-N", "5", *cut, "--noali",
                  "-o", "/dev/null", "-A", str(folder / "theirs.sto"), str(query), str(database)]  # fmt: skip
        a = watched(theirs)
        b = watched(ours(query, database, folder / "ours.a3m", [threshold], args.jobs))
        found, expected = letters(folder / "ours.a3m"), letters(folder / "theirs.sto")
        # ours leaves out copies: they are compared as sets of rows
        same = set(found.values()) == set(expected.values()) - {record.split()[1].encode()}
        about = json.loads((folder / "ours.search.json").read_text())
        hits = int(pd.read_csv(folder / "ours.search.csv").hits[0])
        for program, (seconds, memory), count in (
            ("jackhmmer", a, len(expected)),
            ("deepseq", b, hits),
        ):
            rows.append((program, f"{threshold:g}", count, same, seconds, memory))
            print(rows[-1], about["sequences"], flush=True)
    if args.seven:
        every = list(SearchOptions().thresholds)
        c = watched(ours(query, database, folder / "all.a3m", every, args.jobs))
        rows.append(("deepseq", "all seven", None, None, *c))
        print(rows[-1])
    table = pd.DataFrame(
        rows, columns=["program", "threshold", "hits", "same_columns", "seconds", "peak_mib"]
    )
    if args.save:
        about = {"sequences": args.sequences, "members": len(members), "megabytes": megabytes,
                 "jobs": args.jobs, "rounds": 5, "query": "BLAT_ECOLX"}  # fmt: skip
        results.save_result("search_beside", table.round({"seconds": 1, "peak_mib": 0}), about)
    shutil.rmtree(folder)


def correlation(args):
    folder = Path(tempfile.mkdtemp(prefix="search-", dir=args.folder))
    parts = {family: unaligned(family) for family in args.families}
    members = {name: row for _, some in parts.values() for name, row in some.items()}
    database = folder / "database.fasta"
    write_practice_database(database, members, args.decoys, 1)
    rows = []
    for family in args.families:
        _, first, assay, column = FAMILIES[family]
        (query := folder / f"{family}.fasta").write_text(parts[family][0])
        out = folder / f"{family}.a2m"
        found = search_family(
            query, database, out, jobs=args.jobs, write_all=True, say=print, first_residue=first
        )
        for row in found.table.itertuples():
            path = found.paths.get(row.threshold)
            if path is None or row.sequences < 2:
                continue
            alignment = Alignment.read(path)
            scores = SiteIndependent.fit(alignment).score()
            fitter = family != "P53_HUMAN"  # there, large values are harmful
            value = evaluate(scores, DATA / assay, column, higher_is_fitter=fitter, bootstrap=0)
            names = [name for name in alignment.names[1:]]
            strangers = sum(not name.startswith(family) for name in names)
            decoys = sum(name.startswith("decoy") for name in names)
            rows.append((family, row.threshold, row.hits, row.sequences, row.neff, row.neff_per_column,
                         row.covered, row.coverage, row.by_chance, strangers, decoys,
                         float(value["spearman"].value), row.Index == found.recommended))  # fmt: skip
            print(rows[-1], flush=True)
    columns = ["family", "threshold", "hits", "sequences", "neff", "neff_per_column", "covered", "coverage",
               "by_chance", "strangers", "decoys", "spearman", "recommended"]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    if args.save:
        about = {
            "members": len(members),
            "decoys": args.decoys,
            "families": args.families,
            "rounds": 5,
        }
        results.save_result("search", table.round(4), about)
    shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("beside", "correlation"))
    parser.add_argument("--sequences", type=int, default=500_000)
    parser.add_argument("--decoys", type=int, default=20_000)
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.3, 0.5])
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--seven", action="store_true", help="ours at all thresholds too")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", default=None, help="where the database is made")
    parser.add_argument("--save", action="store_true", help="write results/")
    args = parser.parse_args()
    {"beside": beside, "correlation": correlation}[args.what](args)


if __name__ == "__main__":
    main()

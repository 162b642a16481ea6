"""The registry, looking and downloading (against a server that misbehaves on request), and the synthetic family."""

import hashlib
import math
import shutil
import socket
import sys
import threading
from dataclasses import replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import deepseq_nb
from deepseq_nb.core.errors import ConfigError, DatasetError
from deepseq_nb.family import registry, synthetic
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.landscape import LETTERS, Landscape, SyntheticConfig, make_landscape
from deepseq_nb.family.registry import DatasetFile, download, fetch, find, listing, synthetic_path
from deepseq_nb.family.synthetic import (
    evolve,
    grow_tree,
    observe,
    synthetic_family,
    write_synthetic,
)

DATA = Path(deepseq_nb.__file__).resolve().parent.parent / "data"
SHIPPED = ("synthetic.a2m", "synthetic_singles.csv", "synthetic_doubles.csv")
CONTENT = b">A/1-4\nMKVL\n" * 5000
SMALL = SyntheticConfig(
    seed=3, sequences=60, columns=20, contacts=6, insertions=((5, 1),), loops=(), doubles=2
)


@cache
def default_family() -> synthetic.SyntheticFamily:
    return synthetic_family()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- the shipped files ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_are_what_the_seed_makes(name, tmp_path):
    write_synthetic(default_family(), tmp_path)
    assert sha256((tmp_path / name).read_bytes()) == sha256((DATA / name).read_bytes())


def test_shipped_files_are_what_the_registry_says():
    for entry in registry.dataset_files():
        if entry.family == "synthetic":
            data = (DATA / entry.file).read_bytes()
            assert (len(data), sha256(data)) == (entry.bytes, entry.sha256)


def test_shipped_files_are_small():
    assert sum((DATA / name).stat().st_size for name in SHIPPED) < 400_000


def test_another_seed_makes_another_family():
    assert synthetic_family(SMALL).a2m != synthetic_family(replace(SMALL, seed=4)).a2m


def test_reader_finds_the_planted_map():
    alignment = Alignment.read(DATA / "synthetic.a2m")
    family = default_family()
    assert alignment.focus == "SYNTH/11-62"
    assert tuple(alignment.residues.tolist()) == family.residues
    assert (
        family.residues[:2] == (11, 12)
        and family.residues[19:21] == (30, 34)
        and family.residues[-1] == 62
    )
    assert np.array_equal(alignment.tokens[0], family.wild)


def test_reader_drops_the_records_with_an_x():
    with_x = sum("X" in text for _, text in default_family().records)
    alignment = Alignment.read(DATA / "synthetic.a2m")
    assert with_x > 0 and len(alignment.tokens) == 2000 - with_x


def test_singles_table_has_every_substitution_once():
    table = pd.read_csv(DATA / "synthetic_singles.csv")
    assert list(table.columns) == ["mutant", "fitness", "measured"]
    assert len(table) == 48 * 19 == table["mutant"].nunique()


def test_doubles_table_is_additive_plus_epistasis():
    singles = pd.read_csv(DATA / "synthetic_singles.csv").set_index("mutant")["fitness"]
    doubles = pd.read_csv(DATA / "synthetic_doubles.csv")
    parts = doubles["mutant"].str.split(":", expand=True)
    total = (
        singles[parts[0]].to_numpy()
        + singles[parts[1]].to_numpy()
        + doubles["epistasis"].to_numpy()
    )
    assert len(doubles) == 16 * 361 and np.array_equal(total, doubles["fitness"])


def test_controls_have_no_epistasis_and_contacts_do():
    family = default_family()
    contacts, controls = synthetic.double_pairs(family)
    assert len(contacts) == len(controls) == 8
    assert all(
        np.abs(family.landscape.epistasis(family.wild, i, j)).max() > 0.5 for i, j in contacts
    )
    assert not any(family.landscape.epistasis(family.wild, i, j).any() for i, j in controls)


def test_most_singles_are_deleterious_and_some_are_not():
    share = (pd.read_csv(DATA / "synthetic_singles.csv")["fitness"] < 0).mean()
    assert 0.8 < share < 0.99


# --- landscape, tree, evolution ------------------------------------------------------------------


def hand_landscape() -> Landscape:
    fields = np.zeros((3, 20))
    fields[0, 1], fields[2, 4] = 1.5, -2.0
    coupling = np.zeros((1, 20, 20))
    coupling[0, 1, 4], coupling[0, 0, 0] = 0.75, 0.25
    return Landscape(kinds=("surface",) * 3, fields=fields, contacts=((0, 2),), couplings=coupling)


def test_fitness_by_hand():
    words = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 4], [1, 0, 4]], dtype=np.uint8)
    assert hand_landscape().fitness(words).tolist() == [0.25, 1.5, -2.0, 0.25]


def test_singles_and_epistasis_by_hand():
    wild = np.zeros(3, dtype=np.uint8)
    singles = hand_landscape().singles(wild)
    assert (singles[0, 1], singles[2, 4], singles[1, 7], singles[0, 0]) == (1.25, -2.25, 0.0, 0.0)
    # both: 0.25 - 0.25 = 0; singles sum to -1; so epistasis is 1
    assert hand_landscape().epistasis(wild, 0, 2)[1, 4] == 1.0
    assert not hand_landscape().epistasis(wild, 0, 1).any()


@given(st.integers(0, 2**32 - 1), st.integers(0, 19), st.integers(0, 19))
@settings(max_examples=30, deadline=None)
def test_singles_and_epistasis_agree_with_fitness(word_seed, a, b):
    landscape = default_family().landscape
    wild = np.random.default_rng(word_seed).integers(0, 20, 48).astype(np.uint8)
    i, j = landscape.contacts[word_seed % len(landscape.contacts)]
    words = np.repeat(wild[None], 4, axis=0)
    words[[1, 3], i], words[[2, 3], j] = a, b
    none, first, second, both = landscape.fitness(words).tolist()
    singles = landscape.singles(wild)
    assert (singles[i, a], singles[j, b]) == (first - none, second - none)
    assert landscape.epistasis(wild, i, j)[a, b] == both - first - second + none


def test_all_parameters_are_sixteenths():
    landscape = default_family().landscape
    for table in (landscape.fields, landscape.couplings):
        assert np.array_equal(table * 16, np.round(table * 16))


def test_contacts_are_apart_and_few_per_column():
    landscape = default_family().landscape
    ends = [c for pair in landscape.contacts for c in pair]
    assert len(set(landscape.contacts)) == 32 and max(map(ends.count, ends)) <= 2
    assert all(j - i >= 4 for i, j in landscape.contacts)
    assert not any(landscape.kinds[c] == "conserved" for c in ends)


def test_tree_is_binary_and_ultrametric():
    tree = grow_tree(SMALL)
    assert len(tree.leaves) == 60 and len(tree.parent) == 119
    assert all(tree.parent.count(node) == (0 if node in tree.leaves else 2) for node in range(119))
    assert {tree.ended[leaf] for leaf in tree.leaves} == {tree.height}
    assert all(tree.born[n] == tree.ended[tree.parent[n]] for n in range(1, 119))


def test_evolution_visits_letters_by_the_exponential_of_fitness():
    fields = np.full((1, 20), -40.0)
    fields[0, [2, 5]] = [math.log(3.0), 0.0]  # three to one
    landscape = Landscape(
        kinds=("surface",), fields=fields, contacts=(), couplings=np.zeros((0, 20, 20))
    )
    rng, x, seen = np.random.default_rng(5), [2], []
    for _ in range(2000):
        x = evolve(landscape, x, 40.0, rng)
        seen.append(x[0])
    assert set(seen) == {2, 5} and abs(seen.count(2) / 2000 - 0.75) < 0.05


def test_evolution_leaves_its_argument_alone():
    start = [0, 0, 0]
    evolve(hand_landscape(), start, 100.0, np.random.default_rng(1))
    assert start == [0, 0, 0]


def test_no_time_no_change():
    assert evolve(hand_landscape(), [3, 4, 5], 0.0, np.random.default_rng(1)) == [3, 4, 5]


def test_relatives_resemble_each_other():
    leaves = default_family().leaves
    near = (leaves[:-1] == leaves[1:]).mean()
    far = (leaves[:1000] == leaves[1000:]).mean()
    assert near > far + 0.15


def test_observed_focus_is_whole_and_first():
    family = synthetic_family(SMALL)
    records = observe(SMALL, family.leaves, family.focus)
    name, text = records[0]
    assert name == "SYNTH/11-31" and records == family.records
    assert "".join(c for c in text if c.isupper()) == "".join(LETTERS[k] for k in family.wild)
    assert sum(c.islower() for c in text) == 1 and {len(t) for _, t in records} == {21}


def test_config_round_trips_and_refuses_unknown_settings():
    assert SyntheticConfig.from_json(SMALL.to_json()) == SMALL
    with pytest.raises(ConfigError, match="SyntheticConfig has no setting 'colour'"):
        SyntheticConfig.from_json({"colour": 1})


@pytest.mark.parametrize(
    "wrong", [{"sequences": 1}, {"columns": 3}, {"insertions": ((48, 1),)}, {"loops": ((0, 1),)}]
)
def test_config_refuses_what_cannot_be_built(wrong):
    with pytest.raises(DatasetError, match="synthetic family"):
        SyntheticConfig(**wrong)


def test_make_landscape_is_deterministic():
    a, b = make_landscape(SMALL), make_landscape(SMALL)
    assert np.array_equal(a.couplings, b.couplings) and a.contacts == b.contacts


# --- registry, find, listing ---------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A package installed without its repository: no data folder, an empty cache."""
    monkeypatch.setattr(registry, "_repository_data", lambda: None)
    monkeypatch.setenv("DEEPSEQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DEEPSEQ_DATA", raising=False)
    return tmp_path


def test_registry_is_complete():
    entries = registry.dataset_files()
    assert len(entries) == 18 and len({(e.family, e.file) for e in entries}) == 18
    assert {e.family for e in entries} == set(registry.registry()["families"])
    for entry in entries:
        assert (
            len(entry.sha256) == 64
            and entry.bytes > 0
            and entry.kind in registry.KINDS
            and entry.licence
        )
        assert entry.family == "synthetic" or (
            len(entry.commit) == 40 and entry.path and " " not in entry.path
        )


def test_registry_says_which_column_to_compare_with():
    families = registry.registry()["families"]
    assert (
        families["BLAT_ECOLX"]["column"] == "2500" and families["TRNA_RF00005"]["alphabet"] == "rna"
    )
    assert all(family["theta"] == 0.2 for family in families.values())


def test_url_pins_the_commit():
    entry = DatasetFile(
        family="F",
        kind="assay",
        file="x.csv",
        bytes=1,
        sha256="",
        repository="a/b",
        commit="c",
        path="d/x",
    )
    assert entry.url("https://host/") == "https://host/a/b/c/d/x"


def test_find_returns_none_for_an_absent_family(home):
    assert find("BLAT_ECOLX") is None
    assert find("GFP_AEQVI") is None  # has an assay, no alignment


def test_find_looks_in_deepseq_data_first(home, monkeypatch):
    for folder in (home / "mine", registry.cache_folder()):
        (folder / "P53_HUMAN").mkdir(parents=True)
        (folder / "P53_HUMAN" / "ClinVar_labels_P53.csv").write_bytes(b"x" * 4966)
    assert (
        find("P53_HUMAN", kind="labels")
        == registry.cache_folder() / "P53_HUMAN" / "ClinVar_labels_P53.csv"
    )
    monkeypatch.setenv("DEEPSEQ_DATA", str(home / "mine"))
    assert (
        find("P53_HUMAN", kind="labels") == home / "mine" / "P53_HUMAN" / "ClinVar_labels_P53.csv"
    )
    with pytest.raises(DatasetError, match="has SHA-256"):
        find("P53_HUMAN", "ClinVar_labels_P53.csv", verify=True)


def test_find_refuses_a_file_of_the_wrong_size(home, monkeypatch):
    (home / "KUNITZ").mkdir()
    (home / "KUNITZ" / "Kunitz_domain_MSA.fasta").write_text(">a\nMK\n")
    monkeypatch.setenv("DEEPSEQ_DATA", str(home))
    with pytest.raises(DatasetError, match="has 6 bytes, expected 733,491"):
        find("KUNITZ")
    row = listing().set_index("file").loc["Kunitz_domain_MSA.fasta"]
    assert row["where"].startswith("! ") and "733,491" in row["where"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "BLAT"}, "did you mean BLAT_ECOLX"),
        ({"name": "nonsense"}, "It knows BLAT_ECOLX"),
        (
            {"name": "BLAT_ECOLX", "file": "other.csv"},
            "has no file 'other.csv'; it has BLAT_ECOLX_hmmerbit",
        ),
        ({"name": "BLAT_ECOLX", "kind": "msa"}, "kind 'msa' is not one of alignment, assay"),
    ],
)
def test_find_names_what_it_does_not_know(arguments, message):
    with pytest.raises(DatasetError, match=message):
        find(**arguments)


def test_listing_has_a_row_per_file(home):
    table = listing()
    assert list(table.columns) == ["name", "kind", "file", "bytes", "where", "licence", "note"]
    assert len(table) == 18 and set(table.loc[table["where"] != "", "name"]) == {"synthetic"}


def test_listing_writes_nothing(home):
    before = sorted(home.rglob("*"))
    assert (listing().query("name == 'synthetic'")["where"] == "made on first use").all()
    assert sorted(home.rglob("*")) == before
    synthetic_path()
    where = listing().query("name == 'synthetic'")["where"]
    assert all(Path(path).is_file() for path in where)


def test_all_files_of_the_synthetic_family_lie_in_one_folder(home):
    folders = {synthetic_path(kind).parent for kind in ("alignment", "assay", "doubles")}
    assert len(folders) == 1 and len(list(folders.pop().iterdir())) == 3


def test_synthetic_family_is_found_in_the_checkout():
    assert find("synthetic") == DATA / "synthetic.a2m" == synthetic_path()
    assert find("synthetic", kind="assay") == DATA / "synthetic_singles.csv"
    assert fetch("synthetic", "doubles") == [DATA / "synthetic_doubles.csv"]
    assert find("synthetic", kind="labels") is None


def test_synthetic_family_is_made_where_the_package_has_no_data(home):
    path = synthetic_path("assay")
    assert (
        home in path.parents and path.read_bytes() == (DATA / "synthetic_singles.csv").read_bytes()
    )
    path.write_text("damaged")
    assert synthetic_path("assay").read_bytes() == (DATA / "synthetic_singles.csv").read_bytes()


def test_synthetic_family_has_no_labels():
    with pytest.raises(DatasetError, match="has no 'labels'"):
        synthetic_path("labels")


# --- downloading ---------------------------------------------------------------------------------


class Misbehaving(BaseHTTPRequestHandler):
    """Answers by the file's name: good, cut, wrong, stalled, upstream.csv; anything else is a 404."""

    def do_GET(self):
        what = self.path.rsplit("/", 1)[-1]
        self.server.seen.append(self.path)
        bodies = {
            "good": CONTENT,
            "cut": CONTENT[:1000],
            "wrong": CONTENT[::-1],
            "stalled": b"",
            "upstream.csv": UPSTREAM,
        }
        if what not in bodies:
            self.send_error(404)
            return
        self.send_response(200)
        size = len(CONTENT) if what in ("cut", "stalled") else len(bodies[what])
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(bodies[what])
        if what == "stalled":
            self.wfile.flush()
            self.server.release.wait(5)

    def log_message(self, *args):
        pass


UPSTREAM = b"protein_name,mutations\r\nTOY,A1C\r\nOTHER,K2L\r\nTOY,A1D\r\n"
TOY_ROWS = b"protein_name,mutations\nTOY,A1C\nTOY,A1D\n"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving)
    server.seen, server.release = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


def base(server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def entry(path: str, content: bytes = CONTENT, **more) -> DatasetFile:
    return DatasetFile(
        family="TOY", kind="alignment", file="toy.a2m", bytes=len(content), sha256=sha256(content),
        repository="some/where", commit="abc", path=path, **more,
    )  # fmt: skip


def left_behind(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_download_is_whole_and_readable_by_others(server, tmp_path):
    path = download(entry("good"), tmp_path, base_url=base(server))
    assert path == tmp_path / "TOY" / "toy.a2m" and path.read_bytes() == CONTENT
    assert server.seen == ["/some/where/abc/good"] and path.stat().st_mode & 0o044 == 0o044
    assert left_behind(tmp_path) == [tmp_path / "TOY", path]


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("cut", "the connection broke off before the end of the file"),
        ("wrong", "does not have the expected SHA-256"),
        ("missing", "the server answers 404 Not Found"),
        ("stalled", "the server does not answer in time"),
    ],
)
def test_failed_download_is_one_clear_error_and_leaves_nothing(server, tmp_path, what, reason):
    with pytest.raises(DatasetError) as error:
        # only the server that stalls is to be given up; the others may be slow on a busy machine
        wait = 0.5 if what == "stalled" else 60
        download(entry(what), tmp_path, base_url=base(server), timeout=wait)
    text = str(error.value)
    assert reason in text and "\n" not in text
    assert (
        "toy.a2m" in text
        and f"{base(server)}/some/where/abc/{what}" in text
        and str(tmp_path / "TOY") in text
    )
    assert left_behind(tmp_path) == []


def test_offline_is_one_clear_error_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(
        DatasetError, match=r"toy\.a2m \(TOY\): there is no connection; .* put it into "
    ):
        download(entry("good"), tmp_path, base_url=f"http://127.0.0.1:{port}", timeout=2)
    assert left_behind(tmp_path) == []


def test_failed_download_keeps_the_files_that_were_there(server, tmp_path):
    (tmp_path / "TOY").mkdir()
    (tmp_path / "TOY" / "other.txt").write_text("mine")
    with pytest.raises(DatasetError):
        download(entry("cut"), tmp_path, base_url=base(server))
    assert left_behind(tmp_path) == [tmp_path / "TOY", tmp_path / "TOY" / "other.txt"]


def test_a_file_that_is_there_is_not_fetched_again(server, tmp_path):
    for _ in range(2):
        download(entry("good"), tmp_path, base_url=base(server))
    assert len(server.seen) == 1


def test_a_damaged_file_is_replaced(server, tmp_path):
    path = download(entry("good"), tmp_path, base_url=base(server))
    path.write_text("damaged")
    assert download(entry("good"), tmp_path, base_url=base(server)).read_bytes() == CONTENT


def test_more_than_the_registry_announces_is_refused_and_leaves_nothing(server, tmp_path):
    small = replace(entry("good"), bytes=len(CONTENT) - 1)
    with pytest.raises(DatasetError, match=r"toy\.a2m \(TOY\): more than the 59,999 bytes"):
        download(small, tmp_path, base_url=base(server))
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["../evil.a2m", "/etc/passwd", "..", "", "a/b", "a\x00b", "a\nb", "x" * 300]
)
@pytest.mark.parametrize("field", ["family", "file"])
def test_a_registry_that_points_outside_its_folder_is_refused(field, name):
    with pytest.raises(DatasetError, match="no name of a file or folder"):
        replace(entry("good"), **{field: name})


def test_unwritable_folder_is_one_clear_error(server, tmp_path):
    (tmp_path / "TOY").write_text("a file where the folder should be")
    with pytest.raises(DatasetError, match="the folder cannot be written"):
        download(entry("good"), tmp_path, base_url=base(server))


def test_rows_of_a_larger_table_are_derived(server, tmp_path):
    path = download(
        entry("upstream.csv", TOY_ROWS, derivation="rows"), tmp_path, base_url=base(server)
    )
    assert path.read_bytes() == TOY_ROWS


def test_a_derivation_with_another_result_is_refused(server, tmp_path):
    with pytest.raises(
        DatasetError, match="derived from the download does not have the expected SHA-256"
    ):
        download(entry("upstream.csv", CONTENT, derivation="rows"), tmp_path, base_url=base(server))
    assert left_behind(tmp_path) == []


def test_a_derivation_without_its_upstream_names_the_final_folder(server, tmp_path):
    with pytest.raises(DatasetError) as error:
        download(entry("missing", TOY_ROWS, derivation="rows"), tmp_path, base_url=base(server))
    assert str(tmp_path / "TOY") in str(error.value) and "404" in str(error.value)


def test_a_file_made_by_hand_says_so(tmp_path):
    with pytest.raises(
        DatasetError, match=r"made by hand from another one \(with care\); .* put it into"
    ):
        download(entry("x", derivation="by hand", recipe="with care"), tmp_path)


def test_focus_row_follows_its_closest_homologue():
    toy = entry("x", derivation="focus row", focus="TOY/1-5", sequence="MKVLA")
    text = registry._add_focus_row(">a\nMRC-LG\n>b\nMK-VLG\n>c\n----LG\n", toy)
    assert text == ">TOY/1-5\nMKVLA\n>a\nMR-LG\n>b\nMKVLG\n"


def test_focus_row_without_a_column_is_refused():
    with pytest.raises(DatasetError, match="has no column for a focus residue"):
        registry._add_focus_row(">b\nMKLG\n", entry("x", focus="TOY/1-5", sequence="MKVLA"))


@pytest.mark.parametrize(
    ("module", "package", "derivation"),
    [("requests", "requests", ""), ("Bio.Align", "biopython", "focus row")],
)
def test_a_download_without_its_packages_says_what_to_install(
    tmp_path, monkeypatch, module, package, derivation
):
    monkeypatch.setitem(sys.modules, module, None)  # importing it raises ImportError
    wanted = entry("whole", derivation=derivation)
    with pytest.raises(DatasetError) as caught:
        download(wanted, tmp_path, base_url="http://127.0.0.1:9")
    assert str(caught.value) == (f"toy.a2m (TOY) needs {package}: pip install 'deepseq-nb[data]'")
    assert "\n" not in str(caught.value) and not [*tmp_path.iterdir()]


def test_a_derivation_without_biopython_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "Bio.Align", None)
    toy = entry("x", derivation="focus row", focus="TOY/1-5", sequence="MKVLA")
    with pytest.raises(DatasetError, match=r"needs biopython: pip install 'deepseq-nb\[data\]'"):
        registry._add_focus_row(">b\nMKVLA\n", toy)


def with_registry(monkeypatch, *entries: DatasetFile) -> None:
    monkeypatch.setattr(registry, "dataset_files", lambda: entries)


def test_fetch_brings_all_files_and_finds_them_again(server, home, monkeypatch):
    table = DatasetFile(
        **{
            **entry_dict(entry("upstream.csv", TOY_ROWS, derivation="rows")),
            "kind": "assay",
            "file": "t.csv",
        }
    )
    with_registry(monkeypatch, entry("good"), table)
    paths = fetch("TOY", base_url=base(server))
    assert [path.name for path in paths] == ["toy.a2m", "t.csv"]
    assert find("TOY", verify=True) == paths[0] and find("TOY", kind="assay") == paths[1]
    assert fetch("TOY", "assay", base_url="http://127.0.0.1:9") == [paths[1]]
    with pytest.raises(DatasetError, match="TOY has no labels; it has alignment, assay"):
        fetch("TOY", "labels")


def entry_dict(item: DatasetFile) -> dict:
    return {name: getattr(item, name) for name in DatasetFile.__dataclass_fields__}


def test_fetch_refuses_a_users_own_damaged_file(server, home, monkeypatch):
    with_registry(monkeypatch, entry("good"))
    (home / "TOY").mkdir()
    (home / "TOY" / "toy.a2m").write_bytes(CONTENT[::-1])  # the right size
    monkeypatch.setenv("DEEPSEQ_DATA", str(home))
    with pytest.raises(DatasetError, match=r"has SHA-256 .* move it away"):
        fetch("TOY", base_url=base(server))


def test_fetch_leaves_out_files_made_by_hand_with_a_warning(server, home, monkeypatch):
    by_hand = DatasetFile(**{**entry_dict(entry("x", derivation="by hand")), "file": "hand.a2m"})
    with_registry(monkeypatch, entry("good"), by_hand)
    with pytest.warns(UserWarning, match=r"hand\.a2m is left out"):
        assert [path.name for path in fetch("TOY", base_url=base(server))] == ["toy.a2m"]
    with pytest.raises(DatasetError, match="made by hand"):
        fetch("TOY", file="hand.a2m", base_url=base(server))


def test_two_downloads_at_once_leave_one_whole_file(server, tmp_path):
    results = []
    threads = [
        threading.Thread(
            target=lambda: results.append(download(entry("good"), tmp_path, base_url=base(server)))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and results[0].read_bytes() == CONTENT
    assert left_behind(tmp_path) == [tmp_path / "TOY", tmp_path / "TOY" / "toy.a2m"]


def test_the_packaged_registry_is_read_without_a_repository(tmp_path, monkeypatch):
    """An installed wheel has deepseq_nb/data/registry.toml and no pyproject.toml beside the package."""
    package = tmp_path / "site" / "deepseq_nb"
    (package / "data").mkdir(parents=True)
    shutil.copy(DATA / "registry.toml", package / "data" / "registry.toml")
    monkeypatch.setattr(registry, "files", lambda name: package)
    registry._registry_text.cache_clear()
    try:
        assert registry._repository_data() is None
        assert "BLAT_ECOLX" in registry.registry()["families"]
        monkeypatch.setenv("DEEPSEQ_CACHE", str(tmp_path / "cache"))
        assert registry.cache_folder() == tmp_path / "cache" / "datasets"
    finally:
        registry._registry_text.cache_clear()

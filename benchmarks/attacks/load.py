"""Load: long trainings, very narrow, wide, shallow and deep families, rates that explode, numbers out of range."""

import json
import os
import resource
from pathlib import Path

import numpy as np
import pandas as pd

from deepseq_nb.family.alignment import Alignment
from deepseq_nb.model.runs import fit, load_run
from deepseq_nb.model.sizes import preset
from deepseq_nb.model.training import TrainConfig
from deepseq_nb.scores.scoring import score

from . import frame
from .frame import LETTERS, SCORE, TRAIN, Bench, Row, command, fault_of, forked, leftovers


def _resident() -> float:
    """Megabytes that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory_flat(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """Ten thousand updates, then two hundred scorings, in one process: memory stays where it was."""
    updates, report = max(400, int(10_000 * min(1.0, frame.SHARE))), folder / "report"

    def work() -> int:
        alignment, seen = Alignment.read(bench.family), []
        from deepseq_nb.model.training import Trainer

        class Watched(Trainer):
            def update(self, step):
                if step % (updates // 20) == 0:
                    seen.append(_resident())
                return super().update(step)

        config = TrainConfig(
            steps=updates, batch_size=20, device="cpu", checkpoint_every=max(50, updates // 40)
        )
        run = fit(
            alignment, preset("quick"), config, folder / "run", trainer=Watched, progress=False
        )
        trained = max(seen[-4:]) - max(seen[4:8])
        score(run, None, samples=8, progress=False)
        one, before = [_some_variants(bench.family)[0].replace("1", "5", 1)], _resident()
        for _ in range(max(20, int(200 * min(1.0, frame.SHARE)))):
            score(run, one, samples=8, progress=False)
        report.write_text(
            json.dumps({"updates": updates, "training": trained, "scoring": _resident() - before})
        )
        return 0

    found = forked(work, folder, 1800)
    if found.code != 0:
        return f"{updates} updates", fault_of(found, (0,))
    grown = json.loads(report.read_text())
    label = f"{updates:,} updates: {grown['training']:.1f} MB more after 3/4 of them, {grown['scoring']:.1f} MB in the scorings"
    print(f"  {label}")
    return label, "memory: it grows" if grown["training"] > 24 or grown["scoring"] > 24 else None


def _rows(
    path: Path,
    rows: int,
    columns: int,
    rng: np.random.Generator,
    gaps: float = 0.05,
    kind: str = "random",
) -> Path:
    """A family written in blocks, so that a million rows are no million strings at once."""
    letters = np.frombuffer(LETTERS.encode(), np.uint8)
    focus = rng.integers(20, size=columns)
    with open(path, "wb") as file:
        for start in range(0, rows, 20_000):
            size = min(20_000, rows - start)
            cells = letters[
                np.where(
                    rng.random((size, columns)) < 0.6, focus, rng.integers(20, size=(size, columns))
                )
            ]
            if kind == "identical":
                cells[:] = letters[focus]
            elif kind == "one letter":
                cells[:] = letters[0]
            cells[rng.random((size, columns)) < gaps] = ord("-")
            if start == 0:
                cells[0] = letters[focus] if kind != "one letter" else letters[0]
            lines = [f">{f'F/1-{columns}' if start + k == 0 else f's{start + k}'}\n".encode() + row.tobytes() + b"\n"
                     for k, row in enumerate(cells)]  # fmt: skip
            file.write(b"".join(lines))
    return path


def odd_family(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """Families of 1 and of 5,000 columns, of 1, 2 and very many rows, identical, gapped: trained, scored, sampled."""
    # a million once: weighing them compares half a million million pairs, most of an hour of one thread
    most = 1_000_000 if number < 13 else 100_000
    many = max(2000, int(most * min(1.0, frame.SHARE)))
    shapes = [
        (120, 1, {}), (120, 2, {}), (2, 16, {}), (1, 16, {}), (2, 1, {}), (40, 5000, {}), (many, 40, {}), (50, 20, {"kind": "identical"}),
        (50, 20, {"kind": "one letter"}), (50, 20, {"gaps": 0.97}), (50, 20, {"gaps": 1.0}), (3000, 8, {}), (30, 900, {}),
    ]  # fmt: skip
    rows, columns, how = shapes[number % len(shapes)]
    shallow = ["auto", "off", "on"][(number // len(shapes)) % 3]
    label = f"{rows:,} x {columns:,} {how or ''} --shallow {shallow}"
    family = _rows(folder / "f.a2m", rows, columns, rng, **how)
    limit = 12 * 2**30

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    trained = command(
        ["train", family, "--out", "run", "--steps", 3, *TRAIN, "--shallow", shallow],
        folder,
        1800 if rows < 1_000_000 else 7200,
        prepare=limited,
    )
    if fault := fault_of(trained, (0, 2)):
        return label, fault
    if trained.code == 2:
        return label, None if rows < 3 or how.get("gaps") == 1.0 or how.get(
            "kind"
        ) else f"refused: {trained.said}"
    (folder / "list.txt").write_text("\n".join(_some_variants(family)) + "\n")
    variants = (
        SCORE if columns < 1000 else ["--variants", "list.txt", "--samples", 8, "--device", "cpu"]
    )
    for words in (["score", "run", *variants, "--out", "s.csv"], ["sample", "run", "--n", 5, "--out", "n.fasta"],
                  ["embed", "run", "--out", "z.npy"]):  # fmt: skip
        found = command(words, folder, 1800, prepare=limited)
        if fault := fault_of(found, (0,)):
            return label, f"{fault} ({words[0]})"
    table = pd.read_csv(folder / "s.csv")
    ok = table[table.status == "ok"]
    if not len(ok) or not np.isfinite(ok.score).all():
        return label, f"wrong: {len(ok)} scored, {int(np.isfinite(ok.score).sum())} of them numbers"
    if not np.isfinite(np.load(folder / "z.npy")).all():
        return label, "wrong: places in the latent space that are no numbers"
    return label, None


def _some_variants(family: Path) -> list[str]:
    with open(family) as file:
        file.readline()
        focus = file.readline().strip()
    places = sorted({0, len(focus) // 2, len(focus) - 1})
    return [f"{focus[k]}{k + 1}{'C' if focus[k] == 'A' else 'A'}" for k in places]


def exploding(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """A learning rate of 1 to 1e300, a batch larger than the family: numbers, or one line and no model of nan."""
    words = ["train", bench.family, "--out", "run", "--steps", 20, *TRAIN]
    if number % 5 == 4:
        size = int(10 ** rng.uniform(2.1, 5))
        words += ["--batch-size", size, "--steps", 3]
        label = f"batches of {size:,} of 120 sequences"
    else:
        rate = float(f"{10 ** rng.uniform(0, 8 if number % 2 else 300):.3g}")
        words += ["--learning-rate", rate]
        label = f"learning rate {rate:g}"
    found = command(words, folder, 600)
    if fault := fault_of(found, (0, 2)):
        return label, fault
    if found.code == 0:
        run = load_run(folder / "run")
        if not all(bool(p.isfinite().all()) for p in run.model.parameters()):
            return label, "wrong: a model with parameters that are no numbers"
        return label, None
    if (folder / "run/model.safetensors").exists():
        return label, "wrong: refused, but there is a model"
    scored = command(["score", "run", *SCORE, "--out", "s.csv"], folder, 300)
    if fault := fault_of(scored, (0, 2)):
        return label, f"{fault} (score afterwards)"
    if scored.code == 0 and not np.isfinite(pd.read_csv(folder / "s.csv").score).all():
        return label, "wrong: a checkpoint that gives no numbers"
    return label, None


_NUMBERS = ("-1", "0", "1e308", "1e-300", "nan", "inf", "-inf", "99999999999999999999999", "9" * 400, "1.5", "x", "", "1e999", "٣", "0x10", "1_000",
            "-0", "2147483648", "9223372036854775808")  # fmt: skip


def odd_number(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """A number out of range in an option or a configuration: refused in one line, or used."""
    value = _NUMBERS[number % len(_NUMBERS)]
    train = ["train", bench.family, "--out", "run", "--steps", 2, *TRAIN]
    score_words = ["score", bench.trained(), *SCORE, "--out", "s.csv"]
    options = [
        *((train, o) for o in ("steps", "batch-size", "learning-rate", "theta", "seed", "checkpoint-every", "minutes", "max-steps", "runs", "first-residue")),
        *((score_words, o) for o in ("samples", "precision", "seed", "offset")), (["sample", bench.trained(), "--out", "n.fasta"], "n"),
        (["weights", bench.family, "--out", "w.npy"], "theta"), (["evaluate", bench.scores(), bench.assay, "--column", "fitness"], "threshold"),
        (["evaluate", bench.scores(), bench.assay, "--column", "fitness"], "offset"), (["check", bench.family], "max-column-gaps"),
    ]  # fmt: skip
    choice = int(rng.integers(len(options) + 6))
    if choice < len(options):
        words, option = options[choice]
        words = [*words, f"--{option}={value}"]
    else:
        room, name = [("model", "latent"), ("model", "weight_sigma"), ("model", "convolution"), ("train", "learning_rate"),
                      ("train", "beta1"), ("train", "seed")][choice - len(options)]  # fmt: skip
        option = f"{room}.{name}"
        text = (
            value
            if value and value not in ("x", "٣", "0x10", "1_000", "nan", "inf", "-inf")
            else f'"{value}"'
        )
        text = {"nan": "NaN", "inf": "Infinity"}.get(value, text)
        (folder / "c.json").write_text(f'{{"{room}": {{"{name}": {text}}}}}')
        words = [*train, "--config", "c.json"]
    label = f"{words[0]} {option} {value[:30]}"

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (12 * 2**30, 12 * 2**30))

    found = command(words, folder, 60, prepare=limited)
    large = (
        option in ("samples", "max-steps", "steps", "runs", "n", "minutes", "precision")
        and found.code is None
    )
    fault = fault_of(found, (0, 2))
    if large and fault:
        fault = f"endless: no answer in 60 s, and no refusal: {fault}"
    if not fault and leftovers(folder):
        fault = f"left behind: {leftovers(folder)}"
    return label, fault


ROWS = [
    Row("memory", "ten thousand updates and two hundred scorings in one process", 1, memory_flat),
    Row("sizes", "1 and 5,000 columns, 1, 2 and a million rows, identical, gapped", 39, odd_family),
    Row("rates", "learning rates that explode, batches larger than the family", 100, exploding),
    Row("numbers", "numbers out of range in options and configurations", 380, odd_number),
]

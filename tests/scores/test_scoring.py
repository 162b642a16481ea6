"""Scores: common random numbers, independence of neighbours, standard errors, streaming."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from tiny_family import TINY

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.family.variants import all_singles, resolve_variants
from deepseq_nb.model.network import DeepSequence, ModelConfig, centre_on_sites, log_likelihood
from deepseq_nb.model.priors import SparsityPrior
from deepseq_nb.model.runs import fit, load_run
from deepseq_nb.model.training import TrainConfig, fill_noise, noise_generator
from deepseq_nb.scores import fast, scorer
from deepseq_nb.scores.fast import (
    FastScorer,
    expand,
    expanded_change,
    latent_noise,
    log_odds_weights,
    substitution_table,
)
from deepseq_nb.scores.scorer import Scorer, delta_elbo
from deepseq_nb.scores.scoring import combine, embed, sample_sequences, score


def reference_scores(run, variants: list[str], samples: int, seed: int) -> np.ndarray:
    """The definition, one variant at a time: mean over samples of ELBO(variant) - ELBO(wild type) with shared noise."""
    model, wild = run.model, torch.from_numpy(run.focus_map.tokens)
    table, scores = resolve_variants(variants, run.focus_map), []
    for row in range(len(variants)):
        mutant = torch.from_numpy(table.tokens(np.array([row]), run.focus_map.tokens))[0]
        deltas = []
        for s in range(samples):
            noise = torch.empty(model.decoder.noise_size)
            fill_noise(noise, seed, "score weights", s)
            latent = torch.randn(
                model.config.latent, generator=noise_generator("cpu", seed, "score latent", s)
            )
            with torch.no_grad():
                elbo = model.elbo(
                    torch.stack([mutant, wild]), model.decoder.draw(noise), latent.expand(2, -1)
                ).elbo
            deltas.append((elbo[0] - elbo[1]).item())
        scores.append(np.mean(deltas))
    return np.array(scores)


def test_score_is_the_mean_difference_of_elbos_under_shared_noise(tiny_run):
    variants = ["M11A", "A15W:G17P", "R24K"]
    assert np.allclose(
        score(tiny_run, variants, samples=4, seed=3, estimator="plain").score,
        reference_scores(tiny_run, variants, 4, 3),
        atol=1e-4,
    )


def test_t126t_is_zero__deepsequence_12(tiny_run):
    table = score(tiny_run, ["A15A", "WT", "A15A:G17G"], samples=3)
    assert (
        (table.score == 0).all() and (table.std_error == 0).all() and (table.status == "ok").all()
    )


def test_every_row_comes_back_in_order(tiny_run):
    rows = ["A15W", "nonsense", "A999W", "V13A", "G15A", "A15A"]
    table = score(tiny_run, rows, samples=2)
    assert table.variant.tolist() == rows
    assert list(table.columns) == ["variant", "score", "std_error", "status", "reason", "occupancy"]
    assert table.score.notna().tolist() == [True, False, False, False, False, True]
    assert (table.reason[table.status != "ok"] != "").all()


def test_score_does_not_change_with_neighbours_or_order(tiny_run):
    everything = score(tiny_run, samples=3)
    shuffled = score(tiny_run, everything.variant.sample(frac=1, random_state=1), samples=3)
    merged = everything.merge(shuffled, on="variant")
    assert (merged.score_x == merged.score_y).all()
    assert score(tiny_run, [everything.variant[7]], samples=3).score[0] == everything.score[7]


@pytest.mark.parametrize("size", [1, 16, 37, 1000])
def test_score_does_not_change_with_the_batch_size(tiny_run, size):
    assert np.allclose(
        score(tiny_run, samples=3, batch_size=size).score,
        score(tiny_run, samples=3).score,
        atol=1e-5,
    )


def test_score_does_not_change_with_blocks(tiny_run, monkeypatch):
    whole = score(tiny_run, samples=3)
    monkeypatch.setattr(scorer, "BLOCK", 50)
    assert (score(tiny_run, samples=3).score == whole.score).all()


def test_same_seed_same_scores_other_seed_others(tiny_run):
    a, b, c = (score(tiny_run, samples=3, seed=s).score for s in (1, 1, 2))
    assert (a == b).all() and (a != c).any()


def test_score_does_not_depend_on_training_mode(tiny_run):
    before = score(tiny_run, samples=2)
    tiny_run.model.train()
    after = score(tiny_run, samples=2)
    tiny_run.model.eval()
    assert (before.score == after.score).all()


def test_dropout_is_off_when_scoring(alignment):
    config = ModelConfig(
        encoder=(8,),
        latent=3,
        decoder=(8, 12),
        conv=5,
        weights="point",
        dropout=0.5,
        sparsity=SparsityPrior(kind="none"),
    )
    run = fit(alignment, config, TrainConfig(steps=5, batch_size=10, device="cpu"))
    assert (score(run, samples=2).score == score(run, samples=2).score).all()


def test_scores_survive_saving_and_loading(tiny_run):
    assert (
        score(load_run(tiny_run.path), samples=2).score == score(tiny_run, samples=2).score
    ).all()
    assert (
        score(tiny_run.path, samples=2, device="cpu").score == score(tiny_run, samples=2).score
    ).all()


def test_shared_noise_ranks_well_with_few_samples(tiny_run):
    few, many = score(tiny_run, samples=5, seed=1), score(tiny_run, samples=200, seed=2)
    assert spearmanr(few.score, many.score).statistic > 0.98


@pytest.mark.parametrize("estimator", ["fast", "plain"])
def test_standard_errors_are_honest(tiny_run, estimator, monkeypatch):
    monkeypatch.setattr(fast, "EXACT_POSITIONS", 3)
    variants = ["M11A", "A15W", "A15W:G17P", "R24K", "G20E"]
    runs = [
        score(tiny_run, variants, samples=20, seed=s, estimator=estimator, batch_size=8)
        for s in range(120)
    ]
    spread = np.std([r.score for r in runs], axis=0, ddof=1)
    # the mean of variances is unbiased; noise is shared, so the variants are not five independent tries
    stated = np.sqrt(np.mean([r.std_error**2 for r in runs], axis=0))
    assert np.median(spread / stated) == pytest.approx(1, abs=0.2)


def test_standard_errors_of_the_fast_estimator_hold_over_many_runs(tiny_run, monkeypatch):
    monkeypatch.setattr(fast, "EXACT_POSITIONS", 2)
    variants = ["M11A", "A15W:G17P", "R24K", "M11W:A15P:A16W:G17W:G20W:E22W:D23P"]
    truth = score(tiny_run, variants, samples=4000, seed=999, batch_size=8, estimator="plain")
    runs = [score(tiny_run, variants, samples=40, seed=s, batch_size=8) for s in range(120)]
    scores = np.array([r.score for r in runs])
    stated = np.sqrt(np.mean([r.std_error**2 for r in runs], axis=0))
    assert scores.std(0, ddof=1) / stated == pytest.approx(np.ones(4), abs=0.25)
    off = (scores.mean(0) - truth.score) / np.hypot(stated / np.sqrt(120), truth.std_error)
    assert np.abs(off).max() < 4


def test_precision_is_reached_and_each_variant_stops_on_its_own(tiny_run):
    loose = score(tiny_run, samples=20)
    wish = float(loose.std_error.median() / 2)
    fine = score(tiny_run, samples=20, precision=wish)
    assert (fine.std_error <= wish).all()
    one = int(loose.std_error.argmax())
    assert (
        score(tiny_run, [fine.variant[one]], samples=20, precision=wish).score[0] == fine.score[one]
    )
    easy = loose.std_error <= wish
    assert (fine.score[easy] == loose.score[easy]).all()


def test_precision_out_of_reach_stops_at_max_samples(tiny_run):
    table = score(tiny_run, ["A15W"], samples=4, precision=1e-9, max_samples=16)
    assert np.allclose(table.score, score(tiny_run, ["A15W"], samples=16).score)


def test_one_sample_has_no_standard_error(tiny_run):
    assert score(tiny_run, ["A15W"], samples=1).std_error.isna().all()


def test_a_deletion_is_scored_as_a_gap(tiny_run):
    table = score(tiny_run, ["A15-"], samples=2)
    assert table.status[0] == "ok" and np.isfinite(table.score[0]) and table.reason[0]


def test_memory_does_not_grow_with_the_number_of_variants(monkeypatch):
    model = DeepSequence(TINY, 40)
    monkeypatch.setattr(scorer, "BLOCK", 256)
    wild = np.zeros(40, np.uint8)
    from deepseq_nb.family.alignment import Alignment

    focus_map = Alignment.from_strings(["A" * 40]).focus_map
    peaks = []
    for n in (512, 8192):
        texts = (all_singles(focus_map) * 20)[:n]
        table = resolve_variants(texts, focus_map)
        tracemalloc.start()
        delta_elbo(Scorer(model, 1, 64), table, wild, samples=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (
        peaks[1] < peaks[0] + 200 * 8192
    )  # a few numbers a variant, not its tokens times anything


def test_table_of_variants_is_accepted_and_a_wrong_one_explained(tiny_run):
    assert len(score(tiny_run, pd.DataFrame({"variant": ["A15W"]}), samples=1)) == 1
    with pytest.raises(ConfigError, match="no column 'variant'; its columns are mutation"):
        score(tiny_run, pd.DataFrame({"mutation": ["A15W"]}))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [({"samples": 0}, "samples"), ({"precision": 0.0}, "precision"), ({"seed": -1}, "seed")],
)
def test_settings_out_of_range_are_refused(tiny_run, wrong, text):
    with pytest.raises(ConfigError, match=text):
        score(tiny_run, ["A15W"], **wrong)


def test_embedding_has_one_row_a_sequence(tiny_run, alignment):
    z = embed(tiny_run, alignment)
    assert z.shape == (len(alignment.tokens), TINY.latent) and z.dtype == np.float32


def test_embedding_of_other_columns_is_refused(tiny_run, family):
    from deepseq_nb.family.alignment import Alignment

    with pytest.raises(ConfigError, match="must be the same"):
        embed(tiny_run, Alignment.read(family, columns="all"))


def test_sampled_sequences_follow_the_profile(tiny_run):
    sequences = sample_sequences(tiny_run, 150, seed=2)
    assert len(sequences) == 150 and {len(s) for s in sequences} == {12}
    assert sequences == sample_sequences(tiny_run, 150, seed=2)
    assert sequences[:100] == sample_sequences(tiny_run, 100, seed=2)


CONFIGS = {
    "as it is": TINY,
    "no convolution": replace(TINY, conv=0),
    "no sparsity": replace(TINY, sparsity=SparsityPrior(kind="none")),
    "another prior": replace(TINY, sparsity=SparsityPrior(kind="horseshoe")),
    "point weights": replace(TINY, weights="point", sparsity=SparsityPrior(kind="none")),
    "neither bias nor temperature": replace(TINY, output_bias=False, temperature=False),
    "prior centred on the sites": replace(TINY, site_prior=True),
    "encoder convolution": replace(TINY, encoder_conv=6, encoder_nonlinearity="sigmoid"),
    "no hidden layers": replace(TINY, encoder=(), decoder=(), latent=4),
    "deep, with kinks": replace(
        TINY, encoder=(9, 8, 7), decoder=(8, 10, 12), final_nonlinearity="relu"
    ),
}


def random_model(config: ModelConfig, length: int = 13, letters: int = 20) -> DeepSequence:
    """A model whose parameters are nowhere near their regular starting values."""
    model, generator = DeepSequence(config, length, letters), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    if config.site_prior:
        centre_on_sites(model.decoder, torch.randn(length, letters, generator=generator))
    return model.double().eval()


def random_table(wild: np.ndarray, letters: int):
    """Wild type tokens as an alignment of one and 60 random variants of one to five substitutions."""
    from deepseq_nb.family.alignment import Alignment

    rng, alphabet = np.random.default_rng(4), {20: "protein", 4: "rna"}[letters]
    names = "ACDEFGHIKLMNPQRSTVWY" if letters == 20 else "ACGU"
    focus_map = Alignment.from_strings(
        ["".join(names[i] for i in wild)], alphabet=alphabet
    ).focus_map
    texts = []
    for _ in range(60):
        where = rng.choice(len(wild), rng.integers(1, 6), replace=False)
        new = [names[(wild[i] + rng.integers(1, letters)) % letters] for i in where]
        texts.append(
            ":".join(f"{names[wild[i]]}{i + 1}{a}" for i, a in zip(where, new, strict=True))
        )
    table = resolve_variants(texts, focus_map)
    assert table.ok.all()
    return table


@pytest.mark.parametrize("letters", [20, 4])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
@torch.no_grad()
def test_corrected_expansion_is_exact_on_average_over_the_positions(config, letters):
    model, stride = random_model(config, 13, letters), 4
    wild = np.random.default_rng(5).integers(0, letters, 13).astype(np.uint8)
    table = random_table(wild, letters)
    tokens = torch.from_numpy(table.tokens(slice(None), wild))
    decoder, wild = model.decoder, torch.from_numpy(wild)
    generator = torch.Generator().manual_seed(6)
    w = decoder.draw(torch.randn(decoder.noise_size, generator=generator, dtype=torch.float64))
    z = torch.randn(config.latent, generator=generator, dtype=torch.float64)
    step = torch.randn(len(tokens), config.latent, generator=generator, dtype=torch.float64)
    hidden = decoder.hidden(torch.cat([z[None], z + step]), w)
    logits = decoder.logits(hidden, decoder.output_weights(w), w)
    exact = log_likelihood(logits, torch.cat([wild[None], tokens]))
    weights, bias = log_odds_weights(decoder, w, wild)
    chosen = torch.nn.functional.one_hot(tokens.long(), letters).double().flatten(1)
    letters_of = chosen @ weights.flatten(0, 1)
    changes = []
    for start in range(stride):
        at = expand(decoder, w, (weights, bias), torch.ones(13).double(), z, start, stride)
        own = chosen @ at.log_odds.flatten()
        changes.append(expanded_change(at, step, hidden[1:].clone(), letters_of, own))
    mean = torch.stack(changes).mean(0)
    assert torch.allclose(mean, exact[1:] - exact[0], atol=1e-8)
    assert (torch.stack(changes).std(0) > 1e-6).all()  # each alone is not


@torch.no_grad()
def test_expansion_skips_positions_where_the_wild_type_has_a_gap():
    model, stride = random_model(TINY), 3
    decoder = model.decoder
    wild = torch.tensor([3, 20, 5, 7, 20, 1, 0, 2, 4, 19, 18, 20, 6], dtype=torch.uint8)
    w, z = decoder.draw(), torch.zeros(3, dtype=torch.float64)
    step = torch.full((1, 3), 0.5, dtype=torch.float64)
    hidden = decoder.hidden(torch.cat([z[None], z + step]), w)
    logits = decoder.logits(hidden, decoder.output_weights(w), w)
    exact = log_likelihood(logits, wild.expand(2, -1))
    odds, present = log_odds_weights(decoder, w, wild), (wild < 20).double()
    nothing = torch.zeros(1, 12).double(), torch.zeros(1).double()
    changes = [
        expanded_change(
            expand(decoder, w, odds, present, z, start, stride), step, hidden[1:].clone(), *nothing
        )
        for start in range(stride)
    ]
    assert torch.allclose(torch.stack(changes).mean(0), exact[1:] - exact[0], atol=1e-8)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
@torch.no_grad()
def test_fast_scorer_with_exact_positions_everywhere_is_the_definition_under_its_own_noise(
    config, monkeypatch
):
    monkeypatch.setattr(fast, "EXACT_POSITIONS", 13)
    model, wild = random_model(config), np.arange(13).astype(np.uint8)
    table, scorer = random_table(wild, 20), FastScorer(model, seed=8)
    tokens = torch.from_numpy(np.concatenate([wild[None], table.tokens(slice(None), wild)]))
    expected = np.zeros(len(table))
    for sample in range(2):
        for w, latent in zip(scorer.weights(sample), latent_noise(scorer, sample), strict=True):
            for noise, _ in latent:
                elbo = model.elbo(tokens, w, noise.expand(len(tokens), -1)).elbo
                expected += (elbo[1:] - elbo[0]).numpy() / 8
    assert np.allclose(delta_elbo(scorer, table, wild, samples=8)[0], expected, atol=1e-9)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_fast_and_plain_estimators_have_the_same_expectation(config, monkeypatch):
    monkeypatch.setattr(fast, "EXACT_POSITIONS", 2)
    model, wild = random_model(config), np.arange(13).astype(np.uint8)
    table = random_table(wild, 20)
    quick, quick_error = delta_elbo(FastScorer(model, 1, 64), table, wild, samples=400)
    plain, plain_error = delta_elbo(Scorer(model, 2, 64), table, wild, samples=400)
    z = (quick - plain) / np.hypot(quick_error, plain_error)
    assert np.abs(z).max() < 5 and np.sqrt(np.mean(z**2)) < 2.5


@torch.no_grad()
def test_weights_of_a_sample_have_opposite_noise(tiny_run):
    scorer, decoder = FastScorer(tiny_run.model, 1), tiny_run.model.decoder
    first, second = [{name: value.clone() for name, value in w.items()} for w in scorer.weights(3)]
    for name, weight in decoder.weights.items():
        assert torch.allclose((first[name] + second[name]) / 2, weight.mu, atol=1e-6)
        assert (first[name] != second[name]).any()
    for a, b in zip(*latent_noise(scorer, 3), strict=True):
        assert torch.equal(a[0], -b[0])


@torch.no_grad()
def test_weights_are_drawn_into_one_buffer(tiny_run):
    scorer = FastScorer(tiny_run.model, 1)
    places = {w["W_out"].data_ptr() for sample in range(3) for w in scorer.weights(sample)}
    assert len(places) == 1


def test_noise_is_normal_and_does_not_depend_on_threads():
    threads, draws = torch.get_num_threads(), []
    try:
        for n in (1, 3):
            torch.set_num_threads(n)
            draws.append(torch.empty(100_000))
            fill_noise(draws[-1], 1, "score weights", 2)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*draws)
    other = torch.empty(100_000)
    fill_noise(other, 1, "score weights", 3)
    assert abs(np.corrcoef(draws[0], other)[0, 1]) < 0.02
    assert abs(draws[0].mean()) < 0.02 and draws[0].std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("encoder_conv", [0, 6])
@torch.no_grad()
def test_substitution_table_gives_the_encoders_first_layer(encoder_conv):
    encoder = random_model(replace(TINY, encoder_conv=encoder_conv)).encoder
    wild = torch.arange(13, dtype=torch.uint8)
    changes, base = substitution_table(encoder, wild)
    mutant = wild.clone()
    mutant[[2, 9]] = torch.tensor([17, 0], dtype=torch.uint8)
    changed = base + changes[2 * 20 + 17] + changes[9 * 20]
    mu = encoder.mu(encoder.nonlinearity(changed))
    assert torch.allclose(mu, encoder(mutant[None])[0][0])
    assert torch.allclose(encoder.mu(encoder.nonlinearity(base)), encoder(wild[None])[0][0])


def test_deletions_go_the_plain_way_and_leave_their_neighbours_alone(tiny_run):
    variants = ["A15-", "A15W", "A15W:G17-"]
    mixed = score(tiny_run, variants, samples=8).set_index("variant")
    plain = score(tiny_run, variants, samples=8, estimator="plain").set_index("variant")
    gapped = ["A15-", "A15W:G17-"]
    assert np.allclose(mixed.score[gapped], plain.score[gapped])
    assert mixed.score["A15W"] == score(tiny_run, ["A15W"], samples=8).score[0]


def test_fast_estimator_rounds_up_to_whole_samples(tiny_run):
    assert (score(tiny_run, samples=5).score == score(tiny_run, samples=8).score).all()


def test_fast_estimator_ranks_like_many_plain_samples_after_four_evaluations(tiny_run):
    many = score(tiny_run, samples=200, seed=2, estimator="plain")
    assert spearmanr(score(tiny_run, samples=4).score, many.score).statistic > 0.99


def test_unknown_estimator_is_refused(tiny_run):
    with pytest.raises(ConfigError, match="estimator"):
        score(tiny_run, ["A15W"], estimator="quick")


def test_memory_of_the_fast_estimator_does_not_grow_with_the_number_of_variants(monkeypatch):
    from deepseq_nb.family.alignment import Alignment

    model, wild = DeepSequence(TINY, 40), np.zeros(40, np.uint8)
    monkeypatch.setattr(scorer, "BLOCK", 256)
    focus_map, peaks = Alignment.from_strings(["A" * 40]).focus_map, []
    for n in (512, 8192):
        table = resolve_variants((all_singles(focus_map) * 20)[:n], focus_map)
        tracemalloc.start()
        delta_elbo(FastScorer(model, 1, 64), table, wild, samples=4)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200 * 8192


# several runs ----------------------------------------------------------------------------------------------------


def scored(scores, status="ok"):
    """A table of scores for two made-up variants, the second with this status."""
    return pd.DataFrame(
        {"variant": ["A1C", "A2D"], "score": scores, "std_error": 0.1, "status": ["ok", status]}
    ).assign(reason=["", "" if status == "ok" else "why"])


def test_combined_scores_are_means_with_the_error_of_a_mean():
    table = combine([scored([1.0, -2.0]), scored([3.0, -2.0]), scored([5.0, -2.0])])
    assert table.score.tolist() == [3.0, -2.0]
    assert table.std_error.tolist() == pytest.approx([2 / 3**0.5, 0.0])  # sd 2 of three runs


def test_one_table_is_returned_as_it_is():
    pd.testing.assert_frame_equal(combine([scored([1.0, 2.0])]), scored([1.0, 2.0]))


def test_a_row_that_one_run_cannot_score_has_no_score_and_its_reason():
    bad = scored([1.0, np.nan], status="outside the alignment")
    table = combine([scored([1.0, 2.0]), bad])
    assert np.isnan(table.score[1]) and table.status[1] == bad.status[1]
    assert table.reason[1] == "why" and table.status[0] == "ok"


def test_errors_of_the_mean_over_runs_are_calibrated():
    rng = np.random.default_rng(1)
    truth, spread = rng.normal(size=400), rng.uniform(0.5, 2, 400)
    names = [f"A{i}C" for i in range(400)]
    runs = [
        pd.DataFrame({"variant": names, "score": truth + spread * rng.normal(size=400)})
        for _ in range(10)
    ]
    table = combine(run.assign(std_error=0.0, status="ok", reason="") for run in runs)
    assert ((table.score - truth) / table.std_error).std() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("others", [["A2D", "A1C"], ["A1C", "A2E"], ["A1C"]])
def test_tables_of_other_variants_are_refused(others):
    with pytest.raises(ConfigError, match="other variants"):
        combine([scored([1.0, 2.0]), pd.DataFrame({"variant": others, "score": 0.0})])


def test_nothing_to_combine_is_refused():
    with pytest.raises(ConfigError, match="nothing to combine"):
        combine([])


def test_tables_of_variants_and_scores_alone_can_be_combined():
    bare = [scored(values)[["variant", "score"]] for values in ([1.0, 2.0], [3.0, 2.0])]
    assert combine(bare).score.tolist() == [2.0, 2.0]

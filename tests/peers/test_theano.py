"""Models of the original in our hands and back, and its faults, which ours does not have."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from python2_pickles import python2_pickle
from tiny_family import TINY

from deepseq_nb.cli.main import main as cli
from deepseq_nb.core.errors import CheckpointError, ConfigError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.weights import sequence_weights
from deepseq_nb.model.network import DeepSequence
from deepseq_nb.model.priors import SparsityPrior
from deepseq_nb.model.runs import fit
from deepseq_nb.model.sizes import ModelConfig
from deepseq_nb.model.training import AdamOriginal, TrainConfig
from deepseq_nb.peers import theano
from deepseq_nb.peers.theano import (
    export_original,
    import_original,
    infer_config,
    original_model,
    original_names,
)
from deepseq_nb.scores.scoring import score


def test_names_are_views_of_the_model():
    model = DeepSequence(TINY, 5, 20)
    original_names(model)["W_encode_0"].fill_(2.0)
    assert (model.encoder.layers[0].weight == 2).all()
    assert original_names(model)["W_encode_0"].shape == (100, 16)


# from shapes to a model


def parameters(config, length=12, letters=20):
    names = original_names(DeepSequence(config, length, letters))
    return {name: value.numpy().copy() for name, value in names.items()}


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        replace(TINY, patterns=3, encoder_conv=4, temperature=False, output_bias=False),
        replace(TINY, conv=0, encoder=(9, 8, 7), decoder=(4,), patterns=1),
        replace(TINY, conv=0, decoder=(), latent=4, patterns=2, output_bias=False),
        replace(TINY, weights="point"),
        replace(TINY, weights="point", conv=0, encoder=()),
    ],
)
def test_architecture_is_inferred_from_shapes(config):
    assert infer_config(parameters(config), 12, 20, replace(TINY)) == config
    bare = replace(config, sparsity=SparsityPrior(kind="none"), patterns=1)
    assert infer_config(parameters(bare), 12, 20) == replace(bare)


def test_what_shapes_cannot_tell_is_the_originals_choice_unless_given():
    found = infer_config(parameters(TINY), 12, 20)
    assert found.sparsity == SparsityPrior(kind="logit", logit_p=0.001)
    assert (found.decoder_nonlinearity, found.final_nonlinearity) == ("relu", "sigmoid")
    base = ModelConfig(sparsity=SparsityPrior(kind="ard"), final_nonlinearity="elu")
    given = infer_config(parameters(TINY), 12, 20, base)
    assert given.sparsity.kind == "ard" and given.final_nonlinearity == "elu"


@pytest.mark.parametrize("conv", [5, 0])
def test_another_alignment_is_refused_with_both_sizes(conv):
    arrays = parameters(replace(TINY, conv=conv))
    with pytest.raises(CheckpointError, match=r"12 columns of 20 letters.* has 13 columns of 20"):
        infer_config(arrays, 13, 20)
    with pytest.raises(CheckpointError, match=r"12 columns of 20 letters.* has 12 columns of 4"):
        infer_config(arrays, 12, 4)


@pytest.mark.parametrize("weights", ["variational", "point"])
def test_parameters_without_convolution_and_scales_know_their_alignment(weights):
    config = replace(TINY, conv=0, sparsity=SparsityPrior(kind="none"), weights=weights)
    with pytest.raises(CheckpointError, match=r"12 columns of 20 letters|W_"):
        original_model(parameters(config), 13, 20)
    with pytest.raises(CheckpointError):
        original_model(parameters(config), 60, 4 + 1)


def test_a_parameter_that_is_missing_odd_or_misshapen_is_named():
    arrays = parameters(TINY)
    without = {k: v for k, v in arrays.items() if k != "b_hmu"}
    with pytest.raises(CheckpointError, match=r"b_hmu: found none, expected \(3,\)"):
        original_model(without, 12, 20)
    with pytest.raises(CheckpointError, match="extra: found"):
        original_model(arrays | {"extra": np.zeros(1)}, 12, 20)
    with pytest.raises(CheckpointError, match="b_hmu: found"):
        original_model(arrays | {"b_hmu": np.zeros(4)}, 12, 20)
    with pytest.raises(CheckpointError, match="W_hmu"):
        original_model({k: v for k, v in arrays.items() if k != "W_hmu"}, 12, 20)
    with pytest.raises(CheckpointError, match="sparsity cannot be 'none'"):
        infer_config(arrays, 12, 20, ModelConfig(sparsity=SparsityPrior(kind="none")))


@pytest.mark.parametrize(
    "name", ["W_out-mu", "W_out_scale-mu", "W_conv-mu", "W_decode_0-mu", "W_hmu"]
)
@pytest.mark.parametrize("shape", [(), (0,), (0, 0), (1, 1), (7, 0), (5, 5, 5)])
def test_odd_shapes_are_refused_in_words(name, shape):
    with pytest.raises(CheckpointError):
        original_model(parameters(TINY) | {name: np.zeros(shape)}, 12, 20)


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "run.npz"
    return dict(np.load(export_original(tiny_run, path), allow_pickle=False))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_there_and_back_scores_the_same(tiny_run, exported, alignment, tmp_path, dtype):
    arrays = {name: value.astype(dtype) for name, value in exported.items()}
    (tmp_path / "p_params.pkl").write_bytes(python2_pickle(arrays))
    run = import_original(
        tmp_path / "p_params.pkl", alignment, tmp_path / "run", tiny_run.model_config
    )
    assert run.model_config == tiny_run.model_config and run.steps == 0
    ours, theirs = (score(r, samples=3, progress=False).score for r in (tiny_run, run))
    if dtype == np.float32:
        assert ours.equals(theirs)
    else:
        assert run.model.encoder.mu.weight.dtype == torch.float64 and len(theirs.dropna()) == len(
            ours
        )


def test_an_imported_run_is_not_overwritten_or_resumed(exported, alignment, tmp_path):
    (tmp_path / "p_params.pkl").write_bytes(python2_pickle(exported))
    run = import_original(tmp_path / "p_params.pkl", alignment, tmp_path / "run")
    with pytest.raises(ConfigError, match="--overwrite"):
        import_original(tmp_path / "p_params.pkl", alignment, tmp_path / "run")
    import_original(tmp_path / "p_params.pkl", alignment, tmp_path / "run", overwrite=True)
    with pytest.raises(CheckpointError, match="cannot be continued"):
        fit(alignment, run.model_config, run.train_config, tmp_path / "run", resume=True)


def command(capsys, *words):
    capsys.readouterr()
    code = cli([str(word) for word in words])
    return code, *capsys.readouterr()


def test_the_commands_exchange_parameters(tiny_run, family, tmp_path, capsys):
    code, out, _ = command(capsys, "export-original", tiny_run.path, "--out", tmp_path / "p.npz")
    assert code == 0 and "p.npz" in out
    pickled = tmp_path / "p_params.pkl"
    pickled.write_bytes(python2_pickle(dict(np.load(tmp_path / "p.npz"))))
    words = ("import-original", pickled, "--alignment", family, "--out", tmp_path / "run")
    code, out, _ = command(capsys, *words, "--logit-p", "0.01", "--final-nonlinearity", "tanh")
    assert code == 0 and "next: deepseq score" in out and "final nonlinearity tanh" in out
    config = json.loads((tmp_path / "run" / "config.json").read_text())["model"]
    assert config["final_nonlinearity"] == "tanh" and config["sparsity"]["logit_p"] == 0.01
    words = ("score", tmp_path / "run", "--all-singles", "--samples", 2, "--device", "cpu")
    assert command(capsys, *words, "--out", tmp_path / "s.csv")[0] == 0
    words = (
        "plot",
        tmp_path / "run",
        "--scores",
        tmp_path / "s.csv",
        "--out",
        tmp_path / "figures",
    )
    assert command(capsys, *words)[0] == 0


def test_bad_input_of_the_commands_is_one_line(family, tmp_path, capsys):
    (tmp_path / "x_params.pkl").write_bytes(b"cos\nsystem\n(S'x'\ntR.")
    words = (
        "import-original",
        tmp_path / "x_params.pkl",
        "--alignment",
        family,
        "--out",
        tmp_path / "r",
    )
    for more, says in (
        ((), "refused"),
        (("--logit-p", "2"), "logit_p"),
        (("--theta", "0.8"), "0.2"),
    ):
        code, _, error = command(capsys, *words, *more)
        assert code == 2 and error.count("\n") == 1 and says in error
    assert not (tmp_path / "r").exists()
    assert command(capsys, "export-original", tmp_path, "--out", tmp_path / "p.npz")[0] == 2


# faults of the original: ours does otherwise


def test_a_position_is_the_residue_asked_for__deepsequence_12_and_3(tiny_run, alignment):
    # residues 13 and 14 are not modelled: the original, asked for 15, would change 17
    focus_map = tiny_run.focus_map
    asked = focus_map.residues[2]
    assert asked == 15 and focus_map.residues[asked - focus_map.start] == 17
    wild = focus_map.sequence[2]
    table = score(tiny_run, [f"{wild}15{wild}", f"{wild}15W", "C17W"], samples=2, progress=False)
    assert table.score[0] == 0 and table.score[1] != 0
    assert list(table.status) == ["ok", "ok", "wild type differs"]
    assert alignment.focus_map.column(15) == 2


def test_records_of_one_name_stay_apart():
    found = Alignment.from_strings(["MKVL", "MKIL", "MRVL"], ["focus", "hit", "hit"])
    assert found.decode(found.tokens) == ["MKVL", "MKIL", "MRVL"]


def test_a_gap_in_the_focus_is_not_a_column():
    found = Alignment.from_strings(["MK-vL", "MKAvL"], ["focus/1-4", "a"])
    assert found.residues.tolist() == [1, 2, 4]


def test_a_row_of_gaps_does_not_weigh_infinitely():
    rows = np.array([[0, 1, 2], [0, 1, 2], [20, 20, 20]], np.uint8)
    weights = sequence_weights(rows, 0.2, gap=20)
    assert weights[:2].tolist() == [0.5, 0.5] and np.isfinite(weights).all()


def test_a_model_the_original_does_not_have_is_not_exported():
    config = ModelConfig(
        encoder=(4,), latent=2, decoder=(3, 4), patterns=2, conv=0, site_prior=True
    )
    with pytest.raises(ConfigError, match="site_prior"):
        theano.original_names(DeepSequence(config, 3, 4))


def test_building_models_does_not_widen_the_next():
    config = ModelConfig(encoder=(4,), latent=2, decoder=(3, 4), patterns=2, conv=0)
    widths = [DeepSequence(config, 3, 4).decoder.weights["W_out"].mu.shape[0] for _ in range(3)]
    assert widths == [4, 4, 4] and config.decoder == (3, 4)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (AdamOriginal, (0.3162, 0.3162, 0.3162)),
        (torch.optim.Adam, (0.3162, 0.1532, 0.2220)),
    ],
)
def test_only_the_originals_adam_stands_still(make, expected):
    p = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser, factors = make([p], lr=0.001), []
    for update in range(1, 51):
        p.grad, before = torch.ones_like(p), p.item()
        optimiser.step()
        m, v = 1 - 0.9**update, 1 - 0.999**update
        factors.append((before - p.item()) * v**0.5 / (0.001 * m))
    assert [factors[i - 1] for i in (1, 10, 50)] == pytest.approx(expected, abs=1e-4)
    assert TrainConfig().optimizer == "adam"


def test_an_alignment_takes_one_byte_a_letter(alignment):
    assert alignment.tokens.nbytes == alignment.tokens.size

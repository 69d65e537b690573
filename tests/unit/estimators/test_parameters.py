"""The signatures of the estimators: scikit-learn's own parameters as installed, then ours, keyword-only."""

from inspect import Parameter, signature

import pytest
from sklearn import neural_network

import chainrule as cr

PAIRS = [
    (cr.MLPClassifier, neural_network.MLPClassifier),
    (cr.MLPRegressor, neural_network.MLPRegressor),
]


def parameters(estimator):
    """Each parameter's name, kind and default."""
    return {name: (p.kind, p.default) for name, p in signature(estimator).parameters.items()}


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_scikit_learns_parameters_come_first_with_its_defaults(ours, theirs):
    inherited = parameters(theirs)
    assert list(parameters(ours).items())[: len(inherited)] == list(inherited.items())


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_the_parameters_that_are_ours_are_keyword_only(ours, theirs):
    added = {name: kind for name, (kind, _) in parameters(ours).items() if name not in parameters(theirs)}
    assert {"preset", "missing", "cost", "rule", "dropout", "average", "callbacks"} <= set(added)
    assert set(added.values()) == {Parameter.KEYWORD_ONLY}
    assert ("class_weight" in added) == (ours is cr.MLPClassifier)


@pytest.mark.parametrize("estimator", [cr.MLPClassifier, cr.MLPRegressor])
def test_an_unknown_parameter_is_a_type_error(estimator):
    with pytest.raises(TypeError, match="hidden_layers"):
        estimator(hidden_layers=(8,))

"""Drop-in replacements for scikit-learn's MLPClassifier and MLPRegressor."""

from chainrule.estimators.mlp import MLPClassifier as MLPClassifier
from chainrule.estimators.mlp import MLPRegressor as MLPRegressor

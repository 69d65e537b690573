"""scikit-learn's MLPClassifier and MLPRegressor with Chainrule inside."""

from chainrule.estimators.mlp import MLPClassifier as MLPClassifier
from chainrule.estimators.mlp import MLPRegressor as MLPRegressor

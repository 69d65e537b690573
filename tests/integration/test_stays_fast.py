"""What keeps Chainrule fast, held by counts and by one wide ratio: no test here looks at a clock alone."""

import statistics
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

import chainrule as cr
from chainrule.estimators.passes import passes
from chainrule.examples.lecture import lecture_setting
from chainrule.training import memory
from chainrule.training.batches import Table, bucket, on_device, padded


@pytest.fixture
def compilations():
    """A list that grows by one for every program that XLA compiles."""
    from jax import monitoring
    from jax._src import monitoring as private

    passes.cache_clear()  # of other tests
    counted = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            counted.append(duration)

    monitoring.register_event_duration_secs_listener(listen)
    yield counted
    private.unregister_event_duration_listener(listen)


def test_a_grid_search_compiles_a_program_per_design(compilations):
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    grid = {"alpha": [1e-4, 1e-3, 1e-2], "learning_rate_init": [1e-3, 3e-3], "hidden_layer_sizes": [(17,), (23,)]}
    model = cr.MLPClassifier(random_state=0, max_iter=5, tol=0.0, n_iter_no_change=5)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        GridSearchCV(model, grid, cv=5, refit=False).fit(X, y)
    assert 1 <= len(compilations) < 15


def test_a_search_over_24_designs_compiles_six_programs_at_most(compilations):
    X, y = load_breast_cancer(return_X_y=True)
    X, widths = StandardScaler().fit_transform(X), [8, 12, 16, 24, 32, 48, 60, 64]
    designs = [(width,) for width in widths] + [(width, other) for width in widths for other in (16, 32)]
    assert len(designs) == 24
    for design in designs:
        model = cr.MLPClassifier(design, random_state=0, max_iter=2, tol=0.0)
        with pytest.warns(UserWarning, match="Maximum iterations"):
            model.fit(X, y)
    assert 1 <= len(compilations) <= 6


def test_chunks_of_twenty_sizes_compile_nothing(compilations):
    X, y = load_breast_cancer(return_X_y=True)
    model = cr.MLPClassifier(random_state=0)
    for n in range(100, 500, 20):
        model.partial_fit(X[:n], y[:n], classes=[0, 1])
    assert not compilations


def test_equal_rules_share_their_programs(compilations):
    network, X = cr.Network([3, 6, 1], "tanh"), np.random.default_rng(0).normal(size=(40, 3))
    counted = []
    for _ in range(3):
        rule = cr.optax_rule("adam", 1e-2)
        cr.train(network, cr.initialize(network, seed=0), X, X[:, :1], rule=rule, batch_size=8, epochs=2)
        counted.append(len(compilations))
    assert counted[0] == counted[2] > 0


def test_padded_rows_are_computed_with_in_place():
    table = Table(*(np.ones((bucket(1000) - 3, *shape), np.float32) for shape in ((7,), (1,), ())))
    for _ in range(20):
        ours = padded(table)
        assert all(x.ctypes.data % 64 == 0 for x in ours)
        assert on_device(table).X.shape == ours.X.shape
    assert jax_address(ours.X) == ours.X.ctypes.data


def jax_address(x):
    import jax

    return jax.device_put(x).unsafe_buffer_pointer()


def test_the_callers_rows_are_not_computed_with_in_place():
    """However they lie in memory: who changes them in the middle of a training changes nothing."""
    network, rule = cr.Network([64, 4, 1], "tanh"), cr.gradient_descent(0.1)
    roomy = np.empty(640 * 64 + 16, np.float32)
    start = -roomy.ctypes.data % 64 // 4
    X, fits = roomy[start : start + 640 * 64].reshape(640, 64), []
    given = np.random.default_rng(0).normal(size=X.shape).astype(np.float32)
    Y = given[:, :1].copy()
    for spoil in (False, True):
        X[:] = given

        def spoiling(state, spoil=spoil):
            if spoil:
                X[:] = 100

        params = cr.initialize(network, seed=0)
        fits.append(cr.train(network, params, X, Y, rule=rule, batch_size=64, epochs=4, checkpoint=spoiling))
    assert X.ctypes.data % 64 == 0
    np.testing.assert_array_equal(fits[0].history.cost, fits[1].history.cost)


def test_trainings_in_threads_give_the_same_weights():
    network, X = cr.Network([5, 8, 1], "tanh"), np.random.default_rng(0).normal(size=(400, 5))

    def train(seed):
        params = cr.initialize(network, seed=seed)
        return cr.train(network, params, X, X[:, :1], rule=cr.gradient_descent(0.1), batch_size=20, epochs=5, seed=seed)

    one_by_one = [train(seed) for seed in range(4)]
    with ThreadPoolExecutor(2) as threads:
        for alone, together in zip(one_by_one, threads.map(train, range(4)), strict=True):
            np.testing.assert_array_equal(alone.params[0].W, together.params[0].W)


def test_other_rows_of_about_the_same_number_share_a_program(compilations):
    network = cr.Network([3, 7, 1], "tanh")
    rng, counted = np.random.default_rng(0), []
    for n in (250, 256):
        X = rng.normal(size=(n, 3))
        cr.train(network, cr.initialize(network, seed=0), X, X[:, :1], rule=cr.gradient_descent(0.1), epochs=2)
        counted.append(len(compilations))
    assert counted[0] == counted[1] > 0


def test_a_thousand_epochs_of_a_small_table_are_one_dispatch(monkeypatch):
    calls, real = [], memory.program

    def counting(*design):
        run = real(*design)
        return lambda *args, **kwargs: calls.append(1) or run(*args, **kwargs)

    monkeypatch.setattr(memory, "program", counting)
    network, params, X, Y, rule = lecture_setting()
    cr.train(network, params, X, Y, rule=rule, epochs=1000, dtype="float64")
    assert len(calls) == 1


def test_rows_are_copied_once_at_most():
    network = cr.Network([200, 8, 1], "tanh")
    X = np.random.default_rng(0).normal(size=(bucket(20_000) - 5, 200)).astype(np.float32)

    def train():
        params, rule = cr.initialize(network, seed=0), cr.gradient_descent(0.1)
        cr.train(network, params, X, X[:, :1], rule=rule, batch_size=500, epochs=1)

    train()
    tracemalloc.start()
    train()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * X.nbytes  # NumPy's part: the padded copy, and the order of the rows


def test_the_lecture_is_compiled_into_one_function():
    """Without it, calling the operations takes several times as long as the numbers."""
    network, params, X, Y, rule = lecture_setting()
    taken = {}
    for tiny in (memory.TINY, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(memory, "TINY", tiny)
            run = lambda: cr.train(network, params, X, Y, rule=rule, epochs=8000, dtype="float64")  # noqa: E731
            run()
            taken[tiny] = statistics.median(_seconds(run) for _ in range(5))
    assert taken[memory.TINY] < taken[0] / 1.5


def _seconds(run):
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def test_one_function_and_many_give_the_same_numbers():
    network, params, X, Y, rule = lecture_setting()
    fits = []
    for tiny in (memory.TINY, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(memory, "TINY", tiny)
            fits.append(cr.train(network, params, X, Y, rule=rule, epochs=200, dtype="float64", batch_size=3))
    for one, other in zip(*(fit.params for fit in fits), strict=True):
        np.testing.assert_allclose(one.W, other.W, rtol=1e-9)
    np.testing.assert_allclose(fits[0].history.cost, fits[1].history.cost, rtol=1e-9)


def test_what_one_function_cannot_hold_runs_as_usual():
    """A product that only a library has, in an activation of one's own."""
    import jax.numpy as jnp

    odd = cr.Activation("odd", f=lambda z: z + 0 * jnp.linalg.qr(jnp.eye(2))[0][0, 0])
    network, params, X, Y, rule = lecture_setting()
    network = cr.Network([2, 3, 1], [odd, "sigmoid"], "half_squared_error", reduction="sum")
    fit = cr.train(network, params, X, Y, rule=rule, epochs=5, dtype="float64")
    plain = cr.Network([2, 3, 1], ["identity", "sigmoid"], "half_squared_error", reduction="sum")
    expected = cr.train(plain, params, X, Y, rule=rule, epochs=5, dtype="float64")
    np.testing.assert_allclose(fit.history.cost, expected.history.cost, rtol=1e-9)


def test_importing_chainrule_imports_little():
    code = "import sys, numpy; before = len(sys.modules); import chainrule; print(len(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 20


def test_scoring_imports_nothing_of_scikit_learn():
    code = (
        "import sys\n"
        "from chainrule.tables import metrics, predict, fit, memory, writing\n"
        "import numpy as np; from chainrule.tables.target import Target\n"
        "scored = metrics.ClassScores(Target((), 'binary', ('a', 'b')), np.array([0.5, 0.5]))\n"
        "scored.add(np.array([[0.3, 0.7], [0.6, 0.4]]), np.array([0, 1])); scored.scores()\n"
        "print([name for name in sys.modules if name.startswith(('sklearn', 'scipy'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"

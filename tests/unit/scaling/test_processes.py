"""Which process this is, as launchers tell it."""

import pytest

from chainrule.errors import InputError
from chainrule.scaling.processes import LAUNCHERS, has_lost_others, launched_as

SLURM = {"SLURM_STEP_NODELIST": "node[01-02]", "SLURM_NTASKS": "2", "SLURM_PROCID": "1"}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "2"}
ITS_ADDRESS = {"OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911"}
INDEXED_JOB = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in {name for names in LAUNCHERS for name in names if name} | set(OPEN_MPI):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("told", "number"),
    [
        ({}, None),
        (SLURM, 1),
        ({**SLURM, "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, None),
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, None),  # the batch script itself
        ({**OPEN_MPI, **ITS_ADDRESS}, 2),
        ({**OPEN_MPI, **ITS_ADDRESS, "OMPI_COMM_WORLD_SIZE": "1"}, None),
        (INDEXED_JOB, 0),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),
    ],
)
def test_launchers(monkeypatch, told, number):
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert launched_as() == number


def test_an_open_mpi_that_does_not_say_where_the_first_is(monkeypatch):
    for name, value in OPEN_MPI.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=r"--process-id \$OMPI_COMM_WORLD_RANK"):
        launched_as()


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        ("INTERNAL: Gloo all-reduce failed: [external/gloo/transport/tcp/pair.cc:547] Connection closed by peer", True),
        ("UNAVAILABLE: failed to connect to all addresses: coordination service", True),
        ("FAILED_PRECONDITION: Buffer Definition Event: Gloo context initialization failed", True),
        ("RESOURCE_EXHAUSTED: Out of memory", False),
        ("expected 2 rows, got 3", False),
    ],
)
def test_which_errors_tell_of_lost_processes(said, lost):
    assert has_lost_others(RuntimeError(said)) is lost

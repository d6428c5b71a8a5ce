"""The number of this process and of all, as programs that start processes tell in variables."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..errors import ConfigError

#: Our own variables, which take precedence.
COORDINATOR, RANK, SIZE = "MULTIFIT_COORDINATOR", "MULTIFIT_RANK", "MULTIFIT_SIZE"

#: First port and number of ports that a run without a given one may use: below those that systems
#: give to outgoing connections.
PORTS = (20000, 10000)

#: Ports tried one after another, as another program may have taken one.
TRIED = 8

Environment = Mapping[str, str]


@dataclass(frozen=True)
class Launch:
    """The place of a process in a run."""

    rank: int
    size: int
    local_rank: int | None  #: among the processes of its host; None if the launcher tells nothing
    host: str  #: address of process 0
    ports: tuple[int, ...]  #: ports on which process 0 may be found
    job: str  #: text that all processes of the run have in common
    by: str  #: the program that started it, in messages


@dataclass(frozen=True)
class Launcher:
    """The variables of a program that starts processes.

    Attributes
    ----------
    rank, size, local_rank
        Their names.
    host
        f(environment) → address of process 0; empty if it cannot be known.
    job
        f(environment) → text that all processes have in common, and no other run has.
    """

    title: str
    rank: str
    size: str
    local_rank: str
    host: Callable[[Environment], str]
    job: Callable[[Environment], str]


def _on_one_host(size: str, local_size: str) -> Callable[[Environment], str]:
    """Return f(environment) → this host's address if all processes are there, else nothing."""
    return lambda env: "127.0.0.1" if env.get(local_size) == env[size] else ""


def _first_host(env: Environment) -> str:
    """Return the first host of a list of SLURM, such as ``gpu[03-05,9],login``."""
    nodes = env["SLURM_STEP_NODELIST"]
    if int(env.get("SLURM_STEP_NUM_NODES", "1")) == 1:
        return "127.0.0.1"
    found = re.match(r"([^\[,]*)(?:\[([^\],-]*))?", nodes)
    return "" if found is None else found[1] + (found[2] or "")


def _variables(*names: str) -> Callable[[Environment], str]:
    return lambda env: " ".join(env.get(name, "") for name in names)


def _parent(env: Environment) -> str:
    return f"parent {os.getppid()}"


#: In the order in which they are looked for: torchrun may itself run under srun.
LAUNCHERS = (
    Launcher(
        "torchrun",
        *("RANK", "WORLD_SIZE", "LOCAL_RANK"),
        _variables("MASTER_ADDR"),
        _variables("TORCHELASTIC_RUN_ID", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT"),
    ),
    Launcher(
        "paddle.distributed.launch",
        *("PADDLE_TRAINER_ID", "PADDLE_TRAINERS_NUM", "PADDLE_LOCAL_RANK"),
        lambda env: env["PADDLE_TRAINER_ENDPOINTS"].split(",")[0].rpartition(":")[0],
        _variables("PADDLE_TRAINER_ENDPOINTS"),
    ),
    # Only the variables of a step: a batch script has those of its job, and is one process.
    Launcher(
        "srun",
        *("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
        _first_host,
        _variables("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT"),
    ),
    Launcher(
        "mpirun (Open MPI)",
        *("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
        _on_one_host("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"),
        _variables("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"),
    ),
    Launcher(
        "mpiexec (MPICH)",
        *("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
        _on_one_host("PMI_SIZE", "MPI_LOCALNRANKS"),
        _parent,
    ),
)


def detect(env: Environment | None = None) -> Launch | None:
    """Return how this process was started, None if it is the only one.

    Parameters
    ----------
    env
        The environment, by default that of this process.

    Raises
    ------
    ConfigError
        If its variables contradict one another, or do not tell where process 0 is.
    """
    env = os.environ if env is None else env
    if any(name in env for name in (COORDINATOR, RANK, SIZE)):
        return _own(env)
    if "TF_CONFIG" in env:
        return _of_tensorflow(env["TF_CONFIG"])
    for each in LAUNCHERS:
        known = each.rank in env and each.size in env
        if known and _number(env, each.size, 1, each.title) > 1:
            return _of_launcher(each, env)
    return None


def launched_rank(env: Environment | None = None) -> int:
    """Return the number of this process on its host as a launcher tells it, else 0."""
    env = os.environ if env is None else env
    known = next((each for each in LAUNCHERS if each.rank in env and each.size in env), None)
    text = "" if known is None else env.get(known.local_rank, "")
    return int(text) if text.isdecimal() else 0


def _of_launcher(each: Launcher, env: Environment) -> Launch | None:
    """Return what the variables of a launcher tell."""
    rank, size = _place(env, each.rank, each.size, each.title)
    local = _local_rank(each, env)
    host = each.host(env)
    if not host:
        raise ConfigError(
            f"{each.title} has started {size} processes on several hosts, and does not tell where "
            f"process 0 is: set {COORDINATOR}=host:port on all of them"
        )
    job = f"{each.title} {each.job(env)} {size}"
    return Launch(rank, size, local, host, _ports(job), job, each.title)


def _own(env: Environment) -> Launch | None:
    """Return what our own variables tell, rank and size possibly by those of a launcher."""
    given = dict(env)
    address = given.pop(COORDINATOR, "")
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(
            f"{COORDINATOR} is {address!r}, but must be the address and a free port of the host of "
            f"process 0, such as node1:29500; {RANK} and {SIZE} are the number of the process and "
            "of all"
        )
    known = next((each for each in LAUNCHERS if each.rank in env), None)
    names = (
        (RANK, SIZE) if RANK in env or SIZE in env or known is None else (known.rank, known.size)
    )
    by = "the environment" if known is None else known.title
    rank, size = _place(env, *names, by)
    if size == 1:
        return None
    local = None if known is None else _local_rank(known, env)
    return Launch(rank, size, local, host.strip("[]"), (int(port),), f"{address} {size}", by)


def _local_rank(each: Launcher, env: Environment) -> int | None:
    """Return the number of this process on its host, None if the launcher does not tell it."""
    return _number(env, each.local_rank, 0, each.title) if each.local_rank in env else None


def _of_tensorflow(text: str) -> Launch | None:
    """Return what TensorFlow's variable ``TF_CONFIG`` tells."""
    try:
        config = json.loads(text)
        workers, rank = list(config["cluster"]["worker"]), int(config["task"]["index"])
        hosts = [worker.rpartition(":")[0] for worker in workers]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as exc:
        raise ConfigError(
            f"TF_CONFIG is {text[:80]!r}, which does not list the workers and the index of this "
            "one: correct it, or unset it to train with one process"
        ) from exc
    if len(workers) == 1:
        return None
    if not 0 <= rank < len(workers):
        raise ConfigError(f"TF_CONFIG lists {len(workers)} workers, but this one has index {rank}")
    job, local = f"TF_CONFIG {workers}", hosts[:rank].count(hosts[rank])
    return Launch(rank, len(workers), local, hosts[0], _ports(job), job, "TF_CONFIG")


def _place(env: Environment, rank: str, size: str, by: str) -> tuple[int, int]:
    """Return the number of this process and of all."""
    this, of = _number(env, rank, 0, by), _number(env, size, 1, by)
    if this >= of:
        raise ConfigError(f"{rank} is {this}, but must be below {size}, which is {of}")
    return this, of


def _number(env: Environment, name: str, least: int, by: str) -> int:
    text = env.get(name, "")
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(
            f"{name} is {text!r}, but must be a whole number ≥ {least} in each process that {by} "
            "starts"
        )
    return int(text)


def _ports(job: str) -> tuple[int, ...]:
    """Return ports for a run, which is all that its processes know of one another."""
    first, number = PORTS
    start = zlib.crc32(job.encode()) % (number - TRIED)
    return tuple(range(first + start, first + start + TRIED))

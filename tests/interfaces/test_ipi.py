"""``multifit ipi``: the example with i-PI, and servers that are not there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import numpy as np
import pytest
from _cases import build, crystal, draw
from _cli_files import write_model
from _compare import same

from multifit.cli import main
from multifit.errors import EngineError
from multifit.inference.potential import Potential

pytest.importorskip("ase")

from ase import Atoms
from ase.calculators.socketio import SocketServer
from ase.io import read, write

from multifit.interfaces.ase import MultifitCalculator
from multifit.interfaces.ipi import serve

EXAMPLE = Path(__file__).parents[2] / "examples" / "ipi"
MODEL = build()
POTENTIAL = Potential(MODEL, draw(MODEL))


def atoms_of() -> Atoms:
    """Return a crystal with a calculator."""
    system = crystal()
    symbols = [MODEL.type_map[t] for t in system.atype]
    made = Atoms(symbols, positions=system.coord, cell=system.cell, pbc=True)
    made.calc = MultifitCalculator(POTENTIAL)
    return made


def fresh() -> str:
    """Return the name of a socket that no other test uses."""
    return f"multifit-{uuid.uuid4().hex[:12]}"


@pytest.mark.parametrize("kind", ["unix", "inet"])
def test_a_server_gets_energies_forces_and_virials(kind: str) -> None:
    want = atoms_of()
    name = fresh()
    server = SocketServer(unixsocket=name) if kind == "unix" else SocketServer(port=0)
    address = {"unix": name} if kind == "unix" else {"port": server.serversocket.getsockname()[1]}
    calls: list[int] = []
    client = threading.Thread(
        target=lambda: calls.append(serve(atoms_of(), wait=10, **address)), daemon=True
    )
    client.start()
    try:
        for shift in (0.0, 0.05):
            want.positions[0] += shift
            found = server.calculate(want)
            same(found["energy"], want.get_potential_energy())
            same(found["forces"], want.get_forces())
            virial = -want.get_volume() * want.get_stress(voigt=False)
            same(found["virial"], virial, atol=1e-10)
    finally:
        server.close()
    client.join(timeout=20)
    assert calls == [2]


def test_other_atoms_than_those_of_the_server_are_refused() -> None:
    name = fresh()
    server = SocketServer(unixsocket=name)
    errors: list[str] = []

    def client() -> None:
        try:
            serve(atoms_of()[:4], unix=name, wait=10)
        except EngineError as exc:
            errors.append(str(exc))

    thread = threading.Thread(target=client, daemon=True)
    thread.start()
    try:
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever ASE's server makes of it
            server.calculate(atoms_of())
    finally:
        server.close()
    thread.join(timeout=20)
    assert errors == ["i-PI sends other than 4 atoms; give the structure of its input"]


def test_a_missing_server_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "model.dp")
    atoms = atoms_of()
    atoms.calc = None
    write(tmp_path / "one.xyz", atoms, format="extxyz")
    files = [str(tmp_path / "model.dp"), str(tmp_path / "one.xyz"), "--backend", "numpy"]
    name = fresh()
    assert main(["ipi", *files, "--unix", name, "--wait", "0.3"]) == 2
    said = capsys.readouterr().err
    assert f"no i-PI server answers at /tmp/ipi_{name}; start i-pi first, with this" in said
    assert main(["ipi", *files, "--unix", name, "--port", "4"]) == 2
    assert "which has no host and no port; leave out --unix" in capsys.readouterr().err
    assert main(["ipi", *files, "--port", "99999999", "--wait", "0.3"]) == 2
    assert "no i-PI server answers at localhost:99999999" in capsys.readouterr().err
    atoms.pbc = False
    write(tmp_path / "one.xyz", atoms, format="extxyz")
    assert main(["ipi", *files, "--unix", name, "--wait", "0"]) == 2
    assert "one.xyz is not periodic: the model sees a cluster" in capsys.readouterr().out


def test_the_example_runs(tmp_path: Path) -> None:
    pytest.importorskip("ipi")
    program = shutil.which("i-pi", path=str(Path(sys.executable).parent)) or shutil.which("i-pi")
    if program is None:
        pytest.skip("i-pi is not on the path")
    name = fresh()
    text = (EXAMPLE / "input.xml").read_text()
    text = text.replace("<address>multifit</address>", f"<address>{name}</address>")
    assert name in text
    (tmp_path / "input.xml").write_text(text.replace("<total_steps>20<", "<total_steps>4<"))
    shutil.copy(EXAMPLE / "water.xyz", tmp_path)
    write_model(tmp_path / "model.dp")
    server = subprocess.Popen(
        [program, "input.xml"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    code = "import sys; from multifit.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["ipi", "model.dp", "water.xyz", "--unix", name, "--backend", "numpy"]
    try:
        client = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said, _ = server.communicate(timeout=60)
    finally:
        server.kill()
        Path(f"/tmp/ipi_{name}").unlink(missing_ok=True)
    assert server.returncode == 0, said
    assert client.returncode == 0, client.stderr
    assert "i-PI has ended, after 20 evaluations" in client.stdout  # of 4 beads, at 5 times
    rows = np.loadtxt(tmp_path / "water.out")
    assert rows.shape[0] == 5
    assert np.isfinite(rows).all()
    assert len(read(tmp_path / "water.xyz")) == 48

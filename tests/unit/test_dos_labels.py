"""Labels of a DOS at the energies of a model: what fits, and what interpolation gives."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multifit.data import System, open_systems
from multifit.dos import Grid, check_labels, common_energies, even_grid, keys, labels_on_grid
from multifit.dos._interpolation import interpolate, overhang, same_energies
from multifit.errors import ConfigError, DataError

OWN = np.linspace(-4.0, 4.0, 17)
RNG = np.random.default_rng(0)
NFRAMES, NATOMS = 3, 2
EFERMI = np.array([0.5, -0.25, 0.0])


def write(
    root: Path,
    *labels: str,
    energies: np.ndarray | None = OWN,
    columns: int = len(OWN),
    efermi: np.ndarray | None = None,
) -> System:
    """A system whose dos is the sum of its atom_dos."""
    (root / "set.000").mkdir(parents=True)
    (root / "type.raw").write_text("0 1")
    (root / "nopbc").touch()
    atoms = RNG.uniform(size=(NFRAMES, NATOMS, columns))
    files = {"atom_dos": atoms.reshape(NFRAMES, -1), "dos": atoms.sum(axis=1)}
    np.save(root / "set.000/coord.npy", np.zeros((NFRAMES, 3 * NATOMS)))
    for key in labels:
        np.save(root / f"set.000/{key}.npy", files[key])
    if efermi is not None:
        np.save(root / "set.000/efermi.npy", efermi)
    if energies is not None:
        np.save(root / "energies.npy", energies)
    (system,) = open_systems(root)
    return system


def fails(*parts: str, kind: type[Exception] = DataError) -> pytest.RaisesExc:
    return pytest.raises(kind, match="(?s)" + ".*".join(re.escape(part) for part in parts))


def loaded(system: System, grid: Grid | None, frames: np.ndarray) -> dict[str, np.ndarray]:
    return system.load(frames, ["dos", "atom_dos", *keys(grid)])


BOTH = ("dos", "atom_dos")


class TestSizes:
    def test_without_energies(self, tmp_path: Path) -> None:
        system = write(tmp_path / "s", *BOTH, energies=None)
        check_labels(17, None, [system])
        check_labels(17, Grid(even_grid(0, 1, 17)), [system])
        with fails(
            f"{tmp_path}/s/set.000/dos.npy holds 17 numbers for each frame, but numb_dos is 300; "
            "change numb_dos (model.fitting_net.numb_dos) to 17 or use other data"
        ):
            check_labels(300, None, [system])
        with fails("dos.npy holds 17", "numb_dos is 16"):
            check_labels(16, Grid(even_grid(0, 1, 16)), [system])

    def test_only_atomic(self, tmp_path: Path) -> None:
        system = write(tmp_path, "atom_dos", energies=None, columns=5)
        with fails("atom_dos.npy holds 5 numbers for each atom, but numb_dos is 6"):
            check_labels(6, None, [system])
        with fails("atom_dos.npy holds 5 numbers for each atom"):
            frames = np.arange(1)
            labels_on_grid(6, None, system, frames, loaded(system, None, frames))

    def test_own_energies_that_the_model_lacks(self, tmp_path: Path) -> None:
        system = write(tmp_path, *BOTH)
        check_labels(17, None, [system])
        with fails("holds 17", "numb_dos is 20", "to 17", "emin and emax", "interpolated"):
            check_labels(20, None, [system])

    def test_a_grid_of_another_size(self, tmp_path: Path) -> None:
        with fails("grid has 17 energies, but numb_dos is 20", kind=ConfigError):
            check_labels(20, Grid(tuple(OWN)), [])

    def test_xyz(self, tmp_path: Path) -> None:
        path = tmp_path / "w.xyz"
        path.write_text('1\npbc="F F F" dos="1 2 3" Properties=species:S:1:pos:R:3\nH 0 0 0\n')
        with fails(f"dos of {path} holds 3 numbers for each frame, but numb_dos is 4"):
            check_labels(4, None, open_systems(path))

    def test_systems_without_a_dos_pass(self, tmp_path: Path) -> None:
        system = write(tmp_path)
        grid = Grid(even_grid(-50, 50, 9), fermi_aligned=True)
        check_labels(9, grid, [system])
        arrays = system.load(np.arange(2))
        assert labels_on_grid(9, grid, system, np.arange(2), arrays) == arrays


class TestCommonEnergies:
    def test_shared(self, tmp_path: Path) -> None:
        a, b = write(tmp_path / "a", "dos"), write(tmp_path / "b", "atom_dos", energies=OWN + 1e-12)
        none = write(tmp_path / "c", energies=OWN)
        np.testing.assert_array_equal(common_energies([none, a, b]), OWN)
        assert common_energies([none]) is None
        assert common_energies([]) is None

    def test_not_shared(self, tmp_path: Path) -> None:
        a, b = write(tmp_path / "a", "dos"), write(tmp_path / "b", "dos", energies=OWN + 0.1)
        unknown = write(tmp_path / "c", "dos", energies=None)
        assert common_energies([a, b]) is None
        assert common_energies([a, unknown]) is None
        assert common_energies([unknown, a]) is None
        check_labels(17, None, [a, unknown])
        with fails("a and ", "b are at different energies (-4 to 4 eV and -3.9 to 4.1 eV)", "emin"):
            check_labels(17, None, [a, unknown, b])

    def test_rounding(self) -> None:
        assert same_energies(OWN, OWN * (1 + 1e-10))
        assert same_energies(OWN, OWN + 1e-17)
        assert not same_energies(OWN, OWN * (1 + 1e-8))
        assert not same_energies(OWN, OWN[1:])
        assert overhang(np.array([0.0, 1.0, 3.0])) == pytest.approx(1e-4)


class TestNothingToDo:
    def test_arrays_are_the_same_objects(self, tmp_path: Path) -> None:
        systems = [
            write(tmp_path / "a", *BOTH),
            write(tmp_path / "b", *BOTH, energies=None),
            write(tmp_path / "c", *BOTH, energies=None, efermi=np.zeros(NFRAMES)),
        ]
        frames = np.array([2, 0])
        cases = [
            (None, systems),
            (Grid(tuple(OWN)), systems),
            (Grid(tuple(OWN), fermi_aligned=True), systems[2:]),
        ]
        for grid, which in cases:
            check_labels(17, grid, which)
            for system in which:
                arrays = loaded(system, grid, frames)
                got = labels_on_grid(17, grid, system, frames, arrays)
                assert got.keys() == arrays.keys()
                assert all(got[key] is arrays[key] for key in arrays)


class TestInterpolation:
    def test_to_the_models_energies(self, tmp_path: Path) -> None:
        grid = Grid(even_grid(-3.9, 3.7, 50))
        system = write(tmp_path, *BOTH)
        check_labels(50, grid, [system])
        frames = np.array([1, 0, 1])
        arrays = loaded(system, grid, frames)
        got = labels_on_grid(50, grid, system, frames, arrays)
        assert got["coord"] is arrays["coord"]
        assert got["atom_dos"].shape == (3, NATOMS, 50)
        want = [np.interp(grid.array, OWN, row) for row in arrays["dos"]]
        np.testing.assert_allclose(got["dos"], want, rtol=1e-13)
        np.testing.assert_allclose(got["atom_dos"].sum(axis=1), got["dos"], rtol=1e-13)

    def test_beyond_the_labels(self, tmp_path: Path) -> None:
        system = write(tmp_path / "s", *BOTH)
        for emin, emax in ((-4.1, 4.0), (-4.0, 4.1)):
            grid = Grid(even_grid(emin, emax, 10))
            with fails(f"{emin:g} to {emax:g} eV", "s, -4 to 4 eV", "change emin and emax"):
                check_labels(10, grid, [system])
            with fails("go beyond"):
                frames = np.arange(2)
                labels_on_grid(10, grid, system, frames, loaded(system, grid, frames))

    def test_ends_may_be_rounded(self, tmp_path: Path) -> None:
        own = np.linspace(-13.7, 4.1, 30)
        system = write(tmp_path, *BOTH, energies=own.astype(np.float32), columns=30)
        grid = Grid(tuple(own.tolist()))
        check_labels(30, grid, [system])
        arrays = loaded(system, grid, np.arange(3))
        got = labels_on_grid(30, grid, system, np.arange(3), arrays)
        np.testing.assert_allclose(got["dos"], arrays["dos"], atol=1e-5)

    def test_from_the_fermi_level(self, tmp_path: Path) -> None:
        grid = Grid(even_grid(-3.5, 3.5, 29), fermi_aligned=True)
        system = write(tmp_path, *BOTH, efermi=EFERMI)
        assert keys(grid) == ("efermi",)
        assert keys(None) == keys(Grid(tuple(OWN))) == ()
        check_labels(29, grid, [system])
        frames = np.array([2, 0, 1, 0])
        arrays = loaded(system, grid, frames)
        got = labels_on_grid(29, grid, system, frames, arrays)
        for row, frame in enumerate(frames):
            at = grid.array + EFERMI[frame]
            want = np.interp(at, OWN, arrays["dos"][row])
            np.testing.assert_allclose(got["dos"][row], want, rtol=1e-13)
            for atom in range(NATOMS):
                want = np.interp(at, OWN, arrays["atom_dos"][row, atom])
                np.testing.assert_allclose(got["atom_dos"][row, atom], want, rtol=1e-13)

    def test_only_some_frames_shift(self, tmp_path: Path) -> None:
        """Frames whose Fermi level is 0 need interpolation all the same."""
        grid = Grid(even_grid(-3.0, 3.0, 10), fermi_aligned=True)
        system = write(tmp_path, *BOTH, efermi=EFERMI)
        frames = np.array([2])
        got = labels_on_grid(10, grid, system, frames, loaded(system, grid, frames))
        assert got["dos"].shape == (1, 10)


class TestFermiLevels:
    def test_missing(self, tmp_path: Path) -> None:
        grid = Grid(even_grid(-3, 3, 5), fermi_aligned=True)
        system = write(tmp_path / "s", *BOTH)
        with fails(f"{tmp_path}/s has no efermi", "efermi.npy", "fermi_aligned to false"):
            check_labels(5, grid, [system])
        with fails("has no efermi"):
            labels_on_grid(5, grid, system, np.arange(2), loaded(system, None, np.arange(2)))

    def test_beyond_the_labels(self, tmp_path: Path) -> None:
        system = write(tmp_path / "s", *BOTH, efermi=EFERMI)
        grid = Grid(even_grid(-3.8, 3.5, 5), fermi_aligned=True)
        with fails(
            f"{tmp_path}/s/set.000/efermi.npy, frame 1: the labels cover -4 to 4 eV",
            "Fermi level of -0.25 eV are -4.05 to 3.25 eV",
            "from emin -3.75 to emax 3.5 eV, so choose within",
        ):
            check_labels(5, grid, [system])
        check_labels(5, Grid(even_grid(-3.75, 3.5, 5), True), [system])
        frames = np.array([0, 1])
        arrays = loaded(system, grid, frames)
        with fails("frame 1: the labels cover", "emin -3.75"):
            labels_on_grid(5, grid, system, frames, arrays)
        one = {key: values[:1] for key, values in arrays.items()}
        labels_on_grid(5, grid, system, frames[:1], one)

    def test_the_range_that_is_advised_works(self, tmp_path: Path) -> None:
        """Also where its ends have more digits than are printed."""
        own = OWN * np.pi + 1000
        system = write(tmp_path, *BOTH, energies=own, efermi=1000 + EFERMI / 3)
        with fails("so choose within") as caught:
            check_labels(5, Grid(even_grid(-13, 13, 5), True), [system])
        found = re.search(r"emin (\S+) to emax (\S+) eV", str(caught.value))
        assert found is not None
        emin, emax = map(float, found.groups())
        want = (own[0] - 1000 + 0.25 / 3, own[-1] - 1000 - 0.5 / 3)
        assert (emin, emax) == pytest.approx(want, abs=1e-4)
        check_labels(5, Grid(even_grid(emin, emax, 5), True), [system])

    def test_no_common_range(self, tmp_path: Path) -> None:
        system = write(tmp_path, *BOTH, efermi=np.array([0.0, 9.0, 0.0]))
        with fails("frame 1", "no energy from the Fermi level", "leave some out"):
            check_labels(5, Grid(even_grid(-1, 1, 5), True), [system])

    def test_unknown_energies(self, tmp_path: Path) -> None:
        system = write(tmp_path / "s", *BOTH, energies=None, efermi=EFERMI)
        with fails(
            "efermi.npy, frame 0: the Fermi level of 0.5 eV moves the model's energies to -3.5 to "
            "4.5 eV",
            f"{tmp_path}/s does not say",
            "put these energies into energies.npy beside its type.raw",
        ):
            check_labels(17, Grid(tuple(OWN), True), [system])


@given(
    st.lists(st.floats(-10, 10), min_size=2, max_size=9, unique_by=lambda x: round(x, 3)),
    st.integers(0, 2**32 - 1),
)
def test_as_numpy_interpolates(nodes: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    own = np.sort(nodes)
    values = rng.normal(size=(2, 3, own.size))
    energies = rng.uniform(own[0] - 1, own[-1] + 1, size=(2, 6))
    for got, at in (
        (interpolate(own, values, energies), energies),
        (
            interpolate(own, values, energies[0]),
            np.stack([energies[0]] * 2),
        ),
    ):
        want = [[np.interp(at[n], own, values[n, a]) for a in range(3)] for n in range(2)]
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(interpolate(own, values, own), values)
    # A straight line stays one, however the nodes lie.
    line = np.broadcast_to(2 * own - 1, (1, own.size))
    inside = np.clip(energies[:1], own[0], own[-1])
    np.testing.assert_allclose(interpolate(own, line, inside), 2 * inside - 1, atol=1e-9)

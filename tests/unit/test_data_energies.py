"""At which energies the densities of states of a system are, and the Fermi levels of its frames."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from multifit.data import System, open_systems
from multifit.errors import DataError

ENERGIES = np.linspace(-3.0, 3.0, 7)
RNG = np.random.default_rng(3)
FILES = {
    "coord": RNG.normal(size=(2, 9)),
    "dos": RNG.uniform(size=(2, 7)),
    "atom_dos": RNG.uniform(size=(2, 21)),
    "efermi": np.array([0.5, -0.25]),
}


def write(root: Path, energies: object = ENERGIES, **files: np.ndarray) -> Path:
    (root / "set.000").mkdir(parents=True)
    (root / "type.raw").write_text("0 1 1")
    (root / "type_map.raw").write_text("O H")
    (root / "nopbc").touch()
    if energies is not None:
        np.save(root / "energies.npy", energies)
    for name, values in (files or FILES).items():
        np.save(root / f"set.000/{name}.npy", values)
    return root


def one(path: Path | str) -> System:
    (system,) = open_systems(path)
    return system


def fails(*parts: str) -> pytest.RaisesExc:
    return pytest.raises(DataError, match="(?s)" + ".*".join(re.escape(part) for part in parts))


def test_folders(tmp_path: Path) -> None:
    system = one(write(tmp_path / "s", ENERGIES.astype(np.float32)))
    assert system.energies is not None
    assert system.energies.dtype == np.float64
    np.testing.assert_array_equal(system.energies, ENERGIES)
    assert one(write(tmp_path / "without", None)).energies is None


def test_mixed_type(tmp_path: Path) -> None:
    real = np.array([[0, 1, -1], [1, 1, 0]])
    system = one(write(tmp_path / "s", **FILES, real_atom_types=real))
    assert system.mixed_type
    np.testing.assert_array_equal(system.energies, ENERGIES)


@pytest.mark.parametrize("name", ["energies", "energies.npy"])
def test_hdf5(tmp_path: Path, name: str) -> None:
    path = tmp_path / "data.hdf5"
    with h5py.File(path, "w") as file:
        file["w/type.raw"] = [0, 1, 1]
        file["w/nopbc"] = 1
        file[f"w/{name}"] = ENERGIES
        for key, values in FILES.items():
            file[f"w/set.000/{key}.npy"] = values
    system = one(path)
    np.testing.assert_array_equal(system.energies, ENERGIES)
    np.testing.assert_array_equal(system.label(np.array([1, 0]), "efermi"), [-0.25, 0.5])
    with h5py.File(path, "a") as file:
        del file[f"w/{name}"]
        file[f"w/{name}"] = ENERGIES[::-1]
    with fails(f"{path}#/w/{name}: energy 1", "must increase"):
        one(path)


def test_without_a_dos_the_file_is_about_something_else(tmp_path: Path) -> None:
    assert one(write(tmp_path / "s", [[3.0, 1.0]], coord=FILES["coord"])).energies is None


@pytest.mark.parametrize(
    ("energies", "parts"),
    [
        (ENERGIES[:5], ("holds 5 energies", "s/set.000/dos.npy holds 7 numbers for each frame")),
        (ENERGIES[None], ("shape (1, 7)", "one row")),
        (ENERGIES[::-1], ("energy 1", "must increase")),
        (np.where(ENERGIES == 1, np.nan, ENERGIES), ("energy 4", "nan")),
    ],
)
def test_energies_that_can_not_be(
    tmp_path: Path, energies: np.ndarray, parts: tuple[str, ...]
) -> None:
    with fails(f"{tmp_path}/s/energies.npy", *parts):
        one(write(tmp_path / "s", energies))


def test_atomic_labels_of_another_size(tmp_path: Path) -> None:
    files = FILES | {"atom_dos": np.ones((2, 18))}
    with fails("holds 7 energies", "atom_dos.npy holds 6 numbers for each atom"):
        one(write(tmp_path, **files))


def test_fermi_levels(tmp_path: Path) -> None:
    system = one(write(tmp_path / "s"))
    assert "efermi" in system.labels
    got = system.load(np.array([1, 0, 1]), ["efermi", "dos"])
    np.testing.assert_array_equal(got["efermi"], [-0.25, 0.5, -0.25])
    np.testing.assert_array_equal(system.label(np.array([1]), "dos"), got["dos"][:1])
    files = FILES | {"efermi": np.array([0.5, np.nan])}
    with fails("efermi.npy: efermi of frame 1 is nan"):
        one(write(tmp_path / "t", **files)).label(np.arange(2), "efermi")
    with fails("efermi.npy has shape (2, 3), expected (2,)"):
        one(write(tmp_path / "u", **FILES | {"efermi": np.ones((2, 3))}))


def test_a_label_alone_reads_nothing_else(tmp_path: Path) -> None:
    system = one(write(tmp_path))
    (tmp_path / "set.000/coord.npy").unlink()
    np.testing.assert_array_equal(system.label(np.arange(2), "efermi"), FILES["efermi"])


def test_xyz(tmp_path: Path) -> None:
    path = tmp_path / "w.xyz"
    path.write_text(
        '1\npbc="F F F" efermi=-1.5 dos="1 2 3" Properties=species:S:1:pos:R:3\nH 0 0 0\n'
    )
    system = one(path)
    assert system.energies is None
    assert system.label(np.array([0]), "efermi") == -1.5

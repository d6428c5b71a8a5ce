"""Models in openmm-ml: ``MLPotential("multifit", model_path="model.dp")``.

openmm-ml finds :class:`MultifitPotentialFactory` by its entry point. It loads entry points before
it is completely imported itself, so that this module does not import it.
"""

from __future__ import annotations

from typing import Any

from ..errors import EngineError


class MultifitPotentialFactory:
    """Maker of potentials, with the method that openmm-ml calls."""

    def createImpl(self, name: str, **args: Any) -> Any:
        """Return the potential of ``MLPotential("multifit", model_path=…, backend=…)``.

        Raises
        ------
        EngineError
            If ``model_path`` is missing, or another argument is given.
        """
        from ._openmmml import MultifitPotential

        unknown = sorted(args.keys() - {"model_path", "backend"})
        if unknown or "model_path" not in args:
            wrong = f"not {unknown[0]}" if unknown else "model_path is missing"
            raise EngineError(f'MLPotential("{name}") takes model_path and backend; {wrong}')
        return MultifitPotential(**args)

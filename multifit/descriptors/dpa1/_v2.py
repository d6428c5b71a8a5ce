"""The descriptor se_atten_v2: se_atten with types embedded by a net of their own, smooth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from ...errors import ConfigError
from ._descriptor import SeAtten
from ._examples import SMALL

if TYPE_CHECKING:
    from ...sections import DescriptorSection

#: The settings that distinguish it from se_atten; neither inputs nor files have their keys.
FIXED = {"tebd_input_mode": "strip", "smooth_type_embedding": True}


@dataclass(frozen=True)
class SeAttenV2(SeAtten):
    """The settings of se_atten_v2, under the names of ``input.json``."""

    name: ClassVar[str] = "se_atten_v2"
    aliases: ClassVar[tuple[str, ...]] = ()
    kind: ClassVar[str] = "se_atten_v2"

    tebd_input_mode: str = "strip"

    def __post_init__(self) -> None:
        """Refuse options out of range, and those that do not go together."""
        super().__post_init__()
        for name, value in FIXED.items():
            if getattr(self, name) != value:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}, but se_atten_v2 has {value!r}; use "
                    "se_atten, or leave it out"
                )

    @classmethod
    def section(cls) -> type[DescriptorSection]:
        """Return the class of its section of ``input.json``."""
        from ._section import SeAttenV2Section  # pydantic takes a while to import

        return SeAttenV2Section

    @classmethod
    def examples(cls) -> Iterator[Self]:
        """Yield small settings for two types."""
        yield cls(**SMALL, attn_layer=0)

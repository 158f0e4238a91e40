"""The base of every settings model: frozen, unknown keys refused, keys of older runs kept as they were."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

# Settings that were added after runs had been keyed by the others
LATER = (
    "form",
    "head",
    "class_start",
    "adversarial",
    "low_rank",
    "low_rank_steps",
    "low_rank_learning_rate",
    "conditions",
    "shot_borders",
)


class Settings(BaseModel):
    """Frozen, and refusing unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without LATER settings that say what was so before them: keys and specs stay what they were."""
        fields = type(self).model_fields
        return {
            name: value
            for name, value in dump(self).items()
            if name not in LATER or getattr(self, name) != fields[name].default
        }

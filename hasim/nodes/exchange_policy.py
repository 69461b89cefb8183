"""When the partner's frame is used: wait for it, use an older one, or only its statistics."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hasim.config.spec import Spec, by_kind


class Wait(Spec):
    """Frame n waits for the partner's frame n, for `playout.wait_ms` at most; with a number there
    instead of `auto`, the local path is delayed by that fixed time."""

    kind: Literal["wait"] = "wait"

    age_frames: ClassVar[int] = 0


class Stale(Spec):
    """Frame n is filtered together with the partner's frame n - frames: without waiting, but the
    phase between the ears is that of different times."""

    kind: Literal["stale"] = "stale"
    frames: int = Field(1, ge=1, le=16)
    """Frames by which the partner's signal is older than the local one."""

    @property
    def age_frames(self) -> int:
        """Frames by which the partner's signal is behind."""
        return self.frames


class StatsOnly(Spec):
    """The covariances are updated with the partner's frames, `frames` later; the filter's input is
    local."""

    kind: Literal["stats_only"] = "stats_only"
    frames: int = Field(1, ge=1, le=16)
    """Frames that the partner's signal has in which to arrive."""

    @property
    def age_frames(self) -> int:
        """Frames by which the partner's signal is behind."""
        return self.frames


PolicySpec = Annotated[Wait | Stale | StatsOnly, by_kind("wait")]

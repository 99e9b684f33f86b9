"""A judge with replicas: one judge in all that is said of it."""

from __future__ import annotations

from prefstream.scoring.judges.model import LocalJudge
from prefstream.scoring.judges.replicas.replicas import Replicas


class ReplicatedJudge(LocalJudge[Replicas]):
    """One model, the same on several devices."""

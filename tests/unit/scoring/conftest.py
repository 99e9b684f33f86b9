"""Settings of the property tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes on a busy machine says nothing about the code; each test has its time-out.
settings.register_profile("prefstream", deadline=None)
settings.load_profile("prefstream")

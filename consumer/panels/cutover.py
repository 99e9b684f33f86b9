"""Takes another panel over while the service runs, from an exact batch on.

A choice is heard of by a watcher's thread, and its panels are loaded in a thread of their own; `turn` belongs to the
polling thread, which alone hands them to the pipeline, between two batches. Batches that are in flight stay with the
panel that they were given to, which is closed when they are through. So nothing is scored by half of a panel, and in
each partition the change is at one offset.

Where both panels don't fit into memory, batches wait at a gate until the old one is through and closed and the new one
is loaded. Whatever keeps a panel from being taken over, the one that served goes on (there it is loaded again), and the
reason is told until there is another choice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from prefstream.consumer.panels.canary import CanaryScorer
from prefstream.consumer.panels.choices import Heard
from prefstream.consumer.panels.gate import PanelGate
from prefstream.consumer.panels.loading import PanelLoader, ReadyPanel
from prefstream.schemas import Canary, PanelChoice, PanelVersion, PrefstreamError
from prefstream.scoring.errors import JudgeFaultError
from prefstream.scoring.panel.panel import Panel
from prefstream.scoring.panel.scorer import Scorer
from prefstream.scoring.runtime import give_back_memory

log = structlog.get_logger(__name__)


class UsesScorer(Protocol):
    """What a cut-over needs of the pipeline."""

    def use(self, scorer: Scorer) -> None:
        """Score the next batches by it."""

    def uses(self, scorer: Scorer) -> bool:
        """Whether a batch in flight was given to it, or the next one will be."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What answers.

    Attributes:
        main: the panel that serves.
        canary: the one on trial, if there is one.
        share: of battles that the one on trial answers; 0 without one.
    """

    main: ReadyPanel
    canary: ReadyPanel | None = None
    share: float = 0.0

    @property
    def panels(self) -> tuple[ReadyPanel, ...]:
        """All that answer."""
        return (self.main,) if self.canary is None else (self.main, self.canary)


class Hears(Protocol):
    """Hears what becomes of choices."""

    def serves(self, serving: Serving) -> None:
        """From the next batch on this answers. Called in the polling thread."""

    def took_over(self) -> None:
        """What was chosen answers from the next batch on, in place of something else. Called in the polling thread."""

    def failed(self, why: str | None) -> None:
        """Why what was chosen last does not answer; None where it does. Called in any thread."""


@dataclass(slots=True)
class _Change:
    """A choice that is being taken over. The loading thread writes it, the polling thread reads it once it is done."""

    choice: PanelChoice
    began: float
    done: threading.Event
    through: threading.Event
    gate: PanelGate | None = None
    serving: Serving | None = None
    failure: Exception | None = None


class CutOver:
    """Takes over what is chosen.

    Args:
        loader: loads what choices name.
        serving: what answers at the start.
        hears: what becomes of choices.
        taken: the choice that `serving` comes from; None where nothing was chosen.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        loader: PanelLoader,
        serving: Serving,
        hears: Hears,
        *,
        taken: Heard | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loader = loader
        self._hears = hears
        self._clock = clock
        self._heard = self._taken = taken
        self._change: _Change | None = None
        self._closed = False
        self._serving = serving
        self._scorer = self._scorer_of(serving)
        self._leaving: list[tuple[Scorer, Serving]] = []

    def hear(self, heard: Heard) -> None:
        """A choice was made; callable from any thread. What was heard before changes nothing."""
        self._heard = heard

    @property
    def serving(self) -> Serving:
        """What answers."""
        return self._serving

    @property
    def answering(self) -> tuple[Panel, ...]:
        """The panels that answer, the one on trial last; none while batches wait for one that is being loaded."""
        waiting = self._change is not None and self._change.gate is not None
        return () if waiting else tuple(ready.panel for ready in self._serving.panels)

    @property
    def scorer(self) -> Scorer:
        """Scores as `serving` says."""
        return self._scorer

    @property
    def loading(self) -> bool:
        """Whether a panel is being loaded, which nothing can interrupt."""
        return self._change is not None and not self._change.done.is_set()

    def turn(self, pipeline: UsesScorer) -> None:
        """Go on by what can be done now; called again and again, between batches.

        Args:
            pipeline: is given what answers.

        Raises:
            PrefstreamError: there is no panel any more: the old one was let go of, and can't be loaded again.
        """
        self._let_go(pipeline)
        change = self._change
        if change is None:
            if self._heard is not None and self._heard != self._taken:
                self._begin(self._heard, pipeline)
            return
        if change.gate is not None and self._scorer is not change.gate:
            self._leaving.append((self._scorer, self._serving))
            self._scorer = change.gate
            pipeline.use(change.gate)
        if change.gate is not None and not any(pipeline.uses(scorer) for scorer, _ in self._leaving):
            change.through.set()
        if change.done.is_set():
            self._change = None
            self._end(change, pipeline)

    def close(self) -> None:
        """Close every panel that is loaded, and what is being loaded as soon as it is."""
        self._closed = True
        servings = [self._serving, *(serving for _, serving in self._leaving)]
        _close(panel for serving in servings for panel in serving.panels)

    def _begin(self, heard: Heard, pipeline: UsesScorer) -> None:
        self._taken = heard
        change = _Change(heard.choice, self._clock(), threading.Event(), threading.Event())
        log.info("panel chosen", panel=str(heard.choice), by=heard.choice.chosen_by, why=heard.choice.why)
        there = self._without_loading(heard.choice)
        if there is not None:
            change.serving = there
            self._end(change, pipeline)
            return
        self._change = change
        # A daemon: a stop does not wait for judges that are being loaded.
        threading.Thread(target=self._load, args=(change, self._serving), name="load-panel", daemon=True).start()

    def _without_loading(self, choice: PanelChoice) -> Serving | None:
        """What is chosen, where all of it is loaded already."""

        def there(version: PanelVersion) -> ReadyPanel | None:
            return next((panel for panel in self._serving.panels if panel.version == version), None)

        main = there(choice.serving)
        canary = None if choice.canary is None else there(choice.canary.version)
        if main is None or (choice.canary is not None and canary is None):
            return None
        return Serving(main, canary, 0.0 if choice.canary is None else choice.canary.share)

    def _load(self, change: _Change, old: Serving) -> None:
        """In the loading thread."""
        try:
            change.serving = self._load_beside(change, old)
        except Exception as error:
            change.failure = error
            if _foreign(error):
                log.exception("panel not loaded")
            if change.through.is_set():
                change.serving = self._load_again(old)
        finally:
            change.done.set()
        if self._closed and change.serving is not None:
            _close(panel for panel in change.serving.panels if not _is_among(panel, old.panels))

    def _load_beside(self, change: _Change, old: Serving) -> Serving:
        choice = change.choice
        wanted = [choice.serving, *([] if choice.canary is None else [choice.canary.version])]
        configs = [self._loader.read(version)[0] for version in wanted]  # what is wrong with it is told before a drain
        new = [config for config in configs if config not in [panel.config for panel in old.panels]]
        if not all(self._loader.fits(config, old.panels) for config in new):
            log.info("panels don't fit into memory together", batches="wait until the old one is closed")
            change.gate = PanelGate()
            change.through.wait()
            _close(old.panels)
            return load_serving(self._loader, choice.serving, choice.canary)
        return load_serving(self._loader, choice.serving, choice.canary, like=old.panels)

    def _load_again(self, old: Serving) -> Serving | None:
        """What was let go of; None where that can't be loaded any more, either."""
        canary = None
        try:
            main = self._loader.load(old.main.version)
            canary = None if old.canary is None else self._loader.load(old.canary.version)
        except Exception:
            log.exception("the panel that served can't be loaded again")
            return None
        return Serving(main, canary, old.share)

    def _end(self, change: _Change, pipeline: UsesScorer) -> None:
        """What was loaded answers from the next batch on."""
        why = None if change.failure is None else _told(change.failure)
        if why is not None:
            log.error(
                "panel not taken over", panel=str(change.choice), why=why, serving=str(self._serving.main.version)
            )
        if change.serving is None:
            if change.gate is None:
                self._hears.failed(why)
                return
            failure = change.failure or RuntimeError("no panel was loaded")
            change.gate.give_up(failure)
            raise failure
        changed = change.serving != self._serving
        scorer = self._scorer_of(change.serving)
        if change.gate is None:
            self._leaving.append((self._scorer, self._serving))
        else:
            change.gate.open(scorer)
            self._leaving.append((change.gate, change.serving))
        self._serving, self._scorer = change.serving, scorer
        pipeline.use(scorer)
        self._hears.serves(change.serving)
        self._hears.failed(why)
        if why is None and not changed:
            log.info("panel answers already", panel=str(change.choice), pinned=change.choice.pinned)
        elif why is None:
            self._hears.took_over()
            log.info(
                "panel taken over",
                panel=str(change.choice),
                hash=change.serving.main.panel.identity.hash,
                took_s=round(self._clock() - change.began, 3),
                drained=change.gate is not None,
            )

    def _let_go(self, pipeline: UsesScorer) -> None:
        """Close the panels whose batches are through, unless they answer on."""
        if self._change is not None:  # its loading thread may take a panel over from what is left, or close it
            return
        through = [serving for scorer, serving in self._leaving if not pipeline.uses(scorer)]
        if not through:
            return
        self._leaving = [(scorer, serving) for scorer, serving in self._leaving if pipeline.uses(scorer)]
        answering = [
            panel for serving in (self._serving, *(one for _, one in self._leaving)) for panel in serving.panels
        ]
        gone = [panel for serving in through for panel in serving.panels if not _is_among(panel, answering)]
        # Freeing a model takes moments in which records could be polled.
        threading.Thread(target=_close, args=(gone,), name="close-panel", daemon=True).start()

    def _scorer_of(self, serving: Serving) -> Scorer:
        if serving.canary is None:
            return serving.main.panel
        return CanaryScorer(serving.main.panel, serving.canary.panel, serving.share, self._canary_failed)

    def _canary_failed(self, fault: JudgeFaultError) -> None:
        log.error("the panel on trial broke down; the one that serves answers all", why=str(fault))
        self._hears.failed(f"the panel on trial broke down: {fault}")


def load_serving(
    loader: PanelLoader,
    main: PanelVersion,
    canary: Canary | None,
    *,
    like: Iterable[ReadyPanel] = (),
) -> Serving:
    """Load what is chosen; nothing of it is left loaded where a part can't be.

    Args:
        loader: loads it.
        main: is to serve.
        canary: is to answer a share; None for none.
        like: panels that are loaded: those of them that are chosen are taken as they are.

    Raises:
        PrefstreamError: a panel can't be loaded.
    """
    loaded = list(like)

    def take(version: PanelVersion) -> ReadyPanel:
        there = next((panel for panel in loaded if panel.version == version), None)
        if there is None:
            there = loader.load(version, loaded)
            loaded.append(there)
        return there

    begun = len(loaded)
    try:
        return Serving(take(main), None if canary is None else take(canary.version), canary.share if canary else 0.0)
    except BaseException:
        _close(panel for panel in loaded[begun:] if not _is_among(panel, loaded[:begun]))
        raise


def load_first(loader: PanelLoader, choice: PanelChoice, hears: Hears) -> Serving:
    """What answers at a start: what was chosen last, or where that can't be loaded, the last that can.

    Args:
        loader: loads it.
        choice: the last one.
        hears: why that does not answer.

    Raises:
        PrefstreamError: nothing that was ever chosen can be loaded, nor what the process was started with.
    """
    tries: list[tuple[PanelVersion, Canary | None]] = [(choice.serving, choice.canary)]
    for version in (choice.serving, *choice.earlier, PanelVersion()):
        if (version, None) not in tries:
            tries.append((version, None))
    failures: list[Exception] = []
    for main, canary in tries:
        try:
            serving = load_serving(loader, main, canary)
        except Exception as error:
            failures.append(error)
            log.log(logging.ERROR, "panel not loaded", panel=str(main), why=_told(error), exc_info=_foreign(error))
            continue
        if failures:
            hears.failed(_told(failures[0]))
        return serving
    raise failures[0]


def _close(panels: Iterable[ReadyPanel]) -> None:
    closed: list[ReadyPanel] = []
    for loaded in panels:
        if not _is_among(loaded, closed):
            loaded.panel.close()
            closed.append(loaded)
    if closed:
        give_back_memory()


def _is_among(panel: ReadyPanel, others: Iterable[ReadyPanel]) -> bool:
    """Whether closing a panel closes one of the others."""
    return any(panel.panel.shares_judges(other.panel) for other in others)


def _foreign(error: Exception) -> bool:
    """Whether an error says where it came from only by its trace."""
    return not isinstance(error, PrefstreamError)


def _told(error: Exception) -> str:
    """What is said of an error; the text of a foreign one may hold anything."""
    return str(error) if isinstance(error, PrefstreamError) else f"{type(error).__name__} while it was loaded"

"""Loading a panel: its file, its calibration, and its judges one after the other."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prefstream.scoring.config import (
    FeaturesJudgeConfig,
    JudgeConfig,
    ModelJudgeConfig,
    PanelConfig,
    PriorJudgeConfig,
    RemoteJudgeConfig,
    load_panel_config,
)
from prefstream.scoring.errors import BattleTooLargeError, ConfigError, JudgeFaultError, LoadError
from prefstream.scoring.extras import is_missing, require
from prefstream.scoring.golden.record import GoldenSet
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from prefstream.scoring.judges.judge import Judge, close_all
from prefstream.scoring.judges.prior import PriorJudge
from prefstream.scoring.panel.identity import version_of
from prefstream.scoring.panel.panel import Panel
from prefstream.scoring.panel.threads import wait_for

if TYPE_CHECKING:
    from prefstream.scoring.judges.forward import Forward
    from prefstream.scoring.judges.model import LocalJudge

_LOG: Final = logging.getLogger(__name__)

_MODELS: Final = "transformers.modeling_utils"
"""What all of transformers' models are made of; transformers imports it when the first of them is asked for."""


def load_panel(
    config: PanelConfig | Path | str,
    *,
    calibration: CalibrationFile | None = None,
    say: Callable[[str], None] | None = None,
    loading: Callable[[JudgeConfig], AbstractContextManager[None]] = lambda _: nullcontext(),
    beside: Iterable[Panel] = (),
) -> Panel:
    """Load every judge of a panel, one after the other, and start their threads.

    Args:
        config: the panel, or the path of its file; `demo` for the demo's, whose models are fetched at first use.
        calibration: in place of the file that the panel names; a judge that it doesn't name keeps its adapter's own.
        say: told what is being loaded, one short line at a time; left out, the log is (`logging`, level info).
        loading: entered before and left after each judge is loaded.
        beside: panels that are loaded, and stay as they are. Judges of the same base share the weights of theirs, where
            no adapter was merged into them; closing either panel leaves the other one whole.

    Raises:
        ConfigError: the panel file, its calibration or its golden set is wrong.
        LoadError: a judge can't be loaded, or must not judge. Whether the panel gives the answers of its golden set is
            for `golden.check.require_golden` to say.
        MissingExtraError: it has a judge with weights, and `prefstream[judges]` is not installed; for one of features
            `prefstream[features]`, for one that is served elsewhere `prefstream[remote]`.
    """
    say = say or _LOG.info
    if not isinstance(config, PanelConfig):
        config = load_panel_config(config)
    golden = read_golden(config)
    if calibration is None:
        calibrated = config.calibration is not None
        calibration = read_calibration(config)
    else:
        calibrated = True
        verify_calibration(calibration, config, "the calibration")
        golden = golden and golden.of_judges_alone()
    judges: list[Judge] = []
    there = [judge for other in beside for judge in other.judges]
    on_cards: list[LocalJudge[Any]] = []
    forwards: dict[str, Forward] = {}
    models = [judge for judge in config.judges if isinstance(judge, ModelJudgeConfig)]
    if models:
        require(f"judge {models[0].name}", "judges")
        from prefstream.scoring.judges.devices import place_judges  # a panel of priors must not pay for torch
        from prefstream.scoring.loading.judge import load_judge, load_replicas
        from prefstream.scoring.loading.sources import prepare_demo_bases

        placements = place_judges(models)
        prepare_demo_bases([judge.base for judge in models], say=say)
    try:
        for judge in config.judges:
            own = calibration.judges.get(judge.name)
            with loading(judge):
                if isinstance(judge, ModelJudgeConfig):
                    places = {replica.name: placements[replica.name] for replica in judge.replicas}
                    loaded: LocalJudge[Any] = (
                        load_judge(judge, placements[judge.name], calibration=own, say=say, beside=there)
                        if len(places) == 1
                        else load_replicas(judge, list(places.values()), calibration=own, say=say, beside=there)
                    )
                    judges.append(loaded)
                    if any(place.device.type == "cuda" for place in places.values()):
                        on_cards.append(loaded)  # on a CPU a first pass costs what others cost
                        forwards |= {
                            name: forward
                            for (name, place), forward in zip(places.items(), loaded.forwards, strict=True)
                            if place.device.type == "cuda"
                        }
                else:
                    judges.append(_without_weights(judge, own, say))
        if on_cards:
            from prefstream.scoring.loading.memory.budgets import fit_to_cards

            replicas = {replica.name: replica for judge in models for replica in judge.replicas}
            fit_to_cards(forwards, replicas, placements, say=say)
    except BaseException:
        close_all(judges)
        raise
    panel = Panel(
        judges,
        swap=config.swap,
        calibration=calibration.panel,
        calibration_version=version_of(calibration) if calibrated else None,
        length_slope=calibration.length_slope,
        recuse=config.recuse,
        weights=calibration.weights,
        on_judge_failure=config.on_judge_failure,
        golden=golden,
    )
    warm_up(panel, on_cards)
    return panel


def import_libraries(config: PanelConfig) -> bool:
    """Import what judges with weights are loaded by, which takes longer than to load small ones.

    `load_panel` does by itself; this is for who wants to know when it is done.

    Args:
        config: of a panel; one without such judges takes none of it.

    Returns:
        Whether there was something to import. Where a library is missing there is not: `load_panel` says so.
    """
    taken = any(isinstance(judge, ModelJudgeConfig) for judge in config.judges)
    if not taken or _MODELS in sys.modules or is_missing("judges"):
        return False
    importlib.import_module("prefstream.scoring.loading.judge")
    importlib.import_module(_MODELS)
    return True


def _without_weights(
    judge: FeaturesJudgeConfig | RemoteJudgeConfig | PriorJudgeConfig,
    calibration: Calibration | None,
    say: Callable[[str], None],
) -> Judge:
    """A judge that has no model in this process."""
    if isinstance(judge, FeaturesJudgeConfig):
        require(f"judge {judge.name}", "features")
        from prefstream.scoring.loading.features import load_features_judge

        return load_features_judge(judge, calibration=calibration)
    if isinstance(judge, RemoteJudgeConfig):
        require(f"judge {judge.name}", "remote")
        from prefstream.scoring.loading.remote import load_remote_judge

        say(f"{judge.name}: asking {judge.url}")
        return load_remote_judge(judge, calibration=calibration)
    return PriorJudge(judge)


def warm_up(panel: Panel, judges: Sequence[LocalJudge[Any]]) -> None:
    """Let judges warm up in their own threads, all at once: those that share a card will share it while they score.

    Args:
        panel: closed where one of them can't judge.
        judges: of this panel.

    Raises:
        LoadError: a judge failed on its device, or can't read there what it is set to read.
    """
    try:
        warming = [(judge, panel.submit(judge, judge.warm_up)) for judge in judges]
        for judge, future in warming:
            wait_for(judge, future)
    except (JudgeFaultError, BattleTooLargeError) as error:
        panel.close()
        raise LoadError(f"{error} (at a full pass while loading)") from error
    except BaseException:
        panel.close()
        raise


def read_calibration(config: PanelConfig) -> CalibrationFile:
    """The calibration file that a panel names; one that changes nothing where it names none.

    Raises:
        ConfigError: the file can't be read, is wrong, or belongs to another panel.
    """
    if config.calibration is None:
        return CalibrationFile()
    path = Path(config.calibration)
    calibration = CalibrationFile.read(path)
    verify_calibration(calibration, config, str(path))
    return calibration


def read_golden(config: PanelConfig) -> GoldenSet | None:
    """The golden set that a panel names; None where it names none.

    Raises:
        ConfigError: the file can't be read, or is wrong.
    """
    return None if config.golden is None else GoldenSet.read(Path(config.golden))


def verify_calibration(calibration: CalibrationFile, config: PanelConfig, source: str) -> None:
    """Refuse a calibration that belongs to another panel.

    Args:
        calibration: of the panel.
        config: the panel.
        source: of the calibration, for the error.

    Raises:
        ConfigError: it names a judge that the panel does not have, or lets none count.
    """
    names = {judge.name for judge in config.judges}
    strangers = sorted({*calibration.judges, *calibration.weights} - names)
    if strangers:
        raise ConfigError(
            source,
            (f"calibrates {', '.join(strangers)}, which the panel doesn't have; fit it again for this panel",),
        )
    if not any(calibration.weights.get(judge.name, judge.weight) for judge in config.judges):
        raise ConfigError(source, ("weights: every weight is 0; at least one judge must count",))

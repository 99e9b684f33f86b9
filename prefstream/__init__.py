"""prefstream for library users: the names worth importing, in one place.

What there is stands in `__init__.pyi`, once. A name is imported at its first use: `import prefstream` costs nothing,
and brings neither torch nor kafka along. The contract (`Battle`, `decode_preference`) is there in every installation;
what scores needs `prefstream[judges]`, and says so where that is missing.

Example:
    Score one battle:

    >>> from prefstream import Battle, load_panel
    >>> with load_panel("deploy/panels/priors.yaml") as panel:
    ...     [answer] = panel.score([Battle(id="1", prompt="2+2?", response_a="4", response_b="5")])
    >>> answer.preferred
    'model_a'
"""

import lazy_loader

_import, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """A name at its first use.

    Raises:
        MissingExtraError: it needs an extra that is not installed.
    """
    try:
        return _import(name)
    except ModuleNotFoundError as error:
        from prefstream.scoring.extras import explain

        missing = explain(error, f"{__name__}.{name}", "judges")
        if missing is None:
            raise
        raise missing from None

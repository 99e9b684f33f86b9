"""prefstream for library users: the names worth importing, in one place.

What there is stands in `__init__.pyi`, once. A name is imported at its first use: `import prefstream` costs nothing,
and brings neither torch nor kafka along.

Example:
    Score one battle:

    >>> from prefstream import Battle, load_panel
    >>> with load_panel("deploy/panels/priors.yaml") as panel:
    ...     [answer] = panel.score([Battle(id="1", prompt="2+2?", response_a="4", response_b="5")])
    >>> answer.preferred
    'model_a'
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

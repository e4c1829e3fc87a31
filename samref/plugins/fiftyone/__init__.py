"""A plugin for FiftyOne: an operator that refines a field of labels into another, so that both can be compared there.

FiftyOne finds it when `FIFTYONE_PLUGINS_DIR` names the folder above, or a folder with a link to it.
"""

from __future__ import annotations

from typing import Any


def register(plugin: Any) -> None:
    """Registers the operator; FiftyOne calls it.

    Args:
        plugin: of FiftyOne.
    """
    from samref.plugins.fiftyone_labels import operator_class

    plugin.register(operator_class())

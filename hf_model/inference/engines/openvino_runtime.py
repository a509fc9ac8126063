"""OpenVINO, imported without its telemetry.

``import openvino`` imports its model converter, and that reports "import" to Google Analytics unless the user has
opted out. Python treats a module that is None in ``sys.modules`` as not installed, and OpenVINO has a path for both
absences: without the converter for serving (also 0.2 s faster), without telemetry for export.
"""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any

from hf_model.inference.engines.base import EngineUnavailable

_TELEMETRY = "openvino_telemetry"
_CONVERTER = "openvino.tools.ovc"


def import_openvino() -> ModuleType:
    """The ``openvino`` module for running models. Raises EngineUnavailable if it is not installed."""
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    _silence()
    hidden = _CONVERTER not in sys.modules
    if hidden:
        sys.modules[_CONVERTER] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise EngineUnavailable(
            f"OpenVINO cannot be imported ({error}); install it with `pip install openvino`"
        ) from error
    finally:
        if hidden:
            del sys.modules[_CONVERTER]
    return openvino


@functools.cache
def shared_core() -> Any:
    """The process's one ``openvino.Core``, never freed.

    A Core's CPU plug-in makes a stack of its own for signals (AMX needs a large one) and frees it with the Core. When
    two Cores end in another order than they began, the process is left with a freed signal stack, and the next SIGCHLD
    that Python handles is a segmentation fault: seen in training with loader processes.
    """
    return import_openvino().Core()


def import_converter() -> Any:
    """``openvino.convert_model``, which needs torch. Raises EngineUnavailable if it is not installed."""
    import_openvino()
    _silence()
    try:
        from openvino.tools.ovc import convert_model
    except ImportError as error:
        raise EngineUnavailable(f"OpenVINO's converter cannot be imported ({error}); reinstall openvino") from error
    return convert_model


def _silence() -> None:
    """Let openvino_telemetry count as not installed, unless someone else has imported it already."""
    if _TELEMETRY not in sys.modules:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]

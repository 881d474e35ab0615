"""Typed, versioned configuration for test-time-training checkpoints.

A name of the public interface is imported when it is first used: a program does not pay for what it does not use, and
one that only catches errors pays for those alone.
"""

from tttcfg.version import __version__ as __version__

TYPE_CHECKING = False  # for `python -m tttcfg`, typing would be searched in the current folder
if TYPE_CHECKING:  # what __getattr__ finds
    from typing import Any

    from tttcfg.api import *  # noqa: F403
    from tttcfg.errors import *  # noqa: F403
else:

    def __getattr__(name: str) -> "Any":
        if name.startswith("_") and name != "__all__":  # what the import system and tools look for
            raise AttributeError(f"module 'tttcfg' has no attribute {name!r}")
        import tttcfg.errors as errors

        if name in errors.__all__:
            return getattr(errors, name)
        import tttcfg.api as api  # and pydantic

        if name == "__all__":
            return ["__version__", *errors.__all__, *api.__all__]
        if name not in api.__all__:
            raise AttributeError(f"module 'tttcfg' has no attribute {name!r}")
        return getattr(api, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})

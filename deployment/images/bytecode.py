"""Compiles, while an image is built, what its programs import: later nothing can be written, and all would be too much.

`python bytecode.py MODULE …`. By content and not by time, so that the same sources give the same bytes.
"""

import importlib
import py_compile
import sys

MODE = py_compile.PycInvalidationMode.UNCHECKED_HASH


def main() -> None:
    """Import the modules, and compile them and all that came with them."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    files = {str(getattr(module, "__file__", None)) for module in tuple(sys.modules.values())}
    for file in sorted(files):
        if file.endswith(".py") and file != __file__:
            py_compile.compile(file, invalidation_mode=MODE, doraise=True)


if __name__ == "__main__":
    main()

"""Python imports this at its start where the folder is in PYTHONPATH: torch is then as if not installed."""

import sys
from importlib.machinery import PathFinder


class WithoutTorch(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname.partition(".")[0] == "torch" else super().find_spec(fullname, path, target)


sys.meta_path = [WithoutTorch if finder is PathFinder else finder for finder in sys.meta_path]

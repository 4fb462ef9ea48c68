"""Import this before VietOCR: it makes `import torchvision` work beside a CPU build of torch.

torchvision's compiled part is linked to the CUDA build of torch and does not load beside a CPU build; its
Python part then fails at import, because it describes two operators that nobody defined. VietOCR only needs
the Python part (the VGG networks), so the two are declared here, without a body.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_declared: list[torch.library.Library] = []  # the operators live as long as their library object


def compiled_part_loads() -> bool:
    """Whether torchvision's compiled operators fit the torch that is installed."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("torchvision is not installed here. Make the environment with setup.sh.")
    for library in Path(spec.submodule_search_locations[0]).glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            return False
    return hasattr(torch.ops.torchvision, "nms")


def declare_operators() -> None:
    """Declares `torchvision::nms` and `torchvision::qnms` where the compiled part does not bring them."""
    if _declared or compiled_part_loads():
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)


declare_operators()

if __name__ == "__main__":
    from importlib.metadata import version

    import torchvision
    import vietocr.model.trainer
    import vietocr.tool.predictor  # noqa: F401

    compiled = "without" if _declared else "with"
    print(
        f"VietOCR {version('vietocr')} imports: torch {torch.__version__}, "
        f"torchvision {torchvision.__version__} ({compiled} its compiled part)"
    )

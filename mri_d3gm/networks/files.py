"""The files that weights lie in."""

from pathlib import Path


def weights_files(path: str | Path) -> list[Path]:
    """The files of weights: X.safetensors and, where it lies beside it, X-smooth.safetensors, for images of smooth phase."""
    path = Path(path)
    smooth = path.with_name(f"{path.stem}-smooth{path.suffix}")
    return [path, smooth] if smooth.is_file() else [path]

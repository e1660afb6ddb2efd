"""What transforms over several keys share."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from monai.transforms import MapTransform

Data = Mapping[Hashable, Any]


def each_key(transform: MapTransform, data: Data, change: Callable[[Any], Any]) -> dict[Hashable, Any]:
    """A copy of an item with the value of each of the transform's keys changed."""
    return dict(data) | {key: change(data[key]) for key in transform.key_iterator(data)}

"""HDF5 files that are whole and say something else."""

from collections.abc import Callable
from io import BytesIO
from random import Random
from typing import Any

import h5py
import numpy as np
from hostile.flips import INTEGERS, damaged

TYPES: tuple[Any, ...] = (
    "?", "i1", ">i4", "u8", "f2", "f8", ">c8", "c16", np.longdouble, np.clongdouble, "S1", "S70000", "V5",
    [("r", "f4"), ("i", "f4")], [("i", "f4"), ("r", "f4")], [("real", "f8"), ("imag", "f8")], [("r", "i2"), ("i", "i2")],
    [("a", "S3"), ("b", "f4", (2, 2))], ("f4", (3,)), h5py.string_dtype(), h5py.vlen_dtype(np.complex64),
    h5py.ref_dtype, h5py.regionref_dtype, h5py.enum_dtype({"no": 0, "yes": 1}),
)  # fmt: skip
SIZES = (0, 1, 2, 7, 8, 15, 17, 64, 2**15, 2**16, 2**31 - 1, 2**31, 2**32, 2**40, 2**62)
VALUES = (0, np.nan, np.inf, -np.inf, 1e38, 1e-45, -1)


def _like(file: h5py.File, name: str, **options: Any) -> None:
    """The dataset anew, by options of create_dataset; with its shape and type where they name none."""
    old = file[name]
    options = {"shape": old.shape, "dtype": old.dtype} | options
    del file[name]
    file.create_dataset(name, **options)


def another_type(file: h5py.File, name: str, random: Random) -> None:
    shape = random.choice((file[name].shape, (3, 16, 16), (16,), ()))
    _like(file, name, dtype=random.choice(TYPES), shape=shape)


def another_shape(file: h5py.File, name: str, random: Random) -> None:
    old = file[name].shape or (1,)
    shapes = (
        (),
        (0,),
        (*old, 1),
        old[::-1],
        old[1:],
        (1,) * 32,
        (1, *old),
        (8,) * 7,
        tuple(random.choice(SIZES[:8]) for _ in old),
    )
    _like(file, name, shape=random.choice(shapes))


def huge(file: h5py.File, name: str, random: Random) -> None:
    """Sizes that nothing stands behind."""
    shape = list(file[name].shape or (1,))
    for _ in range(random.choice((1, 2))):
        shape[random.randrange(len(shape))] = random.choice(SIZES)
    while np.prod([float(size) for size in shape]) > 2**58:
        shape[int(np.argmax(shape))] >>= 20
    options: dict[str, Any] = {"shape": tuple(shape)}
    if all(shape) and random.random() < 0.7:
        options["chunks"] = tuple(min(size, random.choice((1, 16, 2**15))) for size in shape)
        while np.prod([float(size) for size in options["chunks"]]) > 2**28:
            options["chunks"] = tuple(max(1, size // 2) for size in options["chunks"])
        options["maxshape"] = random.choice((tuple(shape), (None,) * len(shape)))
        options["compression"] = random.choice((None, "gzip", "lzf"))
    _like(file, name, **options)


def other_values(file: h5py.File, name: str, random: Random) -> None:
    dataset = file[name]
    if dataset.dtype.kind in "biufc" and dataset.size:
        values = dataset[()]
        where = np.s_[...] if random.random() < 0.3 else tuple(random.randrange(size) for size in dataset.shape)
        with np.errstate(all="ignore"):
            values[where] = np.array(random.choice(VALUES)).astype(dataset.dtype)
        dataset[...] = values


def other_text(file: h5py.File, name: str, random: Random) -> None:
    """Of every text of the file."""
    for key, dataset in [(key, file[key]) for key in names_of(file)]:
        if h5py.check_string_dtype(dataset.dtype) and dataset.size == 1:
            content = damaged(np.ravel(dataset[()])[0], random)
            del file[key]
            file[key] = np.bytes_(content) if random.random() < 0.5 and content else content.replace(b"\0", b"")


def link(file: h5py.File, name: str, random: Random) -> None:
    del file[name]
    links = (
        h5py.SoftLink(f"/{name}"),
        h5py.SoftLink("/gone"),
        h5py.ExternalLink("gone.h5", "x"),
        h5py.ExternalLink("/dev/zero", "x"),
    )
    file[name] = random.choice((*links, file["/"]))


def elsewhere(file: h5py.File, name: str, random: Random) -> None:
    shape, dtype = file[name].shape or (16,), file[name].dtype
    if dtype.hasobject:
        return
    del file[name]
    if random.random() < 0.5:
        file.create_dataset(name, shape, dtype, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
    else:
        layout = h5py.VirtualLayout(shape, dtype)
        layout[...] = h5py.VirtualSource(random.choice((".", "gone.h5")), name, shape)
        file.create_virtual_dataset(name, layout)


def not_a_dataset(file: h5py.File, name: str, random: Random) -> None:
    del file[name]
    kind = random.choice(("gone", "group", "type", "null"))
    if kind == "group":
        file.create_group(name)
    elif kind == "type":
        file[name] = np.dtype("f4")
    elif kind == "null":
        file[name] = h5py.Empty("c8")


def attributes(file: h5py.File, name: str, random: Random) -> None:
    for place in (file, file[name]):
        for key in (*place.attrs, "acquisition"):
            values = (h5py.Empty("S10"), np.zeros((2, 3)), np.nan, b"\xff\xfe\x1b[2J", "a" * 10000, file.ref, "\u202e\x07\n")
            place.attrs[key] = random.choice((*values, random.choice(INTEGERS) % 2**63, np.array(["x", "y"], "S2")))


def filtered(file: h5py.File, name: str, random: Random) -> None:
    """Chunks under filters that are not there, or whose content does not fit."""
    shape, dtype = file[name].shape, file[name].dtype
    if not shape or dtype.hasobject or 0 in shape:
        return
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(shape)
    for code in random.choice(((1,), (2, 1), (1, 3), (32001,), (32015, 3), (305,))):
        properties.set_filter(code, h5py.h5z.FLAG_OPTIONAL, (6,) if code == 1 else ())
    content = damaged(file[name][()].tobytes(), random)
    del file[name]
    space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(dtype, logical=True)
    dataset = h5py.h5d.create(file.id, name.encode(), kind, space, properties)
    dataset.write_direct_chunk((0,) * len(shape), content, random.choice((0, 0, 1, 2**32 - 1)))


EDITS: tuple[Callable[[h5py.File, str, Random], None], ...] = (
    another_type, another_shape, huge, huge, other_values, other_text, other_text, link, elsewhere, not_a_dataset, attributes,
    filtered,
)  # fmt: skip


def names_of(file: h5py.File) -> list[str]:
    """Paths of all datasets."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def hdf5(content: bytes, random: Random) -> bytes:
    """An HDF5 file with one of EDITS at one of its datasets."""
    buffer = BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        random.choice(EDITS)(file, random.choice(names_of(file)), random)
    return buffer.getvalue()

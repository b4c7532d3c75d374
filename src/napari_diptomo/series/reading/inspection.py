"""Look into a container before a library follows what it says.

HDF5, Zarr and zip files can name more than data: an axis that is an expression
(HyperSpy has SymPy evaluate it, which executes it), links to other files, raw
data in other files, pickled objects, a codec that unpickles, loops, and sizes
that no memory holds. `inspect` reads the structure alone, with the library of
the container, and refuses such a file with one sentence. It goes by the
content, not by the suffix; JEOL's lists of files are the exception.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.files import check_is_file
from napari_diptomo.series.reading.library_errors import reading

if TYPE_CHECKING:
    import h5py

#: Objects in a container, counted once for every way to them: what a reader that follows all links meets.
MOST_OBJECTS = 100_000
#: Groups within groups; readers recurse, and Python ends at a thousand calls.
DEEPEST = 100
#: Deflate makes 1030 bytes of one at the most. Spectra with one count in a pixel come to 700, zeros to 900 and more.
MOST_FROM_ONE_BYTE = 800
#: With Zstandard and the like sparse counts come to some thousand.
_MOST_FROM_ONE_BYTE_OF_ZARR = 20_000
#: Pieces in which an array is stored: dask keeps a record of each, and takes some ten seconds for as many.
MOST_CHUNKS = 100_000
#: Smaller arrays may be as empty as they like.
_LARGE = 256 * 2**20
#: Bytes; the structure of a Zarr file is text of a few kilobytes per array.
_LARGEST_TEXT = 64 * 2**20

#: Attributes that HDF5's own dimension scales are made of; they refer to objects of the same file.
_DIMENSION_SCALES = {'DIMENSION_LIST', 'REFERENCE_LIST'}
#: Codecs that decode bytes to numbers or text. Not among them: pickle.
_CODECS = {
    *('blosc', 'zlib', 'gzip', 'bz2', 'lzma', 'lz4', 'zstd', 'zfpy', 'pcodec'),
    *('shuffle', 'delta', 'fixedscaleoffset', 'quantize', 'packbits', 'astype', 'bitround', 'categorize', 'base64'),
    *('crc32', 'crc32c', 'adler32', 'fletcher32', 'jenkins_lookup3'),
    *('vlen-utf8', 'vlen-bytes', 'vlen-array', 'json2', 'msgpack2'),
    *('bytes', 'endian', 'transpose', 'sharding_indexed'),
}
_ZARR_NODES = ('.zgroup', '.zarray', '.zattrs', 'zarr.json')
#: Another file that OME-XML says pages are in.
_OME_FILE = re.compile(r'FileName\s*=\s*["\']([^"\']*)')
#: Names under which HyperSpy keeps axes, or objects that have some.
_AXES = re.compile(r'axis-\d+$|_list_\d+_axes$|_hspy_Axis|_hspy_AxesManager_')


def inspect(path: str | Path) -> int:
    """Refuse a file that would execute, follow or unpack more than its own data.

    Parameters
    ----------
    path : path
        Any file; those that are neither HDF5, Zarr nor zip pass.

    Returns
    -------
    int
        Bytes of all its arrays, unpacked; 0 for a file that is no container.

    Raises
    ------
    InputError
        One sentence on what the file holds and what to do.
    """
    import h5py

    path = Path(path)
    check_is_file(path)
    if path.is_dir():
        return _inspect_zarr_folder(path)
    check_not_packed(path)
    if path.suffix.lower() == '.asw':
        _inspect_asw(path)
    if path.suffix.lower() in ('.tif', '.tiff'):
        _inspect_tiff(path)
    with reading(path):
        is_hdf5, is_zip = h5py.is_hdf5(path), zipfile.is_zipfile(path)
    size = 0
    # Not "or else": one file can be both.
    if is_hdf5:
        with reading(path), h5py.File(path, 'r') as file:
            size = _inspect_hdf5(path, file)
    if is_zip:
        with reading(path), zipfile.ZipFile(path) as archive:
            size = max(size, _inspect_zip(path, archive))
    return size


def check_unpacks(name: str, declared: float, stored: float, most: int = MOST_FROM_ONE_BYTE) -> None:
    """Refuse an array whose size no measurement reaches when it is packed.

    Parameters
    ----------
    name : str
        Of the file.
    declared, stored : float
        Bytes unpacked, and bytes in the file.
    most : int
        Unpacked bytes that one stored byte may make.

    Raises
    ------
    InputError
    """
    if declared > _LARGE and declared > most * stored:
        raise InputError(
            f'{name} would unpack {stored / 2**20:.3g} MiB to {declared / 2**30:.3g} GiB, as no measurement does; '
            'get the file from its author anew.'
        )


def check_not_packed(path: Path) -> None:
    """Refuse a file packed as a whole: mrcfile unpacks gzip and bzip2 unasked, however long they are.

    Raises
    ------
    InputError
    """
    with reading(path), path.open('rb') as file:
        start = file.read(6)
    if start.startswith((b'\x1f\x8b', b'BZh', b'\xfd7zXZ\0')):
        raise InputError(f'{path.name} is packed (gzip, bzip2 or xz); unpack it and choose what was in it.')


def refuse_expression(path: Path) -> None:
    """Say that a file has an axis which is an expression, and how to be rid of it."""
    raise InputError(
        f'{path.name} has an axis given as an expression, which would be executed; in HyperSpy, convert it with '
        'convert_to_non_uniform_axis() and save the signal anew.'
    )


def _refuse_outside(path: Path, what: str) -> None:
    raise InputError(
        f'{path.name} holds {what} outside of it; copy all data into one file (h5repack, or save it anew) and open that.'
    )


def _refuse_pickle(path: Path) -> None:
    raise InputError(
        f'{path.name} holds pickled Python objects, which would be executed; save it anew with numbers and text alone.'
    )


def _refuse_structure(path: Path, what: str) -> None:
    raise InputError(f'{path.name} {what}, as no measurement does; get the file from its author anew.')


# JEOL's list of the files of a measurement


def _inspect_asw(path: Path) -> None:
    """The files that it names must lie in its folder."""
    with reading(path):
        content = path.read_bytes()
    # Keyword, type and length as 32-bit numbers, text.
    for found in re.finditer(rb'Filename\x00.{4}(.{4})', content, re.DOTALL):
        name = content[found.end() :][: int.from_bytes(found[1], 'little')].rstrip(b'\x00').decode('latin-1')
        if _leaves(name):
            _refuse_outside(path, f'a name ({name[:60]!r}) that leads')


def _inspect_tiff(path: Path) -> None:
    """Refuse OME-TIFF whose description names another file: its pages would be read in place of those here."""
    import tifffile

    with reading(path), tifffile.TiffFile(path, is_ome=False) as file:
        description = str(file.pages.first.description)
    for name in _OME_FILE.findall(description):
        if name != path.name:
            _refuse_outside(path, f'a name ({name[:60]!r}) that leads')


# HDF5


def _inspect_hdf5(path: Path, file: h5py.File) -> int:
    """Walk all groups without recursion, each once; loops and the number of paths are found on the way.

    Returns the bytes of all arrays, unpacked.
    """
    import h5py

    # Of all data below, once for each link to them: as often readers unpack them.
    size_below: dict[Any, int] = {}
    paths_below: dict[Any, int] = {}
    height: dict[Any, int] = {}
    on_the_way: set[Any] = set()
    root = file.id
    fileno = h5py.h5o.get_info(root).fileno
    stack: list[tuple[Any, Any, list[Any], bool]] = []

    def enter(group: Any, in_axes: bool) -> None:
        address = h5py.h5o.get_info(group).addr
        on_the_way.add(address)
        paths_below[address], height[address], size_below[address] = 1, 1, 0
        _check_hdf5_attributes(path, group, in_axes)
        stack.append((address, group, _hdf5_names(group), in_axes))

    enter(h5py.h5o.open(root, b'/'), False)
    while stack:
        address, group, names, in_axes = stack[-1]
        if not names:
            stack.pop()
            on_the_way.discard(address)
            if stack:
                _add_below(path, paths_below, height, stack[-1][0], address)
                size_below[stack[-1][0]] += size_below[address]
            continue
        name = names.pop()
        child = _hdf5_child(path, group, name)
        if child is None:
            continue
        info = h5py.h5o.get_info(child)
        if info.fileno != fileno:
            _refuse_outside(path, 'a link to data')
        child_in_axes = in_axes or _AXES.search(name.decode('utf-8', 'replace')) is not None
        if info.addr in on_the_way:
            _refuse_structure(path, 'holds groups that contain themselves')
        if info.addr in paths_below:
            _add_below(path, paths_below, height, address, info.addr)
            size_below[address] += size_below[info.addr]
        elif isinstance(child, h5py.h5g.GroupID):
            if len(stack) >= DEEPEST:
                _refuse_structure(path, f'nests groups more than {DEEPEST} deep')
            enter(child, child_in_axes)
        else:
            paths_below[info.addr] = height[info.addr] = 1
            size_below[info.addr] = 0
            _check_hdf5_attributes(path, child, child_in_axes)
            if child_in_axes and name == b'expression':
                refuse_expression(path)
            if isinstance(child, h5py.h5d.DatasetID):
                size_below[info.addr] = _check_hdf5_dataset(path, child)
            _add_below(path, paths_below, height, address, info.addr)
            size_below[address] += size_below[info.addr]
    return size_below[h5py.h5o.get_info(root).addr]


def _add_below(path: Path, paths: dict[Any, int], height: dict[Any, int], group: Any, child: Any) -> None:
    paths[group] += paths[child]
    height[group] = max(height[group], height[child] + 1)
    if paths[group] > MOST_OBJECTS:
        _refuse_structure(path, f'leads to more than {MOST_OBJECTS} objects')
    if height[group] > DEEPEST:
        _refuse_structure(path, f'nests groups more than {DEEPEST} deep')


def _hdf5_names(group: Any) -> list[bytes]:
    return [bytes(name) for name in group]


def _hdf5_child(path: Path, group: Any, name: bytes) -> Any:
    """Target of a link within the file; None for one that leads nowhere."""
    import h5py

    kind = group.links.get_info(name).type
    if kind == h5py.h5l.TYPE_EXTERNAL or kind not in (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT):
        _refuse_outside(path, f'a link ({name.decode("utf-8", "replace")!r}) to data')
    # A soft link that passes an external one on its way would open another file.
    if kind == h5py.h5l.TYPE_SOFT and not _stays_inside(path, group, name):
        return None
    return h5py.h5o.open(group, name)


def _stays_inside(path: Path, group: Any, name: bytes) -> bool:
    """Follow a soft link step by step; False where it leads nowhere."""
    import h5py

    here: Any = group
    steps = [name]
    for _ in range(1000):
        while steps and steps[0] in (b'', b'.'):
            steps.pop(0)
        if not steps:
            return True
        step = steps.pop(0)
        if not isinstance(here, h5py.h5g.GroupID) or not here.links.exists(step):
            return False
        kind = here.links.get_info(step).type
        if kind == h5py.h5l.TYPE_SOFT:
            target = bytes(here.links.get_val(step))
            if target.startswith(b'/'):
                here = h5py.h5o.open(h5py.h5i.get_file_id(here), b'/')
            steps = [*target.split(b'/'), *steps]
        elif kind == h5py.h5l.TYPE_HARD:
            here = h5py.h5o.open(here, step)
        else:
            _refuse_outside(path, f'a link ({name.decode("utf-8", "replace")!r}) to data')
    return False


def _check_hdf5_attributes(path: Path, thing: Any, in_axes: bool) -> None:
    import h5py

    for index in range(h5py.h5a.get_num_attrs(thing)):
        attribute = h5py.h5a.open(thing, index=index)
        name = attribute.name.decode('utf-8', 'replace')
        if in_axes and name == 'expression':
            refuse_expression(path)
        if name not in _DIMENSION_SCALES and _refers(attribute.get_type()):
            _refuse_references(path, name)
        if name == '_type' and b'FunctionalDataAxis' in _text_of(attribute):
            refuse_expression(path)


def _text_of(attribute: Any) -> bytes:
    """The text of an attribute of fixed or variable length, empty for numbers."""
    import h5py
    import numpy as np

    if attribute.get_type().get_class() != h5py.h5t.STRING or attribute.shape != ():
        return b''
    kind = attribute.get_type()
    value = np.empty((), object if kind.is_variable_str() else f'S{kind.get_size()}')
    attribute.read(value)
    text = value[()]
    return text.encode() if isinstance(text, str) else bytes(text or b'')


def _refuse_references(path: Path, name: str) -> None:
    raise InputError(
        f'{path.name} holds references between its objects ({name!r}), which are not followed; '
        'save it anew with the data themselves in their place.'
    )


def _refers(kind: Any) -> bool:
    """Whether a type is, or has within it, a reference to an object or a region."""
    import h5py

    waiting = [kind]
    while waiting:
        kind = waiting.pop()
        what = kind.get_class()
        if what == h5py.h5t.REFERENCE:
            return True
        if what == h5py.h5t.COMPOUND:
            waiting += [kind.get_member_type(i) for i in range(kind.get_nmembers())]
        elif what in (h5py.h5t.ARRAY, h5py.h5t.VLEN):
            waiting.append(kind.get_super())
    return False


def _check_hdf5_dataset(path: Path, dataset: Any) -> int:
    import h5py

    plan = dataset.get_create_plist()
    if plan.get_external_count():
        _refuse_outside(path, 'raw data')
    if plan.get_layout() == h5py.h5d.VIRTUAL:
        sources = {plan.get_virtual_filename(i) for i in range(plan.get_virtual_count())}
        if sources - {'.'}:
            _refuse_outside(path, 'virtual data')
    kind = dataset.get_type()
    if _refers(kind):
        _refuse_references(path, (h5py.h5i.get_name(dataset) or b'').decode('utf-8', 'replace'))
    if plan.get_layout() == h5py.h5d.CHUNKED:
        _check_chunks(path, dataset.shape, plan.get_chunk())
        if plan.get_nfilters():
            # Chunks that were never written are not unpacked: only the others count.
            chunk = math.prod(plan.get_chunk()) * kind.get_size()
            check_unpacks(path.name, dataset.get_num_chunks() * chunk, dataset.get_storage_size())
    return int(math.prod(dataset.shape or ()) * kind.get_size())


def _check_chunks(path: Path, shape: Sequence[int], chunk: Sequence[int]) -> None:
    if math.prod(-(-size // max(piece, 1)) for size, piece in zip(shape, chunk, strict=False)) > MOST_CHUNKS:
        _refuse_structure(path, f'stores an array in more than {MOST_CHUNKS} pieces')


# Zarr, in a folder or in a zip file


def _inspect_zarr_folder(path: Path) -> int:
    texts: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for name, file in _files_of_folder(path):
        last = name.rpartition('/')[2]
        if last in _ZARR_NODES or last == '.zmetadata':
            size = file.stat().st_size
            if size > _LARGEST_TEXT or len(texts) > MOST_OBJECTS:
                _refuse_structure(path, 'has a structure too large to read')
            with reading(path):
                texts[name] = file.read_text(encoding='utf-8')
        else:
            sizes[name] = file.stat().st_size
    return _inspect_zarr(path, texts, sizes)


def _files_of_folder(path: Path) -> Iterator[tuple[str, Path]]:
    for folder, folders, files in os.walk(path):
        here = Path(folder)
        for name in (*folders, *files):
            entry = here / name
            mode = entry.lstat().st_mode
            if stat.S_ISLNK(mode):
                _refuse_outside(path, f'a link ({name!r}) to data')
            if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                _refuse_structure(path, 'holds a pipe or a device')
        if len(here.relative_to(path).parts) > DEEPEST:
            _refuse_structure(path, f'nests groups more than {DEEPEST} deep')
        for name in files:
            yield (here / name).relative_to(path).as_posix(), here / name


def _inspect_zip(path: Path, archive: zipfile.ZipFile) -> int:
    entries = archive.infolist()
    check_unpacks(path.name, sum(e.file_size for e in entries), sum(e.compress_size for e in entries))
    texts: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for entry in entries:
        if _leaves(entry.filename):
            _refuse_outside(path, f'a name ({entry.filename!r}) that leads')
        if entry.filename.rpartition('/')[2] in (*_ZARR_NODES, '.zmetadata'):
            if entry.file_size > _LARGEST_TEXT or len(texts) > MOST_OBJECTS:
                _refuse_structure(path, 'has a structure too large to read')
            texts[entry.filename] = archive.read(entry).decode('utf-8')
        else:
            sizes[entry.filename] = entry.compress_size
    return max(_inspect_zarr(path, texts, sizes), sum(e.file_size for e in entries))


def _leaves(name: str) -> bool:
    parts = name.replace('\\', '/').split('/')
    return '..' in parts or name.startswith(('/', '\\')) or re.match('[A-Za-z]:', name) is not None


def _inspect_zarr(path: Path, texts: dict[str, str], sizes: dict[str, int]) -> int:
    """Check every array and every group that the structure names; returns the bytes of the arrays, unpacked."""
    arrays: dict[str, dict[str, Any]] = {}
    for name, text in texts.items():
        with reading(path):
            document = json.loads(text)
        for key, node in _zarr_nodes(path, name, document):
            _check_zarr_node(path, key, node)
            if 'shape' in node and 'zarr_format' in node:
                shape, chunk = node['shape'], _zarr_chunk(node)
                if not _are_sizes(shape) or not _are_sizes(chunk):
                    _refuse_structure(path, 'has a structure that is none')
                _check_chunks(path, shape, chunk)
                arrays[key] = node
    chunks = _chunks_of(arrays, sizes)
    for key, (count, stored) in chunks.items():
        declared = count * _zarr_bytes(arrays[key], _zarr_chunk(arrays[key]))
        check_unpacks(path.name, declared, stored, _MOST_FROM_ONE_BYTE_OF_ZARR)
    return sum(_zarr_bytes(node, node['shape']) for node in arrays.values())


def _chunks_of(arrays: Iterable[str], sizes: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Number and bytes of the chunks of every array that has some."""
    found: dict[str, tuple[int, int]] = {}
    for name, size in sizes.items():
        folder = name.rpartition('/')[0]
        while folder and folder not in arrays:
            folder = folder.rpartition('/')[0]
        if folder in arrays:
            count, stored = found.get(folder, (0, 0))
            found[folder] = (count + 1, stored + size)
    return found


def _zarr_nodes(path: Path, name: str, document: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The nodes of one text: itself, and what it says of others (consolidated metadata)."""
    if not isinstance(document, dict):
        _refuse_structure(path, 'has a structure that is none')
    folder = name.rpartition('/')[0]
    yield folder, document
    consolidated = document.get('consolidated_metadata') or document
    inside = consolidated.get('metadata') if isinstance(consolidated, dict) else None
    if name.endswith('.zattrs') or not isinstance(inside, dict):
        return
    for key, node in inside.items():
        if _leaves(key):
            _refuse_outside(path, f'a name ({key!r}) that leads')
        if len(key.split('/')) > DEEPEST:
            _refuse_structure(path, f'nests groups more than {DEEPEST} deep')
        if isinstance(node, dict):
            last = key.rpartition('/')[2]
            yield f'{folder}/{key.rpartition("/")[0] if last in _ZARR_NODES else key}'.strip('/'), node


def _check_zarr_node(path: Path, key: str, node: dict[str, Any]) -> None:
    attributes = node.get('attributes') if 'zarr_format' in node else node
    if isinstance(attributes, dict):
        in_axes = any(_AXES.search(part) for part in key.split('/'))
        if (in_axes and 'expression' in attributes) or attributes.get('_type') == 'FunctionalDataAxis':
            refuse_expression(path)
    parts = key.split('/')
    if parts[-1] == 'expression' and any(_AXES.search(part) for part in parts):
        refuse_expression(path)
    if 'zarr_format' not in node:
        return
    for codec in _codecs(node):
        if codec.removeprefix('numcodecs.') == 'pickle':
            _refuse_pickle(path)
        if codec.removeprefix('numcodecs.') not in _CODECS:
            _refuse_structure(path, f'is packed with {codec[:40]!r}')


def _codecs(node: dict[str, Any]) -> Iterator[str]:
    """Names of all codecs of an array, those within others (sharding) too."""
    waiting: list[Any] = [node.get(part) for part in ('compressor', 'filters', 'codecs', 'storage_transformers')]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            yield str(item.get('id', item.get('name')))
            settings = item.get('configuration')
            if isinstance(settings, dict):
                waiting += [settings.get('codecs'), settings.get('index_codecs')]
        elif item is not None:
            yield str(item)


def _zarr_chunk(node: dict[str, Any]) -> Any:
    grid = node.get('chunk_grid')
    settings = grid.get('configuration') if isinstance(grid, dict) else None
    return node.get('chunks') or (settings.get('chunk_shape') if isinstance(settings, dict) else None)


def _are_sizes(shape: Any) -> bool:
    return isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)


def _zarr_bytes(node: dict[str, Any], shape: list[int]) -> int:
    """Bytes of so many values of an array."""
    old, new = (re.search(r'(\d+)$', str(node.get(key) or '')) for key in ('dtype', 'data_type'))
    size = int(old[1]) if old else int(new[1]) // 8 if new else 8
    return math.prod(shape) * size

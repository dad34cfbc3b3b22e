"""Pictures, inside the decoding process: whatever Pillow reads becomes upright RGB of a bounded size."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from service.media import MediaError, TooLarge, Undecodable, wire
from service.media.limits import MAX_PICTURE_SIDE
from service.media.nursery import Send

_PLUGINS = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
"""Every format that is read, loaded before the fork: the decoding process can't open a module's file any more."""
Image.preinit()
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

_WHITE = (255, 255, 255, 255)
_SIXTEEN_TO_EIGHT_BITS = np.rint(np.arange(65_536) / 257).astype(np.uint8)

_ORIENTATION_TAG = 0x0112
_TURNS: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to what undoes it."""

_LYING = (5, 6, 7, 8)


def read(file: BinaryIO, request: Mapping[str, Any], send: Send) -> None:
    """The operation `picture`: `request` has `reader` (Pillow's name of the format), `max_pixels` and `longest_side`.

    Sends one message `picture` with `width` and `height` of the upright picture, `shape` of the pixels in the payload,
    `frames` and `truncated`.
    """
    image = _open(file, request["reader"], request["max_pixels"])
    frames, stored_size = getattr(image, "n_frames", 1), image.size
    image, truncated = _load(image, file, request)
    # Not before loading: PNG may carry its EXIF behind the pixels.
    orientation = _orientation(image)
    pixels = upright_rgb(image, orientation, request["longest_side"])
    width, height = reversed(stored_size) if orientation in _LYING else stored_size
    header = {"type": "picture", "width": width, "height": height, "frames": frames, "truncated": truncated}
    send(header | {"shape": pixels.shape}, pixels.data)


def read_live(file: BinaryIO, request: Mapping[str, Any], send: Send) -> None:
    """The operation `pictures`: one sender's pictures, one after another, until the sender closes `file`, a socket.

    Each comes behind `wire.LIVE_HEADER`: its reader's place in `wire.LIVE_READERS`, and its length. Sends for each what
    `read` sends, or a message `refused` with the error; then the next may come.
    """
    while header := file.read(wire.LIVE_HEADER.size):
        place, length = wire.LIVE_HEADER.unpack(header)
        picture = io.BytesIO(file.read(length))
        try:
            read(picture, {**request, "reader": wire.LIVE_READERS[place]}, send)
        except BrokenPipeError:
            return
        except MemoryError:
            raise
        except MediaError as error:
            send({**wire.describe_error(error), "type": "refused"})
        except Exception:  # decoders raise anything at all on damaged pictures
            error = Undecodable("The picture cannot be decoded: it is damaged, or not what it says it is.")
            send({**wire.describe_error(error), "type": "refused"})


def check(file: BinaryIO, request: Mapping[str, Any], send: Send) -> None:
    """The operation `check`, which shows that decoding works: a tiny picture is made and read as any other."""
    sample = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 100, 50)).save(sample, "PNG")
    read(sample, {"reader": "PNG", "max_pixels": 64, "longest_side": MAX_PICTURE_SIDE}, send)


def upright_rgb(image: Image.Image, orientation: int = 1, longest_side: int = MAX_PICTURE_SIDE) -> NDArray[np.uint8]:
    """A loaded picture as (height, width, 3), at most `longest_side` long, turned, with alpha laid over white."""
    rgb = _shrunk(_as_rgb(image, longest_side), longest_side)
    turn = _TURNS.get(orientation)
    return np.ascontiguousarray(rgb if turn is None else rgb.transpose(turn))


def _open(file: BinaryIO, reader: str, max_pixels: int) -> Image.Image:
    """Read the header alone, and refuse what it promises if that is too much."""
    Image.MAX_IMAGE_PIXELS = None  # Our own limit, with our own sentence.
    if reader == "WEBP":  # Pillow makes room for the pixels as soon as it opens one.
        _check_size(_webp_size(file), max_pixels)
    file.seek(0)
    image = Image.open(file, formats=(reader,))
    _check_size(image.size, max_pixels)
    return image


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        millions = max_pixels / 1e6
        raise TooLarge(f"The picture has {width} x {height} pixels; at most {millions:g} million pixels are taken.")


def _webp_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height by the first chunk (RFC 9649, section 2.5 to 2.7)."""
    file.seek(12)
    chunk, body = file.read(4), file.read(14)[4:]
    if chunk == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if chunk == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF


def _load(image: Image.Image, file: BinaryIO, request: Mapping[str, Any]) -> tuple[Image.Image, bool]:
    """Decode; of a file that ends early, the part that is there. The flag says so."""
    try:
        _draft(image, request["longest_side"])
        image.load()
    except OSError:
        return _load_part(file, request), True
    return image, False


def _load_part(file: BinaryIO, request: Mapping[str, Any]) -> Image.Image:
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        image = _open(file, request["reader"], request["max_pixels"])
        _draft(image, request["longest_side"])
        image.load()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False  # the next picture of a live sender is to say so itself
    if _is_blank(image):
        raise Undecodable("The picture ends before its first pixels; send the whole file.")
    return image


def _is_blank(image: Image.Image) -> bool:
    """One colour all over: nothing but the decoder's own filling came out."""
    extrema = np.atleast_2d(image.getextrema())
    return bool((extrema[:, 0] == extrema[:, 1]).all())


def _draft(image: Image.Image, longest_side: int) -> None:
    """Let JPEG decode at a half, quarter or eighth of its size where that is still large enough."""
    image.draft(None, (longest_side, longest_side))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) to 8; damaged EXIF is no reason to refuse the pixels."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except (OSError, SyntaxError, TypeError, ValueError, struct.error):
        return 1


def _shrunk(image: Image.Image, longest_side: int) -> Image.Image:
    longest = max(image.size)
    if longest <= longest_side:
        return image
    width, height = (max(1, round(side * longest_side / longest)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)


def _as_rgb(image: Image.Image, longest_side: int) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray(_SIXTEEN_TO_EIGHT_BITS[np.asarray(image)], "L").convert("RGB")
    if image.mode in ("I", "F"):
        return _stretched(_shrunk(image, longest_side)).convert("RGB")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    opaque = Image.new("RGBA", image.size, _WHITE)
    opaque.alpha_composite(image.convert("RGBA"))
    return opaque.convert("RGB")


def _stretched(image: Image.Image) -> Image.Image:
    """Greys of 32 bits have no common white: from the darkest to the lightest of this picture."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    return Image.fromarray(np.rint((values - low) * (255.0 / max(high - low, 1e-12))).astype(np.uint8), "L")

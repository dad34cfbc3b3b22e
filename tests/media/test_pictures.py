"""Pictures come out upright, in RGB, of a bounded size; or with one sentence that says what is wrong."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.media import MediaError, TooLarge, Undecodable, Unsupported
from service.media.decoder import Decoder
from service.media.limits import MAX_PICTURE_SIDE

pytestmark = pytest.mark.asyncio(loop_scope="module")

Put = Callable[[str, bytes], Path]
Pixels = NDArray[np.uint8]

_REFUSED = {
    "bomb_400mp.png": TooLarge,
    "empty.png": Undecodable,
    "not_an_image.jpg": Unsupported,
    "index.tsv": Unsupported,
}


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def corners() -> Image.Image:
    """A picture that no turn leaves as it is: 48 x 32, four corners of different colours."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:16, :24], pixels[:16, 24:], pixels[16:, :24] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return Image.fromarray(pixels)


def distance(one: Pixels, other: Pixels) -> float:
    """Mean absolute difference, in levels of 255."""
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())


def resized(pixels: Pixels, size: int) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BOX))


async def test_every_sample_is_read_or_refused_with_one_sentence(decoder: Decoder, samples: Path) -> None:
    for path in sorted((samples / "image").iterdir()):
        try:
            picture = await decoder.picture(path)
        except MediaError as error:
            assert type(error) is _REFUSED[path.name], path.name
            assert str(error).endswith(".") and str(error).count(". ") == 0
        else:
            assert path.name not in _REFUSED
            assert picture.pixels.dtype == np.uint8 and picture.pixels.shape[2] == 3
            assert picture.truncated == (path.name == "truncated.jpg")


@pytest.mark.parametrize(
    ("turned", "upright"),
    [
        ("astronaut_exif_rotated.jpg", "astronaut.jpg"),
        ("exif_orientation_3.jpg", "neutral_glasses.jpg"),
        ("exif_orientation_8.jpg", "neutral_glasses.jpg"),
    ],
)
async def test_a_picture_turned_by_its_exif_flag_is_its_upright_twin(
    decoder: Decoder, samples: Path, turned: str, upright: str
) -> None:
    one, other = [await decoder.picture(samples / "image" / name) for name in (turned, upright)]
    assert one.pixels.shape == other.pixels.shape
    # They were compressed anew, one of them lying.
    assert distance(one.pixels, other.pixels) < 6.0 < distance(one.pixels[::-1, ::-1], other.pixels) / 4


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "lay_down"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
async def test_all_eight_orientations_come_out_upright(
    decoder: Decoder, put: Put, format: str, orientation: int, lay_down: Image.Transpose | None
) -> None:
    upright = corners()
    stored = upright if lay_down is None else upright.transpose(lay_down)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = await decoder.picture(put("turned", encoded(stored, format, exif=exif.tobytes())))
    assert (picture.width, picture.height) == upright.size
    assert np.array_equal(picture.pixels, np.asarray(upright))


@pytest.mark.parametrize("name", ["astronaut.webp", "astronaut.avif", "astronaut.tiff", "astronaut.bmp"])
async def test_every_format_shows_the_same_picture(decoder: Decoder, samples: Path, name: str) -> None:
    picture = await decoder.picture(samples / "image" / name)
    jpeg = await decoder.picture(samples / "image" / "astronaut.jpg")
    assert distance(picture.pixels, resized(jpeg.pixels, picture.width)) < 6.0


async def test_cmyk_is_not_inverted(decoder: Decoder, samples: Path) -> None:
    cmyk = await decoder.picture(samples / "image" / "astronaut_cmyk.jpg")
    rgb = await decoder.picture(samples / "image" / "astronaut.jpg")
    assert distance(cmyk.pixels, rgb.pixels) < 6.0


async def test_sixteen_bits_are_scaled_and_not_clipped(decoder: Decoder, samples: Path, put: Put) -> None:
    ramp = np.linspace(0, 65_535, 256).astype(np.uint16).reshape(16, 16)
    picture = await decoder.picture(put("ramp.png", encoded(Image.fromarray(ramp), "PNG")))
    assert picture.pixels[..., 0].ravel().tolist() == list(range(256))
    deep = await decoder.picture(samples / "image" / "astronaut_16bit.png")
    shallow = await decoder.picture(samples / "image" / "astronaut_grey.png")
    assert distance(deep.pixels, resized(shallow.pixels, deep.width)) < 3.0


async def test_greys_in_floating_point_keep_their_order(decoder: Decoder, put: Put) -> None:
    values = np.array([[-1.0, 0.0, 1.0, np.nan]], np.float32)
    picture = await decoder.picture(put("depth.tiff", encoded(Image.fromarray(values), "TIFF")))
    assert picture.pixels[0, :, 0].tolist() == [0, 128, 255, 128]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
async def test_what_is_transparent_lies_on_white(decoder: Decoder, put: Put, mode: str) -> None:
    black = Image.new("LA" if mode == "LA" else "RGBA", (4, 2), 0)
    black.putalpha(Image.fromarray(np.array([[0, 0, 255, 255]] * 2, np.uint8)))
    picture = await decoder.picture(put("alpha.png", encoded(black.convert(mode), "PNG")))
    assert picture.pixels[0, :, 0].tolist() == [255, 255, 0, 0]


async def test_a_large_picture_is_scaled_and_says_by_how_much(decoder: Decoder, samples: Path) -> None:
    large = await decoder.picture(samples / "image" / "very_large_36mp.jpg")
    assert (large.width, large.height) == (6000, 6000)
    assert large.pixels.shape == (MAX_PICTURE_SIDE, MAX_PICTURE_SIDE, 3)
    assert large.scale == pytest.approx(MAX_PICTURE_SIDE / 6000)
    small = await decoder.picture(samples / "image" / "astronaut.jpg")
    assert distance(resized(large.pixels, 512), small.pixels) < 6.0


async def test_of_an_animation_the_first_frame_is_shown_and_all_are_counted(decoder: Decoder, samples: Path) -> None:
    picture = await decoder.picture(samples / "image" / "animated.gif")
    with Image.open(samples / "image" / "animated.gif") as animation:
        assert picture.frames == animation.n_frames == 9
        assert np.array_equal(picture.pixels, np.asarray(animation.convert("RGB")))


async def test_half_a_jpeg_shows_its_upper_half(decoder: Decoder, samples: Path) -> None:
    half = await decoder.picture(samples / "image" / "truncated.jpg")
    whole = await decoder.picture(samples / "image" / "astronaut.jpg")
    assert half.truncated and half.pixels.shape == whole.pixels.shape
    assert distance(half.pixels[:150], whole.pixels[:150]) < 10.0


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "AVIF"])
async def test_a_file_that_ends_before_its_first_pixel_is_undecodable(decoder: Decoder, put: Put, format: str) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (64, 64, 3), np.uint8)
    whole = encoded(Image.fromarray(noise), format)
    with pytest.raises(Undecodable):
        await decoder.picture(put("start", whole[:40]))


async def test_a_bomb_is_refused_by_its_header_and_the_limit_is_named(decoder: Decoder, samples: Path) -> None:
    with pytest.raises(TooLarge, match="20000 x 20000 pixels; at most 50 million"):
        await decoder.picture(samples / "image" / "bomb_400mp.png")


@pytest.mark.parametrize(
    "chunk",
    [
        b"VP8X\x0a\x00\x00\x00" + bytes(4) + b"\xfe\x3f\x00" + b"\xfe\x3f\x00",
        b"VP8L\x0a\x00\x00\x00\x2f" + (16_382 | 16_382 << 14).to_bytes(4, "little") + bytes(5),
        b"VP8 \x0a\x00\x00\x00" + b"\x30\x01\x00\x9d\x01\x2a" + b"\xff\x3f\xff\x3f",
    ],
    ids=["extended", "lossless", "lossy"],
)
async def test_a_webp_that_claims_too_many_pixels_is_too_large(decoder: Decoder, put: Put, chunk: bytes) -> None:
    with pytest.raises(TooLarge, match="16383 x 16383 pixels"):
        await decoder.picture(put("huge.webp", b"RIFF\x40\x00\x00\x00WEBP" + chunk + bytes(40)))


@pytest.mark.parametrize(
    ("content", "looks_like"),
    [
        (b"just a few words", "plain text"),
        (b"PK\x03\x04" + bytes(40), "ZIP"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40), "WAV"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIC"),
        (bytes(range(256)), "unknown data"),
    ],
)
async def test_another_kind_of_file_is_named_with_what_is_accepted(
    decoder: Decoder, put: Put, content: bytes, looks_like: str
) -> None:
    with pytest.raises(Unsupported, match=f"looks like {looks_like}; accepted are JPEG"):
        await decoder.picture(put("picture.jpg", content))


async def test_damaged_exif_does_not_cost_the_picture(decoder: Decoder, put: Put) -> None:
    exif = b"Exif\x00\x00II*\x00\xff\xff\xff\xff"
    picture = await decoder.picture(put("odd.jpg", encoded(corners(), "JPEG", exif=exif)))
    assert (picture.width, picture.height) == (48, 32)


@pytest.mark.parametrize("name", ["astronaut.jpg", "astronaut.webp", "astronaut_alpha.png", "animated.gif"])
async def test_damaged_pictures_cost_nothing_but_themselves(
    decoder: Decoder, samples: Path, put: Put, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    whole = bytearray((samples / "image" / name).read_bytes())
    chance = np.random.default_rng(11)
    for _ in range(12):
        damaged = bytearray(whole)
        for place in chance.integers(20, len(whole), 20):
            damaged[place] = chance.integers(256)
        try:
            picture = await decoder.picture(put("damaged", bytes(damaged)))
        except (TooLarge, Undecodable):
            continue
        assert max(picture.pixels.shape) <= MAX_PICTURE_SIDE
    # A module that is first needed for a damaged file must have been loaded before: no file can be opened then.
    assert "PermissionError" not in caplog.text
    assert await decoder.healthy()

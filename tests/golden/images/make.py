"""Makes the image files of this folder, and what Pillow reads in them.

    python3 tests/golden/images/make.py       (Pillow 13.0.0, numpy 2.4.6)
"""

import io
import os
import struct
import zlib

import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))


def at(name):
    return os.path.join(HERE, name)


def picture(w, h):
    """Something smooth with edges in it."""
    y, x = np.mgrid[0:h, 0:w]
    rgb = np.stack([x * 255 // (w - 1), y * 255 // (h - 1), 128 + 100 * np.sin(x / 3 + y / 5)], -1)
    rgb[h // 3 : h // 2, w // 4 : w // 2] = (250, 20, 30)
    return rgb.astype(np.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16_interlaced(rgb16):
    """Pillow writes neither 16 bits of RGB nor interlaced files."""
    h, w = rgb16.shape[:2]
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for x, y, dx, dy in passes:
        part = rgb16[y::dy, x::dx]
        if part.size:
            raw += b"".join(b"\0" + row.astype(">u2").tobytes() for row in part)
    head = struct.pack(">IIBBBBB", w, h, 16, 2, 0, 0, 1)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) +
            chunk(b"IEND", b""))


def main():
    rgb = picture(29, 19)
    image = Image.fromarray(rgb)
    alpha = Image.fromarray(((np.arange(29 * 19).reshape(19, 29) * 7) % 256).astype(np.uint8))
    rgba = image.copy()
    rgba.putalpha(alpha)

    image.save(at("rgb.png"))
    rgba.save(at("rgba.png"))
    image.convert("L").save(at("grey.png"))
    image.convert("1").save(at("one-bit.png"))
    image.quantize(11).save(at("palette.png"))
    rgb16 = rgb.astype(np.uint16) * 256 + 255 - rgb
    open(at("interlaced-16.png"), "wb").write(png16_interlaced(rgb16))
    image.save(at("baseline.jpg"), quality=90)
    image.save(at("progressive.jpg"), quality=90, progressive=True)
    image.save(at("whole.jpg"), quality=95, subsampling=0, restart_marker_blocks=2)
    image.convert("L").save(at("grey.jpg"), quality=90)

    for name in sorted(os.listdir(HERE)):
        if name.endswith((".png", ".jpg")):
            read = rgb if name == "interlaced-16.png" else np.asarray(Image.open(at(name)).convert("RGB"))
            out = io.BytesIO()
            Image.fromarray(read).save(out, "PPM")
            open(at(name + ".ppm"), "wb").write(out.getvalue())


main()

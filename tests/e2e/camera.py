"""A video file for Chromium's fake camera: a slow pan over photos, one after the other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

FLAGS = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
"""Of Chromium, besides the file: a camera without hardware, which every page may use."""


def write_video(file: Path, photos: Sequence[Path], *, size_wh: tuple[int, int], frames: int, rate: int) -> list[str]:
    """Write `frames` frames of each photo as uncompressed video (4:2:0), and return the flags that play it for ever."""
    width, height = size_wh
    with file.open("wb") as video:
        video.write(b"YUV4MPEG2 W%d H%d F%d:1 Ip A1:1 C420\n" % (width, height, rate))
        for photo in photos:
            with Image.open(photo) as opened:
                wide = ImageOps.fit(opened.convert("RGB"), (width * 5 // 4, height * 5 // 4))
            for left in np.linspace(0, width // 4, frames).astype(int):
                picture = wide.crop((left, left * height // width, left + width, left * height // width + height))
                planes = picture.convert("YCbCr").split()
                halves = [plane.resize((width // 2, height // 2), Image.Resampling.BOX) for plane in planes[1:]]
                video.write(b"FRAME\n" + b"".join(plane.tobytes() for plane in (planes[0], *halves)))
    return [*FLAGS, f"--use-file-for-fake-video-capture={file}"]

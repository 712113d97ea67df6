"""What ffprobe and ffmpeg may open: one file, by a demuxer that reads one file.

No playlist (hls, dash), no script that joins files (concat), no list of pictures (image2), no session description (sdp), no graph
that makes its own input (lavfi), no device. The sandbox is the other wall: there is no other file in it, and no network.
"""

import shutil
from typing import Final

FORMATS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpegts,mpeg,mpegvideo,h264,hevc,m4v,mp3,aac,amr,amrnb,amrwb,wav,w64,flac,ogg,"
    "asf,flv,aiff,au,caf,dv,mxf,ac3,dhav,mjpeg,rm,gsm,g729,ivf"
)
SAFE: Final[dict[str, str]] = {"protocol_whitelist": "file,pipe", "format_whitelist": FORMATS}


def tool(name: str) -> list[str]:
    """The program with the words that hold it to this."""
    return [
        shutil.which(name) or name,
        "-v",
        "quiet",
        *(word for key, value in SAFE.items() for word in (f"-{key}", value)),
    ]

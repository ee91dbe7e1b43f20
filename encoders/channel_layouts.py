"""FFmpeg's usual arrangement of so many channels of sound."""

from __future__ import annotations

LAYOUTS = {
    1: "mono",
    2: "stereo",
    3: "3.0",
    4: "4.0",
    5: "5.0",
    6: "5.1",
    7: "6.1",
    8: "7.1",
}

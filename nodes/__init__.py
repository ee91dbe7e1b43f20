"""The five nodes. Each is an adapter: convert in, one call, convert out."""

from __future__ import annotations

from .audio_to_mel import AudioToMel
from .ffmpeg_encode import FFmpegEncode
from .lip_sync import MuseTalkLipSync
from .load_avatar import LoadAvatar
from .video_info import VideoInfo

# Literal keys: ComfyUI-Manager reads them without running this.
NODE_CLASS_MAPPINGS = {
    "LoadAvatar": LoadAvatar,
    "AudioToMel": AudioToMel,
    "MuseTalkLipSync": MuseTalkLipSync,
    "FFmpegEncode": FFmpegEncode,
    "VideoInfo": VideoInfo,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "LoadAvatar": "Load Avatar",
    "AudioToMel": "Audio to Mel",
    "MuseTalkLipSync": "MuseTalk Lip Sync",
    "FFmpegEncode": "FFmpeg Encode",
    "VideoInfo": "Video Info",
}

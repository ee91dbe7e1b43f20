"""Words that people type into ComfyUI's search who look for our nodes."""

from __future__ import annotations

_WORDS = {
    "LoadAvatar": (
        "portrait, load portrait, talking portrait, load picture, load face, face, person, "
        "character, presenter, talking head, avatar image, avatar video"
    ),
    "AudioToMel": (
        "speech, voice, load speech, load voice, load audio, audio file, spectrogram, "
        "mel spectrogram, speech to video, text to speech, tts, narration"
    ),
    "MuseTalkLipSync": (
        "lip sync, lipsync, lip-sync, lips, mouth, talking head, talking avatar, "
        "talking photo, talking portrait, audio driven, speech to video, dub, dubbing, "
        "face animation, animate face, portrait animation, puppet, musetalk, wav2lip, "
        "latentsync, sadtalker, liveportrait"
    ),
    "FFmpegEncode": (
        "video combine, combine video, save video, video encode, encode video, export, "
        "export video, render, write video, images to video, image sequence, mp4, gif, webm, "
        "webp, prores, h264, h265, hevc, av1, mux, add audio, replace audio, convert video, "
        "transcode, compress video, ffmpeg"
    ),
    "VideoInfo": (
        "video info, probe, ffprobe, inspect video, video properties, metadata, fps, "
        "frame rate, frame count, duration, resolution, codec, loudness, mediainfo"
    ),
}


def search_words(node: str) -> list[str]:
    """Return the words for a node, by its id."""
    return _WORDS[node].split(", ")

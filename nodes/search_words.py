"""Words that people type into ComfyUI's search who look for our nodes."""

from __future__ import annotations

_WORDS = {
    "LoadAvatar": (
        "portrait, load portrait, talking portrait, load picture, load face, face, person, "
        "character, presenter, talking head, avatar image, avatar video, load video, "
        "load image, read video, 肖像, 人像, 人物, 头像, 数字人, 加载图像, 加载视频"
    ),
    "AudioToMel": (
        "speech, voice, load speech, load voice, load audio, audio file, spectrogram, "
        "mel spectrogram, speech to video, text to speech, tts, narration, sound, load sound, "
        "wav, mp3, flac, audio to video, 声音, 语音, 加载音频, 梅尔, 频谱, 人声, 语音合成, 配音"
    ),
    "MuseTalkLipSync": (
        "lip sync, lipsync, lip-sync, lips, mouth, talking head, talking avatar, "
        "talking photo, talking portrait, audio driven, speech to video, dub, dubbing, "
        "face animation, animate face, portrait animation, puppet, musetalk, wav2lip, "
        "latentsync, sadtalker, liveportrait, sonic, hallo, echomimic, heygem, multitalk, "
        "speak, speaking, speaking portrait, singing, dub video, video dubbing, "
        "translate video, sync audio, face sync, digital human, virtual human, "
        "唇形, 唇形同步, 对口型, 口型, 口型同步, 口播, 数字人, "
        "数字人口播, 虚拟人, 配音, 换音, 说话, 照片说话"
    ),
    "FFmpegEncode": (
        "video combine, combine video, save video, video encode, encode video, export, "
        "export video, render, write video, images to video, image sequence, mp4, gif, webm, "
        "webp, prores, h264, h265, hevc, av1, mux, add audio, replace audio, convert video, "
        "transcode, compress video, ffmpeg, frames to video, create video, video output, "
        "output video, preview video, save gif, animated gif, video to gif, save webp, "
        "animated webp, save mp4, export mp4, export gif, png sequence, mov, mkv, nvenc, loop, "
        "pingpong, merge audio video, combine audio video, add sound, vhs, videohelpersuite, "
        "保存视频, 视频编码, 视频合成, 合并视频, 导出, 导出视频, 压缩, 转码, 转格式, 动图"
    ),
    "VideoInfo": (
        "video info, probe, ffprobe, inspect video, video properties, metadata, fps, "
        "frame rate, frame count, duration, resolution, codec, loudness, lufs, mediainfo, "
        "get fps, video length, video metadata, 视频信息, 媒体信息, 时长, 帧数, 帧率, 分辨率"
    ),
}


def search_words(node: str) -> list[str]:
    """Return the words for a node, by its id."""
    return _WORDS[node].split(", ")

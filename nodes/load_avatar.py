"""LoadAvatar: a picture or a video of a person, and where the lips are."""

from __future__ import annotations

from dataclasses import replace

from ..errors import MediaError
from ..host.current import current_host
from ..media import parse_corners
from ..musetalk.interfaces import LipSyncConfig
from ..options import options_of
from .missing_library import naming_missing_libraries
from .search_words import search_words
from .tensors import one_image
from .widgets import (
    CATEGORY,
    IMAGE_EXTENSIONS,
    VIDEO_EXTENSIONS,
    Values,
    check_file,
    file_names,
    find_file,
    fingerprint,
    own_widget,
    widget,
)

NOT_LINKED = object()
LATER_WIDGETS = ("face_at",)  # prompts saved before do not hold them: they are optional inputs
_FACE_AT = (
    "A point on the face as x,y, in pixels of the first frame: click a face in the preview to "
    "fill it in. If empty, face index decides."
)


class LoadAvatar:
    """Loads a picture or a video and shows the face and lips found in its first frame."""

    CATEGORY = CATEGORY
    FUNCTION = "load"
    RETURN_TYPES = ("AVATAR", "IMAGE", "IMAGE")
    RETURN_NAMES = ("avatar", "image", "face")
    OUTPUT_TOOLTIPS = (
        "The avatar, for MuseTalk Lip Sync.",
        "The first frame.",
        "The first frame with the face box and the lips that were found.",
    )
    DESCRIPTION = "Loads a picture or a video of a person as an avatar and finds the lips in it."
    SEARCH_ALIASES = search_words("LoadAvatar")
    HAS_INTERMEDIATE_OUTPUT = True  # the page hears what it shows also when it is cached

    @classmethod
    def INPUT_TYPES(cls) -> Values:
        files = file_names(current_host(), IMAGE_EXTENSIONS | VIDEO_EXTENSIONS)
        options = options_of(LipSyncConfig)
        tooltip = "A picture or video file from the input folder, or a sample."
        return {
            "required": {
                "avatar": (files, {"tooltip": tooltip}),
                "mouth": widget(options["mouth"], default=""),
                "face_index": widget(options["face_index"]),
            },
            "optional": {
                "path": (
                    "STRING",
                    {
                        "forceInput": True,
                        "tooltip": "The path of a picture or video from another node (STRING); it "
                        "is used instead of the file.",
                    },
                ),
                "face_at": own_widget("", _FACE_AT),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, avatar: str | None, path: object = NOT_LINKED) -> bool | str:
        # The host passes None for an input that is linked, which check_file lets through.
        return check_file(current_host(), avatar if path is NOT_LINKED else path)

    @classmethod
    def IS_CHANGED(
        cls,
        avatar: str,
        mouth: str = "",
        face_index: int = 0,
        path: object = NOT_LINKED,
        face_at: str = "",
    ) -> tuple[float, ...]:
        if path is None:  # linked, and hosts do not say to what
            return ()
        return fingerprint(current_host(), avatar if path is NOT_LINKED else path)

    @naming_missing_libraries
    def load(
        self, avatar: str, mouth: str, face_index: int, path: str | None = None, face_at: str = ""
    ) -> Values:
        from ..musetalk.face.finder import Sought, faces_beside, locate
        from ..musetalk.face.overlay import draw_overlay
        from ..musetalk.face.wish import parse_point
        from ..musetalk.inputs import load_avatar

        host, corners, point = current_host(), parse_corners(mouth), parse_point(face_at)
        file, check = find_file(host, avatar if path is None else path), host.check_cancelled
        loaded = load_avatar(file, corners=corners, face_index=face_index, check=check)
        frame = loaded.first_frame()
        folders = host.model_directories
        sought = Sought(
            face_index=face_index, point=point, corners=corners, check=check, model_folders=folders
        )
        location = locate(frame, sought)
        if point is not None and location.box is None:
            reason = location.reason[:1].upper() + location.reason[1:]
            raise MediaError(f"{reason}: click a face in the preview, or clear face at.")
        boxes = faces_beside(frame, location, folders)
        faces = [[round(float(edge), 1) for edge in box] for box in boxes]
        lips = [list(location.lips.corners)] if location.lips is not None else []
        avatar_and_face = replace(loaded, face=location, face_point=point)  # as it is shown
        result = (avatar_and_face, one_image(frame), one_image(draw_overlay(frame, location)))
        shown = {"avatar_lips": lips, "avatar_faces": faces, "text": [location.reason]}
        return {"ui": shown, "result": result}

"""Numbers for a talking video, whoever made it: by the face mesh and the sound."""

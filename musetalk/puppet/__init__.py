"""What speaks when MuseTalk's files are missing: a warped mouth, or a still picture."""

"""The room inside the sandbox: parsers of foreign media, one format each.

``python -m mediad.parsers`` reads one JSON request on standard input and prints one JSON line per file (see ``__main__``). Nothing
here is imported by the rest of the program; edges/media.py starts it by its name, behind the walls of edges/sandbox.py, and takes
nothing of what it says on trust. It knows the standard library, exifread, ffmpeg-python, Pillow, and mediad.model.
"""

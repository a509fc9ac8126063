"""Each module ``<group>_<what>.py`` makes one table: this project beside what a user would run instead, in one run.

``python -m hf_model benchmark`` runs them. A module has ``NAME`` (its file's stem), ``TITLE``, ``run(options)`` that
gives the result as JSON-able data, and ``table(section)`` that turns exactly that into Markdown. It imports nothing
heavy before ``run`` is called. ``peers/`` holds the plain scripts that are compared with.
"""

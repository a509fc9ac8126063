"""What the Gradio page shows: the answer in words, its figures, the pictures, the batch table, the model's files.

Everything here turns finished objects (``Prediction``, ``Decision``, the checkpoint's files) into HTML or rows. Layout
and event wiring are in ``app.py``. Needs numpy, Pillow and gradio; never torch or matplotlib.
"""

"""A folder through transformers' pipeline, as its documentation has it: ``pipeline_folder.py MODEL FOLDER BATCH CSV``.

Prints the seconds from the first picture to the last, without loading the model.
"""

import csv
import sys
import time
from pathlib import Path

from transformers import pipeline

if __name__ == "__main__":
    model, folder, batch_size, output = sys.argv[1:]
    classify = pipeline("image-classification", model=model)
    files = sorted(map(str, Path(folder).iterdir()))
    classify(files[0])
    start = time.perf_counter()
    with Path(output).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["name", "label", "score"])
        answers = classify((name for name in files), batch_size=int(batch_size))
        for name, answer in zip(files, answers, strict=True):
            table.writerow([name, answer[0]["label"], answer[0]["score"]])
    print(time.perf_counter() - start)

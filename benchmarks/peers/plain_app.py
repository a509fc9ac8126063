"""The least app that answers with the same weights, as the documentation of Gradio and transformers has it."""

import sys

import gradio as gr
from transformers import pipeline

classify = pipeline("image-classification", model=sys.argv[1])


def predict(image):
    """Label -> score."""
    return {answer["label"]: answer["score"] for answer in classify(image)}


gr.Interface(predict, gr.Image(type="pil"), gr.Label(), api_name="predict").launch()

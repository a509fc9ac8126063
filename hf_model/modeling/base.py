"""The one door through which every base checkpoint comes: by name, Hub id or folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification

from hf_model.config import BASELINE, ID2LABEL, LABEL2ID
from hf_model.modeling.freezing import ModelError, head_of, mend_batch_norm
from hf_model.modeling.heads import PLAIN, check_head, mend_head_norms
from hf_model.modeling.lite import PROCESSOR as LITE0_PROCESSOR
from hf_model.modeling.lite import bypass_neutral_gates, load_lite0
from hf_model.modeling.modeling_chest_xray import ChestXrayForImageClassification, baseline_cnn, with_head, without_head
from hf_model.radiograph.preprocess import Preprocessing

NAMED = {f"efficientnet-b{i}": f"google/efficientnet-b{i}" for i in range(8)}
NAMED["mobilenet-v2"] = "google/mobilenet_v2_1.0_224"
LITE0 = "efficientnet-lite0"


@dataclass
class BaseModel:
    """A two-label model ready to be fine-tuned, and the preprocessing that goes with it."""

    model: nn.Module
    preprocessing: Preprocessing
    name: str
    hub_id: str | None


def load_base_model(
    name: str,
    *,
    dropout: float | None = None,
    image_size: int | None = None,
    token: str | None = None,
    head: str | None = None,
) -> BaseModel:
    """Load a base checkpoint with a two-label head, its BatchNorm momentum mended and its preprocessing made explicit.

    Args:
        name: ``efficientnet-lite0`` (needs no network), ``efficientnet-b0`` to ``-b7``, ``mobilenet-v2``, the Hub id of
            any image-classification model, a folder, or ``baseline-cnn`` (random weights). A checkpoint with these two
            labels keeps its head.
        dropout: before the head; None leaves the checkpoint's own.
        image_size: pixels a side; None for the checkpoint's own.
        token: for a private Hub checkpoint.
        head: a name of ``heads.HEADS`` to put a fresh one on; None or ``plain`` for the base's own linear one.

    Raises:
        ModelError: nothing there, a model that cannot be used, or a head that cannot be had.
    """
    if dropout is not None and (name == BASELINE or check_head(head or PLAIN) != PLAIN):
        raise ModelError("--dropout belongs to the plain head: a named head has its own.")
    labels = {"num_labels": 2, "id2label": dict(ID2LABEL), "label2id": dict(LABEL2ID)}
    if name == LITE0:
        size = image_size or 224
        model = load_lite0(**labels, image_size=size, **({} if dropout is None else {"dropout_rate": dropout}))
        processor, hub_id = dict(LITE0_PROCESSOR), None
    elif name == BASELINE:
        model, processor, hub_id = baseline_cnn(head, image_size), dict(LITE0_PROCESSOR), None
    else:
        hub_id = None if Path(name).expanduser().is_dir() else NAMED.get(name, name)
        model, processor = _from_pretrained(hub_id or str(Path(name).expanduser()), labels, dropout, token)
    bypass_neutral_gates(model)
    mend_batch_norm(model)
    preprocessing = _preprocessing(processor, image_size or _own_size(model, processor), name)
    model = _with_own_head(model, head, dropout)
    head_of(model)
    model.config.image_size = preprocessing.height
    return BaseModel(model, preprocessing, name, hub_id)


def _with_own_head(model: nn.Module, head: str | None, dropout: float | None) -> nn.Module:
    """The head that was asked for, unless the model has it; a linear one stays a plain transformers model's."""
    if isinstance(model, ChestXrayForImageClassification):
        if head == PLAIN:
            return without_head(model, dropout)
        if head not in (None, model.config.chest_xray_head):
            model = with_head(model, head)
        mend_head_norms(model.classifier)
        return model
    return model if head in (None, PLAIN) else with_head(model, head)


def _from_pretrained(
    source: str, labels: dict[str, object], dropout: float | None, token: str | None
) -> tuple[nn.Module, dict[str, object]]:
    try:
        config = AutoConfig.from_pretrained(source, token=token)
        processor = AutoImageProcessor.from_pretrained(source, token=token).to_dict()
        for key in ("dropout_rate", "classifier_dropout_prob"):
            if dropout is not None and hasattr(config, key):
                setattr(config, key, dropout)
        _keep_labels(config, labels)
        model = AutoModelForImageClassification.from_pretrained(
            source, config=config, token=token, use_safetensors=True, ignore_mismatched_sizes=True
        )
    except (OSError, ValueError) as error:
        raise ModelError(
            f"--base_model {source}: cannot be loaded as an image-classification model with safetensors weights "
            f"({str(error).splitlines()[0]}). Without a network use --base_model {LITE0} or a folder."
        ) from error
    return model, processor


def _keep_labels(config: object, labels: dict[str, object]) -> None:
    """Ours in the order 0 NORMAL, 1 PNEUMONIA; a checkpoint with the same labels the other way round is refused."""
    own = {str(v).upper(): int(k) for k, v in (getattr(config, "id2label", None) or {}).items()}
    if set(own) == set(LABEL2ID) and own != LABEL2ID:
        raise ModelError("The base checkpoint has PNEUMONIA as label 0: swap its two outputs before fine-tuning it.")
    config.num_labels = labels["num_labels"]
    config.id2label, config.label2id = labels["id2label"], labels["label2id"]


def _own_size(model: nn.Module, processor: dict[str, object]) -> int:
    if isinstance(model, ChestXrayForImageClassification):
        return int(model.config.image_size)
    size = processor.get("crop_size") if processor.get("do_center_crop") else processor.get("size")
    if isinstance(size, dict) and (side := size.get("height") or size.get("shortest_edge")):
        return int(side)
    return int(getattr(model.config, "image_size", 224))


def _preprocessing(processor: dict[str, object], side: int, name: str) -> Preprocessing:
    """The base's normalisation with our geometry: stretch to a square, bicubic with antialiasing, no crop.

    Some checkpoints resample by nearest neighbour, which leaves the answer to chance, or crop the centre, which cuts
    off the costophrenic angles. Fine-tuning adapts to the geometry; the normalisation is kept exactly.
    """
    settings = processor | {
        "size": {"height": side, "width": side},
        "resample": 3,
        "do_center_crop": False,
        "do_resize": True,
    }
    try:
        return Preprocessing.from_dict(settings)
    except ValueError as error:
        raise ModelError(f"--base_model {name}: its preprocessing cannot be expressed here: {error}") from error

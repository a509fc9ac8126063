"""Load a base checkpoint for fine-tuning: by name, Hub id or folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification

from hf_model.config import BASELINE, ID2LABEL, LABEL2ID
from hf_model.modeling import lite
from hf_model.modeling.freezing import ModelError, head_of, set_batch_norm_momentum
from hf_model.modeling.heads import PLAIN, check_head, set_head_norm_momentum
from hf_model.modeling.modeling_chest_xray import ChestXrayForImageClassification, baseline_cnn, with_head, without_head
from hf_model.radiograph.preprocess import Preprocessing

HUB_IDS = {f"efficientnet-b{i}": f"google/efficientnet-b{i}" for i in range(8)}
HUB_IDS["mobilenet-v2"] = "google/mobilenet_v2_1.0_224"
NAMES = (*lite.VARIANTS, *HUB_IDS)
"""Base checkpoints with ImageNet weights that have a short name."""


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
    """Load a base checkpoint with a two-label head, BatchNorm momentum of PyTorch's meaning and explicit preprocessing.

    Args:
        name: ``efficientnet-lite0`` (needs no network), ``efficientnet-b0`` to ``-b7``, ``mobilenet-v2``, the Hub id of
            any image-classification model, a folder, or ``baseline-cnn`` (random weights). A checkpoint with these two
            labels keeps its head.
        dropout: before the head; None leaves the checkpoint's own.
        image_size: pixels a side; None for the checkpoint's own.
        token: for a private Hub checkpoint.
        head: a name of ``heads.HEADS`` for a fresh head; None or ``plain`` for the base's own linear one.

    Raises:
        ModelError: no such checkpoint, a model that cannot be used, or a head that does not fit it.
    """
    if dropout is not None and (name == BASELINE or check_head(head or PLAIN) != PLAIN):
        raise ModelError("--dropout belongs to the plain head: a named head has its own.")
    labels = {"num_labels": 2, "id2label": dict(ID2LABEL), "label2id": dict(LABEL2ID)}
    hub_id, processor = None, lite.PROCESSOR
    if name in lite.VARIANTS:
        model = lite.load_lite(name, **labels, **({} if dropout is None else {"dropout_rate": dropout}))
    elif name == BASELINE:
        model = baseline_cnn(head, image_size)
    else:
        hub_id = None if Path(name).expanduser().is_dir() else HUB_IDS.get(name, name)
        model, processor = _from_pretrained(hub_id or str(Path(name).expanduser()), labels, dropout, token)
    lite.bypass_neutral_squeeze_excite(model)
    set_batch_norm_momentum(model)
    preprocessing = _preprocessing(processor, image_size or _own_size(model, processor), name)
    model = _with_own_head(model, head, dropout)
    head_of(model)
    model.config.image_size = preprocessing.height
    return BaseModel(model, preprocessing, name, hub_id)


def _with_own_head(model: nn.Module, head: str | None, dropout: float | None) -> nn.Module:
    """The model with the head that was asked for; one with a linear head stays a model of transformers alone."""
    if isinstance(model, ChestXrayForImageClassification):
        if head == PLAIN:
            return without_head(model, dropout)
        if head not in (None, model.config.chest_xray_head):
            model = with_head(model, head)
        set_head_norm_momentum(model.classifier)
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
            f"({str(error).splitlines()[0]}). Without a network use --base_model efficientnet-lite0 or a folder."
        ) from error
    return model, processor


def _keep_labels(config: object, labels: dict[str, object]) -> None:
    """Set our labels, 0 NORMAL and 1 PNEUMONIA; a checkpoint with the same labels in the other order is refused."""
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

"""The lung segmentation network: a small U-Net from one grey picture to the lungs' outline and the picture's view.

An encoder of plain convolutions down to one sixteenth of the side, inverted residuals at the end (Sandler et al., CVPR
2018), and a decoder that adds the encoder's maps on the way up (U-Net: Ronneberger et al., MICCAI 2015; added rather
than concatenated, as in LinkNet). The outline is computed at half of the side: lungs are smooth, and enlarging the
map bilinearly loses less than people differ by.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hf_model.segmentation.outline import TURNS
from hf_model.segmentation.weights import ATTRIBUTION, FORMAT, REMEDY, WEIGHTS, read_header

VIEW_OUTPUTS = len(TURNS) + 2
"""Logits of the view: four turns, then inverted greys, then mirrored."""


@dataclass(frozen=True)
class LungNetworkConfig:
    """Architecture of a :class:`LungNetwork`.

    size: side of the square input in pixels, a multiple of 16. channels: at 1/2, 1/4, 1/8 and 1/16 of the side. blocks:
    inverted residuals at 1/16.
    """

    size: int = 192
    channels: tuple[int, int, int, int] = (16, 32, 48, 80)
    blocks: int = 3

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 16:
            raise ValueError(f"the network's side is {self.size}; give a multiple of 16, at least 32")
        if len(self.channels) != 4 or min(self.channels) < 1 or self.blocks < 0:
            raise ValueError(f"channels are {self.channels} and blocks {self.blocks}; give 4 numbers of 1 or more")


class LungNetwork(nn.Module):
    """Grey values float (N, 1, size, size), 0 to 255 -> logits of the outline and of the view.

    The outline: (N, 1, size / 2, size / 2), of a pixel lying in either lung. The view: (N, 6), see ``VIEW_OUTPUTS``.
    """

    def __init__(self, config: LungNetworkConfig) -> None:
        super().__init__()
        self.config = config
        half, quarter, eighth, sixteenth = config.channels
        self.stem = _convolution(1, half, kernel=5, stride=2)
        self.down4 = nn.Sequential(_convolution(half, quarter, stride=2), _convolution(quarter, quarter))
        self.down8 = nn.Sequential(
            _convolution(quarter, eighth, stride=2), _convolution(eighth, eighth), _InvertedResidual(eighth)
        )
        blocks = [_InvertedResidual(sixteenth) for _ in range(config.blocks)]
        self.down16 = nn.Sequential(_convolution(eighth, sixteenth, stride=2), *blocks)
        self.narrow8, self.up8 = nn.Conv2d(sixteenth, eighth, 1), _convolution(eighth, eighth)
        self.refine8 = _InvertedResidual(eighth)
        self.narrow4, self.up4 = nn.Conv2d(eighth, quarter, 1), _convolution(quarter, quarter)
        self.narrow2, self.up2 = nn.Conv2d(quarter, half, 1), _convolution(half, half)
        self.outline = nn.Conv2d(half, 1, 1)
        self.view = nn.Linear(sixteenth, VIEW_OUTPUTS)

    def forward(self, grey: Tensor) -> tuple[Tensor, Tensor]:
        # each picture by its own mean and spread, so that exposure and window matter little
        mean = grey.mean((2, 3), keepdim=True)
        centred = grey - mean
        x2 = self.stem(centred / (centred.square().mean((2, 3), keepdim=True) + 1.0).sqrt())
        x4 = self.down4(x2)
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        y = self.refine8(self.up8(x8 + _enlarge(self.narrow8(x16))))
        y = self.up4(x4 + _enlarge(self.narrow4(y)))
        y = self.up2(x2 + _enlarge(self.narrow2(y)))
        return self.outline(y), self.view(x16.mean((2, 3)))


class ServedNetwork(nn.Module):
    """What is served: the same input -> probabilities of the outline (N, 1, h, w) and of the view (N, 6)."""

    def __init__(self, network: LungNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, grey: Tensor) -> tuple[Tensor, Tensor]:
        outline, view = self.network(grey)
        turns = len(TURNS)
        return outline.sigmoid(), torch.cat([view[:, :turns].softmax(1), view[:, turns:].sigmoid()], dim=1)


def save_network(network: LungNetwork, folder: str | Path, about: dict[str, Any] | None = None) -> Path:
    """Write ``lungs.safetensors`` with the configuration in its header; give its path.

    about: facts of the training to keep beside it, as JSON.
    """
    path = Path(folder) / WEIGHTS
    header = {
        "format": FORMAT,
        "config": json.dumps(asdict(network.config)),
        "training": json.dumps(about or {}),
        "attribution": ATTRIBUTION,
    }
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, path, metadata=header)
    return path


def load_network(folder: str | Path) -> LungNetwork:
    """Read ``lungs.safetensors`` of a folder, in evaluation mode.

    Raises ValueError, naming the file, where it holds no such network.
    """
    path = Path(folder) / WEIGHTS
    settings = dict(read_header(path)["config"])
    try:
        network = LungNetwork(LungNetworkConfig(**settings | {"channels": tuple(settings["channels"])}))
        network.load_state_dict(load_file(path))
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} holds no lung network ({error}); {REMEDY}") from error
    return network.eval()


class _InvertedResidual(nn.Module):
    """Expand, 5 x 5 depthwise, project, add."""

    def __init__(self, channels: int, expansion: int = 2) -> None:
        super().__init__()
        wide = channels * expansion
        self.body = nn.Sequential(
            _convolution(channels, wide, kernel=1),
            _convolution(wide, wide, kernel=5, groups=wide),
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels, momentum=0.05),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, momentum=0.05),
        nn.ReLU(inplace=True),
    )


def _enlarge(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

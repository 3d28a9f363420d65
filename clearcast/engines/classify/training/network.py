"""The keyword network: a small residual CNN over time, the coefficients being its channels.

What lives here: the network in PyTorch. What does not: its training, and its use (ONNX Runtime).

Source: Choi et al., "Temporal convolution for real-time keyword spotting on mobile devices", 2019
(TC-ResNet), with the mean and the maximum over time pooled together.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.engines.classify._features import COEFFICIENTS

CHANNELS = (48, 64, 80, 96)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(inputs, outputs, 7, stride, 3, bias=False)
        self.first_norm = nn.BatchNorm1d(outputs)
        self.second = nn.Conv1d(outputs, outputs, 5, 1, 2, groups=4, bias=False)
        self.second_norm = nn.BatchNorm1d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv1d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm1d(outputs)
            )

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = functional.relu(self.first_norm(self.first(inputs)))
        hidden = self.second_norm(self.second(hidden))
        return functional.relu(hidden + self.shortcut(inputs))


class KeywordNetwork(nn.Module):
    """(batch, COEFFICIENTS, frames) → scores before softmax, (batch, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(COEFFICIENTS, CHANNELS[0], 5, 1, 2, bias=False),
            nn.BatchNorm1d(CHANNELS[0]),
            nn.ReLU(),
        )
        blocks, inputs = [], CHANNELS[0]
        for index, outputs in enumerate(CHANNELS):
            blocks.append(_Block(inputs, outputs, 2 if index else 1))
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.drop = nn.Dropout(0.3)
        self.scores = nn.Linear(2 * inputs, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.blocks(self.stem(inputs))
        pooled = torch.cat([hidden.mean(dim=2), hidden.amax(dim=2)], dim=1)
        return cast(Tensor, self.scores(self.drop(pooled)))

"""BiSeNet: which part of the head each pixel of a crop is.

Yu et al. 2018 in the form without a spatial path, 19 classes of CelebAMask-HQ; state-dict names of the
published `79999_iter.pth`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = (
    *("background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "eye_glasses", "l_ear", "r_ear", "earring"),
    *("nose", "mouth", "u_lip", "l_lip", "neck", "necklace", "cloth", "hair", "hat"),
)
BACKGROUND = tuple(CLASSES.index(name) for name in ("background", "cloth", "hat"))
PARSE_SIZE = 512
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class ConvBN(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, 1, size // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class BasicBlock(nn.Module):
    """Residual block of ResNet-18."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(self.downsample(x) + y)


class ResNet18(nn.Module):
    """Features at an eighth, sixteenth and thirty-second of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        eighth = self.layer2(self.layer1(x))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class AttentionRefinement(nn.Module):
    """Features weighted by what their global mean says."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvBN(inputs, outputs)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        mean = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.bn_atten(self.conv_atten(mean)))


class ContextPath(nn.Module):
    """ResNet-18 and the way back up to an eighth of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet18()
        self.arm16 = AttentionRefinement(256, 128)
        self.arm32 = AttentionRefinement(512, 128)
        self.conv_head32 = ConvBN(128, 128)
        self.conv_head16 = ConvBN(128, 128)
        self.conv_avg = ConvBN(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """ResNet features at an eighth, context at an eighth, context at a sixteenth brought to an eighth."""
        eighth, sixteenth, coarsest = self.resnet(x)
        whole = self.conv_avg(coarsest.mean((2, 3), keepdim=True))
        up32 = self.conv_head32(_nearest(self.arm32(coarsest) + whole, sixteenth))
        up16 = self.conv_head16(_nearest(self.arm16(sixteenth) + up32, eighth))
        return eighth, up16, up32


class FeatureFusion(nn.Module):
    """Join fine and context features."""

    def __init__(self, channels: int = 256) -> None:
        super().__init__()
        self.convblk = ConvBN(channels, channels, 1)
        self.conv1 = nn.Conv2d(channels, channels // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1, bias=False)

    def forward(self, fine: Tensor, context: Tensor) -> Tensor:
        x = self.convblk(torch.cat([fine, context], 1))
        mean = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.conv2(F.relu(self.conv1(mean)))) + x


class Head(nn.Module):
    """Features to class scores."""

    def __init__(self, inputs: int, middle: int, classes: int) -> None:
        super().__init__()
        self.conv = ConvBN(inputs, middle)
        self.conv_out = nn.Conv2d(middle, classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.conv(x))


class BiSeNet(nn.Module):
    """The auxiliary heads served training only; they stay so that checkpoints load strictly."""

    def __init__(self, classes: int = len(CLASSES)) -> None:
        super().__init__()
        self.cp = ContextPath()
        self.ffm = FeatureFusion()
        self.conv_out = Head(256, 256, classes)
        self.conv_out16 = Head(128, 64, classes)
        self.conv_out32 = Head(128, 64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images (N, 3, H, W) to class scores (N, 19, H, W)."""
        eighth, context, _ = self.cp(x)
        return _stretch(self.conv_out(self.ffm(eighth, context)), x)

    def auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the two training heads, at the size of `x`."""
        _, up16, up32 = self.cp(x)
        return _stretch(self.conv_out16(up16), x), _stretch(self.conv_out32(up32), x)

    def prepare(self, crops: Tensor, size: int = PARSE_SIZE) -> Tensor:
        """Crops in [-1, 1] to what the network was trained on.

        Nearest resize, as published: of a 1024 crop it takes every second pixel.
        """
        x = F.interpolate(crops, (size, size), mode="nearest").clamp(-1, 1) * 0.5 + 0.5
        mean, std = (x.new_tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))
        return (x - mean) / std

    def labels(self, crops: Tensor) -> Tensor:
        """Crops (N, 3, H, W) in [-1, 1] to class numbers (N, 512, 512), int64."""
        return self(self.prepare(crops)).argmax(1)

    def parse(self, crops: Tensor) -> Tensor:
        """Crops (N, 3, H, W) in [-1, 1] to class numbers (N, H, W), int64: `labels`, the nearest one each."""
        labels = self.labels(crops)
        if labels.shape[1:] == crops.shape[2:]:
            return labels
        return F.interpolate(labels[:, None].float(), crops.shape[2:], mode="nearest")[:, 0].long()

    def foreground(self, crops: Tensor) -> Tensor:
        """Crops (N, 3, H, W) in [-1, 1] to (N, 512, 512): 1 on face, hair and neck, 0 elsewhere."""
        return foreground_of(self.labels(crops))


def foreground_of(labels: Tensor) -> Tensor:
    """Class numbers to 1 where the edit may act."""
    behind = torch.zeros_like(labels, dtype=torch.bool)
    for label in BACKGROUND:
        behind |= labels == label
    return (~behind).float()


def _nearest(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode="nearest")


def _stretch(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)

"""The BioViL-T image encoder and RaDialog's findings classifier in PyTorch, with the shapes of the papers: a
ResNet-50 (v1.5), a 1x1 convolution to 256 channels, the learned stand-in for a previous image beside them, a
projector to 128, 4x4 average pooling and two linear layers."""
import torch
from torch import nn


class Bottleneck(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or channels != 4 * width:
            self.downsample = nn.Sequential(nn.Conv2d(channels, 4 * width, 1, stride, bias=False),
                                            nn.BatchNorm2d(4 * width))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        h = self.relu(self.bn1(self.conv1(x)))
        h = self.relu(self.bn2(self.conv2(h)))
        return self.relu(self.bn3(self.conv3(h)) + shortcut)


class Encoder(nn.Module):
    """(B, 3, S, S) -> patch embeddings (B, 512, S/32, S/32) and their mean (B, 512)."""

    def __init__(self, width=256):
        super().__init__()
        layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
                  nn.MaxPool2d(3, 2, 1)]
        channels = 64
        for stage, blocks in enumerate((3, 4, 6, 3)):
            for block in range(blocks):
                layers.append(Bottleneck(channels, 64 << stage, 2 if stage and not block else 1))
                channels = 256 << stage
        self.trunk = nn.Sequential(*layers)
        self.backbone_to_vit = nn.Conv2d(channels, width, 1, bias=False)
        self.missing_previous_emb = nn.Parameter(torch.randn(1, width, 1, 1))

    def forward(self, image):
        own = self.backbone_to_vit(self.trunk(image))
        patches = torch.cat([own, self.missing_previous_emb.to(own.dtype).expand_as(own)], 1)
        return patches, patches.mean((2, 3))


class Classifier(nn.Module):
    def __init__(self, size, width=256, joint=128):
        super().__init__()
        side = (size + 31) // 32 // 4
        self.encoder = Encoder(width)
        self.projector = nn.Sequential(nn.Conv2d(2 * width, joint, 1, bias=False), nn.BatchNorm2d(joint),
                                       nn.ReLU(inplace=True), nn.Conv2d(joint, joint, 1))
        self.pool = nn.AvgPool2d(4, 4)
        self.fc1 = nn.Linear(joint * side * side, 512)
        self.fc2 = nn.Linear(512, 14)

    def forward(self, image):
        h = self.pool(self.projector(self.encoder(image)[0]))
        return self.fc2(torch.relu(self.fc1(h.flatten(1))))


def images_from_bytes(pixels, channels_last):
    """u8 (B, S, S) -> (B, 3, S, S) in [0, 1], as the reference's transform: v / 255, the channel three times."""
    x = (pixels.float() / 255).unsqueeze(1).expand(-1, 3, -1, -1)
    return x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)

"""The reference models of the first stage, for the golden scripts beside this file.

The encoder is hi-ml's (health_multimodal.image, its own classes and forward functions, torchvision's
ResNet under it); the findings classifier's head is plain torch. Weights, statistics and images are not
stored: a counter-based hash draws them here and in tests/models/helper_reference.c alike.

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install torch==1.13.1 torchvision==0.14.1 'numpy<2' transformers==4.28.1 timm==0.4.12 \\
        hi-ml-multimodal==0.2.2 safetensors
"""
import numpy
import torch
from health_multimodal.image.model.model import ImageModel, MultiImageModel
from health_multimodal.image.model.modules import MLP
from health_multimodal.image.model.resnet import ResNetHIML
from health_multimodal.image.model.transformer import VisionTransformerPooler
from health_multimodal.image.model.types import ImageEncoderType
from torchvision.models.resnet import Bottleneck

from draws import GOLDEN, uniform, values  # GOLDEN is for the scripts that import this file

BLOCK = 8  # images are drawn in squares of so many pixels

# As "small" in tests/models/helper_reference.c.
SMALL = dict(size=128, stem=8, width=(4, 6, 8, 10), blocks=(1, 2, 1, 1), vit=16, heads=2, pooler=2, joint=12,
             pool=2, hidden=16, classes=14)


# --- weights and images ------------------------------------------------------------------------------
def fill(model):
    for name, x in model.state_dict().items():
        if x.is_floating_point():
            x.copy_(values(name, tuple(x.shape)))
    return model


def images(name, batch, size):
    """(B, 3, S, S), three equal channels."""
    cells = size // BLOCK
    x = torch.from_numpy(uniform(name, batch * cells * cells)).reshape(batch, 1, cells, cells)
    return x.repeat_interleave(BLOCK, 2).repeat_interleave(BLOCK, 3).repeat(1, 3, 1, 1)


# --- models ----------------------------------------------------------------------------------------
class Classifier(torch.nn.Module):
    """4x4 (here: pool x pool) average pooling, channel-major flattening, two linear layers."""

    def __init__(self, encoder, pool, features, hidden, classes):
        super().__init__()
        self.biovil_encoder = encoder
        self.pool = torch.nn.AvgPool2d(pool)
        self.fc1 = torch.nn.Linear(features, hidden)
        self.fc2 = torch.nn.Linear(hidden, classes)

    def head(self, projected):
        return self.fc2(torch.relu(self.fc1(torch.flatten(self.pool(projected), 1))))

    def forward(self, image, previous=None):
        if previous is None:  # as RaDialog calls it
            return self.head(ImageModel.forward(self.biovil_encoder, image).projected_patch_embeddings)
        return self.head(self.biovil_encoder(image, previous).projected_patch_embeddings)


def full_encoder():
    """Random weights: nothing is downloaded."""
    return MultiImageModel(img_encoder_type=ImageEncoderType.RESNET50_MULTI_IMAGE, joint_feature_size=128)


def full_classifier():
    return fill(Classifier(full_encoder(), 4, 2048, 512, 14))


def small_resnet(stem, width, blocks):
    net = ResNetHIML(block=Bottleneck, layers=[1, 1, 1, 1])
    net.inplanes = stem
    net.conv1 = torch.nn.Conv2d(3, stem, 7, 2, 3, bias=False)
    net.bn1 = torch.nn.BatchNorm2d(stem)
    for i in range(4):
        setattr(net, f"layer{i + 1}", net._make_layer(Bottleneck, width[i], blocks[i], stride=1 if i == 0 else 2))
    net.fc = torch.nn.Identity()
    return net


def small_classifier():
    """hi-ml's image model with smaller modules of the same classes in the places of its own."""
    c, model = SMALL, full_encoder()
    grid, vit = c["size"] // 32, c["vit"]
    inner = model.encoder
    inner.encoder = small_resnet(c["stem"], c["width"], c["blocks"])
    inner.backbone_to_vit = torch.nn.Conv2d(4 * c["width"][3], vit, 1, bias=False)
    inner.vit_pooler = VisionTransformerPooler(vit, (grid, grid), num_heads=c["heads"], num_blocks=c["pooler"])
    inner.missing_previous_emb = torch.nn.Parameter(torch.zeros(1, vit, 1, 1))
    model.projector = MLP(2 * vit, c["joint"], c["joint"], use_1x1_convs=True)
    features = c["joint"] * (grid // c["pool"]) ** 2
    return fill(Classifier(model, c["pool"], features, c["hidden"], c["classes"]))


def positive_weights(classes):
    """log(N / count) of made-up counts, in f32."""
    counts = 40 + numpy.floor(uniform("counts", classes) * 800)
    return torch.from_numpy(numpy.log(1000 / counts).astype(numpy.float32))


def targets(name, batch, classes):
    return torch.from_numpy((uniform(name, batch * classes) < 0.4).astype(numpy.float64)).reshape(batch, classes)

"""Teacher and student in PyTorch eager, with the state-dict names of packages/models."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs, out, kernel, eps=1e-5, **options):
        super().__init__()
        self.conv = nn.Conv2d(inputs, out, kernel, bias=False, **options)
        self.bn = nn.BatchNorm2d(out, eps=eps)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)), inplace=True)


def face(inputs, out, kernel, **options):
    """ConvNorm with the epsilon of facenet's networks."""
    return ConvNorm(inputs, out, kernel, eps=1e-3, **options)


class Residual(nn.Module):
    """Inception-ResNet's block: branches, joined, scaled and added to the input."""

    def __init__(self, channels, branches, scale):
        super().__init__()
        self.scale = scale
        self.count = len(branches)
        width = 0
        for i, layers in enumerate(branches):
            width += layers[-1].conv.out_channels
            branch = layers[0] if len(layers) == 1 else nn.Sequential(*layers)
            self.add_module(f"branch{i}", branch)
        self.conv2d = nn.Conv2d(width, channels, 1)

    def forward(self, x):
        parts = [getattr(self, f"branch{i}")(x) for i in range(self.count)]
        return F.relu(self.conv2d(torch.cat(parts, 1)) * self.scale + x, inplace=True)


def block35():
    return Residual(
        256,
        [
            [face(256, 32, 1)],
            [face(256, 32, 1), face(32, 32, 3, padding=1)],
            [face(256, 32, 1), face(32, 32, 3, padding=1), face(32, 32, 3, padding=1)],
        ],
        0.17,
    )


def block17():
    wide = face(128, 128, (1, 7), padding=(0, 3))
    high = face(128, 128, (7, 1), padding=(3, 0))
    return Residual(896, [[face(896, 128, 1)], [face(896, 128, 1), wide, high]], 0.1)


class Reduction(nn.Module):
    """Inception-ResNet's mixed_6a: two strided branches and a maximum pool, joined."""

    def __init__(self):
        super().__init__()
        self.branch0 = face(256, 384, 3, stride=2)
        self.branch1 = nn.Sequential(
            face(256, 192, 1), face(192, 192, 3, padding=1), face(192, 256, 3, stride=2)
        )

    def forward(self, x):
        return torch.cat([self.branch0(x), self.branch1(x), F.max_pool2d(x, 3, 2)], 1)


def trunk():
    """InceptionResnetV1 up to repeat_2: [3, 140, 140] to [896, 7, 7]."""
    return nn.Sequential(
        OrderedDict(
            conv2d_1a=face(3, 32, 3, stride=2),
            conv2d_2a=face(32, 32, 3),
            conv2d_2b=face(32, 64, 3, padding=1),
            maxpool_3a=nn.MaxPool2d(3, 2),
            conv2d_3b=face(64, 80, 1),
            conv2d_4a=face(80, 192, 3),
            conv2d_4b=face(192, 256, 3, stride=2),
            repeat_1=nn.Sequential(*[block35() for _ in range(5)]),
            mixed_6a=Reduction(),
            repeat_2=nn.Sequential(*[block17() for _ in range(10)]),
        )
    )


class DenseLayer(nn.Module):
    """Bottleneck layer whose output is joined to its input."""

    def __init__(self, channels, growth, bottleneck):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, bottleneck * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck * growth)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv1(F.relu(self.norm1(x), inplace=True))
        y = self.conv2(F.relu(self.norm2(y), inplace=True))
        return torch.cat([x, y], 1)


def holder(**modules):
    """A module that only names its parts."""
    module = nn.Module()
    for name, part in modules.items():
        module.add_module(name, part)
    return module


class Teacher(nn.Module):
    """The answers of both heads, [n, 32] and [n, 8]."""

    def __init__(self, width):
        super().__init__()
        layers = [(f"layer{i + 1}", DenseLayer(512 + 64 * i, 64, 4)) for i in range(5)]
        self.trunk = trunk()
        self.neck = holder(
            reduce=ConvNorm(896, 512, 1),
            dense=nn.Sequential(OrderedDict(layers)),
            project=ConvNorm(832, width, 1),
        )
        self.heads = holder(fec=nn.Linear(width, 32), affectnet=nn.Linear(width, 8))

    def forward(self, x):
        x = self.neck.dense(self.neck.reduce(self.trunk(x)))
        vector = self.neck.project(x).mean((2, 3))
        return self.heads.fec(vector), self.heads.affectnet(vector)


def densenet201():
    """DenseNet201's features up to norm5: [3, h, w] to [1920, h / 32, w / 32]."""
    layers = OrderedDict(
        conv0=nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        norm0=nn.BatchNorm2d(64),
        relu0=nn.ReLU(inplace=True),
        pool0=nn.MaxPool2d(3, 2, 1),
    )
    channels = 64
    for block, count in enumerate([6, 12, 48, 32], 1):
        dense = OrderedDict()
        for layer in range(1, count + 1):
            dense[f"denselayer{layer}"] = DenseLayer(channels, 32, 4)
            channels += 32
        layers[f"denseblock{block}"] = nn.Sequential(dense)
        if block < 4:
            layers[f"transition{block}"] = nn.Sequential(
                OrderedDict(
                    norm=nn.BatchNorm2d(channels),
                    relu=nn.ReLU(inplace=True),
                    conv=nn.Conv2d(channels, channels // 2, 1, bias=False),
                    pool=nn.AvgPool2d(2, 2),
                )
            )
            channels //= 2
    layers["norm5"] = nn.BatchNorm2d(channels)
    return nn.Sequential(layers)


class Student(nn.Module):
    """The embedding, [n, 256]."""

    def __init__(self):
        super().__init__()
        self.backbone = holder(features=densenet201())
        self.project = ConvNorm(1920, 256, 1)

    def forward(self, x):
        return self.project(F.relu(self.backbone.features(x), inplace=True)).mean((2, 3))

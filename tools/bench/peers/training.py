"""A peer of the bench `train`: each line `run` is answered with images a second of one training step.

usage: training.py student|teacher BATCH TRIPLETS LABELLED THREADS contiguous|channels_last
Before that it does one step and prints its total loss. At the end it says its peak memory.
"""

import resource
import sys
import time

import torch
from torch.nn import functional as F

from formula import fill, pixels, uniforms
from networks import Student, Teacher

WEIGHTS = {"cross_entropy": 0.1, "distance": 25, "angle": 50}


class TrainedStudent(Student):
    """The student with its heads: FEC, AffectNet, distillation."""

    def __init__(self):
        super().__init__()
        self.heads = torch.nn.ModuleDict(
            {name: torch.nn.Linear(256, width) for name, width in (("fec", 32), ("affectnet", 8), ("distill", 80))}
        )

    def forward(self, x):
        vector = super().forward(x)
        return [head(vector) for head in self.heads.values()]


def triplet(vectors, odd, margin):
    first, second, third = F.normalize(vectors, dim=1, eps=1e-12).view(-1, 3, vectors.shape[1]).unbind(1)
    pairs = ((second, third), (first, third), (first, second))
    without = torch.stack([(a - b).pow(2).sum(1) for a, b in pairs], 1)
    near = (without * odd).sum(1, keepdim=True)
    return (F.relu(near - without + margin[:, None]) * (1 - odd)).sum(1).mean()


def distances(e):
    square = e.pow(2).sum(1)
    product = e @ e.t()
    d = (square[:, None] + square[None] - 2 * product).clamp(min=1e-12).sqrt()
    d = d * (1 - torch.eye(len(e)))
    return d / d[d > 0].mean()


def angles(e):
    directions = F.normalize(e[None] - e[:, None], p=2, dim=2)
    return torch.bmm(directions, directions.transpose(1, 2))


def relational(f, student, teacher):
    with torch.no_grad():
        wanted = f(teacher)
    return F.smooth_l1_loss(f(student), wanted)


def main():
    kind, batch, triplets, labelled, threads, layout = sys.argv[1:]
    batch, triplets, labelled = int(batch), int(triplets), int(labelled)
    torch.set_num_threads(int(threads))
    student = kind == "student"
    network = fill(TrainedStudent() if student else Teacher(256), f"{kind}.").train()
    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    network = network.to(memory_format=memory)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.005, momentum=0.9, nesterov=True)
    rgb = torch.from_numpy(pixels("bench", batch)).permute(0, 3, 1, 2).float()
    if student:
        mean, std = ([255 * v for v in list_] for list_ in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        images = (rgb - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    else:
        images = (rgb - 127.5) / 128
    images = images.contiguous(memory_format=memory)
    targets = torch.from_numpy(uniforms("bench-targets", (batch, 80))).float()
    odd = F.one_hot(torch.arange(triplets) % 3, 3).float()
    margin = torch.full((triplets,), 0.2)
    labels = torch.arange(labelled) % 8

    def step():
        optimizer.zero_grad(set_to_none=True)
        fec, affectnet, *distill = network(images)
        n = 3 * triplets
        total = triplet(fec[:n], odd, margin)
        total = total + WEIGHTS["cross_entropy"] * F.cross_entropy(affectnet[n : n + labelled], labels)
        if student:
            total = total + WEIGHTS["distance"] * relational(distances, distill[0], targets)
            total = total + WEIGHTS["angle"] * relational(angles, distill[0], targets)
        total.backward()
        optimizer.step()
        return total.item()

    print(step(), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(batch / (time.perf_counter() - start), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"pytorch {layout}: peak {peak} MiB", file=sys.stderr)


main()

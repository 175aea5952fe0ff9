"""A peer of the benches `targets` and `embed`: each line `run` is answered with images a second.

usage: inference.py targets|embed IMAGES THREADS DIGEST
Before that it writes the float32 results of the first block to the file DIGEST and prints `ready`.
"""

import sys
import time

import torch

from formula import fill, pixels
from networks import Student, Teacher

BATCH = 32


def unit(vectors):
    return torch.nn.functional.normalize(vectors, dim=1, eps=1e-12)


def open_targets():
    teachers = [fill(Teacher(width), f"teacher{width}.") for width in (256, 128)]

    def run(images):
        x = (images.permute(0, 3, 1, 2).float() - 127.5) / 128
        views = [x, x.flip(3)]
        rows = [torch.cat([unit(h) for t in teachers for h in t(view)], 1) for view in views]
        return torch.cat(rows)

    return run


def open_embed():
    student = fill(Student(), "student.")
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    return lambda images: student((images.permute(0, 3, 1, 2) / 255 - mean) / std)


def main():
    kind, count, threads, digest = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.set_grad_enabled(False)
    run = {"targets": open_targets, "embed": open_embed}[kind]()
    images = torch.from_numpy(pixels("bench", int(count)))
    run(images[:BATCH]).numpy().tofile(digest)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for first in range(0, len(images), BATCH):
            run(images[first : first + BATCH])
        print(len(images) / (time.perf_counter() - start), flush=True)


main()

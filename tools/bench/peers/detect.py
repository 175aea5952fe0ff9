"""A peer of the bench `detect`: prints the faces of every file once, then answers each line `run`
with pictures a second, from the file to boxes and landmarks.

usage: detect.py PICTURES THREADS FILE...
"""

import json
import sys
import time

import torch
from facenet_pytorch import MTCNN
from PIL import Image


def main():
    count, threads, paths = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    torch.set_num_threads(threads)
    mtcnn = MTCNN(keep_all=True)

    def detect(path):
        return mtcnn.detect(Image.open(path).convert("RGB"), landmarks=True)

    faces = [detect(path)[0] for path in paths]
    print(json.dumps([{"boxes": [] if b is None else b.tolist()} for b in faces]), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for i in range(count):
            detect(paths[i % len(paths)])
        print(count / (time.perf_counter() - start), flush=True)


main()

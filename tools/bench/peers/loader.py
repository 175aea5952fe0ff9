# A PyTorch DataLoader with two workers over the files of a folder: loader.py FOLDER BATCH WORKERS
# For every line on its input it passes once over the files and prints the images a second.
import os
import random
import sys
import time

import numpy
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

MEAN = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)


class Crops(Dataset):
    """Decode, mirror with probability 1/2, normalise: what torchvision's transforms do."""

    def __init__(self, folder):
        self.paths = sorted(os.path.join(folder, name) for name in os.listdir(folder))

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        picture = Image.open(self.paths[index]).convert('RGB')
        if random.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(numpy.array(picture)).permute(2, 0, 1).contiguous()
        return pixels.to(torch.float32).div_(255).sub_(MEAN).div_(STD)


folder, batch, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
loader = DataLoader(
    Crops(folder), batch_size=batch, shuffle=True, num_workers=workers, persistent_workers=True
)


def once():
    start = time.perf_counter()
    images = 0
    for pictures in loader:
        images += pictures.shape[0]
    return images / (time.perf_counter() - start)


once()
print('ready', flush=True)
for _ in sys.stdin:
    print(once(), flush=True)

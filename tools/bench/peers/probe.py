"""scikit-learn's logistic regression: probe.py FOLDER ROWS WIDTH CLASSES C ITERATIONS THREADS"""

import os
import sys
import time

folder = sys.argv[1]
rows, width, classes = map(int, sys.argv[2:5])
penalty, iterations, threads = float(sys.argv[5]), int(sys.argv[6]), sys.argv[7]
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = threads

import warnings

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

warnings.filterwarnings("ignore")


def peak_kib():
    # ru_maxrss would begin at the size of the process that started this one.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


before = peak_kib()
features = np.fromfile(f"{folder}/features.f32", np.float32).reshape(rows, width)
labels = np.fromfile(f"{folder}/labels.i32", np.int32)


def fit():
    # tol 0: both sides do all iterations.
    model = LogisticRegression(C=penalty, max_iter=iterations, tol=0, class_weight="balanced")
    return model.fit(features, labels)


model = fit()
counts = np.bincount(labels)
weights = (rows / (classes * counts))[labels]
loss = log_loss(labels, model.predict_proba(features), sample_weight=weights, normalize=False)
objective = loss + (model.coef_**2).sum() / (2 * penalty)
peak = peak_kib() - before
print(f'{{"version": "{sklearn.__version__}", "objective": {objective}, "peakKib": {peak}}}', flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    fit()
    print(time.perf_counter() - start, flush=True)

"""The study as a beginner writes it, in one file: train on the digits 1-9, find the 0s.

    python performance/study.py --data-dir data --epochs 10 --seed 9

whole_command.py times it from start to end. Like configs/base.yaml it holds out a tenth of the normal images, so that
both train on as many.
"""

import argparse

import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.datasets import MNIST

parser = argparse.ArgumentParser()
parser.add_argument("--data-dir", default="data")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--seed", type=int, default=9)
parser.add_argument("--subset", type=int, help="only the first images")
parser.add_argument("--device", default="cpu")
options = parser.parse_args()

torch.manual_seed(options.seed)
train = MNIST(options.data_dir, train=True, download=True)
test = MNIST(options.data_dir, train=False, download=True)
train_labels, test_labels = train.targets[: options.subset], test.targets[: options.subset]
train_images = train.data[: options.subset].flatten(1).float() / 255
test_images = (test.data[: options.subset].flatten(1).float() / 255).to(options.device)
normal = train_images[train_labels != 0]
normal = normal[torch.randperm(len(normal))[len(normal) // 10 :]]

net = nn.Sequential(
    nn.Linear(784, 500),
    nn.Tanh(),
    nn.Linear(500, 125),
    nn.Tanh(),
    nn.Linear(125, 40),
    nn.Tanh(),
    nn.Linear(40, 5),
    nn.Linear(5, 40),
    nn.Tanh(),
    nn.Linear(40, 125),
    nn.Tanh(),
    nn.Linear(125, 500),
    nn.Tanh(),
    nn.Linear(500, 784),
    nn.Sigmoid(),
).to(options.device)
optimizer = torch.optim.Adam(net.parameters(), lr=0.005)
loader = DataLoader(TensorDataset(normal), batch_size=64, shuffle=True)
for epoch in range(options.epochs):
    for (batch,) in loader:
        batch = batch.to(options.device)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(batch), batch)
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1} loss {loss.item():.5f}")

with torch.no_grad():
    score = (net(test_images) - test_images).square().sum(1).cpu()
print(f"AUROC {roc_auc_score(test_labels == 0, score):.4f}")

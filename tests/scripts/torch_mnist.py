"""The MNIST example of PyTorch, on made-up data, with curves for TensorBoard."""

import argparse

import torch
import torch.nn.functional as F
from torch.optim.lr_scheduler import StepLR
from torch.utils.tensorboard import SummaryWriter


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = torch.nn.Linear(16, 32)
        self.fc2 = torch.nn.Linear(32, 4)

    def forward(self, x):
        return F.log_softmax(self.fc2(F.relu(self.fc1(x))), dim=1)


def train(args, model, loader, optimizer, epoch, writer):
    model.train()
    for batch_idx, (data, target) in enumerate(loader):
        optimizer.zero_grad()
        loss = F.nll_loss(model(data), target)
        loss.backward()
        optimizer.step()
        if batch_idx % args.log_interval == 0:
            seen, size = batch_idx * len(data), len(loader) * args.batch_size
            print(f"Train Epoch: {epoch} [{seen}/{size} ({100.0 * batch_idx / len(loader):.0f}%)]\tLoss: {loss.item():.6f}")
            writer.add_scalar("Loss/train", loss.item(), (epoch - 1) * len(loader) + batch_idx)


def test(model, data, target, epoch, writer):
    model.eval()
    with torch.no_grad():
        output = model(data)
        test_loss = F.nll_loss(output, target).item()
        correct = output.argmax(dim=1).eq(target).sum().item()
    share = 100.0 * correct / len(data)
    print(f"\nTest set: Average loss: {test_loss:.4f}, Accuracy: {correct}/{len(data)} ({share:.0f}%)\n")
    writer.add_scalar("Loss/test", test_loss, epoch)
    writer.add_scalar("Accuracy/test", correct / len(data), epoch)


def main():
    parser = argparse.ArgumentParser(description="PyTorch MNIST Example")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="input batch size (default: 64)")
    parser.add_argument("--epochs", type=int, default=14, metavar="N")
    parser.add_argument("--lr", type=float, default=1.0, metavar="LR")
    parser.add_argument("--gamma", type=float, default=0.7, metavar="M")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--log-interval", type=int, default=10, metavar="N")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x = torch.randn(256, 16)
    y = x[:, :4].argmax(1)
    loader = [(x[i : i + args.batch_size], y[i : i + args.batch_size]) for i in range(0, 256, args.batch_size)]
    model = Net()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=args.lr)
    scheduler = StepLR(optimizer, step_size=1, gamma=args.gamma)
    with SummaryWriter("runs/mnist") as writer:
        for epoch in range(1, args.epochs + 1):
            train(args, model, loader, optimizer, epoch, writer)
            test(model, x, y, epoch, writer)
            scheduler.step()
    torch.save(model.state_dict(), "mnist_cnn.pt")


if __name__ == "__main__":
    main()

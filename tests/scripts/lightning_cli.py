"""A model and data for LightningCLI."""

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI
from torch.utils.data import DataLoader, TensorDataset


class Line(LightningModule):
    def __init__(self, width: int = 4, learning_rate: float = 0.1):
        super().__init__()
        self.save_hyperparameters()
        self.net = torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.ReLU(), torch.nn.Linear(width, 1))

    def training_step(self, batch, _):
        loss = torch.nn.functional.mse_loss(self.net(batch[0]), batch[1])
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, _):
        self.log("val_loss", torch.nn.functional.mse_loss(self.net(batch[0]), batch[1]), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)


class Points(LightningDataModule):
    def __init__(self, batch_size: int = 8, count: int = 32):
        super().__init__()
        self.batch_size = batch_size
        x = torch.randn(count, 2, generator=torch.Generator().manual_seed(1))
        self.data = TensorDataset(x, x.sum(1, keepdim=True))

    def train_dataloader(self):
        return DataLoader(self.data, self.batch_size)

    def val_dataloader(self):
        return DataLoader(self.data, self.batch_size)


if __name__ == "__main__":
    LightningCLI(Line, Points, seed_everything_default=7, save_config_kwargs={"overwrite": True})

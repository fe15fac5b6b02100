import logging
import os

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

log = logging.getLogger(__name__)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    log.info("Training %s", cfg.model.name)
    print(OmegaConf.to_yaml(cfg))
    os.makedirs(HydraConfig.get().runtime.output_dir, exist_ok=True)
    loss = 1.0
    for epoch in range(cfg.trainer.max_epochs):
        loss *= 1 - cfg.optim.lr
        log.info(f"Epoch {epoch}: train/loss={loss:.4f}")
    with open(os.path.join(HydraConfig.get().runtime.output_dir, "model.txt"), "w") as file:
        file.write(str(loss))
    return loss


if __name__ == "__main__":
    main()

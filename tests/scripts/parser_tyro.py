import dataclasses
from typing import Literal

import tyro


@dataclasses.dataclass(frozen=True)
class AdamConfig:
    lr: float = 1e-3
    weight_decay: float = 0.0


@dataclasses.dataclass
class Args:
    """PPO, as in CleanRL."""

    exp_name: str = "ppo"
    """the name of this experiment"""
    seed: int = 1
    torch_deterministic: bool = True
    total_timesteps: int = 300
    env_id: Literal["CartPole-v1", "Acrobot-v1"] = "CartPole-v1"
    optimizer: AdamConfig = dataclasses.field(default_factory=AdamConfig)


if __name__ == "__main__":
    args = tyro.cli(Args)
    for global_step in range(0, args.total_timesteps, 100):
        print(f"global_step={global_step}, episodic_return={20.0 + global_step}")
        print("SPS:", 1234)

"""Fine-tuning with dataclasses for options, as the examples of transformers."""

import json
import os
import sys
from dataclasses import dataclass, field
from typing import Optional

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification, HfArgumentParser, Trainer, TrainingArguments, set_seed


@dataclass
class ModelArguments:
    """Which model is fine-tuned."""

    hidden_size: int = field(default=16, metadata={"help": "width"})
    model_name_or_path: Optional[str] = field(default=None)
    cache_dir: Optional[str] = field(default=None)


@dataclass
class DataArguments:
    max_seq_length: int = field(default=8)
    max_train_samples: int = field(default=32)


class Pairs(torch.utils.data.Dataset):
    def __init__(self, count, length):
        self.ids = torch.randint(0, 50, (count, length), generator=torch.Generator().manual_seed(3))

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        return {"input_ids": self.ids[i], "labels": int(self.ids[i][0] > 25)}


def main():
    parser = HfArgumentParser((ModelArguments, DataArguments, TrainingArguments))
    if len(sys.argv) == 2 and sys.argv[1].endswith(".json"):
        model_args, data_args, training_args = parser.parse_json_file(json_file=os.path.abspath(sys.argv[1]))
    else:
        model_args, data_args, training_args = parser.parse_args_into_dataclasses()
    set_seed(training_args.seed)
    config = BertConfig(
        vocab_size=50, hidden_size=model_args.hidden_size, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    trainer = Trainer(
        model=BertForSequenceClassification(config),
        args=training_args,
        train_dataset=Pairs(data_args.max_train_samples, data_args.max_seq_length),
        eval_dataset=Pairs(8, data_args.max_seq_length),
        compute_metrics=lambda p: {"accuracy": float((np.argmax(p.predictions, 1) == p.label_ids).mean())},
    )
    result = trainer.train()
    trainer.save_model()
    trainer.log_metrics("train", result.metrics)
    trainer.save_metrics("train", result.metrics)
    metrics = trainer.evaluate()
    trainer.log_metrics("eval", metrics)
    print(json.dumps({"eval_accuracy": metrics["eval_accuracy"]}))


if __name__ == "__main__":
    main()

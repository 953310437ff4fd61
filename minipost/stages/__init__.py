"""The stages, one file each, read from top to bottom: pretrain, sft, reward, best_of_n, ppo, grpo, dpo."""

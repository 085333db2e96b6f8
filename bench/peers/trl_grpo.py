"""The TRL peer: GRPO steps on SmolLM2-135M-Instruct with LoRA on the CPU, as people run them with TRL.

Reads --work, a JSON file {"model", "prompts", "groupSize", "newTokens", "temperature", "rank", "alpha", "lr", "threads"}.
A step samples groupSize completions for each prompt and makes one update on all of them. Every completion has newTokens
tokens, so that both sides do the same work. The reward is the share of digits in the text: it differs within each group,
so every completion is trained. After one step of warm-up prints `{"ready": true, ...}`, then answers lines of standard
input:
  step N    runs N steps   -> {"ms_per_step": [...], "tokens": completion tokens of a step, "loss": ...}
  quit                     -> {"peak_bytes": ...}
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--work", required=True)
parser.add_argument("--micro-batch", type=int, default=8, help="TRL's own default; 32 needs more than 17 GB")
args = parser.parse_args()
with open(args.work) as file:
    work = json.load(file)
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, str(work["threads"]))
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", TRL_EXPERIMENTAL_SILENCE="1")

import torch  # noqa: E402  (after the thread count is set)
import transformers  # noqa: E402
import trl  # noqa: E402
from datasets import Dataset  # noqa: E402
from peft import LoraConfig  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback  # noqa: E402
from trl import GRPOConfig, GRPOTrainer  # noqa: E402

torch.set_num_threads(work["threads"])
transformers.logging.set_verbosity_error()
PER_STEP = len(work["prompts"]) * work["groupSize"]
STEPS = 1000


def digits(completions, **_):
    return [sum(c.isascii() and c.isdigit() for c in text) / max(1, len(text)) for text in completions]


def answer(value):
    print(json.dumps(value), flush=True)


class OnDemand(TrainerCallback):
    """Runs a step when it is asked for, and times it."""

    def __init__(self):
        self.left, self.times, self.start, self.loss = 1, [], 0.0, None

    def wait(self, control):
        while self.left == 0:
            words = (sys.stdin.readline() or "quit").split()
            if words[0] == "quit":
                answer({"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
                sys.stdout.flush()
                os._exit(0)
            self.left, self.times = int(words[1]), []
        self.start = time.perf_counter()

    def on_train_begin(self, arguments, state, control, **_):
        self.wait(control)

    def on_log(self, arguments, state, control, logs=None, **_):
        self.loss = (logs or {}).get("loss", self.loss)

    def on_step_end(self, arguments, state, control, **_):
        self.times.append(1000 * (time.perf_counter() - self.start))
        self.left -= 1
        if self.left == 0:
            tokens = PER_STEP * work["newTokens"]
            if state.global_step == 1:
                answer({"ready": True, "trl": trl.__version__, "torch": torch.__version__, "transformers": transformers.__version__, "micro_batch": args.micro_batch})
            else:
                answer({"ms_per_step": self.times, "tokens": tokens, "loss": self.loss})
        self.wait(control)


model = AutoModelForCausalLM.from_pretrained(work["model"], dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(work["model"])
config = GRPOConfig(
    output_dir=tempfile.mkdtemp(prefix="trl-grpo-"),
    use_cpu=True,
    bf16=False,
    max_steps=STEPS,
    per_device_train_batch_size=args.micro_batch,
    gradient_accumulation_steps=PER_STEP // args.micro_batch,
    num_generations=work["groupSize"],
    max_completion_length=work["newTokens"],
    # The same number of tokens on both sides.
    generation_kwargs={"min_new_tokens": work["newTokens"]},
    temperature=work["temperature"],
    top_p=1.0,
    top_k=0,
    beta=0.0,
    num_iterations=1,
    loss_type="dapo",
    mask_truncated_completions=False,
    # Our runs compute each activation once too.
    gradient_checkpointing=False,
    learning_rate=work["lr"],
    lr_scheduler_type="constant",
    max_grad_norm=1.0,
    shuffle_dataset=False,
    save_strategy="no",
    logging_steps=1,
    report_to=[],
    disable_tqdm=True,
)
linear = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
trainer = GRPOTrainer(
    model=model,
    reward_funcs=digits,
    args=config,
    train_dataset=Dataset.from_dict({"prompt": work["prompts"] * STEPS}),
    processing_class=tokenizer,
    peft_config=LoraConfig(r=work["rank"], lora_alpha=work["alpha"], target_modules=linear, task_type="CAUSAL_LM"),
    callbacks=[OnDemand()],
)
from transformers.trainer_callback import PrinterCallback  # noqa: E402

trainer.remove_callback(PrinterCallback)
trainer.train()

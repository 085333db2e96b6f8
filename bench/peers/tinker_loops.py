"""A client of `sputnik serve --tinker`: tinker-cookbook's own sl_loop or rl_loop, unmodified, with local data.

Reads --work, a JSON file {"baseUrl", "modelName", "folder", "loop": "sl_loop" | "rl_loop", "rows", "config", "log", "state"}.
The loops fetch tokenizer and data set from the Hub by name, and choose a renderer by the model's name; here the folder's
tokenizer, the rows and ChatML (`qwen3_instruct`, whose form is that of SmolLM2's template) are handed to them instead.
`config` are fields of the recipe's Config; `state` is saved weights to begin with, as if the recipe resumed. Prints one JSON line: the metrics of each step, as the recipe logged them.
"""

import argparse
import importlib
import json
import os
import pathlib
import sys
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--work", required=True)
work = json.loads(pathlib.Path(parser.parse_args().work).read_text())
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", CUDA_VISIBLE_DEVICES="")
os.environ.setdefault("TINKER_API_KEY", "tml-local")

import datasets  # noqa: E402  (after the environment is set)
import transformers  # noqa: E402
from tinker_cookbook import model_info, tokenizer_utils  # noqa: E402

name = work["modelName"]
tokenizer_utils.register_tokenizer(name, lambda: transformers.AutoTokenizer.from_pretrained(work["folder"]))
model_info.get_recommended_renderer_name = lambda _: "qwen3_instruct"
datasets.load_dataset = lambda *_, **__: datasets.DatasetDict(
    {"train": datasets.Dataset.from_list(work["rows"])}
)

if work["state"] is not None:
    log = pathlib.Path(work["log"])
    log.mkdir(parents=True, exist_ok=True)
    checkpoint = {"name": "start", "batch": 0, "state_path": work["state"]}
    (log / "checkpoints.jsonl").write_text(json.dumps(checkpoint) + "\n")
recipe = importlib.import_module(f"tinker_cookbook.recipes.{work['loop']}")
answer, sys.stdout = sys.stdout, sys.stderr
start = time.time()
recipe.main(
    recipe.Config(base_url=work["baseUrl"], model_name=name, log_path=work["log"], **work["config"])
)
lines = pathlib.Path(work["log"], "metrics.jsonl").read_text().splitlines()
steps = [json.loads(line) for line in lines]
print(json.dumps({"seconds": time.time() - start, "steps": steps}), file=answer, flush=True)
# The client's threads would go on.
os._exit(0)

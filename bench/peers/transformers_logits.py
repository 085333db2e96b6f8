"""Opens model folders of ours with transformers and compares logits; prints one JSON object a folder.

    python transformers_logits.py FOLDER...

Each folder holds `ours.safetensors` with `ids` [1, seq] and `logits` [1, seq, vocab] beside the model.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

for folder in map(Path, sys.argv[1:]):
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    AutoTokenizer.from_pretrained(folder)
    ours = load_file(folder / "ours.safetensors")
    with torch.no_grad():
        logits = model(ours["ids"].long(), use_cache=False).logits
    difference = float((logits - ours["logits"]).abs().max() / logits.abs().max())
    # The module that predicts a further token is one that transformers leaves out.
    left = {key: sorted(value) for key, value in info.items() if value}
    print(json.dumps({"folder": folder.name, "difference": difference, "left": left}), flush=True)

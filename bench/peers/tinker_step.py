"""RL steps by the Python package tinker against `sputnik serve --tinker`: the side of the protocol in the comparison.

Reads --work, a JSON file {"baseUrl", "modelName", "prompts" (ids), "count", "newTokens", "rank"}. A step saves the weights
for a sampling client, samples count completions of exactly newTokens tokens for each prompt, and makes one update on all
of them. After one step of warm-up prints `{"ready": true}`, then answers lines of standard input:
  step N    runs N steps   -> {"ms_per_step": [...]}
  quit
"""

import argparse
import json
import os
import pathlib
import sys
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--work", required=True)
work = json.loads(pathlib.Path(parser.parse_args().work).read_text())
os.environ.setdefault("TINKER_API_KEY", "tml-local")

import tinker  # noqa: E402  (after the environment is set)
from tinker import types  # noqa: E402

service = tinker.ServiceClient(base_url=work["baseUrl"])
training = service.create_lora_training_client(
    base_model=work["modelName"], rank=work["rank"], seed=1, train_unembed=False
).result()
prompts = [types.ModelInput.from_ints(ids) for ids in work["prompts"]]
adam = types.AdamParams(learning_rate=1e-5, eps=1e-8)


def step(seed):
    sampling = training.save_weights_and_get_sampling_client().result()
    params = types.SamplingParams(max_tokens=work["newTokens"], seed=seed, stop=[])
    futures = [sampling.sample(prompt, work["count"], params) for prompt in prompts]
    data = []
    for prompt, future in zip(prompts, futures):
        zeros = [0] * (prompt.length - 1)
        for i, sequence in enumerate(future.result().sequences):
            tokens = sequence.tokens
            sign = 1.0 if i % 2 == 0 else -1.0
            data.append(
                types.Datum(
                    model_input=prompt.append(types.EncodedTextChunk(tokens=tokens[:-1])),
                    loss_fn_inputs={
                        "target_tokens": zeros + tokens,
                        "logprobs": [0.0] * len(zeros) + sequence.logprobs,
                        "advantages": [0.0] * len(zeros) + [sign] * len(tokens),
                    },
                )
            )
    passed = training.forward_backward(data, "importance_sampling")
    updated = training.optim_step(adam)
    passed.result()
    updated.result()


def answer(value):
    print(json.dumps(value), flush=True)


step(0)
answer({"ready": True})
steps = 1
for line in sys.stdin:
    words = line.split() or ["quit"]
    if words[0] == "quit":
        break
    times = []
    for _ in range(int(words[1])):
        start = time.perf_counter()
        step(steps)
        times.append(1000 * (time.perf_counter() - start))
        steps += 1
    answer({"ms_per_step": times})
# The client's threads would go on.
os._exit(0)

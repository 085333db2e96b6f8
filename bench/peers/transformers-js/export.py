"""A Hugging Face folder of ours as the folder that transformers.js wants, in f32 and q8.

The graph comes from ONNX Runtime GenAI's model builder, whose attention is one fused operator, as in the models that
the Hub has for transformers.js. That builder calls the last axis of the cache `kv_cache_dim`; transformers.js takes the
first, empty cache from the graph's shapes and needs the number. Its q8 is ONNX Runtime's dynamic quantisation.

    python export.py SOURCE TARGET

needs torch, transformers, onnx, onnxruntime and onnxruntime-genai.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Before ONNX Runtime is loaded, here and in the program started below.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

source, target = Path(sys.argv[1]), Path(sys.argv[2])
(target / "onnx").mkdir(parents=True, exist_ok=True)
with tempfile.TemporaryDirectory(dir=target) as scratch:
    built = Path(scratch) / "built"
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-p", "fp32", "-e", "cpu"]
    where = ["-i", str(source), "-o", str(built), "-c", str(Path(scratch) / "cache")]
    subprocess.run([*builder, *where], check=True)
    shutil.move(built / "model.onnx.data", target / "onnx" / "model.onnx.data")
    model = onnx.load(built / "model.onnx", load_external_data=False)
head_dim = json.loads((source / "config.json").read_text())["head_dim"]
for value in [*model.graph.input, *model.graph.output]:
    for dim in value.type.tensor_type.shape.dim:
        if dim.dim_param == "kv_cache_dim":
            dim.dim_value = head_dim
for name in ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]:
    shutil.copy(source / name, target / name)
# What says that the folder is whole comes last.
(target / "onnx" / "model.onnx").write_bytes(model.SerializeToString())
quantize_dynamic(
    target / "onnx" / "model.onnx",
    target / "onnx" / "model_quantized.onnx",
    weight_type=QuantType.QInt8,
    extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
)

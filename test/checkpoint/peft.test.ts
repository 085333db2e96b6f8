/** Adapters as PEFT 0.21 saves them, merged to the weights that PEFT itself merges them to (scripts/fixtures/golden_peft.py). */
import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mergeAdapter } from "../../src/checkpoint/peft.ts";
import { type Parameter, withSafetensors, writeSafetensors } from "../../src/checkpoint/safetensors.ts";
import { isUserError, type UserError } from "../../src/lib/errors.ts";
import { temporaryFolder } from "./temporary.ts";

const root = new URL("../fixtures/golden-peft/", import.meta.url).pathname;
const temporary = temporaryFolder();

function tensors(file: string): Map<string, Parameter> {
  return withSafetensors(
    file,
    (opened) => new Map([...opened.header.tensors.keys()].map((name) => [name, opened.readFloat32(name)])),
  );
}
const base = (name: string) => tensors(join(root, name, "model.safetensors"));
const folderOf = (name: string) => join(root, `case-${name}`);
const baseOf = (name: string) => base(fs.readFileSync(join(folderOf(name), "base.txt"), "utf8").trim());

/** The untouched tensors must stay as they are, bit for bit, and the others come out as PEFT's. */
function merges(name: string): void {
  const before = baseOf(name);
  const merged = baseOf(name);
  mergeAdapter(folderOf(name), merged);
  const expected = tensors(join(folderOf(name), "expected.safetensors"));
  expect(expected.size).toBeGreaterThan(0);
  for (const tensor of expected.keys()) expect(merged.has(tensor), tensor).toBe(true);
  for (const [tensor, { data }] of merged) {
    const wanted = expected.get(tensor);
    if (wanted === undefined) expect(data, tensor).toEqual(before.get(tensor)!.data);
    else {
      let worst = 0;
      for (let i = 0; i < data.length; i++) worst = Math.max(worst, Math.abs(data[i]! - wanted.data[i]!));
      expect(worst, tensor).toBeLessThan(1e-5);
    }
  }
}

describe("merged as PEFT merges", () => {
  it.each([
    ...["plain", "rslora", "gaussian", "orthogonal", "mica", "fan", "one-layer", "patterns"],
    ...["pissa", "pissa-all", "pissa-head", "pissa-dora", "olora", "olora-all"],
    ...["dora", "dora-embedding", "embedding", "head", "tied-all"],
    ...["saved", "saved-tied", "tokens", "tokens-tied", "tokens-head"],
    ...["bias", "bias-all", "lora-bias"],
    ...["latent", "experts", "experts-reversed", "experts-up", "experts-down", "v3-all", "router"],
  ])("%s", merges);
});

function failing(folder: string, parameters: Map<string, Parameter>): UserError {
  let error: unknown;
  try {
    mergeAdapter(folder, parameters);
  } catch (caught) {
    error = caught;
  }
  expect(isUserError(error, "checkpoint")).toBe(true);
  return error as UserError;
}

describe("refused by name, with a remedy that helps", () => {
  it.each<[string, RegExp, RegExp]>([
    [
      "tied-embedding",
      /embed_tokens.weight: expected embedding and output matrix to change together/,
      /Untie the base/,
    ],
    [
      "tied-head",
      /lm_head.weight: expected embedding and output matrix to change together/,
      /Untie the base/,
    ],
    ["tied-both", /change together/, /Untie the base/],
    ["saved-tied-alone", /embed_tokens.weight: expected .* change together/, /Untie the base/],
    ["saved-tied-head", /lm_head.weight: expected .* change together/, /Untie the base/],
    ["lora-bias-none", /lora_B.bias: expected a bias of the model/, /without lora_bias/],
    ["replicated", /key layer_replication: expected null/, /Merge it with PEFT where it was trained/],
  ])("%s", (name, message, remedy) => {
    const error = failing(folderOf(name), baseOf(name));
    expect(error.message).toMatch(message);
    expect(error.remedy).toMatch(remedy);
  });

  /** The plain adapter with another config, or other tensors. */
  function changed(change: object, edit: (all: Map<string, Parameter>) => void = () => {}): string {
    const folder = fs.mkdtempSync(join(temporary, "peft-"));
    const config = JSON.parse(
      fs.readFileSync(join(folderOf("plain"), "adapter_config.json"), "utf8"),
    ) as object;
    fs.writeFileSync(join(folder, "adapter_config.json"), JSON.stringify({ ...config, ...change }));
    const all = tensors(join(folderOf("plain"), "adapter_model.safetensors"));
    edit(all);
    writeSafetensors(
      join(folder, "adapter_model.safetensors"),
      new Map([...all].map(([name, one]) => [name, { dtype: "F32" as const, ...one }])),
    );
    return folder;
  }

  it.each<[object, RegExp]>([
    [{ peft_type: "IA3" }, /key peft_type: expected "LORA"/],
    [
      { init_lora_weights: "pissa_niter_16" },
      /init_lora_weights.*random decomposition.*path_initial_model_for_weight/,
    ],
    [{ init_lora_weights: "corda" }, /changed by training data/],
    [{ init_lora_weights: "lora_ga" }, /changed by training data/],
    [{ init_lora_weights: "loftq" }, /quantised weights that LoftQ made/],
    [
      { init_lora_weights: "tomorrow" },
      /expected true, gaussian, eva, orthogonal, mica, pissa or olora, found "tomorrow"/,
    ],
    [{ alora_invocation_tokens: [1, 2] }, /key alora_invocation_tokens: expected null/],
    [{ use_qalora: true }, /key use_qalora/],
    [{ use_dora: true }, /lora_magnitude_vector: expected it, since use_dora is on/],
    [{ arrow_config: { top_k: 2 } }, /key arrow_config/],
    [{ new_in_1_0: "something" }, /key new_in_1_0: expected null: what it turns on is not built here/],
    [{ r: "4" }, /key r: expected an adapter as PEFT saves it/],
    [{ r: 8 }, /lora_A: expected shape \[8, 16\], found \[4, 16\]/],
    [{ modules_to_save: ["lm_head"] }, /lm_head.weight: expected it, since modules_to_save names it/],
    [{ trainable_token_indices: [1] }, /embed_tokens: expected rows, since trainable_token_indices/],
    [{ alpha_pattern: { "(?P<x>q)": 1 } }, /key alpha_pattern: expected patterns that can be read/],
    [{ alpha_pattern: { "([\\w.]+)+!": 1 } }, /key alpha_pattern: .*timed out/],
  ])("%j", (change, message) => {
    expect(failing(changed(change), base("llama")).message).toMatch(message);
  });

  const A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
  const one: Parameter = { shape: [1], data: Float32Array.of(1) };
  it.each<[string, (all: Map<string, Parameter>) => void, RegExp]>([
    ["no tensor at all", (all) => all.clear(), /expected the tensors of an adapter, found none/],
    ["half a pair", (all) => all.delete(A), /q_proj.lora_A: expected both halves, found one alone/],
    ["a name of no adapter", (all) => all.set("x", one), /tensor x: expected a part of an adapter/],
    [
      "a module of another model",
      (all) => all.set("base_model.model.model.layers.9.mlp.up_proj.weight", one),
      /layers.9.mlp.up_proj: expected a weight of this model/,
    ],
    [
      "a resized vocabulary",
      (all) => all.set("base_model.model.lm_head.weight", { shape: [25, 16], data: new Float32Array(400) }),
      /expected shape \[24, 16\], found \[25, 16\]. The vocabulary was resized/,
    ],
  ])("%s", (_, edit, message) => {
    expect(failing(changed({}, edit), base("llama")).message).toMatch(message);
  });

  it("an adapter in PyTorch's own format", () => {
    const folder = changed({});
    fs.renameSync(join(folder, "adapter_model.safetensors"), join(folder, "adapter_model.bin"));
    expect(failing(folder, base("llama")).message).toMatch(
      /expected adapter_model.safetensors, found adapter_model.bin. PyTorch's files are not read/,
    );
  });

  it("patterns in Python's own spelling mean what they mean there", () => {
    const q = (alpha_pattern: Record<string, number>) => {
      const parameters = base("llama");
      mergeAdapter(changed({ alpha_pattern }), parameters);
      return parameters.get("model.layers.0.self_attn.q_proj.weight")!.data;
    };
    const plain = q({ q_proj: 40 });
    expect(q({})).not.toEqual(plain);
    for (const spelling of ["q_proj\\Z", "\\Amodel\\..*q_proj", "(q_proj){,1}", "q_proj$"])
      expect(q({ [spelling]: 40 }), spelling).toEqual(plain);
  });

  it("an embedding's adapter is plain whatever the initialisation, as in PEFT", () => {
    const A = [0.5, -0.25, 0, 1].flatMap((x) => Array.from({ length: 24 }, (_, row) => x * (row % 3)));
    const B = Array.from({ length: 16 * 4 }, (_, i) => (i % 5) - 2);
    const merged = ["pissa", "olora", true].map((init_lora_weights) => {
      const embedding = changed({ init_lora_weights, r: 4, lora_alpha: 4 }, (all) => {
        all.clear();
        const name = "base_model.model.model.embed_tokens.lora_embedding_";
        all.set(`${name}A`, { shape: [4, 24], data: Float32Array.from(A) });
        all.set(`${name}B`, { shape: [16, 4], data: Float32Array.from(B) });
      });
      const parameters = base("llama");
      mergeAdapter(embedding, parameters);
      return parameters.get("model.embed_tokens.weight")!.data;
    });
    // Row 1 of the first column: W + (0.5, -0.25, 0, 1) (-2, -1, 0, 1).
    const before = base("llama").get("model.embed_tokens.weight")!.data[16]!;
    expect(merged[0]![16]).toBeCloseTo(before - 1 + 0.25 + 1, 6);
    expect(merged[0]).toEqual(merged[2]);
    expect(merged[1]).toEqual(merged[2]);
  });

  it("what eva and an older PEFT write is plain", () => {
    const plain = base("llama");
    mergeAdapter(folderOf("plain"), plain);
    for (const change of [{ init_lora_weights: "eva", eva_config: { rho: 2 } }, { use_rslora: undefined }]) {
      const other = base("llama");
      mergeAdapter(changed(change), other);
      expect(other).toEqual(plain);
    }
  });
});

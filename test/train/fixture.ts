/** Reads the golden fixtures; test/fixtures/README.md describes them. */
import { readFileSync } from "node:fs";
import { withSafetensors } from "../../src/checkpoint/safetensors.ts";
import type { HostValue } from "../../src/runtime/session.ts";

const fixture = (name: string): URL => new URL(`../fixtures/${name}`, import.meta.url);

export const json = <T>(name: string): T => JSON.parse(readFileSync(fixture(name), "utf8"));

export function tensors(name: string): Map<string, HostValue> {
  return withSafetensors(fixture(name).pathname, (file) => {
    const names = [...file.header.tensors.keys()];
    return new Map(
      names.map((tensor) => {
        const { data, shape } = file.readFloat32(tensor);
        return [tensor, { device: "host" as const, dtype: "f32" as const, shape, data }];
      }),
    );
  });
}

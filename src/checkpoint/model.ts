/** A model in either format: a Hugging Face folder, or one GGUF file. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type LoadedModel, type LoadedShape, loadModel, readFolder } from "./folder.ts";
import { isGguf } from "./gguf/file.ts";
import { loadGguf, shapeOf, withGguf } from "./gguf/model.ts";
import { checkedWeights, expectedShapes, type TensorSource, withOpenWeights } from "./weights.ts";

/** Whether the path holds something that `openModelFiles` may read. */
export function holdsModel(path: string): boolean {
  return isGguf(path) ? existsSync(path) : existsSync(join(path, "config.json"));
}

/** Reads the model with its weights. @throws what `loadModel` and `loadGguf` throw */
export function openModelFiles(path: string): LoadedModel {
  return isGguf(path) ? loadGguf(path, expectedShapes) : loadModel(path, expectedShapes);
}

/** Reads config and tokenizer, without the weights. */
export function readShape(path: string): LoadedShape {
  return isGguf(path) ? withGguf(path, shapeOf) : readFolder(path);
}

/**
 * Hands a model to `use` whose weights are read on demand; the files are closed when `use` returns. The one matrix of a
 * tied model has the embedding's name.
 * @throws what `loadModel` and `loadGguf` throw
 */
export function withModel<T>(path: string, use: (shape: LoadedShape, weights: TensorSource) => T): T {
  const hand = (shape: LoadedShape, stored: TensorSource): T => {
    const { config } = shape;
    const wanted = { tied: config.tieEmbeddings, expected: expectedShapes(config) };
    return use(shape, checkedWeights(stored, wanted, path, isGguf(path) ? undefined : path));
  };
  if (isGguf(path)) return withGguf(path, (content) => hand(shapeOf(content), content.tensors));
  const shape = readFolder(path);
  return withOpenWeights(path, (stored) => hand(shape, stored));
}

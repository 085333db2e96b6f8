/** `npm run bench -- NAME [--json] [options of the benchmark]`: one benchmark; exits 1 where a row does not hold. */
import "../src/runtime/no-telemetry.ts";
import { onnxruntimeVersion } from "../src/runtime/onnxruntime-folder.ts";
import { benchBusy } from "./busy.ts";
import { benchDecode } from "./decode.ts";
import { benchFamilies } from "./families.ts";
import { benchFirstLight } from "./first-light.ts";
import { benchGrpo } from "./grpo.ts";
import { benchHouse } from "./house.ts";
import { benchLibrary } from "./library.ts";
import { benchMemory } from "./memory.ts";
import { benchPipeline } from "./pipeline.ts";
import { benchPlanner } from "./planner.ts";
import { benchPrecision } from "./precision.ts";
import { benchRealModel } from "./real-model.ts";
import { benchRoundTrip } from "./round-trip.ts";
import { circumstances, judgeRow, printRows, type Row } from "./rows.ts";
import { benchSpeedrun } from "./speedrun.ts";
import { benchTinker } from "./tinker.ts";
import { benchTrain } from "./train.ts";
import { benchTrust } from "./trust.ts";
import { benchV3 } from "./v3.ts";

const benches: Record<string, (words: readonly string[]) => Promise<Row[]>> = {
  busy: benchBusy,
  train: benchTrain,
  decode: benchDecode,
  "first-light": benchFirstLight,
  "real-model": benchRealModel,
  v3: benchV3,
  house: benchHouse,
  memory: benchMemory,
  grpo: benchGrpo,
  trust: benchTrust,
  precision: benchPrecision,
  planner: benchPlanner,
  pipeline: benchPipeline,
  speedrun: benchSpeedrun,
  tinker: benchTinker,
  "round-trip": benchRoundTrip,
  library: benchLibrary,
  families: benchFamilies,
};

const [name, ...flags] = process.argv.slice(2);
const bench = benches[name];
if (bench === undefined) {
  console.error(
    `Unknown benchmark ${name === undefined ? "(none given)" : `"${name}"`}. One of: ${Object.keys(benches).join(", ")}.`,
  );
  process.exit(2);
}
const setting = circumstances(onnxruntimeVersion());
const rows = (await bench(flags)).map(judgeRow);
if (flags.includes("--json")) console.log(JSON.stringify({ benchmark: name, ...setting, rows }));
else {
  console.log(
    `${name}: ${setting.machine}, Node ${setting.node}, ONNX Runtime ${setting.onnxruntime}, commit ${setting.commit}, load ${setting.loadBefore.toFixed(1)}, ${setting.date}`,
  );
  printRows(rows);
}
process.exit(rows.every((row) => row.holds) ? 0 : 1);

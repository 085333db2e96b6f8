/** Loads the folder of the first argument and prints its own memory, in bytes, as JSON. */
import { loadModel } from "../../src/checkpoint/folder.ts";
import { expectedShapes } from "../../src/checkpoint/weights.ts";

const before = process.memoryUsage.rss();
const { parameters } = loadModel(process.argv[2]!, expectedShapes);
// maxRSS is in kilobytes.
const peak = process.resourceUsage().maxRSS * 1024;
const count = [...parameters.values()].reduce((total, { data }) => total + data.length, 0);
console.log(JSON.stringify({ before, peak, parameters: count }));

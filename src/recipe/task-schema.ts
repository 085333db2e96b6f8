/** The task of a recipe or of one evaluation: what the task families themselves accept. */
export { type TaskOptions, taskOptions as taskSchema } from "../tasks/registry.ts";

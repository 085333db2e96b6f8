/** `sputnik plan`: what a training of any size takes, what is known of published systems, and the verdict on R1's 6 million. */
import { gpus } from "../plan/scale/gpus.ts";
import { choosePlan, type PlanOptions } from "../plan/scale/input.ts";
import { CREDIT, sources } from "../plan/scale/sources.ts";
import { systems } from "../plan/scale/systems.ts";
import { planTraining } from "../plan/scale/training.ts";
import { verdict } from "../plan/scale/verdict.ts";
import { listPage, planPage, verdictPage } from "./plan-pages.ts";
import { printableJson } from "./printable.ts";

export interface PlanCommand extends PlanOptions {
  list?: boolean;
  json?: boolean;
}

export function plan(target: string | undefined, { list, json, ...options }: PlanCommand): void {
  const { page, data } = list
    ? { page: listPage, data: { systems, gpus, sources } }
    : target === undefined && Object.keys(options).length === 0
      ? theVerdict()
      : thePlan(target, options);
  console.log(json ? printableJson({ ...data, credit: CREDIT }) : page());
}

function theVerdict() {
  const found = verdict();
  return { page: () => verdictPage(found), data: { ...found, sources } };
}

function thePlan(target: string | undefined, options: PlanOptions) {
  const chosen = choosePlan(target, options);
  const plan = chosen.input === null ? null : planTraining(chosen.input);
  return { page: () => planPage(chosen, plan), data: { ...chosen, plan } };
}

/** What the recipe says about its machine: what an hour costs and draws, and how we know. */

export interface Rates {
  /** Mean draw; `null` is unknown. */
  watts: number | null;
  /** US dollars; `null` is unknown. */
  dollarsPerHour: number | null;
  /** Where both come from, in sentences. */
  method: string;
}

export interface RatesInput {
  /** The recipe's `hardware` block: an hour of an unnamed CPU has no known price. */
  hardware?: { watts?: number | undefined; dollarsPerHour?: number | undefined } | undefined;
  /** The machine's own energy counter is being read. */
  measuresEnergy: boolean;
}

/** What the recipe does not state stays unknown. */
export function ratesFor({ hardware = {}, measuresEnergy }: RatesInput): Rates {
  const { watts, dollarsPerHour } = hardware;
  return {
    watts: watts ?? null,
    dollarsPerHour: dollarsPerHour ?? null,
    method: `${energyMethod(watts, measuresEnergy)} ${costMethod(dollarsPerHour)}`,
  };
}

function energyMethod(watts: number | undefined, measured: boolean): string {
  if (measured)
    return "Energy is read from the processor's counter (RAPL): the package, without memory, disk and screen.";
  if (watts !== undefined) return `Energy is time x ${watts} W, as the recipe states.`;
  return "Energy is unknown: this machine has no readable counter and the recipe gives no hardware.watts.";
}

const costMethod = (dollarsPerHour: number | undefined): string =>
  dollarsPerHour === undefined
    ? "Cost is unknown: there is no price for this machine and the recipe gives no hardware.dollarsPerHour."
    : `Cost is time x $${dollarsPerHour} per hour, as the recipe states.`;

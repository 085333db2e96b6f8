/** From a device and what the recipe says about it: what an hour costs, and how we know. */
import { type PriceRow, priceTable } from "./price-table.ts";

export interface Rates {
  /** Mean draw; `null` is unknown. */
  watts: number | null;
  /** US dollars; `null` is unknown. */
  dollarsPerHour: number | null;
  /** Where both come from, in sentences. */
  method: string;
}

export interface RatesInput {
  /** The device's name as its driver gives it, or `null` on a CPU: the hour of an unnamed vCPU has no price. */
  device: string | null;
  /** The recipe's `hardware` block. */
  hardware?: { watts?: number | undefined; dollarsPerHour?: number | undefined } | undefined;
  /** The machine's own energy counter is being read. */
  measuresEnergy: boolean;
}

/** What the recipe states wins over the table; what neither knows stays unknown. */
export function ratesFor(input: RatesInput): Rates {
  const row = input.device === null ? null : findPrice(input.device);
  const { watts, dollarsPerHour } = input.hardware ?? {};
  const price = dollarsPerHour ?? (row === null ? null : middle(row));
  return {
    watts: watts ?? null,
    dollarsPerHour: price,
    method: `${energyMethod(watts, input.measuresEnergy)} ${costMethod(input, row)}`,
  };
}

/** The row of exactly this device, or `null`. */
export function findPrice(device: string): PriceRow | null {
  const plain = device.trim().toLowerCase();
  const names = (row: PriceRow): string[] => [row.device, ...row.aliases];
  return priceTable.find((row) => names(row).some((name) => name.toLowerCase() === plain)) ?? null;
}

const middle = ({ dollarsPerHour: { low, high } }: PriceRow): number => (low + high) / 2;

function energyMethod(watts: number | undefined, measured: boolean): string {
  if (measured)
    return "Energy is read from the processor's counter (RAPL): the package, without memory, disk and screen.";
  if (watts !== undefined) return `Energy is time x ${watts} W, as the recipe states.`;
  return "Energy is unknown: this machine has no readable counter and the recipe gives no hardware.watts.";
}

function costMethod({ hardware, device }: RatesInput, row: PriceRow | null): string {
  if (hardware?.dollarsPerHour !== undefined) {
    return `Cost is time x $${hardware.dollarsPerHour} per hour, as the recipe states.`;
  }
  if (row !== null) {
    const { low, high } = row.dollarsPerHour;
    const price = low === high ? `$${low}` : `$${middle(row)}, the middle of $${low} to $${high}`;
    return `Cost is time x the hourly rent of a ${row.device}: ${price} (${row.source}, ${row.date}, ${row.url}).`;
  }
  const what = device === null ? "this machine" : `"${device}"`;
  return `Cost is unknown: there is no price for ${what} and the recipe gives no hardware.dollarsPerHour.`;
}

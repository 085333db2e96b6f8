/** The processor's own energy counter (RAPL), where the system lets us read it. */
import { readdirSync } from "node:fs";
import { type ReadText, readText } from "../runtime/cgroup.ts";

const ROOT = "/sys/class/powercap";
const MICROJOULES_PER_WATT_HOUR = 3.6e9;

interface Zone {
  path: string;
  /** The counter starts again from 0 above this, in microjoules. */
  range: number;
  last: number;
}

/** Sums the packages' counters. Read it at least once a minute: a counter wraps within a few. */
export class EnergyMeter {
  readonly #zones: Zone[];
  readonly #read: ReadText;

  private constructor(zones: Zone[], read: ReadText) {
    this.#zones = zones;
    this.#read = read;
  }

  /** `null` where no package counter can be read: most containers, laptops without root, other systems. */
  static open(read: ReadText = readText, names: string[] = listZones()): EnergyMeter | null {
    const zones: Zone[] = [];
    for (const name of names) {
      const path = `${ROOT}/${name}`;
      // Subzones (core, dram) and psys are parts or wholes of the packages: adding them counts twice.
      if (!/^package-\d+$/.test((read(`${path}/name`) ?? "").trim())) continue;
      const last = read(`${path}/energy_uj`);
      const range = read(`${path}/max_energy_range_uj`);
      if (last === null || range === null) return null;
      zones.push({ path, range: Number(range), last: Number(last) });
    }
    return zones.length === 0 ? null : new EnergyMeter(zones, read);
  }

  /** Watt-hours since the last call; `null` if a counter has become unreadable. */
  take(): number | null {
    let sum = 0;
    for (const zone of this.#zones) {
      const text = this.#read(`${zone.path}/energy_uj`);
      if (text === null) return null;
      const now = Number(text);
      sum += now >= zone.last ? now - zone.last : zone.range - zone.last + now;
      zone.last = now;
    }
    return sum / MICROJOULES_PER_WATT_HOUR;
  }
}

function listZones(): string[] {
  try {
    return readdirSync(ROOT);
  } catch {
    return [];
  }
}

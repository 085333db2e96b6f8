/** Weekdays and days between dates of the Gregorian calendar. */
import type { Random } from "../../lib/random.ts";
import { type Drawn, family } from "./family.ts";
import { readWhole, readWord } from "./readers.ts";

/** Dates are "2024-02-29". */
export type Calendar =
  /** The weekday that many days after `weekday`; before it, if negative. */
  | { asks: "shifted"; weekday: string; days: number }
  /** Days from one date to a later one. */
  | { asks: "days"; from: string; to: string }
  /** The weekday of `to`; `from` is a `weekday`. */
  | { asks: "weekday"; from: string; weekday: string; to: string }
  /** How often `counted` comes from one date to a later one, both included; `from` is a `weekday`. */
  | { asks: "count"; from: string; weekday: string; to: string; counted: string }
  /** The weekday of a date, without another one to start from. */
  | { asks: "date"; to: string };

const WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS = "January February March April May June July August September October November December".split(
  " ",
);

export const calendar = family<"calendar", Calendar>({
  kind: "calendar",
  levels: [
    "the weekday up to 500 days before or after a weekday",
    "days between two dates of a year",
    "the weekday of a date, from one up to three years away",
    "days between two dates up to 50 years apart, or how often a weekday comes between them",
    "the weekday of any date from 1800 to 2199",
  ],
  example: {
    data: { asks: "shifted", weekday: "Monday", days: 10 },
    thought: "10 days are 1 week and 3 days. 3 days after Monday is Thursday.",
  },
  draw,
  question(data) {
    const name = "Answer with the weekday's name.";
    const number = "Answer with a number.";
    switch (data.asks) {
      case "shifted":
        return data.days > 0
          ? `Today is ${data.weekday}. Which day of the week is it in ${data.days} days? ${name}`
          : `Today is ${data.weekday}. Which day of the week was it ${-data.days} days ago? ${name}`;
      case "days":
        return `How many days after ${show(data.from)} is ${show(data.to)}? ${number}`;
      case "weekday":
        return `${show(data.from)} is a ${data.weekday}. Which day of the week is ${show(data.to)}? ${name}`;
      case "count":
        return `${show(data.from)} is a ${data.weekday}. How many ${data.counted}s are there from this day to ${show(data.to)}, both included? ${number}`;
      case "date":
        return `Which day of the week is ${show(data.to)} in the Gregorian calendar? ${name}`;
    }
  },
  read: (text, { asks }) =>
    asks === "days" || asks === "count" ? readWhole(text) : readWord(text, WEEKDAYS),
  solve(data) {
    switch (data.asks) {
      case "shifted":
        return after(data.weekday, data.days);
      case "days":
        return String(dayNumber(data.to) - dayNumber(data.from));
      case "weekday":
        return after(data.weekday, dayNumber(data.to) - dayNumber(data.from));
      case "count": {
        const first = (WEEKDAYS.indexOf(data.counted) - WEEKDAYS.indexOf(data.weekday) + 7) % 7;
        return String(Math.floor((dayNumber(data.to) - dayNumber(data.from) - first) / 7) + 1);
      }
      case "date":
        return after("Monday", dayNumber(data.to));
    }
  },
});

function after(weekday: string, days: number): string {
  return WEEKDAYS[(((WEEKDAYS.indexOf(weekday) + days) % 7) + 7) % 7]!;
}

const partsOf = (date: string) => date.split("-").map(Number) as [number, number, number];

function show(date: string): string {
  const [year, month, day] = partsOf(date);
  return `${MONTHS[month - 1]} ${day}, ${year}`;
}

/** Days since January 1 of the year 1, a Monday. */
function dayNumber(date: string): number {
  const [year, month, day] = partsOf(date);
  const leapDays = (years: number) =>
    Math.floor(years / 4) - Math.floor(years / 100) + Math.floor(years / 400);
  const february = 28 + leapDays(year) - leapDays(year - 1);
  const lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
  const before = lengths.slice(0, month - 1).reduce((sum, length) => sum + length, 0);
  return 365 * (year - 1) + leapDays(year - 1) + before + day - 1;
}

/** The generator asks JavaScript's `Date`: day `n` is n days after January 1, 1970, a Thursday. */
function draw(random: Random, level: number): Drawn<Calendar> {
  const iso = (day: number) => new Date(day * 86_400_000).toISOString().slice(0, 10);
  const weekdayOf = (day: number) => WEEKDAYS[(((day + 3) % 7) + 7) % 7]!;
  const startOf = (year: number) => Date.UTC(year, 0, 1) / 86_400_000;
  const within = (low: number, high: number) => random.integer(startOf(low), startOf(high) - 1);
  if (level === 1) {
    const [day, days] = [random.integer(0, 6), random.integer(2, 500) * random.pick([1, -1])];
    return { data: { asks: "shifted", weekday: weekdayOf(day), days }, answer: weekdayOf(day + days) };
  }
  if (level === 5) {
    const day = within(1800, 2200);
    return { data: { asks: "date", to: iso(day) }, answer: weekdayOf(day) };
  }
  const year = random.integer(1970, 2049);
  const start = within(year, year + 1);
  const dates = { from: iso(start), weekday: weekdayOf(start) };
  if (level === 2) {
    const end = within(year, year + 1);
    const [from, to] = start < end ? [start, end] : [end, start];
    return { data: { asks: "days", from: iso(from), to: iso(to) }, answer: String(to - from) };
  }
  if (level === 3) {
    const end = start + random.integer(2, 1096) * random.pick([1, -1]);
    return { data: { asks: "weekday", ...dates, to: iso(end) }, answer: weekdayOf(end) };
  }
  const end = start + random.integer(100, 18_262);
  if (random.integer(0, 1) === 0)
    return { data: { asks: "days", from: dates.from, to: iso(end) }, answer: String(end - start) };
  const counted = random.pick(WEEKDAYS);
  let count = 0;
  let day = start;
  while (weekdayOf(day) !== counted) day++;
  for (; day <= end; day += 7) count++;
  return { data: { asks: "count", ...dates, to: iso(end), counted }, answer: String(count) };
}

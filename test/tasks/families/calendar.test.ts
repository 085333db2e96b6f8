import { expect, it } from "vitest";
import { type Calendar, calendar } from "../../../src/tasks/families/calendar.ts";
import type { FamilyProblem } from "../../../src/tasks/families/family.ts";
import { answered, testFamily } from "./family-tests.ts";
import { remembered } from "./remembered.ts";

const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const DATE = /[A-Z][a-z]+ \d+, \d{4}/g;

/** From the question's words, day by day. */
const right = remembered((question) => {
  const dates = (question.match(DATE) ?? []).map((text) => new Date(`${text} UTC`));
  const names = [...question.matchAll(new RegExp(WEEKDAYS.join("|"), "g"))].map(([name]) =>
    WEEKDAYS.indexOf(name),
  );
  const [first, last] = [dates[0]!, dates.at(-1)!];
  if (dates.length === 0) {
    const [, days] = /(\d+) days/.exec(question)!;
    const step = question.includes("ago") ? 6 : 1;
    let weekday = names[0]!;
    for (let i = 0; i < Number(days); i++) weekday = (weekday + step) % 7;
    return WEEKDAYS[weekday]!;
  }
  // The weekdays that the question tells are the real ones.
  if (dates.length > 1 && names.length > 0) expect(first.getUTCDay()).toBe(names[0]);
  if (question.startsWith("How many days after")) return String(walk(first, last).length - 1);
  if (question.includes("How many")) {
    return String(walk(first, last).filter((weekday) => weekday === names[1]).length);
  }
  return WEEKDAYS[last.getUTCDay()]!;
});

/** The weekdays from one date to a later one, both included. */
function walk(from: Date, to: Date): number[] {
  expect(from.getTime()).toBeLessThan(to.getTime());
  const weekdays: number[] = [];
  for (const day = new Date(from); day <= to; day.setUTCDate(day.getUTCDate() + 1))
    weekdays.push(day.getUTCDay());
  return weekdays;
}

const isNumber = ({ asks }: Calendar) => asks === "days" || asks === "count";

testFamily<Calendar>({
  kind: "calendar",
  levels: 5,
  isRight: (question, answer) => right(question) === answer,
  // Months whose lengths one has to know on the way, from January 2000 where no other date is given.
  measure({ data }) {
    if (data.asks === "shifted") return 0;
    const months = (date: string) => Number(date.slice(0, 4)) * 12 + Number(date.slice(5, 7));
    return Math.abs(months(data.to) - months(data.asks === "date" ? "2000-01-01" : data.from));
  },
  distinct: [916, 1000, 1000, 1000, 998],
  others: ({ data, answer }) =>
    isNumber(data) ? [1, -1, 7, 30].map((more) => String(Number(answer) + more)) : WEEKDAYS,
  equal: (answer, { data }) =>
    isNumber(data)
      ? [`+${answer}`, `${answer}.`, `**${answer}**`, `$${answer}$`, `${answer}.0`]
      : [answer.toUpperCase(), answer.toLowerCase(), `**${answer}**`, `${answer}.`, `**${answer}.**`],
  refused: (answer, { data }) =>
    isNumber(data)
      ? [
          `${answer} days`,
          `${answer}/1`,
          `0${answer}`,
          `${answer}.5`,
          `${answer} thousand`,
          "Monday",
          "٤٢",
          "⁴²",
          "NaN",
          `${answer}e0`,
        ]
      : [
          answer.slice(0, 3),
          `${answer}s`,
          `on ${answer}`,
          `${answer}, May 1`,
          "3",
          "today",
          "Montag",
          answer.replace("d", "ԁ"),
        ],
});

const task = calendar.make(calendar.options.parse({ kind: "calendar" }));
const problem = (data: Calendar): FamilyProblem<Calendar> => ({
  id: "",
  prompt: "",
  level: 1,
  answer: "",
  data,
});

// From published calendars.
it.each<[Calendar, string]>([
  [{ asks: "date", to: "1969-07-20" }, "Sunday"],
  [{ asks: "date", to: "1900-03-01" }, "Thursday"],
  [{ asks: "date", to: "2000-02-29" }, "Tuesday"],
  [{ asks: "date", to: "2100-03-01" }, "Monday"],
  [{ asks: "days", from: "2000-02-28", to: "2000-03-01" }, "2"],
  [{ asks: "days", from: "1900-02-28", to: "1900-03-01" }, "1"],
  [{ asks: "days", from: "2023-12-31", to: "2024-12-31" }, "366"],
  [{ asks: "shifted", weekday: "Monday", days: -1 }, "Sunday"],
  [{ asks: "shifted", weekday: "Sunday", days: 700 }, "Sunday"],
  [{ asks: "weekday", from: "2024-01-01", weekday: "Monday", to: "2023-12-31" }, "Sunday"],
  [{ asks: "count", from: "2024-01-01", weekday: "Monday", to: "2024-01-08", counted: "Monday" }, "2"],
  [{ asks: "count", from: "2024-01-01", weekday: "Monday", to: "2024-01-06", counted: "Sunday" }, "0"],
  [{ asks: "count", from: "2024-01-01", weekday: "Monday", to: "2024-01-07", counted: "Sunday" }, "1"],
])("%o is solved by %s", (data, answer) => {
  expect(task.solve!(problem(data))).toBe(answer);
});

it("a number is no answer to a question for a weekday, nor the other way round", () => {
  const asked = (data: Calendar, answer: string, given: string) =>
    task.verify({ ...problem(data), answer }, answered(given));
  expect(asked({ asks: "date", to: "1969-07-20" }, "Sunday", "7").kind).toBe("unparsed");
  expect(asked({ asks: "days", from: "2000-02-28", to: "2000-03-01" }, "2", "Tuesday").kind).toBe("unparsed");
});

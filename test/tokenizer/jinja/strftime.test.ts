/** Dates at the edges of years, weeks and half days, as Python 3.11 writes them (`datetime.strftime`). */
import { expect, it } from "vitest";
import { strftime } from "../../../src/tokenizer/jinja/strftime.ts";

it.each([
  ["2021-01-01T00:30:00", "Fri 00 00 53 2020 20 001 5 12 AM 12  0 20"],
  ["2020-12-31T12:05:00", "Thu 52 52 53 2020 20 366 4 12 PM 12 12 20"],
  ["2019-12-30T13:00:00", "Mon 52 52 01 2020 20 364 1 01 PM  1 13 20"],
  ["2024-02-29T11:59:00", "Thu 08 09 09 2024 24 060 4 11 AM 11 11 20"],
  ["2023-01-01T23:00:00", "Sun 01 00 52 2022 22 001 7 11 PM 11 23 20"],
  ["2026-06-15T06:00:00", "Mon 24 24 25 2026 26 166 1 06 AM  6  6 20"],
])("%s", (date, text) => {
  expect(strftime(new Date(date), "%a %U %W %V %G %g %j %u %I %p %l %k %C")).toBe(text);
});

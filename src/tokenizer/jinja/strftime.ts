/** Dates as Python writes them, for templates that tell the model what day it is. */

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  ...["January", "February", "March", "April", "May", "June", "July"],
  ...["August", "September", "October", "November", "December"],
];

/**
 * `datetime.strftime` of local time, with English names as Python has them unless a program sets a locale, and glibc's
 * flags: `-` no padding, `_` blanks, `0` zeros, `^` capitals.
 */
export function strftime(date: Date, pattern: string): string {
  const two = (value: number, fill = "0"): string => String(value).padStart(2, fill);
  const hour = date.getHours() % 12 || 12;
  const midnight = (month: number, day: number): number => Date.UTC(date.getFullYear(), month, day);
  const dayOfYear = (midnight(date.getMonth(), date.getDate()) - midnight(0, 1)) / 86_400_000 + 1;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}`;
  const short = `${two(date.getMonth() + 1)}/${two(date.getDate())}/${two(date.getFullYear() % 100)}`;
  const half = date.getHours() < 12 ? "AM" : "PM";
  /** Weeks that have begun on their first day, which is `first` of Sunday to Saturday. */
  const week = (first: number): number => Math.floor((dayOfYear + 6 - ((date.getDay() - first + 7) % 7)) / 7);
  // The ISO week of a day is that of its Thursday.
  const thursday = new Date(midnight(date.getMonth(), date.getDate() + 4 - (date.getDay() || 7)));
  const year = thursday.getUTCFullYear();
  const isoWeek = Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / (7 * 86_400_000)) + 1;
  const [month, day] = [MONTHS[date.getMonth()].slice(0, 3), DAYS[date.getDay()].slice(0, 3)];
  const known: Record<string, string> = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    e: two(date.getDate(), " "),
    B: MONTHS[date.getMonth()],
    b: month,
    h: month,
    A: DAYS[date.getDay()],
    a: day,
    w: String(date.getDay()),
    u: String(date.getDay() || 7),
    j: String(dayOfYear).padStart(3, "0"),
    H: two(date.getHours()),
    I: two(hour),
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    f: `${String(date.getMilliseconds()).padStart(3, "0")}000`,
    p: half,
    P: half.toLowerCase(),
    k: two(date.getHours(), " "),
    l: two(hour, " "),
    C: two(Math.floor(date.getFullYear() / 100)),
    G: String(year),
    g: two(year % 100),
    V: two(isoWeek),
    U: two(week(0)),
    W: two(week(1)),
    c: `${day} ${month} ${two(date.getDate(), " ")} ${time}:${two(date.getSeconds())} ${date.getFullYear()}`,
    x: short,
    X: `${time}:${two(date.getSeconds())}`,
    r: `${two(hour)}:${two(date.getMinutes())}:${two(date.getSeconds())} ${half}`,
    R: time,
    T: `${time}:${two(date.getSeconds())}`,
    F: `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`,
    D: short,
    // A time without a zone has none.
    ...{ z: "", Z: "" },
    s: String(Math.floor(date.getTime() / 1000)),
    n: "\n",
    t: "\t",
    "%": "%",
  };
  return pattern.replace(/%([-_0^]?)([A-Za-z%])/g, (all, flag, letter) => {
    if (!Object.hasOwn(known, letter)) return all;
    const text = known[letter];
    if (flag === "^") return text.toUpperCase();
    // Flags are about the padding of one number.
    if (flag === "" || !/^[0 ]*\d+$/.test(text)) return text;
    const digits = text.replace(/^[0 ]+(?=.)/, "");
    return flag === "-" ? digits : digits.padStart(text.length, flag === "0" ? "0" : " ");
  });
}

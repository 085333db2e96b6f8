/** A model shape that cannot be built, or that this program does not implement. */
export class ConfigError extends Error {
  override name = "ConfigError";
  readonly field: string;
  readonly expected: string;
  readonly found: string;
  readonly remedy: string;

  constructor(detail: { field: string; expected: string; found: string; remedy: string }) {
    super(`model ${detail.field}: expected ${detail.expected}, found ${detail.found}. ${detail.remedy}`);
    this.field = detail.field;
    this.expected = detail.expected;
    this.found = detail.found;
    this.remedy = detail.remedy;
  }
}

/** Requests that cannot be followed, with the HTTP status that Tinker's client acts on. */
import { UserError, type UserErrorDetail } from "../../lib/errors.ts";

/** The client sends a request again after 408, 409, 429 and 5xx, so a refusal has another status. */
export type RefusalStatus = 400 | 401 | 404 | 410 | 413;

export class Refusal extends UserError {
  override name = "Refusal";
  readonly status: RefusalStatus;

  constructor(status: RefusalStatus, detail: Omit<UserErrorDetail, "kind">) {
    super({ kind: "input", ...detail });
    this.status = status;
  }
}

/** The request says something that is wrong. @param what, @param remedy sentences */
export const refused = (where: string, what: string, remedy: string): Refusal =>
  new Refusal(400, { where, what, remedy });

/** The request names something that is not here. */
export const unknown = (where: string, found: string, remedy: string): Refusal =>
  new Refusal(404, { where, what: `there is no "${found.slice(0, 200)}" here`, remedy });

/** The cost of the run so far, and how it was computed. */
import { run } from "./feed.ts";
import { dollars, duration, large, wattHours } from "./format.ts";

export function BillTable() {
  const { bill } = run.value;
  return (
    <section aria-labelledby="bill-title">
      <h2 id="bill-title">The bill so far</h2>
      {bill === null ? (
        <p class="empty">Comes with the first finished steps.</p>
      ) : (
        <>
          <div class="scroll">
            <table>
              <thead>
                <tr>
                  <th scope="col">Stage</th>
                  <th scope="col">Compute</th>
                  <th scope="col">Tokens</th>
                  <th scope="col">Time</th>
                  <th scope="col">Energy</th>
                  <th scope="col">Cost</th>
                </tr>
              </thead>
              <tbody>
                {bill.lines.map((line) => (
                  <tr key={line.stage}>
                    <th scope="row">{line.stage}</th>
                    <Cells {...line} />
                  </tr>
                ))}
              </tbody>
              <tfoot>
                <tr>
                  <th scope="row">Together</th>
                  <Cells {...bill} tokens={bill.lines.reduce((sum, line) => sum + line.tokens, 0)} />
                </tr>
              </tfoot>
            </table>
          </div>
          <p class="detail">{bill.method}</p>
        </>
      )}
    </section>
  );
}

interface Costs {
  flops: number;
  tokens: number;
  seconds: number;
  wattHours: number | null;
  dollars: number | null;
}

function Cells(costs: Costs) {
  return (
    <>
      <td>{large(costs.flops, "FLOP")}</td>
      <td>{large(costs.tokens, "")}</td>
      <td>{duration(costs.seconds)}</td>
      <td>{wattHours(costs.wattHours)}</td>
      <td>{dollars(costs.dollars)}</td>
    </>
  );
}

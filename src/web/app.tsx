import { useSignalEffect } from "@preact/signals";
import { BillTable } from "./bill.tsx";
import { Chat } from "./chat.tsx";
import { Curves } from "./curves.tsx";
import { known, run } from "./feed.ts";
import { percent } from "./format.ts";
import { Header } from "./header.tsx";
import { Messages } from "./messages.tsx";
import { Samples } from "./samples.tsx";
import { Story } from "./story.tsx";
import { chosen, view } from "./view.ts";

export function App() {
  useSignalEffect(() => {
    if (known.value && chosen.value === null) view.value = run.value.run === null ? "chat" : "run";
  });
  useSignalEffect(() => {
    const { progress, outcome } = run.value;
    const share =
      progress && !outcome ? `${percent(progress.step / Math.max(progress.totalSteps, 1), 0)} · ` : "";
    document.title = `${share}${progress && !outcome ? `${progress.stage} · ` : ""}Sputnik`;
  });
  return (
    <>
      <Header />
      <main>{view.value === "chat" ? <Chat /> : <RunView />}</main>
    </>
  );
}

function RunView() {
  if (!known.value) return <p class="empty">Waiting for the server.</p>;
  if (run.value.run === null) {
    return (
      <div class="empty">
        <p>No run is under way on this server.</p>
        <p>
          <code>npm start</code> trains one from scratch and shows it here. Meanwhile, the finished model
          answers in the <a href="#chat">chat</a>.
        </p>
      </div>
    );
  }
  return (
    <>
      <Messages />
      <Story />
      <Curves />
      <Samples />
      <BillTable />
    </>
  );
}

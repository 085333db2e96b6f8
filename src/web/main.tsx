import { render } from "preact";
import { App } from "./app.tsx";
import { connect } from "./feed.ts";

connect();
render(<App />, document.getElementById("app")!);

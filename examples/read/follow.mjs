// Prints each change of the calendar at CALENDAR as it happens. Where it is stands in POSITION_FILE, so that it goes on there.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const { CALENDAR, TOKEN_FILE = "/var/run/secrets/calendar-store/token", POSITION_FILE = "position" } = process.env;
let position = existsSync(POSITION_FILE) ? readFileSync(POSITION_FILE, "utf8") : "";
for (;;) {
  try {
    const token = readFileSync(TOKEN_FILE, "utf8").trim(); // each time anew: it is replaced before it ends
    const headers = { Accept: "text/event-stream", Authorization: `Bearer ${token}`, "Last-Event-ID": position };
    const answer = await fetch(`${CALENDAR}/changes`, { headers });
    if (!answer.ok) throw new Error(await answer.text());
    let rest = "";
    for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + piece).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith("id: ")) position = line.slice(4);
        else if (line === "event: gone") position = ""; // all events follow anew: what was known is forgotten
        else if (line.startsWith("data: ")) {
          console.log(line.slice(6));
          writeFileSync(POSITION_FILE, position);
        }
      }
    }
  } catch (error) {
    console.error(error.message);
  }
  await sleep(1000);
}

// Prints today's events of the calendar at CALENDAR.
import { readFileSync } from "node:fs";

const { CALENDAR, TIME_ZONE = "UTC", TOKEN_FILE = "/var/run/secrets/calendar-store/token" } = process.env;
const today = new Intl.DateTimeFormat("sv", { timeZone: TIME_ZONE }).format(new Date());
const tomorrow = new Date(Date.parse(today) + 86_400_000).toISOString().slice(0, 10);
const query = new URLSearchParams({ from: today, to: tomorrow, timeZone: TIME_ZONE });
let page;
do {
  const token = readFileSync(TOKEN_FILE, "utf8").trim(); // each time anew: it is replaced before it ends
  const headers = { Authorization: `Bearer ${token}` };
  const answer = await fetch(`${CALENDAR}/events?${query}`, { headers, signal: AbortSignal.timeout(30_000) });
  if (!answer.ok) throw new Error(await answer.text());
  page = await answer.json();
  for (const event of page.items) console.log(`${event.start}\t${event.summary ?? "Busy"}`);
  query.set("after", page.next);
} while (page.next);

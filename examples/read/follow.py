"""Prints each change of the calendar at CALENDAR as it happens. Where it is stands in POSITION_FILE, so that it goes on there."""
import http.client, os, pathlib, sys, time, urllib.request

token_file = pathlib.Path(os.environ.get("TOKEN_FILE", "/var/run/secrets/calendar-store/token"))
position_file = pathlib.Path(os.environ.get("POSITION_FILE", "position"))
position = position_file.read_text() if position_file.exists() else ""
while True:
    try:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": position}
        headers["Authorization"] = f"Bearer {token_file.read_text().strip()}"  # each time anew: it is replaced before it ends
        request = urllib.request.Request(f"{os.environ['CALENDAR']}/changes", headers=headers)
        with urllib.request.urlopen(request, timeout=60) as stream:  # a comment comes every 15 s
            for line in stream:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "id":
                    position = value
                elif (field, value) == ("event", "gone"):
                    position = ""  # all events follow anew: what was known is forgotten
                elif field == "data":
                    print(value, flush=True)
                    position_file.write_text(position)
    except (OSError, http.client.HTTPException) as error:
        print(error, file=sys.stderr)
    time.sleep(1)

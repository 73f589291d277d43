"""Prints today's events of the calendar at CALENDAR."""
import datetime, json, os, sys, urllib.error, urllib.parse, urllib.request, zoneinfo

zone = os.environ.get("TIME_ZONE", "UTC")
token_file = os.environ.get("TOKEN_FILE", "/var/run/secrets/calendar-store/token")
today = datetime.datetime.now(zoneinfo.ZoneInfo(zone)).date()
query = {"from": today, "to": today + datetime.timedelta(days=1), "timeZone": zone}
while True:
    url = f"{os.environ['CALENDAR']}/events?{urllib.parse.urlencode(query)}"
    token = open(token_file).read().strip()  # each time anew: it is replaced before it ends
    try:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        page = json.load(urllib.request.urlopen(request, timeout=30))
    except urllib.error.HTTPError as error:
        sys.exit(error.read().decode())
    for event in page["items"]:
        print(event["start"], event.get("summary", "Busy"), sep="\t")
    if "next" not in page:
        break
    query["after"] = page["next"]

"""Reads calendars as strictly as three parsers of others do, and holds each against the events that the API gave as JSON.

Usage: strict.py FOLDER: in it NAME.ics and NAME.json, a list of events, for each calendar. The three are libical, which GNOME's and KDE's
calendars parse with, and icalendar and vobject, which programs in Python do. What none of them looks at is looked at here.
"""

import ctypes, datetime, json, pathlib, re, sys, urllib.parse

import icalendar, vobject

UTC = datetime.timezone.utc
# How often a property may come: RFC 5545, 3.6 and 3.6.1, and RFC 7986. No METHOD: nobody is invited by this.
CALENDAR = {
    "VERSION": (1, 1), "PRODID": (1, 1), "CALSCALE": (1, 1), "NAME": (1, 1), "X-WR-CALNAME": (1, 1), "REFRESH-INTERVAL": (1, 1),
    "X-PUBLISHED-TTL": (1, 1),
}
EVENT = {
    "UID": (1, 1), "DTSTAMP": (1, 1), "DTSTART": (1, 1), "DTEND": (0, 1), "SUMMARY": (0, 1), "STATUS": (0, 1), "TRANSP": (1, 1),
    "LOCATION": (0, 1), "DESCRIPTION": (0, 1), "URL": (0, 1), "ORGANIZER": (0, 1), "ATTENDEE": (0, None), "LAST-MODIFIED": (0, 1),
}
# RFC 3986: a scheme, and nothing that would have to be encoded.
URI = re.compile(r"[a-z][a-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
TEXTS = ("UID", "NAME", "X-WR-CALNAME", "SUMMARY", "LOCATION", "DESCRIPTION")
ESCAPED = re.compile(r"(?:[^\\;,]|\\[\\;,n])*")
BREAKS = "\r\n\x85\u2028\u2029"


def lines(text):
    """Of the octets: ends, lengths, characters."""
    assert text.endswith(b"\r\n") and b"\r\n\r\n" not in text
    for line in text[:-2].split(b"\r\n"):
        assert len(line) <= 75, line
        # A fold parts no character, and nothing that controls is left but the tab.
        assert not re.search("[\x00-\x08\x0a-\x1f\x7f-\x9f]", line.decode()), line
    for line in text.replace(b"\r\n ", b"").decode().split("\r\n"):
        name, _, value = line.partition(":")
        assert name not in TEXTS or ESCAPED.fullmatch(value), line


def libical():
    library = ctypes.CDLL("libical.so.3")
    library.icalparser_parse_string.restype = library.icalcomponent_as_ical_string.restype = ctypes.c_void_p
    library.icalcomponent_as_ical_string.restype = ctypes.c_char_p

    def check(text):
        component = ctypes.c_void_p(library.icalparser_parse_string(text))
        assert component.value, "libical parses nothing"
        sound = library.icalrestriction_check(component)
        assert sound and not library.icalcomponent_count_errors(component), [
            line for line in library.icalcomponent_as_ical_string(component).decode().splitlines() if "ERROR" in line
        ]
        return library.icalcomponent_count_components(component, ctypes.c_int(4))  # ICAL_VEVENT_COMPONENT

    return check


def counted(component, allowed):
    found = [name for name, _ in component.property_items(recursive=False) if name not in ("BEGIN", "END")]
    for name in found:
        assert name in allowed, name
    for name, (least, most) in allowed.items():
        assert least <= found.count(name) and (most is None or found.count(name) <= most), (name, found)


def instant(text):
    """An instant of the API, to the second, as the other form has it."""
    return datetime.datetime.fromisoformat(text).astimezone(UTC).replace(microsecond=0)


def kept(text):
    """What is left of a text: its characters, and its lines."""
    text = re.sub(f"\r\n|[{BREAKS}]", "\n", text)
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", text)


def same(entry, event):
    """Whether both say the same."""
    start, end = entry["DTSTART"].dt, entry["DTEND"].dt if "DTEND" in entry else None
    if event["allDay"] and len(event["start"]) == len(event["end"]) == 10:
        assert entry["DTSTART"].params["VALUE"] == "DATE"
        wanted = [datetime.date.fromisoformat(event[key]) for key in ("start", "end")]
    else:
        wanted = [instant(event[key]) for key in ("start", "end")]
        assert start.utcoffset() == datetime.timedelta(0)
    assert start == wanted[0], (start, event)
    # The end is exclusive in both, and left out if there is no time between.
    assert end == (wanted[1] if wanted[1] > wanted[0] else None), (end, event)
    for name, key, absent in (("SUMMARY", "summary", "Busy"), ("LOCATION", "location", ""), ("DESCRIPTION", "description", "")):
        text = kept(event.get(key, absent))
        assert entry.get(name, "") == (text if text.strip() else ""), (entry.get(name), event)
    status = event.get("status")
    assert entry.get("STATUS") == (status.upper() if status in ("confirmed", "tentative", "cancelled") else None)
    assert entry["TRANSP"] == ("TRANSPARENT" if event.get("transparency") == "transparent" else "OPAQUE")
    updated = instant(event["updated"]) if "updated" in event else None
    assert (entry["LAST-MODIFIED"].dt if "LAST-MODIFIED" in entry else None) == updated
    assert entry["DTSTAMP"].dt == (updated or datetime.datetime.fromtimestamp(0, UTC))
    people(entry, event)
    if "meetingUrl" in event and event["meetingUrl"].startswith("https://meet.example.org/"):
        assert URI.fullmatch(entry["URL"]), entry["URL"]


def people(entry, event):
    attendees = entry.get("ATTENDEE", [])
    attendees = attendees if isinstance(attendees, list) else [attendees]
    reached = [person for person in event.get("attendees", []) if "@" in person.get("email", "")]
    assert len(attendees) == len(reached)
    answers = {"accepted": "ACCEPTED", "declined": "DECLINED", "tentative": "TENTATIVE"}
    for property, person in zip(attendees, reached):
        assert property.params["PARTSTAT"] == answers.get(person.get("status"), "NEEDS-ACTION")
    organizer = event.get("organizer", {})
    pairs = list(zip(attendees, reached)) + ([(entry["ORGANIZER"], organizer)] if "@" in organizer.get("email", "") else [])
    for property, person in pairs:
        assert URI.fullmatch(property) and urllib.parse.unquote(property) == f"mailto:{person['email']}", property
        if "name" in person:
            assert property.params["CN"] == re.sub("[\x00-\x09\x0b-\x1f\x7f-\x9f]", " ", re.sub(f"\r\n|[{BREAKS}]", "\n", person["name"]))


def check(folder, name, by_libical):
    text = (folder / f"{name}.ics").read_bytes()
    events = json.loads((folder / f"{name}.json").read_text())
    lines(text)
    assert by_libical(text) == len(events)
    strict = vobject.readOne(text.decode())
    strict.validate(raiseException=True)
    assert len(strict.contents.get("vevent", [])) == len(events)
    calendar = icalendar.Calendar.from_ical(text)
    for component in calendar.walk():
        assert not component.errors, component.errors
    # Their grammar has no calendar without a component.
    assert calendar.subcomponents
    counted(calendar, CALENDAR)
    assert calendar["VERSION"] == "2.0" and calendar["CALSCALE"] == "GREGORIAN"
    assert calendar["REFRESH-INTERVAL"].dt == datetime.timedelta(minutes=5)
    assert calendar["NAME"] == calendar["X-WR-CALNAME"] and calendar["NAME"].startswith("rooms/")
    assert len({entry["UID"] for entry in calendar.events}) == len(events), "each has a name of its own"
    for entry, event in zip(calendar.events, events, strict=True):
        counted(entry, EVENT)
        same(entry, event)
    return f"{len(text)} octets, {len(events)} events"


folder, by_libical, wrong = pathlib.Path(sys.argv[1]), libical(), 0
names = sorted(path.stem for path in folder.glob("*.ics"))
assert names
for name in names:
    try:
        print(f"strict.py: {name}: {check(folder, name, by_libical)}, by three parsers")
    except Exception as error:
        wrong += 1
        print(f"strict.py: {name} is wrong: {error!r:.500}")
sys.exit(wrong > 0)

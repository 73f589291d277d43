"""What the document's own formats stand for."""

import schemathesis
from hypothesis import strategies

# One for both ends of a range, which never ends before it begins. The dictionaries have others.
schemathesis.openapi.format("instant-or-date", strategies.just("2026-11-25"))
schemathesis.openapi.format("time-zone", strategies.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Etc/GMT+12"]))
schemathesis.openapi.format("sequence", strategies.just("another.7"))

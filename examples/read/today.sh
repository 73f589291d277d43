#!/bin/sh
# Prints today's events of the calendar at CALENDAR as JSON. A day with more than fits into one answer has `next` in it.
set -eu
zone=${TIME_ZONE:-UTC}
today=$(TZ=$zone date +%F)
tomorrow=$(date -u -d "@$(($(date -u -d "$today" +%s) + 86400))" +%F)
token=$(cat "${TOKEN_FILE:-/var/run/secrets/calendar-store/token}")
# By standard input, since a command line can be seen by others.
echo "Authorization: Bearer $token" | curl --silent --show-error --fail-with-body --max-time 30 --header @- \
	"$CALENDAR/events?from=$today&to=$tomorrow&timeZone=$zone&limit=1000"

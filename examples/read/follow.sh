#!/bin/sh
# Prints each change of the calendar at CALENDAR as it happens. Where it is stands in POSITION_FILE, so that it goes on there.
set -eu
token_file=${TOKEN_FILE:-/var/run/secrets/calendar-store/token}
position_file=${POSITION_FILE:-position}
while true; do
	# Each time anew: the token is replaced before it ends.
	printf '%s\n' "Authorization: Bearer $(cat "$token_file")" "Last-Event-ID: $(cat "$position_file" 2>/dev/null || true)" |
		curl --silent --show-error --fail --no-buffer --speed-limit 1 --speed-time 60 --header @- --header 'Accept: text/event-stream' \
			"$CALENDAR/changes" |
		while IFS= read -r line; do
			case $line in
			"id: "*) position=${line#id: } ;;
			"event: gone") position= ;; # all events follow anew: what was known is forgotten
			"data: "*) echo "${line#data: }" && echo "$position" >"$position_file" ;;
			esac
		done || true
	sleep 1
done

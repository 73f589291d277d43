// Prints today's events of the calendar at CALENDAR.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	name := cmp.Or(os.Getenv("TIME_ZONE"), "UTC")
	zone, err := time.LoadLocation(name)
	check(err)
	today := time.Now().In(zone)
	query := url.Values{"from": {today.Format(time.DateOnly)}, "to": {today.AddDate(0, 0, 1).Format(time.DateOnly)}, "timeZone": {name}}
	client := http.Client{Timeout: 30 * time.Second}
	for {
		// Each time anew: it is replaced before it ends.
		token, err := os.ReadFile(cmp.Or(os.Getenv("TOKEN_FILE"), "/var/run/secrets/calendar-store/token"))
		check(err)
		request, err := http.NewRequest(http.MethodGet, os.Getenv("CALENDAR")+"/events?"+query.Encode(), nil)
		check(err)
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		answer, err := client.Do(request)
		check(err)
		text, err := io.ReadAll(answer.Body)
		check(err)
		if answer.StatusCode != http.StatusOK {
			log.Fatal(string(text))
		}
		var page struct {
			Items []struct{ Start, Summary string }
			Next  string
		}
		check(json.Unmarshal(text, &page))
		for _, event := range page.Items {
			fmt.Printf("%s\t%s\n", event.Start, cmp.Or(event.Summary, "Busy"))
		}
		if page.Next == "" {
			return
		}
		query.Set("after", page.Next)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Answers queries by Prometheus' own storage and query engine over pages that were scraped before. Standard input is a Request as
// JSON; standard output has for each query the list of its series, each with its labels and its values by time.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"
)

// Request says what was scraped, with all times in seconds, and what is asked of it.
type Request struct {
	Scrapes []struct {
		Time   float64
		Labels map[string]string
		Page   string
	}
	Queries          []string
	Start, End, Step float64
}

// Series is one line of a graph.
type Series struct {
	Labels map[string]string `json:"labels"`
	Values [][2]float64      `json:"values"`
}

func at(seconds float64) time.Time { return time.UnixMilli(int64(seconds * 1000)) }

func store(db *tsdb.DB, request Request) error {
	appender := db.Appender(context.Background())
	for _, scrape := range request.Scrapes {
		parser, err := textparse.New([]byte(scrape.Page), "application/openmetrics-text; version=1.0.0", labels.NewSymbolTable(), textparse.ParserOptions{})
		if err != nil {
			return err
		}
		for {
			entry, err := parser.Next()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return err
			}
			if entry != textparse.EntrySeries {
				continue
			}
			var of labels.Labels
			parser.Labels(&of)
			builder := labels.NewBuilder(of)
			for name, value := range scrape.Labels {
				builder.Set(name, value)
			}
			_, _, value := parser.Series()
			if _, err := appender.Append(0, builder.Labels(), at(scrape.Time).UnixMilli(), value); err != nil {
				return err
			}
		}
	}
	return appender.Commit()
}

func answer(engine *promql.Engine, db *tsdb.DB, query string, request Request) ([]Series, error) {
	step := time.Duration(request.Step * float64(time.Second))
	asked, err := engine.NewRangeQuery(context.Background(), db, nil, query, at(request.Start), at(request.End), step)
	if err != nil {
		return nil, err
	}
	defer asked.Close()
	matrix, err := asked.Exec(context.Background()).Matrix()
	if err != nil {
		return nil, err
	}
	answer := []Series{}
	for _, found := range matrix {
		series := Series{found.Metric.Map(), [][2]float64{}}
		for _, point := range found.Floats {
			if !math.IsNaN(point.F) && !math.IsInf(point.F, 0) {
				series.Values = append(series.Values, [2]float64{float64(point.T) / 1000, point.F})
			}
		}
		answer = append(answer, series)
	}
	return answer, nil
}

func run(folder string) error {
	var request Request
	if err := json.NewDecoder(os.Stdin).Decode(&request); err != nil {
		return err
	}
	db, err := tsdb.Open(folder, nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := store(db, request); err != nil {
		return err
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 10_000_000, Timeout: time.Minute})
	answers := [][]Series{}
	for _, query := range request.Queries {
		answer, err := answer(engine, db, query, request)
		if err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
		answers = append(answers, answer)
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

func main() {
	log.SetFlags(0)
	folder, err := os.MkdirTemp("", "evaluate-")
	if err == nil {
		err = errors.Join(run(folder), os.RemoveAll(folder))
	}
	if err != nil {
		log.Fatal(err)
	}
}

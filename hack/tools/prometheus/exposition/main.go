// Reads what a /metrics page says from standard input as Prometheus does when it scrapes, by the page's Content-Type, and prints each
// family in a line: name, type, number of series. It fails at what Prometheus refuses, and at what it would quietly take for
// something else: a series twice, outside of its family, or of a name that its type does not have.
//
// Usage: exposition CONTENT-TYPE < page
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

type family struct {
	name   string
	kind   model.MetricType
	series map[string]bool
}

// What names of samples end in, by the type of their family and whether the format is OpenMetrics.
func suffixes(kind model.MetricType, open bool) []string {
	switch {
	case kind == model.MetricTypeCounter && open:
		return []string{"_total"}
	case kind == model.MetricTypeInfo:
		return []string{"_info"}
	case kind == model.MetricTypeHistogram:
		return []string{"_bucket", "_sum", "_count"}
	default:
		return []string{""}
	}
}

func read(page []byte, contentType string) ([]*family, error) {
	parser, err := textparse.New(page, contentType, labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		return nil, err
	}
	open := strings.HasPrefix(contentType, "application/openmetrics-text")
	var families []*family
	names, samples := map[string]bool{}, map[string]bool{}
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return families, nil
		} else if err != nil {
			return nil, err
		}
		switch entry {
		case textparse.EntryType:
			name, kind := parser.Type()
			if names[string(name)] {
				return nil, fmt.Errorf("the family %s is there twice", name)
			}
			names[string(name)] = true
			families = append(families, &family{string(name), kind, map[string]bool{}})
		case textparse.EntrySeries:
			var of labels.Labels
			parser.Labels(&of)
			if samples[of.String()] {
				return nil, fmt.Errorf("%s is there twice", of)
			}
			samples[of.String()] = true
			if len(families) == 0 {
				return nil, fmt.Errorf("%s belongs to no family", of)
			}
			family := families[len(families)-1]
			rest, begins := strings.CutPrefix(of.Get(labels.MetricName), family.name)
			if !begins || !slices.Contains(suffixes(family.kind, open), rest) {
				return nil, fmt.Errorf("%s stands among those of the %s %s", of, family.kind, family.name)
			}
			family.series[of.MatchLabels(false, labels.MetricName, "le").String()] = true
		}
	}
}

func main() {
	log.SetFlags(0)
	page, err := io.ReadAll(os.Stdin)
	if err != nil || len(os.Args) != 2 {
		log.Fatal("usage: exposition CONTENT-TYPE < page ", err)
	}
	families, err := read(page, os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for _, family := range families {
		fmt.Println(family.name, family.kind, len(family.series))
	}
}

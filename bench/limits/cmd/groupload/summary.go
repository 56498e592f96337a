package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// summary prints the median of each metric for each label, with ratios to the first label.
func summary(in io.Reader) {
	var labels, rows []string
	values := map[string]map[string][]float64{} // by row and label
	for d := json.NewDecoder(in); ; {
		var r result
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else {
			check("read results", err)
		}
		if !slices.Contains(labels, r.Label) {
			labels = append(labels, r.Label)
		}
		for _, metric := range r.Order {
			row := r.Scenario + ": " + metric
			if values[row] == nil {
				rows = append(rows, row)
				values[row] = map[string][]float64{}
			}
			values[row][r.Label] = append(values[row][r.Label], r.Metrics[metric])
		}
	}
	fmt.Printf("%-40s", "median")
	for i, l := range labels {
		fmt.Printf(" %12s", l)
		if i > 0 {
			fmt.Printf(" %7s", "ratio")
		}
	}
	fmt.Println()
	for _, row := range rows {
		fmt.Printf("%-40s", row)
		first := median(values[row][labels[0]])
		for i, l := range labels {
			m := median(values[row][l])
			fmt.Printf(" %12.2f", m)
			if i > 0 {
				fmt.Printf(" %7.2f", m/first)
			}
		}
		fmt.Println()
	}
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[len(v)/2]
}

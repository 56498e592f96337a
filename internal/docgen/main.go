// Command docgen writes the pages of docs/ that are printed from tables in the code: the configuration page from package config, the
// compatibility page from package handler, the metrics page from package metrics. It owns no text of a page. Run it with "go generate ./internal/docgen".
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/handler"
	"github.com/moldau/moldau/internal/metrics"
)

//go:generate go run . ../../docs

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: docgen DIRECTORY")
		os.Exit(2)
	}
	for name, page := range map[string]string{"configuration.md": config.Page(), "compatibility.md": handler.Page(), "metrics.md": metrics.Page()} {
		if err := os.WriteFile(filepath.Join(os.Args[1], name), []byte(page), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/moldau/moldau/test/compat/broker"
)

// goTests are the tests of one package of a Go module.
type goTests struct {
	module, folder, tags string
	env                  []string
	only                 *regexp.Regexp // the files whose tests run; all when nil
	change               map[string]func(string) string
	alone                []string // tests that hang or end the process: each is run by itself, for a minute at most
	flags                []string
	limit                time.Duration
}

// copied returns a copy of the module's source in which it can be built as its authors do, with the dependencies of its
// own go.mod. The version is that of our go.mod.
func (g goTests) copied(ctx context.Context) (string, error) {
	here := filepath.Join(broker.Root(), "test/compat")
	version, err := command(ctx, here, nil, "go", "list", "-m", "-f", "{{.Version}}", g.module)
	if err != nil {
		return "", err
	}
	version = strings.TrimSpace(version)
	answer, err := command(ctx, here, nil, "go", "mod", "download", "-json", g.module+"@"+version)
	if err != nil {
		return "", err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal([]byte(answer), &module); err != nil {
		return "", err
	}
	dir, err := cache(filepath.Base(g.module) + "-" + version)
	if err != nil {
		return "", err
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, os.DirFS(module.Dir)); err != nil {
		return "", err
	}
	for name, change := range g.change {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		changed := change(string(text))
		if changed == string(text) {
			return "", fmt.Errorf("%s has nothing to change any more", path)
		}
		if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

var testFunction = regexp.MustCompile(`(?m)^func (Test[A-Z0-9]\w*)\(`)

// names are the tests that will run.
func (g goTests) names(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range files {
		if g.only != nil && !g.only.MatchString(filepath.Base(file)) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, m := range testFunction.FindAllStringSubmatch(string(text), -1) {
			if m[1] != "TestMain" {
				names = append(names, m[1])
			}
		}
	}
	return names, nil
}

// run builds the tests and runs them: all at once but those that are run alone.
func (g goTests) run(ctx context.Context, s *session) error {
	top, err := g.copied(ctx)
	if err != nil {
		return err
	}
	dir := filepath.Join(top, g.folder)
	exe := filepath.Join(s.dir, strings.ReplaceAll(g.folder, "/", "-")+".test")
	if _, err := command(ctx, dir, []string{"GOFLAGS=-mod=mod", "GOWORK=off"}, "go", "test", "-c", "-tags", g.tags, "-o", exe, "."); err != nil {
		return err
	}
	names, err := g.names(dir)
	if err != nil {
		return err
	}
	run := func(limit time.Duration, pattern string, flags ...string) (results, error) {
		args := append([]string{"-test.v", "-test.timeout", limit.String(), "-test.run", pattern}, flags...)
		text, err := s.execute(ctx, limit+30*time.Second, dir, g.env, exe, append(args, g.flags...)...)
		return parseGo(text), err
	}
	var skip []string
	for _, name := range g.alone {
		skip = append(skip, pattern(name))
	}
	found, err := run(g.limit, "^("+strings.Join(names, "|")+")$", "-test.skip", strings.Join(skip, "|"))
	if err != nil {
		return err
	}
	for _, name := range g.alone {
		one, err := run(time.Minute, pattern(name))
		if err != nil {
			return err
		}
		if one[name] == 0 { // it hung, or took the process with it
			one[name] = failed
		}
		if top := outermost(name); top != name { // it was judged without this part of it
			one[top] = max(found[top], one[name])
		}
		found.merge(one)
	}
	for _, name := range names {
		if found[name] == 0 && !slices.Contains(g.alone, name) {
			return fmt.Errorf("%s said nothing of %s: the process ended before", g.module, name)
		}
	}
	s.results.merge(found)
	return nil
}

// pattern matches one test of Go, and what is within it.
func pattern(name string) string {
	return "^" + strings.ReplaceAll(regexp.QuoteMeta(name), "/", "$/^") + "$"
}

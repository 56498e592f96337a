package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

var (
	binary    = regexp.MustCompile(`(?m)^Types:.*$`)
	binaryOne = regexp.MustCompile(`(?m)^deb\s`)
)

// debianSource returns the unpacked source of a Debian package as its authors published it, without Debian's changes. It
// is fetched with apt-get from where this machine's packages come from; what apt-get knows is kept apart from its own.
func debianSource(ctx context.Context, name string) (string, error) {
	dir, err := cache("debian-" + name)
	if err != nil {
		return "", err
	}
	unpacked := filepath.Join(dir, "source")
	if _, err := os.Stat(unpacked); err == nil {
		return unpacked, nil
	}
	if err := aptSource(ctx, dir, name); err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.orig.tar.*"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("apt-get source %s left %v, %w", name, found, err)
	}
	part := unpacked + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", err
	}
	if err := os.MkdirAll(part, 0o755); err != nil {
		return "", err
	}
	if _, err := command(ctx, dir, nil, "tar", "-xf", found[0], "-C", part, "--strip-components=1"); err != nil {
		return "", err
	}
	return unpacked, os.Rename(part, unpacked)
}

// aptSource has apt-get fetch the package's source archive into a folder.
func aptSource(ctx context.Context, dir, name string) error {
	apt := filepath.Join(dir, "apt")
	for _, folder := range []string{"lists/partial", "cache/archives/partial", "sources.list.d"} {
		if err := os.MkdirAll(filepath.Join(apt, folder), 0o755); err != nil {
			return err
		}
	}
	for _, list := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources"} {
		text, err := os.ReadFile(list)
		if os.IsNotExist(err) {
			continue
		} else if err != nil {
			return err
		}
		text = binaryOne.ReplaceAll(binary.ReplaceAll(text, []byte("Types: deb-src")), []byte("deb-src "))
		if err := os.WriteFile(filepath.Join(apt, "sources.list.d", filepath.Base(list)), text, 0o644); err != nil {
			return err
		}
	}
	options := []string{"-q", "-o", "Dir::Etc::sourcelist=/dev/null", "-o", "Dir::Etc::sourceparts=" + filepath.Join(apt, "sources.list.d"),
		"-o", "Dir::State::lists=" + filepath.Join(apt, "lists"), "-o", "Dir::Cache=" + filepath.Join(apt, "cache"), "-o", "APT::Sandbox::User=root"}
	for _, what := range [][]string{{"update"}, {"source", "--download-only", "--tar-only", name}} {
		if _, err := command(ctx, dir, nil, "apt-get", append(options[:len(options):len(options)], what...)...); err != nil {
			return err
		}
	}
	return os.RemoveAll(apt)
}

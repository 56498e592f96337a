// Command quotas holds two brokers to the same quotas side by side and prints what their clients see: throttle times of the same bytes at the
// same times, the rates that they are held to, and what others notice.
//
//	go run ./bench/quotas -bootstrap Kafka=HOST:PORT,Moldau=HOST:PORT [-time 22s] [-only TEXT]
//
// It talks to brokers on this machine that nobody else uses, with requests of its own making, so that it knows what is counted. What it sets
// it takes back. It fails where the brokers differ by more than it says.
package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"time"
)

// figure is one thing that was measured. With a tolerance the brokers are compared: they may differ by that part, or by slack.
type figure struct {
	name, unit       string
	value            float64
	tolerance, slack float64
	text             string // in place of a value; compared as it is
}

type scenario struct {
	name string
	run  func(ctx context.Context, b *broker) ([]figure, error)
}

func main() {
	bootstrap := flag.String("bootstrap", "", "the brokers, NAME=HOST:PORT with a comma between them; the first is what the others are compared with")
	length := flag.Duration("time", 22*time.Second, "how long rates are measured: 22s or 33s. A burst is forgotten between 11s and 12s, and another one let through: what ends near it shows one broker with it and one without")
	only := flag.String("only", "", "scenarios whose names have this in them")
	flag.Parse()
	if err := run(*bootstrap, *length, *only); err != nil {
		fmt.Fprintln(os.Stderr, "quotas:", err)
		os.Exit(1)
	}
}

func run(bootstrap string, length time.Duration, only string) error {
	var brokers []*broker
	for _, text := range strings.Split(bootstrap, ",") {
		name, addr, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("%q is not NAME=HOST:PORT", text)
		}
		b, err := newBroker(name, addr)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer b.close()
		brokers = append(brokers, b)
	}
	fmt.Printf("| what | %s |\n|%s\n", strings.Join(names(brokers), " | "), strings.Repeat(" --- |", len(brokers)+1))
	apart := 0
	for _, s := range append(exact(), rates(length)...) {
		if !strings.Contains(s.name, only) {
			continue
		}
		figures := make([][]figure, len(brokers))
		errs := make([]error, len(brokers))
		ctx, cancel := context.WithTimeout(context.Background(), length+2*time.Minute)
		var wg sync.WaitGroup
		for i, b := range brokers {
			wg.Go(func() { figures[i], errs[i] = s.run(ctx, b) })
		}
		wg.Wait()
		cancel()
		for i, err := range errs {
			if err != nil {
				return fmt.Errorf("%s: %s: %w", brokers[i].name, s.name, err)
			}
		}
		for row := range figures[0] {
			cells := make([]string, len(brokers))
			for i := range brokers {
				if len(figures[i]) != len(figures[0]) {
					return fmt.Errorf("%s: %s has %d figures, %s %d", s.name, brokers[i].name, len(figures[i]), brokers[0].name, len(figures[0]))
				}
				f := figures[i][row]
				cells[i] = f.String()
				if f.differs(figures[0][row]) {
					cells[i] += " (differs)"
					apart++
				}
			}
			fmt.Printf("| %s: %s | %s |\n", s.name, figures[0][row].name, strings.Join(cells, " | "))
		}
	}
	if apart > 0 {
		return fmt.Errorf("%d figures differ", apart)
	}
	return nil
}

func names(brokers []*broker) (all []string) {
	for _, b := range brokers {
		all = append(all, b.name)
	}
	return all
}

func (f figure) String() string {
	if f.unit == "" {
		return f.text
	}
	digits := 0
	if math.Abs(f.value) < 10 && f.value != math.Trunc(f.value) {
		digits = 2
	}
	return fmt.Sprintf("%.*f %s", digits, f.value, f.unit)
}

func (f figure) differs(from figure) bool {
	if f.unit == "" {
		return f.text != from.text
	}
	return f.tolerance+f.slack > 0 && math.Abs(f.value-from.value) > f.tolerance*math.Abs(from.value)+f.slack
}

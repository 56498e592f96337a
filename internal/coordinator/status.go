package coordinator

// Loading returns how many of the partitions that this broker leads are not served yet or at the moment: being loaded from the log, or
// waiting for another load after a failure.
func (c *Coordinator) Loading() (n int) {
	for _, s := range c.shards() {
		s.mu.Lock()
		if s.mu.phase == loading || s.mu.phase == beginning || s.mu.phase == unavailable {
			n++
		}
		s.mu.Unlock()
	}
	return n
}

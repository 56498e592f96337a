package logdir

// pacer has the disk begin to write what was appended, in the order in which the logs came: a call that may wait for the disk, and that no
// producer should make. It decides nothing; what is due, and what is to be done when it falls behind, package commitlog knows.
type pacer struct {
	starts chan func()
	stop   chan struct{}
	done   chan struct{}
}

// paced is how many logs may wait for the pacer. Those that find no place start their writing themselves.
const paced = 64

func newPacer() *pacer {
	p := &pacer{starts: make(chan func(), paced), stop: make(chan struct{}), done: make(chan struct{})}
	go p.loop()
	return p
}

// run implements commitlog's WriteBack.
func (p *pacer) run(start func()) bool {
	select {
	case p.starts <- start:
		return true
	default:
		return false
	}
}

func (p *pacer) loop() {
	defer close(p.done)
	for {
		select {
		case <-p.stop:
			return
		case start := <-p.starts:
			start()
		}
	}
}

// close ends the goroutine. What waits is forgotten: whoever stops the directory syncs it anyway, or does not care.
func (p *pacer) close() {
	close(p.stop)
	<-p.done
}

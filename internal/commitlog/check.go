package commitlog

// CheckAppend says why an append would be refused at the moment, whatever it holds: ErrReadOnly, ErrOffline or nil.
func (l *Log) CheckAppend() error { return l.env.admit(l.config.Load()) }

package control

// announce notes, before a command is sent, that it will not be known what its session has until there is an answer: this
// process may end before.
func (r *Reconciler) announce(j *job) {
	if j.probe || j.ends() || r.cfg.Announce == nil {
		return
	}
	j.announced = true
	r.cfg.Announce(j.rec.Session)
}

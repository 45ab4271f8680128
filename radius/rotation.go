package radius

// A device may have two shared secrets while it is given a new one. What a packet proves itself with is what answers it;
// one that proves nothing (CHAP without Message-Authenticator) is answered with what the device last used.

// checkMA is hasher.checkMA against each secret of the device.
func (w *worker) checkMA(d *device, v View, authenticator []byte) maState {
	state := w.hash.checkMA(w.secret, v, authenticator)
	if other := d.another(w.secret); state == maWrong && other != nil && w.hash.checkMA(other, v, authenticator) == maValid {
		w.secret, state = other, maValid
	}
	if state == maValid {
		d.proved(w.secret)
		w.shown = true
	}
	return state
}

// checkAccounting is hasher.checkAccounting against each secret of the device.
func (w *worker) checkAccounting(d *device, v View) bool {
	ok := w.hash.checkAccounting(w.secret, v)
	if other := d.another(w.secret); !ok && other != nil && w.hash.checkAccounting(other, v) {
		w.secret, ok = other, true
	}
	if ok {
		d.proved(w.secret)
	}
	return ok
}

// verifyPAP is hasher.verifyPAP against each secret that the packet may have been made with.
func (w *worker) verifyPAP(d *device, v View, hidden, password []byte) bool {
	if w.hash.verifyPAP(w.secret, v.Authenticator(), hidden, password) {
		d.proved(w.secret)
		return true
	}
	other := d.another(w.secret)
	if other == nil || w.shown {
		return false
	}
	if w.hash.verifyPAP(other, v.Authenticator(), hidden, password) {
		w.secret = other
		d.proved(other)
		return true
	}
	w.hash.unhide(w.secret, v.Authenticator(), hidden) // what it looks like is asked about
	return false
}

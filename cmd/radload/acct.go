package main

import (
	"encoding/hex"
	"fmt"
	"time"
)

// Acct-Status-Type (RFC 2866, section 5.1).
const (
	statusStart   = 1
	statusStop    = 2
	statusInterim = 3
)

// session is what an access server knows of one subscriber's session.
type session struct {
	generation uint32 // how many this subscriber has had in this run
	opened     int64  // s since 1970
	reports    uint32
}

// accountant makes Accounting-Requests.
type accountant struct {
	codec    *codec
	people   *people
	sessions []session // by subscriber; each belongs to one slot
	load     uint64    // random: in all its Acct-Session-Ids, so that no two loads share one
	now      func() time.Time
}

// opened is how many sessions have been begun.
func opened(sessions []session) (n uint64) {
	for i := range sessions {
		n += uint64(sessions[i].generation)
	}
	return n
}

// report puts an Accounting-Request of a status into b and follows it in the session's state.
func (a *accountant) report(b []byte, identifier byte, n int, status uint32) []byte {
	s, now := &a.sessions[n], a.now().Unix()
	if status == statusStart {
		s.generation++
		s.opened, s.reports = now, 0
	} else {
		s.reports++
	}
	b = begin(b, codeAccountingRequest, identifier)
	b = addUint32(b, attrAcctStatusType, status)
	b = addString(b, attrUserName, a.people.logins[n])
	b = addLine(b, n)
	b = addUint32(b, attrFramedIPAddress, 100<<24|64<<16|uint32(n)&(1<<22-1))
	b = append(b, attrAcctSessionID, 2+26)
	b = hex.AppendEncode(b, []byte{byte(a.load >> 32), byte(a.load >> 24), byte(a.load >> 16), byte(a.load >> 8), byte(a.load), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n),
		byte(s.generation >> 24), byte(s.generation >> 16), byte(s.generation >> 8), byte(s.generation)})
	b = addUint32(b, attrAcctAuthentic, 1)
	b = addUint32(b, attrEventTimestamp, uint32(now))
	b = addUint32(b, attrAcctDelayTime, 0)
	if a.people.classes != nil && a.people.classes[n] != nil {
		b = addBytes(b, attrClass, a.people.classes[n])
	}
	if status != statusStart {
		b = addUint32(b, attrAcctSessionTime, uint32(now-s.opened))
		up, down := uint64(s.reports)*50_000_003, uint64(s.reports)*3_000_000_019
		b = addUint32(b, attrAcctInputOctets, uint32(up))
		b = addUint32(b, attrAcctOutputOctets, uint32(down))
		b = addUint32(b, attrAcctInputGigawords, uint32(up>>32))
		b = addUint32(b, attrAcctOutputGigawords, uint32(down>>32))
	}
	if status == statusStop {
		b = addUint32(b, attrAcctTerminateCause, 1)
	}
	a.codec.signAccounting(b)
	return b
}

// verdict judges an Accounting-Response.
func (a *accountant) verdict(s *slot, reply []byte, r *result, judged *uint64, check bool) verdict {
	if reply[0] != codeAccountingResponse {
		r.blame(fmt.Sprintf("code %d in reply to an Accounting-Request", reply[0]))
		return wrong
	}
	return verified(a.codec, r, s, reply, judged, check, answered)
}

// acctLoad reports the sessions of all subscribers: each goes through Start, Interim-Update and Stop again and again. A
// third of the subscribers is one step behind, a third is two, so that from the third pass on a third of the records is
// of each kind.
type acctLoad struct {
	accountant
	window  int
	rounds  int // sessions of each subscriber; 0: without end
	passes  int // over the subscribers; 0: without end
	check   bool
	judged  uint64
	result  *result
	turns   []int // by the slots' numbers: how far each has come in all loads of its lines
	shares  []share
	buffers [][]byte
}

func newAcctLoad(c crowd, a accountant, turns []int, rounds, passes int, slots []*slot, r *result) *acctLoad {
	l := &acctLoad{accountant: a, window: c.window, rounds: rounds, passes: passes, check: c.check, result: r, turns: turns,
		shares: make([]share, len(slots)), buffers: make([][]byte, len(slots))}
	for _, s := range slots {
		l.shares[s.local] = a.people.shareOf(s, c.sockets*c.window)
		l.buffers[s.local] = make([]byte, 0, 512)
	}
	return l
}

var steps = [3]uint32{statusStart, statusInterim, statusStop}

// next implements load. A turn counts subscribers passed by, also those who were not yet or no more to report.
func (l *acctLoad) next(s *slot) bool {
	own := l.shares[s.local]
	for own.size > 0 {
		turn := l.turns[s.number]
		pass, n := turn/own.size, own.at(turn%own.size)
		if l.rounds > 0 && pass >= 3*l.rounds+2 || l.passes > 0 && pass >= l.passes {
			return false
		}
		l.turns[s.number]++
		step := pass - n%3
		if step < 0 || l.rounds > 0 && step >= 3*l.rounds {
			continue
		}
		s.request = l.report(l.buffers[s.local], s.identifier(l.window), n, steps[step%3])
		s.port = portAcct
		return true
	}
	return false
}

// judge implements load.
func (l *acctLoad) judge(s *slot, reply []byte) (verdict, bool) {
	return l.verdict(s, reply, l.result, &l.judged, l.check), false
}

// lost implements load.
func (l *acctLoad) lost(*slot) {}

// statusLogin stands in a script for a login, whose accept brings the Class that accounting carries.
const statusLogin = 0

// Scripts are what one subscriber does, one step after the other's answer.
var (
	wholeScript  = []uint32{statusLogin, statusStart, statusInterim, statusStop}
	openScript   = []uint32{statusLogin, statusStart}
	reopenScript = []uint32{statusStop, statusLogin, statusStart} // as when a line falls and comes back
)

// scriptLoad has every subscriber do a script.
type scriptLoad struct {
	script []uint32
	logins *authLoad
	acct   accountant
	window int
	at     []scriptStep
}

// scriptStep is how far a slot has come.
type scriptStep struct {
	step, turn, subscriber int
	buffer                 []byte
}

func newScriptLoad(c crowd, script []uint32, logins *authLoad, a accountant, slots []*slot) *scriptLoad {
	w := &scriptLoad{script: script, logins: logins, acct: a, window: c.window, at: make([]scriptStep, len(slots))}
	for i := range w.at {
		w.at[i].buffer = make([]byte, 0, 512)
	}
	return w
}

// next implements load.
func (w *scriptLoad) next(s *slot) bool {
	at := &w.at[s.local]
	if at.step == 0 {
		own := &w.logins.slots[s.local]
		if own.count == 0 || w.logins.rounds > 0 && s.turn >= w.logins.rounds*own.share.size {
			return false
		}
		at.turn, at.subscriber = s.turn, own.share.at(s.turn%own.share.size)
		s.turn++
	}
	if w.script[at.step] == statusLogin {
		w.logins.take(s, at.turn)
		return true
	}
	s.request = w.acct.report(at.buffer, s.identifier(w.window), at.subscriber, w.script[at.step])
	s.port = portAcct
	return true
}

// judge implements load.
func (w *scriptLoad) judge(s *slot, reply []byte) (v verdict, more bool) {
	at := &w.at[s.local]
	if w.script[at.step] == statusLogin {
		v = w.logins.verdict(s, reply)
		more = v == accepted
		if more {
			w.acct.people.classes[at.subscriber] = classOf(reply)
		}
	} else {
		v = w.acct.verdict(s, reply, w.logins.result, &w.logins.judged, w.logins.check)
		more = v == answered
	}
	if at.step++; at.step == len(w.script) {
		if more {
			w.logins.result.wholes++
		}
		more = false
	}
	if !more {
		at.step = 0
	}
	return v, more
}

// lost implements load: the rest of the script is not done.
func (w *scriptLoad) lost(s *slot) { w.at[s.local].step = 0 }

package radius

import (
	"slices"
	"sync"
	"time"
)

// Reason says why a login was refused. It is for operators and never sent to the subscriber.
type Reason uint8

// The reasons in the order in which they are looked for.
const (
	EAPUnsupported Reason = iota
	NoCredentials
	PasswordChange // MS-CHAP: the subscriber's device asks for another password
	UserUnknown
	BadPassword
	ContractState // pending or terminated
	LoginDisabled
	BindingMismatch    // the line that the request comes from is not the access's
	Blocked            // restricted, and the policy's block mode is reject
	Simultaneous       // as many sessions as the access may have are online
	NoAddress          // the device's address pool is exhausted
	ServiceUnencodable // the device's dialect cannot say the service
	reasons            = iota
)

const (
	refusalsKept    = 4096
	refusalLogEvery = time.Minute
)

var reasonNames = [reasons]string{"EAP_UNSUPPORTED", "NO_CREDENTIALS", "PASSWORD_CHANGE", "USER_UNKNOWN", "BAD_PASSWORD",
	"CONTRACT_STATE", "LOGIN_DISABLED", "BINDING", "BLOCKED", "SIMULTANEOUS", "NO_ADDRESS", "SERVICE_UNENCODABLE"}

// String is the stable code, such as USER_UNKNOWN.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "UNKNOWN"
}

// MarshalText writes String.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Refusal is a login that was refused, perhaps many times in a row for the same reason.
type Refusal struct {
	First, At      time.Time // of the first and the latest of Count requests
	Count          int
	Login          string // User-Name, as sent
	Device         string
	CallingStation string
	Reason         Reason
	Detail         string // in plain words
}

// Refusals remembers the latest refusals, a bounded number of them. A customer's router that tries all night is one
// entry with a count, so it does not push out the others.
type Refusals struct {
	mu     sync.Mutex
	ring   []Refusal
	next   int            // where the next new entry goes
	latest map[string]int // by login: index of its latest entry
}

func newRefusals() *Refusals { return &Refusals{latest: map[string]int{}} }

// add remembers a refusal. It returns the entry, and whether it is news: a new entry, or a minute since the last.
func (r *Refusals) add(now time.Time, login []byte, device string, station []byte, reason Reason, detail string) (Refusal, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i, ok := r.latest[string(login)]; ok {
		e := &r.ring[i]
		if e.Reason == reason && e.Device == device && e.CallingStation == string(station) && e.Detail == detail {
			news := now.Sub(e.At) >= refusalLogEvery
			e.At, e.Count = now, e.Count+1
			return *e, news
		}
	}
	e := Refusal{First: now, At: now, Count: 1, Login: string(login), Device: device,
		CallingStation: string(station), Reason: reason, Detail: detail}
	if len(r.ring) < refusalsKept {
		r.ring = append(r.ring, e)
	} else {
		if old := r.ring[r.next].Login; r.latest[old] == r.next {
			delete(r.latest, old)
		}
		r.ring[r.next] = e
	}
	r.latest[e.Login] = r.next
	r.next = (r.next + 1) % refusalsKept
	return e, true
}

// Recent lists at most n refusals of a login, or of every login when it is empty; the latest first.
func (r *Refusals) Recent(login string, n int) []Refusal {
	r.mu.Lock()
	found := make([]Refusal, 0, min(n, len(r.ring)))
	for i := range r.ring {
		if login == "" || r.ring[i].Login == login {
			found = append(found, r.ring[i])
		}
	}
	r.mu.Unlock()
	slices.SortStableFunc(found, func(a, b Refusal) int { return b.At.Compare(a.At) })
	return found[:min(n, len(found))]
}

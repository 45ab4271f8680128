package nastest

import (
	"bufio"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"layeh.com/radius/rfc2866"

	"enlace/contracts"
)

// RouterOSConfig of a router's API.
type RouterOSConfig struct {
	User, Password string
	Certificate    *Certificate // nil: without TLS
	Listen         string       // default 127.0.0.1:0
	Quirks         RouterOSQuirks
}

// RouterOSQuirks are ways in which routers' APIs misbehave.
type RouterOSQuirks struct {
	Silent      bool          // connects, and answers nothing
	SilentAfter int           // answers this many commands of a connection, then none; 0: all
	HangUp      bool          // closes each connection after one answer
	Fatal       bool          // answers !fatal to what comes after the login
	HugeWord    bool          // announces a word of a gigabyte
	Endless     bool          // answers with items without end
	RefuseLogin bool          // no password is right
	OldLogin    bool          // the challenge of RouterOS before 6.43
	Slow        time.Duration // before each answer
	KeepSession bool          // what is removed from /ppp/active stays
	QueueLast   bool          // new queues go to the end, wherever they should go
	Refuse      string        // a command's first word, which is refused
}

// Item is one item of a menu: its properties by name.
type Item map[string]string

// RouterOS is the API of a MikroTik router, over the sessions of an access server: who ends a session there has ended it
// here, and its Stop is sent. Menus that nobody filled are empty.
type RouterOS struct {
	cfg      RouterOSConfig
	nas      *NAS
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	quirks RouterOSQuirks
	menus  map[string][]Item
	serial int
	open   map[net.Conn]bool
	said   [][]string
	dials  int
}

// ServeRouterOS opens the API of an access server. Close ends it.
func (n *NAS) ServeRouterOS(cfg RouterOSConfig) (*RouterOS, error) {
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("nastest: listening for the API: %w", err)
	}
	if cfg.Certificate != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cfg.Certificate.TLS}, MinVersion: tls.VersionTLS12})
	}
	r := &RouterOS{cfg: cfg, nas: n, listener: l, quirks: cfg.Quirks, open: map[net.Conn]bool{}, menus: map[string][]Item{
		"/system/identity":    {{"name": n.cfg.NASIdentifier}},
		"/system/resource":    {{"uptime": "3w4d12h23m12s", "version": "7.16.2 (stable)", "board-name": "CCR2116-12G-4S+", "architecture-name": "arm64"}},
		"/system/routerboard": {{"routerboard": "true", "model": "CCR2116-12G-4S+", "serial-number": "HEX0TEST", "current-firmware": "7.16.2"}},
	}}
	r.running.Go(r.accept)
	return r, nil
}

// Addr is where the API is.
func (r *RouterOS) Addr() netip.AddrPort { return r.listener.Addr().(*net.TCPAddr).AddrPort() }

// Fingerprint is the certificate's, as devices' certificates are written; "" without TLS.
func (r *RouterOS) Fingerprint() string {
	if r.cfg.Certificate == nil {
		return ""
	}
	sum := sha256.Sum256(r.cfg.Certificate.TLS.Certificate[0])
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Close ends the API; the access server goes on.
func (r *RouterOS) Close() {
	r.listener.Close()
	r.mu.Lock()
	for c := range r.open {
		c.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}

// SetQuirks changes how the API misbehaves from now on.
func (r *RouterOS) SetQuirks(q RouterOSQuirks) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.quirks = q
}

// Fill gives a menu, such as "/ppp/secret", its items.
func (r *RouterOS) Fill(menu string, items ...Item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.menus[menu] = nil
	for _, i := range items {
		r.add(menu, maps.Clone(i))
	}
}

// Items are those of a menu, as it would print them.
func (r *RouterOS) Items(menu string) []Item {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.items(menu)
}

// Said are the commands that came after a login, oldest first.
func (r *RouterOS) Said() [][]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.said)
}

// Dials counts the connections that were made.
func (r *RouterOS) Dials() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dials
}

// Open counts the connections that are.
func (r *RouterOS) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}

func (r *RouterOS) accept() {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.open[c] = true
		r.dials++
		r.mu.Unlock()
		r.running.Go(func() {
			r.serve(c)
			r.mu.Lock()
			delete(r.open, c)
			r.mu.Unlock()
			c.Close()
		})
	}
}

func (r *RouterOS) quirksNow() RouterOSQuirks {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.quirks
}

// serve answers one connection until it ends.
func (r *RouterOS) serve(c net.Conn) {
	in := bufio.NewReader(c)
	known, challenge, answers := false, []byte(nil), 0
	for {
		words, err := readSentence(in)
		if err != nil {
			return
		}
		q := r.quirksNow()
		if q.Silent || q.SilentAfter > 0 && answers >= q.SilentAfter {
			continue
		}
		if len(words) == 0 {
			continue
		}
		time.Sleep(q.Slow)
		var out []byte
		switch {
		case words[0] == "/login":
			out, known, challenge = r.login(words, q, challenge)
		case !known:
			out = append(sentence("!fatal", "not logged in"), 0)
		case q.Fatal:
			_, _ = c.Write(sentence("!fatal", "=message=session terminated"))
			return
		case q.HugeWord:
			out = append(appendLength([]byte{3, '!', 'r', 'e'}, 1<<30), "=name="...)
		case q.Endless:
			for err == nil {
				_, err = c.Write(sentence("!re", "=name="+strings.Repeat("x", 60_000)))
			}
			return
		default:
			out = r.obey(words, q)
		}
		if _, err := c.Write(out); err != nil {
			return
		}
		if answers++; q.HangUp && known && words[0] != "/login" {
			return
		}
	}
}

func (r *RouterOS) login(words []string, q RouterOSQuirks, challenge []byte) (out []byte, known bool, next []byte) {
	given := properties(words)
	right := given["name"] == r.cfg.User && !q.RefuseLogin
	switch {
	case q.OldLogin && challenge == nil:
		next = random(16)
		return sentence("!done", "=ret="+hex.EncodeToString(next)), false, next
	case q.OldLogin:
		sum := md5.Sum(append(append([]byte{0}, r.cfg.Password...), challenge...))
		right = right && given["response"] == "00"+hex.EncodeToString(sum[:])
	default:
		right = right && given["password"] == r.cfg.Password
	}
	if !right {
		return append(sentence("!trap", "=message=invalid user name or password (6)"), sentence("!done")...), false, nil
	}
	return sentence("!done"), true, nil
}

// obey does what a command says and gives the sentences of its answer.
func (r *RouterOS) obey(words []string, q RouterOSQuirks) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, words)
	trap := func(text string) []byte { return append(sentence("!trap", "=message="+text), sentence("!done")...) }
	if words[0] == q.Refuse {
		return trap("not enough permissions (9)")
	}
	cut := strings.LastIndexByte(words[0], '/')
	menu, verb := words[0][:max(cut, 0)], words[0][cut+1:]
	given := properties(words)
	switch verb {
	case "print":
		return r.print(menu, words, given)
	case "add":
		before := given["place-before"]
		delete(given, "place-before")
		if menu == "/queue/simple" && !q.QueueLast {
			given["before"] = before
		}
		if slices.ContainsFunc(r.items(menu), func(i Item) bool { return i["name"] != "" && i["name"] == given["name"] }) {
			return trap("failure: already have an item with such name")
		}
		id := r.add(menu, given)
		r.shape()
		return sentence("!done", "=ret="+id)
	case "set", "remove":
		id := given[".id"]
		if id == "" {
			id = given["numbers"]
		}
		if menu == "/ppp/active" && verb == "remove" {
			return r.end(id, q, trap)
		}
		if i := slices.IndexFunc(r.menus[menu], func(i Item) bool { return i[".id"] == id }); i >= 0 {
			if verb == "remove" {
				r.menus[menu] = slices.Delete(r.menus[menu], i, i+1)
			} else {
				delete(given, ".id")
				maps.Copy(r.menus[menu][i], given)
			}
			r.shape()
			return sentence("!done")
		}
		if slices.ContainsFunc(r.items(menu), func(i Item) bool { return i[".id"] == id }) {
			return trap("failure: can not change dynamic item")
		}
		return trap("no such item")
	}
	return trap("no such command")
}

// end ends a session as its operator would.
func (r *RouterOS) end(id string, q RouterOSQuirks, trap func(string) []byte) []byte {
	for _, s := range r.nas.Sessions() {
		if "*"+strings.ToUpper(s.ID()) == id {
			if !q.KeepSession {
				r.nas.schedule.after(0, func(ctx context.Context) { _ = s.Stop(ctx, int(rfc2866.AcctTerminateCause_Value_AdminReset)) })
			}
			return sentence("!done")
		}
	}
	return trap("no such item")
}

func (r *RouterOS) add(menu string, i Item) string {
	if menu != "/system/identity" && i[".id"] == "" && i["settings"] == "" {
		r.serial++
		i[".id"] = fmt.Sprintf("*%X", r.serial)
	}
	delete(i, "settings")
	r.menus[menu] = append(r.menus[menu], i)
	return i[".id"]
}

// print answers with the items that the query lets through: words that push a truth, or combine those pushed.
func (r *RouterOS) print(menu string, words []string, given Item) []byte {
	only := strings.Split(given[".proplist"], ",")
	var out []byte
	n := 0
	for _, i := range r.items(menu) {
		if !asked(words, i) {
			continue
		}
		n++
		re := []string{"!re"}
		for _, name := range slices.Sorted(maps.Keys(i)) {
			if name != "before" && (only[0] == "" || slices.Contains(only, name)) {
				re = append(re, "="+name+"="+i[name])
			}
		}
		out = append(out, sentence(re...)...)
	}
	if _, count := given["count-only"]; count {
		return sentence("!done", fmt.Sprintf("=ret=%d", n))
	}
	if n == 0 {
		out = sentence("!empty")
	}
	return append(out, sentence("!done")...)
}

// asked evaluates the query words for an item.
func asked(words []string, i Item) bool {
	var stack []bool
	for _, w := range words {
		q, ok := strings.CutPrefix(w, "?")
		if !ok {
			continue
		}
		last := len(stack) - 1
		switch {
		case q == "#|" && last > 0:
			stack = append(stack[:last-1], stack[last-1] || stack[last])
		case q == "#&" && last > 0:
			stack = append(stack[:last-1], stack[last-1] && stack[last])
		case q == "#!" && last >= 0:
			stack[last] = !stack[last]
		default:
			name, value, equal := strings.Cut(strings.TrimPrefix(q, "="), "=")
			have, there := i[name]
			stack = append(stack, there && (!equal || have == value))
		}
	}
	return !slices.Contains(stack, false)
}

// items are those of a menu with what the router makes by itself.
func (r *RouterOS) items(menu string) []Item {
	var out []Item
	for _, i := range r.menus[menu] {
		out = append(out, maps.Clone(i))
	}
	switch menu {
	case "/ppp/active":
		for _, s := range r.nas.Sessions() {
			out = append(out, Item{".id": "*" + strings.ToUpper(s.ID()), "name": s.login, "service": "pppoe", "caller-id": s.station(),
				"address": s.IP().String(), "uptime": "1m", "encoding": "", "session-id": "0x" + strings.ToUpper(s.ID()), "radius": "true"})
		}
	case "/queue/simple":
		out = r.queues(out)
	}
	return out
}

// queues puts the sessions' own queues first, as RouterOS does by default, but for those placed before one of them.
func (r *RouterOS) queues(static []Item) []Item {
	var out []Item
	for _, s := range r.nas.Sessions() {
		id, device := "*Q"+strings.ToUpper(s.ID()), s.device()
		p := s.now().applied.rates
		for _, q := range static {
			if q["before"] == id {
				out = append(out, q)
			}
		}
		out = append(out, Item{".id": id, "name": device, "target": device, "dynamic": "true",
			"max-limit": fmt.Sprintf("%d/%d", p.UpBps, p.DownBps)})
	}
	for _, q := range static {
		if !slices.ContainsFunc(out, func(o Item) bool { return o[".id"] == q[".id"] }) {
			out = append(out, q)
		}
	}
	for _, q := range out {
		if strings.HasPrefix(q["target"], "<") && !slices.ContainsFunc(out, func(o Item) bool { return o["dynamic"] == "true" && o["name"] == q["target"] }) {
			q["invalid"] = "true"
		}
	}
	return out
}

// shape has each session shaped by the first queue that fits it.
func (r *RouterOS) shape() {
	queues := r.items("/queue/simple")
	for _, s := range r.nas.Sessions() {
		for _, q := range queues {
			if q["target"] != s.device() || q["disabled"] == "true" {
				continue
			}
			var p contracts.Profile
			if q["dynamic"] != "true" {
				p.UpBps, p.DownBps, _ = ratePair(q["max-limit"], 1)
			}
			s.shape(p)
			break
		}
	}
}

// device is the name of the session's interface on RouterOS.
func (s *Session) device() string { return "<pppoe-" + s.login + ">" }

// shape puts a queue of the operator's before the session's own; zero rates take it away.
func (s *Session) shape(p contracts.Profile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(time.Now())
	s.state.queue = p
}

// properties are the words "=name=value" of a sentence.
func properties(words []string) Item {
	out := Item{}
	for _, w := range words {
		if w, ok := strings.CutPrefix(w, "="); ok {
			name, value, _ := strings.Cut(w, "=")
			out[name] = value
		}
	}
	return out
}

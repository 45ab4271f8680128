package notices

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

// letter is what the mail server was given.
type letter struct {
	from, to string
	data     string
}

// mailServer is a small SMTP server on the loopback interface (RFC 5321). It refuses recipients as it is told.
type mailServer struct {
	address string

	mu      sync.Mutex
	letters []letter
	refuse  map[string]string // recipient -> answer
	answer  string            // to a message's end
}

func startMailServer(t *testing.T) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{address: l.Addr().String(), refuse: map[string]string{}, answer: "250 2.0.0 Ok: queued as 4XyZ"}
	var open sync.WaitGroup
	var conns sync.Map
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Store(c, true)
			open.Go(func() { s.serve(c); c.Close() })
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		open.Wait()
	})
	return s
}

func (s *mailServer) serve(c net.Conn) {
	say := func(line string) { fmt.Fprintf(c, "%s\r\n", line) }
	say("220 mail.test ESMTP")
	var l letter
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch verb {
		case "EHLO", "HELO":
			say("250-mail.test")
			say("250-AUTH PLAIN LOGIN")
			say("250 8BITMIME")
		case "AUTH":
			say("535 5.7.8 authentication failed")
		case "MAIL":
			l = letter{from: address(line)}
			say("250 2.1.0 Ok")
		case "RCPT":
			l.to = address(line)
			s.mu.Lock()
			refusal := s.refuse[l.to]
			s.mu.Unlock()
			if refusal != "" {
				say(refusal)
				continue
			}
			say("250 2.1.5 Ok")
		case "DATA":
			say("354 go on")
			var data strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if strings.TrimRight(line, "\r\n") == "." {
					break
				}
				data.WriteString(strings.TrimPrefix(line, "."))
			}
			l.data = data.String()
			s.mu.Lock()
			s.letters = append(s.letters, l)
			answer := s.answer
			s.mu.Unlock()
			say(answer)
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 Ok")
		}
	}
}

func address(line string) string {
	_, rest, _ := strings.Cut(line, "<")
	a, _, _ := strings.Cut(rest, ">")
	return a
}

func (s *mailServer) received() []letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]letter(nil), s.letters...)
}

func (s *mailServer) setRefusal(to, answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse[to] = answer
}

func (s *mailServer) setAnswer(answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

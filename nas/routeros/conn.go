package routeros

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	ros "github.com/go-routeros/routeros/v3"

	"enlace/contracts"
	"enlace/nas"
)

// row is one item of a reply: its properties by name.
type row map[string]string

// reply is what a command brought: items, and what "!done" says, such as the id of what was added.
type reply struct {
	rows []row
	ret  string
}

// Refused is a router's refusal of a command.
type Refused struct {
	Command string // its first word
	Message string // as the router says it
}

func (e *Refused) Error() string {
	return fmt.Sprintf("the router refuses %s: %s", e.Command, e.Message)
}

// conn is one connection, logged in. It is of one goroutine at a time, and of no use after an error.
type conn struct {
	guard *guard
	api   *ros.Client
}

// dial connects and logs in. A password that the router refuses is Denied.
func dial(ctx context.Context, a nas.API, timeout time.Duration) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", a.Addr.String())
	if err != nil {
		return nil, fmt.Errorf("connecting to the router's API: %w", err)
	}
	if a.Certificate != nas.PlainAPI {
		settings, err := trust(a.Certificate)
		if err != nil {
			raw.Close()
			return nil, err
		}
		secure := tls.Client(raw, settings)
		if err := secure.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, fmt.Errorf("TLS with the router's API: %w", err)
		}
		raw = secure
	}
	c := &conn{guard: &guard{Conn: raw}}
	if c.api, err = ros.NewClient(c.guard); err != nil {
		raw.Close()
		return nil, fmt.Errorf("connecting to the router's API: %w", err)
	}
	c.api.SetLogHandler(slog.DiscardHandler)
	if err := c.during(ctx, timeout, func() error { return c.api.LoginContext(ctx, a.User, string(a.Password)) }); err != nil {
		c.close()
		var told *ros.DeviceError
		if errors.As(err, &told) {
			return nil, contracts.Deniedf("api_login", "the router refuses user %q: %s", nas.TextOf(a.User), message(told))
		}
		return nil, fmt.Errorf("logging in to the router's API: %w", err)
	}
	return c, nil
}

// trust wants the certificate that is pinned, whoever signed it.
func trust(certificate string) (*tls.Config, error) {
	digits, pinned := strings.CutPrefix(certificate, "sha256:")
	want, err := hex.DecodeString(digits)
	if !pinned || err != nil || len(want) != sha256.Size {
		return nil, contracts.Invalidf("api_certificate", "TLS with a router's API needs the fingerprint of its certificate")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("the router shows no certificate")
		}
		got := sha256.Sum256(s.PeerCertificates[0].Raw)
		if subtle.ConstantTimeCompare(got[:], want) != 1 {
			return fmt.Errorf("the router shows the certificate sha256:%x, which is not the one that is pinned", got)
		}
		return nil
	}}, nil
}

// during bounds what do does on the connection. The library looks at no context, so the deadline is the connection's.
func (c *conn) during(ctx context.Context, timeout time.Duration, do func() error) error {
	until := time.Now().Add(timeout)
	if end, ok := ctx.Deadline(); ok && end.Before(until) {
		until = end
	}
	if err := c.guard.SetDeadline(until); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.guard.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c.guard.begin()
	err := do()
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}

// run sends one command and takes its whole reply.
func (c *conn) run(ctx context.Context, timeout time.Duration, words ...string) (reply, error) {
	var answer *ros.Reply
	err := c.during(ctx, timeout, func() (err error) {
		answer, err = c.api.RunArgsContext(ctx, words)
		return err
	})
	var told *ros.DeviceError
	if errors.As(err, &told) {
		return reply{}, &Refused{Command: words[0], Message: message(told)}
	}
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", words[0], err)
	}
	out := reply{rows: make([]row, len(answer.Re)), ret: answer.Done.Map["ret"]}
	for i, re := range answer.Re {
		out.rows[i] = re.Map
	}
	return out, nil
}

func (c *conn) close() { _ = c.api.Close() }

// message is a refusal as the router says it, made fit for a log.
func message(e *ros.DeviceError) string {
	text := nas.TextOf(e.Sentence.Map["message"])
	if text == "" {
		text = "no reason given"
	}
	return text[:min(len(text), 200)]
}

package notices

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"
)

// Email delivers by SMTP.
type Email struct {
	client *mail.Client
	from   string
}

// NewEmail reads smtp://[user:password@]host[:port] (STARTTLS required, port 587), smtps:// (TLS from the start, 465)
// or smtp+insecure:// (no encryption, for a relay on the same machine, 25). from is the sender's address.
func NewEmail(server, from string) (*Email, error) {
	u, err := url.Parse(server)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("an SMTP server is written smtp://user:password@host:587")
	}
	opts := []mail.Option{mail.WithTimeout(30 * time.Second)}
	port := 587
	switch u.Scheme {
	case "smtp":
		opts = append(opts, mail.WithTLSPolicy(mail.TLSMandatory))
	case "smtps":
		port = 465
		opts = append(opts, mail.WithSSL())
	case "smtp+insecure":
		port = 25
		if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("smtp+insecure is for a relay on this machine only")
		}
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS))
	default:
		return nil, fmt.Errorf("an SMTP server is written smtp://user:password@host:587, not %s://", u.Scheme)
	}
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil {
			return nil, fmt.Errorf("port %q of the SMTP server is not a number", p)
		}
	}
	opts = append(opts, mail.WithPort(port))
	if name := u.User.Username(); name != "" {
		password, _ := u.User.Password()
		opts = append(opts, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(name), mail.WithPassword(password))
	}
	if err := mail.NewMsg().From(from); err != nil {
		return nil, fmt.Errorf("the sender %q is not an e-mail address", from)
	}
	client, err := mail.NewClient(u.Hostname(), opts...)
	if err != nil {
		return nil, fmt.Errorf("preparing the SMTP client: %w", err)
	}
	return &Email{client: client, from: from}, nil
}

// Name is "email".
func (e *Email) Name() string { return "email" }

// Send delivers to the customer's address; the proof names the recipient, the message and the server that took it.
func (e *Email) Send(ctx context.Context, n Notice) (string, error) {
	if n.Customer.Email == "" {
		return "", ErrNoAddress
	}
	m := mail.NewMsg()
	if err := m.From(e.from); err != nil {
		return "", fmt.Errorf("the sender's address: %w", err)
	}
	if err := m.To(n.Customer.Email); err != nil {
		return "", fmt.Errorf("the customer's address: %w", err)
	}
	m.Subject(n.Subject())
	m.SetBodyString(mail.TypeTextPlain, n.Text())
	m.SetMessageID()
	m.SetDate()
	if err := e.client.DialAndSendWithContext(ctx, m); err != nil {
		return "", fmt.Errorf("sending by %s: %w", e.client.ServerAddr(), err)
	}
	proof := fmt.Sprintf("accepted by %s for %s, Message-ID %s", e.client.ServerAddr(), n.Customer.Email, m.GetMessageID())
	if answer := m.ServerResponse(); answer != "" {
		proof += ": " + answer
	}
	return proof, nil
}

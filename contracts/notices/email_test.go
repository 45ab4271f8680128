package notices

import (
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"testing"
)

func TestNoticesByMail(t *testing.T) {
	o := open(t)
	server := startMailServer(t)
	email, err := NewEmail("smtp+insecure://"+server.address, "cobranca@redesul.example")
	if err != nil {
		t.Fatal(err)
	}
	id := o.debtor("jose@example.com", 1)
	silent := o.debtor("", 1) // has no address

	n, err := o.runner(email).Run(ctx, at("2026-03-11 08:00"))
	if n != 1 || err == nil || !strings.Contains(err.Error(), ErrNoAddress.Error()) {
		t.Fatalf("sent %d (%v), want one, and word of the other", n, err)
	}
	if len(o.notices(silent)) != 0 {
		t.Error("a notice is recorded for who has no address")
	}
	letters := server.received()
	if len(letters) != 1 || letters[0].from != "cobranca@redesul.example" || letters[0].to != "jose@example.com" {
		t.Fatalf("received %+v", letters)
	}
	m, err := mail.ReadMessage(strings.NewReader(letters[0].data))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != "Rede Sul: fatura F1-1 em atraso" {
		t.Errorf("subject %q (%v)", subject, err)
	}
	for header, want := range map[string]string{"From": "<cobranca@redesul.example>", "To": "<jose@example.com>"} {
		if m.Header.Get(header) != want {
			t.Errorf("%s: %q, want %q", header, m.Header.Get(header), want)
		}
	}
	if _, err := m.Header.Date(); err != nil {
		t.Errorf("the date: %v", err)
	}
	if kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type")); err != nil || kind != "text/plain" || !strings.EqualFold(params["charset"], "utf-8") {
		t.Errorf("content type %q", m.Header.Get("Content-Type"))
	}
	if m.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
		t.Fatalf("encoding %q", m.Header.Get("Content-Transfer-Encoding"))
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	text := string(body)
	for what, want := range map[string]string{
		"who":                        "Prezado(a) José 1",
		"the reason and the date":    "A fatura F1-1 do contrato 1, vencida em 10/03/2026, está em aberto",
		"the value of the debt":      "R$ 1.234,56",
		"the rules and terms":        "decorridos ao menos 15 dias deste aviso o serviço poderá ser reduzido e depois suspenso, nos termos do contrato e do Regulamento Geral",
		"the possible listing":       "cadastros de proteção ao crédito",
		"the term of the connection": "restabelecido em até um dia, sem custo",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing (%q) in\n%s", what, want, text)
		}
	}
	f := o.notices(id)
	if len(f) != 1 || f[0].Channel != "email" {
		t.Fatalf("recorded %+v", f)
	}
	message := strings.Trim(m.Header.Get("Message-ID"), "<>")
	for _, want := range []string{server.address, "jose@example.com", message, "queued as 4XyZ"} {
		if message == "" || !strings.Contains(f[0].Proof, want) {
			t.Errorf("the proof %q lacks %q", f[0].Proof, want)
		}
	}
}

func TestRefusedMailIsTriedAgain(t *testing.T) {
	o := open(t)
	server := startMailServer(t)
	email, err := NewEmail("smtp+insecure://"+server.address, "cobranca@redesul.example")
	if err != nil {
		t.Fatal(err)
	}
	id, other := o.debtor("gone@example.com", 1), o.debtor("here@example.com", 1)
	server.setRefusal("gone@example.com", "550 5.1.1 no such user")
	for range 2 {
		n, err := o.runner(email).Run(ctx, at("2026-03-11 08:00"))
		if err == nil || !strings.Contains(err.Error(), "no such user") || !strings.Contains(err.Error(), "contract 1") {
			t.Fatalf("sent %d (%v), want the refusal", n, err)
		}
	}
	if len(o.notices(id)) != 0 || len(o.notices(other)) != 1 {
		t.Fatalf("%d and %d notices are recorded, want none and one", len(o.notices(id)), len(o.notices(other)))
	}
	server.setRefusal("gone@example.com", "")
	server.setAnswer("451 4.3.0 try later")
	if n, err := o.runner(email).Run(ctx, at("2026-03-11 09:00")); n != 0 || err == nil {
		t.Fatalf("sent %d (%v), want none: the server did not take it", n, err)
	}
	server.setAnswer("250 2.0.0 Ok")
	o.run(o.runner(email), "2026-03-12 09:00", 1)
	if f := o.notices(id); len(f) != 1 || !f[0].At.Equal(at("2026-03-12 09:00")) {
		t.Fatalf("recorded %+v", f)
	}
}

func TestMailServersThatCannotBe(t *testing.T) {
	const secret = "hunter2-secret"
	for _, url := range []string{
		"", "mail.example.com", "mail.example.com:587", "http://mail.example.com", "smtp://", "smtp://user:" + secret + "@", "smtp://user:" + secret + "@host:port",
		"smtp://user:" + secret + "@host:99999", "imap://user:" + secret + "@host", "smtp+insecure://192.0.2.1", "smtp+insecure://user:" + secret + "@mail.example.com:25",
		"smtp://user:" + secret + "%zz@host", "smtp://user:" + secret + "@ho st",
	} {
		if _, err := NewEmail(url, "a@example.com"); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := NewEmail("smtp://host", "not an address"); err == nil {
		t.Error("a sender that is no address was accepted")
	}
	for _, url := range []string{"smtp://host", "smtp://user:pw@host:2525", "smtps://host", "smtp+insecure://localhost", "smtp+insecure://[::1]:25"} {
		if _, err := NewEmail(url, "a@example.com"); err != nil {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// What goes wrong on the way says which server, and never the password.
func TestMailErrorsHideThePassword(t *testing.T) {
	const secret = "hunter2-secret"
	server := startMailServer(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	n := Notice{Provider: "Rede Sul"}
	n.Customer.Email = "jose@example.com"
	for _, url := range []string{
		"smtp+insecure://user:" + secret + "@" + server.address, // refuses the password
		"smtp://user:" + secret + "@" + server.address,          // has no STARTTLS
		"smtps://user:" + secret + "@" + server.address,         // speaks no TLS
		"smtp+insecure://user:" + secret + "@" + closed.Addr().String(),
	} {
		email, err := NewEmail(url, "a@example.com")
		if err != nil {
			t.Fatal(err)
		}
		_, err = email.Send(ctx, n)
		if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "127.0.0.1:") {
			t.Errorf("%s: %v", strings.ReplaceAll(url, secret, "…"), err)
		}
	}
	if len(server.received()) != 0 {
		t.Error("a letter was sent without the encryption that was asked for")
	}
}

package radius

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// credentials are the certificate and the key that RadSec shows, and the authorities that peers' certificates come from.
// They are read again when a file changes; files that make no sense leave those in use in use.
type credentials struct {
	certFile, keyFile, caFile string
	verify                    func(*x509.Certificate) error
	log                       zerolog.Logger

	current atomic.Pointer[tls.Config]
	files   [][]byte // what current was made of
	failing string   // what was last wrong with the files
	failed  atomic.Bool
	expiry  atomic.Int64 // of the certificate shown, Unix seconds
	reloads atomic.Int64
}

// load reads the files for the first time. An expired certificate is taken here: other doors do not stay shut for it.
func (c *credentials) load() error {
	files, err := c.read()
	if err != nil {
		return err
	}
	return c.take(files, time.Time{})
}

func (c *credentials) read() (files [][]byte, err error) {
	for _, name := range []string{c.certFile, c.keyFile, c.caFile} {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("radius: RadSec: %w", err)
		}
		files = append(files, b)
	}
	return files, nil
}

// take puts the files into use. A certificate that has expired by now is refused.
func (c *credentials) take(files [][]byte, now time.Time) error {
	pair, err := tls.X509KeyPair(files[0], files[1])
	if err != nil {
		return fmt.Errorf("radius: RadSec: %s and %s: %w", c.certFile, c.keyFile, err)
	}
	if now.After(pair.Leaf.NotAfter) {
		return fmt.Errorf("radius: RadSec: the certificate in %s expired on %s", c.certFile, pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	authorities, err := readAuthorities(files[2])
	if err != nil {
		return fmt.Errorf("radius: RadSec: %s: %w", c.caFile, err)
	}
	c.files = files
	c.expiry.Store(pair.Leaf.NotAfter.Unix())
	c.current.Store(&tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authorities,
		// A resumed session would carry the verdict on a certificate past the change of what it was judged by.
		SessionTicketsDisabled: true,
		VerifyConnection:       func(s tls.ConnectionState) error { return c.verify(s.PeerCertificates[0]) },
	})
	return nil
}

// readAuthorities reads a file of certificates, every one of which must be readable.
func readAuthorities(b []byte) (*x509.CertPool, error) {
	pool, n := x509.NewCertPool(), 0
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		authority, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		pool.AddCert(authority)
		n++
	}
	if n == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	return pool, nil
}

// follow looks at the files every so often until ctx ends.
func (c *credentials) follow(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			c.refresh(now)
		}
	}
}

// refresh takes changed files into use. What is wrong with them is said once.
func (c *credentials) refresh(now time.Time) {
	files, err := c.read()
	if err == nil {
		same := true
		for i := range files {
			same = same && bytes.Equal(files[i], c.files[i])
		}
		if !same {
			if err = c.take(files, now); err == nil {
				c.reloads.Add(1)
				c.log.Info().Time("expires", time.Unix(c.expiry.Load(), 0).UTC()).Msg("RadSec's certificates were read anew; new connections use them")
			}
		}
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != c.failing {
		c.log.Error().Err(err).Msg("RadSec's new certificates cannot be used; those in use stay in use")
	}
	c.failing = text
	c.failed.Store(err != nil)
}

// serverConfig is what the next connection is made with.
func (c *credentials) serverConfig() *tls.Config { return c.current.Load() }

// peer is who a certificate says its bearer is.
type peer struct {
	fingerprint string
	names       []string // DNS names, or the common name where there is none
	notAfter    time.Time
}

func peerOf(c *x509.Certificate) peer {
	sum := sha256.Sum256(c.Raw)
	p := peer{fingerprint: "sha256:" + hex.EncodeToString(sum[:]), notAfter: c.NotAfter}
	for _, name := range c.DNSNames {
		p.names = append(p.names, strings.ToLower(strings.TrimSuffix(name, ".")))
	}
	if len(p.names) == 0 && c.Subject.CommonName != "" {
		p.names = []string{strings.ToLower(c.Subject.CommonName)}
	}
	return p
}

// of is the device of a peer, as it is over RadSec: by its fingerprint, else by its names, which must not be those of
// several; nil when there is none.
func (s *deviceSnapshot) of(p *peer) (found *device) {
	if d := s.byCertificate[p.fingerprint]; d != nil {
		return d
	}
	for _, name := range p.names {
		d := s.byCertificate[name]
		if d != nil && found != nil && found != d {
			return nil
		}
		if d != nil {
			found = d
		}
	}
	return found
}

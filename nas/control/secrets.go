package control

import (
	"bytes"
	"context"
	"errors"

	"enlace/nas"
)

// exchangeUnder is exchangeAll with a device that may be about to get another secret. Commands are signed with Secret, and
// when nothing answers, with OlderSecret while that is accepted too: a device which has the other of the two is as silent as
// one that is away (RFC 5176, section 2.3). The one that was answered last goes first.
func (p *peer) exchangeUnder(ctx context.Context, s *sending, dev *nas.Device) (answer, int, error) {
	secrets := [][]byte{dev.Secret}
	if dev.OlderSecret != nil {
		secrets = append(secrets, dev.OlderSecret)
		if last := p.answered.Load(); last != nil && bytes.Equal(*last, dev.OlderSecret) {
			secrets[0], secrets[1] = secrets[1], secrets[0]
		}
	}
	sent := 0
	for i, secret := range secrets {
		a, n, err := p.exchangeAll(ctx, s, secret)
		sent += n
		if err == nil {
			p.answered.Store(&secret)
		}
		if err == nil || !errors.Is(err, errTimeout) || i == len(secrets)-1 {
			return a, sent, err
		}
	}
	return answer{}, sent, errTimeout
}

package nastest

import (
	"context"
	"math/rand/v2"
	"time"
)

// CrowdConfig describes subscribers to be kept online.
type CrowdConfig struct {
	N int
	// Subscriber is the login and password of number i, from 0 to N-1.
	Subscriber func(i int) (login, password string, m Method)
	Over       time.Duration // the first logins are spread over this time
	// MaxLoad bounds each subscriber's own share of his rates, drawn at random; 0 takes Config.Load for all.
	MaxLoad float64
}

// Crowd is a number of subscribers whom the access server keeps online: one socket for all, and no more requests at a
// time than Config.Workers.
type Crowd struct {
	Lines []*Session
}

// Crowd begins to dial; it returns at once. Refused or unanswered subscribers dial again with growing pauses.
func (n *NAS) Crowd(c CrowdConfig) *Crowd {
	crowd := &Crowd{Lines: make([]*Session, c.N)}
	for i := range c.N {
		login, password, m := c.Subscriber(i)
		load := n.cfg.Load
		if c.MaxLoad > 0 {
			load = rand.Float64() * c.MaxLoad
		}
		s := n.line(login, password, m, load)
		s.keep = true
		crowd.Lines[i] = s
		n.schedule.after(c.Over*time.Duration(i)/time.Duration(c.N), func(ctx context.Context) { s.dial(ctx) })
	}
	return crowd
}

// Online counts the crowd's sessions.
func (c *Crowd) Online() int {
	online := 0
	for _, s := range c.Lines {
		if s.Online() {
			online++
		}
	}
	return online
}

// jitter is d, up to a tenth shorter or longer.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return d
	}
	return d*9/10 + rand.N(d/5+1)
}

package control_test

import (
	"context"
	"testing"
	"time"

	"enlace/nas"
	"enlace/nas/control"
	"enlace/nas/nastest"
)

// lost are claims that another node has left open: nobody knows what it told.
type lost struct{}

func (lost) Claim(_ context.Context, wanted []nas.Wanted) []nas.Grant {
	grants := make([]nas.Grant, len(wanted))
	for i, w := range wanted {
		grants[i] = nas.Grant{Until: time.Now().Add(time.Minute), Serial: 1, Told: &nas.Told{Key: w.Key, StartedAt: w.StartedAt}}
	}
	return grants
}

func (lost) Return(nas.Returned) {}
func (lost) Share() float64      { return 1 }

// TestAWalledSessionOfALostClaimLeavesTheGarden has a session be released from a garden that its device leaves by a new login
// only, after another node had begun to tell it something and died.
func TestAWalledSessionOfALostClaimLeavesTheGarden(t *testing.T) {
	w := newWorld(t, "mikrotik", func(_ *world, cc *control.Config, _ *nastest.Config, _ *nas.Device) { cc.Claims = lost{} })
	s := w.login("maria", walled)
	w.has(s, walled)
	w.give("maria", full)
	w.has(s, full)
}

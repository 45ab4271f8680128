package control_test

import (
	"testing"
	"time"

	"enlace/nas"
	"enlace/nas/control"
	"enlace/nas/nastest"
)

// TestCommandsWhileASecretIsReplaced: whichever of two secrets a device has, commands reach it, and once it has answered
// under one that goes first.
func TestCommandsWhileASecretIsReplaced(t *testing.T) {
	for name, set := range map[string]func(*nas.Device, []byte){
		"it has the newer": func(d *nas.Device, has []byte) { d.Secret, d.OlderSecret = has, []byte("the-one-before") },
		"it has the older": func(d *nas.Device, has []byte) { d.Secret, d.OlderSecret = []byte("the-next-one"), has },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "mikrotik", func(_ *world, c *control.Config, _ *nastest.Config, d *nas.Device) {
				c.Retry = []time.Duration{250 * time.Millisecond}
				set(d, d.Secret)
			})
			s := w.login("ana", full)
			w.give("ana", reduced)
			w.has(s, reduced)
			w.give("ana", faster)
			w.has(s, faster)
			w.eventually(func() bool { return len(w.recorded("ana")) == 2 && w.recorded("ana")[1].Answer == nas.Acked }, func() string { return w.story("ana") })
			second := w.recorded("ana")[1]
			if second.Attempts != 1 {
				t.Errorf("the second command took %d datagrams, though the device had answered under that secret", second.Attempts)
			}
			if first := w.recorded("ana")[0]; first.Answer != nas.Acked || (name == "it has the older") != (first.Attempts == 2) {
				t.Errorf("the first command is recorded as %+v", first)
			}
		})
	}
	w := newWorld(t, "mikrotik", func(_ *world, c *control.Config, _ *nastest.Config, d *nas.Device) {
		c.Retry = []time.Duration{20 * time.Millisecond}
		d.Secret, d.OlderSecret = []byte("neither this"), []byte("nor that")
	})
	w.login("ana", full)
	w.give("ana", reduced)
	w.eventually(func() bool {
		r := w.recorded("ana")
		return len(r) > 0 && r[0].Answer == nas.TimedOut && r[0].Attempts == 2
	}, func() string { return w.story("ana") })
}

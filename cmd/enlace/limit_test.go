package main

import (
	"errors"
	"fmt"
	"testing"

	"enlace/nas/nastest"
)

// rejected wants the login on another line to be refused.
func (s *story) rejected() {
	s.t.Helper()
	var no *nastest.Rejected
	if _, err := s.nas.Login(s.t.Context(), storyLogin, storyPassword, nastest.PAP); !errors.As(err, &no) {
		s.t.Fatalf("not refused: %v", err)
	}
}

// dialled logs in on a line of its own.
func (s *story) dialled() (line *nastest.Session) {
	s.t.Helper()
	s.eventually("the login is accepted", func() (err error) {
		line, err = s.nas.Login(s.t.Context(), storyLogin, storyPassword, nastest.CHAP)
		return err
	})
	return line
}

// online waits until the program shows exactly the sessions given to be open.
func (s *story) online(want ...*nastest.Session) {
	s.t.Helper()
	s.eventually("who is online", func() error {
		open := s.api("GET", "/api/v1/sessions?login="+storyLogin, nil, 200)["items"].([]any)
		if len(open) != len(want) {
			return fmt.Errorf("%d sessions: %v", len(open), open)
		}
		for i, o := range open {
			if id := o.(map[string]any)["session_id"]; id != want[i].ID() {
				return fmt.Errorf("%v is online, not %s", id, want[i].ID())
			}
		}
		return nil
	})
}

// TestAPasswordOnTwoLines: the later line takes the earlier one's place, and two that push each other out are stopped.
func TestAPasswordOnTwoLines(t *testing.T) {
	s := provide(t, start(t, "2026-01-15T10:00:00-03:00", "--session-limit", "1"), "mikrotik", "127.0.2.1")
	line := s.dialled()
	s.online(line)
	for i := range 3 {
		next := s.dialled()
		s.eventually("the earlier line is ended, and the later one is not", func() error {
			if line.Online() || !next.Online() {
				return fmt.Errorf("online: earlier %v, later %v", line.Online(), next.Online())
			}
			return nil
		})
		s.online(next)
		if got := s.nas.Stats().Disconnects; got != int64(i+1) {
			t.Fatalf("%d sessions were ended, want %d", got, i+1)
		}
		line = next
	}
	s.rejected()
	s.online(line)
	s.eventually("the panel says why", func() error {
		if n := s.metric(`enlace_radius_replies_total{code="Access-Reject",device="bras-1",reason="SIMULTANEOUS"}`); n != "1" {
			return fmt.Errorf("%q refused", n)
		}
		return nil
	})
	closed := s.api("GET", "/api/v1/sessions/closed?login="+storyLogin, nil, 200)["items"].([]any)
	if len(closed) != 3 || closed[0].(map[string]any)["closed_by"] != "stop" {
		t.Errorf("closed: %v", closed)
	}
}

// TestAGhostLocksNobodyOut: the access server lost its power and says nothing of the sessions that it had. With newer
// logins refused, the ghost is asked for, denied and gone; a session that lives is not.
func TestAGhostLocksNobodyOut(t *testing.T) {
	s := provide(t, start(t, "2026-01-15T10:00:00-03:00", "--session-limit", "1", "--session-limit-action", "reject"), "mikrotik", "127.0.2.2")
	s.online(s.dialled())
	s.nas.Vanish()
	s.rejected()
	line := s.dialled()
	s.online(line)
	closed := s.api("GET", "/api/v1/sessions/closed?login="+storyLogin, nil, 200)["items"].([]any)
	if len(closed) != 1 || closed[0].(map[string]any)["closed_by"] != "gone" {
		t.Fatalf("closed: %v", closed)
	}
	s.rejected()
	s.eventually("the session that lives was asked for", func() error {
		if n := s.nas.Stats().Acks; n != 1 {
			return fmt.Errorf("%d acknowledged", n)
		}
		return nil
	})
	s.rejected()
	if s.online(line); !line.Online() || s.nas.Stats().Disconnects != 0 {
		t.Fatalf("it was ended: %+v", s.nas.Stats())
	}
}

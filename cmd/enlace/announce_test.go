package main

import (
	"context"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/nas/nastest"
)

// A node dies between a command that was obeyed and its answer, and what the command was for is taken back meanwhile: the
// node that comes back must not believe that nothing has happened.
func TestAKilledNodeDoesNotTrustWhatItWasAboutToChange(t *testing.T) {
	t.Parallel()
	p := start(t, local("2026-01-15 10:00:00").Format(time.RFC3339))
	p.args[1], p.args[3] = p.auth, p.acct
	s := provide(t, p, "standard", "127.31.15.1")
	line := s.nas.Dial(storyLogin, storyPassword, nastest.CHAP)
	s.rates(line, 500_000_000, 250_000_000, false)
	s.agreed("FULL 500M/250M")

	s.nas.SetQuirks(nastest.Quirks{LoseOut: 1})
	s.api("POST", "/api/v1/contracts/"+s.contract+"/acts/manual-block", object{"reason": "moved out"}, 200)
	s.rates(line, 1_000_000, 1_000_000, true)
	p.kill(syscall.SIGKILL)
	conn := s.connect()
	defer conn.Close(context.Background())
	id, err := strconv.ParseInt(s.contract, 10, 64)
	if err == nil {
		err = pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			return contractspg.Append(t.Context(), tx, local("2026-01-15 10:02:00"), &contracts.Fact{ContractID: contracts.ContractID(id), Kind: contracts.ManualUnblock, Actor: "staff:bia", Reason: "a mistake"})
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.nas.SetQuirks(nastest.Quirks{})
	p.up(local("2026-01-15 10:05:00").Format(time.RFC3339))
	s.rates(line, 500_000_000, 250_000_000, false)
}

package main

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"enlace/contracts"
	"enlace/nas"
	"enlace/postgres"
	"enlace/radius"
)

// What cannot be read keeps nothing else from its changes, and what is in memory stays in force.
func TestProjectionPassesOverWhatCannotBeRead(t *testing.T) {
	h := newShop(t)
	debtor, damaged := h.sign("ana@isp", "one"), h.sign("bia@isp", "two")
	h.owe(debtor.ID)
	d := nas.Device{Name: "bras-1", Source: netip.MustParsePrefix("192.0.2.1/32"), Secret: []byte("testing123"), Dialect: "mikrotik",
		MessageAuthenticator: "auto", InterimSeconds: 300, CommandsPerSecond: 50}
	h.must(h.devices.CreateDevice(h.ctx, "test", saoPaulo("2026-04-14 10:00"), &d))
	f := h.follow("2026-04-14 10:00")
	exec := func(sql string, args ...any) {
		t.Helper()
		_, err := h.pool.Exec(h.ctx, sql, args...)
		h.must(err)
	}
	exec(`update access set password_sealed = 'damaged' where contract_id = $1`, damaged.ID)
	exec(`update device set secret_sealed = 'damaged'`)
	exec(`insert into change (tbl, key) values ('contract', $1), ('device', $2)`, damaged.ID, d.ID)
	h.record(debtor.ID, "2026-04-14 10:00", contracts.Fact{Kind: contracts.PaymentReceived, InvoiceID: "F1", Amount: 9990})
	f.becomes(t, "ana@isp", "ACTIVE FULL 500M/250M")
	f.becomes(t, "bia@isp", "ACTIVE FULL 500M/250M")
	if got, ok := f.device(d.ID); !ok || string(got.Secret) != "testing123" {
		t.Errorf("the device is known: %v", ok)
	}

	// A change that concerns all.
	h.plan.Full = contracts.Profile{DownBps: 600e6, UpBps: 300e6}
	h.must(h.store.UpdatePlan(h.ctx, "test", saoPaulo("2026-04-14 10:00"), &h.plan))
	h.record(debtor.ID, "2026-04-14 10:00", contracts.Fact{Kind: contracts.AccessDisabled, AccessID: debtor.Accesses[0].ID})
	f.becomes(t, "ana@isp", "ACTIVE REJECT")
	f.becomes(t, "bia@isp", "ACTIVE FULL 600M/300M")
}

// still is a projection that follows nothing by itself.
func (h *shop) still(now string) (p *projection, kicks *int) {
	cl, err := newClock(saoPaulo(now).Format(time.RFC3339))
	h.must(err)
	kicks = new(int)
	p = &projection{contracts: h.store, devices: h.devices, directory: radius.NewDirectory(), table: radius.NewDeviceTable(nas.NewDialects(nas.DefaultGarden()), nil),
		now: cl.Now, keepPast: cl.settable, log: zerolog.Nop(), changed: func(contracts.AccessID, string) {}, kick: func() { *kicks++ }}
	p.usage = h.usage(p.directory, cl.Now, p.changed)
	_, err = p.load(h.ctx)
	h.must(err)
	return p, kicks
}

// A device that can be told at last is told at once, not when its sessions are heard of.
func TestAnEditedDeviceWakesTheReconciler(t *testing.T) {
	h := newShop(t)
	p, kicks := h.still("2026-04-14 10:00")
	h.must(p.apply(h.ctx, []postgres.Change{{Tbl: "contract", Key: 1}}))
	if *kicks != 0 {
		t.Error("a contract's change woke everything")
	}
	h.must(p.apply(h.ctx, []postgres.Change{{Tbl: "device", Key: 1}}))
	if *kicks != 1 {
		t.Errorf("%d kicks", *kicks)
	}
}

// A clock that was set back finds what held then.
func TestProjectionKnowsThePastOfASettableClock(t *testing.T) {
	h := newShop(t)
	h.owe(h.sign("ana@isp", "one").ID)
	p, _ := h.still("2026-04-14 10:00")
	desired := p.desired(nas.Garden{Profile: contracts.Profile{DownBps: 1e6, UpBps: 1e6}})
	for at, want := range map[string]string{"2026-04-14 10:00": "WALLED 1M/1M", "2026-03-27 10:00": "REDUCED 50M/25M", "2026-03-12 10:00": "FULL 500M/250M"} {
		if service, _, _ := desired("ana@isp", 0, saoPaulo(at)); service.String() != want {
			t.Errorf("at %s: %s, want %s", at, service, want)
		}
	}
}

// Everything that was recorded before the end is stored, however much it is.
func TestRecordsOfCommandsAreStoredAtTheEnd(t *testing.T) {
	h := newShop(t)
	log := newCommandLog(h.devices, zerolog.Nop(), prometheus.NewRegistry())
	const n = 3*commandBatch + 7
	for i := range n {
		log.add(nas.CommandRecord{ID: nas.CommandID(i + 1), Session: nas.SessionKey{Device: 1, ID: fmt.Sprint(i)}, Login: "ana@isp",
			Method: nas.CoA, Actor: "system", RequestedAt: saoPaulo("2026-04-14 10:00")})
	}
	ended, end := context.WithCancel(h.ctx)
	end()
	log.run(ended)
	var stored int
	h.must(h.pool.QueryRow(h.ctx, `select count(*) from network_command`).Scan(&stored))
	if stored != n {
		t.Errorf("%d of %d are stored", stored, n)
	}
}

// A start passes over what it cannot read, says so, and has everything else; what nobody can read is an error.
func TestLoadingPassesOverWhatCannotBeRead(t *testing.T) {
	h := newShop(t)
	h.sign("ana@isp", "one")
	damaged := h.sign("bia@isp", "two")
	for i, name := range []string{"bras-1", "bras-2"} {
		d := nas.Device{Name: name, Source: netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/32", i+1)), Secret: []byte("testing123"), Dialect: "mikrotik",
			MessageAuthenticator: "auto", LimitProxyState: "auto", InterimSeconds: 300, CommandsPerSecond: 50}
		h.must(h.devices.CreateDevice(h.ctx, "test", saoPaulo("2026-04-14 10:00"), &d))
	}
	exec := func(sql string, args ...any) {
		t.Helper()
		_, err := h.pool.Exec(h.ctx, sql, args...)
		h.must(err)
	}
	exec(`update access set password_sealed = 'damaged' where contract_id = $1`, damaged.ID)
	exec(`update device set secret_sealed = 'damaged' where name = 'bras-2'`)
	p, _ := h.still("2026-04-14 10:00")
	if p.directory.Lookup([]byte("ana@isp")) == nil || p.directory.Lookup([]byte("bia@isp")) != nil || p.unread.Load() != 1 {
		t.Errorf("%d logins, %d contracts unreadable", p.directory.Len(), p.unread.Load())
	}
	if p.table.Lookup(netip.MustParseAddr("192.0.2.1")) == nil || p.table.Lookup(netip.MustParseAddr("192.0.2.2")) != nil {
		t.Errorf("devices: %+v", p.devicesNow())
	}
	exec(`update access set password_sealed = 'damaged'`)
	if _, err := p.load(h.ctx); err == nil {
		t.Error("a database in which nothing can be read was loaded")
	}
	if p.directory.Lookup([]byte("ana@isp")) == nil {
		t.Error("a load that failed has taken away what was known")
	}
}

// What a full load does not find any more is gone, and what it cannot read stays.
func TestLoadingAnewForgetsWhatIsGone(t *testing.T) {
	h := newShop(t)
	h.sign("ana@isp", "one")
	kept := h.sign("bia@isp", "two")
	p, _ := h.still("2026-04-14 10:00")
	p.directory.Put(&radius.Subscriber{Access: 4711, Contract: 4711, Login: "old@isp"})
	_, err := h.pool.Exec(h.ctx, `update access set password_sealed = 'damaged' where contract_id = $1`, kept.ID)
	h.must(err)
	_, err = p.load(h.ctx)
	h.must(err)
	if p.directory.Lookup([]byte("old@isp")) != nil || p.directory.Lookup([]byte("bia@isp")) == nil || p.directory.Lookup([]byte("ana@isp")) == nil {
		t.Errorf("%d logins", p.directory.Len())
	}
}

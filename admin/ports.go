package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"time"

	"enlace/billing"
	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

// Contracts keeps customers, plans, contracts and their facts.
type Contracts interface {
	CreateCustomer(ctx context.Context, actor string, now time.Time, c *contracts.Customer) error
	UpdateCustomer(ctx context.Context, actor string, now time.Time, c *contracts.Customer) error
	Customer(ctx context.Context, id contracts.CustomerID) (contracts.Customer, error)
	Customers(ctx context.Context, query string, after contracts.CustomerID, limit int) ([]contracts.Customer, error)

	CreatePlan(ctx context.Context, actor string, now time.Time, p *contracts.Plan) error
	UpdatePlan(ctx context.Context, actor string, now time.Time, p *contracts.Plan) error
	Plans(ctx context.Context, at time.Time) ([]contracts.Plan, error)

	CreateContract(ctx context.Context, actor string, now time.Time, c *contracts.Contract, passwords []string) error
	Contract(ctx context.Context, id contracts.ContractID) (*contracts.Contract, error)
	ContractsOf(ctx context.Context, id contracts.CustomerID) ([]contracts.Contract, error)
	FindLogin(ctx context.Context, login string) (contracts.ContractID, contracts.AccessID, error)
	AddAccess(ctx context.Context, actor string, now time.Time, id contracts.ContractID, a *contracts.Access, password string) error
	UpdateAccess(ctx context.Context, actor string, now time.Time, id contracts.ContractID, a *contracts.Access) error
	ClearBinding(ctx context.Context, actor string, now time.Time, id contracts.ContractID, access contracts.AccessID) error
	SetPassword(ctx context.Context, actor string, now time.Time, id contracts.AccessID, password string) error
	Act(ctx context.Context, now time.Time, f contracts.Fact) (contracts.Span, error)

	Dossier(ctx context.Context, id contracts.ContractID, at time.Time) (Dossier, error)
	Search(ctx context.Context, text string, limit int) ([]Hit, error)
}

// Dossier and Hit are what the store of contracts answers with.
type (
	Dossier = contracts.Dossier
	Hit     = contracts.Hit
)

// Directory is the projection of contracts that authentication answers from.
type Directory interface {
	// Counts of accesses by status and outcome at now.
	Counts(now time.Time) []Count
	// Standing of a login at now, or of the access where a session bears another name; ok is false when neither is known.
	Standing(login string, access contracts.AccessID, now time.Time) (s Standing, ok bool)
	// Changes lists accesses whose outcome changes after from and by until, earliest first and at most limit, and how
	// many there are in all.
	Changes(from, until time.Time, limit int) ([]Change, int)
	// Age of the projection at now: how long ago it held everything that was known.
	Age(now time.Time) time.Duration
}

// Count of accesses in a status.
type Count struct {
	Status  contracts.Status  `json:"status"`
	Outcome contracts.Outcome `json:"outcome"`
	N       int               `json:"accesses"`
}

// Standing is what a login may have.
type Standing struct {
	Contract contracts.ContractID
	Access   contracts.AccessID
	Status   contracts.Status
	Disabled bool
	Service  nas.Service
	// Known are the services that a session of this login can carry, so that the digest of what an access server
	// applies can be shown in words.
	Known []nas.Service
}

// Change of an access's outcome that time alone will bring.
type Change struct {
	At       time.Time
	Login    string
	Contract contracts.ContractID
	From, To contracts.Outcome
	Status   contracts.Status // from At on
}

// Devices keeps the access servers and what they were told.
type Devices interface {
	Devices(ctx context.Context) ([]nas.Device, error)
	Device(ctx context.Context, id nas.DeviceID) (nas.Device, error)
	CreateDevice(ctx context.Context, actor string, now time.Time, d *nas.Device) error
	UpdateDevice(ctx context.Context, actor string, now time.Time, d *nas.Device) error
	RetireDevice(ctx context.Context, actor string, now time.Time, id nas.DeviceID) error
	// ObserveAnew forgets what was seen and learned of a device.
	ObserveAnew(ctx context.Context, actor string, now time.Time, id nas.DeviceID) error
	CommandsOf(ctx context.Context, login string, limit int) ([]nas.CommandRecord, error)
	// Commands that were recorded, newest first.
	Commands(ctx context.Context, f nas.CommandFilter) ([]nas.CommandRecord, error)
	// CommandTallies counts what was commanded from an instant on, by device.
	CommandTallies(ctx context.Context, since time.Time) (map[nas.DeviceID]nas.CommandTally, error)
	// Pauses is what is paused, the pause of all devices (0) first.
	Pauses(ctx context.Context) ([]nas.Pause, error)
	// PauseCommands holds back what does not restore service, of a device or of all (0), and ResumeCommands lets it go on.
	PauseCommands(ctx context.Context, actor string, now time.Time, device nas.DeviceID) error
	ResumeCommands(ctx context.Context, actor string, now time.Time, device nas.DeviceID) error
	Pools(ctx context.Context, now time.Time) ([]nas.PoolUse, error)
	CreatePool(ctx context.Context, actor string, now time.Time, p *nas.Pool) error
	ExtendPool(ctx context.Context, actor string, now time.Time, id nas.PoolID, more netip.Prefix) (nas.Pool, error)
}

// Network is what this node is telling the access servers.
type Network interface {
	Loads() []nas.DeviceLoad
	// Waves are the mass changes since the node's start, newest first.
	Waves() []nas.Wave
	// WouldChange counts by device the open sessions that would be brought to another service if that version of a plan
	// held at now.
	WouldChange(pl contracts.Plan, now time.Time) map[nas.DeviceID]int
}

// Refusals remembers logins that were refused; "" asks for every login's.
type Refusals interface {
	Recent(login string, n int) []radius.Refusal
}

// Staff keeps accounts, API tokens and the audit.
type Staff interface {
	// Account by name; NotFound when there is none or it is disabled.
	Account(ctx context.Context, username string) (Account, error)
	// Token finds an API token by the SHA-256 of its text and notes that it was used; NotFound when there is none or
	// it is revoked.
	Token(ctx context.Context, hash []byte, now time.Time) (name string, err error)
	// Audit records what somebody tried that leaves no other trace. result is "done" or the code of a refusal.
	Audit(ctx context.Context, now time.Time, actor, act, subject, result string) error
	// AuditSearch records a search of connection records; its time and actor are those given beside it.
	AuditSearch(ctx context.Context, now time.Time, actor string, q Search) error
	// Searches lists the last ones, the latest first.
	Searches(ctx context.Context, limit int) ([]Search, error)
}

// Search of connection records: who asked what, and why.
type Search struct {
	At      time.Time
	Actor   string
	Subject string // what was asked for
	Reason  string // such as the number of a warrant
	Found   int
}

// Connections keeps who had which address. more tells that there are others beyond the limit.
type Connections interface {
	WhoHad(ctx context.Context, q radius.AddressQuestion) (found []radius.Connection, more bool, err error)
	HeldBy(ctx context.Context, q radius.SubscriberQuestion) (found []radius.Connection, more bool, err error)
}

// Account of a member of staff.
type Account struct {
	ID           int64
	Username     string
	PasswordHash string
}

// seal ties a signed-in browser to the password that it signed in with.
func (a Account) seal() string {
	sum := sha256.Sum256([]byte(a.PasswordHash))
	return hex.EncodeToString(sum[:16])
}

// Health of the process, as /healthz shows it.
type Health struct {
	OK             bool    `json:"ok"`
	Database       string  `json:"database"`              // "ok" or what is wrong, in words fit for strangers
	DirectoryAge   float64 `json:"directory_age_seconds"` // -1 if never loaded
	Logins         int     `json:"logins"`
	JournalBacklog int64   `json:"journal_backlog_bytes"`
	JournalFailed  bool    `json:"journal_failed"` // cannot be written: accounting is not answered
	Sessions       int     `json:"sessions"`
	// AwaySince is since when the database cannot be used; zero while it can.
	AwaySince time.Time `json:"database_away_since,omitzero"`
	// Snapshot is the instant of the snapshot that is served from, because the database was away at the start; zero
	// while the database's state is.
	Snapshot   time.Time `json:"serving_snapshot_of,omitzero"`
	Unreadable int       `json:"unreadable_contracts"` // passed over when the directory was last loaded
}

// Billing keeps invoices, payments and the ledger.
type Billing interface {
	Invoices(ctx context.Context, f billing.InvoiceFilter) ([]billing.Invoice, error)
	// Invoice by number, with what settles it when paid on a date.
	Invoice(ctx context.Context, number string, on contracts.Date) (billing.InvoiceDetail, error)
	Pay(ctx context.Context, req billing.PaymentRequest, now time.Time) (p billing.Payment, fresh bool, err error)
	Payment(ctx context.Context, id int64) (billing.Payment, error)
	Reverse(ctx context.Context, payment int64, actor, reason string, now time.Time) error
	CancelInvoice(ctx context.Context, number, actor, reason string, now time.Time) error
	ManualInvoice(ctx context.Context, id contracts.ContractID, due contracts.Date, lines []billing.Line, actor string, now time.Time) (billing.Invoice, error)
}

// Sessions keeps who is and was online.
type Sessions interface {
	OpenSessions(ctx context.Context, f SessionFilter) ([]radius.Session, error)
	// History lists closed sessions of a login, the latest first.
	History(ctx context.Context, login string, limit int) ([]radius.Session, error)
	// Counts of open sessions by device.
	Counts(ctx context.Context) (map[nas.DeviceID]int, error)
}

// SessionFilter selects open sessions; zero values do not filter.
type SessionFilter struct {
	Login      string             // exactly
	Access     contracts.AccessID // beside Login: also sessions that bear another name and are this access's
	Device     nas.DeviceID
	Query      string // part of a login, an address or a calling station
	AfterLogin string // only logins after this one: the last of the page before
	Limit      int
}

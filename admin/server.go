package admin

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

// Config is everything the panel and the API need. Fields without a comment are required.
type Config struct {
	Contracts   Contracts
	Billing     Billing
	Sessions    Sessions
	Connections Connections
	Usage       Usage
	Devices     Devices
	Dialects    *nas.Dialects
	Network     Network
	Conformance Conformance
	Directory   Directory
	Refusals    Refusals
	Staff       Staff
	SignIns     scs.CtxStore // where signed-in browsers are kept

	// Disconnect ends a session on behalf of the actor; it returns when the command is queued.
	Disconnect func(ctx context.Context, key nas.SessionKey, actor, reason string) error
	// SecretInUse is which of a device's two secrets it was last seen to use.
	SecretInUse func(nas.DeviceID) radius.SecretProof
	Routers     Routers // nil: no device is asked about itself

	Now func() time.Time
	// SetClock moves the process's clock. Nil when time is real: then there is neither a control nor an API for it.
	SetClock func(time.Time) error
	Zone     *time.Location // the operator's, for lists that span contracts
	// NoticeChannels that are configured. Without any, no notice goes out and nobody is restricted: the panel says so.
	NoticeChannels []string
	// MaxStaleness of the directory, beyond which authentication stops answering; 0 for no bound.
	MaxStaleness time.Duration
	SecureCookie bool // the panel is reached over HTTPS only

	Health     func(context.Context) Health
	Metrics    http.Handler          // mounted at /metrics; optional
	Registerer prometheus.Registerer // optional
	Log        zerolog.Logger
	Version    string
}

//go:embed assets
var assets embed.FS

// server is the panel and the API on one configuration.
type server struct {
	Config
	log      zerolog.Logger
	sessions *scs.SessionManager
	byAddr   *limiter
	byName   *limiter
	nobody   func() string
	requests *prometheus.CounterVec
	signIns  *prometheus.CounterVec
}

// New is the HTTP handler of panel, API, /healthz and /metrics.
func New(c Config) (http.Handler, error) {
	if c.Contracts == nil || c.Billing == nil || c.Sessions == nil || c.Connections == nil || c.Usage == nil || c.Devices == nil || c.Conformance == nil || c.Dialects == nil || c.Network == nil || c.Directory == nil || c.Refusals == nil ||
		c.Staff == nil || c.SignIns == nil || c.Disconnect == nil || c.SecretInUse == nil || c.Now == nil || c.Zone == nil || c.Health == nil {
		return nil, errors.New("admin: a required part is missing from the configuration")
	}
	s := &server{Config: c, log: c.Log.With().Str("part", "admin").Logger(), nobody: onceString(nobodysHash),
		byAddr: newLimiter(3*time.Second, 10, 10_000), byName: newLimiter(6*time.Second, 8, 10_000),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "enlace_http_requests_total", Help: "HTTP requests by area and status class."}, []string{"area", "status"}),
		signIns:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "enlace_signins_total", Help: "Attempts to sign in to the panel by result."}, []string{"result"}),
	}
	if c.Registerer != nil {
		for _, m := range []prometheus.Collector{s.requests, s.signIns} {
			if err := c.Registerer.Register(m); err != nil {
				return nil, fmt.Errorf("registering the panel's metrics: %w", err)
			}
		}
	}
	s.sessions = scs.New()
	s.sessions.Store = c.SignIns
	s.sessions.HashTokenInStore = true
	s.sessions.Lifetime = 12 * time.Hour
	s.sessions.Cookie.Name = "enlace_session"
	s.sessions.Cookie.SameSite = http.SameSiteLaxMode
	s.sessions.Cookie.Secure = c.SecureCookie
	s.sessions.Cookie.Persist = false
	s.sessions.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		s.fail(w, r, fmt.Errorf("keeping the sign-in: %w", err))
	}

	root := http.NewServeMux()
	static, err := fs.Sub(assets, "assets")
	if err != nil {
		return nil, fmt.Errorf("opening the embedded assets: %w", err)
	}
	root.Handle("GET /assets/", http.StripPrefix("/assets/", cacheable(http.FileServerFS(static))))
	root.HandleFunc("GET /healthz", s.healthz)
	if c.Metrics != nil {
		root.Handle("GET /metrics", c.Metrics)
	}
	s.api(root)
	panel := http.NewServeMux()
	s.panel(panel)
	root.Handle("/", s.sessions.LoadAndSave(panel))

	csrf := http.NewCrossOriginProtection()
	csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, http.StatusForbidden, "The request came from another site and was refused.")
	}))
	return s.outermost(csrf.Handler(root)), nil
}

// panel routes the pages. A page with an error answers through fail, so handlers only return what went wrong.
func (s *server) panel(m *http.ServeMux) {
	m.HandleFunc("GET /signin", s.signInPage)
	m.HandleFunc("POST /signin", s.signIn)
	m.HandleFunc("POST /preferences", s.preferences)

	page := func(pattern string, h handler) { m.Handle(pattern, s.staffOnly(h)) }
	page("POST /signout", s.signOut)
	page("GET /{$}", s.overviewPage)
	page("GET /search", s.searchPage)

	page("GET /customers", s.customersPage)
	page("GET /customers/new", s.newCustomerPage)
	page("POST /customers", s.createCustomer)
	page("GET /customers/{id}", s.customerPage)
	page("GET /customers/{id}/edit", s.editCustomerPage)
	page("POST /customers/{id}", s.updateCustomer)
	page("GET /customers/{id}/contracts/new", s.newContractPage)
	page("POST /customers/{id}/contracts", s.createContract)

	page("GET /contracts/{id}", s.contractPage)
	page("POST /contracts/{id}/acts/{act}", s.act)
	page("GET /contracts/{id}/accesses/new", s.accessPage)
	page("POST /contracts/{id}/accesses", s.saveAccess)
	page("GET /contracts/{id}/accesses/{access}", s.accessPage)
	page("POST /contracts/{id}/accesses/{access}", s.saveAccess)
	page("POST /contracts/{id}/accesses/{access}/clear-binding", s.clearBinding)
	page("POST /contracts/{id}/accesses/{access}/password", s.setPassword)
	page("GET /logins", s.loginPage)

	page("GET /invoices", s.invoicesPage)
	page("GET /invoices/{number}", s.invoicePage)
	page("POST /invoices/{number}/payments", s.pay)
	page("POST /invoices/{number}/cancel", s.cancelInvoice)
	page("POST /invoices/{number}/payments/{payment}/reverse", s.reversePayment)

	page("GET /sessions", s.sessionsPage)
	page("POST /sessions/disconnect", s.disconnect)
	page("GET /connections", s.connectionsPage)
	page("POST /connections", s.searchConnections)
	page("GET /upcoming", s.upcomingPage)

	page("GET /network", s.networkPage)
	page("POST /network/pause", s.pauseNetwork)
	page("POST /network/resume", s.resumeNetwork)
	page("GET /pools", s.poolsPage)
	page("POST /pools", s.createPool)
	page("POST /pools/{id}/ranges", s.extendPool)
	page("GET /devices", s.devicesPage)
	page("GET /devices/new", s.newDevicePage)
	page("POST /devices", s.createDevice)
	page("GET /devices/{id}", s.devicePage)
	page("GET /devices/{id}/edit", s.editDevicePage)
	page("GET /devices/{id}/router", s.routerPage)
	page("POST /devices/{id}", s.updateDevice)
	page("POST /devices/{id}/retire", s.retireDevice)
	page("POST /devices/{id}/drop-older-secret", s.dropOlderSecret)
	page("POST /devices/{id}/observe", s.observeDeviceAnew)
	page("POST /devices/{id}/probe", s.probeDevice)
	page("POST /devices/{id}/strategy", s.setStrategy)
	page("POST /devices/{id}/acknowledge", s.acknowledgeRegression)

	page("GET /plans", s.plansPage)
	page("GET /plans/new", s.newPlanPage)
	page("POST /plans", s.createPlan)
	page("GET /plans/{id}", s.planPage)
	page("POST /plans/{id}", s.updatePlan)

	if s.SetClock != nil {
		page("POST /clock", s.moveClock)
	}
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, contracts.NotFoundf("there is no such page"))
	})
}

// outermost sets the security headers, bounds bodies, counts, logs, and turns a panic into a page.
func (s *server) outermost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if h.Get("Cache-Control") == "" {
			h.Set("Cache-Control", "no-store")
		}
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		cw := &countingWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.log.Error().Interface("panic", p).Bytes("stack", debug.Stack()).Str("path", r.URL.Path).Msg("a page panicked")
				if !cw.wrote {
					s.fail(cw, r, errors.New("panic"))
				}
			}
			s.requests.WithLabelValues(area(r.URL.Path), fmt.Sprintf("%dxx", cw.status/100)).Inc()
			s.log.Debug().Str("method", r.Method).Str("path", r.URL.Path).Int("status", cw.status).Dur("took", time.Since(begun)).Msg("http")
		}()
		next.ServeHTTP(cw, r)
	})
}

// area of a path, for the metric: few values whatever is asked for.
func area(path string) string {
	switch {
	case len(path) >= 5 && path[:5] == "/api/":
		return "api"
	case len(path) >= 8 && path[:8] == "/assets/":
		return "assets"
	case path == "/metrics" || path == "/healthz":
		return "probe"
	}
	return "panel"
}

type countingWriter struct {
	http.ResponseWriter
	status int
	wrote  bool
}

func (w *countingWriter) WriteHeader(status int) {
	if status == http.StatusRequestEntityTooLarge {
		w.Header().Set("Connection", "close") // the rest of the body must not be read as the next request
	}
	if !w.wrote {
		w.status, w.wrote = status, true
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(b []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// cacheable lets browsers keep assets for a minute: they change only with the binary.
func cacheable(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		next.ServeHTTP(w, r)
	})
}

// remoteHost is the address of the peer, without its port.
func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

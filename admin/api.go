package admin

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"enlace/contracts"
)

// problem is an error of the API: RFC 9457 problem details, with a stable code beside them.
type problem struct {
	huma.ErrorModel
	Code string `json:"code" doc:"Stable reason: invalid, not_found, unauthorized, internal, or the code of a refusal such as min_interval" example:"min_interval"`
}

// codes of problems that are no domain errors.
var codes = map[int]string{http.StatusUnauthorized: "unauthorized", http.StatusNotFound: "not_found", http.StatusUnprocessableEntity: "invalid",
	http.StatusBadRequest: "invalid", http.StatusInternalServerError: "internal", http.StatusRequestEntityTooLarge: "too_large",
	http.StatusUnsupportedMediaType: "unsupported_media_type", http.StatusConflict: "conflict",
	http.StatusServiceUnavailable: "unavailable"}

// The library makes its own errors through this variable. Values sent by the client are not echoed: one may be a
// password that was too long.
func init() {
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		p := &problem{ErrorModel: huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: msg}, Code: codes[status]}
		if p.Code == "" {
			p.Code = "error"
		}
		for _, err := range errs {
			if err == nil {
				continue
			}
			var d huma.ErrorDetailer
			if errors.As(err, &d) {
				detail := *d.ErrorDetail()
				detail.Value = nil
				p.Errors = append(p.Errors, &detail)
			} else {
				p.Errors = append(p.Errors, &huma.ErrorDetail{Message: "the body is not JSON of the expected form", Location: "body"})
			}
		}
		return p
	}
}

type actorKey struct{}

// actorOf is who calls: the name of the token.
func actorOf(ctx context.Context) string {
	name, _ := ctx.Value(actorKey{}).(string)
	return "token:" + name
}

// api routes /api/v1 and its description at /openapi.json.
func (s *server) api(m *http.ServeMux) {
	config := huma.DefaultConfig("Enlace", s.Version)
	config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", nil
	config.RejectUnknownQueryParameters = true
	config.Info.Description = "Subscribers, contracts, invoices, payments, sessions and access servers. " +
		"Money is text with a dot and two places (\"102.03\"); dates are civil, in the contract's zone (\"2026-03-10\"); instants are UTC. " +
		"Errors are RFC 9457 problems whose code is stable: 422 says what is invalid, 404 what does not exist, 409 which rule or record refuses."
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "Made by `enlace token create`."}}
	config.Security = []map[string][]string{{"token": {}}}
	a := humago.New(m, config)
	a.UseMiddleware(s.authenticate(a))
	s.customersAPI(a)
	s.plansAPI(a)
	s.contractsAPI(a)
	s.usageAPI(a)
	s.invoicesAPI(a)
	s.networkAPI(a)
	s.connectionsAPI(a)
	m.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"title":"Not Found","status":404,"detail":"there is no such resource","code":"not_found"}` + "\n"))
	})
}

// authenticate lets through who bears a token that exists.
func (s *server) authenticate(a huma.API) func(huma.Context, func(huma.Context)) {
	refuse := func(ctx huma.Context) {
		ctx.SetHeader("WWW-Authenticate", `Bearer realm="enlace"`)
		if err := huma.WriteErr(a, ctx, http.StatusUnauthorized, "a valid bearer token is required"); err != nil {
			s.log.Debug().Err(err).Msg("writing a refusal")
		}
	}
	return func(ctx huma.Context, next func(huma.Context)) {
		scheme, token, _ := strings.Cut(ctx.Header("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") || token == "" {
			refuse(ctx)
			return
		}
		hash := sha256.Sum256([]byte(strings.TrimSpace(token)))
		name, err := s.Staff.Token(ctx.Context(), hash[:], s.Now())
		if _, unknown := asDomain(err); unknown {
			refuse(ctx)
			return
		}
		if err != nil {
			r, _ := humago.Unwrap(ctx)
			status, text := s.failed(s.logFailure(r, err))
			if err := huma.WriteErr(a, ctx, status, text); err != nil {
				s.log.Debug().Err(err).Msg("writing a failure")
			}
			return
		}
		next(huma.WithValue(ctx, actorKey{}, name))
	}
}

// failed is what a client is told of an error that is ours.
func (s *server) failed(id string) (status int, text string) {
	if s.Health(context.Background()).Database != "ok" {
		return http.StatusServiceUnavailable, "the database cannot be used; logins and accounting go on from memory, the log has it under " + id
	}
	return http.StatusInternalServerError, "something failed on our side; the log has it under " + id
}

// operation registers a handler whose errors are mapped once.
func operation[I, O any](s *server, a huma.API, method, path, name, summary string, h func(context.Context, *I) (*O, error)) {
	op := huma.Operation{Method: method, Path: "/api/v1" + path, OperationID: name, Summary: summary, Tags: []string{tagOf(path)},
		Errors: []int{http.StatusUnauthorized, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable}}
	if _, ok := any(new(O)).(interface{ created() }); ok {
		op.DefaultStatus = http.StatusCreated
	}
	huma.Register(a, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, s.problemOf(method, path, err)
		}
		return out, nil
	})
}

func tagOf(path string) string {
	tag, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return tag
}

// problemOf maps an error to what a client may know of it.
func (s *server) problemOf(method, path string, err error) error {
	var e *contracts.Error
	if !errors.As(err, &e) {
		r := &http.Request{Method: method}
		r.URL = mustURL(path)
		return huma.NewError(s.failed(s.logFailure(r, err)))
	}
	status := statusOf(e)
	p := &problem{ErrorModel: huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: e.Msg}, Code: e.Code}
	if e.Field != "" {
		where := "body."
		if method == http.MethodGet {
			where = "query."
		}
		p.Errors = []*huma.ErrorDetail{{Message: e.Msg, Location: where + e.Field}}
	}
	return p
}

package admin

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

type connectionJSON struct {
	Kind           string     `json:"kind" enum:"ipv4,ipv6,ipv6_delegated,ipv6_address,nat" doc:"nat: public address and ports of carrier-grade NAT"`
	Address        string     `json:"address" doc:"Address, or prefix with its length" example:"203.0.113.7"`
	PortFrom       int        `json:"port_from" doc:"0 with port_to 65535 where all of the address was the session's"`
	PortTo         int        `json:"port_to" doc:"Inclusive"`
	From           time.Time  `json:"from"`
	Until          *time.Time `json:"until,omitempty" doc:"Absent: still held"`
	End            string     `json:"end,omitempty" doc:"How the end is known: stop and release were told by the access server, all others are estimates"`
	Estimated      bool       `json:"estimated" doc:"Whether the end is an estimate"`
	LastNamed      *time.Time `json:"last_named,omitempty" doc:"Last record that named the address, as far as it was noted"`
	Login          string     `json:"login"`
	AccessID       int64      `json:"access_id,omitempty"`
	ContractID     int64      `json:"contract_id,omitempty"`
	CustomerID     int64      `json:"customer_id,omitempty"`
	Customer       string     `json:"customer,omitempty" doc:"The name as it is now"`
	Document       string     `json:"document,omitempty"`
	CallingStation string     `json:"calling_station,omitempty"`
	DeviceID       int64      `json:"device_id"`
	Device         string     `json:"device,omitempty"`
	NASPort        string     `json:"nas_port,omitempty"`
	SessionID      string     `json:"session_id"`
	SessionStarted time.Time  `json:"session_started"`
}

func connectionJSONOf(c *radius.Connection) connectionJSON {
	return connectionJSON{Kind: string(c.Kind), Address: addressText(c.Prefix), PortFrom: int(c.PortFrom), PortTo: int(c.PortTo), From: c.From,
		Until: instantOf(c.Until), End: string(c.ClosedBy), Estimated: c.Estimated(), LastNamed: instantOf(c.Seen), Login: nas.TextOf(c.Login),
		AccessID: int64(c.Access), ContractID: int64(c.Contract), CustomerID: int64(c.Customer), Customer: c.CustomerName, Document: c.Document,
		CallingStation: nas.TextOf(c.CallingStation), DeviceID: int64(c.Key.Device), Device: c.Device, NASPort: nas.TextOf(c.NASPort),
		SessionID: nas.TextOf(c.Key.ID), SessionStarted: c.StartedAt}
}

type connectionsJSON struct {
	Items    []connectionJSON `json:"items"`
	More     bool             `json:"more" doc:"There are others beyond the limit"`
	NeedPort bool             `json:"need_port" doc:"The address was shared by ports and none was given: each of the items may be the one"`
}

func (s *server) connectionsAPI(a huma.API) {
	type who struct {
		Address string    `query:"address" required:"true" maxLength:"60" doc:"An address, also with a port: 192.0.2.1:5060, [2001:db8::1]:5060" example:"203.0.113.7"`
		Port    string    `query:"port" maxLength:"5" doc:"Source port, where it is known"`
		At      time.Time `query:"at" required:"true" doc:"Instant"`
		Reason  string    `query:"reason" required:"true" minLength:"3" maxLength:"400" doc:"Why, such as the number of a warrant; kept with the search"`
		Limit   int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	operation(s, a, "GET", "/connections/who", "who-had", "Who had an address, and port, at an instant", func(ctx context.Context, in *who) (*body[connectionsJSON], error) {
		q := radius.AddressQuestion{At: in.At.UTC(), Limit: in.Limit}
		var err error
		if q.Address, q.Port, err = radius.ParseAddressPort(in.Address); err != nil {
			return nil, err
		}
		if in.Port != "" {
			if q.Port, err = radius.ParsePort(in.Port); err != nil {
				return nil, err
			}
		}
		found, more, err := s.whoHad(ctx, q, s.Now(), actorOf(ctx), in.Reason)
		if err != nil {
			return nil, err
		}
		v := connectionsView{Found: found}
		v.judge(q)
		return replyConnections(found, more, v.NeedPort), nil
	})
	type held struct {
		Login      string    `query:"login" maxLength:"60" doc:"Exactly; or customer_id"`
		CustomerID int64     `query:"customer_id" minimum:"0"`
		From       time.Time `query:"from" required:"true"`
		Until      time.Time `query:"until" required:"true"`
		Reason     string    `query:"reason" required:"true" minLength:"3" maxLength:"400" doc:"Why; kept with the search"`
		Limit      int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	operation(s, a, "GET", "/connections", "list-connections", "What addresses a subscriber had in a period", func(ctx context.Context, in *held) (*body[connectionsJSON], error) {
		q := radius.SubscriberQuestion{Login: in.Login, Customer: contracts.CustomerID(in.CustomerID), From: in.From.UTC(), Until: in.Until.UTC(), Limit: in.Limit}
		who := "login:" + q.Login
		switch {
		case q.Customer != 0 && q.Login != "", q.Customer == 0 && q.Login == "":
			return nil, contracts.Invalidf("login", "either a login or a customer is needed")
		case q.Customer != 0:
			who = customerSubject(q.Customer)
		}
		found, more, err := s.heldBy(ctx, q, s.Now(), actorOf(ctx), who, in.Reason)
		if err != nil {
			return nil, err
		}
		return replyConnections(found, more, false), nil
	})
}

func replyConnections(found []radius.Connection, more, needPort bool) *body[connectionsJSON] {
	out := connectionsJSON{Items: []connectionJSON{}, More: more, NeedPort: needPort}
	for i := range found {
		out.Items = append(out.Items, connectionJSONOf(&found[i]))
	}
	return reply(out)
}

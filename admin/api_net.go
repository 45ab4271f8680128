package admin

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"enlace/nas"
)

type pauseJSON struct {
	Since time.Time `json:"since"`
	Actor string    `json:"actor"`
}

func pauseJSONOf(p *nas.Pause) *pauseJSON {
	if p == nil {
		return nil
	}
	return &pauseJSON{p.Since.UTC(), p.Actor}
}

type tallyJSON struct {
	Acknowledged  int `json:"acknowledged"`
	Refused       int `json:"refused" doc:"NAK"`
	Unanswered    int `json:"unanswered"`
	NotSent       int `json:"not_sent"`
	Waiting       int `json:"waiting"`
	EffectSeen    int `json:"effect_seen" doc:"Of all of these"`
	WithoutEffect int `json:"without_effect" doc:"Of those acknowledged"`
}

type networkDeviceJSON struct {
	DeviceID          int64      `json:"device_id"`
	Device            string     `json:"device"`
	POP               string     `json:"pop,omitempty"`
	Sessions          int        `json:"sessions" doc:"Open"`
	Differences       int        `json:"differences" doc:"Open sessions that do not have what they should"`
	GivenUp           int        `json:"given_up" doc:"Of these: left until they are heard of again"`
	Restoring         int        `json:"restoring" doc:"Commands waiting that restore service, or that a person ordered"`
	Waiting           int        `json:"waiting" doc:"The others that wait"`
	InFlight          int        `json:"in_flight"`
	CommandsPerSecond int        `json:"commands_per_second" doc:"At most"`
	LastHour          tallyJSON  `json:"last_hour" doc:"What became of the commands of the last hour"`
	Paused            *pauseJSON `json:"paused,omitempty" doc:"Its own pause"`
}

type waveCountJSON struct {
	Total      int     `json:"total"`
	Done       int     `json:"done"`
	Failed     int     `json:"failed"`
	InFlight   int     `json:"in_flight"`
	Waiting    int     `json:"waiting"`
	ETASeconds float64 `json:"eta_seconds" doc:"As if nothing were paused"`
}

type waveJSON struct {
	ID    int64      `json:"id"`
	Began time.Time  `json:"began"`
	Ended *time.Time `json:"ended,omitempty" doc:"Absent: under way"`
	waveCountJSON
	Devices []waveDeviceJSON `json:"devices"`
}

type waveDeviceJSON struct {
	DeviceID int64  `json:"device_id"`
	Device   string `json:"device"`
	Paused   bool   `json:"paused"`
	waveCountJSON
}

type networkJSON struct {
	At      time.Time           `json:"at"`
	Paused  *pauseJSON          `json:"paused,omitempty" doc:"Pause of all devices: only what restores service is told to them"`
	Devices []networkDeviceJSON `json:"devices"`
	Waves   []waveJSON          `json:"waves" doc:"Mass changes since this node's start, newest first"`
}

func waveCountJSONOf(c nas.WaveCount, eta time.Duration) waveCountJSON {
	return waveCountJSON{c.Total, c.Done, c.Failed, c.InFlight, c.Waiting, eta.Seconds()}
}

func networkJSONOf(v *networkState, now time.Time) networkJSON {
	out := networkJSON{At: now.UTC(), Paused: pauseJSONOf(v.All), Devices: []networkDeviceJSON{}, Waves: []waveJSON{}}
	for _, d := range v.Devices {
		h := d.Hour
		out.Devices = append(out.Devices, networkDeviceJSON{DeviceID: int64(d.ID), Device: d.Name, POP: d.Site.POP, Sessions: d.Online,
			Differences: d.Load.Differences, GivenUp: d.Load.GivenUp, Restoring: d.Load.Restoring, Waiting: d.Load.Waiting, InFlight: d.Load.InFlight,
			CommandsPerSecond: d.CommandsPerSecond, LastHour: tallyJSON{h.Acked, h.Naked, h.TimedOut, h.Unreachable, h.Waiting, h.Confirmed, h.Ignored},
			Paused: pauseJSONOf(d.Pause)})
	}
	for _, w := range v.Waves {
		wave := waveJSON{ID: w.ID, Began: w.Began.UTC(), Ended: instantOf(w.Ended), waveCountJSON: waveCountJSONOf(w.WaveCount, w.ETA), Devices: []waveDeviceJSON{}}
		for _, d := range w.Devices {
			wave.Devices = append(wave.Devices, waveDeviceJSON{int64(d.Device), nameOf(v.Names, d.Device), d.Paused, waveCountJSONOf(d.WaveCount, d.ETA)})
		}
		out.Waves = append(out.Waves, wave)
	}
	return out
}

type commandJSON struct {
	DeviceID    int64      `json:"device_id"`
	Device      string     `json:"device"`
	SessionID   string     `json:"session_id"`
	Login       string     `json:"login"`
	Method      string     `json:"method" enum:"coa,disconnect,api"`
	Want        string     `json:"want" doc:"Service wanted" example:"REDUCED 50M/25M"`
	Reason      string     `json:"reason"`
	Actor       string     `json:"actor"`
	RequestedAt time.Time  `json:"requested_at"`
	SentAt      *time.Time `json:"sent_at,omitempty"`
	Attempts    int        `json:"attempts" doc:"Datagrams sent"`
	AnsweredAt  *time.Time `json:"answered_at,omitempty"`
	Answer      string     `json:"answer,omitempty" enum:"ack,nak,timeout,unreachable" doc:"Absent: none yet"`
	ErrorCause  int        `json:"error_cause,omitempty" doc:"Of a NAK (RFC 5176, section 3.5)"`
	Evidence    string     `json:"evidence,omitempty" doc:"What showed its effect; ignored: that it had none" example:"class"`
	SeenAt      *time.Time `json:"seen_at,omitempty" doc:"When that was"`
}

func commandJSONOf(c *nas.CommandRecord, names map[nas.DeviceID]string) commandJSON {
	return commandJSON{DeviceID: int64(c.Session.Device), Device: nameOf(names, c.Session.Device), SessionID: nas.TextOf(c.Session.ID), Login: nas.TextOf(c.Login),
		Method: string(c.Method), Want: c.Want, Reason: c.Reason, Actor: c.Actor, RequestedAt: c.RequestedAt, SentAt: instantOf(c.SentAt), Attempts: c.Attempts,
		AnsweredAt: instantOf(c.AnsweredAt), Answer: string(c.Answer), ErrorCause: c.ErrorCause, Evidence: string(c.Evidence), SeenAt: instantOf(c.ConfirmedAt)}
}

func (s *server) commandsAPI(a huma.API) {
	operation(s, a, "GET", "/network", "network", "What the access servers are being told", func(ctx context.Context, _ *nothing) (*body[networkJSON], error) {
		now := s.Now()
		v, err := s.networkState(ctx, now)
		if err != nil {
			return nil, err
		}
		return reply(networkJSONOf(v, now)), nil
	})
	type hold struct {
		Body struct {
			DeviceID int64 `json:"device_id,omitempty" minimum:"0" doc:"Absent or 0: all"`
		}
	}
	operation(s, a, "POST", "/network/pause", "pause-network", "Hold back what does not restore service, of one device or of all", func(ctx context.Context, in *hold) (*struct{}, error) {
		return nil, s.Devices.PauseCommands(ctx, actorOf(ctx), s.Now(), nas.DeviceID(in.Body.DeviceID))
	})
	operation(s, a, "POST", "/network/resume", "resume-network", "Lift a pause: a device's own, or that of all", func(ctx context.Context, in *hold) (*struct{}, error) {
		return nil, s.Devices.ResumeCommands(ctx, actorOf(ctx), s.Now(), nas.DeviceID(in.Body.DeviceID))
	})
	type find struct {
		DeviceID int64  `query:"device_id" minimum:"0"`
		Login    string `query:"login" maxLength:"200"`
		Method   string `query:"method" enum:"coa,disconnect,api"`
		Answer   string `query:"answer" enum:"ack,nak,timeout,unreachable,waiting,confirmed,ignored" doc:"waiting: none yet; confirmed: the effect was seen; ignored: acknowledged without effect"`
		After    string `query:"after" maxLength:"60" doc:"Only commands after this one"`
		Limit    int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	operation(s, a, "GET", "/network/commands", "list-commands", "What access servers were told and what became of it, newest first", func(ctx context.Context, in *find) (*body[listing[commandJSON]], error) {
		f, err := commandQuery{nas.DeviceID(in.DeviceID), nas.RawOf(in.Login), nas.Method(in.Method), in.Answer, in.After}.filter(in.Limit)
		if err != nil {
			return nil, err
		}
		found, err := s.Devices.Commands(ctx, f)
		if err != nil {
			return nil, err
		}
		devices, err := s.Devices.Devices(ctx)
		if err != nil {
			return nil, err
		}
		out, names := listOf[commandJSON](nil), deviceNames(devices)
		for i := range found {
			out.Items = append(out.Items, commandJSONOf(&found[i], names))
		}
		if n := len(found); n >= in.Limit {
			out.Next = place(&found[n-1])
		}
		return reply(out), nil
	})
}

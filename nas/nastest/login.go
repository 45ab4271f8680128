package nastest

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"errors"
	"fmt"
	"net"

	"layeh.com/radius"
	"layeh.com/radius/rfc2759"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3079"
	"layeh.com/radius/vendors/microsoft"
)

// Method is how a subscriber proves a password.
type Method uint8

const (
	PAP Method = iota
	CHAP
	MSCHAPv2
)

func (m Method) String() string {
	switch m {
	case PAP:
		return "PAP"
	case CHAP:
		return "CHAP"
	case MSCHAPv2:
		return "MS-CHAPv2"
	}
	return fmt.Sprintf("method %d", uint8(m))
}

// Rejected is the error of a login that got an Access-Reject.
type Rejected struct {
	Message string // Reply-Message, if there was one
}

func (r *Rejected) Error() string {
	if r.Message == "" {
		return "rejected"
	}
	return "rejected: " + r.Message
}

// errForged says that a reply is not from someone who knows the secret.
var errForged = errors.New("the reply is not authentic")

// authenticate asks for s and returns the verified Access-Accept, a *Rejected or another error.
func (n *NAS) authenticate(ctx context.Context, s *Session, id string) (*radius.Packet, error) {
	p := radius.New(radius.CodeAccessRequest, n.cfg.Secret)
	if err := rfc2865.UserName_AddString(p, s.login); err != nil {
		return nil, err
	}
	success, err := prove(p, s.login, s.password, s.method)
	if err != nil {
		return nil, err
	}
	_ = rfc2865.ServiceType_Add(p, rfc2865.ServiceType_Value_FramedUser)
	_ = rfc2865.FramedProtocol_Add(p, rfc2865.FramedProtocol_Value_PPP)
	n.describe(p, s)
	if err := rfc2866.AcctSessionID_AddString(p, id); err != nil {
		return nil, err
	}
	quirks := n.quirksNow()
	answer, err := n.auth.exchange(ctx, p, !quirks.NoMessageAuthenticator, n.cfg.Tries, func(request, reply []byte) (*radius.Packet, error) {
		return n.verifyReply(request, reply, quirks)
	})
	if err != nil {
		if errors.Is(err, ErrUnanswered) {
			n.stats.unanswered.Add(1)
		}
		return nil, err
	}
	switch answer.Code {
	case radius.CodeAccessAccept:
		if success != nil {
			if err := success(answer, p); err != nil {
				return nil, fmt.Errorf("the server does not prove that it knows the password: %w", err)
			}
		}
		n.stats.accepts.Add(1)
		return answer, nil
	case radius.CodeAccessReject:
		n.stats.rejects.Add(1)
		return nil, &Rejected{Message: rfc2865.ReplyMessage_GetString(answer)}
	}
	return nil, fmt.Errorf("the server answered with %s", answer.Code)
}

// describe adds what every packet of a session says of the access server and of the line.
func (n *NAS) describe(p *radius.Packet, s *Session) {
	_ = rfc2865.NASIPAddress_Add(p, net.IP(n.cfg.NASIP.AsSlice()))
	_ = rfc2865.NASIdentifier_AddString(p, n.cfg.NASIdentifier)
	_ = rfc2865.NASPort_Add(p, rfc2865.NASPort(s.port))
	_ = rfc2865.NASPortType_Add(p, rfc2865.NASPortType_Value_Ethernet)
	_ = rfc2869.NASPortID_AddString(p, s.PortID())
	_ = rfc2865.CallingStationID_AddString(p, s.station())
}

// verifyReply takes a reply whose authenticator and Message-Authenticator are right.
func (n *NAS) verifyReply(request, reply []byte, quirks Quirks) (*radius.Packet, error) {
	reply, ok := trim(reply)
	if !ok || !radius.IsAuthenticResponse(reply, request, n.cfg.Secret) {
		return nil, errForged
	}
	present, right := signedRight(reply, [16]byte(request[4:20]), n.cfg.Secret)
	if (present && !right) || (!present && !quirks.AcceptUnsigned) {
		return nil, errForged
	}
	return radius.Parse(reply, n.cfg.Secret)
}

// prove adds the proof of the password. The function returned, if any, checks the server's proof in the Access-Accept.
func prove(p *radius.Packet, login, password string, m Method) (func(accept, request *radius.Packet) error, error) {
	switch m {
	case PAP:
		return nil, rfc2865.UserPassword_AddString(p, password)
	case CHAP:
		challenge := random(16)
		id := random(1)
		sum := md5.Sum([]byte(string(id) + password + string(challenge)))
		if err := rfc2865.CHAPPassword_Add(p, append(id, sum[:]...)); err != nil {
			return nil, err
		}
		return nil, rfc2865.CHAPChallenge_Add(p, challenge)
	case MSCHAPv2:
		return proveMSCHAP(p, login, password)
	}
	return nil, fmt.Errorf("%s is not a method of authentication", m)
}

// proveMSCHAP follows RFC 2759 and, for the attributes, RFC 2548, section 2.3.2.
func proveMSCHAP(p *radius.Packet, login, password string) (func(accept, request *radius.Packet) error, error) {
	challenge, peer, id := random(16), random(16), random(1)[0]
	response, err := rfc2759.GenerateNTResponse(challenge, peer, []byte(login), []byte(password))
	if err != nil {
		return nil, err
	}
	value := make([]byte, 0, 50)
	value = append(value, id, 0)
	value = append(value, peer...)
	value = append(value, make([]byte, 8)...)
	value = append(value, response...)
	if err := microsoft.MSCHAPChallenge_Add(p, challenge); err != nil {
		return nil, err
	}
	if err := microsoft.MSCHAP2Response_Add(p, value); err != nil {
		return nil, err
	}
	return func(accept, request *radius.Packet) error {
		want, err := rfc2759.GenerateAuthenticatorResponse(challenge, peer, response, []byte(login), []byte(password))
		if err != nil {
			return err
		}
		if got := microsoft.MSCHAP2Success_GetString(accept); len(got) < 1 || got[0] != id || got[1:] != want {
			return errors.New("MS-CHAP2-Success is wrong or absent")
		}
		return checkMPPE(accept, request, response, password)
	}, nil
}

// checkMPPE compares the keys, where they are sent, with those that follow from the password (RFC 3079, section 3.3):
// the server's receive key is what the subscriber sends with.
func checkMPPE(accept, request *radius.Packet, response []byte, password string) error {
	for _, k := range []struct {
		name string
		get  func(p, q *radius.Packet) ([]byte, error)
		send bool
	}{
		{"MS-MPPE-Send-Key", microsoft.MSMPPESendKey_Lookup, true},
		{"MS-MPPE-Recv-Key", microsoft.MSMPPERecvKey_Lookup, false},
	} {
		got, err := k.get(accept, request)
		if errors.Is(err, radius.ErrNoAttribute) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		want, err := rfc3079.MakeKey(response, []byte(password), k.send)
		if err != nil {
			return err
		}
		if string(got) != string(want) {
			return fmt.Errorf("%s is not the one that follows from the password", k.name)
		}
	}
	return nil
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

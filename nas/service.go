package nas

import (
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"strings"

	"enlace/contracts"
)

// Service is what a session may have: the contract's outcome with the rates it means.
type Service struct {
	Outcome contracts.Outcome
	Profile contracts.Profile // the rates to apply; of the walled garden when Outcome is walled
	Plan    string            // the plan's name
}

// Digest stands for a Service where space is short: equal services have equal digests. The top byte is the outcome,
// the rest a hash of the rates; 0 stands for a service that is not known.
type Digest uint64

// Unsure stands for a service that is no longer known: a command may have changed it. Unlike 0 it is not filled in again
// from a session's cookie. Its Outcome is 0 and no Service has it.
const Unsure Digest = 1

// Digest of the outcome, the rates and the profile's name; the plan's name does not change what an access server applies.
func (s Service) Digest() Digest {
	h := fnv.New64a()
	var b [17]byte
	b[0] = byte(s.Outcome)
	binary.BigEndian.PutUint64(b[1:], s.Profile.DownBps)
	binary.BigEndian.PutUint64(b[9:], s.Profile.UpBps)
	h.Write(b[:])
	h.Write([]byte(s.Profile.Name))
	return Digest(s.Outcome)<<56 | Digest(h.Sum64()>>8)
}

// Outcome of the service the digest stands for, 0 when it is unknown.
func (d Digest) Outcome() contracts.Outcome { return contracts.Outcome(d >> 56) }

// String reads as "REDUCED 50M/5M", download first.
func (s Service) String() string {
	if s.Outcome == contracts.OutcomeReject {
		return s.Outcome.String()
	}
	return s.Outcome.String() + " " + Rate(s.Profile.DownBps) + "/" + Rate(s.Profile.UpBps)
}

// Rate writes bit/s with the largest of k, M, G that leaves a whole number.
func Rate(bps uint64) string {
	switch {
	case bps >= 1e9 && bps%1e9 == 0:
		return strconv.FormatUint(bps/1e9, 10) + "G"
	case bps >= 1e6 && bps%1e6 == 0:
		return strconv.FormatUint(bps/1e6, 10) + "M"
	case bps >= 1e3 && bps%1e3 == 0:
		return strconv.FormatUint(bps/1e3, 10) + "k"
	}
	return strconv.FormatUint(bps, 10)
}

// Cookie travels in the Class attribute of an Access-Accept and comes back in accounting (RFC 2865, section 5.25): it
// says which access the session belongs to and which service was granted.
type Cookie struct {
	Access  contracts.AccessID
	Granted Digest
}

const cookiePrefix = "enl1:"

// Append writes the cookie's text, such as "enl1:2f:9c0ffee000000001".
func (c Cookie) Append(dst []byte) []byte {
	dst = append(dst, cookiePrefix...)
	dst = strconv.AppendInt(dst, int64(c.Access), 16)
	dst = append(dst, ':')
	var b [8]byte
	for i := range b {
		b[i] = byte(c.Granted >> (56 - 8*i))
	}
	return hex.AppendEncode(dst, b[:])
}

// AppendMarked writes the same cookie in another spelling, as which a probe sends it: what comes back afterwards shows
// whether a device took the Class of a CoA-Request.
func (c Cookie) AppendMarked(dst []byte) []byte {
	plain := c.Append(nil)
	dst = append(append(dst, cookiePrefix...), '0')
	return append(dst, plain[len(cookiePrefix):]...)
}

// ParseCookie reads what Append wrote; other Class values are not ours.
func ParseCookie(class []byte) (Cookie, bool) {
	rest, ok := strings.CutPrefix(string(class), cookiePrefix)
	if !ok {
		return Cookie{}, false
	}
	id, digest, ok := strings.Cut(rest, ":")
	a, err1 := strconv.ParseInt(id, 16, 64)
	d, err2 := strconv.ParseUint(digest, 16, 64)
	if !ok || err1 != nil || err2 != nil || len(digest) != 16 || a < 0 {
		return Cookie{}, false
	}
	return Cookie{Access: contracts.AccessID(a), Granted: Digest(d)}, true
}

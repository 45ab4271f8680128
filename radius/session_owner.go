package radius

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"enlace/contracts"
	"enlace/nas"
)

// owner is whose a session is: an access's, or a login's where no Class came back.
type owner struct {
	access contracts.AccessID
	login  string
}

// owned is the keys of an owner's open sessions; nearly always there is one.
type owned struct {
	first nas.SessionKey
	more  []nas.SessionKey
}

func ownerOf(s *Session) owner {
	if s.Access != 0 {
		return owner{access: s.Access}
	}
	return owner{login: strings.TrimSpace(s.Login)}
}

func (o owner) nobody() bool { return o == owner{} }

type ownerShard struct {
	mu      sync.RWMutex
	byOwner map[owner]owned
}

func (t *Sessions) ownerShard(o owner) *ownerShard {
	return &t.owners[maphash.Comparable(t.seed, o)%sessionShards]
}

func (sh *ownerShard) add(o owner, key nas.SessionKey) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	keys, ok := sh.byOwner[o]
	switch {
	case !ok:
		keys.first = key
	case keys.first == key || slices.Contains(keys.more, key):
		return
	default:
		keys.more = append(keys.more, key)
	}
	sh.byOwner[o] = keys
}

func (sh *ownerShard) remove(o owner, key nas.SessionKey) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	keys, ok := sh.byOwner[o]
	if !ok {
		return
	}
	if keys.first == key {
		if len(keys.more) == 0 {
			delete(sh.byOwner, o)
			return
		}
		keys.first, keys.more = keys.more[0], slices.Clone(keys.more[1:])
	} else if i := slices.Index(keys.more, key); i >= 0 {
		keys.more = slices.Concat(keys.more[:i], keys.more[i+1:]) // a reader may hold the old one
	}
	sh.byOwner[o] = keys
}

// several reports whether a session's owner has more than it.
func (t *Sessions) several(s *Session) bool {
	return t.numberOf(s.Access, s.Login) > 1
}

// numberOf is how many open sessions AppendOf would give, at most.
func (t *Sessions) numberOf(access contracts.AccessID, login string) (n int) {
	for _, o := range [...]owner{{access: access}, {login: strings.TrimSpace(login)}} {
		sh := t.ownerShard(o)
		sh.mu.RLock()
		if keys, ok := sh.byOwner[o]; ok {
			n += 1 + len(keys.more)
		}
		sh.mu.RUnlock()
	}
	return n
}

// AppendOf appends the open sessions of an access to dst: those whose Class names it and those of its login without a
// Class. It does not allocate where dst has room.
func (t *Sessions) AppendOf(dst []Session, access contracts.AccessID, login string) []Session {
	for _, o := range [...]owner{{access: access}, {login: strings.TrimSpace(login)}} {
		if o.nobody() {
			continue
		}
		sh := t.ownerShard(o)
		sh.mu.RLock()
		keys, ok := sh.byOwner[o]
		sh.mu.RUnlock()
		if !ok {
			continue
		}
		if s, open := t.Get(keys.first); open && ownerOf(&s) == o {
			dst = append(dst, s)
		}
		for _, key := range keys.more {
			if s, open := t.Get(key); open && ownerOf(&s) == o {
				dst = append(dst, s)
			}
		}
	}
	return dst
}
